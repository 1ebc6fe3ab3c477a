
/*
 * Signed tokens and key sets, as a libFuzzer target.  The input is
 *
 *   - a token: nobody but the holder of the key could write one, so only the
 *     one of RFC 7515 passes, and that has no "iat"
 *   - a key set
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <openssl/err.h>
#include <ngx_zapier_jwks.h>
#include <ngx_zapier_jwt.h>


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


#define fuzz_check(cond)                                                     \
    if (!(cond)) {                                                           \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);           \
        abort();                                                             \
    }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_init(void);
static void fuzz_token(ngx_pool_t *pool, ngx_str_t *text);
static void fuzz_keys(ngx_pool_t *pool, ngx_str_t *text);


static ngx_pool_t         *forever;
static ngx_log_t           silent;
static ngx_zapier_jwks_t   known;

static ngx_str_t  known_token = ngx_string(RFC_TOKEN);
static ngx_str_t  known_keys = ngx_string(
    "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"" RFC_N "\",\"e\":\"AQAB\"}]}");


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_str_t    input;
    ngx_pool_t  *pool;

    fuzz_init();

    pool = ngx_create_pool(4096, &silent);

    input.data = malloc(size ? size : 1);
    input.len = size;
    ngx_memcpy(input.data, data, size);

    fuzz_token(pool, &input);
    fuzz_keys(pool, &input);

    fuzz_check(ERR_peek_error() == 0);

    free(input.data);
    ngx_destroy_pool(pool);

    return 0;
}


static void
fuzz_init(void)
{
    const char  *fault;

    if (forever == NULL) {
        forever = ngx_create_pool(4096, &silent);

        fuzz_check(ngx_zapier_jwks_parse(&known, forever, &known_keys,
                                         &fault)
                   == NGX_OK);
    }
}


static void
fuzz_token(ngx_pool_t *pool, ngx_str_t *text)
{
    ngx_int_t                rc;
    ngx_uint_t               same;
    ngx_zapier_jwt_t         jwt;
    ngx_zapier_jwt_check_t   check;

    ngx_memzero(&check, sizeof(ngx_zapier_jwt_check_t));
    check.now = 1300819000;

    same = (text->len == known_token.len
            && memcmp(text->data, known_token.data, text->len) == 0);

    rc = ngx_zapier_jwt_verify(&known, &check, pool, text, &jwt);

    fuzz_check(rc == NGX_DECLINED);
    fuzz_check((jwt.result == NGX_ZAPIER_JWT_CLAIMS) == same);
    fuzz_check(jwt.result <= NGX_ZAPIER_JWT_FORGED || same);
    fuzz_check(ngx_zapier_jwt_reason(jwt.result) != NULL);
}


static void
fuzz_keys(ngx_pool_t *pool, ngx_str_t *text)
{
    ngx_int_t           rc;
    ngx_uint_t          i;
    const char         *fault;
    ngx_zapier_jwks_t   set;

    fault = NULL;
    rc = ngx_zapier_jwks_parse(&set, pool, text, &fault);

    fuzz_check(rc == NGX_OK || rc == NGX_DECLINED);
    fuzz_check((rc == NGX_OK) == (set.nkeys != 0));
    fuzz_check((rc == NGX_OK) == (fault == NULL));

    for (i = 0; i < set.nkeys; i++) {
        fuzz_check(set.keys[i].key != NULL);
        fuzz_check(set.keys[i].kid.len <= NGX_ZAPIER_JWKS_KID_LEN);

        if (set.keys[i].kid.len) {
            fuzz_check(ngx_zapier_jwks_find(&set, &set.keys[i].kid)
                       == &set.keys[i]);
        }
    }
}
