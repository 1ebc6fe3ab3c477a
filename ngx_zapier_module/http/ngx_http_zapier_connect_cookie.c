
/*
 * The cookie by which a callback knows the browser that has begun.
 *
 * Over https its name has the prefix __Host-: no other host of the domain,
 * and nobody on the way, can plant one.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_connect.h>


/* a walk through the cookies of one name */
typedef struct {
    ngx_http_zapier_walk_t     headers;
    ngx_str_t                 *name;
    u_char                    *p;        /* what is left of one header */
    u_char                    *last;
} ngx_http_zapier_cookies_t;


static void ngx_http_zapier_cookies(ngx_http_request_t *r,
    ngx_str_t *redirect_uri, ngx_http_zapier_cookies_t *cookies);
static ngx_int_t ngx_http_zapier_next_cookie(
    ngx_http_zapier_cookies_t *cookies, ngx_str_t *value);
static ngx_uint_t ngx_http_zapier_cookie_pair(ngx_str_t *name, u_char *p,
    u_char *last, ngx_str_t *value);
static ngx_uint_t ngx_http_zapier_cookie_valid(ngx_str_t *value);
static ngx_str_t *ngx_http_zapier_cookie_name(ngx_str_t *redirect_uri);


/* the first is with https, the second without */

static ngx_str_t  ngx_http_zapier_cookie_names[] = {
    ngx_string("__Host-zapier_connect"),
    ngx_string("zapier_connect")
};


ngx_int_t
ngx_http_zapier_connect_cookie(ngx_http_request_t *r, ngx_str_t *redirect_uri,
    ngx_str_t *value)
{
    ngx_http_zapier_cookies_t  cookies;

    ngx_http_zapier_cookies(r, redirect_uri, &cookies);

    return ngx_http_zapier_next_cookie(&cookies, value);
}


ngx_int_t
ngx_http_zapier_connect_browser(ngx_http_request_t *r,
    ngx_str_t *redirect_uri, u_char *digest, ngx_uint_t *found)
{
    u_char                     other[NGX_ZAPIER_STATE_DIGEST_LEN];
    ngx_str_t                  value;
    ngx_http_zapier_cookies_t  cookies;

    *found = 0;

    ngx_http_zapier_cookies(r, redirect_uri, &cookies);

    while (ngx_http_zapier_next_cookie(&cookies, &value) == NGX_OK) {

        *found = 1;

        if (ngx_zapier_state_digest(&value, other) != NGX_OK) {
            return NGX_ERROR;
        }

        if (ngx_zapier_state_same(digest, other, sizeof(other))) {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_zapier_connect_set_cookie(ngx_http_request_t *r,
    ngx_str_t *redirect_uri, ngx_str_t *value, time_t age)
{
    u_char     *p;
    size_t      len;
    ngx_str_t   text, *name;

    static ngx_str_t  rest = ngx_string("; HttpOnly; SameSite=Lax");
    static ngx_str_t  secure = ngx_string("; Secure");

    name = ngx_http_zapier_cookie_name(redirect_uri);

    len = name->len + 1 + value->len + sizeof("; Path=/; Max-Age=") - 1
          + NGX_TIME_T_LEN + rest.len + secure.len;

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text.data = p;

    p = ngx_sprintf(p, "%V=%V; Path=/; Max-Age=%T%V", name, value, age, &rest);

    if (name == &ngx_http_zapier_cookie_names[0]) {
        p = ngx_cpymem(p, secure.data, secure.len);
    }

    text.len = p - text.data;

    return ngx_http_zapier_add_header(r, "Set-Cookie", &text);
}


static void
ngx_http_zapier_cookies(ngx_http_request_t *r, ngx_str_t *redirect_uri,
    ngx_http_zapier_cookies_t *cookies)
{
    cookies->headers.part = &r->headers_in.headers.part;
    cookies->headers.i = 0;
    cookies->name = ngx_http_zapier_cookie_name(redirect_uri);
    cookies->p = NULL;
    cookies->last = NULL;
}


/*
 * nginx's own search for a cookie does not tell capitals from small letters,
 * and some browsers guard the prefix only in the right ones.
 */

static ngx_int_t
ngx_http_zapier_next_cookie(ngx_http_zapier_cookies_t *cookies,
    ngx_str_t *value)
{
    u_char           *p, *end;
    ngx_table_elt_t  *h;

    for ( ;; ) {

        while (cookies->p < cookies->last) {

            p = cookies->p;

            end = ngx_strlchr(p, cookies->last, ';');
            if (end == NULL) {
                end = cookies->last;
            }

            cookies->p = end + 1;

            if (ngx_http_zapier_cookie_pair(cookies->name, p, end, value)
                && ngx_http_zapier_cookie_valid(value))
            {
                return NGX_OK;
            }
        }

        h = ngx_http_zapier_next_header(&cookies->headers);

        if (h == NULL) {
            return NGX_DECLINED;
        }

        if (h->hash != 0 && ngx_http_zapier_header_is(h, "Cookie")) {
            cookies->p = h->value.data;
            cookies->last = h->value.data + h->value.len;
        }
    }
}


static ngx_uint_t
ngx_http_zapier_cookie_pair(ngx_str_t *name, u_char *p, u_char *last,
    ngx_str_t *value)
{
    while (p < last && *p == ' ') {
        p++;
    }

    if ((size_t) (last - p) <= name->len
        || ngx_memcmp(p, name->data, name->len) != 0
        || p[name->len] != '=')
    {
        return 0;
    }

    p += name->len + 1;

    while (p < last && *(last - 1) == ' ') {
        last--;
    }

    value->data = p;
    value->len = last - p;

    return 1;
}


static ngx_uint_t
ngx_http_zapier_cookie_valid(ngx_str_t *value)
{
    u_char  ch;
    size_t  i;

    if (value->len != NGX_HTTP_ZAPIER_COOKIE_LEN) {
        return 0;
    }

    for (i = 0; i < value->len; i++) {
        ch = value->data[i];

        if ((ch < 'a' || ch > 'z') && (ch < 'A' || ch > 'Z')
            && (ch < '0' || ch > '9') && ch != '-' && ch != '_')
        {
            return 0;
        }
    }

    return 1;
}


static ngx_str_t *
ngx_http_zapier_cookie_name(ngx_str_t *redirect_uri)
{
    ngx_uint_t  plain;

    plain = (redirect_uri->len < sizeof("https:") - 1
             || ngx_strncmp(redirect_uri->data, "https:",
                            sizeof("https:") - 1)
                != 0);

    return &ngx_http_zapier_cookie_names[plain];
}
