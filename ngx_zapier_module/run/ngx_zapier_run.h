
/*
 * Runs: what has become of them, asked once for all who want to know.
 *
 * A finished run never changes: it is kept in shared memory and in Redis,
 * and nobody asks the upstream for it again.  For a run that is pending
 * there is one flight in a worker, which all who wait for it share; of the
 * flights of a node, and of the fleet, one at a time asks the upstream, and
 * the less often the longer it takes.  It ends with the last who waits.
 */


#ifndef _NGX_ZAPIER_RUN_H_INCLUDED_
#define _NGX_ZAPIER_RUN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_zapier_shm.h>
#include <ngx_zapier_redis.h>


#define NGX_ZAPIER_RUN_ID_LEN  128


typedef struct ngx_zapier_runs_s      ngx_zapier_runs_t;
typedef struct ngx_zapier_run_poll_s  ngx_zapier_run_poll_t;
typedef struct ngx_zapier_run_wait_s  ngx_zapier_run_wait_t;
typedef struct ngx_zapier_run_news_s  ngx_zapier_run_news_t;


typedef enum {
    NGX_ZAPIER_RUN_PENDING = 0,
    NGX_ZAPIER_RUN_FINISHED,
    NGX_ZAPIER_RUN_FAILED          /* it could not be found out */
} ngx_zapier_run_state_e;


/* one GET of a run; memory belongs to who starts it */
struct ngx_zapier_run_poll_s {
    ngx_str_t                  tenant;
    ngx_str_t                  id;
    ngx_str_t                  args;       /* instead of an id, if it is not
                                              a run that is asked for */
    void                      *origin;     /* of ngx_zapier_run_wait_t */
    ngx_pool_t                *pool;       /* for the body */
    size_t                     max;        /* bytes of it */
    ngx_uint_t                 urgent;     /* a caller's own GET: is not put
                                              off for the sake of new runs */
    void                     (*handler)(ngx_zapier_run_poll_t *poll);
    void                      *data;

    /* for the handler */
    ngx_uint_t                 status;     /* 0: no answer at all */
    ngx_uint_t                 own;        /* of the gateway: nothing was
                                              sent */
    ngx_uint_t                 too_long;
    ngx_str_t                  body;       /* data NULL: nginx's own page */
    ngx_str_t                  type;       /* of the body */
    ngx_str_t                  code;       /* of an own answer, static */
    time_t                     retry_after; /* s, 0: not said */
};


/* one per http block */
struct ngx_zapier_runs_s {
    ngx_zapier_shm_t          *shm;
    ngx_zapier_redis_t        *redis;
    ngx_str_t                  prefix;     /* of its keys */

    /*
     * NGX_AGAIN     the handler will be called once, never from here
     * NGX_DECLINED  not now, new runs have more right to what is left of
     *               the quota
     * NGX_ERROR     it cannot be done
     */
    ngx_int_t                (*call)(ngx_zapier_run_poll_t *poll);

    /* private */
    ngx_zapier_shm_table_t     table;
    ngx_zapier_shm_table_t     lookups;
    void                      *worker;
    ngx_zapier_run_news_t     *news;       /* NULL: none are heard */
};


/* Somebody who wants to know; zeroed before use, memory is the caller's. */
struct ngx_zapier_run_wait_s {
    ngx_zapier_runs_t         *runs;
    ngx_str_t                  tenant;
    ngx_str_t                  id;
    ngx_msec_t                 time;       /* ms it may take until the run
                                              is finished; 0: what the next
                                              poll brings will do */
    ngx_msec_t                 interval;   /* ms between polls, at least */
    ngx_msec_t                 keep;       /* ms that a result is kept */
    size_t                     max;        /* bytes of it */
    ngx_uint_t                 started;    /* just now, nobody can know */
    ngx_str_t                  callback;   /* name of the one that will tell,
                                              empty: none */
    ngx_msec_t                 patience;   /* ms between polls all the same */
    ngx_pool_t                *pool;       /* for the result */

    /* what polls need to know, from the pool given; NULL: no memory */
    void                    *(*origin)(ngx_zapier_run_wait_t *wait,
                                       ngx_pool_t *pool);
    void                     (*handler)(ngx_zapier_run_wait_t *wait);
    void                      *data;

    /* for the handler */
    ngx_zapier_run_state_e     state;
    ngx_uint_t                 polled;     /* not from the ledger */
    ngx_uint_t                 status;     /* of HTTP, if FAILED; 0: none */
    ngx_uint_t                 own;
    ngx_uint_t                 too_long;   /* FINISHED without a body */
    ngx_str_t                  body;       /* empty: nothing is known yet */
    ngx_str_t                  type;
    ngx_str_t                  code;
    time_t                     retry_after;

    /* private */
    void                      *flight;
    ngx_queue_t                queue;
    ngx_event_t                event;
};


/* Adds the table to the zone; at configuration time. */
ngx_int_t ngx_zapier_runs_init(ngx_conf_t *cf, ngx_zapier_runs_t *runs);

/* In a worker.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_zapier_runs_init_worker(ngx_zapier_runs_t *runs,
    ngx_cycle_t *cycle);
void ngx_zapier_runs_exit_worker(ngx_zapier_runs_t *runs);

/* Can text be the name of a run?  NGX_OK or NGX_DECLINED. */
ngx_int_t ngx_zapier_run_id(ngx_str_t *text);

/*
 * NGX_OK     done, wait->state and the rest tell
 * NGX_AGAIN  the handler will be called, never from here
 * NGX_ERROR  no memory
 */
ngx_int_t ngx_zapier_run_wait(ngx_zapier_run_wait_t *wait);

/* The handler will not be called.  Safe at any time. */
void ngx_zapier_run_cancel(ngx_zapier_run_wait_t *wait);


/* ngx_zapier_run_answer.c: what the upstream says of a run */

typedef struct {
    ngx_zapier_run_state_e     state;      /* not FAILED */
    ngx_str_t                  id;         /* as JSON text without quotes */
    ngx_str_t                  status;
    u_char                    *members;    /* of the object that it is */
} ngx_zapier_run_answer_t;

/* NGX_OK, or NGX_DECLINED: not a JSON object. */
ngx_int_t ngx_zapier_run_parse(ngx_str_t *text,
    ngx_zapier_run_answer_t *answer);

/*
 * The answer with its id, which is left out of what polls bring; all else
 * to the byte.  NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_zapier_run_complete(ngx_pool_t *pool, ngx_str_t *text,
    ngx_zapier_run_answer_t *answer, ngx_str_t *id);


#endif /* _NGX_ZAPIER_RUN_H_INCLUDED_ */
