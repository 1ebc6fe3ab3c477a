
/*
 * Text in and out of JSON: UTF-8 and the quoting of strings.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_json.h>
#include <ngx_zapier_json_private.h>


uintptr_t
ngx_zapier_json_quote(u_char *dst, u_char *text, size_t len)
{
    u_char                ch;
    size_t                n, size;
    static const u_char   hex[] = "0123456789abcdef";
    static const u_char   letters[] = "btn\0fr";

    size = 2;

    if (dst) {
        *dst++ = '"';
    }

    for ( /* void */ ; len; text += n, len -= n) {
        ch = *text;
        n = ngx_zapier_json_sequence(text, len);

        if (n == 0) {
            n = 1;
            size += 3;

            if (dst) {
                dst = ngx_cpymem(dst, "\xef\xbf\xbd", 3);
            }

        } else if (ch == '"' || ch == '\\') {
            size += 2;

            if (dst) {
                *dst++ = '\\';
                *dst++ = ch;
            }

        } else if (ch >= 0x20) {
            size += n;

            if (dst) {
                dst = ngx_cpymem(dst, text, n);
            }

        } else if (ch >= '\b' && ch <= '\r' && letters[ch - '\b']) {
            size += 2;

            if (dst) {
                *dst++ = '\\';
                *dst++ = letters[ch - '\b'];
            }

        } else {
            size += 6;

            if (dst) {
                dst = ngx_cpymem(dst, "\\u00", 4);
                *dst++ = hex[ch >> 4];
                *dst++ = hex[ch & 0xf];
            }
        }
    }

    if (dst == NULL) {
        return (uintptr_t) size;
    }

    *dst++ = '"';

    return (uintptr_t) dst;
}


ngx_int_t
ngx_zapier_json_utf8(u_char *text, size_t len)
{
    size_t  n;

    for ( /* void */ ; len; text += n, len -= n) {
        n = ngx_zapier_json_sequence(text, len);

        if (n == 0) {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


size_t
ngx_zapier_json_sequence(u_char *p, size_t len)
{
    u_char  ch, low, high;
    size_t  i, n;

    ch = *p;

    if (ch < 0x80) {
        return 1;
    }

    if (ch < 0xc2 || ch > 0xf4) {
        return 0;
    }

    n = (ch < 0xe0) ? 2 : (ch < 0xf0) ? 3 : 4;

    if (len < n) {
        return 0;
    }

    /* no overlong form, no surrogate, nothing beyond U+10FFFF */

    low = (ch == 0xe0) ? 0xa0 : (ch == 0xf0) ? 0x90 : 0x80;
    high = (ch == 0xed) ? 0x9f : (ch == 0xf4) ? 0x8f : 0xbf;

    if (p[1] < low || p[1] > high) {
        return 0;
    }

    for (i = 2; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }

    return n;
}


u_char *
ngx_zapier_json_pointer(u_char *dst, u_char *key, size_t len)
{
    size_t  i;

    *dst++ = '/';

    for (i = 0; i < len; i++) {

        if (key[i] == '~' || key[i] == '/') {
            *dst++ = '~';
            *dst++ = (key[i] == '~') ? '0' : '1';

        } else {
            *dst++ = key[i];
        }
    }

    return dst;
}
