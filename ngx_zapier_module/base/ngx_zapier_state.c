
/*
 * Signed states of authorization requests.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_state.h>
#include <ngx_zapier_wipe.h>

#if (NGX_SSL)
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#endif


#define NGX_ZAPIER_STATE_VERSION  1
#define NGX_ZAPIER_STATE_PKCE     1    /* the only flag */

/* what comes before the tenant */
#define NGX_ZAPIER_STATE_HEAD                                                \
    (1 + 1 + 8 + NGX_ZAPIER_STATE_NONCE_LEN + NGX_ZAPIER_STATE_DIGEST_LEN + 1)


static ngx_int_t ngx_zapier_state_hmac(u_char *key, size_t key_len,
    u_char *data, size_t len, u_char *digest);
static u_char *ngx_zapier_state_put(u_char *p, ngx_zapier_state_t *state);
static ngx_int_t ngx_zapier_state_get(u_char *p, u_char *last,
    ngx_zapier_state_t *state);


ngx_int_t
ngx_zapier_state_key(ngx_str_t *secret, ngx_str_t *realm, u_char *key)
{
    ngx_int_t  rc;
    u_char     purpose[NGX_ZAPIER_STATE_DIGEST_LEN];

    static ngx_str_t  name = ngx_string("zapier connect 1");

    /* two keys one after the other: nothing can be taken for the other */

    rc = ngx_zapier_state_hmac(secret->data, secret->len, name.data, name.len,
                               purpose);

    if (rc == NGX_OK) {
        rc = ngx_zapier_state_hmac(purpose, sizeof(purpose), realm->data,
                                   realm->len, key);
    }

    ngx_zapier_wipe(purpose, sizeof(purpose));

    return rc;
}


ngx_int_t
ngx_zapier_state_make(u_char *key, ngx_zapier_state_t *state, ngx_str_t *text)
{
    u_char     *last;
    ngx_str_t   raw;

    u_char  buf[NGX_ZAPIER_STATE_RAW_LEN];

    last = ngx_zapier_state_put(buf, state);

    if (ngx_zapier_state_hmac(key, NGX_ZAPIER_STATE_KEY_LEN, buf, last - buf,
                              last)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    raw.data = buf;
    raw.len = last - buf + NGX_ZAPIER_STATE_DIGEST_LEN;

    ngx_encode_base64url(text, &raw);

    return NGX_OK;
}


ngx_int_t
ngx_zapier_state_read(u_char *key, ngx_str_t *text, u_char *buf,
    ngx_zapier_state_t *state)
{
    u_char     *last;
    ngx_str_t   raw;

    u_char  digest[NGX_ZAPIER_STATE_DIGEST_LEN];

    raw.data = buf;

    if (text->len > NGX_ZAPIER_STATE_LEN
        || ngx_decode_base64url(&raw, text) != NGX_OK
        || raw.len < NGX_ZAPIER_STATE_HEAD + NGX_ZAPIER_STATE_DIGEST_LEN)
    {
        return NGX_DECLINED;
    }

    last = buf + raw.len - NGX_ZAPIER_STATE_DIGEST_LEN;

    if (ngx_zapier_state_hmac(key, NGX_ZAPIER_STATE_KEY_LEN, buf, last - buf,
                              digest)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (!ngx_zapier_state_same(digest, last, NGX_ZAPIER_STATE_DIGEST_LEN)) {
        return NGX_DECLINED;
    }

    return ngx_zapier_state_get(buf, last, state);
}


ngx_int_t
ngx_zapier_state_verifier(u_char *key, u_char *nonce, u_char *verifier)
{
    ngx_str_t  src, dst;

    u_char  data[4 + NGX_ZAPIER_STATE_NONCE_LEN];
    u_char  digest[NGX_ZAPIER_STATE_DIGEST_LEN];

    /* shorter than any state, so it is never the signature of one */

    ngx_memcpy(data, "pkce", 4);
    ngx_memcpy(data + 4, nonce, NGX_ZAPIER_STATE_NONCE_LEN);

    if (ngx_zapier_state_hmac(key, NGX_ZAPIER_STATE_KEY_LEN, data,
                              sizeof(data), digest)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    src.data = digest;
    src.len = sizeof(digest);
    dst.data = verifier;

    ngx_encode_base64url(&dst, &src);
    ngx_zapier_wipe(digest, sizeof(digest));

    return NGX_OK;
}


ngx_int_t
ngx_zapier_state_challenge(u_char *verifier, u_char *challenge)
{
    ngx_str_t  src, dst;

    u_char  digest[NGX_ZAPIER_STATE_DIGEST_LEN];

    src.data = verifier;
    src.len = NGX_ZAPIER_STATE_PKCE_LEN;

    if (ngx_zapier_state_digest(&src, digest) != NGX_OK) {
        return NGX_ERROR;
    }

    src.data = digest;
    src.len = sizeof(digest);
    dst.data = challenge;

    ngx_encode_base64url(&dst, &src);

    return NGX_OK;
}


static u_char *
ngx_zapier_state_put(u_char *p, ngx_zapier_state_t *state)
{
    ngx_int_t  shift;

    *p++ = NGX_ZAPIER_STATE_VERSION;
    *p++ = state->pkce ? NGX_ZAPIER_STATE_PKCE : 0;

    for (shift = 56; shift >= 0; shift -= 8) {
        *p++ = (u_char) ((uint64_t) state->expires >> shift);
    }

    p = ngx_cpymem(p, state->nonce, NGX_ZAPIER_STATE_NONCE_LEN);
    p = ngx_cpymem(p, state->browser, NGX_ZAPIER_STATE_DIGEST_LEN);

    *p++ = (u_char) state->tenant.len;
    p = ngx_cpymem(p, state->tenant.data, state->tenant.len);

    return ngx_cpymem(p, state->redirect_uri.data, state->redirect_uri.len);
}


/* What was signed here is well-formed, unless a later version did it. */

static ngx_int_t
ngx_zapier_state_get(u_char *p, u_char *last, ngx_zapier_state_t *state)
{
    uint64_t    expires;
    ngx_uint_t  i;

    if (p[0] != NGX_ZAPIER_STATE_VERSION || p[1] > NGX_ZAPIER_STATE_PKCE) {
        return NGX_DECLINED;
    }

    state->pkce = p[1];
    p += 2;

    expires = 0;

    for (i = 0; i < 8; i++) {
        expires = expires << 8 | *p++;
    }

    state->expires = (int64_t) expires;

    ngx_memcpy(state->nonce, p, NGX_ZAPIER_STATE_NONCE_LEN);
    p += NGX_ZAPIER_STATE_NONCE_LEN;

    ngx_memcpy(state->browser, p, NGX_ZAPIER_STATE_DIGEST_LEN);
    p += NGX_ZAPIER_STATE_DIGEST_LEN;

    state->tenant.len = *p++;
    state->tenant.data = p;

    if (state->tenant.len > (size_t) (last - p)
        || ngx_zapier_tenant_check(&state->tenant) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    p += state->tenant.len;

    state->redirect_uri.data = p;
    state->redirect_uri.len = last - p;

    return (p < last) ? NGX_OK : NGX_DECLINED;
}


#if (NGX_SSL)

ngx_int_t
ngx_zapier_state_random(u_char *buf, size_t len)
{
    return (RAND_bytes(buf, (int) len) == 1) ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_zapier_state_digest(ngx_str_t *value, u_char *digest)
{
    unsigned int  len;

    if (EVP_Digest(value->data, value->len, digest, &len, EVP_sha256(), NULL)
        != 1)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_state_hmac(u_char *key, size_t key_len, u_char *data, size_t len,
    u_char *digest)
{
    unsigned int  n;

    if (HMAC(EVP_sha256(), key, (int) key_len, data, len, digest, &n) == NULL)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_uint_t
ngx_zapier_state_same(u_char *a, u_char *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

#else

ngx_int_t
ngx_zapier_state_random(u_char *buf, size_t len)
{
    return NGX_ERROR;
}


ngx_int_t
ngx_zapier_state_digest(ngx_str_t *value, u_char *digest)
{
    return NGX_ERROR;
}


static ngx_int_t
ngx_zapier_state_hmac(u_char *key, size_t key_len, u_char *data, size_t len,
    u_char *digest)
{
    return NGX_ERROR;
}


ngx_uint_t
ngx_zapier_state_same(u_char *a, u_char *b, size_t len)
{
    return 0;
}

#endif
