
/*
 * The setter of zapier_connect, and what only the whole configuration tells
 * about it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_connect.h>
#include <ngx_http_zapier_directive.h>


#define NGX_HTTP_ZAPIER_CONNECT_EXPIRES      600
#define NGX_HTTP_ZAPIER_CONNECT_EXPIRES_MAX  86400


static char *ngx_http_zapier_connect_start_option(ngx_conf_t *cf,
    ngx_http_zapier_connect_conf_t *conf, ngx_str_t *value);
static char *ngx_http_zapier_connect_callback_option(ngx_conf_t *cf,
    ngx_http_zapier_connect_conf_t *conf, ngx_str_t *value);
static char *ngx_http_zapier_connect_expires(ngx_conf_t *cf,
    ngx_http_zapier_connect_conf_t *conf, ngx_str_t *value, ngx_str_t *rest);
static char *ngx_http_zapier_connect_value(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *rest, ngx_http_complex_value_t **cvp);
static char *ngx_http_zapier_connect_url_value(ngx_conf_t *cf,
    ngx_str_t *value, ngx_str_t *rest, ngx_http_complex_value_t **cvp,
    ngx_uint_t path, ngx_uint_t fragment);
static void ngx_http_zapier_connect_warn(ngx_conf_t *cf, ngx_str_t *uri);


char *
ngx_http_zapier_connect(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_loc_conf_t *zlcf = conf;

    char                            *rv;
    ngx_str_t                       *value;
    ngx_uint_t                       i, callback;
    ngx_http_core_loc_conf_t        *clcf;
    ngx_http_zapier_main_conf_t     *zmcf;
    ngx_http_zapier_connect_conf_t  *zccf;

    if (zlcf->connect != NULL) {
        return "is duplicate";
    }

    value = cf->args->elts;

    callback = (ngx_strcmp(value[1].data, "callback") == 0);

    if (!callback && ngx_strcmp(value[1].data, "start") != 0) {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "\"start\" or \"callback\" is needed");
    }

    zccf = ngx_pcalloc(cf->pool, sizeof(ngx_http_zapier_connect_conf_t));
    if (zccf == NULL) {
        return NGX_CONF_ERROR;
    }

    zccf->pkce = NGX_CONF_UNSET;

    for (i = 2; i < cf->args->nelts; i++) {
        rv = callback ? ngx_http_zapier_connect_callback_option(cf, zccf,
                                                                &value[i])
                      : ngx_http_zapier_connect_start_option(cf, zccf,
                                                             &value[i]);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (!callback
        && (zccf->authorize == NULL || zccf->redirect_uri == NULL))
    {
        return "needs \"authorize=URL\" and \"redirect_uri=URL\" after "
               "\"start\"";
    }

    ngx_conf_init_value(zccf->pkce, 1);

    if (zccf->expires == 0) {
        zccf->expires = NGX_HTTP_ZAPIER_CONNECT_EXPIRES;
    }

    zmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_zapier_module);

    ngx_http_zapier_mention(cf, &zmcf->used);
    ngx_http_zapier_mention(cf, &zmcf->connect);
    ngx_http_zapier_mention(cf, &zccf->mention);

    zlcf->connect = zccf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_zapier_connect_handler;

    return NGX_CONF_OK;
}


static char *
ngx_http_zapier_connect_start_option(ngx_conf_t *cf,
    ngx_http_zapier_connect_conf_t *conf, ngx_str_t *value)
{
    char       *rv;
    ngx_str_t   rest;

    if (ngx_http_zapier_prefix(value, "authorize=", &rest)) {
        return ngx_http_zapier_connect_url_value(cf, value, &rest,
                                                 &conf->authorize, 0, 0);
    }

    if (ngx_http_zapier_prefix(value, "redirect_uri=", &rest)) {
        rv = ngx_http_zapier_connect_url_value(cf, value, &rest,
                                               &conf->redirect_uri, 0, 0);

        if (rv == NGX_CONF_OK) {
            ngx_http_zapier_connect_warn(cf, &rest);
        }

        return rv;
    }

    if (ngx_http_zapier_prefix(value, "scope=", &rest)) {
        return ngx_http_zapier_connect_value(cf, value, &rest, &conf->scope);
    }

    if (ngx_http_zapier_prefix(value, "pkce=", &rest)) {

        if (conf->pkce != NGX_CONF_UNSET) {
            return ngx_http_zapier_invalid(cf, value, "it is there twice");
        }

        if (ngx_strcmp(rest.data, "on") == 0) {
            conf->pkce = 1;

        } else if (ngx_strcmp(rest.data, "off") == 0) {
            conf->pkce = 0;

        } else {
            return ngx_http_zapier_invalid(cf, value,
                                           "\"pkce=on\" or \"pkce=off\" is "
                                           "needed");
        }

        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "expires=", &rest)) {
        return ngx_http_zapier_connect_expires(cf, conf, value, &rest);
    }

    return ngx_http_zapier_invalid(cf, value,
                                   "\"authorize=\", \"redirect_uri=\", "
                                   "\"scope=\", \"pkce=\" or \"expires=\" is "
                                   "needed after \"start\"");
}


static char *
ngx_http_zapier_connect_callback_option(ngx_conf_t *cf,
    ngx_http_zapier_connect_conf_t *conf, ngx_str_t *value)
{
    ngx_str_t  rest;

    if (ngx_http_zapier_prefix(value, "success=", &rest)) {
        return ngx_http_zapier_connect_url_value(cf, value, &rest,
                                                 &conf->success, 1, 1);
    }

    if (ngx_http_zapier_prefix(value, "error=", &rest)) {
        return ngx_http_zapier_connect_url_value(cf, value, &rest,
                                                 &conf->error, 1, 1);
    }

    return ngx_http_zapier_invalid(cf, value,
                                   "\"success=\" or \"error=\" is needed "
                                   "after \"callback\"");
}


static char *
ngx_http_zapier_connect_expires(ngx_conf_t *cf,
    ngx_http_zapier_connect_conf_t *conf, ngx_str_t *value, ngx_str_t *rest)
{
    ngx_int_t  n;

    if (conf->expires != 0) {
        return ngx_http_zapier_invalid(cf, value, "it is there twice");
    }

    n = ngx_parse_time(rest, 1);

    if (rest->len == 0 || n < 1 || n > NGX_HTTP_ZAPIER_CONNECT_EXPIRES_MAX) {
        return ngx_http_zapier_invalid(cf, value,
                                       "a time from 1s to 1d is needed");
    }

    conf->expires = n;

    return NGX_CONF_OK;
}


static char *
ngx_http_zapier_connect_value(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *rest, ngx_http_complex_value_t **cvp)
{
    if (*cvp != NULL) {
        return ngx_http_zapier_invalid(cf, value, "it is there twice");
    }

    if (rest->len == 0) {
        return ngx_http_zapier_invalid(cf, value, "it must not be empty");
    }

    return ngx_http_zapier_complex(cf, rest, cvp);
}


/* What holds variables is looked at when they are known. */

static char *
ngx_http_zapier_connect_url_value(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *rest, ngx_http_complex_value_t **cvp, ngx_uint_t path,
    ngx_uint_t fragment)
{
    char  *rv;

    rv = ngx_http_zapier_connect_value(cf, value, rest, cvp);

    if (rv != NGX_CONF_OK || (*cvp)->lengths != NULL) {
        return rv;
    }

    if (ngx_http_zapier_connect_url(rest, path, fragment) != NGX_OK) {
        return ngx_http_zapier_invalid(cf, value,
                                       path ? "a path or a URL with https:// "
                                              "is needed"
                                            : "a URL with https:// and "
                                              "without \"#\" is needed");
    }

    if (!path && rest->len > NGX_ZAPIER_STATE_REDIRECT_LEN) {
        return ngx_http_zapier_invalid(cf, value,
                                       "at most 512 bytes are taken");
    }

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_zapier_connect_url(ngx_str_t *text, ngx_uint_t path,
    ngx_uint_t fragment)
{
    u_char     ch;
    size_t     i;
    ngx_str_t  rest;

    for (i = 0; i < text->len; i++) {
        ch = text->data[i];

        if (ch <= 0x20 || ch > 0x7e || ch == '"' || ch == '<' || ch == '>'
            || ch == '\\' || (ch == '#' && !fragment))
        {
            return NGX_DECLINED;
        }
    }

    if (!ngx_http_zapier_prefix(text, "https://", &rest)
        && !ngx_http_zapier_prefix(text, "http://", &rest))
    {
        /* two slashes would be a host */

        return (path && text->len != 0 && text->data[0] == '/'
                && (text->len == 1 || text->data[1] != '/'))
               ? NGX_OK : NGX_DECLINED;
    }

    if (rest.len == 0
        || rest.data[0] == '/' || rest.data[0] == '?' || rest.data[0] == '#')
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static void
ngx_http_zapier_connect_warn(ngx_conf_t *cf, ngx_str_t *uri)
{
    ngx_uint_t  i;
    ngx_str_t   rest;

    static const char  *local[] = { "http://localhost", "http://127.0.0.1",
                                    "http://[::1]" };

    if (!ngx_http_zapier_prefix(uri, "http://", &rest)) {
        return;
    }

    for (i = 0; i < sizeof(local) / sizeof(local[0]); i++) {

        if (ngx_http_zapier_prefix(uri, local[i], &rest)
            && (rest.len == 0 || rest.data[0] == ':' || rest.data[0] == '/'))
        {
            return;
        }
    }

    ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                       "\"redirect_uri=%V\" of \"zapier_connect\" is not "
                       "https: codes and cookies can be read on their way",
                       uri);
}


char *
ngx_http_zapier_connect_merge(ngx_conf_t *cf,
    ngx_http_zapier_loc_conf_t *prev, ngx_http_zapier_loc_conf_t *conf)
{
    const char                *need;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    /* "if" and "limit_except" inside of the location */

    if (conf->connect == NULL && clcf->noname && clcf->handler == NULL
        && prev->connect != NULL)
    {
        conf->connect = prev->connect;
        clcf->handler = ngx_http_zapier_connect_handler;
    }

    if (conf->connect == NULL) {
        return NGX_CONF_OK;
    }

    need = NULL;

    if (conf->connect->authorize != NULL && conf->tenant == NULL) {
        need = "\"zapier_tenant\", which says whose account is connected, in "
               "the same location or around it";

    } else if (conf->needs_tenant.name.data != NULL) {
        need = "no \"zapier_body\", \"zapier_scope\", \"zapier_limit\" or "
               "\"zapier_retry\" in the same location, they have no effect "
               "there";
    }

    if (need != NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"zapier_connect %V\" needs %s, in %s:%ui",
                      &conf->connect->mention.value, need,
                      conf->connect->mention.file,
                      conf->connect->mention.line);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_zapier_connect_check(ngx_conf_t *cf,
    ngx_http_zapier_main_conf_t *zmcf)
{
    const char  *need;

    if (zmcf->connect.name.data == NULL) {
        return NGX_OK;
    }

#if (NGX_SSL)

    need = (zmcf->oauth == NULL)
           ? "\"zapier_oauth_client ID SECRET_FILE\" and "
             "\"zapier_oauth_token URI\" in the http block"
           : NULL;

#else

    need = "an nginx that was built with OpenSSL";

#endif

    if (need == NULL) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"zapier_connect\" needs %s, in %s:%ui", need,
                  zmcf->connect.file, zmcf->connect.line);

    return NGX_ERROR;
}
