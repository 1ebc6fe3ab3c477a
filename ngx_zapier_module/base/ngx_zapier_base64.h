
/*
 * Base64 that is sure to be what an encoder wrote.
 *
 * ngx_decode_base64() forgives missing padding, what follows it, and bits
 * that do not count: several texts would stand for the same bytes.
 */


#ifndef _NGX_ZAPIER_BASE64_H_INCLUDED_
#define _NGX_ZAPIER_BASE64_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * RFC 4648 section 4, padding included.  dst must hold
 * ngx_base64_decoded_length(src->len) bytes; *len is set to what was
 * written.
 *
 * NGX_OK, or NGX_DECLINED: dst holds nothing of use.
 */
ngx_int_t ngx_zapier_base64_decode(u_char *dst, size_t *len,
    ngx_str_t *src);

/*
 * The same for section 5, with "-" and "_" and without padding, as in
 * JSON Web Tokens.
 */
ngx_int_t ngx_zapier_base64url_decode(u_char *dst, size_t *len,
    ngx_str_t *src);


#endif /* _NGX_ZAPIER_BASE64_H_INCLUDED_ */
