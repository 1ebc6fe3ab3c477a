
/*
 * zapier_wait: answers.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_run.h>


static ngx_int_t ngx_http_zapier_run_failed(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static ngx_int_t ngx_http_zapier_run_pending_answer(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static ngx_int_t ngx_http_zapier_run_location(ngx_http_request_t *r,
    ngx_str_t *id);
static void ngx_http_zapier_run_limits(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);


static ngx_str_t  ngx_http_zapier_run_json = ngx_string("application/json");


ngx_int_t
ngx_http_zapier_run_answer(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_http_zapier_run_t  *run;
    ngx_zapier_run_wait_t  *wait;

    run = ctx->run;
    wait = &run->wait;

    if (wait->state == NGX_ZAPIER_RUN_FINISHED && !wait->too_long) {
        return ngx_http_zapier_run_send(r, ctx, NGX_HTTP_OK,
                                        &ngx_http_zapier_run_json,
                                        &wait->body);
    }

    if (!run->post && wait->too_long) {

        /* it is read from the upstream as by any other location */

        ctx->run = NULL;
        return NGX_DECLINED;
    }

    if (!run->post && wait->state == NGX_ZAPIER_RUN_FAILED) {
        return ngx_http_zapier_run_failed(r, ctx);
    }

    if (!run->post && wait->body.len != 0) {
        return ngx_http_zapier_run_send(r, ctx, NGX_HTTP_OK,
                                        &ngx_http_zapier_run_json,
                                        &wait->body);
    }

    return ngx_http_zapier_run_pending_answer(r, ctx);
}


/* What came of the poll that the caller's GET was. */

static ngx_int_t
ngx_http_zapier_run_failed(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_zapier_run_wait_t    *wait;
    ngx_http_zapier_fault_t   fault;

    wait = &ctx->run->wait;

    if (wait->own) {
        ngx_memzero(&fault, sizeof(ngx_http_zapier_fault_t));

        fault.code = wait->code;
        ngx_str_set(&fault.detail, "The run could not be asked for.");
        fault.offset = -1;
        fault.retry_after = wait->retry_after;

        return ngx_http_zapier_error(r, ctx, wait->status, &fault, 1);
    }

    if (wait->body.len == 0) {
        return (wait->status >= NGX_HTTP_BAD_REQUEST)
               ? (ngx_int_t) wait->status : NGX_HTTP_BAD_GATEWAY;
    }

    if (wait->retry_after > 0
        && ngx_http_zapier_add_number(r, "Retry-After", wait->retry_after)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_zapier_run_send(r, ctx, wait->status, &wait->type,
                                    &wait->body);
}


static ngx_int_t
ngx_http_zapier_run_pending_answer(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    u_char                 *p;
    ngx_str_t               body, async;
    ngx_http_zapier_run_t  *run;

    run = ctx->run;

    p = ngx_pnalloc(r->pool,
                    sizeof("{\"data\":{\"type\":\"run\",\"id\":\"\","
                           "\"status\":\"waiting\",\"results\":[],"
                           "\"errors\":[]}}") + run->id.len);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.data = p;

    p = ngx_http_zapier_put(p, "{\"data\":{\"type\":\"run\",\"id\":\"");
    p = ngx_cpymem(p, run->id.data, run->id.len);
    p = ngx_http_zapier_put(p, "\",\"status\":\"waiting\",\"results\":[],"
                               "\"errors\":[]}}");

    body.len = p - body.data;

    if (!run->post) {
        return ngx_http_zapier_run_send(r, ctx, NGX_HTTP_OK,
                                        &ngx_http_zapier_run_json, &body);
    }

    ngx_str_set(&async, "respond-async");

    if (ngx_http_zapier_run_location(r, &run->id) != NGX_OK
        || (run->async
            && ngx_http_zapier_add_header(r, "Preference-Applied", &async)
               != NGX_OK))
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_zapier_run_send(r, ctx, NGX_HTTP_ACCEPTED,
                                    &ngx_http_zapier_run_json, &body);
}


static ngx_int_t
ngx_http_zapier_run_location(ngx_http_request_t *r, ngx_str_t *id)
{
    size_t      len;
    u_char     *p;
    ngx_str_t   value, path;

    static ngx_str_t  name = ngx_string("/action-runs");

    /* where the caller has sent it, if a GET can follow there */

    path = r->uri;

    while (path.len > 1 && path.data[path.len - 1] == '/') {
        path.len--;
    }

    if (path.len < name.len
        || ngx_memcmp(path.data + path.len - name.len, name.data, name.len)
           != 0)
    {
        ngx_str_set(&path, "/v2/action-runs");
    }

    len = path.len + 2 * ngx_escape_uri(NULL, path.data, path.len,
                                        NGX_ESCAPE_URI);

    p = ngx_pnalloc(r->pool, len + 1 + id->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;

    p = (u_char *) ngx_escape_uri(p, path.data, path.len, NGX_ESCAPE_URI);
    *p++ = '/';
    p = ngx_cpymem(p, id->data, id->len);

    value.len = p - value.data;

    return ngx_http_zapier_add_header(r, "Location", &value);
}


ngx_int_t
ngx_http_zapier_run_send(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx,
    ngx_uint_t status, ngx_str_t *type, ngx_str_t *body)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    ctx->state = NGX_HTTP_ZAPIER_REFUSED;

    if (r->method != NGX_HTTP_POST) {
        rc = ngx_http_discard_request_body(r);

        if (rc != NGX_OK) {
            ngx_http_finalize_request(r, rc);
            return NGX_DONE;
        }
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_zapier_run_limits(r, ctx);

    b->pos = body->data;
    b->last = body->data + body->len;
    b->memory = (body->len != 0);
    b->last_buf = 1;
    b->last_in_chain = 1;

    r->headers_out.status = status;
    r->headers_out.content_length_n = body->len;

    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
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


/* Answers tell how the limits stand, also if nobody has had to look yet. */

static void
ngx_http_zapier_run_limits(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
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
}


void
ngx_http_zapier_text_init(ngx_http_zapier_text_t *text, ngx_pool_t *pool,
    size_t max, off_t expected)
{
    ngx_memzero(text, sizeof(ngx_http_zapier_text_t));

    text->pool = pool;
    text->max = max;

    if (expected > (off_t) max) {
        text->too_long = 1;

    } else if (expected > 0) {
        text->start = ngx_pnalloc(pool, (size_t) expected);
        text->last = text->start;
        text->end = text->start + (text->start ? expected : 0);
    }
}


/* Without memory it is too long. */

void
ngx_http_zapier_text_add(ngx_http_zapier_text_t *text, ngx_chain_t *in)
{
    size_t      len, size;
    u_char     *p;
    ngx_buf_t  *b;

    for ( /* void */ ; in; in = in->next) {
        b = in->buf;

        if (b->last_buf || b->last_in_chain) {
            text->complete = 1;
        }

        len = ngx_buf_in_memory(b) ? b->last - b->pos : 0;

        if (b->in_file && len == 0 && b->file_pos != b->file_last) {
            text->too_long = 1;
            b->file_pos = b->file_last;
        }

        b->pos += len;

        if (len == 0 || text->too_long) {
            continue;
        }

        if (len > (size_t) (text->end - text->last)) {

            size = text->last - text->start;

            if (size + len > text->max) {
                text->too_long = 1;
                continue;
            }

            p = ngx_pnalloc(text->pool,
                            ngx_min(2 * (size + len), text->max));
            if (p == NULL) {
                text->too_long = 1;
                continue;
            }

            text->end = p + ngx_min(2 * (size + len), text->max);

            if (size != 0) {
                ngx_memcpy(p, text->start, size);
            }

            text->start = p;
            text->last = p + size;
        }

        text->last = ngx_cpymem(text->last, b->pos - len, len);
    }
}
