
/*
 * What the files of the JSON scanner share.
 */


#ifndef _NGX_ZAPIER_JSON_PRIVATE_H_INCLUDED_
#define _NGX_ZAPIER_JSON_PRIVATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_json.h>


/* json->state: what may come next */

enum {
    sw_value = 0,
    sw_first_element,
    sw_key,
    sw_first_key,
    sw_colon,
    sw_next_element,
    sw_next_member,
    sw_end
};


/* json->token: what is not complete; the state is that after it */

enum {
    tk_none = 0,
    tk_string,
    tk_number,
    tk_literal
};


/* json->utf8 between two characters */

#define NGX_ZAPIER_JSON_UTF8_OK  6


/*
 * Passes over what is too deep to be reported, whole tokens at a time, and
 * stops at what needs care: the end of the piece, a token that has to be
 * looked at byte by byte (json->token), a fault.
 */
u_char *ngx_zapier_json_skip(ngx_zapier_json_t *json, u_char *p,
    u_char *last);

/* Begins a token at p that is not a string whose key is to be captured. */
void ngx_zapier_json_token_start(ngx_zapier_json_t *json, u_char ch);

/*
 * Goes on with json->token.
 *
 * NGX_OK        it is complete, or *pos == last and there is more to come
 * NGX_AGAIN     *pos is the closing quote of a string to be reported
 * NGX_DECLINED  *pos is wrong
 */
ngx_int_t ngx_zapier_json_token(ngx_zapier_json_t *json, u_char **pos,
    u_char *last);

/*
 * From a character of a string to what ends the string or needs care: the
 * end of the piece, \uXXXX, a fault.  Always to the beginning of a
 * character.
 */
u_char *ngx_zapier_json_run(u_char *p, u_char *last);

/*
 * For processors that have it: to where at most 128 bytes of plain ASCII
 * follow, and as far as ngx_zapier_json_run() or less.
 */
u_char *ngx_zapier_json_span_avx2(u_char *p, u_char *last);
u_char *ngx_zapier_json_run_avx2(u_char *p, u_char *last);

/* Length of the well-formed UTF-8 (RFC 3629) of a character at p, or 0. */
size_t ngx_zapier_json_sequence(u_char *p, size_t len);

/* What stands for the character behind a backslash; 0: u, or a fault. */
extern u_char  ngx_zapier_json_escapes[256];

/* Whether a number that got so far may end. */
ngx_int_t ngx_zapier_json_number_complete(ngx_zapier_json_t *json);


#endif /* _NGX_ZAPIER_JSON_PRIVATE_H_INCLUDED_ */
