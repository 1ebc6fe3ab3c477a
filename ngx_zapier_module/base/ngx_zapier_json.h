
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


/*
 * Writes text as a JSON string with its quotes to dst; returns the end.
 * With dst NULL nothing is written and the length is returned as a
 * pointer, as ngx_escape_uri() counts.  Bytes that are not UTF-8 become
 * U+FFFD, so the result is always valid.
 */
uintptr_t ngx_zapier_json_quote(u_char *dst, u_char *text, size_t len);

/* NGX_OK if text is well-formed UTF-8 (RFC 3629), else NGX_DECLINED. */
ngx_int_t ngx_zapier_json_utf8(u_char *text, size_t len);


#endif /* _NGX_ZAPIER_JSON_H_INCLUDED_ */
