
/*
 * Encrypted values and key rings, as a libFuzzer target.  The input is
 *
 *   - a value as it may stand in Redis: it opens only if it is the very
 *     one that was sealed here
 *   - something to seal, which then opens to the same bytes and nowhere
 *     else
 *   - the text of a key ring
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <openssl/err.h>
#include <ngx_zapier_token_seal.h>


#define FUZZ_RING                                                            \
    "2026-11 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"                 \
    "old fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeedecebeae9e8e7e6e5e4e3e2e1e0\n"

#define FUZZ_VALUE                                                           \
    "enc:v1:2026-11:oKGio6Slpqeoqaqr13MsVRGkaYwMS0VJAh/4+4teFCckrm7phA=="


#define fuzz_check(cond)                                                     \
    if (!(cond)) {                                                           \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);           \
        abort();                                                             \
    }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_init(void);
static void fuzz_unseal(ngx_str_t *value);
static void fuzz_seal(ngx_str_t *plain);
static void fuzz_ring(ngx_str_t *text);


static ngx_zapier_keyring_t  ring;
static ngx_cycle_t           cycle;
static ngx_log_t             silent;

static ngx_str_t  tenant = ngx_string("acme");
static ngx_str_t  other = ngx_string("acme2");
static ngx_str_t  field = ngx_string("access_token");
static ngx_str_t  known = ngx_string(FUZZ_VALUE);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_str_t  input;

    fuzz_init();

    input.data = malloc(size ? size : 1);
    input.len = size;
    ngx_memcpy(input.data, data, size);

    fuzz_unseal(&input);
    fuzz_seal(&input);
    fuzz_ring(&input);

    fuzz_check(ERR_peek_error() == 0);

    free(input.data);

    return 0;
}


static void
fuzz_init(void)
{
    ngx_str_t                   text = ngx_string(FUZZ_RING);
    ngx_zapier_keyring_fault_t  fault;

    if (ring.nkeys == 0) {
        fuzz_check(ngx_zapier_keyring_parse(&ring, &text, &fault) == NGX_OK);

        cycle.log = &silent;
        ngx_cycle = &cycle;
    }
}


static void
fuzz_unseal(ngx_str_t *value)
{
    size_t                    len;
    u_char                   *buf;
    ngx_int_t                 rc;
    ngx_str_t                 plain, id;
    ngx_uint_t                sealed, same;
    ngx_zapier_seal_fault_e   fault;

    len = ngx_min(ngx_zapier_unseal_len(value->len), NGX_ZAPIER_UNSEAL_LEN);
    buf = malloc(len ? len : 1);

    sealed = (value->len >= 4 && memcmp(value->data, "enc:", 4) == 0);
    same = (value->len == known.len
            && memcmp(value->data, known.data, known.len) == 0);

    rc = ngx_zapier_unseal(&ring, &tenant, &field, value, buf, &plain,
                           &fault);

    fuzz_check((rc == NGX_DECLINED) == !sealed);
    fuzz_check((rc == NGX_OK) == same);

    if (rc == NGX_ERROR) {
        fuzz_check(plain.data == NULL && plain.len == 0);
        fuzz_check(fault == NGX_ZAPIER_SEAL_MALFORMED
                   || fault == NGX_ZAPIER_SEAL_UNKNOWN_KEY
                   || fault == NGX_ZAPIER_SEAL_FORGED);
    }

    rc = ngx_zapier_unseal(NULL, &tenant, &field, value, buf, &plain, &fault);
    fuzz_check(rc == (sealed ? NGX_ERROR : NGX_DECLINED));

    rc = ngx_zapier_seal_key_id(value, &id);

    if (rc == NGX_OK) {
        fuzz_check(id.len >= 1 && id.len <= NGX_ZAPIER_KEYRING_ID_LEN);
    }

    fuzz_check(rc == NGX_OK || !ngx_zapier_seal_is_current(&ring, value));

    free(buf);
}


static void
fuzz_seal(ngx_str_t *plain)
{
    u_char                   *sealed, *opened;
    ngx_int_t                 rc;
    ngx_str_t                 value, back;
    ngx_zapier_seal_fault_e   fault;

    sealed = malloc(ngx_zapier_seal_len(plain->len));
    rc = ngx_zapier_seal(&ring, &tenant, &field, plain, sealed, &value);

    fuzz_check((rc == NGX_OK) == (plain->len <= NGX_ZAPIER_SEAL_PLAIN_LEN));

    if (rc != NGX_OK) {
        free(sealed);
        return;
    }

    fuzz_check(ngx_zapier_seal_is_current(&ring, &value));

    opened = malloc(ngx_zapier_unseal_len(value.len));

    rc = ngx_zapier_unseal(&ring, &other, &field, &value, opened, &back,
                           &fault);
    fuzz_check(rc == NGX_ERROR && fault == NGX_ZAPIER_SEAL_FORGED);

    rc = ngx_zapier_unseal(&ring, &tenant, &field, &value, opened, &back,
                           &fault);
    fuzz_check(rc == NGX_OK && back.len == plain->len);
    fuzz_check(memcmp(back.data, plain->data, plain->len) == 0);

    free(opened);
    free(sealed);
}


static void
fuzz_ring(ngx_str_t *text)
{
    ngx_int_t                   rc;
    ngx_str_t                   id;
    ngx_uint_t                  i;
    ngx_zapier_keyring_t        own;
    ngx_zapier_keyring_fault_t  fault;

    rc = ngx_zapier_keyring_parse(&own, text, &fault);

    fuzz_check(own.nkeys <= NGX_ZAPIER_KEYRING_KEYS);

    if (rc != NGX_OK) {
        fuzz_check(fault.reason != NULL);
        return;
    }

    fuzz_check(own.nkeys >= 1);

    for (i = 0; i < own.nkeys; i++) {
        id.data = own.keys[i].id;
        id.len = own.keys[i].id_len;

        fuzz_check(ngx_zapier_keyring_check_id(&id) == NGX_OK);
        fuzz_check(ngx_zapier_keyring_find(&own, &id) == &own.keys[i]);
    }
}
