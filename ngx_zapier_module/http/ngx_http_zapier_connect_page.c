
/*
 * What the browser is told.  Pages are made of texts of ours and the
 * tenant's name: nothing that came with the request is in them.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_connect.h>


typedef struct {
    ngx_uint_t                 status;
    ngx_str_t                  code;
    ngx_str_t                  title;
    ngx_str_t                  text;
} ngx_http_zapier_connect_page_t;


#define ngx_http_zapier_page(status, code, title, text)                      \
    { status, ngx_string(code), ngx_string(title), ngx_string(text) }

#define NGX_HTTP_ZAPIER_AGAIN                                                \
    " Please start again in the application that sent you here."


static void ngx_http_zapier_connect_note(ngx_http_zapier_connect_t *connect,
    const ngx_http_zapier_connect_page_t *page);
static ngx_int_t ngx_http_zapier_connect_target(
    ngx_http_zapier_connect_t *connect,
    const ngx_http_zapier_connect_page_t *page, ngx_str_t *location);
static ngx_int_t ngx_http_zapier_connect_add_code(ngx_http_request_t *r,
    const ngx_str_t *code, ngx_str_t *location);
static ngx_int_t ngx_http_zapier_connect_page_headers(ngx_http_request_t *r,
    const ngx_http_zapier_connect_page_t *page);
static ngx_buf_t *ngx_http_zapier_connect_page_body(
    ngx_http_zapier_connect_t *connect,
    const ngx_http_zapier_connect_page_t *page);
static u_char *ngx_http_zapier_connect_put(u_char *p, const ngx_str_t *text);
static void ngx_http_zapier_connect_send(ngx_http_request_t *r,
    ngx_buf_t *b);


/* in the order of ngx_http_zapier_connect_outcome_e */

static const ngx_http_zapier_connect_page_t  ngx_http_zapier_pages[] = {

    ngx_http_zapier_page(NGX_HTTP_OK, "",
        "Connected to Zapier",
        "The Zapier account is connected. You can close this window."),

    ngx_http_zapier_page(NGX_HTTP_NOT_ALLOWED, "method_not_allowed",
        "This is not the way",
        "This address is for browsers that are sent here."
        NGX_HTTP_ZAPIER_AGAIN),

    ngx_http_zapier_page(NGX_HTTP_UNAUTHORIZED, "tenant_missing",
        "Who are you?",
        "It is not known for whom a Zapier account is to be connected."
        " Please sign in to the application that sent you here, and start"
        " again."),

    ngx_http_zapier_page(NGX_HTTP_BAD_REQUEST, "tenant_invalid",
        "Who are you?",
        "The name for which a Zapier account is to be connected cannot be"
        " used. Please tell the operator of the application that sent you"
        " here."),

    ngx_http_zapier_page(NGX_HTTP_BAD_REQUEST, "invalid_request",
        "Something is missing",
        "Zapier sends browsers to this address, and what came with yours is"
        " not complete." NGX_HTTP_ZAPIER_AGAIN),

    ngx_http_zapier_page(NGX_HTTP_BAD_REQUEST, "state_invalid",
        "This link is not valid",
        "It was not made here, or has been changed on its way. Nothing was"
        " connected." NGX_HTTP_ZAPIER_AGAIN),

    ngx_http_zapier_page(NGX_HTTP_BAD_REQUEST, "state_expired",
        "Too late",
        "It took longer than is allowed. Nothing was connected."
        NGX_HTTP_ZAPIER_AGAIN),

    ngx_http_zapier_page(NGX_HTTP_FORBIDDEN, "state_mismatch",
        "This was begun elsewhere",
        "It was begun in another browser, or this one keeps no cookies."
        " Nothing was connected. Please start again, and finish in the same"
        " browser."),

    ngx_http_zapier_page(NGX_HTTP_CONFLICT, "state_used",
        "This link was used before",
        "It serves once. If you were told that the account is connected,"
        " all is well. If not, please start again in the application that"
        " sent you here."),

    ngx_http_zapier_page(NGX_HTTP_FORBIDDEN, "access_denied",
        "Access was not allowed",
        "You have not allowed access to your Zapier account. Nothing was"
        " connected."),

    ngx_http_zapier_page(NGX_HTTP_BAD_GATEWAY, "authorization_failed",
        "Zapier could not authorize this",
        "Nothing was connected. Please try again later, or tell the operator"
        " of the application that sent you here."),

    ngx_http_zapier_page(NGX_HTTP_SERVICE_UNAVAILABLE, "store_unavailable",
        "Not possible at the moment",
        "Nothing was connected." NGX_HTTP_ZAPIER_AGAIN),

    ngx_http_zapier_page(NGX_HTTP_BAD_REQUEST, "code_refused",
        "Zapier did not accept this any more",
        "The authorization was too old, or was used before. Nothing was"
        " connected." NGX_HTTP_ZAPIER_AGAIN),

    ngx_http_zapier_page(NGX_HTTP_BAD_GATEWAY, "exchange_refused",
        "Zapier refused this application",
        "Nothing was connected. Please tell the operator of the application"
        " that sent you here."),

    ngx_http_zapier_page(NGX_HTTP_SERVICE_UNAVAILABLE, "exchange_failed",
        "Zapier cannot be reached at the moment",
        "Nothing was connected." NGX_HTTP_ZAPIER_AGAIN),

    ngx_http_zapier_page(NGX_HTTP_BAD_GATEWAY, "exchange_unknown",
        "Zapier did not answer",
        "It is not known whether access was granted. Nothing was connected."
        NGX_HTTP_ZAPIER_AGAIN),

    ngx_http_zapier_page(NGX_HTTP_SERVICE_UNAVAILABLE, "store_failed",
        "This could not be stored",
        "Zapier has granted access, but it could not be written down."
        NGX_HTTP_ZAPIER_AGAIN),
};


void
ngx_http_zapier_connect_answer(ngx_http_zapier_connect_t *connect,
    ngx_http_zapier_connect_outcome_e outcome)
{
    ngx_buf_t                             *b;
    ngx_str_t                              location;
    ngx_http_request_t                    *r;
    const ngx_http_zapier_connect_page_t  *page;

    r = connect->request;
    page = &ngx_http_zapier_pages[outcome];

    if (outcome != NGX_HTTP_ZAPIER_CONNECT_OK) {
        ngx_http_zapier_connect_note(connect, page);
    }

    switch (ngx_http_zapier_connect_target(connect, page, &location)) {

    case NGX_OK:
        ngx_http_zapier_connect_redirect(r, &location);
        return;

    case NGX_DECLINED:
        break;

    default: /* NGX_ERROR */
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    b = ngx_http_zapier_connect_page_body(connect, page);

    if (b == NULL
        || ngx_http_zapier_connect_page_headers(r, page) != NGX_OK)
    {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    r->headers_out.status = page->status;

    ngx_str_set(&r->headers_out.content_type, "text/html; charset=utf-8");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    ngx_http_zapier_connect_send(r, b);
}


void
ngx_http_zapier_connect_redirect(ngx_http_request_t *r, ngx_str_t *location)
{
    ngx_buf_t  *b;

    /*
     * not headers_out.location: of a path nginx would make a URL with the
     * scheme and port that it sees itself, not those the browser does
     */

    b = ngx_calloc_buf(r->pool);

    if (b == NULL
        || ngx_http_zapier_add_header(r, "Location", location) != NGX_OK)
    {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    b->last_buf = 1;
    b->last_in_chain = 1;

    r->headers_out.status = NGX_HTTP_MOVED_TEMPORARILY;

    ngx_http_zapier_connect_send(r, b);
}


ngx_int_t
ngx_http_zapier_connect_headers(ngx_http_request_t *r)
{
    ngx_uint_t  i;

    static struct {
        const char  *name;
        ngx_str_t    value;

    } headers[] = {
        { "Cache-Control", ngx_string("no-store") },
        { "Content-Security-Policy",
          ngx_string("default-src 'none'; base-uri 'none'; "
                     "form-action 'none'; frame-ancestors 'none'") },
        { "Referrer-Policy", ngx_string("no-referrer") },
        { "X-Content-Type-Options", ngx_string("nosniff") },
        { "X-Frame-Options", ngx_string("DENY") },
        { "X-Robots-Tag", ngx_string("noindex") }
    };

    for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {

        if (ngx_http_zapier_add_header(r, headers[i].name, &headers[i].value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_http_zapier_connect_note(ngx_http_zapier_connect_t *connect,
    const ngx_http_zapier_connect_page_t *page)
{
    ngx_uint_t  level;

    connect->ctx->state = NGX_HTTP_ZAPIER_REFUSED;
    connect->ctx->error = page->code;

    level = (page->status < NGX_HTTP_INTERNAL_SERVER_ERROR) ? NGX_LOG_INFO
                                                            : NGX_LOG_ERR;

    ngx_log_error(level, connect->request->connection->log, 0,
                  "zapier: refused with %ui \"%V\", tenant \"%V\"",
                  page->status, &page->code, &connect->ctx->tenant);
}


/*
 * success= or error=
 * NGX_DECLINED: there is none, or none that can be used; NGX_ERROR
 */

static ngx_int_t
ngx_http_zapier_connect_target(ngx_http_zapier_connect_t *connect,
    const ngx_http_zapier_connect_page_t *page, ngx_str_t *location)
{
    ngx_http_request_t        *r;
    ngx_http_complex_value_t  *target;

    r = connect->request;

    target = page->code.len ? connect->conf->error : connect->conf->success;

    if (target == NULL || page->status == NGX_HTTP_NOT_ALLOWED) {
        return NGX_DECLINED;
    }

    if (ngx_http_complex_value(r, target, location) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_zapier_connect_url(location, 1, 1) != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "zapier: \"%s=\" of \"zapier_connect\" must be a path "
                      "or a URL, but is \"%V\"",
                      page->code.len ? "error" : "success", location);
        return NGX_DECLINED;
    }

    if (page->code.len == 0) {
        return NGX_OK;
    }

    return ngx_http_zapier_connect_add_code(r, &page->code, location);
}


static ngx_int_t
ngx_http_zapier_connect_add_code(ngx_http_request_t *r, const ngx_str_t *code,
    ngx_str_t *location)
{
    u_char     *p, *end, *last;
    ngx_str_t   old;

    old = *location;
    last = old.data + old.len;

    end = ngx_strlchr(old.data, last, '#');
    if (end == NULL) {
        end = last;
    }

    p = ngx_pnalloc(r->pool, old.len + sizeof("?error=") - 1 + code->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    location->data = p;

    p = ngx_cpymem(p, old.data, end - old.data);
    *p++ = (ngx_strlchr(old.data, end, '?') == NULL) ? '?' : '&';
    p = ngx_http_zapier_put(p, "error=");
    p = ngx_http_zapier_connect_put(p, code);
    p = ngx_cpymem(p, end, last - end);

    location->len = p - location->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_zapier_connect_page_headers(ngx_http_request_t *r,
    const ngx_http_zapier_connect_page_t *page)
{
    u_char     *p;
    ngx_str_t   value;

    static ngx_str_t  challenge = ngx_string("Bearer realm=\"zapier\"");

    if (page->code.len == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, sizeof("ngx_zapier; error=http_request_error; "
                                    "details=\"\"") + page->code.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;

    p = ngx_http_zapier_put(p, "ngx_zapier; error=http_request_error; "
                               "details=\"");
    p = ngx_http_zapier_connect_put(p, &page->code);
    *p++ = '"';

    value.len = p - value.data;

    if (page->status == NGX_HTTP_UNAUTHORIZED
        && ngx_http_zapier_add_header(r, "WWW-Authenticate", &challenge)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_zapier_add_header(r, "Proxy-Status", &value);
}


static ngx_buf_t *
ngx_http_zapier_connect_page_body(ngx_http_zapier_connect_t *connect,
    const ngx_http_zapier_connect_page_t *page)
{
    size_t      len;
    u_char     *p;
    ngx_buf_t  *b;
    ngx_str_t  *tenant;

    static ngx_str_t  head = ngx_string(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width\">\n<title>");

    tenant = &connect->ctx->tenant;

    len = head.len + 2 * page->title.len + page->text.len + page->code.len
          + 6 * tenant->len + 256;

    b = ngx_create_temp_buf(connect->request->pool, len);
    if (b == NULL) {
        return NULL;
    }

    p = b->last;

    p = ngx_http_zapier_connect_put(p, &head);
    p = ngx_http_zapier_connect_put(p, &page->title);
    p = ngx_http_zapier_put(p, "</title>\n<h1>");
    p = ngx_http_zapier_connect_put(p, &page->title);
    p = ngx_http_zapier_put(p, "</h1>\n<p>");
    p = ngx_http_zapier_connect_put(p, &page->text);

    if (page->code.len != 0) {
        p = ngx_http_zapier_put(p, "</p>\n<p>Error: <code id=\"error\">");
        p = ngx_http_zapier_connect_put(p, &page->code);

    } else {
        p = ngx_http_zapier_put(p, "</p>\n<p>For: <code id=\"tenant\">");
        p = (u_char *) ngx_escape_html(p, tenant->data, tenant->len);
    }

    p = ngx_http_zapier_put(p, "</code></p>\n</html>\n");

    b->last = p;
    b->last_buf = 1;
    b->last_in_chain = 1;

    return b;
}


static u_char *
ngx_http_zapier_connect_put(u_char *p, const ngx_str_t *text)
{
    return ngx_cpymem(p, text->data, text->len);
}


static void
ngx_http_zapier_connect_send(ngx_http_request_t *r, ngx_buf_t *b)
{
    ngx_int_t    rc;
    ngx_chain_t  out;

    r->headers_out.content_length_n = b->last - b->pos;

    rc = ngx_http_send_header(r);

    if (rc == NGX_OK && !r->header_only) {
        out.buf = b;
        out.next = NULL;

        rc = ngx_http_output_filter(r, &out);
    }

    ngx_http_finalize_request(r, rc);
}
