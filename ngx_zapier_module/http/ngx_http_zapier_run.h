
/*
 * zapier_wait: a caller starts a run and is answered with what came of it.
 *
 * What is known of runs, and who asks the upstream for them and when, is
 * the matter of run/.
 */


#ifndef _NGX_HTTP_ZAPIER_RUN_H_INCLUDED_
#define _NGX_HTTP_ZAPIER_RUN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_zapier_run.h>


/* bytes of a result, and ms that it is kept, at most */
#define NGX_HTTP_ZAPIER_WAIT_MAX   (1024 * 1024 - 1024)
#define NGX_HTTP_ZAPIER_WAIT_KEEP  (7 * 24 * 3600 * 1000)


/* zapier_wait */
struct ngx_http_zapier_wait_conf_s {
    ngx_msec_t                 time;       /* ms */
    ngx_msec_t                 interval;
    ngx_msec_t                 keep;
    size_t                     max;        /* bytes of a result */
};


/* a request for a run, or about one */
struct ngx_http_zapier_run_s {
    ngx_zapier_run_wait_t      wait;
    ngx_str_t                  id;
    ngx_str_t                  callback;   /* name of its callback, or empty */
    ngx_msec_t                 since;      /* ngx_current_msec */
    ngx_msec_t                 time;       /* ms that it may take */
    unsigned                   post:1;
    unsigned                   async:1;    /* Prefer: respond-async */
    unsigned                   replayed:1; /* it was started before */
};


/* ngx_http_zapier_run.c */

/*
 * For a location with zapier_wait, before anything else is done.
 *
 * NGX_DECLINED  it is to be passed on; if ctx->run is set, by the runner
 * NGX_AGAIN     phases are run again when there is an answer
 * other         status to finalize the request with, or NGX_DONE
 */
ngx_int_t ngx_http_zapier_run_start(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* For the header filter, with a call: is its answer to be looked at, or
 * stored, before the client has it? */
ngx_uint_t ngx_http_zapier_run_capture(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* The call is over and its answer kept.  As ngx_http_zapier_run_start(),
 * but never NGX_DECLINED. */
ngx_int_t ngx_http_zapier_run_called(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* The same for an answer that was stored before, with this body. */
ngx_int_t ngx_http_zapier_run_replay(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_str_t *body);

void ngx_http_zapier_run_cancel(ngx_http_zapier_ctx_t *ctx);

/* ms that are left for the request. */
ngx_msec_t ngx_http_zapier_run_left(ngx_http_zapier_run_t *run);


/* ngx_http_zapier_run_answer.c: as ngx_http_zapier_run_start(); it may be
 * NGX_DECLINED for what only the upstream can answer. */

ngx_int_t ngx_http_zapier_run_answer(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* Answers with a text as it is; NGX_DONE. */
ngx_int_t ngx_http_zapier_run_send(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_uint_t status, ngx_str_t *type,
    ngx_str_t *body);

void ngx_http_zapier_text_init(ngx_http_zapier_text_t *text,
    ngx_pool_t *pool, size_t max, off_t expected);

/* Takes the chain's bytes. */
void ngx_http_zapier_text_add(ngx_http_zapier_text_t *text, ngx_chain_t *in);


/* ngx_http_zapier_poll.c, ngx_http_zapier_poll_origin.c */

/* What polls need to know of r; for ngx_zapier_run_wait_t.origin. */
void *ngx_http_zapier_poll_origin(ngx_zapier_run_wait_t *wait,
    ngx_pool_t *pool);

/* The location, whose quota and queue a poll has, and the ms that it may
 * wait there. */
ngx_http_zapier_loc_conf_t *ngx_http_zapier_poll_counted(
    ngx_http_zapier_ctx_t *ctx);
ngx_msec_t ngx_http_zapier_poll_patience(ngx_http_zapier_ctx_t *ctx);

/* ngx_zapier_runs_t.call */
ngx_int_t ngx_http_zapier_poll_call(ngx_zapier_run_poll_t *poll);

/* For the phase handler and the filters, with a request that is a poll. */
ngx_int_t ngx_http_zapier_poll_enter(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
ngx_int_t ngx_http_zapier_poll_header(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
void ngx_http_zapier_poll_body(ngx_http_zapier_ctx_t *ctx, ngx_chain_t *in);

/* Ends what is under way without calling handlers; in a worker. */
void ngx_http_zapier_poll_exit_worker(void);


#endif /* _NGX_HTTP_ZAPIER_RUN_H_INCLUDED_ */
