
/*
 * zapier_retry: which calls are made once more, and when.
 */


#ifndef _NGX_HTTP_ZAPIER_RETRY_H_INCLUDED_
#define _NGX_HTTP_ZAPIER_RETRY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>


/* Is the call r, which has its answer, or has failed, made once more?  Then
 * after ctx->retry_delay. */
ngx_uint_t ngx_http_zapier_retry_again(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* Has any byte of the last call been sent? */
ngx_uint_t ngx_http_zapier_retry_sent(ngx_http_zapier_ctx_t *ctx);

/* Waits until it is time; as ngx_http_zapier_hold(). */
ngx_int_t ngx_http_zapier_retry_wait(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* s that the answer says, 0: it does not; ngx_http_zapier_oauth_answer.c */
time_t ngx_http_zapier_retry_after(ngx_http_upstream_t *u);


#endif /* _NGX_HTTP_ZAPIER_RETRY_H_INCLUDED_ */
