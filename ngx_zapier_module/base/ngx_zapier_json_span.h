
/*
 * The inner loops of the JSON scanner: how far a run of bytes of one kind
 * reaches.  SSE2 is part of every x86-64; elsewhere strings go a word at
 * a time.  No byte outside of p .. last is touched.
 */


#ifndef _NGX_ZAPIER_JSON_SPAN_H_INCLUDED_
#define _NGX_ZAPIER_JSON_SPAN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* NGX_ZAPIER_JSON_PORTABLE lets the tests run the other half */

#if defined(__SSE2__) && !defined(NGX_ZAPIER_JSON_PORTABLE)
#define NGX_ZAPIER_JSON_SSE2  1
#include <emmintrin.h>
#endif


#define ngx_zapier_json_plain(ch)                                            \
    ((ch) >= 0x20 && (ch) < 0x80 && (ch) != '"' && (ch) != '\\')

#define ngx_zapier_json_digit(ch)  ((u_char) ((ch) - '0') <= 9)


#if (NGX_ZAPIER_JSON_SSE2)

/* bit i: byte i ends a run of plain ASCII inside of a string */

static ngx_inline ngx_uint_t
ngx_zapier_json_special(u_char *p)
{
    __m128i  v, m;

    v = _mm_loadu_si128((__m128i *) p);

    /* a signed comparison, so it holds for 0x80 and above too */
    m = _mm_cmplt_epi8(v, _mm_set1_epi8(0x20));

    m = _mm_or_si128(m, _mm_cmpeq_epi8(v, _mm_set1_epi8('"')));
    m = _mm_or_si128(m, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));

    return (ngx_uint_t) _mm_movemask_epi8(m);
}


static ngx_inline ngx_uint_t
ngx_zapier_json_nonspace(u_char *p)
{
    __m128i  v, m;

    v = _mm_loadu_si128((__m128i *) p);

    m = _mm_cmpeq_epi8(v, _mm_set1_epi8(' '));
    m = _mm_or_si128(m, _mm_cmpeq_epi8(v, _mm_set1_epi8('\n')));
    m = _mm_or_si128(m, _mm_cmpeq_epi8(v, _mm_set1_epi8('\r')));
    m = _mm_or_si128(m, _mm_cmpeq_epi8(v, _mm_set1_epi8('\t')));

    return (ngx_uint_t) _mm_movemask_epi8(m) ^ 0xffff;
}

#endif


/* how many of the 16 bytes at p are digits, up to the first that is not */

static ngx_inline ngx_uint_t
ngx_zapier_json_digits(u_char *p)
{
#if (NGX_ZAPIER_JSON_SSE2)

    __m128i  v, m;

    v = _mm_loadu_si128((__m128i *) p);
    v = _mm_sub_epi8(v, _mm_set1_epi8('0'));

    /* unsigned v <= 9 */
    m = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(9)), v);

    return (ngx_uint_t) __builtin_ctz(~(unsigned) _mm_movemask_epi8(m));

#else

    ngx_uint_t  n;

    for (n = 0; n < 16 && ngx_zapier_json_digit(p[n]); n++) { /* void */ }

    return n;

#endif
}


/* to the first byte that is not plain ASCII inside of a string */

static ngx_inline u_char *
ngx_zapier_json_span(u_char *p, u_char *last)
{
#if (NGX_ZAPIER_JSON_SSE2)

    ngx_uint_t  mask;

    while (last - p >= 16) {
        mask = ngx_zapier_json_special(p);

        if (mask) {
            return p + __builtin_ctz((unsigned) mask);
        }

        p += 16;
    }

#else

    uint64_t  w, q, b;

    while (last - p >= 8) {
        ngx_memcpy(&w, p, 8);

        q = w ^ 0x2222222222222222;
        b = w ^ 0x5c5c5c5c5c5c5c5c;

        if ((w | (w - 0x2020202020202020) | (q - 0x0101010101010101)
             | (b - 0x0101010101010101)) & 0x8080808080808080)
        {
            break;
        }

        p += 8;
    }

#endif

    while (p < last && ngx_zapier_json_plain(*p)) {
        p++;
    }

    return p;
}


static ngx_inline u_char *
ngx_zapier_json_space(u_char *p, u_char *last)
{
    if (p == last || *p > ' ') {
        return p;
    }

    /* mostly a single one, or a line break and an indent */

    if (*p == ' ' && last - p > 1 && p[1] > ' ') {
        return p + 1;
    }

#if (NGX_ZAPIER_JSON_SSE2)
    {
    ngx_uint_t  mask;

    while (last - p >= 16) {
        mask = ngx_zapier_json_nonspace(p);

        if (mask) {
            return p + __builtin_ctz((unsigned) mask);
        }

        p += 16;
    }
    }
#endif

    while (p < last
           && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
    {
        p++;
    }

    return p;
}


/*
 * The end of a number of up to 15 digits before and after the point; NULL
 * if it is anything else.  There are 33 bytes at p.
 */

static ngx_inline u_char *
ngx_zapier_json_decimal(u_char *p)
{
    ngx_uint_t  n;

    n = ngx_zapier_json_digits(p);

    if (n == 0 || n == 16 || (*p == '0' && n > 1)) {
        return NULL;
    }

    p += n;

    if (*p == '.') {
        n = ngx_zapier_json_digits(++p);

        if (n == 0 || n == 16) {
            return NULL;
        }

        p += n;
    }

    return (*p == 'e' || *p == 'E') ? NULL : p;
}


#endif /* _NGX_ZAPIER_JSON_SPAN_H_INCLUDED_ */
