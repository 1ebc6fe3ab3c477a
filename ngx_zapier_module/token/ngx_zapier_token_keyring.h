
/*
 * The key ring of encryption at rest: a file with one key per line,
 *
 *     ID KEY
 *
 * where ID is 1 to 32 bytes of [A-Za-z0-9._-] and KEY 32 bytes in base64 or
 * hexadecimal.  The first key writes, all of them read.  "#" begins a
 * comment.
 */


#ifndef _NGX_ZAPIER_TOKEN_KEYRING_H_INCLUDED_
#define _NGX_ZAPIER_TOKEN_KEYRING_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_ZAPIER_KEYRING_KEYS     32
#define NGX_ZAPIER_KEYRING_ID_LEN   32
#define NGX_ZAPIER_KEYRING_KEY_LEN  32


typedef struct {
    size_t                     id_len;
    u_char                     id[NGX_ZAPIER_KEYRING_ID_LEN];
    u_char                     key[NGX_ZAPIER_KEYRING_KEY_LEN];
} ngx_zapier_keyring_key_t;


typedef struct {
    ngx_uint_t                 nkeys;
    ngx_zapier_keyring_key_t   keys[NGX_ZAPIER_KEYRING_KEYS];
} ngx_zapier_keyring_t;


/* why a ring is refused; nothing of the line, which may be a key */
typedef struct {
    ngx_uint_t                 line;     /* 0: the whole file */
    const char                *reason;
} ngx_zapier_keyring_fault_t;


/*
 * Reads a ring while the configuration is read; *file becomes a full name.
 * Reads nothing later, so a reload takes a changed file and old workers
 * keep the old ring.  The keys lie in read-only pages of their own, which
 * core dumps leave out, and are overwritten with cf->pool.
 *
 * NULL: [emerg] has been logged.
 */
ngx_zapier_keyring_t *ngx_zapier_keyring_create(ngx_conf_t *cf,
    ngx_str_t *file);

/*
 * Keeps the ring from being swapped out; in each worker, as such locks do
 * not survive fork().  That the system refuses is no error.
 */
void ngx_zapier_keyring_init_worker(ngx_zapier_keyring_t *ring);

/* Reads the text of a file.  NGX_OK, or NGX_DECLINED: fault says why. */
ngx_int_t ngx_zapier_keyring_parse(ngx_zapier_keyring_t *ring,
    ngx_str_t *text, ngx_zapier_keyring_fault_t *fault);

/* NGX_OK if id may be that of a key, else NGX_DECLINED. */
ngx_int_t ngx_zapier_keyring_check_id(ngx_str_t *id);

/* NULL: there is no such key. */
const ngx_zapier_keyring_key_t *ngx_zapier_keyring_find(
    const ngx_zapier_keyring_t *ring, ngx_str_t *id);


#endif /* _NGX_ZAPIER_TOKEN_KEYRING_H_INCLUDED_ */
