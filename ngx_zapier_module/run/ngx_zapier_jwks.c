
/*
 * JSON Web Key Sets.
 *
 * An RSA key is handed to OpenSSL as the DER text of a SubjectPublicKeyInfo:
 * the one way that all its releases and its forks have in common.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_base64.h>
#include <ngx_zapier_jwks.h>
#include <jansson.h>

#if (NGX_SSL)
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#endif


#define NGX_ZAPIER_JWKS_N_LEN  (NGX_ZAPIER_JWKS_MAX_BITS / 8)

/* some libraries refuse longer ones */
#define NGX_ZAPIER_JWKS_E_LEN  4

/* the numbers, five heads with a zero each, the algorithm */
#define NGX_ZAPIER_JWKS_DER_LEN                                              \
    (NGX_ZAPIER_JWKS_N_LEN + NGX_ZAPIER_JWKS_E_LEN + 5 * 5 + 15)


/* big endian, without leading zeros */

typedef struct {
    size_t    n_len;
    size_t    e_len;
    u_char    n[NGX_ZAPIER_JWKS_N_LEN + 3];
    u_char    e[NGX_ZAPIER_JWKS_E_LEN + 3];
} ngx_zapier_jwks_rsa_t;


static ngx_int_t ngx_zapier_jwks_load(ngx_zapier_jwks_t *set,
    ngx_pool_t *pool, json_t *keys, const char **fault);
static ngx_uint_t ngx_zapier_jwks_fits(json_t *jwk);
static ngx_uint_t ngx_zapier_jwks_is(json_t *jwk, const char *name,
    const char *value, ngx_uint_t absent);
static ngx_int_t ngx_zapier_jwks_rsa(json_t *jwk,
    ngx_zapier_jwks_rsa_t *rsa);
static ngx_int_t ngx_zapier_jwks_number(json_t *value, u_char *buf,
    size_t *len, size_t max);
static ngx_int_t ngx_zapier_jwks_kid(json_t *jwk, ngx_str_t *kid);
static ngx_int_t ngx_zapier_jwks_add(ngx_zapier_jwks_t *set,
    ngx_pool_t *pool, ngx_str_t *kid, ngx_zapier_jwks_rsa_t *rsa);

#if (NGX_SSL)

static void *ngx_zapier_jwks_key(ngx_zapier_jwks_rsa_t *rsa);
static u_char *ngx_zapier_jwks_wrap(u_char *p, u_char *last, u_char tag);
static void ngx_zapier_jwks_free(void *data);

#endif


ngx_int_t
ngx_zapier_jwks_parse(ngx_zapier_jwks_t *set, ngx_pool_t *pool,
    ngx_str_t *text, const char **fault)
{
    json_t     *json, *keys;
    ngx_int_t   rc;

    ngx_memzero(set, sizeof(ngx_zapier_jwks_t));

    if (text->len > NGX_ZAPIER_JWKS_LEN) {
        *fault = "is too long";
        return NGX_DECLINED;
    }

    json = json_loadb((char *) text->data, text->len,
                      JSON_REJECT_DUPLICATES, NULL);

    keys = json_object_get(json, "keys");

    if (!json_is_object(json)) {
        *fault = "is no JSON object";
        rc = NGX_DECLINED;

    } else if (!json_is_array(keys)) {
        *fault = "has no list \"keys\"";
        rc = NGX_DECLINED;

    } else {
        rc = ngx_zapier_jwks_load(set, pool, keys, fault);
    }

    json_decref(json);

    if (rc != NGX_OK) {

        /* the pool will free what was there already */

        set->nkeys = 0;
    }

    return rc;
}


const ngx_zapier_jwks_key_t *
ngx_zapier_jwks_find(const ngx_zapier_jwks_t *set, ngx_str_t *kid)
{
    ngx_uint_t                    i;
    const ngx_zapier_jwks_key_t  *key;

    if (kid->len == 0) {
        return (set->nkeys == 1) ? &set->keys[0] : NULL;
    }

    for (i = 0; i < set->nkeys; i++) {
        key = &set->keys[i];

        if (key->kid.len == kid->len
            && ngx_memcmp(key->kid.data, kid->data, kid->len) == 0)
        {
            return key;
        }
    }

    return NULL;
}


static ngx_int_t
ngx_zapier_jwks_load(ngx_zapier_jwks_t *set, ngx_pool_t *pool, json_t *keys,
    const char **fault)
{
    size_t                  i;
    json_t                 *jwk;
    ngx_int_t               rc;
    ngx_str_t               kid;
    ngx_zapier_jwks_rsa_t   rsa;

    json_array_foreach(keys, i, jwk) {

        if (!ngx_zapier_jwks_fits(jwk)
            || ngx_zapier_jwks_kid(jwk, &kid) != NGX_OK
            || ngx_zapier_jwks_rsa(jwk, &rsa) != NGX_OK)
        {
            set->passed_over++;
            continue;
        }

        if (set->nkeys == NGX_ZAPIER_JWKS_KEYS) {
            *fault = "has too many keys";
            return NGX_DECLINED;
        }

        if (kid.len && set->nkeys
            && ngx_zapier_jwks_find(set, &kid) != NULL)
        {
            *fault = "has two keys with the same \"kid\"";
            return NGX_DECLINED;
        }

        rc = ngx_zapier_jwks_add(set, pool, &kid, &rsa);

        if (rc == NGX_ERROR) {
            *fault = "could not be loaded";
            return NGX_ERROR;
        }

        if (rc == NGX_DECLINED) {
            set->passed_over++;
        }
    }

    if (set->nkeys == 0) {
        *fault = "has no RSA key of 2048 to 8192 bits for RS256";
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_zapier_jwks_fits(json_t *jwk)
{
    size_t       i;
    json_t      *ops, *op;
    ngx_uint_t   verify;

    if (!ngx_zapier_jwks_is(jwk, "kty", "RSA", 0)
        || !ngx_zapier_jwks_is(jwk, "use", "sig", 1)
        || !ngx_zapier_jwks_is(jwk, "alg", "RS256", 1)
        || json_object_get(jwk, "d") != NULL)
    {
        return 0;
    }

    ops = json_object_get(jwk, "key_ops");

    if (ops == NULL) {
        return 1;
    }

    verify = 0;

    json_array_foreach(ops, i, op) {
        if (json_is_string(op)
            && ngx_strcmp(json_string_value(op), "verify") == 0)
        {
            verify = 1;
        }
    }

    return verify;
}


static ngx_uint_t
ngx_zapier_jwks_is(json_t *jwk, const char *name, const char *value,
    ngx_uint_t absent)
{
    json_t  *member;

    member = json_object_get(jwk, name);

    if (member == NULL) {
        return absent;
    }

    return json_is_string(member)
           && ngx_strcmp(json_string_value(member), value) == 0;
}


static ngx_int_t
ngx_zapier_jwks_kid(json_t *jwk, ngx_str_t *kid)
{
    json_t  *value;

    ngx_str_null(kid);

    value = json_object_get(jwk, "kid");

    if (value == NULL) {
        return NGX_OK;
    }

    if (!json_is_string(value)
        || json_string_length(value) == 0
        || json_string_length(value) > NGX_ZAPIER_JWKS_KID_LEN)
    {
        return NGX_DECLINED;
    }

    kid->data = (u_char *) json_string_value(value);
    kid->len = json_string_length(value);

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_jwks_rsa(json_t *jwk, ngx_zapier_jwks_rsa_t *rsa)
{
    if (ngx_zapier_jwks_number(json_object_get(jwk, "n"), rsa->n,
                               &rsa->n_len, NGX_ZAPIER_JWKS_N_LEN)
        != NGX_OK
        || ngx_zapier_jwks_number(json_object_get(jwk, "e"), rsa->e,
                                  &rsa->e_len, NGX_ZAPIER_JWKS_E_LEN)
           != NGX_OK)
    {
        return NGX_DECLINED;
    }

    /* whole bytes, but the top bit of the first one may be missing */

    if (rsa->n_len < NGX_ZAPIER_JWKS_MIN_BITS / 8
        || (rsa->n_len == NGX_ZAPIER_JWKS_MIN_BITS / 8
            && !(rsa->n[0] & 0x80)))
    {
        return NGX_DECLINED;
    }

    /* with e = 1 everything is its own signature */

    if (rsa->e_len == 1 && rsa->e[0] == 1) {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/* A positive odd number of at most max bytes; buf holds three more. */

static ngx_int_t
ngx_zapier_jwks_number(json_t *value, u_char *buf, size_t *len, size_t max)
{
    ngx_str_t  text;

    if (!json_is_string(value)) {
        return NGX_DECLINED;
    }

    text.data = (u_char *) json_string_value(value);
    text.len = json_string_length(value);

    if (text.len == 0
        || text.len > (max * 8 + 5) / 6
        || ngx_zapier_base64url_decode(buf, len, &text) != NGX_OK
        || *len > max)
    {
        return NGX_DECLINED;
    }

    if (buf[0] == 0 || !(buf[*len - 1] & 1)) {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


#if (NGX_SSL)

static ngx_int_t
ngx_zapier_jwks_add(ngx_zapier_jwks_t *set, ngx_pool_t *pool, ngx_str_t *kid,
    ngx_zapier_jwks_rsa_t *rsa)
{
    ngx_pool_cleanup_t     *cln;
    ngx_zapier_jwks_key_t  *key;

    key = &set->keys[set->nkeys];

    if (kid->len) {
        key->kid.data = ngx_pstrdup(pool, kid);
        if (key->kid.data == NULL) {
            return NGX_ERROR;
        }
    }

    key->kid.len = kid->len;

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    key->key = ngx_zapier_jwks_key(rsa);
    if (key->key == NULL) {
        return NGX_DECLINED;
    }

    cln->handler = ngx_zapier_jwks_free;
    cln->data = key->key;

    set->nkeys++;

    return NGX_OK;
}


/* Built from the end of the buffer, so that lengths are known. */

static void *
ngx_zapier_jwks_key(ngx_zapier_jwks_rsa_t *rsa)
{
    u_char               *p, *last;
    EVP_PKEY             *key;
    const unsigned char  *der;

    u_char  buf[NGX_ZAPIER_JWKS_DER_LEN];

    static const u_char  algorithm[] = {
        0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
        0x01, 0x01, 0x05, 0x00
    };

    last = buf + sizeof(buf);

    /* a zero before each number, they are not negative */

    p = last - rsa->e_len;
    ngx_memcpy(p, rsa->e, rsa->e_len);

    if (*p & 0x80) {
        *--p = 0;
    }

    p = ngx_zapier_jwks_wrap(p, last, 0x02);

    last = p;
    p -= rsa->n_len;
    ngx_memcpy(p, rsa->n, rsa->n_len);

    if (*p & 0x80) {
        *--p = 0;
    }

    p = ngx_zapier_jwks_wrap(p, last, 0x02);

    last = buf + sizeof(buf);

    p = ngx_zapier_jwks_wrap(p, last, 0x30);
    *--p = 0;
    p = ngx_zapier_jwks_wrap(p, last, 0x03);

    p -= sizeof(algorithm);
    ngx_memcpy(p, algorithm, sizeof(algorithm));

    p = ngx_zapier_jwks_wrap(p, last, 0x30);

    der = p;
    key = d2i_PUBKEY(NULL, &der, (long) (last - p));

    /* what stays in the queue nginx takes for errors of a connection */
    ERR_clear_error();

    return key;
}


/* Puts tag and length before what lies between p and last. */

static u_char *
ngx_zapier_jwks_wrap(u_char *p, u_char *last, u_char tag)
{
    size_t  len;

    len = last - p;

    if (len < 128) {
        *--p = (u_char) len;

    } else if (len < 256) {
        *--p = (u_char) len;
        *--p = 0x81;

    } else {
        *--p = (u_char) len;
        *--p = (u_char) (len >> 8);
        *--p = 0x82;
    }

    *--p = tag;

    return p;
}


static void
ngx_zapier_jwks_free(void *data)
{
    EVP_PKEY_free(data);
}

#else

static ngx_int_t
ngx_zapier_jwks_add(ngx_zapier_jwks_t *set, ngx_pool_t *pool, ngx_str_t *kid,
    ngx_zapier_jwks_rsa_t *rsa)
{
    return NGX_ERROR;
}

#endif
