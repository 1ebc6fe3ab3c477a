
/*
 * Token records as they lie in Redis: checked field by field and made into
 * the value of an Authorization header.  What is not certainly a token is
 * refused here, so nothing else ever reaches a header.
 */


#ifndef _NGX_ZAPIER_RECORD_H_INCLUDED_
#define _NGX_ZAPIER_RECORD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* longest values that are accepted, bytes */
#define NGX_ZAPIER_RECORD_TOKEN_LEN   2048
#define NGX_ZAPIER_RECORD_SCOPE_LEN   1024
#define NGX_ZAPIER_RECORD_TYPE_LEN    32

#define NGX_ZAPIER_RECORD_AUTHORIZATION_LEN                                  \
    (NGX_ZAPIER_RECORD_TYPE_LEN + 1 + NGX_ZAPIER_RECORD_TOKEN_LEN)


/* fields as read, data NULL: absent; an empty one is as good as absent */
typedef struct {
    ngx_str_t      access_token;
    ngx_str_t      expires_at;
    ngx_str_t      scope;
    ngx_str_t      token_type;

    /* set by ngx_zapier_record_check() */
    int64_t        expires;    /* epoch s, 0: never */
    const char    *fault;      /* name of the field that is wrong */
} ngx_zapier_record_t;


/*
 * NGX_OK        token_type is the scheme to write, scope.data NULL if none
 *               is recorded, expires is set (and may be in the past)
 * NGX_DECLINED  there is no token
 * NGX_ERROR     the record cannot be understood, fault says where
 */
ngx_int_t ngx_zapier_record_check(ngx_zapier_record_t *record);

/*
 * Writes the header value of a checked record to buf, at most
 * NGX_ZAPIER_RECORD_AUTHORIZATION_LEN bytes; returns the end.
 */
u_char *ngx_zapier_record_authorization(u_char *buf,
    ngx_zapier_record_t *record);

/* NGX_OK if the space separated scope holds name, else NGX_DECLINED. */
ngx_int_t ngx_zapier_record_has_scope(ngx_str_t *scope, ngx_str_t *name);


#endif /* _NGX_ZAPIER_RECORD_H_INCLUDED_ */
