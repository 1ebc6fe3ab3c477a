
/*
 * Setters of zapier_oauth_* and zapier_token_key.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_directive.h>
#include <ngx_zapier_file.h>


#define NGX_HTTP_ZAPIER_OAUTH_MARGIN       300
#define NGX_HTTP_ZAPIER_OAUTH_TIMEOUT      10000

#define NGX_HTTP_ZAPIER_OAUTH_MARGIN_MAX   86400
#define NGX_HTTP_ZAPIER_OAUTH_TIMEOUT_MAX  300000


static ngx_zapier_oauth_t *ngx_http_zapier_oauth_get(ngx_conf_t *cf,
    ngx_http_zapier_main_conf_t *zmcf);
static char *ngx_http_zapier_oauth_option(ngx_conf_t *cf,
    ngx_zapier_oauth_t *oauth, ngx_str_t *value);


char *
ngx_http_zapier_oauth_client(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_main_conf_t *zmcf = conf;

    size_t               i;
    ngx_str_t           *value;
    ngx_zapier_oauth_t  *oauth;

    if (zmcf->oauth_client.name.data != NULL) {
        return "is duplicate";
    }

    oauth = ngx_http_zapier_oauth_get(cf, zmcf);
    if (oauth == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    /* VSCHAR of RFC 6749 A.1, which has the space too */

    for (i = 0; i < value[1].len; i++) {
        if (value[1].data[i] < 0x20 || value[1].data[i] > 0x7e) {
            break;
        }
    }

    if (i == 0 || i < value[1].len) {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "the client id is needed");
    }

    ngx_http_zapier_mention(cf, &zmcf->oauth_client);

    oauth->client_id = value[1];

    if (cf->args->nelts == 2) {
        return NGX_CONF_OK;
    }

    if (cf->args->nelts == 4) {

        if (ngx_strcmp(value[3].data, "auth=body") == 0) {
            oauth->in_body = 1;

        } else if (ngx_strcmp(value[3].data, "auth=basic") != 0) {
            return ngx_http_zapier_invalid(cf, &value[3],
                                           "\"auth=basic\" or \"auth=body\" "
                                           "is needed");
        }
    }

    if (ngx_zapier_file_line(cf, &value[2], "\"zapier_oauth_client\"",
                             "the client secret", &oauth->client_secret)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_zapier_oauth_token(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_main_conf_t *zmcf = conf;

    char                *rv;
    ngx_str_t           *value, *uri;
    ngx_uint_t           i;
    ngx_zapier_oauth_t  *oauth;

    if (zmcf->oauth_token.name.data != NULL) {
        return "is duplicate";
    }

    oauth = ngx_http_zapier_oauth_get(cf, zmcf);
    if (oauth == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    if (value[1].len == 0
        || value[1].data[0] != '/'
        || ngx_strlchr(value[1].data, value[1].data + value[1].len, '?')
           != NULL)
    {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "the URI of an internal location is "
                                       "needed, such as /zapier-token");
    }

    uri = ngx_palloc(cf->pool, sizeof(ngx_str_t));
    if (uri == NULL) {
        return NGX_CONF_ERROR;
    }

    *uri = value[1];
    oauth->data = uri;

    for (i = 2; i < cf->args->nelts; i++) {
        rv = ngx_http_zapier_oauth_option(cf, oauth, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    ngx_http_zapier_mention(cf, &zmcf->oauth_token);

    return NGX_CONF_OK;
}


static char *
ngx_http_zapier_oauth_option(ngx_conf_t *cf, ngx_zapier_oauth_t *oauth,
    ngx_str_t *value)
{
    uint32_t   ms;
    ngx_int_t  n;
    ngx_str_t  rest;

    if (ngx_http_zapier_prefix(value, "margin=", &rest)) {
        n = ngx_parse_time(&rest, 1);

        if (rest.len == 0 || n < 0 || n > NGX_HTTP_ZAPIER_OAUTH_MARGIN_MAX) {
            return ngx_http_zapier_invalid(cf, value,
                                           "a time from 0s to 1d is needed");
        }

        oauth->margin = n;
        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "timeout=", &rest)) {

        if (ngx_http_zapier_time(&rest, NGX_HTTP_ZAPIER_OAUTH_TIMEOUT_MAX,
                                 &ms)
            != NGX_OK)
        {
            return ngx_http_zapier_invalid(cf, value,
                                           "a time from 1ms to 5m is needed");
        }

        oauth->timeout = ms;
        return NGX_CONF_OK;
    }

    return ngx_http_zapier_invalid(cf, value,
                                   "\"margin=\" or \"timeout=\" is needed");
}


static ngx_zapier_oauth_t *
ngx_http_zapier_oauth_get(ngx_conf_t *cf, ngx_http_zapier_main_conf_t *zmcf)
{
    if (zmcf->oauth != NULL) {
        return zmcf->oauth;
    }

    zmcf->oauth = ngx_pcalloc(cf->pool, sizeof(ngx_zapier_oauth_t));
    if (zmcf->oauth == NULL) {
        return NULL;
    }

    zmcf->oauth->margin = NGX_HTTP_ZAPIER_OAUTH_MARGIN;
    zmcf->oauth->timeout = NGX_HTTP_ZAPIER_OAUTH_TIMEOUT;
    zmcf->oauth->call = ngx_http_zapier_oauth_call;

    return zmcf->oauth;
}


char *
ngx_http_zapier_token_key(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_main_conf_t *zmcf = conf;

    ngx_str_t  *value;

    if (zmcf->keyring != NULL) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 3) {

        if (ngx_strcmp(value[2].data, "required") != 0) {
            return ngx_http_zapier_invalid(cf, &value[2],
                                           "only \"required\" is known");
        }

        zmcf->key_required = 1;
    }

    zmcf->keyring = ngx_zapier_keyring_create(cf, &value[1]);

    return (zmcf->keyring != NULL) ? NGX_CONF_OK : NGX_CONF_ERROR;
}
