
/*
 * The memory of the runner's calls: a pool of their own, so that a request
 * that waits for a run need not hold what the call has taken.
 */


#ifndef _NGX_HTTP_ZAPIER_CALL_H_INCLUDED_
#define _NGX_HTTP_ZAPIER_CALL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>


typedef ngx_int_t (*ngx_http_zapier_call_pt)(ngx_http_request_t *r,
    void *data, ngx_int_t rc);


/* Memory that is given back with that of the call; NULL: there is none. */
ngx_pool_t *ngx_http_zapier_call_memory(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/*
 * Makes a clone of r, a main request, whose end is told to done(clone, ctx,
 * rc).  What it allocates lives as long as r, or until it is released; calls
 * that follow each other share a pool.  NULL: no memory.
 */
ngx_http_request_t *ngx_http_zapier_call_create(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_http_zapier_call_pt done);

/*
 * The call is over, and nothing of its answer is on its way to the client:
 * gives its memory back.  What logs say of the call is kept; ctx->call,
 * ctx->text and ctx->envelope are NULL then.  If that is not possible nothing
 * is done.
 */
void ngx_http_zapier_call_release(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* The request is over: gives the memory of its calls back, if it has any. */
void ngx_http_zapier_call_destroy(ngx_http_zapier_ctx_t *ctx);


#endif /* _NGX_HTTP_ZAPIER_CALL_H_INCLUDED_ */
