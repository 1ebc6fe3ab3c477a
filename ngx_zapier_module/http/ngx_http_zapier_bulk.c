
/*
 * Requests of several runs: when their items are begun, and when all is
 * over.
 *
 * The request outlives its items, so they can use what it has: a client that
 * goes away only ends those that have sent nothing.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_alone.h>
#include <ngx_http_zapier_bulk.h>
#include <ngx_http_zapier_idem.h>
#include <ngx_zapier_wipe.h>


static ngx_int_t ngx_http_zapier_bulk_check(ngx_http_zapier_bulk_t *bulk,
    ngx_http_zapier_item_t *item);
static ngx_int_t ngx_http_zapier_bulk_faults(ngx_http_zapier_item_t *item,
    ngx_zapier_envelope_t *envelope, ngx_pool_t *pool);
static void ngx_http_zapier_bulk_turn(ngx_event_t *ev);
static void ngx_http_zapier_bulk_fill(ngx_http_zapier_bulk_t *bulk,
    ngx_http_zapier_item_t *item);
static void ngx_http_zapier_bulk_finish(ngx_http_zapier_bulk_t *bulk);
static void ngx_http_zapier_bulk_late(ngx_event_t *ev);
static void ngx_http_zapier_bulk_reading(ngx_http_request_t *r);
static ngx_uint_t ngx_http_zapier_bulk_closed(ngx_http_request_t *r);
static void ngx_http_zapier_bulk_drop(ngx_http_zapier_bulk_t *bulk);


ngx_int_t
ngx_http_zapier_bulk_begin(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_int_t                    rc;
    ngx_zapier_prefer_t          prefer;
    ngx_http_zapier_bulk_t      *bulk;
    ngx_http_zapier_loc_conf_t  *zlcf;

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    bulk = ngx_pcalloc(r->pool, sizeof(ngx_http_zapier_bulk_t));
    if (bulk == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    bulk->request = r;
    bulk->ctx = ctx;
    bulk->conf = zlcf->bulk;
    bulk->time = zlcf->bulk->deadline;

    bulk->event.handler = ngx_http_zapier_bulk_turn;
    bulk->event.data = bulk;
    bulk->event.log = ngx_cycle->log;

    bulk->deadline.handler = ngx_http_zapier_bulk_late;
    bulk->deadline.data = bulk;
    bulk->deadline.log = ngx_cycle->log;

    /* RFC 7240: this is for the whole of the request */

    ngx_http_zapier_prefer(r, &prefer);

    if (prefer.wait != -1) {
        bulk->time = ngx_min(bulk->time, (ngx_msec_t) prefer.wait * 1000);
    }

    if (zlcf->idem != NULL) {
        rc = ngx_http_zapier_idem_find(r, ctx, &bulk->key);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    ctx->bulk = bulk;

    return NGX_OK;
}


ngx_int_t
ngx_http_zapier_bulk_split(ngx_http_zapier_ctx_t *ctx, ngx_str_t *body)
{
    ngx_int_t                rc;
    ngx_uint_t               i;
    ngx_pool_t              *pool;
    ngx_http_zapier_bulk_t  *bulk;

    bulk = ctx->bulk;
    pool = bulk->request->pool;

    bulk->body = *body;

    rc = ngx_zapier_items(&bulk->found, pool, body, bulk->conf->items);

    if (rc != NGX_OK) {
        return rc;
    }

    bulk->items = ngx_pcalloc(pool, bulk->found.n
                                    * sizeof(ngx_http_zapier_item_t));
    if (bulk->items == NULL) {
        return NGX_ERROR;
    }

    bulk->nitems = bulk->found.n;

    for (i = 0; i < bulk->nitems; i++) {
        bulk->items[i].bulk = bulk;
        bulk->items[i].text = bulk->found.items[i];

        if (ngx_http_zapier_bulk_check(bulk, &bulk->items[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* What is at fault is told at once, whatever becomes of the others. */

static ngx_int_t
ngx_http_zapier_bulk_check(ngx_http_zapier_bulk_t *bulk,
    ngx_http_zapier_item_t *item)
{
    u_char                 *p, *last;
    ngx_int_t               rc;
    ngx_str_t               insert, after;
    ngx_pool_t             *pool;
    ngx_zapier_envelope_t  *envelope;

    pool = ngx_create_pool(2048, bulk->request->connection->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    envelope = ngx_zapier_envelope_create(pool, &bulk->ctx->action,
                                          &bulk->ctx->authentication);
    if (envelope == NULL) {
        ngx_destroy_pool(pool);
        return NGX_ERROR;
    }

    p = item->text.data;
    last = p + item->text.len;

    do {
        rc = ngx_zapier_envelope_feed(envelope, &p, last, &insert);
    } while (rc == NGX_AGAIN);

    if (rc == NGX_OK) {
        rc = ngx_zapier_envelope_finish(envelope, &insert, &after);
    }

    if (rc == NGX_DECLINED) {
        rc = ngx_http_zapier_bulk_faults(item, envelope, pool);
    }

    ngx_destroy_pool(pool);

    return rc;
}


static ngx_int_t
ngx_http_zapier_bulk_faults(ngx_http_zapier_item_t *item,
    ngx_zapier_envelope_t *envelope, ngx_pool_t *pool)
{
    ngx_buf_t                *b;
    ngx_uint_t                n;
    ngx_zapier_fault_t       *found;
    ngx_http_zapier_fault_t   faults[NGX_ZAPIER_ENVELOPE_FAULTS];

    found = ngx_zapier_envelope_faults(envelope, &n);
    n = ngx_http_zapier_faults(found, n, faults);

    if (ngx_http_zapier_item_place(item, pool, faults, n) != NGX_OK) {
        return NGX_ERROR;
    }

    b = ngx_http_zapier_error_body(item->bulk->request->pool,
                                   NGX_HTTP_BAD_REQUEST, faults, n);
    if (b == NULL) {
        return NGX_ERROR;
    }

    item->status = NGX_HTTP_BAD_REQUEST;
    item->answer.start = b->pos;
    item->answer.last = b->last;
    item->done = 1;

    return NGX_OK;
}


ngx_uint_t
ngx_http_zapier_bulk_idle(ngx_http_zapier_bulk_t *bulk)
{
    ngx_uint_t  i;

    for (i = 0; i < bulk->nitems; i++) {
        if (!bulk->items[i].done) {
            return 0;
        }
    }

    return 1;
}


ngx_int_t
ngx_http_zapier_bulk_start(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_int_t                rc;
    ngx_http_zapier_bulk_t  *bulk;

    bulk = ctx->bulk;

    /* it was to be had, each item asks for its own */

    ngx_zapier_wipe(ctx->token.authorization.data,
                    ctx->token.authorization.len);
    ctx->token.authorization.len = 0;

    bulk->since = ngx_current_msec;

    ngx_add_timer(&bulk->deadline, bulk->conf->deadline);
    ngx_post_event(&bulk->event, &ngx_posted_events);

    ctx->state = NGX_HTTP_ZAPIER_BULK_WAIT;

    rc = ngx_http_zapier_hold(r);

    r->read_event_handler = ngx_http_zapier_bulk_reading;

    return rc;
}


static void
ngx_http_zapier_bulk_turn(ngx_event_t *ev)
{
    ngx_http_zapier_bulk_t *bulk = ev->data;

    ngx_http_zapier_item_t  *item;

    while (bulk->next < bulk->nitems) {
        item = &bulk->items[bulk->next];

        if (!item->done) {

            if (bulk->gone || bulk->status != 0) {
                ngx_http_zapier_bulk_fill(bulk, item);

            } else if (bulk->busy < bulk->conf->parallel) {
                ngx_http_zapier_item_start(item);

            } else {
                return;
            }
        }

        bulk->next++;
    }

    if (bulk->busy == 0 && !bulk->finished) {
        ngx_http_zapier_bulk_finish(bulk);
    }
}


static void
ngx_http_zapier_bulk_fill(ngx_http_zapier_bulk_t *bulk,
    ngx_http_zapier_item_t *item)
{
    item->status = bulk->status;
    item->retry_after = bulk->retry_after;
    item->answer.start = bulk->answer.data;
    item->answer.last = bulk->answer.data + bulk->answer.len;
    item->done = 1;
}


static void
ngx_http_zapier_bulk_finish(ngx_http_zapier_bulk_t *bulk)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    bulk->finished = 1;

    if (bulk->deadline.timer_set) {
        ngx_del_timer(&bulk->deadline);
    }

    r = bulk->request;

    if (bulk->gone) {
        c = r->connection;

        ngx_http_finalize_request(r, NGX_HTTP_CLIENT_CLOSED_REQUEST);
        ngx_http_run_posted_requests(c);
        return;
    }

    bulk->ctx->state = NGX_HTTP_ZAPIER_BULK_DONE;

    ngx_http_zapier_resume(r);
}


ngx_int_t
ngx_http_zapier_bulk_answer(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ctx->bulk->finished = 1;

    return ngx_http_zapier_bulk_send(r, ctx->bulk);
}


void
ngx_http_zapier_bulk_close(ngx_http_zapier_bulk_t *bulk, ngx_uint_t status,
    ngx_str_t *answer, time_t retry_after)
{
    if (bulk->status == 0) {
        bulk->status = status;
        bulk->answer = *answer;
        bulk->retry_after = retry_after;
    }
}


static void
ngx_http_zapier_bulk_late(ngx_event_t *ev)
{
    ngx_http_zapier_bulk_t *bulk = ev->data;

    ngx_str_t  text;

    if (bulk->status == 0) {

        if (ngx_http_zapier_bulk_text(bulk->request->pool,
                                      NGX_HTTP_GATEWAY_TIME_OUT,
                                      "deadline_exceeded",
                                      "The time for the request was over "
                                      "before this call could be sent.",
                                      0, &text)
            != NGX_OK)
        {
            ngx_str_null(&text);
        }

        ngx_http_zapier_bulk_close(bulk, NGX_HTTP_GATEWAY_TIME_OUT, &text, 0);
    }

    ngx_http_zapier_bulk_turn(&bulk->event);
}


ngx_msec_t
ngx_http_zapier_bulk_left(ngx_http_zapier_ctx_t *ctx, ngx_msec_t msec)
{
    ngx_msec_t               passed;
    ngx_http_zapier_bulk_t  *bulk;

    if (ctx->item == NULL) {
        return msec;
    }

    bulk = ctx->item->bulk;
    passed = ngx_current_msec - bulk->since;

    return (passed < bulk->time) ? ngx_min(msec, bulk->time - passed) : 0;
}


/* As ngx_http_test_reading(), but the request stays. */

static void
ngx_http_zapier_bulk_reading(ngx_http_request_t *r)
{
    ngx_http_zapier_ctx_t   *ctx;
    ngx_http_zapier_bulk_t  *bulk;

    if (!ngx_http_zapier_bulk_closed(r)) {
        return;
    }

    r->read_event_handler = ngx_http_block_reading;

    ctx = ngx_http_get_module_ctx(r, ngx_http_zapier_module);
    bulk = ctx->bulk;

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "client closed connection, runs that were not started are "
                  "dropped");

    bulk->gone = 1;

    ngx_http_zapier_bulk_drop(bulk);

    ngx_post_event(&bulk->event, &ngx_posted_events);
}


static ngx_uint_t
ngx_http_zapier_bulk_closed(ngx_http_request_t *r)
{
    int                n;
    char               buf[1];
    ngx_err_t          err;
    ngx_event_t       *rev;
    ngx_connection_t  *c;

    c = r->connection;
    rev = c->read;

#if (NGX_HTTP_V2)

    if (r->stream) {
        return c->error;
    }

#endif

#if (NGX_HTTP_V3)

    if (c->quic) {
        return rev->error;
    }

#endif

    n = recv(c->fd, buf, 1, MSG_PEEK);

    if (n == 0) {
        rev->eof = 1;
        c->error = 1;
        return 1;
    }

    if (n == -1) {
        err = ngx_socket_errno;

        if (err != NGX_EAGAIN && err != NGX_EINTR) {
            rev->eof = 1;
            c->error = 1;
            return 1;
        }
    }

    /* aio does not call this handler */

    if ((ngx_event_flags & NGX_USE_LEVEL_EVENT) && rev->active) {
        (void) ngx_del_event(rev, NGX_READ_EVENT, 0);
    }

    return 0;
}


/* Ends the items that have sent nothing, or wait for what comes of it. */

static void
ngx_http_zapier_bulk_drop(ngx_http_zapier_bulk_t *bulk)
{
    ngx_uint_t               i;
    ngx_http_zapier_item_t  *item;

    for (i = 0; i < bulk->next; i++) {
        item = &bulk->items[i];

        if (item->connection == NULL || item->ctx == NULL) {
            continue;
        }

        switch (item->ctx->state) {

        case NGX_HTTP_ZAPIER_TOKEN_WAIT:
        case NGX_HTTP_ZAPIER_ACTION_WAIT:
        case NGX_HTTP_ZAPIER_LIMIT_WAIT:
        case NGX_HTTP_ZAPIER_RETRY_WAIT:
        case NGX_HTTP_ZAPIER_RUN_WAIT:
            ngx_http_zapier_alone_abort(item->connection);
            break;

        default:
            break;
        }
    }
}


void
ngx_http_zapier_bulk_cancel(ngx_http_zapier_ctx_t *ctx)
{
    ngx_uint_t               i;
    ngx_http_zapier_bulk_t  *bulk;

    bulk = ctx->bulk;

    if (bulk == NULL) {
        return;
    }

    bulk->finished = 1;

    for (i = 0; i < bulk->next; i++) {
        if (bulk->items[i].connection != NULL) {
            ngx_http_zapier_alone_abort(bulk->items[i].connection);
        }
    }

    if (bulk->event.posted) {
        ngx_delete_posted_event(&bulk->event);
    }

    if (bulk->deadline.timer_set) {
        ngx_del_timer(&bulk->deadline);
    }

    ctx->bulk = NULL;
}
