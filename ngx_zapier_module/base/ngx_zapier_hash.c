
/*
 * SipHash (Aumasson, Bernstein) with one round per word and three at the
 * end, as Rust and Python have it for the same purpose.
 *
 * A start value would not do for ngx_murmur_hash2(): it mixes each word
 * with what came before in a way that can be undone, so that names are
 * found that meet whatever the start value is.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_hash.h>


#define ngx_zapier_hash_rotate(x, n)  (((x) << (n)) | ((x) >> (64 - (n))))

#define ngx_zapier_hash_round(a, b, c, d)                                    \
    a += b; c += d;                                                          \
    b = ngx_zapier_hash_rotate(b, 13) ^ a;                                   \
    d = ngx_zapier_hash_rotate(d, 16) ^ c;                                   \
    a = ngx_zapier_hash_rotate(a, 32);                                       \
    c += b; a += d;                                                          \
    b = ngx_zapier_hash_rotate(b, 17) ^ c;                                   \
    d = ngx_zapier_hash_rotate(d, 21) ^ a;                                   \
    c = ngx_zapier_hash_rotate(c, 32)

/* compilers make one load of it where that is the order of bytes */
#define ngx_zapier_hash_word(p)                                              \
    ((uint64_t) (p)[0] | (uint64_t) (p)[1] << 8                              \
     | (uint64_t) (p)[2] << 16 | (uint64_t) (p)[3] << 24                     \
     | (uint64_t) (p)[4] << 32 | (uint64_t) (p)[5] << 40                     \
     | (uint64_t) (p)[6] << 48 | (uint64_t) (p)[7] << 56)


uint64_t
ngx_zapier_hash(const ngx_zapier_hash_secret_t *secret, const u_char *data,
    size_t len)
{
    size_t         n;
    uint64_t       a, b, c, d, word, last;
    const u_char  *end;

    /* "somepseudorandomlygeneratedbytes" */

    a = secret->k0 ^ 0x736f6d6570736575ULL;
    b = secret->k1 ^ 0x646f72616e646f6dULL;
    c = secret->k0 ^ 0x6c7967656e657261ULL;
    d = secret->k1 ^ 0x7465646279746573ULL;

    n = len % 8;
    end = data + len - n;
    last = (uint64_t) len << 56;

    for ( /* void */ ; data != end; data += 8) {
        word = ngx_zapier_hash_word(data);

        d ^= word;
        ngx_zapier_hash_round(a, b, c, d);
        a ^= word;
    }

    if (n != 0 && len > 8) {

        /* the last eight bytes, less those that have been taken */

        data -= 8 - n;
        last |= ngx_zapier_hash_word(data) >> (64 - 8 * n);

    } else {
        while (n-- > 0) {
            last |= (uint64_t) data[n] << (8 * n);
        }
    }

    d ^= last;
    ngx_zapier_hash_round(a, b, c, d);
    a ^= last;

    c ^= 0xff;

    ngx_zapier_hash_round(a, b, c, d);
    ngx_zapier_hash_round(a, b, c, d);
    ngx_zapier_hash_round(a, b, c, d);

    return a ^ b ^ c ^ d;
}
