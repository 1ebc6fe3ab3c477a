
/*
 * The runner of managed mode.
 *
 *     start -> subrequest -> withhold -> done -> resume: once more
 *                         -> answer   -> done -> resume: the end
 *
 * The subrequest is a clone: it goes on behind our handler in the very
 * location that the request is in, and proxy_pass does there what it would
 * have done anyway.  What it passes on is streamed to the client.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_bulk.h>
#include <ngx_http_zapier_call.h>
#include <ngx_http_zapier_idem.h>
#include <ngx_http_zapier_retry.h>
#include <ngx_http_zapier_run.h>
#include <ngx_http_zapier_runner.h>


static ngx_int_t ngx_http_zapier_runner_done(ngx_http_request_t *r,
    void *data, ngx_int_t rc);
static void ngx_http_zapier_runner_headers(ngx_http_request_t *r);
static void ngx_http_zapier_runner_list(ngx_list_t *dst, ngx_list_t *src);


ngx_int_t
ngx_http_zapier_runner_start(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_http_request_t  *sr;

    sr = ngx_http_zapier_call_create(r, ctx, ngx_http_zapier_runner_done);
    if (sr == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* calls are counted, and logged, over all attempts */

    sr->upstream_states = r->upstream_states;

    /* a spooled body is wanted again */

    r->preserve_body = 1;

    ctx->call = sr;
    ctx->call_done = 0;
    ctx->again = 0;
    ctx->entered = 0;
    ctx->complete = 0;
    ctx->text = NULL;
    ctx->call_states = r->upstream_states ? r->upstream_states->nelts : 0;

    ctx->state = NGX_HTTP_ZAPIER_CALL_WAIT;

    if (ctx->idem != NULL) {
        ngx_http_zapier_idem_shelter(ctx);
    }

    return NGX_AGAIN;
}


ngx_int_t
ngx_http_zapier_runner_resume(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (!ctx->call_done) {
        return NGX_AGAIN;
    }

    if (ctx->again) {
        return NGX_OK;
    }

    if (ctx->text != NULL) {
        return NGX_DECLINED;
    }

    if (!r->header_sent) {

        /* error_page applies here as it does without a runner */

        return (ctx->call_rc >= NGX_HTTP_SPECIAL_RESPONSE)
               ? ctx->call_rc : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = NGX_OK;

    if (!r->header_only) {

        /* what the upstream has cut off must not look like a whole answer */

        if (!ctx->complete) {
            r->keepalive = 0;
        }

        rc = ngx_http_send_special(r, ctx->complete ? NGX_HTTP_LAST
                                                    : NGX_HTTP_FLUSH);
    }

    ngx_http_finalize_request(r, rc);

    return NGX_DONE;
}


/* May be called more than once, while the client is slow. */

static ngx_int_t
ngx_http_zapier_runner_done(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_zapier_ctx_t *ctx = data;

    /* the client has gone: the main request ends with this */

    if (rc == NGX_ERROR
        || rc == NGX_HTTP_REQUEST_TIME_OUT
        || rc == NGX_HTTP_CLIENT_CLOSED_REQUEST
        || r->connection->error)
    {
        return rc;
    }

    r->main->upstream_states = r->upstream_states;
    r->main->upstream = r->upstream;

    /* nginx would answer: proxy_intercept_errors, a failed upstream */

    if (!ctx->call_done
        && !r->header_sent
        && !ctx->again
        && !ngx_http_zapier_runner_withhold(r, ctx))
    {
        ngx_http_zapier_runner_headers(r);
    }

    ctx->call_done = 1;
    ctx->call_rc = rc;

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? NGX_OK : rc;
}


ngx_http_zapier_ctx_t *
ngx_http_zapier_runner_ctx(ngx_http_request_t *r)
{
    if (r->post_subrequest == NULL
        || r->post_subrequest->handler != ngx_http_zapier_runner_done)
    {
        return NULL;
    }

    return r->post_subrequest->data;
}


void
ngx_http_zapier_runner_enter(ngx_http_request_t *r)
{
    ngx_http_zapier_ctx_t  *ctx;

    ctx = ngx_http_zapier_runner_ctx(r);

    if (ctx == NULL) {
        return;
    }

    /* X-Accel-Redirect leads to who knows where: not with a token */

    if (ctx->entered) {
        ctx->token.authorization.len = 0;
    }

    ctx->entered = 1;
}


ngx_uint_t
ngx_http_zapier_runner_withhold(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_http_zapier_limit_observe(r, ctx);

    if (!ngx_http_zapier_retry_again(r, ctx)) {
        return 0;
    }

    ctx->again = 1;
    ctx->attempts++;

    return 1;
}


ngx_int_t
ngx_http_zapier_runner_answer(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_int_t  rc;

    ngx_http_zapier_runner_headers(r);

    /* $upstream_* and the filters see what they are used to */

    r->main->upstream_states = r->upstream_states;
    r->main->upstream = r->upstream;

    rc = ngx_http_send_header(r->main);

    r->header_only = r->main->header_only;

    return rc;
}


ngx_int_t
ngx_http_zapier_runner_give(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx,
    ngx_str_t *body)
{
    ngx_http_zapier_runner_headers(ctx->call);

    ngx_http_clear_content_length(r);

    return ngx_http_zapier_run_send(r, ctx, r->headers_out.status,
                                    &r->headers_out.content_type, body);
}


static void
ngx_http_zapier_runner_headers(ngx_http_request_t *r)
{
    ngx_http_headers_out_t  *out;

    out = &r->main->headers_out;

    *out = r->headers_out;

    ngx_http_zapier_runner_list(&out->headers, &r->headers_out.headers);
    ngx_http_zapier_runner_list(&out->trailers, &r->headers_out.trailers);

    r->main->allow_ranges = r->allow_ranges;
    r->main->single_range = r->single_range;
    r->main->disable_not_modified = r->disable_not_modified;
}


/* The first part of a list is inside of it. */

static void
ngx_http_zapier_runner_list(ngx_list_t *dst, ngx_list_t *src)
{
    if (src->last == &src->part) {
        dst->last = &dst->part;
    }
}


ngx_uint_t
ngx_http_zapier_runner_body(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_chain_t            *cl;
    ngx_http_zapier_ctx_t  *ctx;

    ctx = ngx_http_zapier_runner_ctx(r);

    if (ctx == NULL) {
        return 0;
    }

    if (ctx->text != NULL) {
        ngx_http_zapier_text_add(ctx->text, in);
        return 1;
    }

    for (cl = in; cl; cl = cl->next) {

        if (cl->buf->last_in_chain) {
            ctx->complete = 1;
        }

        if (ctx->again) {
            cl->buf->pos = cl->buf->last;
            cl->buf->file_pos = cl->buf->file_last;
        }
    }

    if (ctx->item != NULL && !ctx->again) {
        ngx_http_zapier_item_body(ctx, in);
        return 1;
    }

    return ctx->again;
}
