
/*
 * The body of a run: read by nginx, scanned by a request body filter while
 * it comes in, spooled to disk or kept in memory as nginx decides.
 *
 * The filter inserts what the envelope asks for, so the stored body is
 * never read back.  nginx resends only whole buffers and files when it
 * retries (ngx_http_upstream_reinit() sets pos to start and file_pos to 0),
 * hence start == pos in all memory buffers and no file is used in part.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_action.h>
#include <ngx_http_zapier_bulk.h>
#include <ngx_http_zapier_call.h>
#include <ngx_http_zapier_callback.h>
#include <ngx_http_zapier_idem.h>


/*
 * A body up to so long that is spliced from pieces is sent as one: copying
 * it is cheaper than what each piece costs on its way to the socket.
 */
#define NGX_HTTP_ZAPIER_BODY_SMALL  1024


typedef struct {
    ngx_chain_t                chain;
    ngx_buf_t                  buf;
} ngx_http_zapier_body_link_t;


static ngx_int_t ngx_http_zapier_body_init(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static ngx_int_t ngx_http_zapier_body_default(ngx_http_request_t *r,
    ngx_http_complex_value_t *cv, ngx_str_t *text);
static void ngx_http_zapier_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_zapier_body_finish(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static ngx_int_t ngx_http_zapier_body_wrap(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_str_t *before, ngx_str_t *after);
static ngx_int_t ngx_http_zapier_body_join(ngx_http_request_t *r,
    size_t length, ngx_str_t *before, ngx_str_t *after);
static ngx_int_t ngx_http_zapier_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_http_zapier_body_scan(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_buf_t *b, ngx_chain_t ***ll);
static ngx_int_t ngx_http_zapier_body_partial(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static ngx_int_t ngx_http_zapier_body_rescan(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static ngx_int_t ngx_http_zapier_body_split(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static ngx_buf_t *ngx_http_zapier_body_collect(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static ngx_chain_t *ngx_http_zapier_body_link(ngx_pool_t *pool, u_char *pos,
    u_char *last);


static ngx_http_request_body_filter_pt  ngx_http_next_request_body_filter;


ngx_int_t
ngx_http_zapier_body_read(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ngx_http_zapier_body_init(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_zapier_unlikely(r->request_body != NULL)) {

        /* another module has read it */

        if (ctx->envelope == NULL && ctx->bulk == NULL) {
            return NGX_OK;
        }

        if (r->request_body->rest > 0) {
            return ngx_http_zapier_body_partial(r, ctx);
        }

        if (ctx->bulk != NULL) {
            ctx->body_done = 1;

            return (ngx_http_zapier_body_split(r, ctx) == NGX_OK)
                   ? NGX_OK : NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return (ngx_http_zapier_body_rescan(r, ctx) == NGX_OK)
               ? NGX_OK : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->state = NGX_HTTP_ZAPIER_BODY;
    ctx->reading = 1;

    rc = ngx_http_read_client_request_body(r, ngx_http_zapier_body_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    ctx->reading = 0;

    if (!ctx->body_done) {
        ngx_http_finalize_request(r, NGX_DONE);
        return NGX_DONE;
    }

    /* read at once: the phases go on without another round */

    r->main->count--;

    return (ctx->body_rc == NGX_ERROR) ? NGX_HTTP_INTERNAL_SERVER_ERROR
                                       : NGX_OK;
}


static ngx_int_t
ngx_http_zapier_body_init(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_pool_t                  *pool;
    ngx_http_zapier_loc_conf_t  *zlcf;

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    ctx->body_rc = NGX_OK;
    ctx->envelope = NULL;

    if (zlcf->body == NGX_HTTP_ZAPIER_BODY_OFF || r->method != NGX_HTTP_POST) {
        return NGX_OK;
    }

    if (ngx_http_zapier_body_default(r, zlcf->action, &ctx->action) != NGX_OK
        || ngx_http_zapier_body_default(r, zlcf->authentication,
                                        &ctx->authentication)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->received = 0;
    ctx->body_length = 0;

    if (ngx_zapier_unlikely(ctx->bulk != NULL)) {
        return NGX_OK;
    }

    /* while a run is waited for it is of no use any more */

    pool = ngx_zapier_unlikely(ctx->run != NULL)
           ? ngx_http_zapier_call_memory(r, ctx) : r->pool;

    if (pool != NULL) {
        ctx->envelope = ngx_zapier_envelope_create(pool, &ctx->action,
                                                   &ctx->authentication);
    }

    if (ctx->envelope == NULL) {
        return NGX_ERROR;
    }

    ngx_zapier_envelope_texts(ctx->envelope, r->pool);

    return (zlcf->callback != NULL && ctx->run != NULL)
           ? ngx_http_zapier_callback_make(r, ctx) : NGX_OK;
}


static ngx_int_t
ngx_http_zapier_body_default(ngx_http_request_t *r,
    ngx_http_complex_value_t *cv, ngx_str_t *text)
{
    ngx_str_t  value;

    ngx_str_null(text);

    if (ngx_zapier_likely(cv == NULL)) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, cv, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (value.len == 0) {
        return NGX_OK;
    }

    text->len = ngx_zapier_json_quote(NULL, value.data, value.len);

    text->data = ngx_pnalloc(r->pool, text->len);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_zapier_json_quote(text->data, value.data, value.len);

    return NGX_OK;
}


static void
ngx_http_zapier_body_handler(ngx_http_request_t *r)
{
    ngx_http_zapier_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_zapier_module);

    ctx->body_done = 1;
    ctx->state = NGX_HTTP_ZAPIER_TOKEN;

    if (ctx->envelope != NULL
        && ngx_http_zapier_body_finish(r, ctx) != NGX_OK)
    {
        ctx->body_rc = NGX_ERROR;
    }

    if (ctx->bulk != NULL && ngx_http_zapier_body_split(r, ctx) != NGX_OK) {
        ctx->body_rc = NGX_ERROR;
    }

    /* the reader has taken it away, also if all was there at once */

    r->write_event_handler = ngx_http_core_run_phases;

    if (ctx->reading) {
        return;
    }

    if (ctx->body_rc == NGX_ERROR) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_core_run_phases(r);
}


static ngx_int_t
ngx_http_zapier_body_finish(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_str_t                    before, after;
    ngx_http_zapier_loc_conf_t  *zlcf;

    if (ctx->body_rc != NGX_OK) {
        return (ctx->body_rc == NGX_ERROR) ? NGX_ERROR : NGX_OK;
    }

    ctx->body_rc = ngx_zapier_envelope_finish(ctx->envelope, &before, &after);

    if (ctx->body_rc != NGX_OK) {
        return (ctx->body_rc == NGX_ERROR) ? NGX_ERROR : NGX_OK;
    }

    if (ngx_http_zapier_body_wrap(r, ctx, &before, &after) != NGX_OK) {
        return NGX_ERROR;
    }

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    if (zlcf->action_map != NULL
        && ngx_http_zapier_action_apply(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_zapier_set_body_headers(r, ctx->body_length);
}


static ngx_int_t
ngx_http_zapier_body_wrap(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx,
    ngx_str_t *before, ngx_str_t *after)
{
    ngx_chain_t              *cl, **ll;
    ngx_http_request_body_t  *rb;

    rb = r->request_body;

    ctx->body_length += before->len + after->len;

    if (ctx->body_length <= NGX_HTTP_ZAPIER_BODY_SMALL
        && rb->temp_file == NULL
        && rb->bufs != NULL
        && (rb->bufs->next != NULL || before->len + after->len != 0))
    {
        return ngx_http_zapier_body_join(r, (size_t) ctx->body_length,
                                         before, after);
    }

    if (before->len != 0) {
        cl = ngx_http_zapier_body_link(r->pool, before->data,
                                       before->data + before->len);
        if (cl == NULL) {
            return NGX_ERROR;
        }

        cl->next = rb->bufs;
        rb->bufs = cl;
    }

    /*
     * A chunked body ends in an empty buffer, which is not welcome in the
     * middle of a chain.
     */

    for (ll = &rb->bufs; *ll; /* void */) {

        if (ngx_buf_size((*ll)->buf) == 0) {
            *ll = (*ll)->next;
            continue;
        }

        (*ll)->buf->last_buf = 0;
        ll = &(*ll)->next;
    }

    if (after->len != 0) {
        *ll = ngx_http_zapier_body_link(r->pool, after->data,
                                        after->data + after->len);
        if (*ll == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_zapier_body_join(ngx_http_request_t *r, size_t length,
    ngx_str_t *before, ngx_str_t *after)
{
    u_char       *p, *start;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    start = ngx_pnalloc(r->pool, length);
    if (start == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(start, before->data, before->len);

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;
        p = ngx_cpymem(p, b->pos, b->last - b->pos);
    }

    p = ngx_cpymem(p, after->data, after->len);

    r->request_body->bufs = ngx_http_zapier_body_link(r->pool, start, p);

    return (r->request_body->bufs == NULL) ? NGX_ERROR : NGX_OK;
}


ngx_int_t
ngx_http_zapier_body_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_request_body_filter = ngx_http_top_request_body_filter;
    ngx_http_top_request_body_filter = ngx_http_zapier_body_filter;

    return NGX_OK;
}


static ngx_int_t
ngx_http_zapier_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_buf_t              *b;
    ngx_chain_t            *cl, *out, **ll;
    ngx_http_zapier_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_zapier_module);

    if (in == NULL || ctx == NULL || ctx->state != NGX_HTTP_ZAPIER_BODY) {
        return ngx_http_next_request_body_filter(r, in);
    }

    if (ctx->idem != NULL) {
        ngx_http_zapier_idem_feed(ctx, in);
    }

    if (ctx->envelope == NULL && ctx->bulk == NULL) {
        return ngx_http_next_request_body_filter(r, in);
    }

    out = NULL;
    ll = &out;

    for (cl = in; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_http_zapier_body_scan(r, ctx, b, &ll) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (ctx->body_rc == NGX_OK && out == NULL && cl->next == NULL) {

            /* as it mostly is: one buffer, in which nothing is inserted */

            return ngx_http_next_request_body_filter(r, cl);
        }

        if (ctx->body_rc != NGX_OK) {

            /*
             * the rest is read, so that the answer reaches the caller, but
             * not stored; only the mark of the end goes on
             */

            b->pos = b->last;

            if (!b->last_buf) {
                continue;
            }
        }

        *ll = ngx_alloc_chain_link(r->pool);
        if (*ll == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        (*ll)->buf = b;
        (*ll)->next = NULL;
        ll = &(*ll)->next;
    }

    return ngx_http_next_request_body_filter(r, out);
}


/*
 * Feeds one buffer to the envelope.  What precedes an insertion, and the
 * insertion, are linked to *ll; b is left with the rest.
 */

static ngx_int_t
ngx_http_zapier_body_scan(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx,
    ngx_buf_t *b, ngx_chain_t ***ll)
{
    u_char                      *pos;
    ngx_int_t                    rc;
    ngx_str_t                    insert;
    ngx_chain_t                 *cl;
    ngx_http_zapier_loc_conf_t  *zlcf;

    if (ctx->body_rc != NGX_OK) {
        return NGX_OK;
    }

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    ctx->received += b->last - b->pos;

    if (ctx->received > (off_t) zlcf->body_max) {
        ctx->body_too_large = 1;
        ctx->body_rc = NGX_DECLINED;
        return NGX_OK;
    }

    /* items are looked for when all is there */

    if (ctx->envelope == NULL) {
        return NGX_OK;
    }

    pos = b->pos;

    for ( ;; ) {
        rc = ngx_zapier_envelope_feed(ctx->envelope, &pos, b->last, &insert);

        if (rc != NGX_AGAIN) {
            break;
        }

        if (pos != b->pos) {
            cl = ngx_http_zapier_body_link(r->pool, b->pos, pos);
            if (cl == NULL) {
                return NGX_ERROR;
            }

            **ll = cl;
            *ll = &cl->next;

            ctx->body_length += pos - b->pos;

            /* a retry would start from there */

            b->start = pos;
            b->pos = pos;
        }

        cl = ngx_http_zapier_body_link(r->pool, insert.data,
                                       insert.data + insert.len);
        if (cl == NULL) {
            return NGX_ERROR;
        }

        **ll = cl;
        *ll = &cl->next;

        ctx->body_length += insert.len;
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    ctx->body_rc = rc;
    ctx->body_length += b->last - b->pos;

    return NGX_OK;
}


/*
 * An error_page leads here from a location that has not read the body to
 * its end: what is there might look like a whole one.
 */

static ngx_int_t
ngx_http_zapier_body_partial(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_http_zapier_fault_t  fault;

    ngx_memzero(&fault, sizeof(ngx_http_zapier_fault_t));
    fault.offset = -1;

    if (r->err_status == NGX_HTTP_REQUEST_ENTITY_TOO_LARGE) {
        ngx_str_set(&fault.code, "body_too_large");
        ngx_str_set(&fault.detail, "The body is larger than this gateway "
                                   "takes.");

        return ngx_http_zapier_error(r, ctx, r->err_status, &fault, 1);
    }

    ngx_str_set(&fault.code, "parse_error");
    ngx_str_set(&fault.detail, "The body was not received as a whole.");

    return ngx_http_zapier_error(r, ctx, NGX_HTTP_BAD_REQUEST, &fault, 1);
}


static ngx_int_t
ngx_http_zapier_body_rescan(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_buf_t    *b;
    ngx_chain_t  *out, **ll;

    out = NULL;
    ll = &out;

    ctx->body_done = 1;

    b = ngx_http_zapier_body_collect(r, ctx);
    if (b == NULL) {
        return ctx->body_too_large ? NGX_OK : NGX_ERROR;
    }

    if (ngx_http_zapier_body_scan(r, ctx, b, &ll) != NGX_OK) {
        return NGX_ERROR;
    }

    *ll = ngx_http_zapier_body_link(r->pool, b->pos, b->last);
    if (*ll == NULL) {
        return NGX_ERROR;
    }

    /* the file, if there is one, is closed with the pool */

    r->request_body->bufs = out;
    r->request_body->temp_file = NULL;

    return ngx_http_zapier_body_finish(r, ctx);
}


static ngx_int_t
ngx_http_zapier_body_split(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_buf_t    *b;
    ngx_str_t     text;
    ngx_chain_t  *cl;

    if (ctx->body_rc != NGX_OK) {
        return (ctx->body_rc == NGX_DECLINED) ? NGX_OK : NGX_ERROR;
    }

    cl = r->request_body->bufs;

    if (cl != NULL && cl->next == NULL && !cl->buf->in_file) {
        b = cl->buf;

    } else {
        b = ngx_http_zapier_body_collect(r, ctx);
        if (b == NULL) {
            return ctx->body_too_large ? NGX_OK : NGX_ERROR;
        }
    }

    text.data = b->pos;
    text.len = b->last - b->pos;

    ctx->body_rc = ngx_http_zapier_bulk_split(ctx, &text);

    return (ctx->body_rc == NGX_ERROR) ? NGX_ERROR : NGX_OK;
}


/*
 * The only place where a body is read from a file: another module has read
 * it before this one could look, or it has several runs.
 */

static ngx_buf_t *
ngx_http_zapier_body_collect(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    off_t                        len;
    ssize_t                      n;
    ngx_buf_t                   *b, *buf;
    ngx_chain_t                 *cl;
    ngx_http_zapier_loc_conf_t  *zlcf;

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    len = 0;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        len += ngx_buf_size(cl->buf);
    }

    if (len > (off_t) zlcf->body_max) {
        ctx->body_too_large = 1;
        ctx->body_rc = NGX_DECLINED;
        return NULL;
    }

    b = ngx_create_temp_buf(r->pool, len + 1);
    if (b == NULL) {
        return NULL;
    }

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        buf = cl->buf;

        if (!buf->in_file) {
            b->last = ngx_cpymem(b->last, buf->pos, buf->last - buf->pos);
            continue;
        }

        while (buf->file_pos < buf->file_last) {
            n = ngx_read_file(buf->file, b->last,
                              (size_t) (buf->file_last - buf->file_pos),
                              buf->file_pos);
            if (n <= 0) {
                return NULL;
            }

            b->last += n;
            buf->file_pos += n;
        }
    }

    return b;
}


static ngx_chain_t *
ngx_http_zapier_body_link(ngx_pool_t *pool, u_char *pos, u_char *last)
{
    ngx_buf_t                    *b;
    ngx_http_zapier_body_link_t  *link;

    link = ngx_pcalloc(pool, sizeof(ngx_http_zapier_body_link_t));
    if (link == NULL) {
        return NULL;
    }

    b = &link->buf;

    b->start = pos;
    b->pos = pos;
    b->last = last;
    b->end = last;
    b->temporary = 1;

    link->chain.buf = b;

    return &link->chain;
}
