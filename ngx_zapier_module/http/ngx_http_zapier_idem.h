
/*
 * zapier_idempotency: a call that has an Idempotency-Key is made once.
 */


#ifndef _NGX_HTTP_ZAPIER_IDEM_H_INCLUDED_
#define _NGX_HTTP_ZAPIER_IDEM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_zapier_run_idem.h>


/* zapier_idempotency */
struct ngx_http_zapier_idem_conf_s {
    ngx_msec_t                 ttl;        /* ms */
    ngx_uint_t                 required;
    ngx_uint_t                 replicas;
};


typedef enum {
    NGX_HTTP_ZAPIER_IDEM_LOOK = 0, /* before a token and quota are spent */
    NGX_HTTP_ZAPIER_IDEM_BEGIN,    /* the call is about to be sent */
    NGX_HTTP_ZAPIER_IDEM_STORE     /* its answer is there */
} ngx_http_zapier_idem_stage_e;


struct ngx_http_zapier_idem_s {
    ngx_zapier_idem_t              op;
    ngx_sha1_t                     sha1;   /* of the call so far */
    ngx_http_zapier_idem_stage_e   stage;
    ngx_event_t                    event;  /* see _shelter() */
    ngx_uint_t                     status; /* of the upstream, 0: none */
    unsigned                       hashed:1;
    unsigned                       looked:1;
    unsigned                       begun:1;
    unsigned                       stored:1;
    unsigned                       busy:1; /* the record says so */
    unsigned                       refused:1;  /* it did nothing */
};


/* For the start of a request: NGX_OK, or a status to finalize r with, or
 * NGX_DONE. */
ngx_int_t ngx_http_zapier_idem_start(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* The caller's key, empty: he has none; as above. */
ngx_int_t ngx_http_zapier_idem_find(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_str_t *key);

/* For the request body filter: takes the bytes into account. */
void ngx_http_zapier_idem_feed(ngx_http_zapier_ctx_t *ctx, ngx_chain_t *in);

/*
 * The stages; each is done once.
 *
 * NGX_OK     go on
 * NGX_AGAIN  phases are run again, with IDEM_DONE
 * other      as above
 */
ngx_int_t ngx_http_zapier_idem_look(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
ngx_int_t ngx_http_zapier_idem_begin(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
ngx_int_t ngx_http_zapier_idem_store(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_str_t *body, ngx_msec_t busy);

/* With IDEM_DONE: NGX_OK, go on after idem->stage; other: as above. */
ngx_int_t ngx_http_zapier_idem_result(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* The call goes on although its client may go away. */
void ngx_http_zapier_idem_shelter(ngx_http_zapier_ctx_t *ctx);

/* For the header filter, with a call: what its answer means. */
void ngx_http_zapier_idem_observe(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* The end of the request: the record says what is known. */
void ngx_http_zapier_idem_end(ngx_http_zapier_ctx_t *ctx);


#endif /* _NGX_HTTP_ZAPIER_IDEM_H_INCLUDED_ */
