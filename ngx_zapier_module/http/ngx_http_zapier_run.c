
/*
 * zapier_wait: requests for runs.
 *
 *     POST -> call by the runner, its answer is kept -> wait -> answer
 *     GET  -> wait                                           -> answer
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_bulk.h>
#include <ngx_http_zapier_call.h>
#include <ngx_http_zapier_callback.h>
#include <ngx_http_zapier_idem.h>
#include <ngx_http_zapier_run.h>
#include <ngx_http_zapier_runner.h>


static ngx_uint_t ngx_http_zapier_run_collection(ngx_str_t *uri);
static ngx_uint_t ngx_http_zapier_run_member(ngx_str_t *uri, ngx_str_t *id);
static void ngx_http_zapier_run_prefer(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_http_zapier_wait_conf_t *conf);
static ngx_int_t ngx_http_zapier_run_await(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_msec_t time);
static void ngx_http_zapier_run_handler(ngx_zapier_run_wait_t *wait);
static ngx_int_t ngx_http_zapier_run_started(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_str_t *body,
    ngx_zapier_run_answer_t *answer);
static ngx_int_t ngx_http_zapier_run_cut_off(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);


ngx_int_t
ngx_http_zapier_run_start(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_str_t                    id;
    ngx_uint_t                   post;
    ngx_http_zapier_run_t       *run;
    ngx_http_zapier_loc_conf_t  *zlcf;

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    ngx_str_null(&id);
    ctx->run = NULL;

    post = (r->method == NGX_HTTP_POST);

    if (post) {
        if (zlcf->body == NGX_HTTP_ZAPIER_BODY_OFF
            && !ngx_http_zapier_run_collection(&r->uri))
        {
            return NGX_DECLINED;
        }

    } else if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))
               || r->args.len != 0
               || !ngx_http_zapier_run_member(&r->uri, &id))
    {
        return NGX_DECLINED;
    }

    run = ngx_pcalloc(r->pool, sizeof(ngx_http_zapier_run_t));
    if (run == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    run->post = post;
    run->id = id;
    run->since = ngx_current_msec;

    ctx->run = run;

    ngx_http_zapier_run_prefer(r, ctx, zlcf->wait);

    if (post) {
        return NGX_DECLINED;
    }

    return ngx_http_zapier_run_await(r, ctx, run->time);
}


/* Does it end in "/action-runs"?  The upstream takes a slash after it. */

static ngx_uint_t
ngx_http_zapier_run_collection(ngx_str_t *uri)
{
    size_t  len;

    static u_char  name[] = "/action-runs";

    len = uri->len;

    if (len != 0 && uri->data[len - 1] == '/') {
        len--;
    }

    return len >= sizeof(name) - 1
           && ngx_memcmp(uri->data + len - (sizeof(name) - 1), name,
                         sizeof(name) - 1)
              == 0;
}


static ngx_uint_t
ngx_http_zapier_run_member(ngx_str_t *uri, ngx_str_t *id)
{
    u_char     *last;
    ngx_str_t   parent;

    last = uri->data + uri->len;

    if (uri->len > 1 && last[-1] == '/') {
        last--;
    }

    for (id->data = last; id->data > uri->data; id->data--) {
        if (id->data[-1] == '/') {
            break;
        }
    }

    id->len = last - id->data;

    parent.data = uri->data;
    parent.len = id->data - uri->data;

    return ngx_zapier_run_id(id) == NGX_OK
           && ngx_http_zapier_run_collection(&parent);
}


/* The caller can only make it shorter; a GET waits only if he wants it to. */

static void
ngx_http_zapier_run_prefer(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx,
    ngx_http_zapier_wait_conf_t *conf)
{
    ngx_zapier_prefer_t     prefer;
    ngx_http_zapier_run_t  *run;

    run = ctx->run;

    ngx_http_zapier_prefer(r, &prefer);

    run->async = prefer.respond_async;
    run->time = run->post ? conf->time : 0;

    if (prefer.wait != -1) {
        run->time = ngx_min(conf->time, (ngx_msec_t) prefer.wait * 1000);

        ctx->preferred = 1;
        ctx->preferred_wait = run->time / 1000;
    }

    run->time = ngx_http_zapier_bulk_left(ctx, run->time);

    /* RFC 7240 4.3: with both, it is asynchronous once the time is over */

    if (prefer.wait != -1) {
        run->async = 0;
    }

    if (run->async) {
        run->time = 0;
    }
}


ngx_msec_t
ngx_http_zapier_run_left(ngx_http_zapier_run_t *run)
{
    ngx_msec_t  passed;

    passed = ngx_current_msec - run->since;

    return (passed < run->time) ? run->time - passed : 0;
}


static ngx_int_t
ngx_http_zapier_run_await(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx,
    ngx_msec_t time)
{
    ngx_int_t                     rc;
    ngx_zapier_run_wait_t        *wait;
    ngx_http_zapier_loc_conf_t   *zlcf;
    ngx_http_zapier_main_conf_t  *zmcf;

    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);
    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    wait = &ctx->run->wait;

    wait->runs = &zmcf->runs;
    wait->tenant = ctx->tenant;
    wait->id = ctx->run->id;
    wait->time = time;
    wait->interval = zlcf->wait->interval;
    wait->keep = zlcf->wait->keep;
    wait->max = zlcf->wait->max;
    wait->started = ctx->run->post && !ctx->run->replayed;

    if (wait->started && ctx->run->callback.len != 0) {
        wait->callback = ctx->run->callback;
        wait->patience = zlcf->callback->patience;
    }

    wait->pool = r->pool;
    wait->origin = ngx_http_zapier_poll_origin;
    wait->handler = ngx_http_zapier_run_handler;
    wait->data = ctx;

    rc = ngx_zapier_run_wait(wait);

    if (rc == NGX_OK) {
        return ngx_http_zapier_run_answer(r, ctx);
    }

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->state = NGX_HTTP_ZAPIER_RUN_WAIT;

    return ngx_http_zapier_hold(r);
}


static void
ngx_http_zapier_run_handler(ngx_zapier_run_wait_t *wait)
{
    ngx_http_zapier_ctx_t *ctx = wait->data;

    ctx->state = NGX_HTTP_ZAPIER_RUN_DONE;

    ngx_http_zapier_resume(ctx->request);
}


void
ngx_http_zapier_run_cancel(ngx_http_zapier_ctx_t *ctx)
{
    if (ctx->run != NULL && ctx->state == NGX_HTTP_ZAPIER_RUN_WAIT) {
        ngx_zapier_run_cancel(&ctx->run->wait);
    }
}


ngx_uint_t
ngx_http_zapier_run_capture(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_uint_t  status;

    status = r->headers_out.status;

    if (r->upstream == NULL
        || status < NGX_HTTP_OK
        || status >= NGX_HTTP_SPECIAL_RESPONSE
        || (ctx->idem == NULL
            && (ctx->run == NULL || status > NGX_HTTP_ACCEPTED)))
    {
        return 0;
    }

    ctx->text = ngx_palloc(r->pool, sizeof(ngx_http_zapier_text_t));
    if (ctx->text == NULL) {
        return 0;
    }

    ngx_http_zapier_text_init(ctx->text, r->pool, NGX_ZAPIER_IDEM_MAX,
                              r->headers_out.content_length_n);

    /* there may be no body at all, and no call of the filter for it */

    ctx->text->complete = r->header_only
                          || status == NGX_HTTP_NO_CONTENT
                          || r->headers_out.content_length_n == 0;

    r->header_sent = 1;
    r->filter_need_in_memory = 1;

    return 1;
}


ngx_int_t
ngx_http_zapier_run_called(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_int_t                 rc;
    ngx_str_t                 body;
    ngx_msec_t                busy;
    ngx_http_zapier_text_t   *text;
    ngx_zapier_run_answer_t   answer;

    text = ctx->text;

    if (!text->complete || text->too_long) {
        return ngx_http_zapier_run_cut_off(r, ctx);
    }

    body.data = text->start;
    body.len = text->last - text->start;

    busy = 0;

    if (ctx->run != NULL
        && ngx_zapier_run_parse(&body, &answer) == NGX_OK
        && ngx_zapier_run_id(&answer.id) == NGX_OK)
    {
        ctx->run->id = answer.id;
        busy = ngx_http_zapier_run_left(ctx->run);
    }

    if (ctx->idem != NULL) {
        rc = ngx_http_zapier_idem_store(r, ctx, &body, busy);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (ctx->run == NULL || ctx->run->id.len == 0) {

        /* whatever it is, it is for the caller */

        return ngx_http_zapier_runner_give(r, ctx, &body);
    }

    return ngx_http_zapier_run_started(r, ctx, &body, &answer);
}


ngx_int_t
ngx_http_zapier_run_replay(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx,
    ngx_str_t *body)
{
    ngx_zapier_run_answer_t  answer;

    if (ngx_zapier_run_parse(body, &answer) != NGX_OK
        || ngx_zapier_run_id(&answer.id) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    ctx->run->id = answer.id;
    ctx->run->replayed = 1;

    return ngx_http_zapier_run_started(r, ctx, body, &answer);
}


static ngx_int_t
ngx_http_zapier_run_started(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx,
    ngx_str_t *body, ngx_zapier_run_answer_t *answer)
{
    ngx_str_t               id;
    ngx_msec_t              left;
    ngx_zapier_run_wait_t  *wait;

    wait = &ctx->run->wait;

    if (answer->state == NGX_ZAPIER_RUN_FINISHED) {
        wait->state = NGX_ZAPIER_RUN_FINISHED;
        wait->body = *body;
        return ngx_http_zapier_run_answer(r, ctx);
    }

    left = ngx_http_zapier_run_left(ctx->run);

    if (left == 0) {
        wait->state = NGX_ZAPIER_RUN_PENDING;
        return ngx_http_zapier_run_answer(r, ctx);
    }

    if (ctx->envelope == NULL
        || !ngx_zapier_envelope_called_back(ctx->envelope))
    {
        ctx->run->callback.len = 0;
    }

    /* of the call's answer nothing else is needed */

    id = ctx->run->id;

    ctx->run->id.data = ngx_pstrdup(r->pool, &id);
    if (ctx->run->id.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_zapier_call_release(r, ctx);

    return ngx_http_zapier_run_await(r, ctx, left);
}


static ngx_int_t
ngx_http_zapier_run_cut_off(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_http_zapier_fault_t  fault;

    ngx_memzero(&fault, sizeof(ngx_http_zapier_fault_t));

    ngx_str_set(&fault.code, "upstream_invalid");
    ngx_str_set(&fault.detail, "The call was sent, but its answer did not "
                               "come as a whole: the action may have been "
                               "run.");
    fault.offset = -1;

    return ngx_http_zapier_error(r, ctx, NGX_HTTP_BAD_GATEWAY, &fault, 1);
}
