
/*
 * Callbacks about runs: what one has brought is kept like the answer to a
 * poll.
 *
 * A callback has a name that nobody can guess.  It belongs to the run that it
 * is first used for, and so does the signed token that came with it: who has
 * seen either can do nothing to other runs.
 */


#ifndef _NGX_ZAPIER_RUN_CALLBACK_H_INCLUDED_
#define _NGX_ZAPIER_RUN_CALLBACK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_run.h>
#include <ngx_zapier_redis_script.h>


/* ms that a callback may take */
#define NGX_ZAPIER_CALLBACK_TIME   (24 * 3600 * 1000)

/* ms that a token is remembered: longer than it is valid */
#define NGX_ZAPIER_CALLBACK_TOKEN  (2 * 3600 * 1000)


typedef struct ngx_zapier_run_callback_s  ngx_zapier_run_callback_t;

/* One callback; zeroed before use, memory is the caller's. */
struct ngx_zapier_run_callback_s {
    ngx_zapier_runs_t         *runs;
    ngx_str_t                  tenant;
    ngx_str_t                  id;         /* of the run */
    ngx_str_t                  name;       /* of the callback */
    ngx_str_t                  digest;     /* of the token, printable */
    ngx_str_t                  body;       /* the result */
    ngx_msec_t                 keep;       /* ms that it is kept */
    ngx_pool_t                *pool;
    void                     (*handler)(ngx_zapier_run_callback_t *callback);
    void                      *data;

    /*
     * for the handler: NGX_OK, or NGX_DECLINED: name or token belong to
     * another run, or NGX_ERROR: it is not known, Redis has not answered
     */
    ngx_int_t                  rc;

    /* private */
    ngx_zapier_redis_eval_t    eval;
    ngx_uint_t                 busy;
};


/* NGX_AGAIN: the handler will be called, never from here; NGX_ERROR. */
ngx_int_t ngx_zapier_run_callback(ngx_zapier_run_callback_t *callback);

/* The handler will not be called.  Safe at any time. */
void ngx_zapier_run_callback_cancel(ngx_zapier_run_callback_t *callback);


#endif /* _NGX_ZAPIER_RUN_CALLBACK_H_INCLUDED_ */
