
/*
 * The answer to a request of several runs: what each of them was answered,
 * in their order.
 *
 *     {"data":[{"status":200,"body":{...}},...]}
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_bulk.h>
#include <ngx_zapier_json.h>


/* an entry without what varies in length */
#define NGX_HTTP_ZAPIER_BULK_ENTRY_LEN  128


static ngx_chain_t *ngx_http_zapier_bulk_body(ngx_pool_t *pool,
    ngx_http_zapier_bulk_t *bulk, off_t *length);
static u_char *ngx_http_zapier_bulk_entry(u_char *p,
    ngx_http_zapier_item_t *item);
static ngx_int_t ngx_http_zapier_bulk_value(ngx_pool_t *pool,
    ngx_http_zapier_item_t *item, ngx_str_t *value);
static ngx_uint_t ngx_http_zapier_bulk_is_json(ngx_str_t *text);
static ngx_chain_t **ngx_http_zapier_bulk_link(ngx_pool_t *pool,
    ngx_chain_t **ll, u_char *pos, u_char *last);


ngx_int_t
ngx_http_zapier_item_place(ngx_http_zapier_item_t *item, ngx_pool_t *pool,
    ngx_http_zapier_fault_t *faults, ngx_uint_t n)
{
    u_char                  *p;
    ngx_str_t               *pointer;
    ngx_uint_t               i;
    ngx_http_zapier_bulk_t  *bulk;

    bulk = item->bulk;

    for (i = 0; i < n; i++) {

        if (faults[i].offset >= 0) {
            faults[i].offset += item->text.data - bulk->body.data;
        }

        pointer = &faults[i].pointer;

        if (pointer->data == NULL) {
            continue;
        }

        if (pointer->len == 0) {
            ngx_str_set(&faults[i].detail, "A run must be an object.");
        }

        p = ngx_pnalloc(pool, sizeof("/data/") + NGX_INT_T_LEN
                              + pointer->len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        pointer->len = ngx_sprintf(p, "%s/%ui%V",
                                   bulk->found.enveloped ? "/data" : "",
                                   (ngx_uint_t) (item - bulk->items), pointer)
                       - p;
        pointer->data = p;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_zapier_bulk_text(ngx_pool_t *pool, ngx_uint_t status,
    const char *code, const char *detail, time_t retry_after,
    ngx_str_t *text)
{
    ngx_buf_t                *b;
    ngx_http_zapier_fault_t   fault;

    ngx_http_zapier_fault_init(&fault, code, detail);
    fault.retry_after = retry_after;

    b = ngx_http_zapier_error_body(pool, status, &fault, 1);
    if (b == NULL) {
        return NGX_ERROR;
    }

    text->data = b->pos;
    text->len = b->last - b->pos;

    return NGX_OK;
}


ngx_int_t
ngx_http_zapier_bulk_send(ngx_http_request_t *r, ngx_http_zapier_bulk_t *bulk)
{
    off_t                         length;
    ngx_int_t                     rc;
    ngx_chain_t                  *out;
    ngx_http_zapier_ctx_t        *ctx;
    ngx_http_zapier_main_conf_t  *zmcf;

    ctx = bulk->ctx;
    ctx->state = NGX_HTTP_ZAPIER_REFUSED;

    out = ngx_http_zapier_bulk_body(r->pool, bulk, &length);
    if (out == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* how the limits stand after all of it */

    if (ctx->claim.nscopes != 0) {
        zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);
        (void) ngx_zapier_limit_peek(&zmcf->limits, &ctx->claim);
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = length;

    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_OK && !r->header_only) {
        rc = ngx_http_output_filter(r, out);
    }

    ngx_http_finalize_request(r, rc);

    return NGX_DONE;
}


static ngx_chain_t *
ngx_http_zapier_bulk_body(ngx_pool_t *pool, ngx_http_zapier_bulk_t *bulk,
    off_t *length)
{
    size_t        len;
    u_char       *p, *head;
    ngx_str_t     value;
    ngx_uint_t    i;
    ngx_chain_t  *out, *cl, **ll;

    len = sizeof("}]}\n");

    for (i = 0; i < bulk->nitems; i++) {
        len += NGX_HTTP_ZAPIER_BULK_ENTRY_LEN
               + ngx_zapier_json_quote(NULL, bulk->items[i].location.data,
                                       bulk->items[i].location.len);
    }

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NULL;
    }

    out = NULL;
    ll = &out;

    for (i = 0; i < bulk->nitems; i++) {
        head = p;

        p = (i == 0) ? ngx_http_zapier_put(p, "{\"data\":[")
                     : ngx_http_zapier_put(p, "},");
        p = ngx_http_zapier_bulk_entry(p, &bulk->items[i]);

        if (ngx_http_zapier_bulk_value(pool, &bulk->items[i], &value)
            != NGX_OK)
        {
            return NULL;
        }

        ll = ngx_http_zapier_bulk_link(pool, ll, head, p);

        if (ll != NULL) {
            ll = ngx_http_zapier_bulk_link(pool, ll, value.data,
                                           value.data + value.len);
        }

        if (ll == NULL) {
            return NULL;
        }
    }

    head = p;
    p = ngx_http_zapier_put(p, "}]}\n");

    if (ngx_http_zapier_bulk_link(pool, ll, head, p) == NULL) {
        return NULL;
    }

    *length = 0;

    for (cl = out; cl; cl = cl->next) {
        *length += ngx_buf_size(cl->buf);

        if (cl->next == NULL) {
            cl->buf->last_buf = 1;
            cl->buf->last_in_chain = 1;
        }
    }

    return out;
}


static u_char *
ngx_http_zapier_bulk_entry(u_char *p, ngx_http_zapier_item_t *item)
{
    p = ngx_http_zapier_put(p, "{\"status\":");
    p = ngx_http_zapier_put_number(p, item->status);

    if (item->retry_after != 0) {
        p = ngx_http_zapier_put(p, ",\"retry_after\":");
        p = ngx_http_zapier_put_number(p, item->retry_after);
    }

    if (item->location.len != 0) {
        p = ngx_http_zapier_put(p, ",\"location\":");
        p = (u_char *) ngx_zapier_json_quote(p, item->location.data,
                                             item->location.len);
    }

    if (item->replayed) {
        p = ngx_http_zapier_put(p, ",\"replayed\":true");
    }

    if (item->truncated) {
        p = ngx_http_zapier_put(p, ",\"truncated\":true");
    }

    return ngx_http_zapier_put(p, ",\"body\":");
}


/* JSON as it is; what is none, as a string. */

static ngx_int_t
ngx_http_zapier_bulk_value(ngx_pool_t *pool, ngx_http_zapier_item_t *item,
    ngx_str_t *value)
{
    u_char     *p;
    ngx_str_t   text;

    text.data = item->answer.start;
    text.len = item->answer.last - item->answer.start;

    if (text.len == 0) {
        ngx_str_set(value, "null");
        return NGX_OK;
    }

    if (ngx_http_zapier_bulk_is_json(&text)) {

        /* the line break of our own errors */

        if (text.data[text.len - 1] == '\n') {
            text.len--;
        }

        *value = text;
        return NGX_OK;
    }

    value->len = ngx_zapier_json_quote(NULL, text.data, text.len);

    p = ngx_pnalloc(pool, value->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_zapier_json_quote(p, text.data, text.len);
    value->data = p;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_zapier_bulk_is_json(ngx_str_t *text)
{
    u_char             *p, *last;
    ngx_int_t           rc;
    ngx_zapier_json_t   json;

    ngx_zapier_json_init(&json, 0);

    p = text->data;
    last = p + text->len;

    do {
        rc = ngx_zapier_json_feed(&json, &p, last);
    } while (rc == NGX_AGAIN);

    return rc == NGX_OK && ngx_zapier_json_finish(&json) == NGX_OK;
}


static ngx_chain_t **
ngx_http_zapier_bulk_link(ngx_pool_t *pool, ngx_chain_t **ll, u_char *pos,
    u_char *last)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    b = ngx_calloc_buf(pool);
    cl = ngx_alloc_chain_link(pool);

    if (b == NULL || cl == NULL) {
        return NULL;
    }

    b->pos = pos;
    b->last = last;
    b->memory = 1;

    cl->buf = b;
    cl->next = NULL;

    *ll = cl;

    return &cl->next;
}
