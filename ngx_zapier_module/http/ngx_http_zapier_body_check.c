
/*
 * What can be said of a body before it is read.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>


/* for headers of requests only, which all have their name in lower case */

#define ngx_http_zapier_request_header_is(h, name)                           \
    ((h)->key.len == sizeof(name) - 1                                        \
     && ngx_memcmp((h)->lowcase_key, name, sizeof(name) - 1) == 0)


static ngx_int_t ngx_http_zapier_media_type(ngx_http_request_t *r);
static ngx_int_t ngx_http_zapier_is_json(ngx_str_t *type);


ngx_int_t
ngx_http_zapier_body_check(ngx_http_request_t *r,
    ngx_http_zapier_fault_t *fault)
{
    ngx_http_zapier_loc_conf_t  *zlcf;

    if (ngx_http_zapier_media_type(r) != NGX_OK) {
        ngx_http_zapier_fault_init(fault, "unsupported_media_type",
                                   "The body must be plain JSON, sent as "
                                   "application/json.");

        return NGX_HTTP_UNSUPPORTED_MEDIA_TYPE;
    }

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    if (r->headers_in.content_length_n > (off_t) zlcf->body_max) {
        ngx_http_zapier_fault_init(fault, "body_too_large",
                                   "The body is larger than this gateway "
                                   "takes.");

        return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
    }

    return NGX_OK;
}


/* one Content-Type at most, of JSON, and no Content-Encoding */

static ngx_int_t
ngx_http_zapier_media_type(ngx_http_request_t *r)
{
    ngx_str_t               *type;
    ngx_table_elt_t         *h;
    ngx_http_zapier_walk_t   walk;

    type = NULL;

    walk.part = &r->headers_in.headers.part;
    walk.i = 0;

    for ( ;; ) {
        h = ngx_http_zapier_next_header(&walk);

        if (h == NULL) {
            break;
        }

        if (ngx_http_zapier_request_header_is(h, "content-type")) {

            if (type != NULL) {
                return NGX_DECLINED;
            }

            type = &h->value;
            continue;
        }

        if (ngx_zapier_unlikely(ngx_http_zapier_request_header_is(h,
                                                        "content-encoding"))
            && (h->value.len != sizeof("identity") - 1
                || ngx_strncasecmp(h->value.data, (u_char *) "identity",
                                   sizeof("identity") - 1)
                   != 0))
        {
            return NGX_DECLINED;
        }
    }

    if (type == NULL || type->len == 0) {
        return NGX_OK;
    }

    return ngx_http_zapier_is_json(type);
}


static ngx_int_t
ngx_http_zapier_is_json(ngx_str_t *type)
{
    u_char  *p, *last;
    size_t   len;

    /* as it is mostly written */

    if (type->len == sizeof("application/json") - 1
        && ngx_memcmp(type->data, "application/json",
                      sizeof("application/json") - 1)
           == 0)
    {
        return NGX_OK;
    }

    p = type->data;
    last = p + type->len;

    while (p < last && *p != ';' && *p != ' ' && *p != '\t') {
        p++;
    }

    len = p - type->data;

    if (len == sizeof("application/json") - 1
        && ngx_strncasecmp(type->data, (u_char *) "application/json", len)
           == 0)
    {
        return NGX_OK;
    }

    if (len > sizeof("+json") - 1
        && ngx_strncasecmp(p - (sizeof("+json") - 1), (u_char *) "+json",
                           sizeof("+json") - 1)
           == 0)
    {
        return NGX_OK;
    }

    return NGX_DECLINED;
}
