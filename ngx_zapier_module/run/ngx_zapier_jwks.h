
/*
 * Public keys for RS256 out of a JSON Web Key Set (RFC 7517).
 *
 * A key is taken if it is RSA of 2048 to 8192 bits, has no private part, and
 * "use", "key_ops" and "alg" allow RS256 or are absent; others are passed
 * over, since a set may hold keys for other purposes.
 */


#ifndef _NGX_ZAPIER_JWKS_H_INCLUDED_
#define _NGX_ZAPIER_JWKS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_ZAPIER_JWKS_LEN      65536  /* of the document */
#define NGX_ZAPIER_JWKS_KEYS     16     /* that are taken */
#define NGX_ZAPIER_JWKS_KID_LEN  128

#define NGX_ZAPIER_JWKS_MIN_BITS  2048
#define NGX_ZAPIER_JWKS_MAX_BITS  8192


typedef struct {
    ngx_str_t                kid;       /* empty: it has none */
    void                    *key;       /* EVP_PKEY */
} ngx_zapier_jwks_key_t;


typedef struct {
    ngx_uint_t               nkeys;
    ngx_uint_t               passed_over;
    ngx_zapier_jwks_key_t    keys[NGX_ZAPIER_JWKS_KEYS];
} ngx_zapier_jwks_t;


/*
 * The keys live as long as the pool; what jansson needs is freed at once.
 *
 * NGX_OK        at least one key was taken
 * NGX_DECLINED  the document is not to be used, *fault says why: "is no
 *               JSON object", ...
 * NGX_ERROR     no memory, or there is no OpenSSL; *fault says which
 */
ngx_int_t ngx_zapier_jwks_parse(ngx_zapier_jwks_t *set, ngx_pool_t *pool,
    ngx_str_t *text, const char **fault);

/*
 * The key of that id.  A token without an id (an empty one) may be checked
 * only if there is no choice; else NULL.
 */
const ngx_zapier_jwks_key_t *ngx_zapier_jwks_find(
    const ngx_zapier_jwks_t *set, ngx_str_t *kid);


#endif /* _NGX_ZAPIER_JWKS_H_INCLUDED_ */
