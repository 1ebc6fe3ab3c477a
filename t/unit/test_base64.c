
#include <unit.h>
#include <ngx_zapier_base64.h>


/* of the very size, so that the sanitizer sees an overrun */

static void
decodes(const char *text, const char *expected)
{
    size_t      len;
    u_char     *src, *dst;
    ngx_str_t   s;

    s.len = ngx_strlen(text);
    src = malloc(s.len + 1);
    ngx_memcpy(src, text, s.len);
    src = realloc(src, s.len ? s.len : 1);
    s.data = src;

    dst = malloc(ngx_base64_decoded_length(s.len) + 1);
    dst = realloc(dst, s.len ? ngx_base64_decoded_length(s.len) : 1);

    if (expected) {
        is_int(ngx_zapier_base64_decode(dst, &len, &s), NGX_OK, text);
        is_mem(dst, len, expected, ngx_strlen(expected), "bytes");

    } else {
        is_int(ngx_zapier_base64_decode(dst, &len, &s), NGX_DECLINED, text);
    }

    free(src);
    free(dst);
}


static void
decodes_url(const char *text, const char *expected)
{
    size_t      len;
    u_char      dst[64];
    ngx_str_t   s;

    s.len = ngx_strlen(text);
    s.data = (u_char *) text;

    if (expected) {
        is_int(ngx_zapier_base64url_decode(dst, &len, &s), NGX_OK, text);
        is_mem(dst, len, expected, ngx_strlen(expected), "bytes");

    } else {
        is_int(ngx_zapier_base64url_decode(dst, &len, &s), NGX_DECLINED,
               text);
    }
}


static void
round_trip(void)
{
    int        bad;
    size_t     i, len, n;
    u_char     plain[256], text[512], back[512];
    ngx_str_t  src, dst;

    for (i = 0; i < sizeof(plain); i++) {
        plain[i] = (u_char) (i * 167 + 13);
    }

    for (bad = 0, n = 0; n <= sizeof(plain); n++) {
        src.data = plain;
        src.len = n;
        dst.data = text;
        ngx_encode_base64(&dst, &src);

        if (ngx_zapier_base64_decode(back, &len, &dst) != NGX_OK
            || len != n || memcmp(back, plain, n) != 0)
        {
            bad++;
        }
    }

    is_int(bad, 0, "round trip of every length");
}


/* each text of four characters: if it decodes, it is what is encoded */

static void
one_text(void)
{
    static const char  some[] = "AQgwZz09+/=-_ \n";

    int         bad;
    size_t      i, len, n;
    u_char      back[8], text[4], again[8];
    ngx_str_t   src, dst, bytes;

    n = sizeof(some) - 1;
    src.data = text;
    src.len = 4;

    bad = 0;

    for (i = 0; i < n * n * n * n; i++) {
        text[0] = some[i % n];
        text[1] = some[i / n % n];
        text[2] = some[i / n / n % n];
        text[3] = some[i / n / n / n];

        if (ngx_zapier_base64_decode(back, &len, &src) != NGX_OK) {
            continue;
        }

        bytes.data = back;
        bytes.len = len;
        dst.data = again;
        ngx_encode_base64(&dst, &bytes);

        if (dst.len != 4 || memcmp(again, text, 4) != 0) {
            bad++;
        }
    }

    is_int(bad, 0, "no two texts for the same bytes");
}


int
main(void)
{
    /* RFC 4648 section 10 */

    decodes("", "");
    decodes("Zg==", "f");
    decodes("Zm8=", "fo");
    decodes("Zm9v", "foo");
    decodes("Zm9vYg==", "foob");
    decodes("Zm9vYmE=", "fooba");
    decodes("Zm9vYmFy", "foobar");
    decodes("+/+/", "\xfb\xff\xbf");

    decodes("Zg", NULL);
    decodes("Zg=", NULL);
    decodes("Zm8", NULL);
    decodes("Z", NULL);
    decodes("Z===", NULL);
    decodes("====", NULL);
    decodes("=", NULL);
    decodes("==", NULL);
    decodes("Zh==", NULL);
    decodes("Zm9=", NULL);
    decodes("Zg==Zg==", NULL);
    decodes("Zm=v", NULL);
    decodes("Zm9v\n", NULL);
    decodes(" Zm9", NULL);
    decodes("Zm9vZm9\n", NULL);
    decodes("-_-_", NULL);
    decodes("Zm9\xc3", NULL);

    round_trip();
    one_text();

    decodes_url("", "");
    decodes_url("Zg", "f");
    decodes_url("Zm8", "fo");
    decodes_url("Zm9v", "foo");
    decodes_url("-_8x", "\xfb\xff\x31");
    decodes_url("Z", NULL);
    decodes_url("Zg==", NULL);
    decodes_url("Zh", NULL);
    decodes_url("+/8x", NULL);
    decodes_url("Zm9v\n", NULL);
    decodes_url("Zm.v", NULL);

    return done();
}
