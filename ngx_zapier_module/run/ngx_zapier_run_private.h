
/*
 * Between the parts of run/: the table of runs in shared memory, what is
 * kept in Redis, and the flights that ask for them.
 */


#ifndef _NGX_ZAPIER_RUN_PRIVATE_H_INCLUDED_
#define _NGX_ZAPIER_RUN_PRIVATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_zapier_clock.h>
#include <ngx_zapier_run.h>
#include <ngx_zapier_tenant.h>
#include <ngx_zapier_redis_script.h>


/* TENANT LF ID */
#define NGX_ZAPIER_RUN_KEY_LEN                                               \
    (NGX_ZAPIER_TENANT_LEN + 1 + NGX_ZAPIER_RUN_ID_LEN)

/* of a body in shared memory; a longer one is in Redis only */
#define NGX_ZAPIER_RUN_SHARED_MAX  (64 * 1024)

/* ms between polls of a flight, at most */
#define NGX_ZAPIER_RUN_DELAY_MAX   60000

/* ms after quota or memory was short */
#define NGX_ZAPIER_RUN_PUT_OFF     1000

/* ms that a poll may be under way before another worker or node tries */
#define NGX_ZAPIER_RUN_LEASE       10000


typedef struct {
    u_char                    *data;
    size_t                     len;
    uint32_t                   hash;
} ngx_zapier_run_key_t;


/* Writes it to p, NGX_ZAPIER_RUN_KEY_LEN bytes at most, and refers to that. */
void ngx_zapier_run_key(ngx_zapier_runs_t *runs, ngx_zapier_run_key_t *key,
    u_char *p, ngx_str_t *tenant, ngx_str_t *id);


/* ngx_zapier_run_table.c */

typedef struct {
    ngx_zapier_run_state_e     state;
    ngx_str_t                  body;       /* from the pool; may be empty */
    uint64_t                   wait;       /* ms until it may be one's turn */
} ngx_zapier_run_look_t;

/*
 * What the table knows; if it does not know the end, the right to poll.
 *
 * NGX_OK        look tells: FINISHED, or PENDING as of just now, if urgent
 * NGX_BUSY      somebody else asks, or has asked lately: look->wait
 * NGX_DECLINED  the right to ask is owner's
 * NGX_ERROR     no memory in the pool
 */
ngx_int_t ngx_zapier_run_claim(ngx_zapier_runs_t *runs,
    ngx_zapier_run_key_t *key, uint64_t owner, ngx_msec_t interval,
    ngx_uint_t urgent, ngx_pool_t *pool, ngx_zapier_run_look_t *look);

/*
 * Only what is known to be finished: NGX_OK, NGX_DECLINED or NGX_ERROR.  With
 * a pool of NULL the body is not filled.
 */
ngx_int_t ngx_zapier_run_known(ngx_zapier_runs_t *runs,
    ngx_zapier_run_key_t *key, ngx_pool_t *pool, ngx_str_t *body);

/* Gives the right back; nobody but an urgent one asks within delay ms. */
void ngx_zapier_run_pending(ngx_zapier_runs_t *runs,
    ngx_zapier_run_key_t *key, uint64_t owner, ngx_msec_t delay,
    ngx_str_t *body);

/* The run is finished; tells the other workers. */
void ngx_zapier_run_finished(ngx_zapier_runs_t *runs,
    ngx_zapier_run_key_t *key, ngx_msec_t keep, ngx_str_t *body);

/*
 * The next run of those that were finished since *seq, takes no lock.
 *
 * NGX_OK        *hash is that of its key
 * NGX_DONE      there are no more
 * NGX_DECLINED  there were too many, any run may be among them
 */
ngx_int_t ngx_zapier_run_news(ngx_zapier_runs_t *runs, uint64_t *seq,
    uint32_t *hash);

#define NGX_ZAPIER_RUN_RING  4096


/* ngx_zapier_run_store.c: Redis */

typedef struct ngx_zapier_run_ask_s  ngx_zapier_run_ask_t;

/* one question or note; its memory is the caller's */
struct ngx_zapier_run_ask_s {
    void                     (*handler)(ngx_zapier_run_ask_t *ask);
    void                      *data;

    /* for the handler */
    ngx_int_t                  rc;         /* as ngx_zapier_run_claim(), or
                                              NGX_ERROR: Redis is silent */
    ngx_str_t                  body;       /* until it returns */
    uint64_t                   wait;

    /* private */
    ngx_zapier_redis_eval_t    eval;
    u_char                     keys[2 * (NGX_ZAPIER_RUN_KEY_LEN + 80)];
    u_char                     numbers[4 * NGX_INT64_LEN];
};

/* The right of this node among all; NGX_AGAIN or NGX_ERROR. */
ngx_int_t ngx_zapier_run_ask(ngx_zapier_runs_t *runs,
    ngx_zapier_run_ask_t *ask, ngx_str_t *tenant, ngx_str_t *id,
    uint64_t owner, ngx_msec_t interval, ngx_uint_t urgent);
void ngx_zapier_run_ask_cancel(ngx_zapier_run_ask_t *ask);

/* a note that needs no answer, and room for its arguments behind it */
typedef struct {
    ngx_queue_t                queue;      /* of the worker's notes */
    ngx_pool_t                *pool;
    size_t                     size;
    ngx_msec_t                 until;      /* see _insist() */
    ngx_uint_t                 replicas;
    ngx_event_t                timer;
    ngx_zapier_run_ask_t       ask;
    unsigned                   insist:1;
    unsigned                   syncing:1;
} ngx_zapier_run_note_t;

/* NULL: no memory. */
ngx_zapier_run_note_t *ngx_zapier_run_note(size_t size);

/*
 * Before it is sent: it is sent again, for ms, until Redis and so many
 * replicas have it.
 */
void ngx_zapier_run_note_insist(ngx_zapier_run_note_t *note, ngx_msec_t ms,
    ngx_uint_t replicas);

/* Sends it, or gives it up. */
void ngx_zapier_run_note_send(ngx_zapier_runs_t *runs,
    ngx_zapier_run_note_t *note, ngx_zapier_redis_script_t *script,
    ngx_uint_t nkeys, ngx_uint_t argc, ngx_str_t *argv);

/* Writes the keys of result and polls to p and to argv; returns the end. */
u_char *ngx_zapier_run_keys(ngx_zapier_runs_t *runs, u_char *p,
    ngx_str_t *tenant, ngx_str_t *id, ngx_str_t *argv);

/* Writes a number to p; returns the end. */
u_char *ngx_zapier_run_number(u_char *p, uint64_t n, ngx_str_t *text);

/*
 * The keys of a callback: callback:{TENANT}:NAME, written to p; returns the
 * end.  NGX_ZAPIER_RUN_STORE_KEY bytes.
 */
u_char *ngx_zapier_run_callback_key(u_char *p, ngx_zapier_runs_t *runs,
    ngx_str_t *tenant, ngx_str_t *name, ngx_str_t *key);

#define NGX_ZAPIER_RUN_STORE_KEY(runs)                                       \
    ((runs)->prefix.len + sizeof("callback:{}:") + NGX_ZAPIER_RUN_KEY_LEN)

/* Expects the callback of that key; as ngx_zapier_run_ask(). */
ngx_int_t ngx_zapier_run_expect(ngx_zapier_runs_t *runs,
    ngx_zapier_run_ask_t *ask, ngx_str_t *tenant, ngx_str_t *id,
    ngx_str_t *key, ngx_msec_t delay);

void ngx_zapier_run_store_pending(ngx_zapier_runs_t *runs, ngx_str_t *tenant,
    ngx_str_t *id, uint64_t owner, ngx_msec_t delay);
void ngx_zapier_run_store_finished(ngx_zapier_runs_t *runs,
    ngx_str_t *tenant, ngx_str_t *id, ngx_msec_t keep, ngx_str_t *body);

/* Gives notes that are under way up; in a worker. */
void ngx_zapier_run_store_exit(void);


/* ngx_zapier_run_news.c: what other nodes have found out */

ngx_int_t ngx_zapier_run_news_start(ngx_zapier_runs_t *runs,
    ngx_cycle_t *cycle);
void ngx_zapier_run_news_stop(ngx_zapier_runs_t *runs);
ngx_str_t *ngx_zapier_run_news_channel(ngx_zapier_runs_t *runs);


/* A name that no other worker or node has; Lua's numbers hold it. */
uint64_t ngx_zapier_run_owner(void);


/* ngx_zapier_run_flight.c */

typedef struct {
    ngx_zapier_runs_t         *runs;
    ngx_rbtree_t               flights;    /* by the hash of their keys */
    ngx_rbtree_node_t          sentinel;
    ngx_uint_t                 n;
    uint64_t                   seq;        /* of news */
    ngx_event_t                tick;
} ngx_zapier_run_worker_t;


typedef struct {
    ngx_str_node_t             node;       /* among the worker's */
    ngx_zapier_runs_t         *runs;
    ngx_pool_t                *pool;
    ngx_zapier_run_key_t       key;
    ngx_str_t                  tenant;
    ngx_str_t                  id;
    uint64_t                   owner;
    ngx_queue_t                waiters;    /* for the end */
    ngx_queue_t                askers;     /* how things stand */
    ngx_msec_t                 interval;
    ngx_msec_t                 keep;
    size_t                     max;
    ngx_msec_t                 started;    /* ngx_current_msec */
    ngx_msec_t                 until;      /* who waits longest */
    ngx_msec_t                 patience;   /* ms between polls, at least */
    ngx_uint_t                 polls;
    ngx_uint_t                 put_off;
    ngx_uint_t                 refusals;
    ngx_pool_t                *answers;    /* of one step */
    ngx_zapier_run_ask_t      *ask;        /* in answers, or NULL */
    ngx_event_t                timer;
    ngx_msec_t                 due;        /* the next step; if the timer
                                              fires before it is a look */
    ngx_zapier_run_poll_t      poll;
    unsigned                   asking:1;
    unsigned                   heard:1;    /* that it is finished, while a
                                              question was under way */
    unsigned                   polling:1;
    unsigned                   ending:1;
} ngx_zapier_run_flight_t;

/* The next step comes then. */
void ngx_zapier_run_arm(ngx_zapier_run_flight_t *flight, uint64_t delay);

/* The same, and nobody is to be told anything before. */
void ngx_zapier_run_rest(ngx_zapier_run_flight_t *flight, uint64_t delay);

/* Before a poll is made: nothing is known of its answer. */
void ngx_zapier_run_poll_clear(ngx_zapier_run_poll_t *poll);

/* The memory of a step; NGX_ERROR: it is put off. */
ngx_int_t ngx_zapier_run_memory(ngx_zapier_run_flight_t *flight);

/*
 * Tells all who wait, or those who want to know how things stand; the
 * flight may be gone then.
 */
void ngx_zapier_run_tell(ngx_zapier_run_flight_t *flight,
    ngx_zapier_run_state_e state, ngx_str_t *body, ngx_uint_t all);

/* That of a run; NULL: nobody waits for it. */
ngx_zapier_run_flight_t *ngx_zapier_run_find(ngx_zapier_runs_t *runs,
    ngx_zapier_run_key_t *key);


/* ngx_zapier_run_wake.c */

/* ms between looks at what other workers have found out */
#define NGX_ZAPIER_RUN_TICK        20

void ngx_zapier_run_tick(ngx_event_t *ev);

/* Another node tells that a run is finished. */
void ngx_zapier_run_heard(ngx_zapier_runs_t *runs, ngx_str_t *tenant,
    ngx_str_t *id);

/* This worker has got to know it, and the table has it. */
void ngx_zapier_run_wake(ngx_zapier_runs_t *runs, ngx_zapier_run_key_t *key);


/* ngx_zapier_run_poll.c: what a flight does when its timer fires; it may be
 * gone then */

void ngx_zapier_run_step(ngx_zapier_run_flight_t *flight);

/* If the table knows the end, tells it; else 0. */
ngx_uint_t ngx_zapier_run_look(ngx_zapier_run_flight_t *flight);

/* Asks Redis: NGX_AGAIN or NGX_ERROR. */
ngx_int_t ngx_zapier_run_inquire(ngx_zapier_run_flight_t *flight,
    ngx_uint_t urgent);

/* Tells Redis which callback will end it, and asks whether it has come: as
 * above. */
ngx_int_t ngx_zapier_run_announce(ngx_zapier_run_flight_t *flight,
    ngx_str_t *callback, ngx_msec_t delay);

/* ms until the next poll, if one was made just now. */
ngx_msec_t ngx_zapier_run_delay(ngx_zapier_run_flight_t *flight);


#endif /* _NGX_ZAPIER_RUN_PRIVATE_H_INCLUDED_ */
