
/*
 * zapier_idempotency, the Idempotency-Key header (IETF httpapi draft).
 *
 *     look -> token, quota -> begin -> call -> store -> answer
 *
 * The record is looked for first, so that a replay costs nothing, and
 * written last: it says "sent", and nothing is sent without it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_bulk.h>
#include <ngx_http_zapier_idem.h>
#include <ngx_http_zapier_retry.h>
#include <ngx_http_zapier_run.h>


#define NGX_HTTP_ZAPIER_IDEM_KEY_LEN  255


static ngx_int_t ngx_http_zapier_idem_header(ngx_http_request_t *r,
    ngx_str_t *key);
static ngx_int_t ngx_http_zapier_idem_key(ngx_str_t *value);
static ngx_int_t ngx_http_zapier_idem_hash(ngx_http_request_t *r,
    ngx_http_zapier_idem_t *idem);
static ngx_int_t ngx_http_zapier_idem_hash_buf(ngx_http_zapier_idem_t *idem,
    ngx_buf_t *b);
static ngx_int_t ngx_http_zapier_idem_wait(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_int_t rc);
static void ngx_http_zapier_idem_handler(ngx_zapier_idem_t *op);
static ngx_int_t ngx_http_zapier_idem_replay(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static void ngx_http_zapier_idem_sheltered(ngx_event_t *ev);
static void ngx_http_zapier_idem_note(ngx_http_zapier_ctx_t *ctx);
static ngx_int_t ngx_http_zapier_idem_refuse(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_uint_t status, const char *code,
    const char *detail);


ngx_int_t
ngx_http_zapier_idem_start(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    u_char                       *p;
    u_char                        index[1 + NGX_INT_T_LEN];
    ngx_int_t                     rc;
    ngx_str_t                     key;
    ngx_sha1_t                    sha1;
    ngx_http_zapier_idem_t       *idem;
    ngx_http_zapier_loc_conf_t   *zlcf;
    ngx_http_zapier_main_conf_t  *zmcf;

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    ctx->idem = NULL;

    if (!(r->method & (NGX_HTTP_POST|NGX_HTTP_PATCH))) {
        return NGX_OK;
    }

    if (ctx->item != NULL) {
        key = ctx->item->bulk->key;

    } else {
        rc = ngx_http_zapier_idem_find(r, ctx, &key);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (key.len == 0) {
        return NGX_OK;
    }

    idem = ngx_pcalloc(r->pool, sizeof(ngx_http_zapier_idem_t));
    if (idem == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    idem->op.runs = &zmcf->runs;
    idem->op.tenant = ctx->tenant;
    idem->op.ttl = zlcf->idem->ttl;
    idem->op.replicas = zlcf->idem->replicas;
    idem->op.pool = r->pool;
    idem->op.handler = ngx_http_zapier_idem_handler;
    idem->op.data = ctx;

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, key.data, key.len);

    if (ctx->item != NULL) {

        /* no key of another request has a line break in it */

        p = ngx_sprintf(index, "\n%ui",
                        (ngx_uint_t) (ctx->item - ctx->item->bulk->items));
        ngx_sha1_update(&sha1, index, p - index);
    }

    ngx_zapier_idem_digest(&sha1, idem->op.key);

    /* the same body sent elsewhere is another call */

    ngx_sha1_init(&idem->sha1);
    ngx_sha1_update(&idem->sha1, r->method_name.data, r->method_name.len);
    ngx_sha1_update(&idem->sha1, " ", 1);
    ngx_sha1_update(&idem->sha1, r->uri.data, r->uri.len);
    ngx_sha1_update(&idem->sha1, "?", 1);
    ngx_sha1_update(&idem->sha1, r->args.data, r->args.len);
    ngx_sha1_update(&idem->sha1, "\n", 1);

    ctx->idem = idem;

    return NGX_OK;
}


ngx_int_t
ngx_http_zapier_idem_find(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx,
    ngx_str_t *key)
{
    ngx_int_t                    rc;
    ngx_http_zapier_loc_conf_t  *zlcf;

    ngx_str_null(key);

    rc = ngx_http_zapier_idem_header(r, key);

    if (rc == NGX_OK) {
        return NGX_OK;
    }

    if (rc == NGX_ERROR) {
        return ngx_http_zapier_idem_refuse(r, ctx, NGX_HTTP_BAD_REQUEST,
                                           "invalid_type",
                                           "Idempotency-Key is to be one "
                                           "string of 1 to 255 printable "
                                           "characters.");
    }

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    return !zlcf->idem->required
           ? NGX_OK
           : ngx_http_zapier_idem_refuse(r, ctx, NGX_HTTP_BAD_REQUEST,
                                         "required",
                                         "The Idempotency-Key header is "
                                         "missing.");
}


/* NGX_DECLINED: there is none; NGX_ERROR: it is not right. */

static ngx_int_t
ngx_http_zapier_idem_header(ngx_http_request_t *r, ngx_str_t *key)
{
    ngx_uint_t               n;
    ngx_table_elt_t         *h;
    ngx_http_zapier_walk_t   walk;

    n = 0;

    walk.part = &r->headers_in.headers.part;
    walk.i = 0;

    for ( ;; ) {
        h = ngx_http_zapier_next_header(&walk);

        if (h == NULL) {
            break;
        }

        if (ngx_http_zapier_header_is(h, "Idempotency-Key")) {
            *key = h->value;
            n++;
        }
    }

    return (n == 0) ? NGX_DECLINED
           : (n == 1) ? ngx_http_zapier_idem_key(key) : NGX_ERROR;
}


/* "key" as the draft has it (RFC 8941), or the bare word that many send. */

static ngx_int_t
ngx_http_zapier_idem_key(ngx_str_t *value)
{
    size_t      i;
    ngx_uint_t  quoted;

    quoted = (value->len >= 2
              && value->data[0] == '"'
              && value->data[value->len - 1] == '"');

    if (quoted) {
        value->data++;
        value->len -= 2;
    }

    if (value->len == 0 || value->len > NGX_HTTP_ZAPIER_IDEM_KEY_LEN) {
        return NGX_ERROR;
    }

    for (i = 0; i < value->len; i++) {

        if (value->data[i] < 0x20 || value->data[i] > 0x7e) {
            return NGX_ERROR;
        }

        if (value->data[i] == '"' && (i == 0 || value->data[i - 1] != '\\')) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


void
ngx_http_zapier_idem_feed(ngx_http_zapier_ctx_t *ctx, ngx_chain_t *in)
{
    ngx_buf_t  *b;

    for ( /* void */ ; in; in = in->next) {
        b = in->buf;

        ngx_sha1_update(&ctx->idem->sha1, b->pos, b->last - b->pos);
    }

    ctx->idem->hashed = 1;
}


/* Of a body that another module has read. */

static ngx_int_t
ngx_http_zapier_idem_hash(ngx_http_request_t *r, ngx_http_zapier_idem_t *idem)
{
    ngx_chain_t  *cl;

    if (!idem->hashed && r->request_body != NULL) {

        for (cl = r->request_body->bufs; cl; cl = cl->next) {
            if (ngx_http_zapier_idem_hash_buf(idem, cl->buf) != NGX_OK) {
                return NGX_ERROR;
            }
        }
    }

    ngx_zapier_idem_digest(&idem->sha1, idem->op.call);

    return NGX_OK;
}


static ngx_int_t
ngx_http_zapier_idem_hash_buf(ngx_http_zapier_idem_t *idem, ngx_buf_t *b)
{
    off_t    pos;
    u_char   text[4096];
    ssize_t  n;

    if (!b->in_file) {
        ngx_sha1_update(&idem->sha1, b->pos, b->last - b->pos);
        return NGX_OK;
    }

    for (pos = b->file_pos; pos < b->file_last; pos += n) {

        n = ngx_read_file(b->file, text,
                          (size_t) ngx_min(b->file_last - pos,
                                           (off_t) sizeof(text)),
                          pos);
        if (n <= 0) {
            return NGX_ERROR;
        }

        ngx_sha1_update(&idem->sha1, text, n);
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_zapier_idem_look(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_http_zapier_idem_t  *idem;

    idem = ctx->idem;

    if (idem->looked) {
        return NGX_OK;
    }

    if (ngx_http_zapier_idem_hash(r, idem) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    idem->looked = 1;
    idem->stage = NGX_HTTP_ZAPIER_IDEM_LOOK;

    return ngx_http_zapier_idem_wait(r, ctx,
                                     ngx_zapier_idem_look(&idem->op, 0));
}


ngx_int_t
ngx_http_zapier_idem_begin(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_http_zapier_idem_t  *idem;

    idem = ctx->idem;

    if (idem->begun) {
        return NGX_OK;
    }

    idem->stage = NGX_HTTP_ZAPIER_IDEM_BEGIN;

    return ngx_http_zapier_idem_wait(r, ctx,
                                     ngx_zapier_idem_look(&idem->op, 1));
}


ngx_int_t
ngx_http_zapier_idem_store(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx,
    ngx_str_t *body, ngx_msec_t busy)
{
    ngx_int_t                rc;
    ngx_http_zapier_idem_t  *idem;

    idem = ctx->idem;

    if (idem->stored) {
        return NGX_OK;
    }

    idem->stage = NGX_HTTP_ZAPIER_IDEM_STORE;
    idem->stored = 1;
    idem->busy = (busy != 0);

    rc = ngx_zapier_idem_store(&idem->op, ctx->call->headers_out.status,
                               &ctx->call->headers_out.content_type, body,
                               busy);

    if (rc != NGX_AGAIN) {

        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "an answer that belongs to an idempotency key could "
                      "not be stored");

        ngx_http_zapier_idem_note(ctx);

        return NGX_OK;
    }

    return ngx_http_zapier_idem_wait(r, ctx, rc);
}


static ngx_int_t
ngx_http_zapier_idem_wait(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx,
    ngx_int_t rc)
{
    if (rc == NGX_AGAIN) {
        ctx->state = NGX_HTTP_ZAPIER_IDEM_WAIT;
        return ngx_http_zapier_hold(r);
    }

    return ngx_http_zapier_idem_result(r, ctx);
}


static void
ngx_http_zapier_idem_handler(ngx_zapier_idem_t *op)
{
    ngx_http_zapier_ctx_t *ctx = op->data;

    ctx->state = NGX_HTTP_ZAPIER_IDEM_DONE;

    ngx_http_zapier_resume(ctx->request);
}


ngx_int_t
ngx_http_zapier_idem_result(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_str_t                none;
    ngx_http_zapier_idem_t  *idem;

    idem = ctx->idem;

    if (idem->stage == NGX_HTTP_ZAPIER_IDEM_STORE) {

        if (idem->op.result != NGX_ZAPIER_IDEM_NEW) {
            ngx_http_zapier_idem_note(ctx);
        }

        return NGX_OK;
    }

    switch (idem->op.result) {

    case NGX_ZAPIER_IDEM_NEW:
        idem->begun = (idem->stage == NGX_HTTP_ZAPIER_IDEM_BEGIN);
        return NGX_OK;

    case NGX_ZAPIER_IDEM_ANSWER:
        return ngx_http_zapier_idem_replay(r, ctx);

    case NGX_ZAPIER_IDEM_MISMATCH:
        return ngx_http_zapier_idem_refuse(r, ctx, 422,
                                           "idempotency_mismatch",
                                           "This Idempotency-Key was used "
                                           "for another call.");

    case NGX_ZAPIER_IDEM_BUSY:
        return ngx_http_zapier_idem_refuse(r, ctx, NGX_HTTP_CONFLICT,
                                           "idempotency_in_progress",
                                           "A call with this Idempotency-Key "
                                           "is under way.");

    case NGX_ZAPIER_IDEM_UNKNOWN:
        return ngx_http_zapier_idem_refuse(r, ctx, NGX_HTTP_CONFLICT,
                                           "idempotency_unknown",
                                           "A call with this Idempotency-Key "
                                           "was sent, and nobody knows what "
                                           "has become of it: the action may "
                                           "have been run.");

    default: /* NGX_ZAPIER_IDEM_UNAVAILABLE */

        if (idem->stage == NGX_HTTP_ZAPIER_IDEM_BEGIN) {

            /* it may have been written, but nothing is sent */

            ngx_str_null(&none);
            ngx_zapier_idem_note(&idem->op, "free", 0, &none, &none);
        }

        return ngx_http_zapier_idem_refuse(r, ctx,
                                           NGX_HTTP_SERVICE_UNAVAILABLE,
                                           "store_unavailable",
                                           "It cannot be told whether this "
                                           "Idempotency-Key was used, the "
                                           "call was not sent.");
    }
}


static ngx_int_t
ngx_http_zapier_idem_replay(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_int_t           rc;
    ngx_str_t           value;
    ngx_zapier_idem_t  *op;

    op = &ctx->idem->op;

    ngx_str_set(&value, "true");

    if (ngx_http_zapier_add_header(r, "Idempotency-Replayed", &value)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->run != NULL) {
        rc = ngx_http_zapier_run_replay(r, ctx, &op->body);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    return ngx_http_zapier_run_send(r, ctx, op->status, &op->type, &op->body);
}


void
ngx_http_zapier_idem_shelter(ngx_http_zapier_ctx_t *ctx)
{
    ngx_event_t  *ev;

    /* what is known of the call before does not count for this one */

    ctx->idem->refused = 0;
    ctx->idem->status = 0;

    ev = &ctx->idem->event;

    if (ev->posted) {
        return;
    }

    ngx_memzero(ev, sizeof(ngx_event_t));

    ev->handler = ngx_http_zapier_idem_sheltered;
    ev->data = ctx;
    ev->log = ngx_cycle->log;

    ngx_post_event(ev, &ngx_posted_events);
}


/*
 * proxy_pass looks out for a client that goes away, and breaks the call off
 * then: nobody would know what has become of it.  It has begun by now.
 */

static void
ngx_http_zapier_idem_sheltered(ngx_event_t *ev)
{
    ngx_http_request_t     *sr;
    ngx_http_zapier_ctx_t  *ctx;

    ctx = ev->data;
    sr = ctx->call;

    if (sr != NULL
        && !ctx->call_done
        && sr->upstream != NULL
        && sr->upstream->headers_in.status_n == 0)
    {
        sr->read_event_handler = ngx_http_block_reading;
        sr->write_event_handler = ngx_http_request_empty_handler;
    }
}


/*
 * Zapier refuses a call with a 4xx, and with a 503 that says when to come
 * again, before anything is run.
 */

void
ngx_http_zapier_idem_observe(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_uint_t                status;
    ngx_table_elt_t          *h;
    ngx_http_zapier_idem_t   *idem;
    ngx_http_zapier_walk_t    walk;

    idem = ctx->idem;

    if (idem == NULL || r->upstream == NULL) {
        return;
    }

    status = r->upstream->headers_in.status_n;

    idem->status = status;
    idem->refused = (status >= 400 && status < 500
                     && status != NGX_HTTP_REQUEST_TIME_OUT);

    if (status != NGX_HTTP_SERVICE_UNAVAILABLE) {
        return;
    }

    walk.part = &r->upstream->headers_in.headers.part;
    walk.i = 0;

    for ( ;; ) {
        h = ngx_http_zapier_next_header(&walk);

        if (h == NULL) {
            return;
        }

        if (ngx_http_zapier_header_is(h, "Retry-After")) {
            idem->refused = 1;
        }
    }
}


void
ngx_http_zapier_idem_end(ngx_http_zapier_ctx_t *ctx)
{
    ngx_str_t                none;
    ngx_http_zapier_idem_t  *idem;

    idem = ctx->idem;

    if (idem == NULL) {
        return;
    }

    if (idem->event.posted) {
        ngx_delete_posted_event(&idem->event);
    }

    ngx_str_null(&none);

    if (ctx->state == NGX_HTTP_ZAPIER_IDEM_WAIT) {
        ngx_zapier_idem_cancel(&idem->op);

        if (idem->stage == NGX_HTTP_ZAPIER_IDEM_BEGIN) {
            ngx_zapier_idem_note(&idem->op, "free", 0, &none, &none);

        } else if (idem->stage == NGX_HTTP_ZAPIER_IDEM_STORE) {

            /* perhaps it was not even sent */

            ngx_http_zapier_idem_note(ctx);
        }
    }

    if (idem->begun && !idem->stored) {

        if (ctx->text != NULL
            && ctx->text->complete
            && !ctx->text->too_long)
        {
            ngx_http_zapier_idem_note(ctx);

        } else if (idem->refused
                   || ctx->state == NGX_HTTP_ZAPIER_RETRY_WAIT
                   || !ngx_http_zapier_retry_sent(ctx)) {
            ngx_zapier_idem_note(&idem->op, "free", 0, &none, &none);

        } else {
            ngx_zapier_idem_note(&idem->op, "unknown", 0, &none, &none);
        }

    } else if (idem->busy) {
        ngx_zapier_idem_note(&idem->op, "idle", 0, &none, &none);
    }
}


/* The caller does not wait until his answer is stored. */

static void
ngx_http_zapier_idem_note(ngx_http_zapier_ctx_t *ctx)
{
    ngx_str_t  body;

    body.data = ctx->text->start;
    body.len = ctx->text->last - ctx->text->start;

    ngx_zapier_idem_note(&ctx->idem->op, "answer", ctx->idem->status,
                         &ctx->call->headers_out.content_type, &body);
}


static ngx_int_t
ngx_http_zapier_idem_refuse(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx,
    ngx_uint_t status, const char *code, const char *detail)
{
    ngx_http_zapier_fault_t  fault;

    ngx_http_zapier_fault_init(&fault, code, detail);

    if (status == NGX_HTTP_SERVICE_UNAVAILABLE
        || (ctx->idem != NULL
            && ctx->idem->op.result == NGX_ZAPIER_IDEM_BUSY))
    {
        fault.retry_after = 1;
    }

    return ngx_http_zapier_error(r, ctx, status, &fault, 1);
}
