
/*
 * Stands in until the real file is here (helper "oauth" replaces it).
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>


ngx_int_t
ngx_http_zapier_oauth_call(ngx_zapier_oauth_t *oauth,
    ngx_zapier_oauth_call_t *call)
{
    return NGX_ERROR;
}
