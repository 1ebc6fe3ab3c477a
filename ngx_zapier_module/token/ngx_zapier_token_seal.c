
/*
 * Sealed values.  Without OpenSSL there is never a ring, so nothing is
 * sealed and nothing opens.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_base64.h>
#include <ngx_zapier_tenant.h>
#include <ngx_zapier_token_seal.h>
#include <ngx_zapier_wipe.h>

#if (NGX_SSL)
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#endif


#define NGX_ZAPIER_SEAL_PREFIX   "enc:v1:"
#define NGX_ZAPIER_SEAL_VERSION  "enc:v1"

#define NGX_ZAPIER_SEAL_EXTRA                                                \
    (NGX_ZAPIER_SEAL_NONCE_LEN + NGX_ZAPIER_SEAL_TAG_LEN)

#define NGX_ZAPIER_SEAL_AAD_LEN                                              \
    (4 * 2 + sizeof(NGX_ZAPIER_SEAL_VERSION) - 1                             \
     + NGX_ZAPIER_KEYRING_ID_LEN + NGX_ZAPIER_TENANT_LEN                     \
     + NGX_ZAPIER_SEAL_FIELD_LEN)


static ngx_int_t ngx_zapier_seal_parse(ngx_str_t *value, ngx_str_t *id,
    ngx_str_t *text);
static ngx_int_t ngx_zapier_seal_encrypt(const ngx_zapier_keyring_key_t *key,
    ngx_str_t *tenant, ngx_str_t *field, ngx_str_t *plain, u_char *raw);
static ngx_int_t ngx_zapier_seal_decrypt(const ngx_zapier_keyring_key_t *key,
    ngx_str_t *tenant, ngx_str_t *field, ngx_str_t *raw);

#if (NGX_SSL)

static EVP_CIPHER_CTX *ngx_zapier_seal_cipher(
    const ngx_zapier_keyring_key_t *key, ngx_str_t *tenant,
    ngx_str_t *field, u_char *nonce, int encrypt);
static size_t ngx_zapier_seal_aad(u_char *buf,
    const ngx_zapier_keyring_key_t *key, ngx_str_t *tenant,
    ngx_str_t *field);
static u_char *ngx_zapier_seal_aad_part(u_char *p, const void *data,
    size_t len);
static void ngx_zapier_seal_failed(const char *what);

#endif


ngx_int_t
ngx_zapier_seal(const ngx_zapier_keyring_t *ring, ngx_str_t *tenant,
    ngx_str_t *field, ngx_str_t *plain, u_char *buf, ngx_str_t *value)
{
    u_char                          *p;
    ngx_str_t                        src, dst;
    const ngx_zapier_keyring_key_t  *key;

    u_char  raw[NGX_ZAPIER_SEAL_EXTRA + NGX_ZAPIER_SEAL_PLAIN_LEN];

    ngx_str_null(value);

    if (plain->len > NGX_ZAPIER_SEAL_PLAIN_LEN
        || tenant->len > NGX_ZAPIER_TENANT_LEN
        || field->len > NGX_ZAPIER_SEAL_FIELD_LEN)
    {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "\"%V\" of tenant \"%V\" is too long to be encrypted",
                      field, tenant);
        return NGX_ERROR;
    }

    key = &ring->keys[0];

    if (ngx_zapier_seal_encrypt(key, tenant, field, plain, raw) != NGX_OK) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(buf, NGX_ZAPIER_SEAL_PREFIX,
                   sizeof(NGX_ZAPIER_SEAL_PREFIX) - 1);
    p = ngx_cpymem(p, key->id, key->id_len);
    *p++ = ':';

    src.data = raw;
    src.len = NGX_ZAPIER_SEAL_EXTRA + plain->len;
    dst.data = p;

    ngx_encode_base64(&dst, &src);

    value->data = buf;
    value->len = p + dst.len - buf;

    return NGX_OK;
}


ngx_int_t
ngx_zapier_unseal(const ngx_zapier_keyring_t *ring, ngx_str_t *tenant,
    ngx_str_t *field, ngx_str_t *value, u_char *buf, ngx_str_t *plain,
    ngx_zapier_seal_fault_e *fault)
{
    ngx_int_t                        rc;
    ngx_str_t                        id, text, raw;
    const ngx_zapier_keyring_key_t  *key;

    *plain = *value;

    rc = ngx_zapier_seal_parse(value, &id, &text);

    if (rc == NGX_DECLINED) {
        return NGX_DECLINED;
    }

    ngx_str_null(plain);

    *fault = NGX_ZAPIER_SEAL_MALFORMED;

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    raw.data = buf;

    if (value->len > NGX_ZAPIER_SEAL_VALUE_LEN
        || ngx_zapier_base64_decode(buf, &raw.len, &text) != NGX_OK
        || raw.len < NGX_ZAPIER_SEAL_EXTRA
        || tenant->len > NGX_ZAPIER_TENANT_LEN
        || field->len > NGX_ZAPIER_SEAL_FIELD_LEN)
    {
        return NGX_ERROR;
    }

    key = (ring != NULL) ? ngx_zapier_keyring_find(ring, &id) : NULL;

    if (key == NULL) {
        *fault = NGX_ZAPIER_SEAL_UNKNOWN_KEY;
        return NGX_ERROR;
    }

    rc = ngx_zapier_seal_decrypt(key, tenant, field, &raw);

    if (rc != NGX_OK) {

        /* decrypted before the tag was checked */

        ngx_zapier_wipe(buf, raw.len);

        *fault = (rc == NGX_DECLINED) ? NGX_ZAPIER_SEAL_FORGED
                                      : NGX_ZAPIER_SEAL_FAILED;
        return NGX_ERROR;
    }

    plain->data = buf + NGX_ZAPIER_SEAL_NONCE_LEN;
    plain->len = raw.len - NGX_ZAPIER_SEAL_EXTRA;

    return NGX_OK;
}


ngx_int_t
ngx_zapier_seal_key_id(ngx_str_t *value, ngx_str_t *id)
{
    ngx_str_t  text;

    return ngx_zapier_seal_parse(value, id, &text);
}


ngx_uint_t
ngx_zapier_seal_is_current(const ngx_zapier_keyring_t *ring,
    ngx_str_t *value)
{
    ngx_int_t  rc;
    ngx_str_t  id;

    rc = ngx_zapier_seal_key_id(value, &id);

    if (ring == NULL) {
        return rc == NGX_DECLINED;
    }

    return rc == NGX_OK
           && ngx_zapier_keyring_find(ring, &id) == &ring->keys[0];
}


const char *
ngx_zapier_seal_reason(ngx_zapier_seal_fault_e fault)
{
    switch (fault) {

    case NGX_ZAPIER_SEAL_MALFORMED:
        return "is not a valid encrypted value";

    case NGX_ZAPIER_SEAL_UNKNOWN_KEY:
        return "is encrypted with a key that is not in the key ring";

    case NGX_ZAPIER_SEAL_FORGED:
        return "was changed, or encrypted for another tenant or field, or "
               "with another key of that id";

    default: /* NGX_ZAPIER_SEAL_FAILED */
        return "could not be decrypted";
    }
}


/* NGX_DECLINED: no "enc:", NGX_ERROR: the rest is not as it should be */

static ngx_int_t
ngx_zapier_seal_parse(ngx_str_t *value, ngx_str_t *id, ngx_str_t *text)
{
    u_char  *p, *last, *colon;

    if (value->len < sizeof("enc:") - 1
        || ngx_memcmp(value->data, "enc:", sizeof("enc:") - 1) != 0)
    {
        return NGX_DECLINED;
    }

    if (value->len < sizeof(NGX_ZAPIER_SEAL_PREFIX) - 1
        || ngx_memcmp(value->data, NGX_ZAPIER_SEAL_PREFIX,
                      sizeof(NGX_ZAPIER_SEAL_PREFIX) - 1)
           != 0)
    {
        return NGX_ERROR;
    }

    p = value->data + sizeof(NGX_ZAPIER_SEAL_PREFIX) - 1;
    last = value->data + value->len;

    colon = ngx_strlchr(p, last, ':');
    if (colon == NULL) {
        return NGX_ERROR;
    }

    id->data = p;
    id->len = colon - p;

    if (ngx_zapier_keyring_check_id(id) != NGX_OK) {
        return NGX_ERROR;
    }

    text->data = colon + 1;
    text->len = last - text->data;

    return NGX_OK;
}


#if (NGX_SSL)

/* raw: nonce, ciphertext, tag */

static ngx_int_t
ngx_zapier_seal_encrypt(const ngx_zapier_keyring_key_t *key,
    ngx_str_t *tenant, ngx_str_t *field, ngx_str_t *plain, u_char *raw)
{
    int              n;
    u_char          *p;
    ngx_int_t        rc;
    EVP_CIPHER_CTX  *ctx;

    if (RAND_bytes(raw, NGX_ZAPIER_SEAL_NONCE_LEN) != 1) {
        ngx_zapier_seal_failed("RAND_bytes()");
        return NGX_ERROR;
    }

    ctx = ngx_zapier_seal_cipher(key, tenant, field, raw, 1);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    p = raw + NGX_ZAPIER_SEAL_NONCE_LEN;
    rc = NGX_OK;

    if ((plain->len
         && EVP_CipherUpdate(ctx, p, &n, plain->data, (int) plain->len) != 1)
        || EVP_CipherFinal_ex(ctx, p + plain->len, &n) != 1
        || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG,
                               NGX_ZAPIER_SEAL_TAG_LEN, p + plain->len)
           != 1)
    {
        ngx_zapier_seal_failed("encryption");
        rc = NGX_ERROR;
    }

    EVP_CIPHER_CTX_free(ctx);

    return rc;
}


/* in place; NGX_DECLINED: the tag is wrong */

static ngx_int_t
ngx_zapier_seal_decrypt(const ngx_zapier_keyring_key_t *key,
    ngx_str_t *tenant, ngx_str_t *field, ngx_str_t *raw)
{
    int              n;
    u_char          *p;
    size_t           len;
    ngx_int_t        rc;
    EVP_CIPHER_CTX  *ctx;

    ctx = ngx_zapier_seal_cipher(key, tenant, field, raw->data, 0);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    p = raw->data + NGX_ZAPIER_SEAL_NONCE_LEN;
    len = raw->len - NGX_ZAPIER_SEAL_EXTRA;

    if (EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG,
                            NGX_ZAPIER_SEAL_TAG_LEN, p + len)
        != 1
        || (len && EVP_CipherUpdate(ctx, p, &n, p, (int) len) != 1))
    {
        ngx_zapier_seal_failed("decryption");
        rc = NGX_ERROR;

    } else if (EVP_CipherFinal_ex(ctx, p + len, &n) != 1) {
        ERR_clear_error();
        rc = NGX_DECLINED;

    } else {
        rc = NGX_OK;
    }

    EVP_CIPHER_CTX_free(ctx);

    return rc;
}


/*
 * A context per value, though a worker could keep one: what OpenSSL derives
 * from a key lies in common memory, where it is dumped and swapped.
 */

static EVP_CIPHER_CTX *
ngx_zapier_seal_cipher(const ngx_zapier_keyring_key_t *key,
    ngx_str_t *tenant, ngx_str_t *field, u_char *nonce, int encrypt)
{
    int              n;
    size_t           len;
    EVP_CIPHER_CTX  *ctx;

    u_char  aad[NGX_ZAPIER_SEAL_AAD_LEN];

    ctx = EVP_CIPHER_CTX_new();
    if (ctx == NULL) {
        ngx_zapier_seal_failed("EVP_CIPHER_CTX_new()");
        return NULL;
    }

    len = ngx_zapier_seal_aad(aad, key, tenant, field);

    /* 12 bytes of nonce are the default of GCM */

    if (EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->key, nonce,
                          encrypt)
        != 1
        || EVP_CipherUpdate(ctx, NULL, &n, aad, (int) len) != 1)
    {
        ngx_zapier_seal_failed("EVP_CipherInit_ex()");
        EVP_CIPHER_CTX_free(ctx);
        return NULL;
    }

    return ctx;
}


static size_t
ngx_zapier_seal_aad(u_char *buf, const ngx_zapier_keyring_key_t *key,
    ngx_str_t *tenant, ngx_str_t *field)
{
    u_char  *p;

    p = ngx_zapier_seal_aad_part(buf, NGX_ZAPIER_SEAL_VERSION,
                                 sizeof(NGX_ZAPIER_SEAL_VERSION) - 1);
    p = ngx_zapier_seal_aad_part(p, key->id, key->id_len);
    p = ngx_zapier_seal_aad_part(p, tenant->data, tenant->len);
    p = ngx_zapier_seal_aad_part(p, field->data, field->len);

    return p - buf;
}


static u_char *
ngx_zapier_seal_aad_part(u_char *p, const void *data, size_t len)
{
    *p++ = (u_char) (len >> 8);
    *p++ = (u_char) len;

    return ngx_cpymem(p, data, len);
}


static void
ngx_zapier_seal_failed(const char *what)
{
    char  text[128];

    ERR_error_string_n(ERR_get_error(), text, sizeof(text));

    /* what stays in the queue nginx takes for errors of a connection */
    ERR_clear_error();

    ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                  "%s of token records failed (SSL: %s)", what, text);
}

#else

static ngx_int_t
ngx_zapier_seal_encrypt(const ngx_zapier_keyring_key_t *key,
    ngx_str_t *tenant, ngx_str_t *field, ngx_str_t *plain, u_char *raw)
{
    return NGX_ERROR;
}


static ngx_int_t
ngx_zapier_seal_decrypt(const ngx_zapier_keyring_key_t *key,
    ngx_str_t *tenant, ngx_str_t *field, ngx_str_t *raw)
{
    return NGX_ERROR;
}

#endif
