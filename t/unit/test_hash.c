
/*
 * The keyed hash: the words that Python 3.11 hashes bytes to under
 * PYTHONHASHSEED=1, and names that meet under ngx_murmur_hash2().
 */

#include <unit.h>
#include <ngx_zapier_hash.h>


#define NAMES    4096
#define BUCKETS  4096

/* so many of as many names as there are buckets do not meet by chance */
#define CROWD    16

#define M        0x5bd1e995
#define INVERSE  0xe59b19bd         /* M * INVERSE is 1 */


static ngx_zapier_hash_secret_t  secret = {
    0xaed66ce184be2329ULL, 0xebe9bbf1f1499052ULL
};

/* of 00 01 02 ..., n bytes */
static uint64_t  expected[] = {
    0, 0xecd3e5afcecda4b9ULL, 0xbf360f1ea1745965ULL, 0x8d5b20ab227ba858ULL,
    0x968a3280faeeb716ULL, 0xbbda3b5f513c3d69ULL, 0xa77f099d6ffed90eULL,
    0xfd15e78052a69ddfULL, 0xc0b5739e7e28dd01ULL, 0x208a1a5a0cbbf778ULL,
    0xb99907ab3e3e597cULL, 0x4d9ec6e9c5127521ULL, 0x9b07906e87e344adULL,
    0x75973ed5708eb192ULL, 0x3a6b5d52e1c90862ULL, 0xfa87985f39e97a53ULL,
    0x12e9d283f9f37002ULL, 0x9f5bb4237f61907fULL, 0xc8481dd155697ab5ULL,
    0xea61ba56131a6619ULL, 0xcd48cd0e7a31cb04ULL, 0x6194f8d23abbab99ULL,
    0x8d7773f9524a6d91ULL, 0xf7cea028f939ae8cULL
};


static void
vectors(void)
{
    char     name[64];
    size_t   n, i, k;
    u_char  *data;

    for (n = 1; n < sizeof(expected) / sizeof(uint64_t); n++) {

        /* at odd addresses too, and without a byte more */

        for (i = 0; i < 2; i++) {
            data = malloc(i + n);
            if (data == NULL) {
                exit(1);
            }

            for (k = 0; k < n; k++) {
                data[i + k] = (u_char) k;
            }

            snprintf(name, sizeof(name), "%d bytes at %d", (int) n, (int) i);
            is_int(ngx_zapier_hash(&secret, data + i, n), expected[n], name);

            free(data);
        }
    }

    ok(ngx_zapier_hash(&secret, NULL, 0)
       != ngx_zapier_hash(&secret, (u_char *) "", 1), "none is not a zero");
}


static uint32_t
mix(uint32_t word, uint32_t multiplier)
{
    word *= multiplier;
    word ^= word >> 24;

    return word * multiplier;
}


static uint32_t
murmur(const u_char *name)
{
    uint32_t    h;
    ngx_uint_t  i;

    h = 12;

    for (i = 0; i < 12; i += 4) {
        h *= M;
        h ^= mix((uint32_t) name[i] | (uint32_t) name[i + 1] << 8
                 | (uint32_t) name[i + 2] << 16
                 | (uint32_t) name[i + 3] << 24, M);
    }

    h ^= h >> 13;
    h *= M;

    return h ^ (h >> 15);
}


/* The next name of 12 letters that ngx_murmur_hash2() gives this state. */

static void
colliding(u_char *name, uint32_t state)
{
    uint32_t         h, word;
    ngx_uint_t       i;
    static uint64_t  seed = 20261124;

    static const u_char  letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"
                                     "ghijklmnopqrstuvwxyz0123456789._";

    do {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;

        for (i = 0; i < 8; i++) {
            name[i] = letters[(seed >> (16 + 6 * i)) % 64];
        }

        h = 12;

        for (i = 0; i < 8; i += 4) {
            h *= M;
            h ^= mix((uint32_t) name[i] | (uint32_t) name[i + 1] << 8
                     | (uint32_t) name[i + 2] << 16
                     | (uint32_t) name[i + 3] << 24, M);
        }

        word = mix(h * M ^ state, INVERSE);

        for (i = 0; i < 4; i++) {
            name[8 + i] = (u_char) (word >> (8 * i));

            if (name[8 + i] == '\0'
                || strchr((const char *) letters, name[8 + i]) == NULL)
            {
                break;
            }
        }

    } while (i < 4);
}


static void
crowds(void)
{
    uint32_t         bucket;
    ngx_uint_t       i, most, same;
    static u_char    name[12];
    static uint32_t  first, count[BUCKETS];

    most = 0;
    same = 0;

    for (i = 0; i < NAMES; i++) {
        colliding(name, 12345);

        if (i == 0) {
            first = murmur(name);
        }

        same += (murmur(name) == first);

        bucket = (uint32_t) ngx_zapier_hash(&secret, name, 12) % BUCKETS;

        if (++count[bucket] > most) {
            most = count[bucket];
        }
    }

    is_int(same, NAMES, "names of one hash are found at will");
    ok(most < CROWD, "and go to as many buckets as others");
    diag("at most %d in one", (int) most);
}


static void
secrets(void)
{
    uint64_t                  h;
    ngx_uint_t                i, same;
    ngx_zapier_hash_secret_t  other;

    h = ngx_zapier_hash(&secret, (u_char *) "acme", 4);
    same = 0;

    for (i = 0; i < 128; i++) {
        other = secret;

        if (i < 64) {
            other.k0 ^= (uint64_t) 1 << i;

        } else {
            other.k1 ^= (uint64_t) 1 << (i - 64);
        }

        same += (ngx_zapier_hash(&other, (u_char *) "acme", 4) == h);
    }

    is_int(same, 0, "each bit of the secret matters");
}


int
main(void)
{
    vectors();
    crowds();
    secrets();

    return done();
}
