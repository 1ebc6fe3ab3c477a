
/*
 * Signed tokens.  Nothing of the payload is looked at before the signature
 * has been found right.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_base64.h>
#include <ngx_zapier_jwt.h>
#include <jansson.h>

#if (NGX_SSL)
#include <openssl/err.h>
#include <openssl/evp.h>
#endif


/* 9999-12-31: sums with it do not overflow */
#define NGX_ZAPIER_JWT_TIME_MAX  253402300799LL


typedef struct {
    ngx_str_t    signed_part;   /* header "." payload */
    ngx_str_t    header;        /* the three, decoded */
    ngx_str_t    payload;
    ngx_str_t    signature;
} ngx_zapier_jwt_parts_t;


static ngx_zapier_jwt_result_e ngx_zapier_jwt_split(ngx_pool_t *pool,
    ngx_str_t *text, ngx_zapier_jwt_parts_t *parts);
static ngx_zapier_jwt_result_e ngx_zapier_jwt_signed(
    const ngx_zapier_jwks_t *keys, ngx_zapier_jwt_parts_t *parts,
    ngx_zapier_jwt_t *jwt);
static ngx_zapier_jwt_result_e ngx_zapier_jwt_header(
    const ngx_zapier_jwks_t *keys, ngx_str_t *text,
    const ngx_zapier_jwks_key_t **key);
static ngx_zapier_jwt_result_e ngx_zapier_jwt_signature(
    const ngx_zapier_jwks_key_t *key, ngx_zapier_jwt_parts_t *parts,
    ngx_zapier_jwt_t *jwt);
static ngx_zapier_jwt_result_e ngx_zapier_jwt_claims(
    const ngx_zapier_jwt_check_t *check, ngx_pool_t *pool, json_t *claims,
    ngx_zapier_jwt_t *jwt);
static ngx_zapier_jwt_result_e ngx_zapier_jwt_times(
    const ngx_zapier_jwt_check_t *check, ngx_zapier_jwt_t *jwt);
static ngx_int_t ngx_zapier_jwt_time(json_t *value, time_t *time);
static ngx_uint_t ngx_zapier_jwt_equal(json_t *value, const ngx_str_t *text);
static ngx_uint_t ngx_zapier_jwt_has(json_t *value, const ngx_str_t *text);
static json_t *ngx_zapier_jwt_object(ngx_str_t *text);


ngx_int_t
ngx_zapier_jwt_verify(const ngx_zapier_jwks_t *keys,
    const ngx_zapier_jwt_check_t *check, ngx_pool_t *pool, ngx_str_t *text,
    ngx_zapier_jwt_t *jwt)
{
    json_t                  *claims;
    ngx_zapier_jwt_parts_t   parts;

    ngx_memzero(jwt, sizeof(ngx_zapier_jwt_t));

    jwt->result = ngx_zapier_jwt_split(pool, text, &parts);

    if (jwt->result == NGX_ZAPIER_JWT_VALID) {
        jwt->result = ngx_zapier_jwt_signed(keys, &parts, jwt);
    }

    if (jwt->result == NGX_ZAPIER_JWT_VALID) {
        claims = ngx_zapier_jwt_object(&parts.payload);

        jwt->result = ngx_zapier_jwt_claims(check, pool, claims, jwt);

        json_decref(claims);
    }

    switch (jwt->result) {

    case NGX_ZAPIER_JWT_VALID:
        return NGX_OK;

    case NGX_ZAPIER_JWT_FAILED:
        return NGX_ERROR;

    default:
        return NGX_DECLINED;
    }
}


const char *
ngx_zapier_jwt_reason(ngx_zapier_jwt_result_e result)
{
    static const char  *reasons[] = {
        "is valid",
        "is no signed token",
        "is too long",
        "is not signed with RS256",
        "asks for an extension that is not known",
        "is signed with a key that is not in the key set",
        "has a wrong signature",
        "has no valid \"iat\" and \"exp\"",
        "is from the future",
        "has expired",
        "is of another issuer",
        "is for another audience",
        "could not be checked"
    };

    return reasons[result];
}


static ngx_zapier_jwt_result_e
ngx_zapier_jwt_split(ngx_pool_t *pool, ngx_str_t *text,
    ngx_zapier_jwt_parts_t *parts)
{
    u_char      *p, *dot, *last, *buf;
    ngx_str_t    piece, *part[3];
    ngx_uint_t   i;

    if (text->len > NGX_ZAPIER_JWT_LEN) {
        return NGX_ZAPIER_JWT_TOO_LONG;
    }

    buf = ngx_pnalloc(pool, ngx_base64_decoded_length(text->len) + 3);
    if (buf == NULL) {
        return NGX_ZAPIER_JWT_FAILED;
    }

    part[0] = &parts->header;
    part[1] = &parts->payload;
    part[2] = &parts->signature;

    p = text->data;
    last = p + text->len;

    for (i = 0; i < 3; i++) {

        if (i == 2) {
            parts->signed_part.data = text->data;
            parts->signed_part.len = p - 1 - text->data;
        }

        /* a fourth part leaves a dot, which is no base64 */

        dot = (i < 2) ? ngx_strlchr(p, last, '.') : last;

        if (dot == NULL) {
            return NGX_ZAPIER_JWT_MALFORMED;
        }

        piece.data = p;
        piece.len = dot - p;

        part[i]->data = buf;

        if (ngx_zapier_base64url_decode(buf, &part[i]->len, &piece)
            != NGX_OK)
        {
            return NGX_ZAPIER_JWT_MALFORMED;
        }

        buf += part[i]->len;
        p = dot + 1;
    }

    return NGX_ZAPIER_JWT_VALID;
}


static ngx_zapier_jwt_result_e
ngx_zapier_jwt_signed(const ngx_zapier_jwks_t *keys,
    ngx_zapier_jwt_parts_t *parts, ngx_zapier_jwt_t *jwt)
{
    ngx_zapier_jwt_result_e       result;
    const ngx_zapier_jwks_key_t  *key;

    result = ngx_zapier_jwt_header(keys, &parts->header, &key);

    if (result != NGX_ZAPIER_JWT_VALID) {
        return result;
    }

    return ngx_zapier_jwt_signature(key, parts, jwt);
}


static ngx_zapier_jwt_result_e
ngx_zapier_jwt_header(const ngx_zapier_jwks_t *keys, ngx_str_t *text,
    const ngx_zapier_jwks_key_t **key)
{
    json_t                   *header, *value;
    ngx_str_t                 kid;
    ngx_zapier_jwt_result_e   result;

    static const ngx_str_t  algorithm = ngx_string("RS256");

    header = ngx_zapier_jwt_object(text);
    if (header == NULL) {
        return NGX_ZAPIER_JWT_MALFORMED;
    }

    ngx_str_null(&kid);
    *key = NULL;

    value = json_object_get(header, "kid");

    if (json_is_string(value)) {
        kid.data = (u_char *) json_string_value(value);
        kid.len = json_string_length(value);
    }

    if (!ngx_zapier_jwt_equal(json_object_get(header, "alg"), &algorithm)) {
        result = NGX_ZAPIER_JWT_ALGORITHM;

    } else if (json_object_get(header, "crit") != NULL) {
        result = NGX_ZAPIER_JWT_CRITICAL;

    } else if (value != NULL && kid.len == 0) {
        result = NGX_ZAPIER_JWT_MALFORMED;

    } else {
        *key = ngx_zapier_jwks_find(keys, &kid);
        result = (*key != NULL) ? NGX_ZAPIER_JWT_VALID
                                : NGX_ZAPIER_JWT_UNKNOWN_KEY;
    }

    json_decref(header);

    return result;
}


#if (NGX_SSL)

static ngx_zapier_jwt_result_e
ngx_zapier_jwt_signature(const ngx_zapier_jwks_key_t *key,
    ngx_zapier_jwt_parts_t *parts, ngx_zapier_jwt_t *jwt)
{
    EVP_MD_CTX               *ctx;
    ngx_str_t                *text;
    ngx_zapier_jwt_result_e   result;

    text = &parts->signed_part;

    if (parts->signature.len != (size_t) EVP_PKEY_size(key->key)) {
        return NGX_ZAPIER_JWT_FORGED;
    }

    ctx = EVP_MD_CTX_create();
    if (ctx == NULL) {
        return NGX_ZAPIER_JWT_FAILED;
    }

    /* PKCS #1 v1.5, the padding of RS256, is the default for such a key */

    if (EVP_Digest(text->data, text->len, jwt->digest, NULL, EVP_sha256(),
                   NULL)
        != 1
        || EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key->key) != 1
        || EVP_DigestVerifyUpdate(ctx, text->data, text->len) != 1)
    {
        result = NGX_ZAPIER_JWT_FAILED;

    } else if (EVP_DigestVerifyFinal(ctx, parts->signature.data,
                                     parts->signature.len)
               != 1)
    {
        result = NGX_ZAPIER_JWT_FORGED;

    } else {
        result = NGX_ZAPIER_JWT_VALID;
    }

    EVP_MD_CTX_destroy(ctx);

    /* what stays in the queue nginx takes for errors of a connection */
    ERR_clear_error();

    return result;
}

#else

static ngx_zapier_jwt_result_e
ngx_zapier_jwt_signature(const ngx_zapier_jwks_key_t *key,
    ngx_zapier_jwt_parts_t *parts, ngx_zapier_jwt_t *jwt)
{
    return NGX_ZAPIER_JWT_FAILED;
}

#endif


static ngx_zapier_jwt_result_e
ngx_zapier_jwt_claims(const ngx_zapier_jwt_check_t *check, ngx_pool_t *pool,
    json_t *claims, ngx_zapier_jwt_t *jwt)
{
    json_t                   *id;
    ngx_str_t                 text;
    ngx_zapier_jwt_result_e   result;

    if (ngx_zapier_jwt_time(json_object_get(claims, "iat"), &jwt->iat)
        != NGX_OK
        || ngx_zapier_jwt_time(json_object_get(claims, "exp"), &jwt->exp)
           != NGX_OK)
    {
        return NGX_ZAPIER_JWT_CLAIMS;
    }

    result = ngx_zapier_jwt_times(check, jwt);

    if (result != NGX_ZAPIER_JWT_VALID) {
        return result;
    }

    if (check->issuer.len
        && !ngx_zapier_jwt_equal(json_object_get(claims, "iss"),
                                 &check->issuer))
    {
        return NGX_ZAPIER_JWT_ISSUER;
    }

    if (check->audience.len
        && !ngx_zapier_jwt_has(json_object_get(claims, "aud"),
                               &check->audience))
    {
        return NGX_ZAPIER_JWT_AUDIENCE;
    }

    id = json_object_get(claims, "jti");

    if (json_is_string(id)
        && json_string_length(id) <= NGX_ZAPIER_JWT_ID_LEN)
    {
        text.data = (u_char *) json_string_value(id);
        text.len = json_string_length(id);

        jwt->id.data = ngx_pstrdup(pool, &text);
        if (jwt->id.data == NULL) {
            return NGX_ZAPIER_JWT_FAILED;
        }

        jwt->id.len = text.len;
    }

    return NGX_ZAPIER_JWT_VALID;
}


static ngx_zapier_jwt_result_e
ngx_zapier_jwt_times(const ngx_zapier_jwt_check_t *check,
    ngx_zapier_jwt_t *jwt)
{
    if (jwt->exp <= jwt->iat) {
        return NGX_ZAPIER_JWT_CLAIMS;
    }

    if (jwt->iat > check->now + check->leeway) {
        return NGX_ZAPIER_JWT_NOT_YET;
    }

    if (jwt->exp + check->leeway <= check->now) {
        return NGX_ZAPIER_JWT_EXPIRED;
    }

    /* a token that claims years for itself expires with the others */

    if (check->lifetime
        && jwt->iat + check->lifetime + check->leeway <= check->now)
    {
        return NGX_ZAPIER_JWT_EXPIRED;
    }

    return NGX_ZAPIER_JWT_VALID;
}


static ngx_int_t
ngx_zapier_jwt_time(json_t *value, time_t *time)
{
    double  n;

    if (!json_is_number(value)) {
        return NGX_DECLINED;
    }

    n = json_number_value(value);

    if (!(n >= 0 && n <= (double) NGX_ZAPIER_JWT_TIME_MAX)) {
        return NGX_DECLINED;
    }

    *time = (time_t) n;

    return NGX_OK;
}


static ngx_uint_t
ngx_zapier_jwt_equal(json_t *value, const ngx_str_t *text)
{
    return json_is_string(value)
           && json_string_length(value) == text->len
           && ngx_memcmp(json_string_value(value), text->data, text->len)
              == 0;
}


/* "aud" is a string or a list of strings */

static ngx_uint_t
ngx_zapier_jwt_has(json_t *value, const ngx_str_t *text)
{
    size_t   i;
    json_t  *item;

    json_array_foreach(value, i, item) {
        if (ngx_zapier_jwt_equal(item, text)) {
            return 1;
        }
    }

    return ngx_zapier_jwt_equal(value, text);
}


/* NULL: no JSON, or no object, or one with two members of a name */

static json_t *
ngx_zapier_jwt_object(ngx_str_t *text)
{
    json_t  *json;

    json = json_loadb((char *) text->data, text->len, JSON_REJECT_DUPLICATES,
                      NULL);

    if (!json_is_object(json)) {
        json_decref(json);
        return NULL;
    }

    return json;
}
