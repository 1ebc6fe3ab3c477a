
/*
 * Managed mode: the call is a subrequest, so that its answer can be looked
 * at before the client sees any of it.  ngx_http_zapier_handler.c decides
 * what is done, the runner calls and answers.
 */


#ifndef _NGX_HTTP_ZAPIER_RUNNER_H_INCLUDED_
#define _NGX_HTTP_ZAPIER_RUNNER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>


/*
 * Makes the call that r, a main request, is there for.
 *
 * NGX_AGAIN  phases are run again when it is over
 * other      status to finalize the request with
 */
ngx_int_t ngx_http_zapier_runner_start(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/*
 * The call may be over.
 *
 * NGX_OK     it is, and has to be made once more
 * NGX_AGAIN  it is not
 * NGX_DECLINED  it is, and its answer was kept for ctx->run
 * NGX_DONE   the client has its answer, r is gone
 * other      status to finalize the request with
 */
ngx_int_t ngx_http_zapier_runner_resume(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* The context that r, a subrequest, makes its call for; NULL: none. */
ngx_http_zapier_ctx_t *ngx_http_zapier_runner_ctx(ngx_http_request_t *r);

/* For the PRECONTENT phase of any subrequest. */
void ngx_http_zapier_runner_enter(ngx_http_request_t *r);

/*
 * For the header filter, with a call: is its answer kept from the client,
 * because the call is made once more?
 */
ngx_uint_t ngx_http_zapier_runner_withhold(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* For the header filter, after the others have seen the call's answer:
 * makes it the client's.  As ngx_http_send_header(). */
ngx_int_t ngx_http_zapier_runner_answer(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* Answers with what was kept of the call: its headers, and this body.
 * NGX_DONE. */
ngx_int_t ngx_http_zapier_runner_give(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_str_t *body);

/* For the body filter, with any subrequest: was the body swallowed? */
ngx_uint_t ngx_http_zapier_runner_body(ngx_http_request_t *r, ngx_chain_t *in);


#endif /* _NGX_HTTP_ZAPIER_RUNNER_H_INCLUDED_ */
