
/*
 * zapier_retry: which calls are made once more, and when.
 *
 * A POST is repeated only if the call before has done nothing: it was
 * refused with a 401, with a 429 or 503 that says when to come again, or
 * not a byte of it was sent.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_bulk.h>
#include <ngx_http_zapier_retry.h>
#include <ngx_http_zapier_run.h>


/* calls of one request, at most */
#define NGX_HTTP_ZAPIER_RETRY_CALLS  5

/* ms before the second call, if the upstream does not say; then doubled */
#define NGX_HTTP_ZAPIER_RETRY_DELAY  100


static ngx_uint_t ngx_http_zapier_retry_worth(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_uint_t mask);
static ngx_uint_t ngx_http_zapier_retry_delay(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_uint_t mask);
static void ngx_http_zapier_retry_handler(ngx_event_t *ev);


ngx_uint_t
ngx_http_zapier_retry_again(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_uint_t                   status;
    ngx_http_zapier_loc_conf_t  *zlcf;

    zlcf = ngx_http_get_module_loc_conf(r->main, ngx_http_zapier_module);

    ctx->retry_delay = 0;

    /* a token that is new and refused as well is no reason to go on */

    if (ngx_http_zapier_refused(r, ctx) == NGX_OK) {

        if (!(zlcf->retry & NGX_HTTP_ZAPIER_RETRY_401)
            || ctx->refused.len != 0)
        {
            return 0;
        }

        ctx->refused = ctx->token.authorization;

        return 1;
    }

    if (r->upstream == NULL) {
        return 0;
    }

    status = r->upstream->headers_in.status_n;

    switch (status) {

    case 0:
        return ngx_http_zapier_retry_worth(r, ctx,
                                           zlcf->retry
                                           & NGX_HTTP_ZAPIER_RETRY_CONNECT);

    case NGX_HTTP_TOO_MANY_REQUESTS:
        return ngx_http_zapier_retry_worth(r, ctx,
                                           zlcf->retry
                                           & NGX_HTTP_ZAPIER_RETRY_429);

    case NGX_HTTP_SERVICE_UNAVAILABLE:
        return ngx_http_zapier_retry_worth(r, ctx,
                                           zlcf->retry
                                           & NGX_HTTP_ZAPIER_RETRY_503);

    case NGX_HTTP_INTERNAL_SERVER_ERROR:
        return ngx_http_zapier_retry_worth(r, ctx,
                                           zlcf->retry
                                           & NGX_HTTP_ZAPIER_RETRY_500);

    case NGX_HTTP_BAD_GATEWAY:
        return ngx_http_zapier_retry_worth(r, ctx,
                                           zlcf->retry
                                           & NGX_HTTP_ZAPIER_RETRY_502);

    case NGX_HTTP_GATEWAY_TIME_OUT:
        return ngx_http_zapier_retry_worth(r, ctx,
                                           zlcf->retry
                                           & NGX_HTTP_ZAPIER_RETRY_504);

    default:
        return 0;
    }
}


static ngx_uint_t
ngx_http_zapier_retry_worth(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx,
    ngx_uint_t mask)
{
    if (mask == 0 || ctx->attempts + 1 >= NGX_HTTP_ZAPIER_RETRY_CALLS) {
        return 0;
    }

    if (mask == NGX_HTTP_ZAPIER_RETRY_CONNECT
        && ngx_http_zapier_retry_sent(ctx))
    {
        return 0;
    }

    if ((mask & NGX_HTTP_ZAPIER_RETRY_UNKNOWN)
        && !(r->main->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)))
    {
        return 0;
    }

    return ngx_http_zapier_retry_delay(r, ctx, mask);
}


/* 0: it would be too late. */

static ngx_uint_t
ngx_http_zapier_retry_delay(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx,
    ngx_uint_t mask)
{
    time_t                       seconds;
    uint64_t                     delay;
    ngx_msec_t                   left, passed;
    ngx_http_zapier_loc_conf_t  *zlcf;

    if (mask & (NGX_HTTP_ZAPIER_RETRY_429|NGX_HTTP_ZAPIER_RETRY_503)) {
        seconds = ngx_http_zapier_retry_after(r->upstream);

        if (seconds == 0) {
            return 0;
        }

        delay = (uint64_t) seconds * 1000 + ngx_random() % 100;

    } else {
        delay = (uint64_t) NGX_HTTP_ZAPIER_RETRY_DELAY << ctx->attempts;
        delay += ngx_random() % delay;
    }

    if (ctx->run != NULL) {
        left = ngx_http_zapier_run_left(ctx->run);

    } else {
        zlcf = ngx_http_get_module_loc_conf(r->main, ngx_http_zapier_module);

        passed = ngx_current_msec - ctx->since;
        left = (passed < zlcf->retry_time) ? zlcf->retry_time - passed : 0;
    }

    left = ngx_http_zapier_bulk_left(ctx, left);

    if (delay >= left) {
        return 0;
    }

    ctx->retry_delay = (ngx_msec_t) delay;

    return 1;
}


/* Has any byte of the last call left? */

ngx_uint_t
ngx_http_zapier_retry_sent(ngx_http_zapier_ctx_t *ctx)
{
    ngx_uint_t                  i;
    ngx_http_request_t         *r;
    ngx_http_upstream_state_t  *state;

    r = ctx->call;

    if (r == NULL) {
        return 0;
    }

    if (r->upstream != NULL && r->upstream->request_sent) {
        return 1;
    }

    if (r->upstream_states == NULL) {
        return 0;
    }

    state = r->upstream_states->elts;

    for (i = ctx->call_states; i < r->upstream_states->nelts; i++) {
        if (state[i].bytes_sent > 0) {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_http_zapier_retry_wait(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_event_t  *ev;

    ev = &ctx->retry_event;

    ngx_memzero(ev, sizeof(ngx_event_t));

    ev->handler = ngx_http_zapier_retry_handler;
    ev->data = ctx;
    ev->log = ngx_cycle->log;

    ngx_add_timer(ev, ctx->retry_delay);

    ctx->state = NGX_HTTP_ZAPIER_RETRY_WAIT;

    return ngx_http_zapier_hold(r);
}


static void
ngx_http_zapier_retry_handler(ngx_event_t *ev)
{
    ngx_http_zapier_ctx_t *ctx = ev->data;

    ctx->state = NGX_HTTP_ZAPIER_TOKEN;

    ngx_http_zapier_resume(ctx->request);
}
