
/*
 * GETs that the gateway makes for itself: requests without a client that
 * have their token and quota as any other.
 *
 * They enter a location behind everything that deals with callers: those of
 * runs that of whoever asked first, those of actions one of their own.  All
 * are counted where the caller's request is.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_alone.h>
#include <ngx_http_zapier_poll.h>
#include <ngx_http_zapier_run.h>


/* polls of one worker at a time, the others wait for their turn; callers
 * who wait for an id make calls of their own */
#define NGX_HTTP_ZAPIER_POLLS  32

/* one part of so many of a limit is for new runs */
#define NGX_HTTP_ZAPIER_POLL_SPARE  10


struct ngx_http_zapier_poll_s {
    ngx_queue_t                queue;      /* of the worker's */
    ngx_zapier_run_poll_t     *poll;
    ngx_pool_t                *pool;
    ngx_event_t                event;      /* the start, then the end */
    ngx_connection_t          *connection; /* NULL: not or no more there */
    ngx_http_zapier_ctx_t     *ctx;
    ngx_http_zapier_text_t     text;
    unsigned                   begun:1;
    unsigned                   counted:1;
    unsigned                   entered:1;
};


static ngx_uint_t ngx_http_zapier_poll_scarce(
    ngx_http_zapier_origin_t *origin);
static void ngx_http_zapier_poll_next(void);
static void ngx_http_zapier_poll_start(ngx_event_t *ev);
static ngx_http_request_t *ngx_http_zapier_poll_request(
    ngx_http_zapier_poll_t *x, ngx_connection_t *c);
static ngx_int_t ngx_http_zapier_poll_locate(ngx_http_zapier_poll_t *x,
    ngx_http_request_t *r);
static ngx_int_t ngx_http_zapier_poll_headers(ngx_http_request_t *r);
static void ngx_http_zapier_poll_closed(void *data);
static void ngx_http_zapier_poll_result(ngx_http_zapier_poll_t *x,
    ngx_http_request_t *r);
static void ngx_http_zapier_poll_end(ngx_event_t *ev);
static void ngx_http_zapier_poll_free(ngx_http_zapier_poll_t *x);


static ngx_queue_t  ngx_http_zapier_polls;
static ngx_uint_t   ngx_http_zapier_polls_busy;


ngx_int_t
ngx_http_zapier_poll_call(ngx_zapier_run_poll_t *poll)
{
    ngx_pool_t                *pool;
    ngx_http_zapier_poll_t    *x;
    ngx_http_zapier_origin_t  *origin;

    if (!poll->urgent && ngx_http_zapier_poll_scarce(poll->origin)) {
        return NGX_DECLINED;
    }

    pool = ngx_create_pool(512, ngx_cycle->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    x = ngx_pcalloc(pool, sizeof(ngx_http_zapier_poll_t));
    if (x == NULL) {
        ngx_destroy_pool(pool);
        return NGX_ERROR;
    }

    x->poll = poll;
    x->pool = pool;

    x->event.handler = ngx_http_zapier_poll_start;
    x->event.data = x;
    x->event.log = ngx_cycle->log;

    if (ngx_http_zapier_polls.next == NULL) {
        ngx_queue_init(&ngx_http_zapier_polls);
    }

    ngx_queue_insert_tail(&ngx_http_zapier_polls, &x->queue);

    origin = poll->origin;

    if (origin->elsewhere) {
        x->begun = 1;
        ngx_post_event(&x->event, &ngx_posted_events);

    } else {
        ngx_http_zapier_poll_next();
    }

    return NGX_AGAIN;
}


static ngx_uint_t
ngx_http_zapier_poll_scarce(ngx_http_zapier_origin_t *origin)
{
    ngx_zapier_limit_view_t      *view;
    ngx_zapier_limit_claim_t      claim;
    ngx_zapier_limit_scope_t      scopes[NGX_ZAPIER_LIMIT_CHAIN];
    ngx_http_zapier_main_conf_t  *zmcf;

    if (origin->nscopes == 0 || origin->dry) {
        return 0;
    }

    zmcf = origin->server->main_conf[ngx_http_zapier_module.ctx_index];

    ngx_http_zapier_poll_claim(origin, &claim, scopes);
    claim.log = ngx_cycle->log;

    if (ngx_zapier_limit_peek(&zmcf->limits, &claim) != NGX_OK) {
        return 1;
    }

    view = &claim.view;

    return view->zone != NULL
           && view->limit > 0
           && view->remaining < view->limit / NGX_HTTP_ZAPIER_POLL_SPARE;
}


static void
ngx_http_zapier_poll_next(void)
{
    ngx_queue_t             *q;
    ngx_http_zapier_poll_t  *x;

    for (q = ngx_queue_head(&ngx_http_zapier_polls);
         q != ngx_queue_sentinel(&ngx_http_zapier_polls)
         && ngx_http_zapier_polls_busy < NGX_HTTP_ZAPIER_POLLS;
         q = ngx_queue_next(q))
    {
        x = ngx_queue_data(q, ngx_http_zapier_poll_t, queue);

        if (!x->begun) {
            x->begun = 1;
            x->counted = 1;
            ngx_http_zapier_polls_busy++;

            /* the caller may be deep inside a request of its own */

            ngx_post_event(&x->event, &ngx_posted_events);
        }
    }
}


void
ngx_http_zapier_poll_exit_worker(void)
{
    ngx_queue_t             *q;
    ngx_http_zapier_poll_t  *x;

    while (ngx_http_zapier_polls.next != NULL
           && !ngx_queue_empty(&ngx_http_zapier_polls))
    {
        q = ngx_queue_head(&ngx_http_zapier_polls);
        x = ngx_queue_data(q, ngx_http_zapier_poll_t, queue);

        if (x->connection != NULL) {
            ngx_http_zapier_alone_abort(x->connection);
        }

        if (x->event.posted) {
            ngx_delete_posted_event(&x->event);
        }

        ngx_http_zapier_poll_free(x);
    }
}


static void
ngx_http_zapier_poll_start(ngx_event_t *ev)
{
    ngx_http_zapier_poll_t *x = ev->data;

    ngx_connection_t          *c;
    ngx_http_request_t        *r;
    ngx_http_zapier_origin_t  *origin;

    ev->handler = ngx_http_zapier_poll_end;

    origin = x->poll->origin;

    c = ngx_http_zapier_alone_connection(origin->server);
    if (c == NULL) {
        ngx_http_zapier_poll_end(ev);
        return;
    }

    r = ngx_http_zapier_poll_request(x, c);
    if (r == NULL) {
        ngx_http_close_connection(c);
        ngx_http_zapier_poll_end(ev);
        return;
    }

    /* from here on closed() posts the end */

    x->ctx = ngx_http_zapier_create_ctx(r);

    if (x->ctx == NULL || ngx_http_zapier_poll_headers(r) != NGX_OK) {
        ngx_http_free_request(r, 0);
        ngx_http_close_connection(c);
        return;
    }

    x->ctx->poll = x;

    if (!origin->elsewhere || ngx_http_zapier_poll_locate(x, r) == NGX_OK) {
        ngx_http_core_run_phases(r);
    }

    ngx_http_run_posted_requests(c);
}


/* NGX_OK, or NGX_DONE: there is no such location, r is gone. */

static ngx_int_t
ngx_http_zapier_poll_locate(ngx_http_zapier_poll_t *x, ngx_http_request_t *r)
{
    ngx_int_t                  phase_handler;
    ngx_http_zapier_origin_t  *origin;

    origin = x->poll->origin;
    phase_handler = r->phase_handler;

    r->args = x->poll->args;
    r->valid_unparsed_uri = 0;
    r->loc_conf = origin->server->loc_conf;
    r->internal = 1;

    if (ngx_http_core_find_config_phase(r, NULL) != NGX_AGAIN) {
        return NGX_DONE;
    }

    r->phase_handler = phase_handler;

    return NGX_OK;
}


static ngx_http_request_t *
ngx_http_zapier_poll_request(ngx_http_zapier_poll_t *x, ngx_connection_t *c)
{
    ngx_http_request_t        *r;
    ngx_http_zapier_origin_t  *origin;

    r = ngx_http_zapier_alone_request(c, ngx_http_zapier_poll_closed, x);
    if (r == NULL) {
        return NULL;
    }

    x->connection = c;

    origin = x->poll->origin;

    r->write_event_handler = ngx_http_core_run_phases;

    r->method = NGX_HTTP_GET;
    ngx_str_set(&r->method_name, "GET");
    r->uri = origin->uri;
    r->unparsed_uri = origin->uri;
    r->valid_unparsed_uri = 1;
    r->valid_location = 1;

    r->loc_conf = origin->loc_conf;
    r->content_handler = origin->content_handler;
    r->phase_handler = origin->phase_handler;

    /* the whole of the answer is looked at */

    r->filter_need_in_memory = 1;

    /* the way around lingering_close */

    c->read->eof = 1;

    return r;
}


static ngx_int_t
ngx_http_zapier_poll_headers(ngx_http_request_t *r)
{
    ngx_str_t  value;

    /* each with its name in lower case */

    static ngx_str_t  accept[] = { ngx_string("Accept"),
                                   ngx_string("accept") };
    static ngx_str_t  agent[] = { ngx_string("User-Agent"),
                                  ngx_string("user-agent") };

    if (ngx_list_init(&r->headers_in.headers, r->pool, 4,
                      sizeof(ngx_table_elt_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&value, "application/json");

    if (ngx_http_zapier_alone_header(r, accept, &value) == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&value, "ngx_zapier_module");

    r->headers_in.user_agent = ngx_http_zapier_alone_header(r, agent, &value);

    return (r->headers_in.user_agent == NULL) ? NGX_ERROR : NGX_OK;
}


ngx_int_t
ngx_http_zapier_poll_enter(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_zapier_run_poll_t     *poll;
    ngx_http_zapier_origin_t  *origin;
    ngx_zapier_limit_scope_t  *scopes;

    poll = ctx->poll->poll;
    origin = poll->origin;

    /* an error_page leads to who knows where: not with a token */

    if (origin->elsewhere && ctx->poll->entered) {
        return NGX_ERROR;
    }

    ctx->poll->entered = 1;

    scopes = ngx_palloc(r->pool, origin->nscopes
                                 * sizeof(ngx_zapier_limit_scope_t));
    if (scopes == NULL) {
        return NGX_ERROR;
    }

    ngx_http_zapier_poll_claim(origin, &ctx->claim, scopes);

    ctx->tenant = poll->tenant;
    ctx->hash = origin->hash;
    ctx->dry = origin->dry;
    ctx->body_done = 1;

    return ngx_http_zapier_auth_identify(r, ctx);
}


ngx_http_zapier_loc_conf_t *
ngx_http_zapier_poll_counted(ngx_http_zapier_ctx_t *ctx)
{
    ngx_http_zapier_origin_t  *origin;

    origin = ctx->poll->poll->origin;

    return origin->loc_conf[ngx_http_zapier_module.ctx_index];
}


ngx_msec_t
ngx_http_zapier_poll_patience(ngx_http_zapier_ctx_t *ctx)
{
    ngx_http_zapier_origin_t  *origin;

    origin = ctx->poll->poll->origin;

    return origin->patience;
}


ngx_int_t
ngx_http_zapier_poll_header(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_http_zapier_poll_t  *x;

    x = ctx->poll;

    ngx_http_zapier_text_init(&x->text, x->poll->pool, x->poll->max,
                              r->headers_out.content_length_n);

    r->header_sent = 1;

    return NGX_OK;
}


void
ngx_http_zapier_poll_body(ngx_http_zapier_ctx_t *ctx, ngx_chain_t *in)
{
    ngx_http_zapier_text_add(&ctx->poll->text, in);
}


static void
ngx_http_zapier_poll_closed(void *data)
{
    ngx_http_zapier_poll_t *x = data;

    ngx_http_request_t  *r;

    if (x->ctx != NULL) {
        r = x->ctx->request;

        /* there is no line in the log, with which this is done for others */

        ngx_http_zapier_limit_settle(r, x->ctx);
        ngx_http_zapier_poll_result(x, r);
    }

    x->connection = NULL;
    x->ctx = NULL;

    ngx_post_event(&x->event, &ngx_posted_events);
}


static void
ngx_http_zapier_poll_result(ngx_http_zapier_poll_t *x, ngx_http_request_t *r)
{
    ngx_zapier_run_poll_t   *poll;
    ngx_http_zapier_ctx_t   *ctx;
    ngx_http_zapier_text_t  *text;

    ctx = x->ctx;
    poll = x->poll;
    text = &x->text;

    poll->status = r->headers_out.status;
    poll->code = ctx->error;
    poll->own = (ctx->error.len != 0);

    if (poll->own) {
        poll->retry_after = ctx->claim.view.retry_after;

    } else if (ctx->observed && ctx->ratelimit.retry_after > 0) {
        poll->retry_after = (time_t) ctx->ratelimit.retry_after;
    }

    if (poll->status == 0) {
        return;
    }

    /* nginx's own pages are not what the upstream says */

    if (!poll->own
        && (r->upstream == NULL
            || r->upstream->headers_in.status_n != poll->status))
    {
        poll->status = ngx_max(poll->status, NGX_HTTP_BAD_GATEWAY);
        return;
    }

    poll->too_long = text->too_long;

    if (!text->complete) {
        poll->status = NGX_HTTP_BAD_GATEWAY;
        return;
    }

    if (text->too_long) {
        return;
    }

    poll->body.data = text->start;
    poll->body.len = text->last - text->start;

    poll->type.len = r->headers_out.content_type.len;
    poll->type.data = ngx_pstrdup(poll->pool, &r->headers_out.content_type);

    if (poll->type.data == NULL) {
        poll->type.len = 0;
    }
}


static void
ngx_http_zapier_poll_end(ngx_event_t *ev)
{
    ngx_http_zapier_poll_t *x = ev->data;

    ngx_zapier_run_poll_t  *poll;

    poll = x->poll;

    ngx_http_zapier_poll_free(x);

    poll->handler(poll);

    ngx_http_zapier_poll_next();
}


static void
ngx_http_zapier_poll_free(ngx_http_zapier_poll_t *x)
{
    ngx_queue_remove(&x->queue);

    if (x->counted) {
        ngx_http_zapier_polls_busy--;
    }

    ngx_destroy_pool(x->pool);
}
