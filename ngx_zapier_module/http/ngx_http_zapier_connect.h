
/*
 * What the files of zapier_connect share: the authorization code grant of
 * RFC 6749 4.1 for a browser, with PKCE (RFC 7636).
 */


#ifndef _NGX_HTTP_ZAPIER_CONNECT_H_INCLUDED_
#define _NGX_HTTP_ZAPIER_CONNECT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_zapier_state.h>


/* base64url of 32 random bytes */
#define NGX_HTTP_ZAPIER_COOKIE_LEN      43

/* longest code that is believed */
#define NGX_HTTP_ZAPIER_CODE_LEN        4096


/* what "zapier_connect start" and "zapier_connect callback" say */
struct ngx_http_zapier_connect_conf_s {
    ngx_http_complex_value_t  *authorize;    /* NULL: this is the callback */
    ngx_http_complex_value_t  *redirect_uri;
    ngx_http_complex_value_t  *scope;        /* NULL: none is asked for */
    ngx_flag_t                 pkce;
    time_t                     expires;      /* s */

    ngx_http_complex_value_t  *success;      /* NULL: a page of ours */
    ngx_http_complex_value_t  *error;

    ngx_http_zapier_mention_t  mention;
};


/* in the order of the table in ngx_http_zapier_connect_page.c */
typedef enum {
    NGX_HTTP_ZAPIER_CONNECT_OK = 0,

    NGX_HTTP_ZAPIER_CONNECT_METHOD,
    NGX_HTTP_ZAPIER_CONNECT_NO_TENANT,
    NGX_HTTP_ZAPIER_CONNECT_BAD_TENANT,

    NGX_HTTP_ZAPIER_CONNECT_ARGS,          /* missing, twice, malformed */
    NGX_HTTP_ZAPIER_CONNECT_FORGED,
    NGX_HTTP_ZAPIER_CONNECT_EXPIRED,
    NGX_HTTP_ZAPIER_CONNECT_BROWSER,       /* another one */
    NGX_HTTP_ZAPIER_CONNECT_USED,
    NGX_HTTP_ZAPIER_CONNECT_DENIED,        /* by the user */
    NGX_HTTP_ZAPIER_CONNECT_FAILED,        /* another error= */

    NGX_HTTP_ZAPIER_CONNECT_NO_STORE,      /* the code is not used */
    NGX_HTTP_ZAPIER_CONNECT_CODE,          /* invalid_grant */
    NGX_HTTP_ZAPIER_CONNECT_REFUSED,       /* for another reason */
    NGX_HTTP_ZAPIER_CONNECT_LATER,         /* the endpoint is not there */
    NGX_HTTP_ZAPIER_CONNECT_UNKNOWN,       /* its answer is lost */
    NGX_HTTP_ZAPIER_CONNECT_LOST           /* Redis did not take the pair */
} ngx_http_zapier_connect_outcome_e;


typedef struct ngx_http_zapier_grant_s  ngx_http_zapier_grant_t;


/* one request */
typedef struct {
    ngx_http_request_t              *request;
    ngx_http_zapier_ctx_t           *ctx;
    ngx_http_zapier_connect_conf_t  *conf;

    ngx_zapier_state_t               state;  /* callback: once it is read */
    ngx_str_t                        code;

    ngx_http_zapier_grant_t         *grant;  /* under way */
} ngx_http_zapier_connect_t;


/* ngx_http_zapier_connect.c */

/* The key of this gateway's states; NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_zapier_connect_key(ngx_http_request_t *r, u_char *key);


/* ngx_http_zapier_connect_directive.c */

/*
 * NGX_OK if text is a URL without blanks and the like, and no path is given
 * in place of one unless path is set, no fragment unless fragment is.
 */
ngx_int_t ngx_http_zapier_connect_url(ngx_str_t *text, ngx_uint_t path,
    ngx_uint_t fragment);


/* ngx_http_zapier_connect_start.c */

void ngx_http_zapier_connect_start(ngx_http_zapier_connect_t *connect);


/* ngx_http_zapier_connect_callback.c */

void ngx_http_zapier_connect_callback(ngx_http_zapier_connect_t *connect);

/* Overwrites a code in what logs have of the request. */
void ngx_http_zapier_connect_hide(ngx_http_request_t *r);


/* ngx_http_zapier_connect_cookie.c */

/* The first cookie of ours that looks like one, or NGX_DECLINED. */
ngx_int_t ngx_http_zapier_connect_cookie(ngx_http_request_t *r,
    ngx_str_t *redirect_uri, ngx_str_t *value);

/* Is one of them that of the browser with this digest?  NGX_OK,
 * NGX_DECLINED, or NGX_ERROR; *found: there is one at all. */
ngx_int_t ngx_http_zapier_connect_browser(ngx_http_request_t *r,
    ngx_str_t *redirect_uri, u_char *digest, ngx_uint_t *found);

/* Sets one for so many seconds.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_zapier_connect_set_cookie(ngx_http_request_t *r,
    ngx_str_t *redirect_uri, ngx_str_t *value, time_t age);


/* ngx_http_zapier_connect_grant.c */

/*
 * Claims the state and exchanges connect->code, whatever becomes of the
 * browser.
 *
 * NGX_AGAIN  ngx_http_zapier_connect_answer() will be called, never from here
 * NGX_DONE   nothing was done, *outcome tells why
 * NGX_ERROR  no memory
 */
ngx_int_t ngx_http_zapier_grant_start(ngx_http_zapier_connect_t *connect,
    ngx_http_zapier_connect_outcome_e *outcome);

/* The browser has gone, the grant goes on. */
void ngx_http_zapier_grant_leave(ngx_http_zapier_connect_t *connect);


/* ngx_http_zapier_connect_page.c */

/* Answers with a page or a redirect and finalizes the request. */
void ngx_http_zapier_connect_answer(ngx_http_zapier_connect_t *connect,
    ngx_http_zapier_connect_outcome_e outcome);

/* Redirects the browser and finalizes the request. */
void ngx_http_zapier_connect_redirect(ngx_http_request_t *r,
    ngx_str_t *location);

/* Adds the headers that all answers have.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_zapier_connect_headers(ngx_http_request_t *r);


#endif /* _NGX_HTTP_ZAPIER_CONNECT_H_INCLUDED_ */
