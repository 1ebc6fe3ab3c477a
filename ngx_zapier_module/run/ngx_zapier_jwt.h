
/*
 * Signed tokens of the upstream (RFC 7519, JWS compact serialisation), as in
 * Zapier-Callback-Signature.  RS256 only, whatever the token says.
 *
 * Such a token says that the upstream signed something a short time ago.  No
 * claim is documented that would bind it to a body, a run or a receiver: a
 * token that was sent to somebody else is as good.  So a caller must accept
 * only bodies of runs that it started and that are still open, under a
 * callback URL that cannot be guessed, and a token for one run only, which
 * is what the digest is for.
 */


#ifndef _NGX_ZAPIER_JWT_H_INCLUDED_
#define _NGX_ZAPIER_JWT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_jwks.h>


#define NGX_ZAPIER_JWT_LEN         4096
#define NGX_ZAPIER_JWT_ID_LEN      128
#define NGX_ZAPIER_JWT_DIGEST_LEN  32


typedef enum {
    NGX_ZAPIER_JWT_VALID = 0,
    NGX_ZAPIER_JWT_MALFORMED,
    NGX_ZAPIER_JWT_TOO_LONG,
    NGX_ZAPIER_JWT_ALGORITHM,       /* not RS256 */
    NGX_ZAPIER_JWT_CRITICAL,        /* wants an extension understood */
    NGX_ZAPIER_JWT_UNKNOWN_KEY,     /* newer keys may help */
    NGX_ZAPIER_JWT_FORGED,          /* the signature is wrong */
    NGX_ZAPIER_JWT_CLAIMS,          /* "iat" or "exp" missing or malformed */
    NGX_ZAPIER_JWT_NOT_YET,
    NGX_ZAPIER_JWT_EXPIRED,
    NGX_ZAPIER_JWT_ISSUER,
    NGX_ZAPIER_JWT_AUDIENCE,
    NGX_ZAPIER_JWT_FAILED           /* no memory, OpenSSL */
} ngx_zapier_jwt_result_e;


typedef struct {
    time_t                   now;
    time_t                   leeway;
    time_t                   lifetime;      /* after "iat", 0: any */
    ngx_str_t                issuer;        /* empty: any */
    ngx_str_t                audience;      /* empty: any */
} ngx_zapier_jwt_check_t;


typedef struct {
    ngx_zapier_jwt_result_e  result;
    time_t                   iat;
    time_t                   exp;
    ngx_str_t                id;            /* "jti", often empty */
    u_char                   digest[NGX_ZAPIER_JWT_DIGEST_LEN];
                                            /* SHA-256 of what is signed */
} ngx_zapier_jwt_t;


/*
 * Fills *jwt; all but the result is of use only after NGX_OK.
 *
 * NGX_OK        valid
 * NGX_DECLINED  not valid
 * NGX_ERROR     NGX_ZAPIER_JWT_FAILED
 */
ngx_int_t ngx_zapier_jwt_verify(const ngx_zapier_jwks_t *keys,
    const ngx_zapier_jwt_check_t *check, ngx_pool_t *pool, ngx_str_t *text,
    ngx_zapier_jwt_t *jwt);

/* "has expired": the end of a log message; nothing of the token is in it */
const char *ngx_zapier_jwt_reason(ngx_zapier_jwt_result_e result);


#endif /* _NGX_ZAPIER_JWT_H_INCLUDED_ */
