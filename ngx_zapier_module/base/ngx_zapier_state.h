
/*
 * The "state" of an authorization request (RFC 6749 4.1.1): what the
 * callback must know, signed, so that any node of a fleet can trust it and
 * none has to remember it.
 *
 * The text is base64url of
 *
 *     version (1)  flags (1)  expires (8)  nonce  browser
 *     length of tenant (1)  tenant  redirect_uri  HMAC-SHA256 of all that
 *
 * It is signed, not encrypted: who sees it can read tenant and redirect_uri.
 */


#ifndef _NGX_ZAPIER_STATE_H_INCLUDED_
#define _NGX_ZAPIER_STATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_tenant.h>


#define NGX_ZAPIER_STATE_KEY_LEN       32
#define NGX_ZAPIER_STATE_NONCE_LEN     16
#define NGX_ZAPIER_STATE_DIGEST_LEN    32
#define NGX_ZAPIER_STATE_REDIRECT_LEN  512

/* a verifier or challenge of PKCE: base64url of 32 bytes */
#define NGX_ZAPIER_STATE_PKCE_LEN      43

#define NGX_ZAPIER_STATE_RAW_LEN                                             \
    (1 + 1 + 8 + NGX_ZAPIER_STATE_NONCE_LEN + NGX_ZAPIER_STATE_DIGEST_LEN    \
     + 1 + NGX_ZAPIER_TENANT_LEN + NGX_ZAPIER_STATE_REDIRECT_LEN             \
     + NGX_ZAPIER_STATE_DIGEST_LEN)

/* the longest text, with the padding of ngx_encode_base64url()'s sums */
#define NGX_ZAPIER_STATE_LEN                                                 \
    ngx_base64_encoded_length(NGX_ZAPIER_STATE_RAW_LEN)


typedef struct {
    ngx_str_t      tenant;
    ngx_str_t      redirect_uri;
    int64_t        expires;           /* epoch s: from here on void */
    ngx_uint_t     pkce;
    u_char         nonce[NGX_ZAPIER_STATE_NONCE_LEN];
    u_char         browser[NGX_ZAPIER_STATE_DIGEST_LEN];
} ngx_zapier_state_t;


/*
 * All return NGX_OK or NGX_ERROR (OpenSSL has failed, or there is none),
 * but for what is said.
 */

/*
 * The key of all that follows, from the client's secret.  States of another
 * realm are not understood, though the client may be the same.
 */
ngx_int_t ngx_zapier_state_key(ngx_str_t *secret, ngx_str_t *realm,
    u_char *key);

/* Random bytes, as for a nonce. */
ngx_int_t ngx_zapier_state_random(u_char *buf, size_t len);

/* What a state holds of the value that only the browser knows. */
ngx_int_t ngx_zapier_state_digest(ngx_str_t *value, u_char *digest);

/*
 * Writes the text to text->data, which has NGX_ZAPIER_STATE_LEN bytes; the
 * caller has seen to it that tenant and redirect_uri are not too long.
 */
ngx_int_t ngx_zapier_state_make(u_char *key, ngx_zapier_state_t *state,
    ngx_str_t *text);

/*
 * Reads one; buf has NGX_ZAPIER_STATE_LEN bytes, and the strings of state
 * point into it.  Whether it has expired or is another browser's is left to
 * the caller.  NGX_DECLINED: the text is not of ours.
 */
ngx_int_t ngx_zapier_state_read(u_char *key, ngx_str_t *text, u_char *buf,
    ngx_zapier_state_t *state);

/* PKCE (RFC 7636), S256: the secret that belongs to nonce, its challenge */
ngx_int_t ngx_zapier_state_verifier(u_char *key, u_char *nonce,
    u_char *verifier);
ngx_int_t ngx_zapier_state_challenge(u_char *verifier, u_char *challenge);

/* Are len bytes the same?  Takes the same time whatever they are. */
ngx_uint_t ngx_zapier_state_same(u_char *a, u_char *b, size_t len);


#endif /* _NGX_ZAPIER_STATE_H_INCLUDED_ */
