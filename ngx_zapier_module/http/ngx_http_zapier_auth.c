
/*
 * zapier_auth: by what the calls of a location authenticate themselves.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_sha1.h>
#include <ngx_zapier_record.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_directive.h>


#define NGX_HTTP_ZAPIER_APP_PREFIX  "*app:"

/* bytes of the digest that tells app tokens apart */
#define NGX_HTTP_ZAPIER_APP_DIGEST  8

#define NGX_HTTP_ZAPIER_CLIENT_ID   "client_id="


static char *ngx_http_zapier_auth_app(ngx_conf_t *cf,
    ngx_http_zapier_loc_conf_t *zlcf);
static char *ngx_http_zapier_auth_scope(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *text, ngx_str_t *scope);
static ngx_int_t ngx_http_zapier_auth_cmp_names(const void *one,
    const void *two);
static ngx_http_zapier_app_t *ngx_http_zapier_app_get(ngx_conf_t *cf,
    ngx_http_zapier_main_conf_t *zmcf, ngx_str_t *scope);
static ngx_int_t ngx_http_zapier_app_name(ngx_conf_t *cf,
    ngx_str_t *client_id, ngx_http_zapier_app_t *app);
static ngx_int_t ngx_http_zapier_auth_query(ngx_conf_t *cf,
    ngx_http_zapier_main_conf_t *zmcf);
static ngx_int_t ngx_http_zapier_add_arg(ngx_pool_t *pool, ngx_str_t *text,
    const char *separator, ngx_str_t *arg);


char *
ngx_http_zapier_auth(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_loc_conf_t *zlcf = conf;

    ngx_str_t                    *value;
    ngx_http_zapier_main_conf_t  *zmcf;

    if (zlcf->auth != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    zmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_zapier_module);

    ngx_http_zapier_mention(cf, &zlcf->auth_by);

    if (ngx_strcmp(value[1].data, "app") == 0) {
        zlcf->auth = NGX_HTTP_ZAPIER_AUTH_APP;

        ngx_http_zapier_mention(cf, &zlcf->needs_tenant);
        ngx_http_zapier_mention(cf, &zmcf->auth_app);

        return ngx_http_zapier_auth_app(cf, zlcf);
    }

    if (ngx_strcmp(value[1].data, "client_id") == 0) {
        zlcf->auth = NGX_HTTP_ZAPIER_AUTH_CLIENT_ID;

        ngx_http_zapier_mention(cf, &zlcf->needs_tenant);
        ngx_http_zapier_mention(cf, &zmcf->auth_client_id);

    } else if (ngx_strcmp(value[1].data, "user") == 0) {
        zlcf->auth = NGX_HTTP_ZAPIER_AUTH_USER;

    } else {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "\"user\", \"app\" or \"client_id\" "
                                       "is needed");
    }

    if (cf->args->nelts > 2) {
        return ngx_http_zapier_invalid(cf, &value[2],
                                       "only \"scope=\" after \"app\" is "
                                       "known");
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_zapier_auth_app(ngx_conf_t *cf, ngx_http_zapier_loc_conf_t *zlcf)
{
    char                         *rv;
    ngx_str_t                    *value, text, scope;
    ngx_http_zapier_main_conf_t  *zmcf;

    value = cf->args->elts;

    zmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_zapier_module);

    ngx_str_null(&scope);

    if (cf->args->nelts > 2) {

        if (!ngx_http_zapier_prefix(&value[2], "scope=", &text)) {
            return ngx_http_zapier_invalid(cf, &value[2],
                                           "only \"scope=\" after \"app\" is "
                                           "known");
        }

        rv = ngx_http_zapier_auth_scope(cf, &value[2], &text, &scope);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    zlcf->app = ngx_http_zapier_app_get(cf, zmcf, &scope);

    return (zlcf->app != NULL) ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/* Sorted and each name once: the order means nothing (RFC 6749 3.3). */

static char *
ngx_http_zapier_auth_scope(ngx_conf_t *cf, ngx_str_t *value, ngx_str_t *text,
    ngx_str_t *scope)
{
    u_char      *p, *last;
    ngx_str_t   *name, *names;
    ngx_uint_t   i;
    ngx_array_t  list;

    if (ngx_array_init(&list, cf->temp_pool, 4, sizeof(ngx_str_t)) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    p = text->data;
    last = text->data + text->len;

    while (p < last) {

        if (*p == ' ') {
            p++;
            continue;
        }

        name = ngx_array_push(&list);
        if (name == NULL) {
            return NGX_CONF_ERROR;
        }

        name->data = p;
        name->len = ngx_http_zapier_scope_name(p, last);
        p += name->len;

        if (name->len == 0 || (p < last && *p != ' ')) {
            list.nelts = 0;
            break;
        }
    }

    if (list.nelts == 0 || text->len > NGX_ZAPIER_RECORD_SCOPE_LEN) {
        return ngx_http_zapier_invalid(cf, value,
                                       "scope names with spaces between "
                                       "them, 1024 bytes at most, are "
                                       "needed, such as "
                                       "\"scope=promotions:write\"");
    }

    names = list.elts;

    ngx_sort(names, list.nelts, sizeof(ngx_str_t),
             ngx_http_zapier_auth_cmp_names);

    p = ngx_pnalloc(cf->pool, text->len + 1);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    scope->data = p;

    for (i = 0; i < list.nelts; i++) {

        if (i == 0
            || ngx_http_zapier_auth_cmp_names(&names[i - 1], &names[i]) != 0)
        {
            p = ngx_cpymem(p, names[i].data, names[i].len);
            *p++ = ' ';
        }
    }

    scope->len = p - 1 - scope->data;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_zapier_auth_cmp_names(const void *one, const void *two)
{
    const ngx_str_t *a = one;
    const ngx_str_t *b = two;

    return ngx_memn2cmp(a->data, b->data, a->len, b->len);
}


static ngx_http_zapier_app_t *
ngx_http_zapier_app_get(ngx_conf_t *cf, ngx_http_zapier_main_conf_t *zmcf,
    ngx_str_t *scope)
{
    ngx_uint_t               i;
    ngx_http_zapier_app_t   *app, **apps;

    apps = zmcf->apps.elts;

    for (i = 0; i < zmcf->apps.nelts; i++) {

        if (ngx_http_zapier_auth_cmp_names(&apps[i]->scope, scope) == 0) {
            return apps[i];
        }
    }

    app = ngx_pcalloc(cf->pool, sizeof(ngx_http_zapier_app_t));
    apps = ngx_array_push(&zmcf->apps);

    if (app == NULL || apps == NULL) {
        return NULL;
    }

    app->scope = *scope;
    *apps = app;

    return app;
}


char *
ngx_http_zapier_auth_merge(ngx_conf_t *cf, ngx_http_zapier_loc_conf_t *prev,
    ngx_http_zapier_loc_conf_t *conf)
{
    if (conf->auth == NGX_CONF_UNSET_UINT) {
        conf->auth_by = prev->auth_by;
        conf->app = prev->app;
    }

    ngx_conf_merge_uint_value(conf->auth, prev->auth,
                              NGX_HTTP_ZAPIER_AUTH_USER);

    if (conf->auth == NGX_HTTP_ZAPIER_AUTH_CLIENT_ID && conf->scope.len != 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"zapier_scope\" \"%V\" has no effect with "
                      "\"zapier_auth client_id\" in %s:%ui, as no token is "
                      "used then; take one of the two away",
                      &conf->scope, conf->auth_by.file, conf->auth_by.line);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_zapier_auth_init(ngx_conf_t *cf, ngx_http_zapier_main_conf_t *zmcf)
{
    ngx_str_t                    name;
    ngx_uint_t                   i;
    ngx_http_zapier_app_t      **apps;
    ngx_http_zapier_mention_t   *by;

    by = &zmcf->auth_app;

    if (by->name.data != NULL
        && (zmcf->oauth_client.name.data == NULL
            || zmcf->oauth_token.name.data == NULL))
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"zapier_auth app\" in %s:%ui needs "
                      "\"zapier_oauth_client ID SECRET_FILE\" and "
                      "\"zapier_oauth_token URI\" in the http block",
                      by->file, by->line);
        return NGX_ERROR;
    }

    by = &zmcf->auth_client_id;

    if (by->name.data != NULL && zmcf->oauth_client.name.data == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"zapier_auth client_id\" in %s:%ui needs "
                      "\"zapier_oauth_client ID\" in the http block",
                      by->file, by->line);
        return NGX_ERROR;
    }

    ngx_str_set(&name, "request_uri");

    zmcf->request_uri = ngx_http_get_variable_index(cf, &name);

    if (zmcf->request_uri == NGX_ERROR) {
        return NGX_ERROR;
    }

    apps = zmcf->apps.elts;

    for (i = 0; i < zmcf->apps.nelts; i++) {

        if (ngx_http_zapier_app_name(cf, &zmcf->oauth->client_id, apps[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_zapier_auth_query(cf, zmcf);
}


/* With the client in it: a token of another one is not ours to use. */

static ngx_int_t
ngx_http_zapier_app_name(ngx_conf_t *cf, ngx_str_t *client_id,
    ngx_http_zapier_app_t *app)
{
    u_char      *p, digest[20];
    ngx_sha1_t   sha1;

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, client_id->data, client_id->len);
    ngx_sha1_update(&sha1, "", 1);
    ngx_sha1_update(&sha1, app->scope.data, app->scope.len);
    ngx_sha1_final(digest, &sha1);

    p = ngx_pnalloc(cf->pool, sizeof(NGX_HTTP_ZAPIER_APP_PREFIX) - 1
                              + 2 * NGX_HTTP_ZAPIER_APP_DIGEST);
    if (p == NULL) {
        return NGX_ERROR;
    }

    app->name.data = p;

    p = ngx_http_zapier_put(p, NGX_HTTP_ZAPIER_APP_PREFIX);
    p = ngx_hex_dump(p, digest, NGX_HTTP_ZAPIER_APP_DIGEST);

    app->name.len = p - app->name.data;

    return NGX_OK;
}


/* The argument of "zapier_auth client_id", escaped. */

static ngx_int_t
ngx_http_zapier_auth_query(ngx_conf_t *cf, ngx_http_zapier_main_conf_t *zmcf)
{
    u_char     *p;
    size_t      escaped;
    ngx_str_t  *id;

    if (zmcf->auth_client_id.name.data == NULL) {
        return NGX_OK;
    }

    id = &zmcf->oauth->client_id;

    escaped = 2 * ngx_escape_uri(NULL, id->data, id->len,
                                 NGX_ESCAPE_URI_COMPONENT);

    p = ngx_pnalloc(cf->pool, sizeof(NGX_HTTP_ZAPIER_CLIENT_ID) - 1 + id->len
                              + escaped);
    if (p == NULL) {
        return NGX_ERROR;
    }

    zmcf->client_id_arg.data = p;

    p = ngx_http_zapier_put(p, NGX_HTTP_ZAPIER_CLIENT_ID);
    p = (u_char *) ngx_escape_uri(p, id->data, id->len,
                                  NGX_ESCAPE_URI_COMPONENT);

    zmcf->client_id_arg.len = p - zmcf->client_id_arg.data;

    return NGX_OK;
}


ngx_http_zapier_app_t *
ngx_http_zapier_app_find(ngx_http_zapier_main_conf_t *zmcf, ngx_str_t *name)
{
    ngx_uint_t               i;
    ngx_http_zapier_app_t  **apps;

    apps = zmcf->apps.elts;

    for (i = 0; i < zmcf->apps.nelts; i++) {

        if (ngx_http_zapier_auth_cmp_names(&apps[i]->name, name) == 0) {
            return apps[i];
        }
    }

    return NULL;
}


ngx_int_t
ngx_http_zapier_auth_identify(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    u_char                       *p;
    const char                   *separator;
    ngx_str_t                    *uri;
    ngx_http_zapier_loc_conf_t   *zlcf;
    ngx_http_zapier_main_conf_t  *zmcf;

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);
    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    ctx->identified = 0;

    /* a "set" or "if" may have made $request_uri already */

    r->variables[zmcf->request_uri].valid = 0;

    if (ngx_http_zapier_strip_client_id(r) != NGX_OK) {
        return NGX_ERROR;
    }

    if (zlcf->tenant == NULL || zlcf->auth != NGX_HTTP_ZAPIER_AUTH_CLIENT_ID) {
        return NGX_OK;
    }

    ctx->identified = 1;

    /* the last one is what counts for upstreams that take several */

    separator = (r->args.len == 0) ? "" : "&";

    if (ngx_http_zapier_add_arg(r->pool, &r->args, separator,
                                &zmcf->client_id_arg)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    uri = &r->unparsed_uri;

    /* a fragment is not for servers, and would hide what comes after it */

    p = ngx_strlchr(uri->data, uri->data + uri->len, '#');
    if (p != NULL) {
        uri->len = p - uri->data;
    }

    separator = "?";

    p = ngx_strlchr(uri->data, uri->data + uri->len, '?');
    if (p != NULL) {
        separator = (p + 1 == uri->data + uri->len) ? "" : "&";
    }

    return ngx_http_zapier_add_arg(r->pool, uri, separator,
                                   &zmcf->client_id_arg);
}


static ngx_int_t
ngx_http_zapier_add_arg(ngx_pool_t *pool, ngx_str_t *text,
    const char *separator, ngx_str_t *arg)
{
    u_char  *p;
    size_t   len;

    len = text->len + ngx_strlen(separator) + arg->len;

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(p, "%V%s%V", text, separator, arg);

    text->data = p;
    text->len = len;

    return NGX_OK;
}
