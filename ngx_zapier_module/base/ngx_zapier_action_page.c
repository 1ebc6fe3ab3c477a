
/*
 * Pages of GET /v2/actions, in which the id of an action is looked up:
 *
 *     {"links":{"next":URL or null, ...}, "meta":{...},
 *      "data":[{"id":ID, "key":KEY, "action_type":TYPE, ...}, ...]}
 *
 * The next page is asked for with the query of its URL, wherever that may
 * lead.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <jansson.h>
#include <ngx_zapier_action.h>


/* bytes of a query, at most */
#define NGX_ZAPIER_ACTION_QUERY  2048


static ngx_int_t ngx_zapier_action_pick(ngx_pool_t *pool, json_t *data,
    ngx_str_t *key, ngx_str_t *type, ngx_str_t *id, const char **why);
static ngx_uint_t ngx_zapier_action_is(json_t *json, const char *name,
    ngx_str_t *text);
static ngx_int_t ngx_zapier_action_next(ngx_pool_t *pool, json_t *next,
    ngx_str_t *query);
static ngx_int_t ngx_zapier_action_dup(ngx_pool_t *pool, const char *text,
    size_t len, ngx_str_t *copy);


ngx_int_t
ngx_zapier_action_page(ngx_pool_t *pool, ngx_str_t *text, ngx_str_t *key,
    ngx_str_t *type, ngx_str_t *id, ngx_str_t *next, const char **why)
{
    json_t     *root, *page, *data;
    ngx_int_t   rc;

    *why = "is no page of actions";

    root = json_loadb((char *) text->data, text->len, 0, NULL);

    /* some of the documentation has the page inside of an array */

    page = json_is_array(root) ? json_array_get(root, 0) : root;
    data = json_object_get(page, "data");

    if (!json_is_array(data)) {
        json_decref(root);
        return NGX_ABORT;
    }

    rc = ngx_zapier_action_pick(pool, data, key, type, id, why);

    if (rc == NGX_DECLINED && json_array_size(data) != 0) {
        rc = ngx_zapier_action_next(pool,
                                    json_object_get(json_object_get(page,
                                                                    "links"),
                                                    "next"),
                                    next);
    }

    json_decref(root);

    return rc;
}


static ngx_int_t
ngx_zapier_action_pick(ngx_pool_t *pool, json_t *data, ngx_str_t *key,
    ngx_str_t *type, ngx_str_t *id, const char **why)
{
    size_t       i, len;
    json_t      *item, *value;
    const char  *found;

    found = NULL;
    len = 0;

    json_array_foreach(data, i, item) {

        if (!ngx_zapier_action_is(item, "key", key)
            || (type->len != 0
                && !ngx_zapier_action_is(item, "action_type", type)))
        {
            continue;
        }

        if (found != NULL) {
            *why = "has several actions with this key, \"type\" may tell "
                   "them apart";
            return NGX_ABORT;
        }

        value = json_object_get(item, "id");
        found = json_string_value(value);
        len = json_string_length(value);

        if (len == 0 || len > NGX_ZAPIER_ACTION_ID_LEN) {
            *why = "has no id for this action";
            return NGX_ABORT;
        }
    }

    if (found == NULL) {
        return NGX_DECLINED;
    }

    return ngx_zapier_action_dup(pool, found, len, id);
}


static ngx_uint_t
ngx_zapier_action_is(json_t *json, const char *name, ngx_str_t *text)
{
    json_t  *value;

    value = json_object_get(json, name);

    return json_is_string(value)
           && json_string_length(value) == text->len
           && ngx_memcmp(json_string_value(value), text->data, text->len)
              == 0;
}


static ngx_int_t
ngx_zapier_action_next(ngx_pool_t *pool, json_t *next, ngx_str_t *query)
{
    size_t       len;
    const char  *url, *p;

    if (next == NULL || json_is_null(next)) {
        return NGX_DECLINED;
    }

    url = json_string_value(next);
    p = (url != NULL) ? ngx_strchr(url, '?') : NULL;

    if (p == NULL) {
        return NGX_ABORT;
    }

    url = ++p;

    /* it becomes a part of the request's first line */

    while (*p > 0x20 && *p < 0x7f && *p != '#') {
        p++;
    }

    len = p - url;

    if (len == 0 || len > NGX_ZAPIER_ACTION_QUERY || *p != '\0') {
        return NGX_ABORT;
    }

    return (ngx_zapier_action_dup(pool, url, len, query) == NGX_OK)
           ? NGX_AGAIN : NGX_ERROR;
}


ngx_int_t
ngx_zapier_action_query(ngx_pool_t *pool, ngx_str_t *app, ngx_str_t *type,
    ngx_str_t *query)
{
    u_char  *p;

    p = ngx_pnalloc(pool, sizeof("app=&action_type=") - 1
                          + 3 * (app->len + type->len));
    if (p == NULL) {
        return NGX_ERROR;
    }

    query->data = p;

    p = ngx_cpymem(p, "app=", sizeof("app=") - 1);
    p = (u_char *) ngx_escape_uri(p, app->data, app->len,
                                  NGX_ESCAPE_URI_COMPONENT);

    if (type->len != 0) {
        p = ngx_cpymem(p, "&action_type=", sizeof("&action_type=") - 1);
        p = (u_char *) ngx_escape_uri(p, type->data, type->len,
                                      NGX_ESCAPE_URI_COMPONENT);
    }

    query->len = p - query->data;

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_action_dup(ngx_pool_t *pool, const char *text, size_t len,
    ngx_str_t *copy)
{
    copy->data = ngx_pnalloc(pool, len);
    if (copy->data == NULL) {
        return NGX_ERROR;
    }

    copy->len = len;
    ngx_memcpy(copy->data, text, len);

    return NGX_OK;
}
