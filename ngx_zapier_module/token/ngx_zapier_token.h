
/*
 * Tenants' access tokens: records in Redis, cached in shared memory.
 *
 * A cached record is used without asking Redis while it is younger than
 * the cache time and the watch proves that nothing has changed, or for one
 * second otherwise.  When Redis cannot be asked, it is used until the
 * token expires.  Concurrent requests for one tenant share one read.
 */


#ifndef _NGX_ZAPIER_TOKEN_H_INCLUDED_
#define _NGX_ZAPIER_TOKEN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_shm.h>
#include <ngx_zapier_oauth.h>
#include <ngx_zapier_redis.h>
#include <ngx_zapier_token_keyring.h>


typedef enum {
    NGX_ZAPIER_TOKEN_NONE = 0,  /* no token was got */
    NGX_ZAPIER_TOKEN_HIT,       /* from shared memory */
    NGX_ZAPIER_TOKEN_MISS,      /* read from Redis for this request */
    NGX_ZAPIER_TOKEN_STALE,     /* cached, Redis could not be asked */
    NGX_ZAPIER_TOKEN_REFRESHED  /* waited for a refresh */
} ngx_zapier_token_source_e;


typedef enum {
    NGX_ZAPIER_TOKEN_OK = 0,
    NGX_ZAPIER_TOKEN_MISSING,      /* no record, or no token in it */
    NGX_ZAPIER_TOKEN_EXPIRED,      /* and cannot be refreshed for now */
    NGX_ZAPIER_TOKEN_REAUTHORIZE,  /* expired, and never to be refreshed */
    NGX_ZAPIER_TOKEN_UNAVAILABLE,  /* Redis cannot be asked */
    NGX_ZAPIER_TOKEN_INVALID       /* the record cannot be understood */
} ngx_zapier_token_result_e;


/* one per http block: configuration and this worker's state */
typedef struct {
    ngx_zapier_redis_t         *redis;
    ngx_zapier_shm_t           *shm;
    ngx_str_t                   prefix;         /* of Redis keys */
    ngx_str_t                   redis_url;      /* what was read from another
                                                   server is not used */
    ngx_msec_t                  redis_timeout;  /* of one command */
    ngx_msec_t                  cache;          /* zapier_token_cache */
    ngx_msec_t                  missing_cache;
    ngx_zapier_keyring_t       *keyring;        /* zapier_token_key; NULL:
                                                   nothing is sealed */
    ngx_zapier_oauth_t         *oauth;          /* NULL: records are never
                                                   refreshed */
    ngx_flag_t                  key_required;   /* plain tokens are refused */

    /* private */
    ngx_zapier_shm_table_t      table;
    ngx_zapier_shm_table_t      leases;
    ngx_zapier_shm_table_t      rescues;
    uint32_t                    signature;      /* of prefix and URL */
    uint32_t                    place;          /* of the prefix */
    void                       *worker;
} ngx_zapier_tokens_t;


typedef struct ngx_zapier_token_op_s  ngx_zapier_token_op_t;

/* A look-up.  Memory belongs to the caller. */
struct ngx_zapier_token_op_s {
    ngx_str_t                   tenant;     /* checked before */
    uint32_t                    hash;       /* ngx_zapier_shm_hash() of it,
                                               0: not known yet */
    ngx_pool_t                 *pool;       /* for the results */
    ngx_log_t                  *log;
    void                       *origin;     /* for ngx_zapier_oauth_call_t */
    ngx_uint_t                  force;      /* refresh it whatever it is */
    ngx_str_t                   mint_scope; /* what an app's token is to be
                                               good for, empty: not said;
                                               lives as long as tokens */
    void                      (*handler)(ngx_zapier_token_op_t *op);
    void                       *data;

    ngx_zapier_token_result_e   result;
    ngx_zapier_token_source_e   source;
    ngx_str_t                   authorization;  /* "Bearer ..." from pool,
                                                   zeroed with the pool */
    time_t                      expires;    /* epoch s, 0: never */
    ngx_str_t                   scope;      /* space separated, from pool;
                                               data NULL: not recorded */
    ngx_int_t                   redis_time; /* ms waited for Redis, -1: not
                                               asked */
    time_t                      retry_after; /* s, 0: not known */

    /* private */
    ngx_queue_t                 queue;      /* of the flight's waiters */
    void                       *flight;
    uint64_t                    started;    /* ngx_zapier_clock() */
    uint64_t                    deadline;   /* of waiting for a refresh */
};


/* since the zone was made, of the whole node */
typedef struct {
    ngx_atomic_t                refreshed;
    ngx_atomic_t                refresh_failed;   /* will pass */
    ngx_atomic_t                refresh_refused;  /* an operator's fault */
    ngx_atomic_t                refresh_unknown;  /* the answer was lost */
    ngx_atomic_t                refresh_resumed;  /* after one of unknown
                                                     outcome */
    ngx_atomic_t                refresh_dead;     /* invalid_grant */
    ngx_atomic_t                refresh_rescued;  /* pairs that Redis had
                                                     lost or never got */
    ngx_atomic_t                refused;          /* upstream's 401 */
    ngx_atomic_t                unseal_failed;    /* forged, copied, cut */
    ngx_atomic_t                unseal_unknown_key;
    ngx_atomic_t                plain_refused;    /* zapier_token_key ...
                                                     required */
} ngx_zapier_token_counters_t;


/* Adds the table to the zone; at configuration time. */
ngx_int_t ngx_zapier_tokens_init(ngx_conf_t *cf, ngx_zapier_tokens_t *tokens);

/* Starts and ends the watch; in a worker. */
ngx_int_t ngx_zapier_tokens_init_worker(ngx_zapier_tokens_t *tokens,
    ngx_cycle_t *cycle);
void ngx_zapier_tokens_exit_worker(ngx_zapier_tokens_t *tokens);

/*
 * Looks a token up.
 *
 * NGX_OK     done, op->result tells
 * NGX_AGAIN  the handler will be called, never from here
 * NGX_ERROR  no memory
 */
ngx_int_t ngx_zapier_token_start(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_op_t *op);

/* The handler will not be called.  Safe at any time. */
void ngx_zapier_token_cancel(ngx_zapier_token_op_t *op);

/*
 * The upstream has answered 401 to the token of a look-up.  If it is still
 * the one at hand and can be refreshed, the next look-up does so.
 *
 * NGX_OK        the next look-up may have another one
 * NGX_DECLINED  it will have the same
 */
ngx_int_t ngx_zapier_token_refused(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_op_t *op);

/* Live counters in shared memory; in a worker. */
ngx_zapier_token_counters_t *ngx_zapier_token_counters(
    ngx_zapier_tokens_t *tokens);

/*
 * Seconds since the epoch by the clock of Redis, which all nodes share, or
 * by this machine's until Redis has told.
 */
time_t ngx_zapier_token_now(ngx_zapier_tokens_t *tokens);

/*
 * NGX_OK if scope (space separated, RFC 6749 3.3) holds name, or if the
 * record has none to check; NGX_DECLINED otherwise.
 */
ngx_int_t ngx_zapier_token_has_scope(ngx_str_t *scope, ngx_str_t *name);


#endif /* _NGX_ZAPIER_TOKEN_H_INCLUDED_ */
