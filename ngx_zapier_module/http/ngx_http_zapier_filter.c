
/*
 * The answer on its way back, and the end of the request.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>


static ngx_int_t ngx_http_zapier_header_filter(ngx_http_request_t *r);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


ngx_int_t
ngx_http_zapier_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_zapier_header_filter;

    return NGX_OK;
}


static ngx_int_t
ngx_http_zapier_header_filter(ngx_http_request_t *r)
{
    ngx_http_zapier_ctx_t  *ctx;

    if (r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    ctx = ngx_http_zapier_get_ctx(r);

    if (ctx == NULL || ctx->claim.nscopes == 0) {
        return ngx_http_next_header_filter(r);
    }

    ngx_http_zapier_limit_observe(r, ctx);

    if (ngx_http_zapier_limit_headers(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


ngx_int_t
ngx_http_zapier_log_handler(ngx_http_request_t *r)
{
    ngx_http_zapier_ctx_t  *ctx;

    if (r != r->main) {
        return NGX_OK;
    }

    ctx = ngx_http_zapier_get_ctx(r);

    if (ctx != NULL) {
        ctx->logged = 1;
        ngx_http_zapier_limit_settle(r, ctx);
    }

    return NGX_OK;
}
