
/*
 * Reads a map of actions.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <jansson.h>
#include <ngx_zapier_action.h>
#include <ngx_zapier_json.h>
#include <ngx_zapier_tenant.h>


typedef struct {
    ngx_pool_t                *pool;
    ngx_str_t                 *where;
    ngx_str_t                 *why;
    const char                *names[3];   /* the way down */
} ngx_zapier_action_read_t;


static json_t *ngx_zapier_action_load(ngx_zapier_action_read_t *read,
    ngx_str_t *text);
static ngx_int_t ngx_zapier_action_read(ngx_zapier_action_read_t *read,
    const char *name, json_t *json, ngx_zapier_action_t *action);
static ngx_int_t ngx_zapier_action_identity(ngx_zapier_action_read_t *read,
    json_t *json, ngx_zapier_action_t *action);
static ngx_int_t ngx_zapier_action_known(ngx_zapier_action_read_t *read,
    json_t *json);
static ngx_int_t ngx_zapier_action_string(ngx_zapier_action_read_t *read,
    json_t *json, ngx_str_t *text);
static ngx_int_t ngx_zapier_action_raw(ngx_zapier_action_read_t *read,
    json_t *json, const char *name, ngx_str_t *text);
static ngx_int_t ngx_zapier_action_tenants(ngx_zapier_action_read_t *read,
    json_t *json, ngx_array_t *tenants);
static ngx_int_t ngx_zapier_action_defaults(ngx_zapier_action_read_t *read,
    json_t *json, ngx_array_t *inputs);
static ngx_int_t ngx_zapier_action_schema(ngx_zapier_action_read_t *read,
    json_t *json, ngx_zapier_action_t *action);
static ngx_int_t ngx_zapier_action_copy(ngx_pool_t *pool, const char *text,
    ngx_str_t *copy);
static ngx_int_t ngx_zapier_action_fault(ngx_zapier_action_read_t *read,
    const char *why);
static int ngx_libc_cdecl ngx_zapier_action_compare(const void *one,
    const void *two);


ngx_int_t
ngx_zapier_action_map(ngx_pool_t *pool, ngx_str_t *text,
    ngx_array_t *actions, ngx_str_t *where, ngx_str_t *why)
{
    json_t                    *root, *value;
    ngx_int_t                  rc;
    const char                *name;
    ngx_zapier_action_t       *action;
    ngx_zapier_action_read_t   read;

    ngx_memzero(&read, sizeof(ngx_zapier_action_read_t));

    read.pool = pool;
    read.where = where;
    read.why = why;

    root = ngx_zapier_action_load(&read, text);

    if (root == NULL) {
        return (why->data == NULL) ? NGX_ERROR : NGX_DECLINED;
    }

    if (!json_is_object(root)) {
        rc = ngx_zapier_action_fault(&read, "an object is needed");

    } else {
        rc = ngx_array_init(actions, pool, json_object_size(root) + 1,
                            sizeof(ngx_zapier_action_t));
    }

    if (rc == NGX_OK) {
        json_object_foreach(root, name, value) {
            action = ngx_array_push(actions);

            if (action == NULL) {
                rc = NGX_ERROR;
                break;
            }

            rc = ngx_zapier_action_read(&read, name, value, action);

            if (rc != NGX_OK) {
                break;
            }
        }
    }

    json_decref(root);

    if (rc == NGX_OK) {
        ngx_qsort(actions->elts, actions->nelts, sizeof(ngx_zapier_action_t),
                  ngx_zapier_action_compare);
    }

    return rc;
}


ngx_int_t
ngx_zapier_action_entry(ngx_pool_t *pool, ngx_str_t *name, ngx_str_t *text,
    ngx_zapier_action_t *action, ngx_str_t *where, ngx_str_t *why)
{
    u_char                    *p;
    json_t                    *json;
    ngx_int_t                  rc;
    ngx_zapier_action_read_t   read;

    ngx_memzero(&read, sizeof(ngx_zapier_action_read_t));

    read.pool = pool;
    read.where = where;
    read.why = why;

    p = ngx_pnalloc(pool, name->len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, name->data, name->len);
    p[name->len] = '\0';

    json = ngx_zapier_action_load(&read, text);

    if (json == NULL) {
        return (why->data == NULL) ? NGX_ERROR : NGX_DECLINED;
    }

    rc = ngx_zapier_action_read(&read, (char *) p, json, action);

    json_decref(json);

    return rc;
}


/* NULL: why tells, or has no data for want of memory. */

static json_t *
ngx_zapier_action_load(ngx_zapier_action_read_t *read, ngx_str_t *text)
{
    json_t        *json;
    json_error_t   error;

    ngx_str_null(read->where);
    ngx_str_null(read->why);

    json = json_loadb((char *) text->data, text->len, JSON_REJECT_DUPLICATES,
                      &error);

    if (json == NULL) {
        read->why->data = ngx_pnalloc(read->pool, JSON_ERROR_TEXT_LENGTH
                                                  + NGX_INT_T_LEN
                                                  + sizeof("line : ") - 1);
        if (read->why->data == NULL) {
            return NULL;
        }

        read->why->len = ngx_sprintf(read->why->data, "line %d: %s",
                                     error.line, error.text)
                         - read->why->data;
    }

    return json;
}


static ngx_int_t
ngx_zapier_action_read(ngx_zapier_action_read_t *read, const char *name,
    json_t *json, ngx_zapier_action_t *action)
{
    ngx_int_t  rc;

    ngx_memzero(action, sizeof(ngx_zapier_action_t));

    read->names[0] = name;
    read->names[1] = NULL;

    if (name[0] == '\0') {
        return ngx_zapier_action_fault(read, "a name must not be empty");
    }

    if (!json_is_object(json)) {
        return ngx_zapier_action_fault(read, "an object is needed");
    }

    if (ngx_zapier_action_copy(read->pool, name, &action->name) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_zapier_action_known(read, json);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_zapier_action_identity(read, json, action);

    if (rc != NGX_OK) {
        return rc;
    }

    read->names[1] = "authentication";

    if (json_object_get(json, "authentication") != NULL) {
        rc = ngx_zapier_action_string(read,
                                      json_object_get(json, "authentication"),
                                      &action->authentication);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    read->names[1] = "authentications";

    rc = ngx_zapier_action_tenants(read,
                                   json_object_get(json, "authentications"),
                                   &action->tenants);
    if (rc != NGX_OK) {
        return rc;
    }

    read->names[1] = "inputs";

    rc = ngx_zapier_action_defaults(read, json_object_get(json, "inputs"),
                                    &action->inputs);
    if (rc != NGX_OK) {
        return rc;
    }

    read->names[1] = "schema";

    return ngx_zapier_action_schema(read, json_object_get(json, "schema"),
                                    action);
}


/* An id, or what it is looked up by. */

static ngx_int_t
ngx_zapier_action_identity(ngx_zapier_action_read_t *read, json_t *json,
    ngx_zapier_action_t *action)
{
    ngx_int_t  rc;

    if (json_object_get(json, "app") == NULL) {

        if (json_object_get(json, "key") != NULL
            || json_object_get(json, "type") != NULL)
        {
            read->names[1] = "app";
            return ngx_zapier_action_fault(read, "a string is needed");
        }

        read->names[1] = "action";

        return ngx_zapier_action_string(read,
                                        json_object_get(json, "action"),
                                        &action->action);
    }

    if (json_object_get(json, "action") != NULL) {
        read->names[1] = "action";
        return ngx_zapier_action_fault(read, "this is looked up by \"app\" "
                                       "and \"key\"");
    }

    rc = ngx_zapier_action_raw(read, json, "app", &action->app);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_zapier_action_raw(read, json, "key", &action->key);

    if (rc != NGX_OK || json_object_get(json, "type") == NULL) {
        return rc;
    }

    return ngx_zapier_action_raw(read, json, "type", &action->type);
}


static ngx_int_t
ngx_zapier_action_schema(ngx_zapier_action_read_t *read, json_t *json,
    ngx_zapier_action_t *action)
{
    u_char     *p;
    ngx_str_t   why;

    if (json == NULL) {
        return NGX_OK;
    }

    action->schema = ngx_zapier_schema_compile(read->pool, json, &why);

    if (action->schema != NULL) {
        return NGX_OK;
    }

    if (why.len == 0) {
        return NGX_ERROR;
    }

    /* a pointer inside of the schema goes on with that to it */

    p = ngx_pnalloc(read->pool, why.len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, why.data, why.len);
    p[why.len] = '\0';

    return ngx_zapier_action_fault(read, (char *) p);
}


static ngx_int_t
ngx_zapier_action_known(ngx_zapier_action_read_t *read, json_t *json)
{
    json_t      *value;
    const char  *name;

    json_object_foreach(json, name, value) {

        if (ngx_strcmp(name, "action") != 0
            && ngx_strcmp(name, "app") != 0
            && ngx_strcmp(name, "key") != 0
            && ngx_strcmp(name, "type") != 0
            && ngx_strcmp(name, "authentication") != 0
            && ngx_strcmp(name, "authentications") != 0
            && ngx_strcmp(name, "inputs") != 0
            && ngx_strcmp(name, "schema") != 0)
        {
            read->names[1] = name;
            return ngx_zapier_action_fault(read, "there is no such field");
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_action_string(ngx_zapier_action_read_t *read, json_t *json,
    ngx_str_t *text)
{
    size_t   len;
    u_char  *value;

    if (!json_is_string(json) || json_string_length(json) == 0) {
        return ngx_zapier_action_fault(read, "a string is needed");
    }

    value = (u_char *) json_string_value(json);
    len = json_string_length(json);

    text->len = ngx_zapier_json_quote(NULL, value, len);

    text->data = ngx_pnalloc(read->pool, text->len);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_zapier_json_quote(text->data, value, len);

    return NGX_OK;
}


/* A member as it is, without quotes. */

static ngx_int_t
ngx_zapier_action_raw(ngx_zapier_action_read_t *read, json_t *json,
    const char *name, ngx_str_t *text)
{
    json_t  *value;

    value = json_object_get(json, name);

    if (!json_is_string(value)
        || json_string_length(value) == 0
        || json_string_length(value) > NGX_ZAPIER_ACTION_ID_LEN)
    {
        read->names[1] = name;
        return ngx_zapier_action_fault(read, "a string of 1 to 512 bytes is "
                                       "needed");
    }

    return ngx_zapier_action_copy(read->pool, json_string_value(value), text);
}


static ngx_int_t
ngx_zapier_action_tenants(ngx_zapier_action_read_t *read, json_t *json,
    ngx_array_t *tenants)
{
    json_t               *value;
    ngx_int_t             rc;
    const char           *name;
    ngx_zapier_member_t  *member;

    if (json == NULL) {
        return NGX_OK;
    }

    if (!json_is_object(json)) {
        return ngx_zapier_action_fault(read, "an object is needed");
    }

    if (ngx_array_init(tenants, read->pool, json_object_size(json) + 1,
                       sizeof(ngx_zapier_member_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    json_object_foreach(json, name, value) {
        member = ngx_array_push(tenants);

        if (member == NULL
            || ngx_zapier_action_copy(read->pool, name, &member->name)
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        read->names[2] = name;

        if (ngx_zapier_tenant_check(&member->name) != NGX_OK) {
            return ngx_zapier_action_fault(read, "this is no tenant's name");
        }

        rc = ngx_zapier_action_string(read, value, &member->text);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    read->names[2] = NULL;

    return NGX_OK;
}


/* Each is kept as it will be written: "name":value. */

static ngx_int_t
ngx_zapier_action_defaults(ngx_zapier_action_read_t *read, json_t *json,
    ngx_array_t *inputs)
{
    char                 *text;
    u_char               *p;
    size_t                len, quoted;
    json_t               *value;
    const char           *name;
    ngx_zapier_member_t  *member;

    if (json == NULL) {
        return NGX_OK;
    }

    if (!json_is_object(json)
        || json_object_size(json) > NGX_ZAPIER_ACTION_INPUTS)
    {
        return ngx_zapier_action_fault(read, "an object of at most 64 members "
                                       "is needed");
    }

    if (ngx_array_init(inputs, read->pool, json_object_size(json) + 1,
                       sizeof(ngx_zapier_member_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    json_object_foreach(json, name, value) {
        member = ngx_array_push(inputs);

        text = json_dumps(value, JSON_COMPACT|JSON_ENCODE_ANY);

        if (member == NULL
            || text == NULL
            || ngx_zapier_action_copy(read->pool, name, &member->name)
               != NGX_OK)
        {
            free(text);
            return NGX_ERROR;
        }

        len = ngx_strlen(text);
        quoted = ngx_zapier_json_quote(NULL, member->name.data,
                                       member->name.len);

        p = ngx_pnalloc(read->pool, quoted + 1 + len);

        if (p == NULL) {
            free(text);
            return NGX_ERROR;
        }

        member->text.data = p;
        member->text.len = quoted + 1 + len;

        p = (u_char *) ngx_zapier_json_quote(p, member->name.data,
                                             member->name.len);
        *p++ = ':';
        ngx_memcpy(p, text, len);

        free(text);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_action_copy(ngx_pool_t *pool, const char *text, ngx_str_t *copy)
{
    copy->len = ngx_strlen(text);

    copy->data = ngx_pnalloc(pool, copy->len + 1);
    if (copy->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(copy->data, text, copy->len + 1);

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_action_fault(ngx_zapier_action_read_t *read, const char *why)
{
    size_t       size;
    u_char      *p;
    ngx_uint_t   i;
    const char  *name;

    size = 0;

    for (i = 0; i < 3 && read->names[i] != NULL; i++) {
        size += 1 + 2 * ngx_strlen(read->names[i]);
    }

    p = ngx_pnalloc(read->pool, size + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    read->where->data = p;

    for (i = 0; i < 3 && read->names[i] != NULL; i++) {
        *p++ = '/';

        for (name = read->names[i]; *name; name++) {

            if (*name == '~' || *name == '/') {
                *p++ = '~';
                *p++ = (*name == '~') ? '0' : '1';
                continue;
            }

            *p++ = *name;
        }
    }

    read->where->len = p - read->where->data;

    return ngx_zapier_action_copy(read->pool, why, read->why) == NGX_OK
           ? NGX_DECLINED : NGX_ERROR;
}


ngx_zapier_action_t *
ngx_zapier_action_find(ngx_array_t *actions, ngx_str_t *name)
{
    int                   diff;
    ngx_uint_t            from, to, i;
    ngx_zapier_action_t  *action, key;

    key.name = *name;
    action = actions->elts;

    from = 0;
    to = actions->nelts;

    while (from < to) {
        i = (from + to) / 2;
        diff = ngx_zapier_action_compare(&key, &action[i]);

        if (diff == 0) {
            return &action[i];
        }

        if (diff < 0) {
            to = i;

        } else {
            from = i + 1;
        }
    }

    return NULL;
}


static int ngx_libc_cdecl
ngx_zapier_action_compare(const void *one, const void *two)
{
    int               diff;
    const ngx_str_t  *a, *b;

    a = &((const ngx_zapier_action_t *) one)->name;
    b = &((const ngx_zapier_action_t *) two)->name;

    diff = ngx_memcmp(a->data, b->data, ngx_min(a->len, b->len));

    return diff ? diff : (a->len < b->len) ? -1 : (a->len > b->len);
}
