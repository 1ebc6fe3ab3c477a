
/*
 * The key ring: its file and the memory of the keys.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_base64.h>
#include <ngx_zapier_token_keyring.h>
#include <ngx_zapier_wipe.h>


/* bytes of a file, comments included */
#define NGX_ZAPIER_KEYRING_FILE_LEN  16384


static ngx_zapier_keyring_t *ngx_zapier_keyring_alloc(ngx_conf_t *cf);
static void ngx_zapier_keyring_cleanup(void *data);
static ngx_int_t ngx_zapier_keyring_load(ngx_conf_t *cf, ngx_str_t *file,
    ngx_zapier_keyring_t *ring);
static ngx_int_t ngx_zapier_keyring_read(ngx_conf_t *cf, ngx_str_t *file,
    ngx_str_t *text);
static ngx_int_t ngx_zapier_keyring_read_fd(ngx_fd_t fd, ngx_str_t *text);
static void ngx_zapier_keyring_word(u_char **pos, u_char *last,
    ngx_str_t *word);
static const char *ngx_zapier_keyring_add(ngx_zapier_keyring_t *ring,
    ngx_str_t *id, ngx_str_t *word);
static ngx_int_t ngx_zapier_keyring_decode(u_char *key, ngx_str_t *word);
static ngx_int_t ngx_zapier_keyring_hex(u_char *key, ngx_str_t *word);


ngx_zapier_keyring_t *
ngx_zapier_keyring_create(ngx_conf_t *cf, ngx_str_t *file)
{
    ngx_zapier_keyring_t  *ring;

#if !(NGX_SSL)

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"zapier_token_key\" needs an nginx built with "
                       "OpenSSL");
    return NULL;

#endif

    if (ngx_conf_full_name(cf->cycle, file, 1) != NGX_OK) {
        return NULL;
    }

    ring = ngx_zapier_keyring_alloc(cf);
    if (ring == NULL) {
        return NULL;
    }

    if (ngx_zapier_keyring_load(cf, file, ring) != NGX_OK) {
        return NULL;
    }

    /* a stray write would seal tokens with a key that nobody has */

    if (mprotect(ring, sizeof(ngx_zapier_keyring_t), PROT_READ) == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "mprotect() of the key ring failed");
        return NULL;
    }

    return ring;
}


static ngx_zapier_keyring_t *
ngx_zapier_keyring_alloc(ngx_conf_t *cf)
{
    void                *ring;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    ring = mmap(NULL, sizeof(ngx_zapier_keyring_t), PROT_READ|PROT_WRITE,
                MAP_ANON|MAP_PRIVATE, -1, 0);

    if (ring == MAP_FAILED) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "mmap() for the key ring failed");
        return NULL;
    }

    cln->handler = ngx_zapier_keyring_cleanup;
    cln->data = ring;

#ifdef MADV_DONTDUMP
    (void) madvise(ring, sizeof(ngx_zapier_keyring_t), MADV_DONTDUMP);
#endif

    return ring;
}


static void
ngx_zapier_keyring_cleanup(void *data)
{
    if (mprotect(data, sizeof(ngx_zapier_keyring_t), PROT_READ|PROT_WRITE)
        == 0)
    {
        ngx_zapier_wipe(data, sizeof(ngx_zapier_keyring_t));
    }

    (void) munmap(data, sizeof(ngx_zapier_keyring_t));
}


void
ngx_zapier_keyring_init_worker(ngx_zapier_keyring_t *ring)
{
    if (ring != NULL) {
        (void) mlock(ring, sizeof(ngx_zapier_keyring_t));
    }
}


static ngx_int_t
ngx_zapier_keyring_load(ngx_conf_t *cf, ngx_str_t *file,
    ngx_zapier_keyring_t *ring)
{
    ngx_int_t                   rc;
    ngx_str_t                   text;
    ngx_zapier_keyring_fault_t  fault;

    u_char  buf[NGX_ZAPIER_KEYRING_FILE_LEN];

    text.data = buf;
    text.len = sizeof(buf);

    rc = ngx_zapier_keyring_read(cf, file, &text);

    if (rc == NGX_OK) {
        rc = ngx_zapier_keyring_parse(ring, &text, &fault);

        if (rc == NGX_OK) {
            /* void */

        } else if (fault.line) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "%s in %V:%ui of \"zapier_token_key\"",
                               fault.reason, file, fault.line);

        } else {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "%s in %V of \"zapier_token_key\"",
                               fault.reason, file);
        }
    }

    ngx_zapier_wipe(buf, sizeof(buf));

    return (rc == NGX_OK) ? NGX_OK : NGX_ERROR;
}


/* text comes with the size of its buffer */

static ngx_int_t
ngx_zapier_keyring_read(ngx_conf_t *cf, ngx_str_t *file, ngx_str_t *text)
{
    size_t           size;
    ngx_fd_t         fd;
    ngx_int_t        rc;
    ngx_file_info_t  fi;

    size = text->len;

    fd = ngx_open_file(file->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" of \"zapier_token_key\" "
                           "failed", file);
        return NGX_ERROR;
    }

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_fd_info_n " \"%V\" failed", file);
        (void) ngx_close_file(fd);
        return NGX_ERROR;
    }

    rc = ngx_zapier_keyring_read_fd(fd, text);

    if (rc != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_read_fd_n " \"%V\" of \"zapier_token_key\" "
                           "failed", file);
    }

    (void) ngx_close_file(fd);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    if (text->len == size) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" of \"zapier_token_key\" is too long",
                           file);
        return NGX_ERROR;
    }

    if (ngx_file_access(&fi) & (S_IROTH|S_IWOTH|S_IWGRP)) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"%V\" of \"zapier_token_key\" may be read or "
                           "changed by others, \"chmod 600\" it", file);
    }

    return NGX_OK;
}


/* in several pieces, for it may be a pipe */

static ngx_int_t
ngx_zapier_keyring_read_fd(ngx_fd_t fd, ngx_str_t *text)
{
    size_t   size;
    ssize_t  n;

    size = text->len;
    text->len = 0;

    while (text->len < size) {
        n = ngx_read_fd(fd, text->data + text->len, size - text->len);

        if (n == -1) {
            return NGX_ERROR;
        }

        if (n == 0) {
            break;
        }

        text->len += n;
    }

    return NGX_OK;
}


ngx_int_t
ngx_zapier_keyring_parse(ngx_zapier_keyring_t *ring, ngx_str_t *text,
    ngx_zapier_keyring_fault_t *fault)
{
    u_char     *p, *last, *eol;
    ngx_str_t   id, key, rest;

    ring->nkeys = 0;

    fault->line = 0;

    last = text->data + text->len;

    for (p = text->data; p < last; p = eol + 1) {

        fault->line++;

        eol = ngx_strlchr(p, last, LF);
        if (eol == NULL) {
            eol = last;
        }

        ngx_zapier_keyring_word(&p, eol, &id);
        ngx_zapier_keyring_word(&p, eol, &key);
        ngx_zapier_keyring_word(&p, eol, &rest);

        if (id.len == 0 || id.data[0] == '#') {
            continue;
        }

        if (rest.len && rest.data[0] != '#') {
            fault->reason = "unexpected text after the key";
            return NGX_DECLINED;
        }

        fault->reason = ngx_zapier_keyring_add(ring, &id, &key);

        if (fault->reason != NULL) {
            return NGX_DECLINED;
        }
    }

    if (ring->nkeys == 0) {
        fault->line = 0;
        fault->reason = "no key";
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static void
ngx_zapier_keyring_word(u_char **pos, u_char *last, ngx_str_t *word)
{
    u_char  *p;

    p = *pos;

    while (p < last && (*p == ' ' || *p == '\t' || *p == CR)) {
        p++;
    }

    word->data = p;

    while (p < last && *p != ' ' && *p != '\t' && *p != CR) {
        p++;
    }

    word->len = p - word->data;
    *pos = p;
}


static const char *
ngx_zapier_keyring_add(ngx_zapier_keyring_t *ring, ngx_str_t *id,
    ngx_str_t *word)
{
    ngx_uint_t                 i;
    ngx_zapier_keyring_key_t  *key;

    if (ngx_zapier_keyring_check_id(id) != NGX_OK) {
        return "the key id is not 1 to 32 characters of A-Z a-z 0-9 . _ -";
    }

    if (word->len == 0) {
        return "a key id without a key";
    }

    if (ring->nkeys == NGX_ZAPIER_KEYRING_KEYS) {
        return "too many keys";
    }

    if (ngx_zapier_keyring_find(ring, id) != NULL) {
        return "a key id that was given before";
    }

    key = &ring->keys[ring->nkeys];

    if (ngx_zapier_keyring_decode(key->key, word) != NGX_OK) {
        return "the key is not 32 bytes in base64 or hexadecimal";
    }

    for (i = 0; i < ring->nkeys; i++) {

        /* most likely a rotation that did not rotate */

        if (ngx_memcmp(ring->keys[i].key, key->key,
                       NGX_ZAPIER_KEYRING_KEY_LEN)
            == 0)
        {
            return "a key that was given before under another id";
        }
    }

    ngx_memcpy(key->id, id->data, id->len);
    key->id_len = id->len;

    ring->nkeys++;

    return NULL;
}


static ngx_int_t
ngx_zapier_keyring_decode(u_char *key, ngx_str_t *word)
{
    size_t     len;
    ngx_int_t  rc;

    u_char  buf[ngx_base64_decoded_length(
                    ngx_base64_encoded_length(NGX_ZAPIER_KEYRING_KEY_LEN))];

    if (word->len == NGX_ZAPIER_KEYRING_KEY_LEN * 2) {
        return ngx_zapier_keyring_hex(key, word);
    }

    if (word->len != ngx_base64_encoded_length(NGX_ZAPIER_KEYRING_KEY_LEN)) {
        return NGX_DECLINED;
    }

    rc = ngx_zapier_base64_decode(buf, &len, word);

    if (rc == NGX_OK) {

        if (len == NGX_ZAPIER_KEYRING_KEY_LEN) {
            ngx_memcpy(key, buf, NGX_ZAPIER_KEYRING_KEY_LEN);

        } else {
            rc = NGX_DECLINED;
        }
    }

    ngx_zapier_wipe(buf, sizeof(buf));

    return rc;
}


static ngx_int_t
ngx_zapier_keyring_hex(u_char *key, ngx_str_t *word)
{
    ngx_int_t   value;
    ngx_uint_t  i;

    for (i = 0; i < NGX_ZAPIER_KEYRING_KEY_LEN; i++) {
        value = ngx_hextoi(word->data + i * 2, 2);

        if (value == NGX_ERROR) {
            return NGX_DECLINED;
        }

        key[i] = (u_char) value;
    }

    return NGX_OK;
}


ngx_int_t
ngx_zapier_keyring_check_id(ngx_str_t *id)
{
    u_char  *p, *last;

    if (id->len == 0 || id->len > NGX_ZAPIER_KEYRING_ID_LEN) {
        return NGX_DECLINED;
    }

    last = id->data + id->len;

    for (p = id->data; p < last; p++) {

        if ((*p >= 'a' && *p <= 'z')
            || (*p >= 'A' && *p <= 'Z')
            || (*p >= '0' && *p <= '9')
            || *p == '.' || *p == '_' || *p == '-')
        {
            continue;
        }

        return NGX_DECLINED;
    }

    return NGX_OK;
}


const ngx_zapier_keyring_key_t *
ngx_zapier_keyring_find(const ngx_zapier_keyring_t *ring, ngx_str_t *id)
{
    ngx_uint_t  i;

    for (i = 0; i < ring->nkeys; i++) {

        if (ring->keys[i].id_len == id->len
            && ngx_memcmp(ring->keys[i].id, id->data, id->len) == 0)
        {
            return &ring->keys[i];
        }
    }

    return NULL;
}
