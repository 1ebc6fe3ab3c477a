
/*
 * Between the parts of lookups: the table in shared memory, the flights, and
 * how they find out.
 */


#ifndef _NGX_ZAPIER_LOOKUP_PRIVATE_H_INCLUDED_
#define _NGX_ZAPIER_LOOKUP_PRIVATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_zapier_clock.h>
#include <ngx_zapier_lookup.h>
#include <ngx_zapier_run_private.h>


#define NGX_ZAPIER_LOOKUP_DIGEST  40

/* "e" LF NAME, or "i" LF TENANT LF DIGEST */
#define NGX_ZAPIER_LOOKUP_KEY_LEN  (2 + NGX_ZAPIER_LOOKUP_NAME_LEN)

/* ms that nobody asks anew for what there is not, at most */
#define NGX_ZAPIER_LOOKUP_NONE_TIME  10000

/* ms that one step of a flight may take before another worker tries */
#define NGX_ZAPIER_LOOKUP_LEASE  10000


typedef struct {
    u_char                       data[NGX_ZAPIER_LOOKUP_KEY_LEN];
    size_t                       len;
    uint32_t                     hash;
} ngx_zapier_lookup_key_t;


/* ngx_zapier_lookup_table.c */

/* How old an answer may be: not older than cache ms at that time, or later. */
typedef struct {
    uint64_t                     time;     /* ngx_zapier_clock() */
    ngx_msec_t                   cache;
} ngx_zapier_lookup_age_t;

/*
 * What the table knows; if it does not, the right to find out, which is
 * owner's for a while.  With 0 for owner, nobody gets it.
 *
 * NGX_OK        *answer tells, from pool
 * NGX_BUSY      another one finds out
 * NGX_DECLINED  the right is owner's
 * NGX_ERROR     no memory in the pool
 */
ngx_int_t ngx_zapier_lookup_claim(ngx_zapier_runs_t *runs,
    ngx_zapier_lookup_key_t *key, uint64_t owner,
    ngx_zapier_lookup_age_t *age, ngx_pool_t *pool,
    ngx_zapier_lookup_answer_t *answer);

/* The answer as of then; the right goes back. */
void ngx_zapier_lookup_put(ngx_zapier_runs_t *runs,
    ngx_zapier_lookup_key_t *key, uint64_t then,
    ngx_zapier_lookup_answer_t *answer);

/* The right goes back, or is owner's for longer. */
void ngx_zapier_lookup_lease(ngx_zapier_runs_t *runs,
    ngx_zapier_lookup_key_t *key, uint64_t owner, ngx_msec_t time);


/* ngx_zapier_lookup.c */

typedef struct {
    ngx_str_node_t               node;     /* among the worker's */
    ngx_zapier_runs_t           *runs;
    ngx_pool_t                  *pool;
    ngx_zapier_lookup_key_t      key;
    ngx_zapier_lookup_t          what;     /* strings are the flight's */
    ngx_zapier_lookup_age_t      age;
    uint64_t                     owner;
    ngx_queue_t                  waiters;
    ngx_event_t                  event;    /* the next step */
    ngx_zapier_redis_cmd_t       cmd;      /* for an entry */
    ngx_zapier_redis_eval_t      eval;     /* for an id */
    ngx_zapier_run_poll_t        poll;
    ngx_pool_t                  *page;     /* NULL: none is there */
    ngx_uint_t                   pages;
} ngx_zapier_lookup_flight_t;

/* Tells all who wait and ends the flight. */
void ngx_zapier_lookup_tell(ngx_zapier_lookup_flight_t *flight,
    ngx_zapier_lookup_answer_t *answer);


/* ngx_zapier_lookup_entry.c and ngx_zapier_lookup_id.c: find out; the flight
 * may be gone then */

void ngx_zapier_lookup_entry(ngx_zapier_lookup_flight_t *flight);
void ngx_zapier_lookup_id(ngx_zapier_lookup_flight_t *flight);


#endif /* _NGX_ZAPIER_LOOKUP_PRIVATE_H_INCLUDED_ */
