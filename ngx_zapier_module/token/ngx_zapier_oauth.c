
/*
 * Requests to the token endpoint, see ngx_zapier_oauth.h.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_oauth.h>
#include <ngx_zapier_wipe.h>


#define NGX_ZAPIER_OAUTH_BASIC  "Basic "


static ngx_int_t ngx_zapier_oauth_body(ngx_pool_t *pool,
    ngx_zapier_oauth_param_t *params, ngx_uint_t n,
    ngx_zapier_oauth_param_t *client, ngx_uint_t nclient, ngx_str_t *body);
static ngx_int_t ngx_zapier_oauth_basic(ngx_zapier_oauth_t *oauth,
    ngx_pool_t *pool, ngx_str_t *authorization);
static size_t ngx_zapier_oauth_params_length(
    ngx_zapier_oauth_param_t *params, ngx_uint_t n);
static u_char *ngx_zapier_oauth_params(u_char *p,
    ngx_zapier_oauth_param_t *params, ngx_uint_t n);
static size_t ngx_zapier_oauth_encoded_length(ngx_str_t *text);
static u_char *ngx_zapier_oauth_encode(u_char *p, ngx_str_t *text);
static ngx_uint_t ngx_zapier_oauth_plain(u_char ch);
static void ngx_zapier_oauth_zero(void *data);


ngx_int_t
ngx_zapier_oauth_request(ngx_zapier_oauth_t *oauth, ngx_pool_t *pool,
    ngx_zapier_oauth_param_t *params, ngx_uint_t n,
    ngx_zapier_oauth_call_t *call)
{
    ngx_uint_t                nclient;
    ngx_zapier_oauth_param_t  client[2];

    ngx_str_null(&call->authorization);

    ngx_str_set(&client[0].name, "client_id");
    client[0].value = oauth->client_id;

    ngx_str_set(&client[1].name, "client_secret");
    client[1].value = oauth->client_secret;

    if (oauth->client_secret.len == 0) {
        nclient = 1;

    } else if (oauth->in_body) {
        nclient = 2;

    } else {
        nclient = 0;

        if (ngx_zapier_oauth_basic(oauth, pool, &call->authorization)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_zapier_oauth_body(pool, params, n, client, nclient,
                                 &call->body);
}


u_char *
ngx_zapier_oauth_alloc(ngx_pool_t *pool, size_t len)
{
    ngx_str_t           *secret;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(pool, sizeof(ngx_str_t));
    if (cln == NULL) {
        return NULL;
    }

    secret = cln->data;

    secret->len = len;
    secret->data = ngx_pnalloc(pool, len);

    if (secret->data != NULL) {
        cln->handler = ngx_zapier_oauth_zero;
    }

    return secret->data;
}


static ngx_int_t
ngx_zapier_oauth_body(ngx_pool_t *pool, ngx_zapier_oauth_param_t *params,
    ngx_uint_t n, ngx_zapier_oauth_param_t *client, ngx_uint_t nclient,
    ngx_str_t *body)
{
    u_char  *p;
    size_t   len;

    len = ngx_zapier_oauth_params_length(params, n)
          + ngx_zapier_oauth_params_length(client, nclient);

    p = ngx_zapier_oauth_alloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;

    p = ngx_zapier_oauth_params(p, params, n);
    p = ngx_zapier_oauth_params(p, client, nclient);

    /* each parameter was written with an ampersand behind it */

    body->len = (p == body->data) ? 0 : p - body->data - 1;

    return NGX_OK;
}


/*
 * RFC 6749 2.3.1: id and secret are form-encoded before they become user
 * and password, so that a colon in the id does not end it.
 */

static ngx_int_t
ngx_zapier_oauth_basic(ngx_zapier_oauth_t *oauth, ngx_pool_t *pool,
    ngx_str_t *authorization)
{
    u_char     *p;
    size_t      len;
    ngx_str_t   plain, base64;

    plain.len = ngx_zapier_oauth_encoded_length(&oauth->client_id) + 1
                + ngx_zapier_oauth_encoded_length(&oauth->client_secret);

    len = sizeof(NGX_ZAPIER_OAUTH_BASIC) - 1
          + ngx_base64_encoded_length(plain.len);

    p = ngx_zapier_oauth_alloc(pool, len + plain.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    authorization->data = p;

    plain.data = p + len;

    p = ngx_zapier_oauth_encode(plain.data, &oauth->client_id);
    *p++ = ':';
    ngx_zapier_oauth_encode(p, &oauth->client_secret);

    base64.data = ngx_cpymem(authorization->data, NGX_ZAPIER_OAUTH_BASIC,
                             sizeof(NGX_ZAPIER_OAUTH_BASIC) - 1);

    ngx_encode_base64(&base64, &plain);

    authorization->len = base64.data + base64.len - authorization->data;

    return NGX_OK;
}


static size_t
ngx_zapier_oauth_params_length(ngx_zapier_oauth_param_t *params,
    ngx_uint_t n)
{
    size_t      len;
    ngx_uint_t  i;

    len = 0;

    for (i = 0; i < n; i++) {
        len += ngx_zapier_oauth_encoded_length(&params[i].name)
               + ngx_zapier_oauth_encoded_length(&params[i].value)
               + sizeof("=&") - 1;
    }

    return len;
}


static u_char *
ngx_zapier_oauth_params(u_char *p, ngx_zapier_oauth_param_t *params,
    ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        p = ngx_zapier_oauth_encode(p, &params[i].name);
        *p++ = '=';
        p = ngx_zapier_oauth_encode(p, &params[i].value);
        *p++ = '&';
    }

    return p;
}


static size_t
ngx_zapier_oauth_encoded_length(ngx_str_t *text)
{
    size_t  i, len;

    len = text->len;

    for (i = 0; i < text->len; i++) {
        if (text->data[i] != ' ' && !ngx_zapier_oauth_plain(text->data[i])) {
            len += sizeof("%XX") - 1 - 1;
        }
    }

    return len;
}


static u_char *
ngx_zapier_oauth_encode(u_char *p, ngx_str_t *text)
{
    size_t  i;
    u_char  ch;

    static u_char  hex[] = "0123456789ABCDEF";

    for (i = 0; i < text->len; i++) {
        ch = text->data[i];

        if (ch == ' ') {
            *p++ = '+';

        } else if (ngx_zapier_oauth_plain(ch)) {
            *p++ = ch;

        } else {
            *p++ = '%';
            *p++ = hex[ch >> 4];
            *p++ = hex[ch & 0xf];
        }
    }

    return p;
}


/*
 * Whatever may be left as it is: some servers do not decode user and
 * password of Basic.
 */

static ngx_uint_t
ngx_zapier_oauth_plain(u_char ch)
{
    return (ch >= '0' && ch <= '9')
           || (ch >= 'A' && ch <= 'Z')
           || (ch >= 'a' && ch <= 'z')
           || ch == '-' || ch == '.' || ch == '_' || ch == '~' || ch == '*';
}


static void
ngx_zapier_oauth_zero(void *data)
{
    ngx_str_t  *secret = data;

    ngx_zapier_wipe(secret->data, secret->len);
}
