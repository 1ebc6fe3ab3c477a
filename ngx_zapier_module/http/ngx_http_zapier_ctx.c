
/*
 * The request's context and its end.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_action.h>
#include <ngx_http_zapier_bulk.h>
#include <ngx_http_zapier_call.h>
#include <ngx_http_zapier_idem.h>
#include <ngx_http_zapier_run.h>
#include <ngx_http_zapier_secret.h>
#include <ngx_zapier_wipe.h>


static void ngx_http_zapier_cleanup(void *data);
static void ngx_http_zapier_forget(ngx_http_zapier_ctx_t *ctx);


ngx_http_zapier_ctx_t *
ngx_http_zapier_get_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t     *cln;
    ngx_http_zapier_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_zapier_module);

    if (ctx != NULL || (!r->internal && !r->filter_finalize)) {
        return ctx;
    }

    /*
     * error_page, X-Accel-Redirect and named locations wipe r->ctx, but
     * what the request holds must still be settled
     */

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler == ngx_http_zapier_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


ngx_http_zapier_ctx_t *
ngx_http_zapier_create_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t     *cln;
    ngx_http_zapier_ctx_t  *ctx;

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_zapier_ctx_t));
    if (ctx == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    ctx->request = r;
    ctx->since = ngx_current_msec;

    cln->handler = ngx_http_zapier_cleanup;
    cln->data = ctx;

    ngx_http_set_ctx(r, ctx, ngx_http_zapier_module);

    return ctx;
}


/*
 * Redirected here with a call behind it: that one is settled before
 * r->upstream is used again, this one starts afresh.
 */

ngx_int_t
ngx_http_zapier_redirected(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_http_zapier_loc_conf_t  *zlcf;

    ngx_http_zapier_limit_settle(r, ctx);

    /* another proxy_pass will take the place of this one */

    ngx_http_zapier_bearer(ctx, NULL);

    /* it looks at what was sent */

    ngx_http_zapier_idem_end(ctx);
    ngx_http_zapier_bulk_cancel(ctx);

    ctx->state = NGX_HTTP_ZAPIER_START;
    ctx->token.authorization.len = 0;
    ctx->refused.len = 0;
    ctx->attempts = 0;
    ctx->call = NULL;

    ctx->run = NULL;
    ctx->idem = NULL;
    ctx->naming = NULL;

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    if (zlcf->tenant != NULL) {
        ctx->limited = 0;
        ctx->observed = 0;
        ctx->claim.nscopes = 0;

        ngx_http_set_ctx(r, ctx, ngx_http_zapier_module);

        return NGX_OK;
    }

    return ctx->identified ? ngx_http_zapier_auth_identify(r, ctx) : NGX_OK;
}


ngx_int_t
ngx_http_zapier_hold(ngx_http_request_t *r)
{
    ngx_event_t  *rev;

    rev = r->connection->read;

    /* notices a client that goes away meanwhile */

    if (rev->ready) {
        ngx_post_event(rev, &ngx_posted_events);

    } else if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    return NGX_AGAIN;
}


void
ngx_http_zapier_resume(ngx_http_request_t *r)
{
    ngx_connection_t  *c;

    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_http_core_run_phases(r);

    /* r may be gone */

    ngx_http_run_posted_requests(c);
}


void
ngx_http_zapier_bearer(ngx_http_zapier_ctx_t *ctx, ngx_http_request_t *r)
{
    if (ctx->bearer != r) {
        ngx_http_zapier_forget(ctx);
        ctx->bearer = r;
    }

    if (r != NULL) {
        ngx_http_zapier_secret(r);
    }
}


/* proxy_pass has put the header into one buffer, before the body. */

static void
ngx_http_zapier_forget(ngx_http_zapier_ctx_t *ctx)
{
    ngx_buf_t            *b;
    ngx_http_upstream_t  *u;

    u = ctx->bearer ? ctx->bearer->upstream : NULL;

    if (u == NULL || u->request_bufs == NULL) {
        return;
    }

    b = u->request_bufs->buf;

    if (b->temporary) {
        ngx_zapier_wipe(b->start, b->last - b->start);
    }
}


static void
ngx_http_zapier_cleanup(void *data)
{
    ngx_http_zapier_ctx_t *ctx = data;

    ngx_http_zapier_main_conf_t  *zmcf;

    ngx_http_zapier_forget(ctx);

    /* the client has gone, or a timeout has ended the request */

    ngx_http_zapier_run_cancel(ctx);
    ngx_http_zapier_action_cancel(ctx);
    ngx_http_zapier_idem_end(ctx);
    ngx_http_zapier_bulk_cancel(ctx);

    if (ctx->retry_event.timer_set) {
        ngx_del_timer(&ctx->retry_event);
    }

    if (ctx->state == NGX_HTTP_ZAPIER_TOKEN_WAIT) {
        ngx_zapier_token_cancel(&ctx->token);
    }

    if (ctx->state == NGX_HTTP_ZAPIER_LIMIT_WAIT) {
        zmcf = ngx_http_get_module_main_conf(ctx->request,
                                             ngx_http_zapier_module);

        if (ctx->waiter != NULL) {
            ngx_zapier_limit_queue_cancel(ctx->waiter);

        } else {
            ngx_zapier_limit_cancel(&zmcf->limits, &ctx->claim);
        }
    }

    /* an item's end looks at its call, and comes after this */

    if (ctx->item == NULL) {
        ngx_http_zapier_call_destroy(ctx);
    }
}
