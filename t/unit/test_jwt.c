
#include <unit.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <ngx_zapier_jwks.h>
#include <ngx_zapier_jwt.h>


#define NOW  1800000000

#define GOOD_HEADER  "{\"alg\":\"RS256\",\"kid\":\"one\"}"
#define GOOD_CLAIMS  "{\"iat\":1799999990,\"exp\":1800000290}"

/* RFC 7515, appendix A.2 */

#define RFC_N                                                                \
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp"       \
    "-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOW"       \
    "vG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUs"       \
    "LA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9k"       \
    "G4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2"       \
    "PAcDTW9gb54h4FRWyuXpoQ"
#define RFC_TOKEN                                                            \
    "eyJhbGciOiJSUzI1NiJ9"                                                   \
    ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"      \
    "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ"                                         \
    ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7"      \
    "AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4"       \
    "BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K"       \
    "0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqv"       \
    "hJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrB"       \
    "p0igcN_IoypGlUPQGe77Rw"


static ngx_pool_t              *pool;
static EVP_PKEY                *mine, *other;
static u_char                   mine_der[512];
static size_t                   mine_der_len;
static char                     mine_n[512], other_n[512];
static ngx_zapier_jwks_t        keys;
static ngx_zapier_jwt_t         jwt;
static ngx_zapier_jwt_check_t   check;


static EVP_PKEY *
generate(int bits)
{
    EVP_PKEY      *key;
    EVP_PKEY_CTX  *ctx;

    key = NULL;
    ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_RSA, NULL);

    if (EVP_PKEY_keygen_init(ctx) != 1
        || EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, bits) != 1
        || EVP_PKEY_keygen(ctx, &key) != 1)
    {
        abort();
    }

    EVP_PKEY_CTX_free(ctx);

    return key;
}


static void
encode(char *dst, const void *src, size_t len)
{
    ngx_str_t  d, s;

    d.data = (u_char *) dst;
    s.data = (u_char *) src;
    s.len = len;

    ngx_encode_base64url(&d, &s);
    dst[d.len] = '\0';
}


/* in the DER text of a key of 2048 bits the modulus lies at 33 */

static size_t
modulus(EVP_PKEY *key, u_char *der, char *n)
{
    int     len;
    u_char  *p;

    p = der;
    len = i2d_PUBKEY(key, &p);

    if (len != 294) {
        abort();
    }

    encode(n, der + 33, 256);

    return len;
}


static char *
jwk(const char *kid, const char *n, const char *rest)
{
    char  *text;

    text = (char *) ngx_pnalloc(pool, 4096);

    snprintf(text, 4096, "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\""
             "%s%s%s%s}", n, kid ? ",\"kid\":\"" : "", kid ? kid : "",
             kid ? "\"" : "", rest);

    return text;
}


static ngx_int_t
parse(ngx_zapier_jwks_t *set, const char *text, const char **fault)
{
    u_char     *copy;
    ngx_int_t   rc;
    ngx_str_t   s;

    s.len = ngx_strlen(text);
    s.data = copy = malloc(s.len + 1);
    ngx_memcpy(copy, text, s.len);
    s.data = copy = realloc(copy, s.len ? s.len : 1);

    *fault = "";
    rc = ngx_zapier_jwks_parse(set, pool, &s, fault);

    free(copy);

    return rc;
}


static void
takes(const char *list, ngx_uint_t nkeys, const char *fault)
{
    char                text[16384];
    ngx_int_t           rc;
    const char         *got;
    ngx_zapier_jwks_t   set;

    snprintf(text, sizeof(text), "{\"keys\":[%s]}", list);

    rc = parse(&set, text, &got);

    is_int(rc, fault ? NGX_DECLINED : NGX_OK, list);
    is_int(set.nkeys, nkeys, "number of keys");

    if (fault) {
        is_mem(got, ngx_strlen(got), fault, ngx_strlen(fault), "fault");
    }
}


/* TEXT "." SIGNATURE of an RS256 token */

static char *
token(EVP_PKEY *key, const char *header, const char *claims)
{
    char        *p, *text;
    u_char       sig[512];
    size_t       len;
    EVP_MD_CTX  *ctx;

    text = (char *) ngx_pnalloc(pool, 16384);

    encode(text, header, strlen(header));
    strcat(text, ".");
    encode(text + strlen(text), claims, strlen(claims));

    len = sizeof(sig);
    ctx = EVP_MD_CTX_create();

    if (EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) != 1
        || EVP_DigestSignUpdate(ctx, text, strlen(text)) != 1
        || EVP_DigestSignFinal(ctx, sig, &len) != 1)
    {
        abort();
    }

    EVP_MD_CTX_destroy(ctx);

    p = text + strlen(text);
    *p++ = '.';
    encode(p, sig, len);

    return text;
}


static void
gives(const char *text, size_t len, ngx_zapier_jwt_result_e result,
    const char *name)
{
    u_char     *copy;
    ngx_int_t   rc;
    ngx_str_t   s;

    s.len = len;
    s.data = copy = malloc(len ? len : 1);
    ngx_memcpy(copy, text, len);

    rc = ngx_zapier_jwt_verify(&keys, &check, pool, &s, &jwt);

    free(copy);

    if (!is_int(jwt.result, result, name)) {
        diag("it %s", ngx_zapier_jwt_reason(jwt.result));
    }

    is_int(rc, (result == NGX_ZAPIER_JWT_VALID) ? NGX_OK : NGX_DECLINED,
           "return code");

    if (ERR_peek_error() != 0) {
        ok(0, "OpenSSL's queue of errors is empty");
        ERR_clear_error();
    }
}


static void
verdict(const char *text, ngx_zapier_jwt_result_e result, const char *name)
{
    gives(text, strlen(text), result, name);
}


static void
header(const char *text, ngx_zapier_jwt_result_e result)
{
    verdict(token(mine, text, GOOD_CLAIMS), result, text);
}


static void
claims(const char *text, ngx_zapier_jwt_result_e result)
{
    verdict(token(mine, GOOD_HEADER, text), result, text);
}


static void
test_jwks(void)
{
    int                 i;
    char                text[16384], *small;
    ngx_int_t           rc;
    const char         *fault;
    ngx_zapier_jwks_t   set;

    static const char  *none = "has no RSA key of 2048 to 8192 bits for "
                               "RS256";

    takes(jwk("one", mine_n, ""), 1, NULL);
    takes(jwk(NULL, mine_n, ""), 1, NULL);
    takes(jwk("one", mine_n, ",\"use\":\"sig\",\"alg\":\"RS256\","
              "\"key_ops\":[\"verify\"],\"x5t\":1"), 1, NULL);

    takes(jwk("one", mine_n, ",\"use\":\"enc\""), 0, none);
    takes(jwk("one", mine_n, ",\"use\":1"), 0, none);
    takes(jwk("one", mine_n, ",\"alg\":\"PS256\""), 0, none);
    takes(jwk("one", mine_n, ",\"alg\":\"HS256\""), 0, none);
    takes(jwk("one", mine_n, ",\"key_ops\":[\"encrypt\"]"), 0, none);
    takes(jwk("one", mine_n, ",\"key_ops\":\"verify\""), 0, none);
    takes(jwk("one", mine_n, ",\"d\":\"AQAB\""), 0, none);
    takes(jwk("", mine_n, ""), 0, none);
    takes("", 0, none);
    takes("1,null,[],{}", 0, none);
    takes("{\"kty\":\"oct\",\"k\":\"AAAA\"}", 0, none);

    /* 2047 bits are too few, an even modulus is none */

    small = jwk("one", mine_n, "");
    *strstr(small, mine_n) = 'A';
    takes(small, 0, none);

    takes("{\"kty\":\"RSA\",\"n\":\"wQAB\",\"e\":\"AQAB\"}", 0, none);

    snprintf(text, sizeof(text), "{\"kty\":\"RSA\",\"n\":\"%s\","
             "\"e\":\"AQ\"}", mine_n);
    takes(text, 0, none);
    snprintf(text, sizeof(text), "{\"kty\":\"RSA\",\"n\":\"%s\","
             "\"e\":\"AQABAQAB\"}", mine_n);
    takes(text, 0, none);
    snprintf(text, sizeof(text), "{\"kty\":\"RSA\",\"n\":\"%s=\","
             "\"e\":\"AQAB\"}", mine_n);
    takes(text, 0, none);

    /* others beside it do no harm */

    snprintf(text, sizeof(text), "{\"kty\":\"EC\"},%s,%s",
             jwk("one", mine_n, ""), jwk("two", other_n, ""));
    takes(text, 2, NULL);

    snprintf(text, sizeof(text), "%s,%s", jwk("one", mine_n, ""),
             jwk("one", other_n, ""));
    takes(text, 0, "has two keys with the same \"kid\"");

    for (text[0] = '\0', i = 0; i < 17; i++) {
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
                 i ? "," : "", jwk(NULL, mine_n, ""));
    }

    takes(text, 0, "has too many keys");

    ok(parse(&set, "", &fault) == NGX_DECLINED, "nothing");
    ok(parse(&set, "[]", &fault) == NGX_DECLINED, "no object");
    ok(parse(&set, "{\"keys\":{}}", &fault) == NGX_DECLINED, "no list");
    ok(parse(&set, "{\"keys\":[],\"keys\":[]}", &fault) == NGX_DECLINED,
       "twice \"keys\"");

    for (i = 0; i < 20; i++) {
        snprintf(text, sizeof(text), "{\"keys\":[%s]}",
                 jwk("one", mine_n, ""));

        unit_fail_alloc(i);
        rc = parse(&set, text, &fault);
        unit_fail_alloc(-1);

        if (rc == NGX_OK) {
            break;
        }

        ok(rc == NGX_ERROR && set.nkeys == 0, "no memory");
    }
}


static void
test_headers(void)
{
    header(GOOD_HEADER, NGX_ZAPIER_JWT_VALID);
    header("{\"alg\":\"RS256\",\"kid\":\"one\",\"typ\":\"JWT\"}",
           NGX_ZAPIER_JWT_VALID);

    header("{\"alg\":\"none\",\"kid\":\"one\"}", NGX_ZAPIER_JWT_ALGORITHM);
    header("{\"alg\":\"rs256\",\"kid\":\"one\"}", NGX_ZAPIER_JWT_ALGORITHM);
    header("{\"alg\":\"RS512\",\"kid\":\"one\"}", NGX_ZAPIER_JWT_ALGORITHM);
    header("{\"alg\":\"PS256\",\"kid\":\"one\"}", NGX_ZAPIER_JWT_ALGORITHM);
    header("{\"alg\":[\"RS256\"],\"kid\":\"one\"}",
           NGX_ZAPIER_JWT_ALGORITHM);
    header("{\"kid\":\"one\"}", NGX_ZAPIER_JWT_ALGORITHM);
    header("{\"alg\":\"RS256\",\"kid\":\"one\",\"crit\":[\"x\"]}",
           NGX_ZAPIER_JWT_CRITICAL);

    header("{\"alg\":\"RS256\",\"kid\":\"three\"}",
           NGX_ZAPIER_JWT_UNKNOWN_KEY);
    header("{\"alg\":\"RS256\",\"kid\":\"two\"}", NGX_ZAPIER_JWT_FORGED);
    header("{\"alg\":\"RS256\"}", NGX_ZAPIER_JWT_UNKNOWN_KEY);
    header("{\"alg\":\"RS256\",\"kid\":\"\"}", NGX_ZAPIER_JWT_MALFORMED);
    header("{\"alg\":\"RS256\",\"kid\":1}", NGX_ZAPIER_JWT_MALFORMED);

    header("{\"alg\":\"none\",\"alg\":\"RS256\",\"kid\":\"one\"}",
           NGX_ZAPIER_JWT_MALFORMED);
    header("[]", NGX_ZAPIER_JWT_MALFORMED);
    header("alg", NGX_ZAPIER_JWT_MALFORMED);
    header("", NGX_ZAPIER_JWT_MALFORMED);

    keys.nkeys = 1;
    header("{\"alg\":\"RS256\"}", NGX_ZAPIER_JWT_VALID);
    keys.nkeys = 2;
}


static void
test_forged(void)
{
    char     *text, *p, *claims_of;
    u_char    mac[64];
    unsigned  len;
    size_t    i, n;

    verdict(token(other, GOOD_HEADER, GOOD_CLAIMS), NGX_ZAPIER_JWT_FORGED,
            "another key's signature");

    /* what is signed is one thing, what is sent another */

    text = token(mine, GOOD_HEADER, GOOD_CLAIMS);
    claims_of = token(mine, GOOD_HEADER,
                      "{\"iat\":1799999990,\"exp\":1800000291}");
    memcpy(text, claims_of, strrchr(claims_of, '.') - claims_of);
    verdict(text, NGX_ZAPIER_JWT_FORGED, "other claims");

    text = token(mine, "{\"alg\":\"none\"}", GOOD_CLAIMS);
    strrchr(text, '.')[1] = '\0';
    verdict(text, NGX_ZAPIER_JWT_ALGORITHM, "none, and no signature");

    text = token(mine, GOOD_HEADER, GOOD_CLAIMS);
    strrchr(text, '.')[1] = '\0';
    verdict(text, NGX_ZAPIER_JWT_FORGED, "no signature");

    /* the public key as the secret of an HMAC */

    text = token(mine, "{\"alg\":\"HS256\",\"kid\":\"one\"}", GOOD_CLAIMS);
    p = strrchr(text, '.');
    HMAC(EVP_sha256(), mine_der, mine_der_len, (u_char *) text, p - text,
         mac, &len);
    encode(p + 1, mac, len);
    verdict(text, NGX_ZAPIER_JWT_ALGORITHM, "HS256 with the public key");

    text = token(mine, GOOD_HEADER, GOOD_CLAIMS);
    p = strrchr(text, '.');
    HMAC(EVP_sha256(), mine_der, mine_der_len, (u_char *) text, p - text,
         mac, &len);
    encode(p + 1, mac, len);
    verdict(text, NGX_ZAPIER_JWT_FORGED, "its MAC under the name of RS256");

    text = token(mine, GOOD_HEADER, GOOD_CLAIMS);
    n = strlen(text);

    for (i = 0; i < n; i++) {
        ngx_str_t  s;

        s.data = (u_char *) text;
        s.len = i;

        if (ngx_zapier_jwt_verify(&keys, &check, pool, &s, &jwt)
            != NGX_DECLINED)
        {
            ok(0, "truncated");
        }

        /* one bit of anything */

        s.len = n;
        text[i] ^= 1;

        if (ngx_zapier_jwt_verify(&keys, &check, pool, &s, &jwt)
            != NGX_DECLINED)
        {
            ok(0, "a bit is changed");
            diag("at %zu of %zu", i, n);
        }

        text[i] ^= 1;
    }

    verdict(text, NGX_ZAPIER_JWT_VALID, "and back again");

    strcat(text, ".");
    verdict(text, NGX_ZAPIER_JWT_MALFORMED, "a fourth part");
    text[n] = '=';
    verdict(text, NGX_ZAPIER_JWT_MALFORMED, "padding");
    gives(text, n + 2, NGX_ZAPIER_JWT_MALFORMED, "a zero at the end");
}


static void
test_claims(void)
{
    claims("{\"iat\":1799999990.5,\"exp\":1800000290.5}",
           NGX_ZAPIER_JWT_VALID);
    is_int(jwt.iat, 1799999990, "iat");
    is_int(jwt.exp, 1800000290, "exp");
    is_int(jwt.id.len, 0, "no jti");

    claims("{\"iat\":1799999990,\"exp\":1800000290,\"jti\":\"x1\"}",
           NGX_ZAPIER_JWT_VALID);
    is_str(&jwt.id, "x1", "jti");

    claims("{\"exp\":1800000290}", NGX_ZAPIER_JWT_CLAIMS);
    claims("{\"iat\":1799999990}", NGX_ZAPIER_JWT_CLAIMS);
    claims("{\"iat\":\"1799999990\",\"exp\":1800000290}",
           NGX_ZAPIER_JWT_CLAIMS);
    claims("{\"iat\":1799999990,\"exp\":true}", NGX_ZAPIER_JWT_CLAIMS);
    claims("{\"iat\":-1,\"exp\":1800000290}", NGX_ZAPIER_JWT_CLAIMS);
    claims("{\"iat\":1,\"exp\":1e300}", NGX_ZAPIER_JWT_CLAIMS);
    claims("{\"iat\":1,\"exp\":9223372036854775807}",
           NGX_ZAPIER_JWT_CLAIMS);
    claims("{\"iat\":1,\"exp\":9223372036854775808}",
           NGX_ZAPIER_JWT_CLAIMS);
    claims("{\"iat\":1800000000,\"exp\":1800000000}",
           NGX_ZAPIER_JWT_CLAIMS);
    claims("{\"iat\":1799999990,\"exp\":1,\"exp\":1800000290}",
           NGX_ZAPIER_JWT_CLAIMS);
    claims("[1799999990,1800000290]", NGX_ZAPIER_JWT_CLAIMS);
    claims("not JSON", NGX_ZAPIER_JWT_CLAIMS);
    claims("", NGX_ZAPIER_JWT_CLAIMS);

    /* leeway is 10, lifetime 300 */

    claims("{\"iat\":1799999691,\"exp\":1799999991}", NGX_ZAPIER_JWT_VALID);
    claims("{\"iat\":1799999690,\"exp\":1799999990}",
           NGX_ZAPIER_JWT_EXPIRED);
    claims("{\"iat\":1799999690,\"exp\":1900000000}",
           NGX_ZAPIER_JWT_EXPIRED);
    claims("{\"iat\":1800000010,\"exp\":1800000310}", NGX_ZAPIER_JWT_VALID);
    claims("{\"iat\":1800000011,\"exp\":1800000311}",
           NGX_ZAPIER_JWT_NOT_YET);

    check.lifetime = 0;
    claims("{\"iat\":1799999690,\"exp\":1900000000}", NGX_ZAPIER_JWT_VALID);
    check.lifetime = 300;

    ngx_str_set(&check.issuer, "z");
    claims(GOOD_CLAIMS, NGX_ZAPIER_JWT_ISSUER);
    claims("{\"iat\":1799999990,\"exp\":1800000290,\"iss\":\"z\"}",
           NGX_ZAPIER_JWT_VALID);
    ngx_str_null(&check.issuer);

    ngx_str_set(&check.audience, "us");
    claims(GOOD_CLAIMS, NGX_ZAPIER_JWT_AUDIENCE);
    claims("{\"iat\":1799999990,\"exp\":1800000290,\"aud\":\"us\"}",
           NGX_ZAPIER_JWT_VALID);
    claims("{\"iat\":1799999990,\"exp\":1800000290,\"aud\":[1,\"us\"]}",
           NGX_ZAPIER_JWT_VALID);
    claims("{\"iat\":1799999990,\"exp\":1800000290,\"aud\":[\"them\"]}",
           NGX_ZAPIER_JWT_AUDIENCE);
    ngx_str_null(&check.audience);
}


static void
test_sizes(void)
{
    int         i;
    char       *text, *huge;
    ngx_int_t   rc;
    ngx_str_t   s;

    huge = calloc(1, 1000001);
    memset(huge, 'A', 1000000);
    verdict(huge, NGX_ZAPIER_JWT_TOO_LONG, "huge");
    free(huge);

    text = calloc(1, NGX_ZAPIER_JWT_LEN + 2);
    memset(text, '.', NGX_ZAPIER_JWT_LEN + 1);
    gives(text, NGX_ZAPIER_JWT_LEN + 1, NGX_ZAPIER_JWT_TOO_LONG, "long");
    gives(text, NGX_ZAPIER_JWT_LEN, NGX_ZAPIER_JWT_MALFORMED, "dots");

    memset(text, '[', NGX_ZAPIER_JWT_LEN);
    text[2500] = '\0';
    verdict(token(mine, text, GOOD_CLAIMS), NGX_ZAPIER_JWT_MALFORMED,
            "2500 brackets");
    free(text);

    verdict("", NGX_ZAPIER_JWT_MALFORMED, "nothing");
    verdict("..", NGX_ZAPIER_JWT_MALFORMED, "two dots");

    text = token(mine, GOOD_HEADER,
                 "{\"iat\":1799999990,\"exp\":1800000290,\"jti\":\"x\"}");
    s.data = (u_char *) text;
    s.len = strlen(text);

    for (i = 0; i < 8; i++) {
        unit_fail_alloc(i);
        rc = ngx_zapier_jwt_verify(&keys, &check, pool, &s, &jwt);
        unit_fail_alloc(-1);

        if (rc == NGX_OK) {
            break;
        }

        ok(rc == NGX_ERROR && jwt.result == NGX_ZAPIER_JWT_FAILED,
           "no memory");
    }

    is_int(i, 2, "allocations");
}


/* a signature that this library did not make; the token has no "iat" */

static void
test_rfc(void)
{
    char                text[4096];
    const char         *fault;
    ngx_zapier_jwks_t   saved;

    saved = keys;
    snprintf(text, sizeof(text), "{\"keys\":[%s]}", jwk(NULL, RFC_N, ""));

    is_int(parse(&keys, text, &fault), NGX_OK, "key of RFC 7515");
    verdict(RFC_TOKEN, NGX_ZAPIER_JWT_CLAIMS, "token of RFC 7515");

    keys = saved;

    verdict("eyJhbGciOiJSUzI1NiJ9.eyJ9.AA", NGX_ZAPIER_JWT_UNKNOWN_KEY,
            "not ours");
}


int
main(void)
{
    char         text[8192];
    u_char       der[512];
    ngx_log_t    log;
    const char  *fault;

    ngx_memzero(&log, sizeof(ngx_log_t));
    pool = ngx_create_pool(4096, &log);

    mine = generate(2048);
    other = generate(2048);
    mine_der_len = modulus(mine, mine_der, mine_n);
    modulus(other, der, other_n);

    check.now = NOW;
    check.leeway = 10;
    check.lifetime = 300;

    test_jwks();

    snprintf(text, sizeof(text), "{\"keys\":[%s,%s]}",
             jwk("one", mine_n, ""), jwk("two", other_n, ""));
    is_int(parse(&keys, text, &fault), NGX_OK, "keys");

    test_headers();
    test_forged();
    test_claims();
    test_sizes();
    test_rfc();

    EVP_PKEY_free(mine);
    EVP_PKEY_free(other);
    ngx_destroy_pool(pool);

    return done();
}
