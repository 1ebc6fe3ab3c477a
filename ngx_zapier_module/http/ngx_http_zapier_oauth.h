
/*
 * Calls of the token endpoint: what the other hooks of the module do for
 * the subrequests that make them.  The call itself is declared in
 * ngx_http_zapier_module.h.
 */


#ifndef _NGX_HTTP_ZAPIER_OAUTH_H_INCLUDED_
#define _NGX_HTTP_ZAPIER_OAUTH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_zapier_oauth.h>


/*
 * For the phase handler, with any subrequest: its content handler is about
 * to be called.
 */
void ngx_http_zapier_oauth_enter(ngx_http_request_t *r);

/*
 * For the header filter, with any subrequest: keeps the endpoint's answer
 * in memory of the call.  NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_zapier_oauth_header(ngx_http_request_t *r);

/* The call's Authorization, while its request is made; NULL: none. */
ngx_str_t *ngx_http_zapier_oauth_authorization(ngx_http_request_t *r);

/* Ends what is under way without calling handlers; in a worker. */
void ngx_http_zapier_oauth_exit_worker(void);


/* private */

typedef struct {
    ngx_queue_t                  queue;       /* of the worker's calls */
    ngx_zapier_oauth_call_t     *call;
    ngx_str_t                   *uri;
    ngx_pool_t                  *pool;
    ngx_event_t                  event;       /* the start, then the end */

    ngx_connection_t            *connection;  /* NULL: not or no more there */
    ngx_http_request_t          *subrequest;
    ngx_http_post_subrequest_t   post;
    ngx_http_handler_pt          content;     /* the location's own */
    ngx_int_t                    rc;          /* of the subrequest */

    ngx_buf_t                    answer;
    ngx_chain_t                  out;

    unsigned                     begun:1;
    unsigned                     answered:1;
} ngx_http_zapier_exchange_t;

/* The handler of the subrequest's end. */
ngx_int_t ngx_http_zapier_oauth_answered(ngx_http_request_t *r, void *data,
    ngx_int_t rc);

/* Fills the call from the subrequest, whose memory is about to go. */
void ngx_http_zapier_oauth_result(ngx_http_zapier_exchange_t *x);

/* Zeroes what the upstream module has had in its buffers. */
void ngx_http_zapier_oauth_wipe(ngx_http_upstream_t *u);


#endif /* _NGX_HTTP_ZAPIER_OAUTH_H_INCLUDED_ */
