
/*
 * Requests without a client, for what the gateway asks by itself: it must
 * not end because somebody goes away.  Their client is a socket that never
 * says anything and never closes.
 */


#ifndef _NGX_HTTP_ZAPIER_ALONE_H_INCLUDED_
#define _NGX_HTTP_ZAPIER_ALONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* origin is the server that the request is in; NULL: it cannot be made. */
ngx_connection_t *ngx_http_zapier_alone_connection(
    ngx_http_conf_ctx_t *origin);

/*
 * The request of such a connection.  Whatever ends it, closed(data) is
 * called while its memory is still there.  NULL: no memory.
 */
ngx_http_request_t *ngx_http_zapier_alone_request(ngx_connection_t *c,
    ngx_pool_cleanup_pt closed, void *data);

/* Adds a header; names[1] is the name in lower case.  NULL: no memory. */
ngx_table_elt_t *ngx_http_zapier_alone_header(ngx_http_request_t *r,
    ngx_str_t *names, ngx_str_t *value);

/* Ends it now. */
void ngx_http_zapier_alone_abort(ngx_connection_t *c);


#endif /* _NGX_HTTP_ZAPIER_ALONE_H_INCLUDED_ */
