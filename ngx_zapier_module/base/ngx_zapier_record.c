
/*
 * Checks token records and writes the Authorization value.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_record.h>


/* integers beyond it do not survive a writer that counts in doubles */
#define NGX_ZAPIER_RECORD_MAX_TIME  9007199254740992LL     /* 2^53 */


static ngx_int_t ngx_zapier_record_token(ngx_str_t *token);
static ngx_int_t ngx_zapier_record_type(ngx_str_t *type);
static ngx_int_t ngx_zapier_record_scope(ngx_str_t *scope);
static int64_t ngx_zapier_record_time(ngx_str_t *value);


ngx_int_t
ngx_zapier_record_check(ngx_zapier_record_t *record)
{
    record->expires = 0;
    record->fault = NULL;

    if (record->access_token.len == 0) {
        return NGX_DECLINED;
    }

    if (ngx_zapier_record_token(&record->access_token) != NGX_OK) {
        record->fault = "access_token";
        return NGX_ERROR;
    }

    if (ngx_zapier_record_type(&record->token_type) != NGX_OK) {
        record->fault = "token_type";
        return NGX_ERROR;
    }

    if (ngx_zapier_record_scope(&record->scope) != NGX_OK) {
        record->fault = "scope";
        return NGX_ERROR;
    }

    if (record->expires_at.len == 0) {
        return NGX_OK;
    }

    record->expires = ngx_zapier_record_time(&record->expires_at);

    if (record->expires == NGX_ERROR) {
        record->expires = 0;
        record->fault = "expires_at";
        return NGX_ERROR;
    }

    if (record->expires == 0) {
        /* the epoch is long past, while 0 means never */
        record->expires = 1;
    }

    return NGX_OK;
}


u_char *
ngx_zapier_record_authorization(u_char *buf, ngx_zapier_record_t *record)
{
    buf = ngx_cpymem(buf, record->token_type.data, record->token_type.len);
    *buf++ = ' ';

    return ngx_cpymem(buf, record->access_token.data,
                      record->access_token.len);
}


ngx_int_t
ngx_zapier_record_has_scope(ngx_str_t *scope, ngx_str_t *name)
{
    u_char  *p, *last, *start;

    p = scope->data;
    last = p + scope->len;

    while (p < last) {

        start = p;

        while (p < last && *p != ' ') {
            p++;
        }

        if ((size_t) (p - start) == name->len
            && name->len != 0
            && ngx_memcmp(start, name->data, name->len) == 0)
        {
            return NGX_OK;
        }

        p++;
    }

    return NGX_DECLINED;
}


/*
 * RFC 6750 allows fewer characters, but tokens are opaque and some issuers
 * do not care; none of those let through can end or split a header value.
 */

static ngx_int_t
ngx_zapier_record_token(ngx_str_t *token)
{
    u_char  *p, *last;

    if (token->len > NGX_ZAPIER_RECORD_TOKEN_LEN) {
        return NGX_ERROR;
    }

    last = token->data + token->len;

    for (p = token->data; p < last; p++) {
        if (*p <= ' ' || *p >= 0x7f || *p == '"' || *p == '\'') {
            return NGX_ERROR;
        }
    }

    /* ciphertext is of no use to the upstream */

    if (token->len >= 4 && ngx_strncmp(token->data, "enc:", 4) == 0) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_record_type(ngx_str_t *type)
{
    u_char  c, *p, *last;

    if (type->len == 0
        || (type->len == 6
            && ngx_strncasecmp(type->data, (u_char *) "bearer", 6) == 0))
    {
        ngx_str_set(type, "Bearer");
        return NGX_OK;
    }

    if (type->len > NGX_ZAPIER_RECORD_TYPE_LEN) {
        return NGX_ERROR;
    }

    last = type->data + type->len;

    for (p = type->data; p < last; p++) {

        c = (u_char) (*p | 0x20);

        if ((c >= 'a' && c <= 'z') || (*p >= '0' && *p <= '9')) {
            continue;
        }

        /* the other characters of a token, RFC 9110 5.6.2 */

        if (*p == '\0' || ngx_strchr("!#$%&'*+-.^_`|~", *p) == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_record_scope(ngx_str_t *scope)
{
    u_char  *p, *last;

    if (scope->len == 0) {
        scope->data = NULL;
        return NGX_OK;
    }

    if (scope->len > NGX_ZAPIER_RECORD_SCOPE_LEN) {
        return NGX_ERROR;
    }

    last = scope->data + scope->len;

    for (p = scope->data; p < last; p++) {
        if (*p < ' ' || *p >= 0x7f || *p == '"' || *p == '\\') {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* Epoch seconds; a fraction, as some languages write it, is cut off. */

static int64_t
ngx_zapier_record_time(ngx_str_t *value)
{
    u_char   *p, *last;
    int64_t   n;

    p = value->data;
    last = p + value->len;

    if (*p < '0' || *p > '9') {
        return NGX_ERROR;
    }

    for (n = 0; p < last && *p >= '0' && *p <= '9'; p++) {

        n = n * 10 + (*p - '0');

        if (n > NGX_ZAPIER_RECORD_MAX_TIME) {
            return NGX_ERROR;
        }
    }

    if (p == last) {
        return n;
    }

    if (*p++ != '.' || p == last) {
        return NGX_ERROR;
    }

    while (p < last) {
        if (*p < '0' || *p > '9') {
            return NGX_ERROR;
        }

        p++;
    }

    return n;
}
