
/*
 * Requests to an upstream that have a secret in them.
 */


#ifndef _NGX_HTTP_ZAPIER_SECRET_H_INCLUDED_
#define _NGX_HTTP_ZAPIER_SECRET_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/*
 * r's upstream sends a secret: what it puts into its connection's buffers is
 * wiped when it is sent, and what comes back as soon as it is read.  To be
 * called while the request is made, or after that; r->upstream may be NULL.
 */
void ngx_http_zapier_secret(ngx_http_request_t *r);


#endif /* _NGX_HTTP_ZAPIER_SECRET_H_INCLUDED_ */
