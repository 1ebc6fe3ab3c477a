
/*
 * Headers, and edits of the request that proxy_pass sends on.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>


static ngx_int_t ngx_http_zapier_set_header_in(ngx_http_request_t *r,
    ngx_table_elt_t **hp, ngx_str_t *name, u_char *lowcase, ngx_str_t *value);
static ngx_uint_t ngx_http_zapier_is_client_id(u_char *p, u_char *last);
static ngx_int_t ngx_http_zapier_strip_query(ngx_pool_t *pool,
    ngx_str_t *text, size_t start);


ngx_int_t
ngx_http_zapier_tenant_value(ngx_http_request_t *r,
    ngx_http_zapier_tenant_t *tenant, ngx_str_t *value)
{
    ngx_http_variable_value_t  *v;

    if (tenant->index == NGX_ERROR) {
        return ngx_http_complex_value(r, tenant->value, value);
    }

    v = ngx_http_get_flushed_variable(r, tenant->index);

    if (v == NULL || v->not_found || v->len == 0) {
        ngx_str_null(value);
        return NGX_OK;
    }

    value->len = v->len;
    value->data = v->data;

    /* what another module has made of it may be freed before the request */

    value->data = ngx_pstrdup(r->pool, value);

    return (value->data == NULL) ? NGX_ERROR : NGX_OK;
}


ngx_int_t
ngx_http_zapier_set_body_headers(ngx_http_request_t *r, off_t length)
{
    u_char     *p;
    ngx_str_t   value;

    static ngx_str_t  type = ngx_string("Content-Type");
    static ngx_str_t  json = ngx_string("application/json");
    static ngx_str_t  content_length = ngx_string("Content-Length");

    if (ngx_http_zapier_set_header_in(r, &r->headers_in.content_type, &type,
                                      (u_char *) "content-type", &json)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_http_zapier_put_number(p, length) - p;

    r->headers_in.content_length_n = length;
    r->headers_in.chunked = 0;

    return ngx_http_zapier_set_header_in(r, &r->headers_in.content_length,
                                         &content_length,
                                         (u_char *) "content-length", &value);
}


static ngx_int_t
ngx_http_zapier_set_header_in(ngx_http_request_t *r, ngx_table_elt_t **hp,
    ngx_str_t *name, u_char *lowcase, ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    if (*hp != NULL) {
        (*hp)->value = *value;
        return NGX_OK;
    }

    h = ngx_list_push(&r->headers_in.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    /* proxy_set_header overrides a header by its real hash */

    h->hash = ngx_hash_key(lowcase, name->len);
    h->key = *name;
    h->value = *value;
    h->lowcase_key = lowcase;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    *hp = h;

    return NGX_OK;
}


void
ngx_http_zapier_prefer(ngx_http_request_t *r, ngx_zapier_prefer_t *prefer)
{
    ngx_table_elt_t         *h;
    ngx_http_zapier_walk_t   walk;

    ngx_zapier_prefer_init(prefer);

    walk.part = &r->headers_in.headers.part;
    walk.i = 0;

    for ( ;; ) {
        h = ngx_http_zapier_next_header(&walk);

        if (h == NULL) {
            return;
        }

        if (ngx_http_zapier_header_is(h, "Prefer")) {
            ngx_zapier_prefer_header(prefer, &h->value);
        }
    }
}


ngx_int_t
ngx_http_zapier_strip_client_id(ngx_http_request_t *r)
{
    u_char  *p;

    if (ngx_http_zapier_strip_query(r->pool, &r->args, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    /* proxy_pass sends this one if it has no URI part, or $request_uri */

    p = memchr(r->unparsed_uri.data, '?', r->unparsed_uri.len);
    if (p == NULL) {
        return NGX_OK;
    }

    return ngx_http_zapier_strip_query(r->pool, &r->unparsed_uri,
                                       p + 1 - r->unparsed_uri.data);
}


/* Takes the arguments out of text from start on; keeps the rest as it is. */

static ngx_int_t
ngx_http_zapier_strip_query(ngx_pool_t *pool, ngx_str_t *text, size_t start)
{
    u_char  *p, *end, *last, *dst;

    p = text->data + start;
    last = text->data + text->len;
    dst = NULL;

    while (p < last) {
        end = ngx_strlchr(p, last, '&');
        if (end == NULL) {
            end = last;
        }

        if (!ngx_http_zapier_is_client_id(p, end)) {

            if (dst != NULL) {

                if (dst != text->data + start) {
                    *dst++ = '&';
                }

                dst = ngx_cpymem(dst, p, end - p);
            }

            p = end + 1;
            continue;
        }

        if (dst == NULL) {

            /* the first one: from here on a copy is written */

            dst = ngx_pnalloc(pool, text->len);
            if (dst == NULL) {
                return NGX_ERROR;
            }

            end = ngx_cpymem(dst, text->data, p - text->data);

            /* without the "&" before it */

            if (p != text->data + start) {
                end--;
            }

            text->data = dst;
            dst = end;
            continue;
        }

        p = end + 1;
    }

    if (dst != NULL) {
        text->len = dst - text->data;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_zapier_is_client_id(u_char *p, u_char *last)
{
    u_char      ch;
    ngx_int_t   n;
    ngx_uint_t  i;

    static u_char  name[] = "client_id";

    for (i = 0; i < sizeof(name) - 1; i++) {

        if (p == last) {
            return 0;
        }

        ch = *p++;

        if (ch == '%' && last - p >= 2) {
            n = ngx_hextoi(p, 2);

            if (n != NGX_ERROR) {
                ch = (u_char) n;
                p += 2;
            }
        }

        if (ch != name[i]) {
            return 0;
        }
    }

    return (p == last || *p == '=');
}
