
/*
 * Quota: named zones of scopes, claimed as a chain, all or nothing.
 *
 * A scope is a sliding window of N units per W, a mirrored view of what
 * the upstream's headers say, and a gate that is closed until a time.
 * Headers tighten the view within its window and never loosen it; an
 * entry that still restrains somebody is never thrown away.
 */


#ifndef _NGX_ZAPIER_LIMIT_H_INCLUDED_
#define _NGX_ZAPIER_LIMIT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_shm.h>
#include <ngx_zapier_ratelimit.h>
#include <ngx_zapier_redis.h>


#define NGX_ZAPIER_LIMIT_CHAIN    8
#define NGX_ZAPIER_LIMIT_KEY_LEN  255
#define NGX_ZAPIER_LIMIT_TAG_LEN  128


typedef struct ngx_zapier_limit_counts_s  ngx_zapier_limit_counts_t;
typedef struct ngx_zapier_limit_news_s    ngx_zapier_limit_news_t;


/* where a zone's units are counted */
#define NGX_ZAPIER_LIMIT_LOCAL    0
#define NGX_ZAPIER_LIMIT_REDIS    1


/* what to go by when the count in Redis cannot be reached */
typedef enum {
    NGX_ZAPIER_LIMIT_FALL_LOCAL = 0,   /* this node's share of the limit */
    NGX_ZAPIER_LIMIT_FALL_OPEN,        /* nothing, a while, then local */
    NGX_ZAPIER_LIMIT_FALL_CLOSED
} ngx_zapier_limit_fall_e;


/* a zone's configuration, read only after start but for counts */
typedef struct {
    ngx_str_t                  name;
    uint32_t                   limit;      /* units, 0: only mirrored */
    uint32_t                   window;     /* ms */
    uint32_t                   cooldown;   /* ms, after a 429 that does not
                                              say how long */
    uint32_t                   slack;      /* ms that a unit counts longer:
                                              calls travel */
    ngx_uint_t                 store;
    ngx_flag_t                 mirror;
    ngx_flag_t                 share;      /* in fair parts */
    uint32_t                   seed;       /* of the name, so that scopes of
                                              one key do not share a bucket */
    ngx_zapier_limit_counts_t *counts;     /* private */
} ngx_zapier_limit_zone_t;


typedef enum {
    NGX_ZAPIER_LIMIT_PASSED = 0,
    NGX_ZAPIER_LIMIT_REJECTED,
    NGX_ZAPIER_LIMIT_UNKNOWN       /* no memory for the count */
} ngx_zapier_limit_verdict_e;


typedef struct {
    ngx_zapier_limit_zone_t   *zone;
    ngx_str_t                  key;
    ngx_str_t                 *tag;        /* by ngx_zapier_limit_tag(), NULL:
                                              the default or none */
    uint32_t                   units;
    uint32_t                   hash;       /* ngx_zapier_shm_hash() of the
                                              key, 0: not known yet */
    uint32_t                   party;      /* hash of who shares the scope
                                              with others, 0: nobody */
    uint32_t                   weight;     /* of its share */
    uint64_t                   charged;    /* private: when, 0: not */
    uint32_t                   held;       /* private: granted just now */
    uint64_t                   stamp;      /* private: of the units, 0: not
                                              of Redis */
    void                      *link;       /* private: while asking */
    uint64_t                   probe;      /* private: may be so until
                                              then, 0: it is none */
    uint64_t                   right;      /* private: the same of the fleet,
                                              1: without, 0: not asked */
} ngx_zapier_limit_scope_t;


/* nothing is charged to it */
#define ngx_zapier_limit_scope_init(scope)                                   \
    (scope)->charged = 0;                                                    \
    (scope)->held = 0;                                                       \
    (scope)->stamp = 0;                                                      \
    (scope)->link = NULL;                                                    \
    (scope)->probe = 0;                                                      \
    (scope)->right = 0


/* what is told to callers, of the scope that binds */
typedef struct {
    ngx_zapier_limit_zone_t   *zone;       /* NULL: nothing is known */
    ngx_zapier_limit_scope_t  *scope;      /* private: of the claim */
    int64_t                    limit;      /* -1: only that it is used up
                                              or how much is left */
    int64_t                    remaining;
    time_t                     reset;      /* epoch s, never in the past */
    time_t                     retry_after; /* s, at least 1; 0: passed */
} ngx_zapier_limit_view_t;


/* nothing is known yet */
#define ngx_zapier_limit_view_init(view)                                     \
    (view)->zone = NULL;                                                     \
    (view)->scope = NULL;                                                    \
    (view)->limit = 0;                                                       \
    (view)->remaining = 0;                                                   \
    (view)->reset = 0;                                                       \
    (view)->retry_after = 0


typedef struct ngx_zapier_limit_claim_s  ngx_zapier_limit_claim_t;

/* A claim on a chain of scopes.  Memory belongs to the caller. */
struct ngx_zapier_limit_claim_s {
    ngx_uint_t                 nscopes;    /* NGX_ZAPIER_LIMIT_CHAIN at most */
    ngx_zapier_limit_scope_t  *scopes;     /* broad to narrow */
    ngx_str_t                  tag;        /* of the keys in Redis */
    ngx_uint_t                 fallback;
    uint32_t                   open_calls; /* with FALL_OPEN: at most so many */
    uint32_t                   open_time;  /* ... and so long, ms */
    ngx_uint_t                 patient;    /* it waits in a queue if need be */
    ngx_log_t                 *log;
    void                     (*handler)(ngx_zapier_limit_claim_t *claim);
    void                      *data;

    ngx_zapier_limit_verdict_e verdict;
    uint64_t                   wait;       /* ms until it would fit, as far
                                              as is known, if REJECTED */
    ngx_zapier_limit_view_t    view;
    ngx_uint_t                 yields;     /* refused in favour of others */

    /* private */
    void                      *ask;        /* that it waits for */
    void                      *right;      /* the same, to probe */
    ngx_queue_t                queue;
    ngx_uint_t                 rounds;
    ngx_uint_t                 alone;      /* Redis cannot be asked */
};


/* how a scope stands on this node; times are ms from now */
typedef struct {
    int64_t                    limit;      /* -1: there is none */
    int64_t                    remaining;  /* -1: nothing is known */
    uint64_t                   wait;       /* until one unit would pass */
    uint64_t                   reset;
    uint32_t                   used;       /* by this node in the window */
    uint32_t                   leased;     /* units in store */
    uint64_t                   lease;      /* until they are given back */
    uint64_t                   closed;     /* until the gate opens */
    int64_t                    mirrored;   /* what the upstream says is left,
                                              -1: it has not said lately */
    uint64_t                   mirror_reset;
    uint32_t                   waiting;    /* units, in queues of this node */
} ngx_zapier_limit_look_t;


/* one per http block */
typedef struct {
    ngx_zapier_shm_t          *shm;
    ngx_zapier_redis_t        *redis;      /* for zones that are counted
                                              there */
    ngx_str_t                  prefix;     /* of its keys */

    ngx_array_t               *zones;      /* ngx_zapier_limit_zone_t *, all
                                              that are configured */

    /* private */
    ngx_queue_t                asks;       /* under way in this worker */
    ngx_uint_t                 crowd;      /* others who try again now */
    ngx_uint_t                 debts;      /* that Redis is to be told */
    ngx_zapier_shm_table_t     table;
    ngx_zapier_limit_news_t   *news;       /* NULL: for nobody */
    void                      *queues;     /* of this worker's waiters */
    void                      *chain;      /* what must not be evicted now */
    uint64_t                   wall_read;  /* clock ms */
    uint64_t                   wall;       /* epoch less clock, ms */
} ngx_zapier_limits_t;


/* Adds the table to the zone; at configuration time. */
ngx_int_t ngx_zapier_limits_init(ngx_conf_t *cf,
    ngx_zapier_limits_t *limits);

/*
 * In a worker: what other nodes tell of zones that are mirrored and counted
 * in Redis is taken in from now on.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_zapier_limit_news_start(ngx_zapier_limits_t *limits,
    ngx_cycle_t *cycle);
void ngx_zapier_limit_news_stop(ngx_zapier_limits_t *limits);

/* The tag of keys that have none. */
#define ngx_zapier_limit_tag_default(tag)  ngx_str_set(tag, "all")

/*
 * Scopes with other tags in Redis are others on a node, too.  For a scope
 * with its zone set; tag must live as long as it.
 */
void ngx_zapier_limit_tag(ngx_zapier_limit_scope_t *scope, ngx_str_t *tag);

/*
 * May the chain be closed?  0: it is not, or has lately become so.  1: it
 * is, or another one with the same place in a small table.  Takes no lock.
 */
ngx_uint_t ngx_zapier_limit_suspect(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim);

/*
 * Is the chain known to be closed?  Charges nothing, waits for nothing;
 * fills verdict and view.  For refusing early, before a body is read.
 *
 * NGX_OK (not known to be closed) or NGX_DECLINED.
 */
ngx_int_t ngx_zapier_limit_peek(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim);

/*
 * Charges every scope of the chain or none.
 *
 * NGX_OK     done, claim->verdict and claim->view tell
 * NGX_AGAIN  the handler will be called, never from here: a zone counts in
 *            Redis, and this node has no units of it on lease
 */
ngx_int_t ngx_zapier_limit_start(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim);

/* Calls under way in this worker are given up when it exits. */
void ngx_zapier_limits_exit_worker(ngx_zapier_limits_t *limits);

/* Charges nothing.  NGX_OK, or NGX_ERROR: the key is too long. */
ngx_int_t ngx_zapier_limit_look(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_zone_t *zone, ngx_str_t *key, ngx_str_t *tag,
    ngx_zapier_limit_look_t *look);

/* The handler will not be called; what was charged is returned. */
void ngx_zapier_limit_cancel(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim);

/*
 * The request never reached the upstream: gives the units back.  Does
 * nothing for a claim that was refused, or the second time.
 */
void ngx_zapier_limit_return(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim);

/*
 * The upstream was called times times more than was claimed (retries by
 * proxy_next_upstream): charges that, even over the limit.
 */
void ngx_zapier_limit_charge(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim, ngx_uint_t times);

/*
 * The request is over: a probe that got no answer makes room for another.
 * To be called last; does nothing for most.
 */
void ngx_zapier_limit_done(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim);

/*
 * What an answer of the upstream says, to be given in the order of
 * arrival.  A 429, or a 503 with Retry-After, closes the gate of every
 * mirrored scope of the chain, and any other one that answers a probe opens
 * it for all; claim->view is brought up to date.
 */
void ngx_zapier_limit_observe(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim, ngx_uint_t status,
    ngx_zapier_ratelimit_t *rl);


#endif /* _NGX_ZAPIER_LIMIT_H_INCLUDED_ */
