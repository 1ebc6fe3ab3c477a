
/*
 * The inner loops of the JSON scanner: how far a run of bytes of one kind
 * reaches.  SSE2 is part of every x86-64; elsewhere strings go a word at
 * a time.  No byte outside of p .. last is touched.
 */


#ifndef _NGX_ZAPIER_JSON_SPAN_H_INCLUDED_
#define _NGX_ZAPIER_JSON_SPAN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_likely.h>


/* NGX_ZAPIER_JSON_PORTABLE and _NO_AVX2 let the tests run the other halves */

#if defined(__SSE2__) && !defined(NGX_ZAPIER_JSON_PORTABLE)
#define NGX_ZAPIER_JSON_SSE2  1
#include <emmintrin.h>
#endif

#if (NGX_ZAPIER_JSON_SSE2) && !defined(NGX_ZAPIER_JSON_NO_AVX2)
#define NGX_ZAPIER_JSON_AVX2  1
#define ngx_zapier_json_has_avx2()  __builtin_cpu_supports("avx2")
#endif

/* a text of so many bytes is worth the question */
#define NGX_ZAPIER_JSON_LONG  128


#define ngx_zapier_json_plain(ch)                                            \
    ((ch) >= 0x20 && (ch) < 0x80 && (ch) != '"' && (ch) != '\\')

#define ngx_zapier_json_digit(ch)  ((u_char) ((ch) - '0') <= 9)


#if (NGX_ZAPIER_JSON_SSE2)

/* 0xff: the byte ends a run of plain ASCII inside of a string */

static ngx_inline __m128i
ngx_zapier_json_ends(u_char *p)
{
    __m128i  v, m;

    v = _mm_loadu_si128((__m128i *) p);

    /* a signed comparison, so it holds for 0x80 and above too */
    m = _mm_cmplt_epi8(v, _mm_set1_epi8(0x20));

    m = _mm_or_si128(m, _mm_cmpeq_epi8(v, _mm_set1_epi8('"')));
    m = _mm_or_si128(m, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));

    return m;
}


/* the same as bit i for byte i of 16 */

static ngx_inline ngx_uint_t
ngx_zapier_json_special(u_char *p)
{
    return (ngx_uint_t) _mm_movemask_epi8(ngx_zapier_json_ends(p));
}


/*
 * ... and of 64, with but one branch, since where a run ends cannot be
 * predicted
 */

static ngx_inline uint64_t
ngx_zapier_json_special64(u_char *p)
{
    __m128i  a, b, c, d, m;

    a = ngx_zapier_json_ends(p);
    b = ngx_zapier_json_ends(p + 16);
    c = ngx_zapier_json_ends(p + 32);
    d = ngx_zapier_json_ends(p + 48);

    m = _mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d));

    if (_mm_movemask_epi8(m) == 0) {
        return 0;
    }

    return (uint64_t) _mm_movemask_epi8(a)
           | (uint64_t) _mm_movemask_epi8(b) << 16
           | (uint64_t) _mm_movemask_epi8(c) << 32
           | (uint64_t) _mm_movemask_epi8(d) << 48;
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


/*
 * To the first byte that is not plain ASCII inside of a string.  Most
 * strings end within 16 bytes, and are passed without a call.
 */

u_char *ngx_zapier_json_span_long(u_char *p, u_char *last);


static ngx_inline u_char *
ngx_zapier_json_span(u_char *p, u_char *last)
{
#if (NGX_ZAPIER_JSON_SSE2)

    ngx_uint_t  mask;

    if (ngx_zapier_likely(last - p >= 16)) {
        mask = ngx_zapier_json_special(p);

        if (ngx_zapier_likely(mask)) {
            return p + __builtin_ctz((unsigned) mask);
        }

        p += 16;
    }

#endif

    return ngx_zapier_json_span_long(p, last);
}


#if (NGX_ZAPIER_JSON_SSE2)

#define json_set(ch)    _mm_set1_epi8((char) (ch))
#define json_or(a, b)   _mm_or_si128(a, b)
#define json_ge(a, ch)  _mm_cmpeq_epi8(_mm_max_epu8(a, json_set(ch)), a)
#define json_eq(a, ch)  _mm_cmpeq_epi8(a, json_set(ch))

/* signed, so that 0x80 is the least */
#define json_lt(a, ch)  _mm_cmplt_epi8(a, json_set(ch))


/*
 * Whether the 16 bytes of v, after those of prev, are UTF-8 that may go on
 * behind them and hold nothing that ends a run of text.
 */

static ngx_inline ngx_uint_t
ngx_zapier_json_is_utf8(__m128i v, __m128i prev)
{
    __m128i  bad, prev1, prev2, prev3;

    prev1 = json_or(_mm_slli_si128(v, 1), _mm_srli_si128(prev, 15));
    prev2 = json_or(_mm_slli_si128(v, 2), _mm_srli_si128(prev, 14));
    prev3 = json_or(_mm_slli_si128(v, 3), _mm_srli_si128(prev, 13));

    bad = json_or(json_eq(v, '"'), json_eq(v, '\\'));
    bad = json_or(bad, _mm_cmpeq_epi8(_mm_min_epu8(v, json_set(0x1f)), v));

    /* leads call for continuations, nothing else does */

    bad = json_or(bad, _mm_xor_si128(json_lt(v, 0xc0),
                                     json_or(json_ge(prev1, 0xc0),
                                             json_or(json_ge(prev2, 0xe0),
                                                     json_ge(prev3, 0xf0)))));

    /* overlong, surrogates, beyond U+10FFFF */

    bad = json_or(bad, json_ge(v, 0xf5));
    bad = json_or(bad, json_or(json_eq(v, 0xc0), json_eq(v, 0xc1)));
    bad = json_or(bad, _mm_and_si128(json_lt(v, 0xa0), json_eq(prev1, 0xe0)));
    bad = json_or(bad, _mm_and_si128(json_lt(v, 0x90), json_eq(prev1, 0xf0)));
    bad = json_or(bad, _mm_andnot_si128(json_lt(v, 0xa0),
                                        json_eq(prev1, 0xed)));
    bad = json_or(bad, _mm_andnot_si128(json_lt(v, 0x90),
                                        json_eq(prev1, 0xf4)));

    return _mm_movemask_epi8(bad) == 0;
}


#undef json_set
#undef json_or
#undef json_ge
#undef json_eq
#undef json_lt

#endif


/*
 * From the beginning of a character to that of another one.  What is left
 * or wrong is for the automaton, which finds the very byte.
 */

static ngx_inline u_char *
ngx_zapier_json_multibyte(u_char *p, u_char *last)
{
#if (NGX_ZAPIER_JSON_SSE2)

    u_char   *start;
    __m128i   v, prev;

    start = p;
    prev = _mm_setzero_si128();

    while (last - p >= 16) {
        v = _mm_loadu_si128((__m128i *) p);

        if (!ngx_zapier_json_is_utf8(v, prev)) {
            break;
        }

        prev = v;
        p += 16;

        /* plain ASCII again is faster elsewhere */

        if (_mm_movemask_epi8(v) == 0) {
            break;
        }
    }

    /* the last character may go on behind what is checked */

    if (p > start) {

        if (p[-1] >= 0xc0) {
            p -= 1;

        } else if (p[-2] >= 0xe0) {
            p -= 2;

        } else if (p[-3] >= 0xf0) {
            p -= 3;
        }
    }

#else

    (void) last;

#endif

    return p;
}


/* Over white space; most is none at all, or a single blank. */

u_char *ngx_zapier_json_space_long(u_char *p, u_char *last);


static ngx_inline u_char *
ngx_zapier_json_space(u_char *p, u_char *last)
{
    if (ngx_zapier_unlikely(p == last)) {
        return p;
    }

    if (ngx_zapier_likely(*p > ' ')) {
        return p;
    }

    if (*p == ' ' && last - p > 1 && p[1] > ' ') {
        return p + 1;
    }

    return ngx_zapier_json_space_long(p, last);
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
