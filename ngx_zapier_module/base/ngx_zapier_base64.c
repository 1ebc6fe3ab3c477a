
/*
 * Strict base64.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_base64.h>


#define NGX_ZAPIER_BASE64_BAD  64


static ngx_int_t ngx_zapier_base64_bytes(u_char *dst, size_t *len,
    u_char *p, u_char *last, const u_char *two);
static ngx_inline ngx_uint_t ngx_zapier_base64_value(u_char ch,
    const u_char *two);


ngx_int_t
ngx_zapier_base64_decode(u_char *dst, size_t *len, ngx_str_t *src)
{
    u_char  *last;

    *len = 0;

    if (src->len % 4 != 0) {
        return NGX_DECLINED;
    }

    last = src->data + src->len;

    /* a third "=" is no padding, it fails as a character below */

    if (src->len && last[-1] == '=') {
        last--;

        if (last[-1] == '=') {
            last--;
        }
    }

    return ngx_zapier_base64_bytes(dst, len, src->data, last,
                                   (const u_char *) "+/");
}


ngx_int_t
ngx_zapier_base64url_decode(u_char *dst, size_t *len, ngx_str_t *src)
{
    *len = 0;

    if (src->len % 4 == 1) {
        return NGX_DECLINED;
    }

    return ngx_zapier_base64_bytes(dst, len, src->data,
                                   src->data + src->len,
                                   (const u_char *) "-_");
}


/* two: the characters for 62 and 63 */

static ngx_int_t
ngx_zapier_base64_bytes(u_char *dst, size_t *len, u_char *p, u_char *last,
    const u_char *two)
{
    u_char      *d;
    ngx_uint_t   value, bits, nbits;

    d = dst;
    bits = 0;
    nbits = 0;

    while (p < last) {
        value = ngx_zapier_base64_value(*p++, two);

        if (value == NGX_ZAPIER_BASE64_BAD) {
            return NGX_DECLINED;
        }

        bits = bits << 6 | value;
        nbits += 6;

        if (nbits >= 8) {
            nbits -= 8;
            *d++ = (u_char) (bits >> nbits);
            bits &= ((ngx_uint_t) 1 << nbits) - 1;
        }
    }

    if (bits != 0) {
        return NGX_DECLINED;
    }

    *len = d - dst;

    return NGX_OK;
}


static ngx_inline ngx_uint_t
ngx_zapier_base64_value(u_char ch, const u_char *two)
{
    if (ch >= 'A' && ch <= 'Z') {
        return ch - 'A';
    }

    if (ch >= 'a' && ch <= 'z') {
        return ch - 'a' + 26;
    }

    if (ch >= '0' && ch <= '9') {
        return ch - '0' + 52;
    }

    if (ch == two[0]) {
        return 62;
    }

    if (ch == two[1]) {
        return 63;
    }

    return NGX_ZAPIER_BASE64_BAD;
}
