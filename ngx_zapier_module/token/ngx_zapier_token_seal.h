
/*
 * Encryption of one field of a token record, as
 *
 *     enc:v1:KEYID:BASE64
 *
 * where BASE64 (RFC 4648 section 4, padded) is nonce (12 bytes), ciphertext
 * and tag (16 bytes) of AES-256-GCM with a random nonce.  The additional
 * data are "enc:v1", KEYID, the tenant and the name of the field, each
 * after its length in two bytes, high byte first: a value that is copied to
 * another tenant or field, or given another key id, does not open.
 */


#ifndef _NGX_ZAPIER_TOKEN_SEAL_H_INCLUDED_
#define _NGX_ZAPIER_TOKEN_SEAL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_token_keyring.h>


#define NGX_ZAPIER_SEAL_NONCE_LEN  12
#define NGX_ZAPIER_SEAL_TAG_LEN    16

/* longest value that is sealed, longest name of a field */
#define NGX_ZAPIER_SEAL_PLAIN_LEN  4096
#define NGX_ZAPIER_SEAL_FIELD_LEN  64

/* what sealing len bytes takes at most; a constant if len is one */
#define ngx_zapier_seal_len(len)                                             \
    (sizeof("enc:v1::") - 1 + NGX_ZAPIER_KEYRING_ID_LEN                      \
     + ngx_base64_encoded_length(NGX_ZAPIER_SEAL_NONCE_LEN + (len)           \
                                 + NGX_ZAPIER_SEAL_TAG_LEN))

#define NGX_ZAPIER_SEAL_VALUE_LEN                                            \
    ngx_zapier_seal_len(NGX_ZAPIER_SEAL_PLAIN_LEN)

/* what opening a value of len bytes takes, and any value at most */
#define ngx_zapier_unseal_len(len)  ngx_base64_decoded_length(len)

#define NGX_ZAPIER_UNSEAL_LEN                                                \
    ngx_zapier_unseal_len(NGX_ZAPIER_SEAL_VALUE_LEN)


typedef enum {
    NGX_ZAPIER_SEAL_MALFORMED = 0,  /* cut, too long, another version */
    NGX_ZAPIER_SEAL_UNKNOWN_KEY,    /* its key id is not in the ring */
    NGX_ZAPIER_SEAL_FORGED,         /* changed, or of another tenant or
                                       field, or the key is another one */
    NGX_ZAPIER_SEAL_FAILED          /* no memory, OpenSSL; logged */
} ngx_zapier_seal_fault_e;


/*
 * Encrypts plain with the first key; ring is not NULL.  buf must hold
 * ngx_zapier_seal_len(plain->len) bytes and not overlap plain; *value
 * points into it.
 *
 * NGX_OK, or NGX_ERROR: too long, or OpenSSL failed; logged.
 */
ngx_int_t ngx_zapier_seal(const ngx_zapier_keyring_t *ring,
    ngx_str_t *tenant, ngx_str_t *field, ngx_str_t *plain, u_char *buf,
    ngx_str_t *value);

/*
 * Opens a value as it was read; ring may be NULL.  buf must hold
 * ngx_zapier_unseal_len(value->len) or NGX_ZAPIER_UNSEAL_LEN bytes and not
 * overlap value; *plain points into it, and the caller overwrites it after
 * use.
 *
 * NGX_OK        decrypted
 * NGX_DECLINED  does not begin with "enc:", so it was never sealed; *plain
 *               is *value
 * NGX_ERROR     *fault says why; *plain is empty, buf holds no secret
 */
ngx_int_t ngx_zapier_unseal(const ngx_zapier_keyring_t *ring,
    ngx_str_t *tenant, ngx_str_t *field, ngx_str_t *value, u_char *buf,
    ngx_str_t *plain, ngx_zapier_seal_fault_e *fault);

/*
 * The id of the key that a value names, for people to see.
 *
 * NGX_OK        sealed, *id points into value
 * NGX_DECLINED  not sealed
 * NGX_ERROR     malformed
 */
ngx_int_t ngx_zapier_seal_key_id(ngx_str_t *value, ngx_str_t *id);

/*
 * 1 if the value is as ring would write it now: sealed with its first key,
 * or plain if ring is NULL.
 */
ngx_uint_t ngx_zapier_seal_is_current(const ngx_zapier_keyring_t *ring,
    ngx_str_t *value);

/* "was changed ...": the end of a log message that names the field. */
const char *ngx_zapier_seal_reason(ngx_zapier_seal_fault_e fault);


#endif /* _NGX_ZAPIER_TOKEN_SEAL_H_INCLUDED_ */
