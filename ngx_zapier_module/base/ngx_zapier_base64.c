
/*
 * Strict base64.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_base64.h>


#define NGX_ZAPIER_BASE64_BAD  64


static ngx_inline ngx_uint_t ngx_zapier_base64_value(u_char ch);


ngx_int_t
ngx_zapier_base64_decode(u_char *dst, size_t *len, ngx_str_t *src)
{
    u_char      *p, *d, *last;
    ngx_uint_t   value, bits, nbits;

    *len = 0;

    if (src->len % 4 != 0) {
        return NGX_DECLINED;
    }

    p = src->data;
    last = p + src->len;

    /* a third "=" is no padding, it fails as a character below */

    if (src->len && last[-1] == '=') {
        last--;

        if (last[-1] == '=') {
            last--;
        }
    }

    d = dst;
    bits = 0;
    nbits = 0;

    while (p < last) {
        value = ngx_zapier_base64_value(*p++);

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
ngx_zapier_base64_value(u_char ch)
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

    switch (ch) {

    case '+':
        return 62;

    case '/':
        return 63;

    default:
        return NGX_ZAPIER_BASE64_BAD;
    }
}
