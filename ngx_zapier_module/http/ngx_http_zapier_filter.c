
/*
 * The answer on its way back, and the end of the request.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_bulk.h>
#include <ngx_http_zapier_idem.h>
#include <ngx_http_zapier_oauth.h>
#include <ngx_http_zapier_queue.h>
#include <ngx_http_zapier_run.h>
#include <ngx_http_zapier_runner.h>


static ngx_int_t ngx_http_zapier_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_zapier_subrequest_header(ngx_http_request_t *r);
static ngx_int_t ngx_http_zapier_output_filter(ngx_http_request_t *r,
    ngx_chain_t *in);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


ngx_int_t
ngx_http_zapier_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_zapier_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_zapier_output_filter;

    return NGX_OK;
}


static ngx_int_t
ngx_http_zapier_header_filter(ngx_http_request_t *r)
{
    ngx_http_zapier_ctx_t  *ctx;

    if (r != r->main) {
        return ngx_http_zapier_subrequest_header(r);
    }

    ctx = ngx_http_zapier_get_ctx(r);

    if (ctx == NULL) {
        return ngx_http_next_header_filter(r);
    }

    if (ctx->state == NGX_HTTP_ZAPIER_PASSED) {
        (void) ngx_http_zapier_refused(r, ctx);
    }

    if (ngx_zapier_unlikely(ctx->poll != NULL)) {
        ngx_http_zapier_limit_observe(r, ctx);
        return ngx_http_zapier_poll_header(r, ctx);
    }

    if (ngx_zapier_unlikely(ctx->item != NULL)) {
        ngx_http_zapier_limit_observe(r, ctx);
        return ngx_http_zapier_item_header(r, ctx);
    }

    if (ctx->claim.nscopes == 0) {
        return (ngx_http_zapier_queue_headers(r, ctx) == NGX_OK)
               ? ngx_http_next_header_filter(r) : NGX_ERROR;
    }

    ngx_http_zapier_limit_observe(r, ctx);

    if (ngx_http_zapier_limit_headers(r, ctx) != NGX_OK
        || ngx_http_zapier_queue_headers(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_zapier_subrequest_header(ngx_http_request_t *r)
{
    ngx_int_t               rc;
    ngx_http_zapier_ctx_t  *ctx;

    ctx = ngx_http_zapier_runner_ctx(r);

    if (ctx == NULL) {

        if (ngx_http_zapier_oauth_header(r) != NGX_OK) {
            return NGX_ERROR;
        }

        return ngx_http_next_header_filter(r);
    }

    ngx_http_zapier_idem_observe(r, ctx);

    /* the body is read to its end and swallowed, for keepalive's sake */

    if (ngx_http_zapier_runner_withhold(r, ctx)
        || ngx_http_zapier_run_capture(r, ctx))
    {
        return NGX_OK;
    }

    rc = ngx_http_next_header_filter(r);

    if (rc == NGX_ERROR || rc > NGX_OK) {
        return rc;
    }

    return ngx_http_zapier_runner_answer(r, ctx);
}


static ngx_int_t
ngx_http_zapier_output_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_zapier_ctx_t  *ctx;

    if (r != r->main) {
        return ngx_http_zapier_runner_body(r, in)
               ? NGX_OK : ngx_http_next_body_filter(r, in);
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_zapier_module);

    /* there is no client behind these, not even after an error_page */

    if (ctx == NULL && r->internal) {
        ctx = ngx_http_zapier_get_ctx(r);
    }

    if (ctx != NULL && ctx->poll != NULL) {
        ngx_http_zapier_poll_body(ctx, in);
        return NGX_OK;
    }

    if (ctx != NULL && ctx->item != NULL) {
        ngx_http_zapier_item_body(ctx, in);
        return NGX_OK;
    }

    return ngx_http_next_body_filter(r, in);
}


/* A token that the upstream does not take is refreshed by who comes next. */

ngx_int_t
ngx_http_zapier_refused(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_http_upstream_t          *u;
    ngx_http_zapier_main_conf_t  *zmcf;

    u = r->upstream;

    if (u == NULL || u->headers_in.status_n != NGX_HTTP_UNAUTHORIZED) {
        return NGX_DECLINED;
    }

#if (NGX_HTTP_CACHE)
    if (r->cached) {
        return NGX_DECLINED;
    }
#endif

    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    return ngx_zapier_token_refused(zmcf->tokens, &ctx->token);
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
