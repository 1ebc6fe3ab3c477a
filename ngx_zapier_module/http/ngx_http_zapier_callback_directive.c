
/*
 * Setters of zapier_callback*.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_callback.h>
#include <ngx_http_zapier_directive.h>
#include <ngx_http_zapier_run.h>
#include <ngx_zapier_file.h>
#include <ngx_zapier_state.h>


/* with the name, it stays below the 2048 bytes that the upstream takes */
#define NGX_HTTP_ZAPIER_CALLBACK_URL       1600

#define NGX_HTTP_ZAPIER_CALLBACK_PATIENCE  60000


static char *ngx_http_zapier_callback_url(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *url);
static char *ngx_http_zapier_callback_receive(ngx_conf_t *cf);


char *
ngx_http_zapier_callback(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_loc_conf_t *zlcf = conf;

    uint32_t                          time;
    ngx_str_t                        *value, rest;
    ngx_http_zapier_main_conf_t      *zmcf;
    ngx_http_zapier_callback_conf_t  *callback;

    if (zlcf->callback != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0 && cf->args->nelts == 2) {
        zlcf->callback = NULL;
        return NGX_CONF_OK;
    }

    callback = ngx_pcalloc(cf->pool, sizeof(ngx_http_zapier_callback_conf_t));
    if (callback == NULL) {
        return NGX_CONF_ERROR;
    }

    zlcf->callback = callback;

    if (ngx_strcmp(value[1].data, "receive") == 0 && cf->args->nelts == 2) {
        callback->receive = 1;
        return ngx_http_zapier_callback_receive(cf);
    }

    if (ngx_http_zapier_callback_url(cf, &value[1], &callback->url)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    callback->patience = NGX_HTTP_ZAPIER_CALLBACK_PATIENCE;

    if (cf->args->nelts == 3) {

        if (!ngx_http_zapier_prefix(&value[2], "poll=", &rest)
            || ngx_http_zapier_time(&rest, NGX_HTTP_ZAPIER_CALLBACK_PATIENCE,
                                    &time)
               != NGX_OK)
        {
            return ngx_http_zapier_invalid(cf, &value[2],
                                           "\"poll=\" with a time from 1ms to "
                                           "60s is needed");
        }

        callback->patience = time;
    }

    zmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_zapier_module);

    ngx_http_zapier_mention(cf, &zmcf->callbacks.sent);
    ngx_http_zapier_mention(cf, &zlcf->needs_body);
    ngx_http_zapier_mention(cf, &zlcf->needs_wait);

    return NGX_CONF_OK;
}


/* Nothing that would have to be escaped in JSON. */

static char *
ngx_http_zapier_callback_url(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *url)
{
    size_t  i;
    u_char  ch;

    *url = *value;

    for (i = 0; i < url->len; i++) {
        ch = url->data[i];

        if (ch <= ' ' || ch >= 0x7f || ch == '"' || ch == '\\' || ch == '?'
            || ch == '#' || ch == '$')
        {
            break;
        }
    }

    if (i < url->len
        || url->len > NGX_HTTP_ZAPIER_CALLBACK_URL
        || (ngx_strncmp(url->data, "https://", 8) != 0
            && ngx_strncmp(url->data, "http://", 7) != 0))
    {
        return ngx_http_zapier_invalid(cf, value,
                                       "\"off\", \"receive\" or a URL without "
                                       "variables, query and fragment is "
                                       "needed, such as "
                                       "https://gateway.example.com/callback");
    }

    if (url->data[4] != 's') {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"%V\" of \"zapier_callback\" is no https URL: "
                           "Zapier calls no other", value);
    }

    while (url->data[url->len - 1] == '/') {
        url->len--;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_zapier_callback_receive(ngx_conf_t *cf)
{
    ngx_http_core_loc_conf_t     *clcf;
    ngx_http_zapier_main_conf_t  *zmcf;

    zmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_zapier_module);

    ngx_http_zapier_mention(cf, &zmcf->used);
    ngx_http_zapier_mention(cf, &zmcf->waited);
    ngx_http_zapier_mention(cf, &zmcf->callbacks.received);

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_zapier_callback_handler;

    return NGX_CONF_OK;
}


char *
ngx_http_zapier_callback_secret(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_zapier_main_conf_t *zmcf = conf;

    ngx_str_t  *value, secret, realm;

    if (zmcf->callbacks.ready) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_zapier_file_line(cf, &value[1], "\"zapier_callback_secret\"",
                             "the secret", &secret)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ngx_str_set(&realm, "callback");

    if (ngx_zapier_state_key(&secret, &realm, zmcf->callbacks.key)
        != NGX_OK)
    {
        return "needs nginx with OpenSSL";
    }

    zmcf->callbacks.ready = 1;

    return NGX_CONF_OK;
}


char *
ngx_http_zapier_callback_keys(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_main_conf_t *zmcf = conf;

    ngx_str_t   *value, rest;
    ngx_uint_t   i;

    if (zmcf->callbacks.keys.data != NULL) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0
        || value[1].data[0] != '/'
        || ngx_strlchr(value[1].data, value[1].data + value[1].len, '?')
           != NULL)
    {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "the URI of an internal location is "
                                       "needed, such as /zapier-keys");
    }

    zmcf->callbacks.keys = value[1];

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_http_zapier_prefix(&value[i], "issuer=", &rest)
            && rest.len != 0)
        {
            zmcf->callbacks.issuer = rest;
            continue;
        }

        if (ngx_http_zapier_prefix(&value[i], "audience=", &rest)
            && rest.len != 0)
        {
            zmcf->callbacks.audience = rest;
            continue;
        }

        return ngx_http_zapier_invalid(cf, &value[i],
                                       "\"issuer=\" or \"audience=\" is "
                                       "needed");
    }

    return NGX_CONF_OK;
}


void
ngx_http_zapier_callback_merge(ngx_conf_t *cf,
    ngx_http_zapier_loc_conf_t *prev, ngx_http_zapier_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    if (conf->callback == NGX_CONF_UNSET_PTR) {
        conf->callback = (prev->callback == NGX_CONF_UNSET_PTR
                          || prev->callback == NULL
                          || prev->callback->receive)
                         ? NULL : prev->callback;
        return;
    }

    if (conf->callback == NULL || !conf->callback->receive) {
        return;
    }

    /* the upstream has no tenant's rights here, and nothing is sent on */

    conf->tenant = NULL;

    /* a result is never read back from a file */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    clcf->client_body_buffer_size = ngx_max(clcf->client_body_buffer_size,
                                            NGX_HTTP_ZAPIER_WAIT_MAX);
}


ngx_int_t
ngx_http_zapier_callback_check(ngx_conf_t *cf,
    ngx_http_zapier_main_conf_t *zmcf)
{
    const char                   *lacking;
    ngx_http_zapier_mention_t    *mention;
    ngx_http_zapier_callbacks_t  *callbacks;

    callbacks = &zmcf->callbacks;

    mention = callbacks->received.name.data ? &callbacks->received
                                            : &callbacks->sent;

    if (mention->name.data == NULL) {
        return NGX_OK;
    }

    if (!callbacks->ready) {
        lacking = "zapier_callback_secret FILE";

    } else if (callbacks->received.name.data != NULL
               && callbacks->keys.data == NULL)
    {
        lacking = "zapier_callback_keys URI";

    } else {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"%V\" needs \"%s\" in the http block in %s:%ui",
                  &mention->name, lacking, mention->file, mention->line);

    return NGX_ERROR;
}
