
/*
 * One run of several: a request without a client, made of the one that has
 * brought it.  It enters the same location behind everything that deals
 * with callers, and finds its text as a body that was read already.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_alone.h>
#include <ngx_http_zapier_bulk.h>
#include <ngx_http_zapier_call.h>
#include <ngx_http_zapier_retry.h>
#include <ngx_http_zapier_run.h>


/* bytes of an answer, without zapier_wait */
#define NGX_HTTP_ZAPIER_ITEM_MAX  (256 * 1024)


static ngx_int_t ngx_http_zapier_item_request(ngx_http_zapier_item_t *item,
    ngx_http_request_t *r);
static ngx_int_t ngx_http_zapier_item_headers(ngx_http_request_t *r,
    ngx_http_request_t *pr);
static ngx_uint_t ngx_http_zapier_item_own_header(ngx_table_elt_t *h);
static void ngx_http_zapier_item_variables(ngx_http_request_t *r,
    ngx_http_request_t *pr);
static ngx_int_t ngx_http_zapier_item_text(ngx_http_request_t *r,
    ngx_str_t *text);
static void ngx_http_zapier_item_note(ngx_http_zapier_item_t *item,
    ngx_table_elt_t *h);
static void ngx_http_zapier_item_closed(void *data);
static void ngx_http_zapier_item_result(ngx_http_zapier_item_t *item,
    ngx_http_request_t *r);
static void ngx_http_zapier_item_failed(ngx_http_zapier_item_t *item,
    ngx_http_request_t *r);
static ngx_uint_t ngx_http_zapier_item_sent(ngx_http_zapier_item_t *item,
    ngx_http_request_t *r);
static void ngx_http_zapier_item_limited(ngx_http_zapier_item_t *item,
    ngx_http_request_t *r);


void
ngx_http_zapier_item_start(ngx_http_zapier_item_t *item)
{
    ngx_connection_t          *c, *pc;
    ngx_http_request_t        *r;
    ngx_http_core_srv_conf_t  *cscf;

    pc = item->bulk->request->connection;

    cscf = ngx_http_get_module_srv_conf(item->bulk->request,
                                        ngx_http_core_module);

    c = ngx_http_zapier_alone_connection(cscf->ctx);

    if (c == NULL) {
        ngx_http_zapier_item_refuse(item, NGX_HTTP_SERVICE_UNAVAILABLE,
                                    "not_sent", "The gateway could not make "
                                    "the call, it was not sent.");
        return;
    }

    /* $remote_addr and the like are the caller's */

    c->sockaddr = pc->sockaddr;
    c->socklen = pc->socklen;
    c->addr_text = pc->addr_text;
    c->local_sockaddr = pc->local_sockaddr;
    c->local_socklen = pc->local_socklen;

    r = ngx_http_zapier_alone_request(c, ngx_http_zapier_item_closed, item);

    if (r == NULL) {
        ngx_http_close_connection(c);
        ngx_http_zapier_item_refuse(item, NGX_HTTP_SERVICE_UNAVAILABLE,
                                    "not_sent", "The gateway could not make "
                                    "the call, it was not sent.");
        return;
    }

    /* from here on closed() tells the end */

    item->connection = c;
    item->bulk->busy++;

    item->ctx = ngx_http_zapier_create_ctx(r);

    if (item->ctx == NULL || ngx_http_zapier_item_request(item, r) != NGX_OK)
    {
        ngx_http_free_request(r, 0);
        ngx_http_close_connection(c);
        return;
    }

    item->ctx->item = item;

    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_zapier_item_request(ngx_http_zapier_item_t *item,
    ngx_http_request_t *r)
{
    ngx_http_request_t  *pr;

    pr = item->bulk->request;

    r->write_event_handler = ngx_http_core_run_phases;

    r->method = NGX_HTTP_POST;
    r->method_name = pr->method_name;
    r->uri = pr->uri;
    r->args = pr->args;
    r->exten = pr->exten;
    r->unparsed_uri = pr->unparsed_uri;
    r->valid_unparsed_uri = pr->valid_unparsed_uri;
    r->valid_location = pr->valid_location;
    r->request_line = pr->request_line;
    r->schema = pr->schema;

    r->srv_conf = pr->srv_conf;
    r->loc_conf = pr->loc_conf;
    r->content_handler = pr->content_handler;
    r->phase_handler = pr->phase_handler;

#if (NGX_PCRE)
    r->ncaptures = pr->ncaptures;
    r->captures = pr->captures;
    r->captures_data = pr->captures_data;
    r->realloc_captures = 1;
#endif

    /* the whole of the answer is looked at */

    r->filter_need_in_memory = 1;

    /* the way around lingering_close */

    r->connection->read->eof = 1;

    ngx_http_zapier_item_variables(r, pr);

    if (ngx_http_zapier_item_headers(r, pr) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_zapier_item_text(r, &item->text);
}


/* Those of the caller, but for what describes his body. */

static ngx_int_t
ngx_http_zapier_item_headers(ngx_http_request_t *r, ngx_http_request_t *pr)
{
    ngx_table_elt_t         *h, *copy;
    ngx_http_zapier_walk_t   walk;

    r->headers_in = pr->headers_in;

    r->headers_in.content_length = NULL;
    r->headers_in.content_type = NULL;
    r->headers_in.transfer_encoding = NULL;
    r->headers_in.expect = NULL;
    r->headers_in.chunked = 0;
    r->expect_tested = 1;

    if (ngx_list_init(&r->headers_in.headers, r->pool, 16,
                      sizeof(ngx_table_elt_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    walk.part = &pr->headers_in.headers.part;
    walk.i = 0;

    for ( ;; ) {
        h = ngx_http_zapier_next_header(&walk);

        if (h == NULL) {
            return NGX_OK;
        }

        if (ngx_http_zapier_item_own_header(h)) {
            continue;
        }

        copy = ngx_list_push(&r->headers_in.headers);
        if (copy == NULL) {
            return NGX_ERROR;
        }

        *copy = *h;
    }
}


static ngx_uint_t
ngx_http_zapier_item_own_header(ngx_table_elt_t *h)
{
    ngx_str_t  *name;

    static ngx_str_t  names[] = {
        ngx_string("accept-encoding"),
        ngx_string("connection"),
        ngx_string("content-encoding"),
        ngx_string("content-length"),
        ngx_string("content-type"),
        ngx_string("expect"),
        ngx_string("idempotency-key"),
        ngx_string("transfer-encoding"),
        ngx_null_string
    };

    for (name = names; name->len != 0; name++) {

        if (h->key.len == name->len
            && ngx_strncasecmp(h->key.data, name->data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* What "set", "map" and the like have found out before. */

static void
ngx_http_zapier_item_variables(ngx_http_request_t *r, ngx_http_request_t *pr)
{
    ngx_uint_t                  i;
    ngx_http_variable_t        *v;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);

    v = cmcf->variables.elts;

    for (i = 0; i < cmcf->variables.nelts; i++) {

        if ((v[i].flags & NGX_HTTP_VAR_CHANGEABLE)
            && !(v[i].flags & NGX_HTTP_VAR_NOCACHEABLE)
            && pr->variables[i].valid)
        {
            r->variables[i] = pr->variables[i];
        }
    }
}


static ngx_int_t
ngx_http_zapier_item_text(ngx_http_request_t *r, ngx_str_t *text)
{
    ngx_buf_t                *b;
    ngx_chain_t              *cl;
    ngx_http_request_body_t  *rb;

    rb = ngx_pcalloc(r->pool, sizeof(ngx_http_request_body_t));
    b = ngx_calloc_buf(r->pool);
    cl = ngx_alloc_chain_link(r->pool);

    if (rb == NULL || b == NULL || cl == NULL) {
        return NGX_ERROR;
    }

    b->start = text->data;
    b->pos = text->data;
    b->last = text->data + text->len;
    b->end = b->last;
    b->memory = 1;
    b->last_buf = 1;

    cl->buf = b;
    cl->next = NULL;

    rb->bufs = cl;
    r->request_body = rb;

    return ngx_http_zapier_set_body_headers(r, text->len);
}


ngx_int_t
ngx_http_zapier_item_enter(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_uint_t                 i;
    ngx_http_zapier_ctx_t     *pctx;
    ngx_zapier_limit_scope_t  *scope;

    /* an error_page leads to a call of its own: that is not in the bargain */

    if (ctx->item->entered) {
        return NGX_ERROR;
    }

    ctx->item->entered = 1;

    pctx = ctx->item->bulk->ctx;

    ctx->tenant = pctx->tenant;
    ctx->hash = pctx->hash;
    ctx->dry = pctx->dry;

    ctx->claim.scopes = ngx_palloc(r->pool, pctx->claim.nscopes
                                         * sizeof(ngx_zapier_limit_scope_t));
    if (ctx->claim.scopes == NULL) {
        return NGX_ERROR;
    }

    ctx->claim.nscopes = pctx->claim.nscopes;
    ctx->claim.tag = pctx->claim.tag;
    ctx->claim.fallback = pctx->claim.fallback;
    ctx->claim.open_calls = pctx->claim.open_calls;
    ctx->claim.open_time = pctx->claim.open_time;
    ctx->claim.patient = pctx->claim.patient;

    for (i = 0; i < ctx->claim.nscopes; i++) {
        scope = &ctx->claim.scopes[i];

        *scope = pctx->claim.scopes[i];

        ngx_zapier_limit_scope_init(scope);
    }

    return ngx_http_zapier_auth_identify(r, ctx);
}


ngx_int_t
ngx_http_zapier_item_header(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    size_t                       max;
    ngx_table_elt_t             *h;
    ngx_http_zapier_item_t      *item;
    ngx_http_zapier_walk_t       walk;
    ngx_http_zapier_loc_conf_t  *zlcf;

    if (ngx_http_zapier_limit_headers(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    item = ctx->item;

    max = zlcf->wait ? zlcf->wait->max + 1024 : NGX_HTTP_ZAPIER_ITEM_MAX;

    ngx_http_zapier_text_init(&item->answer, item->bulk->request->pool, max,
                              r->headers_out.content_length_n);

    item->status = r->headers_out.status;

    /* there may be no body at all, and no call of the filter for it */

    item->answer.complete = r->header_only
                            || item->status == NGX_HTTP_NO_CONTENT
                            || r->headers_out.content_length_n == 0;

    walk.part = &r->headers_out.headers.part;
    walk.i = 0;

    for ( ;; ) {
        h = ngx_http_zapier_next_header(&walk);

        if (h == NULL) {
            break;
        }

        if (h->hash != 0) {
            ngx_http_zapier_item_note(item, h);
        }
    }

    r->header_sent = 1;

    return NGX_OK;
}


static void
ngx_http_zapier_item_note(ngx_http_zapier_item_t *item, ngx_table_elt_t *h)
{
    time_t  n;

    if (ngx_http_zapier_header_is(h, "Idempotency-Replayed")) {
        item->replayed = 1;
        return;
    }

    if (ngx_http_zapier_header_is(h, "Location")) {
        item->location.len = h->value.len;
        item->location.data = ngx_pstrdup(item->bulk->request->pool,
                                          &h->value);

        if (item->location.data == NULL) {
            item->location.len = 0;
        }

        return;
    }

    if (ngx_http_zapier_header_is(h, "Retry-After")) {
        n = ngx_atotm(h->value.data, h->value.len);

        if (n != NGX_ERROR) {
            item->retry_after = n;
        }
    }
}


void
ngx_http_zapier_item_body(ngx_http_zapier_ctx_t *ctx, ngx_chain_t *in)
{
    ngx_http_zapier_text_add(&ctx->item->answer, in);
}


static void
ngx_http_zapier_item_closed(void *data)
{
    ngx_http_zapier_item_t *item = data;

    ngx_http_request_t      *r;
    ngx_http_zapier_bulk_t  *bulk;

    bulk = item->bulk;

    if (item->ctx != NULL) {
        r = item->ctx->request;

        /* there is no line in the log, with which this is done for others */

        ngx_http_zapier_limit_settle(r, item->ctx);

        /* else the caller has gone, and his memory may have */

        if (!bulk->finished) {
            ngx_http_zapier_item_result(item, r);
        }

        ngx_http_zapier_call_destroy(item->ctx);

    } else if (!bulk->finished) {
        ngx_http_zapier_item_refuse(item, NGX_HTTP_SERVICE_UNAVAILABLE,
                                    "not_sent", "The gateway could not make "
                                    "the call, it was not sent.");
    }

    item->connection = NULL;
    item->ctx = NULL;
    item->done = 1;

    bulk->busy--;

    if (!bulk->finished) {
        ngx_post_event(&bulk->event, &ngx_posted_events);
    }
}


static void
ngx_http_zapier_item_result(ngx_http_zapier_item_t *item,
    ngx_http_request_t *r)
{
    ngx_http_zapier_text_t  *text;

    text = &item->answer;

    /* nginx's own pages are not what the upstream says */

    if (item->status == 0
        || (item->ctx->error.len == 0
            && r->err_status != 0
            && (r->upstream == NULL
                || r->upstream->headers_in.status_n != item->status)))
    {
        ngx_http_zapier_item_failed(item, r);
        return;
    }

    if (!text->complete) {
        ngx_http_zapier_item_failed(item, r);
        return;
    }

    if (text->too_long) {
        item->truncated = 1;
        text->start = NULL;
        text->last = NULL;
    }

    if (item->status == NGX_HTTP_TOO_MANY_REQUESTS) {
        ngx_http_zapier_item_limited(item, r);
    }
}


static void
ngx_http_zapier_item_failed(ngx_http_zapier_item_t *item,
    ngx_http_request_t *r)
{
    item->location.len = 0;
    item->retry_after = 0;

    if (ngx_http_zapier_item_sent(item, r)) {
        ngx_http_zapier_item_refuse(item,
                                    (item->status == NGX_HTTP_GATEWAY_TIME_OUT)
                                    ? item->status : NGX_HTTP_BAD_GATEWAY,
                                    "upstream_invalid",
                                    "The call was sent, but its answer did "
                                    "not come as a whole: the action may "
                                    "have been run.");
        return;
    }

    ngx_http_zapier_item_refuse(item,
                                (item->status >= NGX_HTTP_BAD_GATEWAY)
                                ? item->status : NGX_HTTP_SERVICE_UNAVAILABLE,
                                "not_sent",
                                "The gateway could not make the call, it was "
                                "not sent.");
}


/* Has any byte of the call left, or of one that may have done something? */

static ngx_uint_t
ngx_http_zapier_item_sent(ngx_http_zapier_item_t *item, ngx_http_request_t *r)
{
    ngx_uint_t                  i;
    ngx_http_upstream_state_t  *state;

    if (item->ctx->call != NULL) {
        return ngx_http_zapier_retry_sent(item->ctx);
    }

    if (r->upstream != NULL && r->upstream->request_sent) {
        return 1;
    }

    if (r->upstream_states == NULL) {
        return 0;
    }

    state = r->upstream_states->elts;

    for (i = 0; i < r->upstream_states->nelts; i++) {
        if (state[i].bytes_sent > 0) {
            return 1;
        }
    }

    return 0;
}


void
ngx_http_zapier_item_refuse(ngx_http_zapier_item_t *item, ngx_uint_t status,
    const char *code, const char *detail)
{
    ngx_str_t  text;

    item->status = status;
    item->done = 1;

    ngx_memzero(&item->answer, sizeof(ngx_http_zapier_text_t));

    if (ngx_http_zapier_bulk_text(item->bulk->request->pool, status, code,
                                  detail, 0, &text)
        == NGX_OK)
    {
        item->answer.start = text.data;
        item->answer.last = text.data + text.len;
    }
}


/*
 * The others would fare no better.  With an idempotency key they may have
 * been answered before, which needs no quota.
 */

static void
ngx_http_zapier_item_limited(ngx_http_zapier_item_t *item,
    ngx_http_request_t *r)
{
    ngx_str_t                    text;
    ngx_http_zapier_bulk_t      *bulk;
    ngx_http_zapier_loc_conf_t  *zlcf;

    bulk = item->bulk;
    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    if (bulk->key.len != 0 || item->ctx->dry) {
        return;
    }

    if (item->ctx->error.len != 0) {
        text.data = item->answer.start;
        text.len = item->answer.last - item->answer.start;

    } else if (zlcf->queue != NULL
               || ngx_http_zapier_bulk_text(bulk->request->pool, item->status,
                                            "rate_limited",
                                            "The quota is used up, the call "
                                            "was not sent.",
                                            item->retry_after, &text)
                  != NGX_OK)
    {
        return;
    }

    ngx_http_zapier_bulk_close(bulk, item->status, &text, item->retry_after);
}
