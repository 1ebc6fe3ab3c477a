
/*
 * zapier_redis; its zapier_redis_ssl_* are read by nginx's own setters.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_directive.h>


static char *ngx_http_zapier_redis_option(ngx_conf_t *cf,
    ngx_http_zapier_main_conf_t *zmcf, ngx_str_t *value);
static char *ngx_http_zapier_redis_login(ngx_conf_t *cf,
    ngx_zapier_redis_conf_t *redis, ngx_str_t *value);


char *
ngx_http_zapier_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_main_conf_t *zmcf = conf;

    char        *rv;
    ngx_str_t   *value;
    ngx_uint_t   i;

    if (zmcf->redis.url.data != NULL) {
        return "is duplicate";
    }

    value = cf->args->elts;

    zmcf->redis.url = value[1];
    zmcf->redis.timeout = 200;
    zmcf->redis.connections = 1;
    ngx_str_set(&zmcf->prefix, "zapier:");

    ngx_http_zapier_mention(cf, &zmcf->store);

    for (i = 2; i < cf->args->nelts; i++) {
        rv = ngx_http_zapier_redis_option(cf, zmcf, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (zmcf->redis.user.len != 0 && zmcf->redis.password_file.len == 0) {
        return ngx_http_zapier_invalid(cf, &zmcf->redis.user,
                                       "\"user=\" needs \"password_file=\"");
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_zapier_redis_option(ngx_conf_t *cf,
    ngx_http_zapier_main_conf_t *zmcf, ngx_str_t *value)
{
    uint32_t   ms;
    ngx_int_t  n;
    ngx_str_t  rest;

    if (ngx_http_zapier_prefix(value, "timeout=", &rest)) {

        if (ngx_http_zapier_time(&rest, 60000, &ms) != NGX_OK) {
            return ngx_http_zapier_invalid(cf, value,
                                    "a time from 1ms to 60s is needed");
        }

        zmcf->redis.timeout = ms;
        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "connections=", &rest)) {
        n = ngx_atoi(rest.data, rest.len);

        if (n < 1 || n > 64) {
            return ngx_http_zapier_invalid(cf, value,
                                    "a number from 1 to 64 is needed");
        }

        zmcf->redis.connections = n;
        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "prefix=", &rest)) {

        /* a brace would become the hash tag of every key */

        if (rest.len > 64
            || ngx_strlchr(rest.data, rest.data + rest.len, '{') != NULL
            || ngx_strlchr(rest.data, rest.data + rest.len, '}') != NULL)
        {
            return ngx_http_zapier_invalid(cf, value,
                                    "at most 64 bytes without braces");
        }

        zmcf->prefix = rest;
        return NGX_CONF_OK;
    }

    return ngx_http_zapier_redis_login(cf, &zmcf->redis, value);
}


static char *
ngx_http_zapier_redis_login(ngx_conf_t *cf, ngx_zapier_redis_conf_t *redis,
    ngx_str_t *value)
{
    ngx_str_t  rest;

    if (ngx_http_zapier_prefix(value, "user=", &rest) && rest.len != 0) {
        redis->user = rest;
        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "password_file=", &rest)
        && rest.len != 0)
    {
        redis->password_file = rest;
        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "sentinel_user=", &rest)
        && rest.len != 0)
    {
        redis->sentinel_user = rest;
        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "sentinel_password_file=", &rest)
        && rest.len != 0)
    {
        redis->sentinel_password_file = rest;
        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "password=", &rest)
        || ngx_http_zapier_prefix(value, "sentinel_password=", &rest))
    {

        /* without the value: it would stand in the log */

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"zapier_redis\" knows no \"password=\", write "
                           "\"password_file=FILE\"");
        return NGX_CONF_ERROR;
    }

    return ngx_http_zapier_invalid(cf, value,
                                   "\"timeout=\", \"connections=\", "
                                   "\"prefix=\", \"user=\" or "
                                   "\"password_file=\" is needed");
}
