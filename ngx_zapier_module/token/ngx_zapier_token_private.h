
/*
 * What the files of token/ share with each other and nobody else.
 */


#ifndef _NGX_ZAPIER_TOKEN_PRIVATE_H_INCLUDED_
#define _NGX_ZAPIER_TOKEN_PRIVATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_zapier_clock.h>
#include <ngx_zapier_record.h>
#include <ngx_zapier_token.h>
#include <ngx_zapier_token_seal.h>
#include <ngx_zapier_wipe.h>


/*
 * ms that a value is used without knowing whether the record has changed:
 * a second is promised, the rest is for reading the new one
 */
#define NGX_ZAPIER_TOKEN_BOUND  900


/* this worker's state */
typedef struct {
    ngx_zapier_tokens_t        *tokens;
    ngx_cycle_t                *cycle;
    void                       *unused;
    ngx_socket_t                fd;         /* -1: the debug log of timers
                                               takes ngx_event_t.data for an
                                               ngx_connection_t */

    ngx_rbtree_t                flights;    /* by tenant */
    ngx_rbtree_node_t           sentinel;
    ngx_rbtree_t                refreshes;  /* by tenant, same sentinel */
    ngx_queue_t                 rescues;
    ngx_uint_t                  rescuing;   /* of them */
    uint32_t                    sequence;
    u_char                      name[8];    /* random */

    ngx_zapier_redis_cmd_t      clock;      /* TIME */
    uint64_t                    clocked;    /* when it was sent, 0: never */
    unsigned                    clocking:1;

    uint64_t                    failed;     /* when a read last failed */
    uint32_t                    complaint;  /* of the error reply that was
                                               logged last */

    ngx_event_t                 timer;
    ngx_zapier_redis_watch_t    watch;
    uint64_t                    taken;      /* the watch, or last up */
    unsigned                    watching:1;
} ngx_zapier_token_worker_t;


/* a tenant with the hash of its name */
typedef struct {
    ngx_str_t                   tenant;
    uint32_t                    hash;
} ngx_zapier_token_key_t;


/* what is known of a tenant, on the stack of who needs it */
typedef struct {
    ngx_zapier_token_result_e   result;
    ngx_zapier_token_source_e   source;
    int64_t                     expires;
    size_t                      authorization_len;
    size_t                      scope_len;  /* 0: not recorded */
    ngx_msec_t                  retry;      /* ms, 0: not known */
    unsigned                    refreshable:1;
    unsigned                    refused:1;  /* by upstream */
    unsigned                    strayed:1;  /* read where nobody watches */
    u_char                      data[NGX_ZAPIER_RECORD_AUTHORIZATION_LEN
                                     + NGX_ZAPIER_RECORD_SCOPE_LEN];
} ngx_zapier_token_value_t;

/* all but the bytes, which are not looked at beyond the lengths */
#define ngx_zapier_token_value_init(value)                                   \
    ngx_memzero(value, offsetof(ngx_zapier_token_value_t, data))

#define ngx_zapier_token_value_zero(value)                                   \
    ngx_zapier_wipe((value)->data,                                           \
                    (value)->authorization_len + (value)->scope_len)


/* a token has expired; without zapier_oauth_token it is somebody else's
 * business to renew it */
#define ngx_zapier_token_expired(tokens, refreshable)                        \
    ((refreshable) || (tokens)->oauth == NULL ? NGX_ZAPIER_TOKEN_EXPIRED     \
                                              : NGX_ZAPIER_TOKEN_REAUTHORIZE)


/* ngx_zapier_token_cache.c */

void ngx_zapier_token_key(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, ngx_str_t *tenant);

/*
 * NGX_OK        *value may be used without asking Redis
 * NGX_AGAIN     *value may be used if Redis cannot be asked
 * NGX_DECLINED  nothing is known
 */
ngx_int_t ngx_zapier_token_cache_get(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, ngx_zapier_token_value_t *value);

/*
 * Asks for the right to read a tenant's record for lease ms.
 *
 * NGX_OK        no need to, *value may be used
 * NGX_BUSY      somebody reads it
 * NGX_DECLINED  granted to id
 */
ngx_int_t ngx_zapier_token_cache_claim(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, uint64_t id, ngx_msec_t lease,
    ngx_zapier_token_value_t *value);

/*
 * Keeps what id has read with a command sent at requested, unless the
 * record has changed meanwhile or the right was lost.
 */
void ngx_zapier_token_cache_store(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, uint64_t id, uint64_t requested,
    ngx_zapier_token_value_t *value);

/*
 * id has read nothing.  NGX_OK: *value may be used nevertheless, or
 * NGX_DECLINED.
 */
ngx_int_t ngx_zapier_token_cache_release(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, uint64_t id,
    ngx_zapier_token_value_t *value);

/* A record was written or deleted; NULL: any may have been. */
void ngx_zapier_token_cache_drop(ngx_zapier_tokens_t *tokens,
    ngx_str_t *tenant);


/* The one watch of all workers: which holds it and what it has proved. */
typedef struct {
    uint64_t                    since;      /* reports are complete from
                                               here, 0: there is no watch */
    uint64_t                    confirmed;  /* and to here */
    uint64_t                    flushed;    /* older reads are void */
    uint64_t                    lost;       /* when it was last seen to be
                                               away, 0: it is not */
    uint64_t                    calm;       /* after that, until */
    uint64_t                    lease;
    uint32_t                    pid;        /* 0: nobody */
    uint32_t                    signature;

    int64_t                     clock;      /* ms from ngx_zapier_clock() to
                                               the time of Redis, 0: unknown */
    ngx_zapier_token_counters_t counters;
} ngx_zapier_token_state_t;

#define ngx_zapier_token_count(tokens, name)                                 \
    (void) ngx_atomic_fetch_add(&ngx_zapier_token_counters(tokens)->name, 1)


/* ngx_zapier_token.c */

/*
 * Goes on with what is known: hands it to the look-up, or waits for a
 * refresh.
 *
 * NGX_OK     done
 * NGX_AGAIN  op's handler will be called
 * NGX_ERROR  no memory
 */
ngx_int_t ngx_zapier_token_settle(ngx_zapier_token_worker_t *worker,
    ngx_zapier_token_key_t *key, ngx_zapier_token_op_t *op,
    ngx_zapier_token_value_t *value);

/* Hands a value to a look-up.  NGX_OK or NGX_ERROR (no memory). */
ngx_int_t ngx_zapier_token_fill(ngx_zapier_token_op_t *op,
    ngx_zapier_token_value_t *value);


/* ngx_zapier_token_flight.c */

/*
 * NGX_OK     *value is the result
 * NGX_AGAIN  op's handler will be called
 * NGX_ERROR  no memory
 */
ngx_int_t ngx_zapier_token_flight_join(ngx_zapier_token_worker_t *worker,
    ngx_zapier_token_key_t *key, ngx_zapier_token_op_t *op,
    ngx_zapier_token_value_t *value);

/* Those who wait are not called. */
void ngx_zapier_token_flights_destroy(ngx_zapier_token_worker_t *worker);


/* ngx_zapier_token_reply.c */

/* fields of a record that are read, in this order: access_token,
 * refresh_token, expires_at, scope, token_type, dead */
#define NGX_ZAPIER_TOKEN_FIELDS  6

extern ngx_str_t  ngx_zapier_token_fields[NGX_ZAPIER_TOKEN_FIELDS];

/* NGX_OK, or NGX_DECLINED: the reply is no answer to the question. */
ngx_int_t ngx_zapier_token_decode(ngx_zapier_token_worker_t *worker,
    ngx_str_t *tenant, ngx_zapier_redis_reply_t *reply,
    ngx_zapier_token_value_t *value);


/* The same for the elements of a reply. */
ngx_int_t ngx_zapier_token_decode_fields(ngx_zapier_token_worker_t *worker,
    ngx_str_t *tenant, ngx_zapier_redis_reply_t **fields,
    ngx_zapier_token_value_t *value);

/* The same for a record whose secrets are plain. */
void ngx_zapier_token_decode_record(ngx_zapier_tokens_t *tokens,
    ngx_str_t *tenant, ngx_zapier_record_t *record, ngx_uint_t refreshable,
    ngx_zapier_token_value_t *value);

/*
 * The plain text of a secret as stored, in memory zeroed with pool.
 * NGX_OK, or NGX_ERROR: it cannot be opened (logged and counted).
 */
ngx_int_t ngx_zapier_token_open(ngx_zapier_tokens_t *tokens,
    ngx_str_t *tenant, ngx_str_t *field, ngx_str_t *stored, ngx_pool_t *pool,
    ngx_str_t *plain);

/* A copy in memory zeroed with pool.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_zapier_token_keep(ngx_pool_t *pool, ngx_str_t *text,
    ngx_str_t *copy);

/* Logs an error reply, once for each kind in a row. */
void ngx_zapier_token_complain(ngx_zapier_token_worker_t *worker,
    ngx_str_t *error);


/* ngx_zapier_token_clock.c */

/* ngx_zapier_token_now() at a time by ngx_zapier_clock(). */
time_t ngx_zapier_token_time(ngx_zapier_tokens_t *tokens, uint64_t now);

/* Redis says that it is now (ms since the epoch). */
void ngx_zapier_token_clock_set(ngx_zapier_tokens_t *tokens, int64_t now);

/* Asks Redis for the time unless that was done a while ago. */
void ngx_zapier_token_clock_ask(ngx_zapier_token_worker_t *worker);

void ngx_zapier_token_clock_done(ngx_zapier_token_worker_t *worker);

/* s before its expiry when this tenant's token is to be refreshed */
time_t ngx_zapier_token_margin(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key);


/* ngx_zapier_token_lease.c */

ngx_int_t ngx_zapier_token_leases_init(ngx_zapier_tokens_t *tokens);

/*
 * Asks for the right to refresh a tenant's token for ms.
 *
 * NGX_OK        granted, or still held
 * NGX_BUSY      another worker has it
 * NGX_DECLINED  nobody is to try now, value has result and retry
 */
ngx_int_t ngx_zapier_token_lease_claim(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, uint64_t id, ngx_msec_t ms,
    ngx_zapier_token_value_t *value);

/* Gives it back, with value->retry ms of pause. */
void ngx_zapier_token_lease_release(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, uint64_t id,
    ngx_zapier_token_value_t *value);

/* Ends a pause. */
void ngx_zapier_token_lease_resume(ngx_zapier_tokens_t *tokens,
    ngx_str_t *tenant);

/* Would it be futile to ask now? */
ngx_uint_t ngx_zapier_token_lease_taken(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key);

/*
 * Upstream refuses the token whose header value has this CRC.  NGX_OK: it
 * is to be refreshed; NGX_DECLINED: it has just been.  Under the mutex.
 */
ngx_int_t ngx_zapier_token_lease_refuse(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, uint32_t refused);

/*
 * The pause after one more attempt that failed: from ms on twice as long each
 * time, at most max, and up to half as long again by chance.
 */
ngx_msec_t ngx_zapier_token_lease_backoff(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, ngx_msec_t ms, ngx_msec_t max);

/* The CRC of what upstream refuses, 0: nothing.  Under the mutex. */
uint32_t ngx_zapier_token_lease_refused(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key);


/* ngx_zapier_token_refresh.c */

/* Refreshes a token that still serves. */
void ngx_zapier_token_refresh_ahead(ngx_zapier_token_worker_t *worker,
    ngx_zapier_token_key_t *key, ngx_zapier_token_op_t *op,
    ngx_zapier_token_value_t *value);

/*
 * Waits for a refresh.
 *
 * NGX_OK     *value is the result
 * NGX_AGAIN  op's handler will be called
 * NGX_ERROR  no memory
 */
ngx_int_t ngx_zapier_token_refresh_join(ngx_zapier_token_worker_t *worker,
    ngx_zapier_token_key_t *key, ngx_zapier_token_op_t *op,
    ngx_zapier_token_value_t *value);

/* Those who wait are not called. */
void ngx_zapier_token_refreshes_destroy(ngx_zapier_token_worker_t *worker);


/* An app's tokens are records under names that no tenant has: *app:DIGEST */

#define ngx_zapier_token_minted(tenant)                                      \
    ((tenant)->len != 0 && (tenant)->data[0] == '*')


/* ngx_zapier_token_watch.c */

ngx_int_t ngx_zapier_token_watch_init(ngx_zapier_token_worker_t *worker);
void ngx_zapier_token_watch_done(ngx_zapier_token_worker_t *worker);

/*
 * 1 if Redis has just come back, perhaps as another server with an older
 * record: other nodes are given time to mend it.
 */
ngx_uint_t ngx_zapier_token_watch_unsettled(ngx_zapier_tokens_t *tokens);


#endif /* _NGX_ZAPIER_TOKEN_PRIVATE_H_INCLUDED_ */
