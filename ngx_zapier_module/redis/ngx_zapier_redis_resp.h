
/*
 * RESP2: commands to bytes and bytes to replies, by hiredis.  Knows no
 * sockets and no events.
 *
 * Replies may hold tokens, so every byte that passed through here is zeroed
 * before its memory is given back; but what follows a breach of the protocol
 * is given back by hiredis.
 */


#ifndef _NGX_ZAPIER_REDIS_RESP_H_INCLUDED_
#define _NGX_ZAPIER_REDIS_RESP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis.h>


/* what a server may make us keep in memory for one reply */
typedef struct {
    ngx_uint_t                  depth;     /* arrays in arrays */
    ngx_uint_t                  nelts;     /* of one array */
    ngx_uint_t                  total;     /* elements of all arrays */
    size_t                      string;    /* bytes of one string */
    size_t                      bytes;     /* of the whole reply */
} ngx_zapier_redis_caps_t;


typedef struct ngx_zapier_redis_reader_s  ngx_zapier_redis_reader_t;


/*
 * A command of argc binary-safe arguments as RESP.  The text is given back
 * by ngx_zapier_redis_format_free().  NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_zapier_redis_format(ngx_uint_t argc, ngx_str_t *argv,
    ngx_str_t *text, ngx_log_t *log);
void ngx_zapier_redis_format_free(ngx_str_t *text);

/* The caps and the log must outlive the reader.  NULL: no memory. */
ngx_zapier_redis_reader_t *ngx_zapier_redis_reader_create(
    const ngx_zapier_redis_caps_t *caps, ngx_log_t *log);
void ngx_zapier_redis_reader_free(ngx_zapier_redis_reader_t *reader);

/*
 * Takes bytes as they come; ngx_zapier_redis_reader_reply() must be called
 * until it returns NGX_AGAIN before more are fed.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_zapier_redis_reader_feed(ngx_zapier_redis_reader_t *reader,
    u_char *buf, size_t len);

/*
 * NGX_OK     *reply belongs to the caller
 * NGX_AGAIN  more bytes are needed
 * NGX_ERROR  not RESP2, beyond the caps or no memory, see _error(): the
 *            reader is of no more use
 */
ngx_int_t ngx_zapier_redis_reader_reply(ngx_zapier_redis_reader_t *reader,
    ngx_zapier_redis_reply_t **reply);

/* Why it failed; text of ours or of hiredis, never of the server. */
const char *ngx_zapier_redis_reader_error(ngx_zapier_redis_reader_t *reader);

/* Frees a reply and all in it; NULL is allowed. */
void ngx_zapier_redis_reply_free(ngx_zapier_redis_reply_t *reply);

/* Does an error reply (or a status) begin with this word? */
ngx_uint_t ngx_zapier_redis_reply_is(ngx_zapier_redis_reply_t *reply,
    ngx_zapier_redis_type_e type, const char *word);

/* Does an error reply say that the server cannot serve anybody? */
ngx_uint_t ngx_zapier_redis_refused(ngx_zapier_redis_reply_t *reply);

/*
 * The text of a reply as it may be logged: printable, short, without what
 * the server quotes of our arguments.  Returns its length.
 */
#define NGX_ZAPIER_REDIS_TEXT_LEN  128

size_t ngx_zapier_redis_reply_text(ngx_zapier_redis_reply_t *reply,
    u_char *buf);


#endif /* _NGX_ZAPIER_REDIS_RESP_H_INCLUDED_ */
