
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
    uint32_t                    sequence;

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
    u_char                      data[NGX_ZAPIER_RECORD_AUTHORIZATION_LEN
                                     + NGX_ZAPIER_RECORD_SCOPE_LEN];
} ngx_zapier_token_value_t;

#define ngx_zapier_token_value_zero(value)                                   \
    ngx_explicit_memzero((value)->data,                                      \
                         (value)->authorization_len + (value)->scope_len)


/* ngx_zapier_token_cache.c */

void ngx_zapier_token_key(ngx_zapier_token_key_t *key, ngx_str_t *tenant);

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
    uint64_t                    lease;
    uint32_t                    pid;        /* 0: nobody */
    uint32_t                    signature;
} ngx_zapier_token_state_t;


/* ngx_zapier_token.c */

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

/* NGX_OK, or NGX_DECLINED: the reply is no answer to the question. */
ngx_int_t ngx_zapier_token_decode(ngx_zapier_token_worker_t *worker,
    ngx_str_t *tenant, ngx_zapier_redis_reply_t *reply,
    ngx_zapier_token_value_t *value);


/* ngx_zapier_token_watch.c */

ngx_int_t ngx_zapier_token_watch_init(ngx_zapier_token_worker_t *worker);
void ngx_zapier_token_watch_done(ngx_zapier_token_worker_t *worker);


#endif /* _NGX_ZAPIER_TOKEN_PRIVATE_H_INCLUDED_ */
