
/*
 * Setters of the directives of managed mode.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_directive.h>


char *
ngx_http_zapier_retry(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_loc_conf_t *zlcf = conf;

    ngx_str_t   *value;
    ngx_uint_t   i;

    if (zlcf->retry != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    zlcf->retry = 0;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        return NGX_CONF_OK;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strcmp(value[i].data, "401") != 0) {
            return ngx_http_zapier_invalid(cf, &value[i],
                                           "\"401\" or \"off\" is needed");
        }

        if (zlcf->retry & NGX_HTTP_ZAPIER_RETRY_401) {
            return ngx_http_zapier_invalid(cf, &value[i], "it is there twice");
        }

        zlcf->retry |= NGX_HTTP_ZAPIER_RETRY_401;
    }

    ngx_http_zapier_mention(cf, &zlcf->needs_tenant);
    ngx_http_zapier_mention(cf, &zlcf->needs_refresh);

    return NGX_CONF_OK;
}
