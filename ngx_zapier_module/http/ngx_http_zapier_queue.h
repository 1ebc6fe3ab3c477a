
/*
 * zapier_queue: requests that wait for quota.
 */


#ifndef _NGX_HTTP_ZAPIER_QUEUE_H_INCLUDED_
#define _NGX_HTTP_ZAPIER_QUEUE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_zapier_limit_queue.h>


#define NGX_HTTP_ZAPIER_QUEUE_ROOM  1000


/* shared by the locations that inherit it, for the sake of its room */
struct ngx_http_zapier_queue_conf_s {
    ngx_msec_t                 time;       /* ms */
    ngx_zapier_limit_room_t    room;
    ngx_http_complex_value_t  *weight;     /* NULL: 1 */
};


/* Claims ctx->claim, waiting if need be; as ngx_zapier_limit_queue(), or
 * NGX_ERROR: no memory. */
ngx_int_t ngx_http_zapier_queue_start(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* The queue that the request would wait in; NULL: none. */
ngx_http_zapier_queue_conf_t *ngx_http_zapier_queue_of(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* ms that the request may wait, 0: not at all. */
ngx_msec_t ngx_http_zapier_queue_time(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* Adds Preference-Applied to the answer.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_zapier_queue_headers(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);


#endif /* _NGX_HTTP_ZAPIER_QUEUE_H_INCLUDED_ */
