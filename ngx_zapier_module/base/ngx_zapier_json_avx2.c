
/*
 * Long texts, for processors that have AVX2: 128 bytes at a time where all
 * is plain, 64 where something is to be looked at.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_json.h>
#include <ngx_zapier_json_private.h>
#include <ngx_zapier_json_span.h>


#if (NGX_ZAPIER_JSON_AVX2)

#include <immintrin.h>


#define ngx_zapier_json_avx2  __attribute__((target("avx2,bmi")))


static ngx_inline __m256i ngx_zapier_json_ends_avx2(u_char *p);
static ngx_inline uint64_t ngx_zapier_json_special_avx2(u_char *p);
static u_char *ngx_zapier_json_block_avx2(u_char *p, u_char *last);


/* 0xff: the byte ends a run of plain ASCII, see ngx_zapier_json_ends() */

ngx_zapier_json_avx2 static ngx_inline __m256i
ngx_zapier_json_ends_avx2(u_char *p)
{
    __m256i  v, m;

    v = _mm256_loadu_si256((__m256i *) p);

    /* signed, so it holds for 0x80 and above too */
    m = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), v);

    m = _mm256_or_si256(m, _mm256_cmpeq_epi8(v, _mm256_set1_epi8('"')));
    m = _mm256_or_si256(m, _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\')));

    return m;
}


ngx_zapier_json_avx2 static ngx_inline uint64_t
ngx_zapier_json_special_avx2(u_char *p)
{
    uint32_t  low, high;

    low = (uint32_t) _mm256_movemask_epi8(ngx_zapier_json_ends_avx2(p));
    high = (uint32_t) _mm256_movemask_epi8(ngx_zapier_json_ends_avx2(p + 32));

    return (uint64_t) high << 32 | low;
}


ngx_zapier_json_avx2 u_char *
ngx_zapier_json_span_avx2(u_char *p, u_char *last)
{
    __m256i  a, b, c, d;

    while (last - p >= 128) {
        a = ngx_zapier_json_ends_avx2(p);
        b = ngx_zapier_json_ends_avx2(p + 32);
        c = ngx_zapier_json_ends_avx2(p + 64);
        d = ngx_zapier_json_ends_avx2(p + 96);

        a = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));

        if (_mm256_movemask_epi8(a) != 0) {
            break;
        }

        p += 128;
    }

    return p;
}


ngx_zapier_json_avx2 u_char *
ngx_zapier_json_run_avx2(u_char *p, u_char *last)
{
    u_char  *next;

    for ( ;; ) {
        p = ngx_zapier_json_span_avx2(p, last);

        next = ngx_zapier_json_block_avx2(p, last);

        if (next - p < 64) {
            return next;
        }

        p = next;
    }
}


/*
 * Passes at least 64 bytes, or stops at what needs care.  The bits of what
 * was looked at are taken away, so that nothing is searched for again.
 */

ngx_zapier_json_avx2 static u_char *
ngx_zapier_json_block_avx2(u_char *p, u_char *last)
{
    size_t       n;
    u_char      *c;
    uint64_t     mask;
    ngx_uint_t   i;

    /* ... and what begins in them is all there */

    if (last - p < 64 + 8) {
        return p;
    }

    mask = ngx_zapier_json_special_avx2(p);

    while (mask != 0) {
        i = __builtin_ctzll(mask);
        c = p + i;

        if (*c == '\\') {

            if (!ngx_zapier_json_escapes[c[1]]) {
                return c;
            }

            n = 2;

        } else if (*c < 0x80 || c[3] >= 0x80) {

            /* a quote, a fault, or many characters beyond ASCII */

            return c;

        } else {
            n = ngx_zapier_json_sequence(c, 4);

            if (n == 0) {
                return c;
            }
        }

        if (i + n >= 64) {
            return c + n;
        }

        mask &= ~(uint64_t) 0 << (i + n);
    }

    return p + 64;
}

#endif
