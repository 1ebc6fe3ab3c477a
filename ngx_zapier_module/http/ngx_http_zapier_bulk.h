
/*
 * zapier_body action_runs: a POST of several runs.  Each is a request of
 * its own, without a client, that goes the way of a single one in the same
 * location; the answers are collected.
 */


#ifndef _NGX_HTTP_ZAPIER_BULK_H_INCLUDED_
#define _NGX_HTTP_ZAPIER_BULK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_zapier_items.h>


#define NGX_HTTP_ZAPIER_BULK_ITEMS     100
#define NGX_HTTP_ZAPIER_BULK_PARALLEL  8
#define NGX_HTTP_ZAPIER_BULK_DEADLINE  60000


/* zapier_body action_runs */
struct ngx_http_zapier_bulk_conf_s {
    ngx_uint_t                 items;
    ngx_uint_t                 parallel;
    ngx_msec_t                 deadline;   /* ms */
};


struct ngx_http_zapier_item_s {
    ngx_http_zapier_bulk_t    *bulk;
    ngx_str_t                  text;       /* inside of the caller's body */

    ngx_connection_t          *connection; /* NULL: not or no more there */
    ngx_http_zapier_ctx_t     *ctx;

    ngx_uint_t                 status;     /* 0: none yet */
    ngx_http_zapier_text_t     answer;
    ngx_str_t                  location;
    time_t                     retry_after; /* 0: none */

    unsigned                   done:1;
    unsigned                   entered:1;
    unsigned                   replayed:1; /* by its idempotency key */
    unsigned                   truncated:1;
};


struct ngx_http_zapier_bulk_s {
    ngx_http_request_t        *request;
    ngx_http_zapier_ctx_t     *ctx;
    ngx_http_zapier_bulk_conf_t  *conf;

    ngx_str_t                  key;        /* Idempotency-Key, or empty */
    ngx_str_t                  body;
    ngx_zapier_items_t         found;
    ngx_http_zapier_item_t    *items;
    ngx_uint_t                 nitems;
    ngx_uint_t                 next;       /* the first one not begun */
    ngx_uint_t                 busy;       /* under way */

    ngx_msec_t                 since;      /* ngx_current_msec */
    ngx_msec_t                 time;       /* ms in which items may wait */
    ngx_event_t                event;      /* something has ended */
    ngx_event_t                deadline;

    /* with what the items that are not begun are answered */
    ngx_uint_t                 status;     /* 0: they will be */
    ngx_str_t                  answer;
    time_t                     retry_after;

    unsigned                   gone:1;     /* the client */
    unsigned                   finished:1;
};


/* ngx_http_zapier_bulk.c */

/* Is r, with ctx, a request of several runs? */
#define ngx_http_zapier_is_bulk(r, zlcf, ctx)                                \
    (ngx_zapier_unlikely((zlcf)->bulk != NULL)                               \
     && (r)->method == NGX_HTTP_POST                                         \
     && (ctx)->item == NULL && (ctx)->poll == NULL)

/* For the start of one; as ngx_http_zapier_idem_start(). */
ngx_int_t ngx_http_zapier_bulk_begin(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* Its body is there.  NGX_OK, NGX_DECLINED: it is at fault; NGX_ERROR. */
ngx_int_t ngx_http_zapier_bulk_split(ngx_http_zapier_ctx_t *ctx,
    ngx_str_t *body);

/* Are all items at fault? */
ngx_uint_t ngx_http_zapier_bulk_idle(ngx_http_zapier_bulk_t *bulk);

/* For the phase handler: starts the items; or all are done. */
ngx_int_t ngx_http_zapier_bulk_start(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
ngx_int_t ngx_http_zapier_bulk_answer(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* Items that have not begun are answered with this. */
void ngx_http_zapier_bulk_close(ngx_http_zapier_bulk_t *bulk,
    ngx_uint_t status, ngx_str_t *answer, time_t retry_after);

/* The request ends; also safe without items. */
void ngx_http_zapier_bulk_cancel(ngx_http_zapier_ctx_t *ctx);

/* ms that an item may still wait for something; msec: what it would. */
ngx_msec_t ngx_http_zapier_bulk_left(ngx_http_zapier_ctx_t *ctx,
    ngx_msec_t msec);


/* ngx_http_zapier_bulk_item.c */

void ngx_http_zapier_item_start(ngx_http_zapier_item_t *item);

/* For the phase handler and the filters, with a request that is an item. */
ngx_int_t ngx_http_zapier_item_enter(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
ngx_int_t ngx_http_zapier_item_header(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
void ngx_http_zapier_item_body(ngx_http_zapier_ctx_t *ctx, ngx_chain_t *in);

/* Its answer is our own. */
void ngx_http_zapier_item_refuse(ngx_http_zapier_item_t *item,
    ngx_uint_t status, const char *code, const char *detail);


/* ngx_http_zapier_bulk_answer.c */

/* Faults of an item are told as those of the caller's document. */
ngx_int_t ngx_http_zapier_item_place(ngx_http_zapier_item_t *item,
    ngx_pool_t *pool, ngx_http_zapier_fault_t *faults, ngx_uint_t n);

/* One error as a text.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_zapier_bulk_text(ngx_pool_t *pool, ngx_uint_t status,
    const char *code, const char *detail, time_t retry_after,
    ngx_str_t *text);

/* Answers the request with what is known of all items.  NGX_DONE, or a
 * status to finalize it with. */
ngx_int_t ngx_http_zapier_bulk_send(ngx_http_request_t *r,
    ngx_http_zapier_bulk_t *bulk);


#endif /* _NGX_HTTP_ZAPIER_BULK_H_INCLUDED_ */
