
/*
 * Incremental JSON validator (RFC 8259 to the letter, UTF-8 checked).
 *
 * It builds nothing.  Text is fed in pieces of any size, as the request
 * body arrives; the caller learns where the members of the outermost
 * objects begin and end, and everything deeper is only validated.
 */


#ifndef _NGX_ZAPIER_JSON_H_INCLUDED_
#define _NGX_ZAPIER_JSON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* containers open at once, the root included */
#define NGX_ZAPIER_JSON_DEPTH    128

/* decoded bytes of a reported key that are kept, the rest is dropped */
#define NGX_ZAPIER_JSON_KEY_LEN  256


typedef enum {
    NGX_ZAPIER_JSON_NONE = 0,
    NGX_ZAPIER_JSON_OBJECT,
    NGX_ZAPIER_JSON_ARRAY,
    NGX_ZAPIER_JSON_STRING,
    NGX_ZAPIER_JSON_NUMBER,
    NGX_ZAPIER_JSON_TRUE,
    NGX_ZAPIER_JSON_FALSE,
    NGX_ZAPIER_JSON_NULL
} ngx_zapier_json_type_e;


typedef enum {
    NGX_ZAPIER_JSON_VALUE = 1,   /* before the first byte of a value */
    NGX_ZAPIER_JSON_KEY,         /* before the closing quote of a key */
    NGX_ZAPIER_JSON_QUOTE,       /* ... of a string value */
    NGX_ZAPIER_JSON_CLOSE        /* before the bracket ending a container */
} ngx_zapier_json_event_e;


typedef struct {

    /* set by the caller at any time: events of this depth and above */
    ngx_uint_t                level;

    /* set by the scanner */
    off_t                     offset;     /* of *pos in the whole text */
    ngx_uint_t                depth;      /* containers open at *pos */
    ngx_zapier_json_event_e   event;
    ngx_zapier_json_type_e    type;       /* of the value to come */

    off_t                     key_offset; /* of its opening quote */
    size_t                    key_len;    /* > KEY_LEN: key[] is cut */

    /* private */
    ngx_uint_t                state;
    ngx_uint_t                token;
    ngx_uint_t                sub;
    ngx_uint_t                utf8;
    ngx_uint_t                code;
    ngx_uint_t                surrogate;
    const char               *literal;
    u_char                   *bad;
    unsigned                  capture:1;
    unsigned                  reported:1;

    /* the last reported key, escapes resolved, a lone surrogate U+FFFD */
    u_char                    key[NGX_ZAPIER_JSON_KEY_LEN];

    /* private: the state after each open container */
    u_char                    stack[NGX_ZAPIER_JSON_DEPTH + 1];
} ngx_zapier_json_t;


/*
 * Starts a text.  Members of the containers up to "level" are reported:
 * 0 nothing but the root value, 1 what stands in the root object, ...
 */
void ngx_zapier_json_init(ngx_zapier_json_t *json, ngx_uint_t level);

/*
 * Validates the bytes from *pos to last.
 *
 * NGX_OK        all consumed, *pos == last
 * NGX_AGAIN     json->event is about to happen at the byte *pos, which is
 *               not consumed: call again.  The depth is that of the
 *               container in which the value or key stands, 0 for the
 *               root; at CLOSE, that of the container itself
 * NGX_DECLINED  *pos is the first byte that no JSON text can have there
 */
ngx_int_t ngx_zapier_json_feed(ngx_zapier_json_t *json, u_char **pos,
    u_char *last);

/* NGX_OK if the text may end here, else NGX_DECLINED. */
ngx_int_t ngx_zapier_json_finish(ngx_zapier_json_t *json);

/*
 * Writes text as a JSON string with its quotes to dst; returns the end.
 * With dst NULL nothing is written and the length is returned as a
 * pointer, as ngx_escape_uri() counts.  Bytes that are not UTF-8 become
 * U+FFFD, so the result is always valid.
 */
uintptr_t ngx_zapier_json_quote(u_char *dst, u_char *text, size_t len);

/* Writes "/" and key as a token of a JSON pointer (RFC 6901), at most
 * 1 + 2 * len bytes; returns the end. */
u_char *ngx_zapier_json_pointer(u_char *dst, u_char *key, size_t len);

/* NGX_OK if text is well-formed UTF-8 (RFC 3629), else NGX_DECLINED. */
ngx_int_t ngx_zapier_json_utf8(u_char *text, size_t len);


#endif /* _NGX_ZAPIER_JSON_H_INCLUDED_ */
