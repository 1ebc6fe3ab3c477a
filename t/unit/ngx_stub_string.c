
/*
 * Those of nginx's string and number functions that base/ and its tests
 * use, in the plainest form: Debian's nginx-dev has only the headers.
 */


#include <unit.h>
#include <stdarg.h>


static u_char *unit_pad(u_char *p, u_char *last, const char *s, size_t len,
    size_t width, int zero);


void
ngx_strlow(u_char *dst, u_char *src, size_t n)
{
    while (n--) {
        *dst++ = ngx_tolower(*src);
        src++;
    }
}


ngx_int_t
ngx_strcasecmp(u_char *s1, u_char *s2)
{
    return strcasecmp((char *) s1, (char *) s2);
}


ngx_int_t
ngx_strncasecmp(u_char *s1, u_char *s2, size_t n)
{
    return strncasecmp((char *) s1, (char *) s2, n);
}


u_char *
ngx_cpystrn(u_char *dst, u_char *src, size_t n)
{
    if (n == 0) {
        return dst;
    }

    while (--n && *src) {
        *dst++ = *src++;
    }

    *dst = '\0';

    return dst;
}


u_char *
ngx_pstrdup(ngx_pool_t *pool, ngx_str_t *src)
{
    u_char  *dst;

    dst = ngx_pnalloc(pool, src->len);

    if (dst) {
        ngx_memcpy(dst, src->data, src->len);
    }

    return dst;
}


void
ngx_explicit_memzero(void *buf, size_t n)
{
    memset(buf, 0, n);
    __asm__ volatile ("" : : "r" (buf) : "memory");
}


ngx_int_t
ngx_atoi(u_char *line, size_t n)
{
    ngx_int_t  value;

    if (n == 0) {
        return NGX_ERROR;
    }

    for (value = 0; n--; line++) {

        if (*line < '0' || *line > '9'
            || value > (NGX_MAX_INT_T_VALUE - (*line - '0')) / 10)
        {
            return NGX_ERROR;
        }

        value = value * 10 + (*line - '0');
    }

    return value;
}


off_t
ngx_atoof(u_char *line, size_t n)
{
    return ngx_atoi(line, n);
}


time_t
ngx_atotm(u_char *line, size_t n)
{
    return ngx_atoi(line, n);
}


ngx_int_t
ngx_hextoi(u_char *line, size_t n)
{
    ngx_int_t    value;
    const char  *at;

    static const char  digits[] = "0123456789abcdef";

    if (n == 0) {
        return NGX_ERROR;
    }

    for (value = 0; n--; line++) {
        at = *line ? strchr(digits, ngx_tolower(*line)) : NULL;

        if (at == NULL) {
            return NGX_ERROR;
        }

        value = value * 16 + (at - digits);
    }

    return value;
}


void
ngx_encode_base64(ngx_str_t *dst, ngx_str_t *src)
{
    size_t    i;
    u_char   *d;
    uint32_t  three;

    static const char  basis[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    d = dst->data;

    for (i = 0; i < src->len; i += 3) {
        three = (uint32_t) src->data[i] << 16;
        three |= (i + 1 < src->len) ? (uint32_t) src->data[i + 1] << 8 : 0;
        three |= (i + 2 < src->len) ? src->data[i + 2] : 0;

        *d++ = basis[three >> 18];
        *d++ = basis[three >> 12 & 63];
        *d++ = (i + 1 < src->len) ? basis[three >> 6 & 63] : '=';
        *d++ = (i + 2 < src->len) ? basis[three & 63] : '=';
    }

    dst->len = d - dst->data;
}


/* no padding, two other characters */

void
ngx_encode_base64url(ngx_str_t *dst, ngx_str_t *src)
{
    size_t  i;

    ngx_encode_base64(dst, src);

    while (dst->len && dst->data[dst->len - 1] == '=') {
        dst->len--;
    }

    for (i = 0; i < dst->len; i++) {
        if (dst->data[i] == '+') {
            dst->data[i] = '-';

        } else if (dst->data[i] == '/') {
            dst->data[i] = '_';
        }
    }
}


/* as forgiving as nginx's: bits that do not count are not looked at */

ngx_int_t
ngx_decode_base64url(ngx_str_t *dst, ngx_str_t *src)
{
    size_t       i;
    u_char      *d;
    uint32_t     bits;
    const char  *p;

    static const char  basis[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    if (src->len % 4 == 1) {
        return NGX_ERROR;
    }

    d = dst->data;
    bits = 0;

    for (i = 0; i < src->len; i++) {
        p = src->data[i] ? strchr(basis, src->data[i]) : NULL;
        if (p == NULL) {
            return NGX_ERROR;
        }

        bits = bits << 6 | (uint32_t) (p - basis);

        if (i % 4 != 0) {
            *d++ = (u_char) (bits >> (6 - i % 4 * 2));
        }
    }

    dst->len = d - dst->data;

    return NGX_OK;
}


time_t
ngx_parse_http_time(u_char *value, size_t len)
{
    static const char  *formats[] = {
        "%a, %d %b %Y %H:%M:%S GMT",    /* RFC 9110, IMF-fixdate */
        "%A, %d-%b-%y %H:%M:%S GMT",    /* RFC 850 */
        "%a %b %d %H:%M:%S %Y"          /* asctime() */
    };

    char        buf[64];
    size_t      i;
    struct tm   tm;
    const char *end;

    if (len >= sizeof(buf)) {
        return NGX_ERROR;
    }

    memcpy(buf, value, len);
    buf[len] = '\0';

    for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        memset(&tm, 0, sizeof(struct tm));

        end = strptime(buf, formats[i], &tm);

        if (end && *end == '\0') {
            return timegm(&tm);
        }
    }

    return NGX_ERROR;
}


u_char *
ngx_sprintf(u_char *buf, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    va_start(args, fmt);
    p = ngx_vslprintf(buf, (u_char *) -1, fmt, args);
    va_end(args);

    return p;
}


u_char *
ngx_snprintf(u_char *buf, size_t max, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    va_start(args, fmt);
    p = ngx_vslprintf(buf, buf + max, fmt, args);
    va_end(args);

    return p;
}


u_char *
ngx_slprintf(u_char *buf, u_char *last, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    va_start(args, fmt);
    p = ngx_vslprintf(buf, last, fmt, args);
    va_end(args);

    return p;
}


/* %[0][width][u][x] of V *s s c d D i l L z O T M p %, no floats */

u_char *
ngx_vslprintf(u_char *buf, u_char *last, const char *fmt, va_list args)
{
    int           zero, sign;
    char          num[32];
    size_t        width, len;
    int64_t       i;
    ngx_str_t    *v;
    const char   *s, *format;

    while (*fmt && buf < last) {

        if (*fmt != '%') {
            *buf++ = *fmt++;
            continue;
        }

        zero = (*++fmt == '0');
        sign = 1;
        len = (size_t) -1;
        format = "%lld";

        for (width = 0; *fmt >= '0' && *fmt <= '9'; fmt++) {
            width = width * 10 + (*fmt - '0');
        }

        for ( /* void */ ; *fmt && strchr("ux*", *fmt); fmt++) {

            if (*fmt == '*') {
                len = va_arg(args, size_t);

            } else {
                sign = 0;
                format = (*fmt == 'x') ? "%llx" : "%llu";
            }
        }

        switch (*fmt++) {

        case 'V':
            v = va_arg(args, ngx_str_t *);
            buf = unit_pad(buf, last, (char *) v->data, v->len, 0, 0);
            continue;

        case 's':
            s = va_arg(args, const char *);
            len = (len == (size_t) -1) ? strlen(s) : len;
            buf = unit_pad(buf, last, s, len, 0, 0);
            continue;

        case 'c':
            *buf++ = (u_char) va_arg(args, int);
            continue;

        case '%':
            *buf++ = '%';
            continue;

        case 'd':
        case 'D':
            i = va_arg(args, int);
            i = sign ? i : (int64_t) (uint32_t) i;
            break;

        case 'p':
            format = "%llx";
            /* fall through */

        default: /* i l L z O T M */
            i = va_arg(args, int64_t);
        }

        len = snprintf(num, sizeof(num), format, (long long) i);
        buf = unit_pad(buf, last, num, len, width, zero);
    }

    return buf;
}


static u_char *
unit_pad(u_char *p, u_char *last, const char *s, size_t len, size_t width,
    int zero)
{
    while (width > len && p < last) {
        *p++ = zero ? '0' : ' ';
        width--;
    }

    while (len && p < last) {
        *p++ = *s++;
        len--;
    }

    return p;
}


/* type 0: all of it, as in a path */

void
ngx_unescape_uri(u_char **dst, u_char **src, size_t size, ngx_uint_t type)
{
    u_char     *d, *s, *last;
    ngx_int_t   n;

    (void) type;

    d = *dst;
    s = *src;
    last = s + size;

    while (s < last) {
        n = (*s == '%' && last - s > 2) ? ngx_hextoi(s + 1, 2) : NGX_ERROR;

        if (n == NGX_ERROR) {
            *d++ = *s++;
            continue;
        }

        *d++ = (u_char) n;
        s += 3;
    }

    *dst = d;
    *src = s;
}


/* as of NGX_ESCAPE_URI_COMPONENT */

uintptr_t
ngx_escape_uri(u_char *dst, u_char *src, size_t size, ngx_uint_t type)
{
    u_char  c;

    static u_char  hex[] = "0123456789ABCDEF";

    (void) type;

    for ( /* void */ ; size; size--) {
        c = *src++;

        if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
            || c == '-' || c == '.' || c == '_' || c == '~')
        {
            *dst++ = c;
            continue;
        }

        *dst++ = '%';
        *dst++ = hex[c >> 4];
        *dst++ = hex[c & 0xf];
    }

    return (uintptr_t) dst;
}
