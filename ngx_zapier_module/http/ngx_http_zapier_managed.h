
/*
 * Steps of the PRECONTENT phase, see ngx_http_zapier_handler.c.  They all
 * return what the phase handler is to return.
 */


#ifndef _NGX_HTTP_ZAPIER_MANAGED_H_INCLUDED_
#define _NGX_HTTP_ZAPIER_MANAGED_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>


/* Are calls of this request made by the runner?  Polls are made again by
 * who has started them. */
#define ngx_http_zapier_managed(zlcf, ctx)                                   \
    ((ctx)->poll == NULL                                                     \
     && (ngx_zapier_unlikely((zlcf)->retry != 0)                             \
         || ngx_zapier_unlikely((ctx)->run != NULL)                          \
         || ngx_zapier_unlikely((ctx)->idem != NULL)))


/* ngx_http_zapier_handler.c */

ngx_int_t ngx_http_zapier_start_call(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
ngx_int_t ngx_http_zapier_start_token(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);


/* ngx_http_zapier_managed.c */

/* What is known of the call before a token is spent on it; NGX_OK: go on. */
ngx_int_t ngx_http_zapier_recall(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
ngx_int_t ngx_http_zapier_start_runner(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
ngx_int_t ngx_http_zapier_check_call(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
ngx_int_t ngx_http_zapier_check_idem(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
ngx_int_t ngx_http_zapier_check_run(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);


#endif /* _NGX_HTTP_ZAPIER_MANAGED_H_INCLUDED_ */
