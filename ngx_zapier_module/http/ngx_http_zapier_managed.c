
/*
 * The steps of the PRECONTENT phase that only managed mode has: calls by
 * the runner, idempotency keys, and waiting for runs.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_action.h>
#include <ngx_http_zapier_idem.h>
#include <ngx_http_zapier_managed.h>
#include <ngx_http_zapier_retry.h>
#include <ngx_http_zapier_run.h>
#include <ngx_http_zapier_runner.h>


ngx_int_t
ngx_http_zapier_recall(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ngx_zapier_unlikely(ctx->idem != NULL)) {
        rc = ngx_http_zapier_idem_look(r, ctx);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return ngx_zapier_unlikely(ctx->naming != NULL)
           ? ngx_http_zapier_action_entry(r, ctx) : NGX_OK;
}


ngx_int_t
ngx_http_zapier_start_runner(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ctx->idem != NULL) {
        rc = ngx_http_zapier_idem_begin(r, ctx);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return ngx_http_zapier_runner_start(r, ctx);
}


ngx_int_t
ngx_http_zapier_check_call(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_zapier_runner_resume(r, ctx);

    if (rc != NGX_OK && rc != NGX_DECLINED) {
        return rc;
    }

    ngx_http_zapier_limit_settle(r, ctx);

    if (rc == NGX_DECLINED) {
        return ngx_http_zapier_run_called(r, ctx);
    }

    if (ctx->retry_delay != 0) {
        return ngx_http_zapier_retry_wait(r, ctx);
    }

    /* the quota is asked anew: this is one more call */

    return ngx_http_zapier_start_token(r, ctx);
}


ngx_int_t
ngx_http_zapier_check_idem(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_zapier_idem_result(r, ctx);

    if (rc != NGX_OK) {
        return rc;
    }

    switch (ctx->idem->stage) {

    case NGX_HTTP_ZAPIER_IDEM_LOOK:
        return ngx_http_zapier_start_token(r, ctx);

    case NGX_HTTP_ZAPIER_IDEM_BEGIN:
        return ngx_http_zapier_runner_start(r, ctx);

    default: /* NGX_HTTP_ZAPIER_IDEM_STORE */
        return ngx_http_zapier_run_called(r, ctx);
    }
}


ngx_int_t
ngx_http_zapier_check_run(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_zapier_run_answer(r, ctx);

    return (rc == NGX_DECLINED) ? ngx_http_zapier_start_call(r, ctx) : rc;
}
