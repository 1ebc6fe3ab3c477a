
/*
 * Our own answers, in the upstream's errors[] envelope with "GATEWAY" as
 * their source, so that a caller can tell our 429 from Zapier's.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_bulk.h>


static void ngx_http_zapier_error_limits(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static ngx_int_t ngx_http_zapier_error_headers(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_uint_t status,
    ngx_http_zapier_fault_t *fault);
static u_char *ngx_http_zapier_error_entry(u_char *p, ngx_uint_t status,
    ngx_http_zapier_fault_t *fault);
static u_char *ngx_http_zapier_error_title(u_char *p, ngx_str_t *code);


/* one entry without the strings that vary, with room to spare */
#define NGX_HTTP_ZAPIER_ENTRY_LEN  256


ngx_int_t
ngx_http_zapier_error(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx,
    ngx_uint_t status, ngx_http_zapier_fault_t *faults, ngx_uint_t n)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_uint_t    level;
    ngx_chain_t   out;

    ctx->state = NGX_HTTP_ZAPIER_REFUSED;
    ctx->error = faults[0].code;

    level = (status < NGX_HTTP_INTERNAL_SERVER_ERROR) ? NGX_LOG_INFO
                                                      : NGX_LOG_ERR;

    ngx_log_error(level, r->connection->log, 0,
                  "zapier: refused with %ui \"%V\", tenant \"%V\"",
                  status, &faults[0].code, &ctx->tenant);

    /* who waits for "100 Continue" shall not send a body for nothing */

    r->expect_tested = 1;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        ngx_http_finalize_request(r, rc);
        return NGX_DONE;
    }

    ngx_http_zapier_error_limits(r, ctx);

    if (ctx->item != NULL
        && ngx_http_zapier_item_place(ctx->item, r->pool, faults, n)
           != NGX_OK)
    {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return NGX_DONE;
    }

    b = ngx_http_zapier_error_body(r->pool, status, faults, n);

    if (b == NULL
        || ngx_http_zapier_error_headers(r, ctx, status, &faults[0])
           != NGX_OK)
    {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return NGX_DONE;
    }

    r->headers_out.status = status;
    r->headers_out.content_length_n = b->last - b->pos;

    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_OK && !r->header_only) {
        out.buf = b;
        out.next = NULL;

        rc = ngx_http_output_filter(r, &out);
    }

    ngx_http_finalize_request(r, rc);

    return NGX_DONE;
}


void
ngx_http_zapier_fault_init(ngx_http_zapier_fault_t *fault, const char *code,
    const char *detail)
{
    ngx_memzero(fault, sizeof(ngx_http_zapier_fault_t));

    fault->code.len = ngx_strlen(code);
    fault->code.data = (u_char *) code;
    fault->detail.len = ngx_strlen(detail);
    fault->detail.data = (u_char *) detail;
    fault->offset = -1;
}


/* Answers tell how the limits stand, also if nobody has had to look yet. */

static void
ngx_http_zapier_error_limits(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_http_zapier_main_conf_t  *zmcf;

    if (ctx->claim.nscopes == 0
        || ctx->limited
        || ctx->claim.view.zone != NULL)
    {
        return;
    }

    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    (void) ngx_zapier_limit_peek(&zmcf->limits, &ctx->claim);

    /* it is for another reason that the request is refused */

    ctx->claim.view.retry_after = 0;
}


ngx_int_t
ngx_http_zapier_body_error(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_uint_t                n;
    ngx_zapier_fault_t       *found;
    ngx_http_zapier_fault_t   faults[NGX_ZAPIER_ENVELOPE_FAULTS];

    if (ctx->body_too_large) {
        ngx_memzero(faults, sizeof(ngx_http_zapier_fault_t));
        faults[0].offset = -1;
        ngx_str_set(&faults[0].code, "body_too_large");
        ngx_str_set(&faults[0].detail, "The body is larger than this gateway "
                                       "takes.");

        return ngx_http_zapier_error(r, ctx, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                     faults, 1);
    }

    if (ctx->faults != NULL) {
        return ngx_http_zapier_error(r, ctx, NGX_HTTP_BAD_REQUEST,
                                     ctx->faults->elts, ctx->faults->nelts);
    }

    if (ctx->bulk != NULL) {
        found = &ctx->bulk->found.fault;
        n = 1;

    } else {
        found = ngx_zapier_envelope_faults(ctx->envelope, &n);
    }

    n = ngx_http_zapier_faults(found, n, faults);

    return ngx_http_zapier_error(r, ctx, NGX_HTTP_BAD_REQUEST, faults, n);
}


ngx_uint_t
ngx_http_zapier_faults(ngx_zapier_fault_t *found, ngx_uint_t n,
    ngx_http_zapier_fault_t *faults)
{
    ngx_uint_t  i;

    n = ngx_min(n, NGX_ZAPIER_ENVELOPE_FAULTS);

    ngx_memzero(faults, n * sizeof(ngx_http_zapier_fault_t));

    for (i = 0; i < n; i++) {
        faults[i].code = *ngx_zapier_fault_code(found[i].code);
        faults[i].detail.len = ngx_strlen(found[i].detail);
        faults[i].detail.data = (u_char *) found[i].detail;
        faults[i].pointer.len = found[i].pointer_len;
        faults[i].pointer.data = found[i].pointer;
        faults[i].offset = found[i].offset;
    }

    return n;
}


static ngx_int_t
ngx_http_zapier_error_headers(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_uint_t status,
    ngx_http_zapier_fault_t *fault)
{
    u_char      *p;
    ngx_str_t    value;
    const char  *type;

    static ngx_str_t  challenge = ngx_string("Bearer realm=\"zapier\"");

    /* RFC 9209: who answers, and why */

    switch (status) {

    case NGX_HTTP_UNAUTHORIZED:
    case NGX_HTTP_FORBIDDEN:
    case NGX_HTTP_TOO_MANY_REQUESTS:
        type = "http_request_denied";
        break;

    case NGX_HTTP_SERVICE_UNAVAILABLE:
        type = "proxy_internal_error";
        break;

    default:
        type = "http_request_error";
    }

    p = ngx_pnalloc(r->pool, sizeof("ngx_zapier; error=; details=\"\"")
                             + ngx_strlen(type) + fault->code.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;

    p = ngx_http_zapier_put(p, "ngx_zapier; error=");
    p = ngx_cpymem(p, type, ngx_strlen(type));
    p = ngx_http_zapier_put(p, "; details=\"");
    p = ngx_cpymem(p, fault->code.data, fault->code.len);
    *p++ = '"';

    value.len = p - value.data;

    if (ngx_http_zapier_add_header(r, "Proxy-Status", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    /* RFC 9110 15.5.2 wants one with every 401 */

    if (status == NGX_HTTP_UNAUTHORIZED
        && ngx_http_zapier_add_header(r, "WWW-Authenticate", &challenge)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* the quota's own Retry-After comes with its other headers */

    if (fault->retry_after == 0 || fault->scope.len != 0) {
        return NGX_OK;
    }

    return ngx_http_zapier_add_number(r, "Retry-After", fault->retry_after);
}


ngx_buf_t *
ngx_http_zapier_error_body(ngx_pool_t *pool, ngx_uint_t status,
    ngx_http_zapier_fault_t *faults, ngx_uint_t n)
{
    size_t       len;
    ngx_buf_t   *b;
    ngx_uint_t   i;

    len = sizeof("{\"errors\":[]}\n");

    for (i = 0; i < n; i++) {
        len += NGX_HTTP_ZAPIER_ENTRY_LEN + 2 * faults[i].code.len
               + faults[i].detail.len + faults[i].scope.len * 6
               + ngx_zapier_json_quote(NULL, faults[i].pointer.data,
                                       faults[i].pointer.len);
    }

    b = ngx_create_temp_buf(pool, len);
    if (b == NULL) {
        return NULL;
    }

    b->last = ngx_http_zapier_put(b->last, "{\"errors\":[");

    for (i = 0; i < n; i++) {

        if (i != 0) {
            *b->last++ = ',';
        }

        b->last = ngx_http_zapier_error_entry(b->last, status, &faults[i]);
    }

    b->last = ngx_http_zapier_put(b->last, "]}\n");
    b->last_buf = 1;
    b->last_in_chain = 1;

    return b;
}


/* A closed gate answers thousands a second: no format is interpreted. */

static u_char *
ngx_http_zapier_error_entry(u_char *p, ngx_uint_t status,
    ngx_http_zapier_fault_t *fault)
{
    p = ngx_http_zapier_put(p, "{\"status\":");
    p = ngx_http_zapier_put_number(p, status);
    p = ngx_http_zapier_put(p, ",\"code\":\"");
    p = ngx_cpymem(p, fault->code.data, fault->code.len);
    p = ngx_http_zapier_put(p, "\",\"title\":\"");
    p = ngx_http_zapier_error_title(p, &fault->code);
    p = ngx_http_zapier_put(p, "\",\"detail\":\"");
    p = ngx_cpymem(p, fault->detail.data, fault->detail.len);
    p = ngx_http_zapier_put(p, "\",\"source\":");

    if (fault->pointer.data != NULL) {
        p = ngx_http_zapier_put(p, "{\"pointer\":");
        p = (u_char *) ngx_zapier_json_quote(p, fault->pointer.data,
                                             fault->pointer.len);
        *p++ = '}';

    } else {
        p = ngx_http_zapier_put(p, "null");
    }

    p = ngx_http_zapier_put(p, ",\"meta\":{\"source\":\"GATEWAY\"");

    if (fault->offset >= 0) {
        p = ngx_http_zapier_put(p, ",\"offset\":");
        p = ngx_http_zapier_put_number(p, fault->offset);
    }

    if (fault->scope.len != 0) {
        p = ngx_http_zapier_put(p, ",\"scope\":");
        p = (u_char *) ngx_zapier_json_quote(p, fault->scope.data,
                                             fault->scope.len);
    }

    if (fault->retry_after != 0) {
        p = ngx_http_zapier_put(p, ",\"retry_after\":");
        p = ngx_http_zapier_put_number(p, fault->retry_after);
    }

    if (fault->unsent) {
        p = ngx_http_zapier_put(p, ",\"sent\":false");
    }

    return ngx_http_zapier_put(p, "}}");
}


u_char *
ngx_http_zapier_put_number(u_char *p, int64_t n)
{
    u_char      *start, *end;
    u_char       text[NGX_INT64_LEN];
    uint64_t     u;
    ngx_uint_t   four;

    static const u_char  pairs[] =
        "0001020304050607080910111213141516171819"
        "2021222324252627282930313233343536373839"
        "4041424344454647484950515253545556575859"
        "6061626364656667686970717273747576777879"
        "8081828384858687888990919293949596979899";

    u = (uint64_t) n;

    if (ngx_zapier_unlikely(n < 0)) {
        *p++ = '-';
        u = 0 - u;
    }

    end = text + NGX_INT64_LEN;

    for (start = end; u >= 10000; u /= 10000) {
        four = (ngx_uint_t) (u % 10000);

        start -= 4;
        ngx_memcpy(start, &pairs[four / 100 * 2], 2);
        ngx_memcpy(start + 2, &pairs[four % 100 * 2], 2);
    }

    if (u >= 100) {
        start -= 2;
        ngx_memcpy(start, &pairs[u % 100 * 2], 2);
        u /= 100;
    }

    if (u >= 10) {
        start -= 2;
        ngx_memcpy(start, &pairs[u * 2], 2);

    } else {
        *--start = (u_char) ('0' + u);
    }

    return ngx_cpymem(p, start, end - start);
}


/* rate_limited -> RateLimited */

static u_char *
ngx_http_zapier_error_title(u_char *p, ngx_str_t *code)
{
    size_t      i;
    ngx_uint_t  upper;

    upper = 1;

    for (i = 0; i < code->len; i++) {

        if (code->data[i] == '_') {
            upper = 1;
            continue;
        }

        *p++ = upper ? ngx_toupper(code->data[i]) : code->data[i];
        upper = 0;
    }

    return p;
}


ngx_int_t
ngx_http_zapier_add_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.len = ngx_strlen(name);
    h->key.data = (u_char *) name;
    h->value = *value;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    return NGX_OK;
}


ngx_int_t
ngx_http_zapier_add_number(ngx_http_request_t *r, const char *name,
    int64_t number)
{
    u_char     *p;
    ngx_str_t   value;

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_http_zapier_put_number(p, number) - p;

    return ngx_http_zapier_add_header(r, name, &value);
}
