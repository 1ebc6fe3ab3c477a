
/*
 * Setters of the directives of managed mode.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_directive.h>
#include <ngx_http_zapier_idem.h>
#include <ngx_http_zapier_run.h>


#define NGX_HTTP_ZAPIER_IDEM_TTL       (24 * 3600 * 1000)
#define NGX_HTTP_ZAPIER_IDEM_TTL_MAX   (14 * 24 * 3600 * 1000)

#define NGX_HTTP_ZAPIER_IDEM_REPLICAS_MAX  16

#define NGX_HTTP_ZAPIER_WAIT_TIME_MAX  3600000
#define NGX_HTTP_ZAPIER_WAIT_INTERVAL  1000


static ngx_conf_bitmask_t  ngx_http_zapier_retries[] = {
    { ngx_string("401"), NGX_HTTP_ZAPIER_RETRY_401 },
    { ngx_string("429"), NGX_HTTP_ZAPIER_RETRY_429 },
    { ngx_string("500"), NGX_HTTP_ZAPIER_RETRY_500 },
    { ngx_string("502"), NGX_HTTP_ZAPIER_RETRY_502 },
    { ngx_string("503"), NGX_HTTP_ZAPIER_RETRY_503 },
    { ngx_string("504"), NGX_HTTP_ZAPIER_RETRY_504 },
    { ngx_string("connect"), NGX_HTTP_ZAPIER_RETRY_CONNECT },
    { ngx_null_string, 0 }
};


static char *ngx_http_zapier_wait_parameter(ngx_conf_t *cf,
    ngx_str_t *value, ngx_http_zapier_wait_conf_t *wait);
static char *ngx_http_zapier_idempotency_parameter(ngx_conf_t *cf,
    ngx_str_t *value, ngx_http_zapier_idem_conf_t *idem);


char *
ngx_http_zapier_retry(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_loc_conf_t *zlcf = conf;

    uint32_t     time;
    ngx_str_t   *value, rest;
    ngx_uint_t   i, n;

    if (zlcf->retry != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    zlcf->retry = 0;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        return NGX_CONF_OK;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_http_zapier_prefix(&value[i], "deadline=", &rest)) {

            if (ngx_http_zapier_time(&rest, NGX_HTTP_ZAPIER_WAIT_TIME_MAX,
                                     &time)
                != NGX_OK)
            {
                return ngx_http_zapier_invalid(cf, &value[i],
                                               "a time from 1ms to 1h is "
                                               "needed");
            }

            zlcf->retry_time = time;
            continue;
        }

        for (n = 0; ngx_http_zapier_retries[n].name.len != 0; n++) {
            if (ngx_strcmp(value[i].data,
                           ngx_http_zapier_retries[n].name.data)
                == 0)
            {
                break;
            }
        }

        if (ngx_http_zapier_retries[n].name.len == 0) {
            return ngx_http_zapier_invalid(cf, &value[i],
                                           "\"401\", \"429\", \"500\", "
                                           "\"502\", \"503\", \"504\", "
                                           "\"connect\", \"deadline=\" or "
                                           "\"off\" is needed");
        }

        if (zlcf->retry & ngx_http_zapier_retries[n].mask) {
            return ngx_http_zapier_invalid(cf, &value[i], "it is there twice");
        }

        zlcf->retry |= ngx_http_zapier_retries[n].mask;
    }

    ngx_http_zapier_mention(cf, &zlcf->needs_tenant);

    if (zlcf->retry & NGX_HTTP_ZAPIER_RETRY_401) {
        ngx_http_zapier_mention(cf, &zlcf->needs_refresh);
    }

    return NGX_CONF_OK;
}


char *
ngx_http_zapier_wait(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_loc_conf_t *zlcf = conf;

    uint32_t                      time;
    ngx_str_t                    *value;
    ngx_uint_t                    i;
    ngx_http_zapier_main_conf_t  *zmcf;
    ngx_http_zapier_wait_conf_t  *wait;

    if (zlcf->wait != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        zlcf->wait = NULL;

        return (cf->args->nelts == 2)
               ? NGX_CONF_OK
               : ngx_http_zapier_invalid(cf, &value[2],
                                         "\"off\" stands alone");
    }

    if (ngx_http_zapier_time(&value[1], NGX_HTTP_ZAPIER_WAIT_TIME_MAX, &time)
        != NGX_OK)
    {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "\"off\" or a time from 1ms to 1h is "
                                       "needed");
    }

    wait = ngx_pcalloc(cf->pool, sizeof(ngx_http_zapier_wait_conf_t));
    if (wait == NULL) {
        return NGX_CONF_ERROR;
    }

    wait->time = time;
    wait->interval = NGX_HTTP_ZAPIER_WAIT_INTERVAL;
    wait->keep = NGX_HTTP_ZAPIER_WAIT_KEEP;
    wait->max = NGX_HTTP_ZAPIER_WAIT_MAX;

    for (i = 2; i < cf->args->nelts; i++) {
        if (ngx_http_zapier_wait_parameter(cf, &value[i], wait)
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    zlcf->wait = wait;

    ngx_http_zapier_mention(cf, &zlcf->needs_tenant);

    zmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_zapier_module);

    ngx_http_zapier_mention(cf, &zmcf->waited);

    return NGX_CONF_OK;
}


static char *
ngx_http_zapier_wait_parameter(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_zapier_wait_conf_t *wait)
{
    ssize_t    size;
    uint32_t   time;
    ngx_str_t  rest;

    if (ngx_http_zapier_prefix(value, "interval=", &rest)) {

        if (ngx_http_zapier_time(&rest, 60000, &time) != NGX_OK || time < 10) {
            return ngx_http_zapier_invalid(cf, value,
                                           "a time from 10ms to 60s is "
                                           "needed");
        }

        wait->interval = time;
        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "keep=", &rest)) {

        if (ngx_http_zapier_time(&rest, NGX_HTTP_ZAPIER_WAIT_KEEP, &time)
            != NGX_OK)
        {
            return ngx_http_zapier_invalid(cf, value,
                                           "a time from 1ms to 7d is needed");
        }

        wait->keep = time;
        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "max=", &rest)) {
        size = ngx_parse_size(&rest);

        if (size < 1 || size > NGX_HTTP_ZAPIER_WAIT_MAX) {
            return ngx_http_zapier_invalid(cf, value,
                                           "a size from 1 to 1023k is "
                                           "needed");
        }

        wait->max = size;
        return NGX_CONF_OK;
    }

    return ngx_http_zapier_invalid(cf, value,
                                   "\"interval=\", \"keep=\" or \"max=\" "
                                   "is needed");
}


char *
ngx_http_zapier_idempotency(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_loc_conf_t *zlcf = conf;

    ngx_str_t                    *value;
    ngx_uint_t                    i;
    ngx_http_zapier_main_conf_t  *zmcf;
    ngx_http_zapier_idem_conf_t  *idem;

    if (zlcf->idem != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        zlcf->idem = NULL;

        return (cf->args->nelts == 2)
               ? NGX_CONF_OK
               : ngx_http_zapier_invalid(cf, &value[2],
                                         "\"off\" stands alone");
    }

    if (ngx_strcmp(value[1].data, "on") != 0) {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "\"on\" or \"off\" is needed");
    }

    idem = ngx_pcalloc(cf->pool, sizeof(ngx_http_zapier_idem_conf_t));
    if (idem == NULL) {
        return NGX_CONF_ERROR;
    }

    idem->ttl = NGX_HTTP_ZAPIER_IDEM_TTL;

    for (i = 2; i < cf->args->nelts; i++) {
        if (ngx_http_zapier_idempotency_parameter(cf, &value[i], idem)
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    zlcf->idem = idem;

    ngx_http_zapier_mention(cf, &zlcf->needs_tenant);

    zmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_zapier_module);

    ngx_http_zapier_mention(cf, &zmcf->waited);

    return NGX_CONF_OK;
}


static char *
ngx_http_zapier_idempotency_parameter(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_zapier_idem_conf_t *idem)
{
    uint32_t   time;
    ngx_int_t  n;
    ngx_str_t  rest;

    if (ngx_strcmp(value->data, "required") == 0) {
        idem->required = 1;
        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "ttl=", &rest)) {

        if (ngx_http_zapier_time(&rest, NGX_HTTP_ZAPIER_IDEM_TTL_MAX, &time)
            != NGX_OK)
        {
            return ngx_http_zapier_invalid(cf, value,
                                           "a time from 1ms to 14d is "
                                           "needed");
        }

        idem->ttl = time;
        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "replicas=", &rest)) {
        n = ngx_atoi(rest.data, rest.len);

        if (n < 1 || n > NGX_HTTP_ZAPIER_IDEM_REPLICAS_MAX) {
            return ngx_http_zapier_invalid(cf, value,
                                           "a number from 1 to 16 is needed");
        }

        idem->replicas = n;
        return NGX_CONF_OK;
    }

    return ngx_http_zapier_invalid(cf, value,
                                   "\"ttl=\", \"replicas=\" or "
                                   "\"required\" is needed");
}
