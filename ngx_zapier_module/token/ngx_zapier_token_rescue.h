
/*
 * Pairs that Redis may lose or has not got yet: one that was got while
 * Redis was away, or that had not reached the replica which is the master
 * now.  Shared memory keeps them for some minutes, so that they outlive the
 * worker that got them, and any worker of the node writes them again.
 *
 * A pair replaces nothing but a refresh token that is known to be spent, and
 * if Redis had it before, nothing but a record that is older.  So a record
 * that somebody has written meanwhile is never touched.
 */


#ifndef _NGX_ZAPIER_TOKEN_RESCUE_H_INCLUDED_
#define _NGX_ZAPIER_TOKEN_RESCUE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_script.h>
#include <ngx_zapier_token_private.h>


/* access_token, refresh_token, expires_at, scope, token_type, as they are
 * in Redis; empty: not known */
#define NGX_ZAPIER_PAIR_TEXTS     5

/* digests of refresh tokens that led to the pair, the last one first */
#define NGX_ZAPIER_PAIR_SPENT     4
#define NGX_ZAPIER_PAIR_DIGEST    40

/* of redis/scripts/token_rotate.lua */
#define NGX_ZAPIER_PAIR_KEYS      2
#define NGX_ZAPIER_PAIR_ARGS      (NGX_ZAPIER_PAIR_KEYS + 9)

/* what that answers */
#define NGX_ZAPIER_PAIR_OTHER     0
#define NGX_ZAPIER_PAIR_WRITTEN   1


typedef struct {
    uint64_t                    id;         /* of who got it */
    int64_t                     fence;      /* version of its record */
    ngx_str_t                   texts[NGX_ZAPIER_PAIR_TEXTS];
    ngx_uint_t                  nspent;
    u_char                      spent[NGX_ZAPIER_PAIR_SPENT]
                                     [NGX_ZAPIER_PAIR_DIGEST];
    u_char                      number[NGX_INT64_LEN];
    unsigned                    written:1;  /* Redis had it once */
} ngx_zapier_token_pair_t;


extern ngx_zapier_redis_script_t  ngx_zapier_token_rotate;


/* Adds the table to the zone; at configuration time. */
ngx_int_t ngx_zapier_token_rescue_init(ngx_zapier_tokens_t *tokens);

/* token, as stored, was spent to get the pair. */
void ngx_zapier_token_pair_spent(ngx_zapier_token_pair_t *pair,
    ngx_str_t *token);

/* Fills the arguments of ngx_zapier_token_rotate behind the keys. */
void ngx_zapier_token_pair_args(ngx_zapier_token_pair_t *pair,
    ngx_str_t *lock, ngx_str_t *args);


/*
 * Keeps a pair that is to be written by pair->id, whose business it is for
 * ms.  NGX_OK, or NGX_ERROR: no memory.
 */
ngx_int_t ngx_zapier_token_rescue_keep(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, ngx_zapier_token_pair_t *pair,
    ngx_msec_t ms);

/* It is the business of id for ms more, 0: of anybody. */
void ngx_zapier_token_rescue_hold(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, uint64_t id, ngx_msec_t ms);

/* Redis has it, or something better, if done. */
void ngx_zapier_token_rescue_done(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, uint64_t id, ngx_uint_t done);

/* The record has changed: is it still the pair, or a newer one? */
void ngx_zapier_token_rescue_changed(ngx_zapier_tokens_t *tokens,
    ngx_str_t *tenant);

/*
 * The token of a pair that Redis has not got yet.
 * NGX_OK, or NGX_DECLINED: there is none that serves, *value is as it was.
 */
ngx_int_t ngx_zapier_token_rescue_get(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, ngx_zapier_token_value_t *value);

/*
 * The record of this version holds this refresh token.  NGX_OK: Redis has
 * fallen back, *value is what it should say; NGX_DECLINED.
 */
ngx_int_t ngx_zapier_token_rescue_match(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, ngx_str_t *stored, int64_t version,
    ngx_zapier_token_value_t *value);

/* The same, for writing: *pair is in memory zeroed with pool. */
ngx_int_t ngx_zapier_token_rescue_take(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, ngx_str_t *stored, int64_t version,
    ngx_pool_t *pool, ngx_zapier_token_pair_t *pair);

/*
 * A pair that is to be written, or looked for in Redis, now; it is the
 * caller's business for ms.  since: when the watch came up, 0: it is down.
 * NGX_OK, key and pair are in memory zeroed with pool; or NGX_DECLINED.
 */
ngx_int_t ngx_zapier_token_rescue_next(ngx_zapier_tokens_t *tokens,
    uint64_t since, ngx_msec_t ms, ngx_pool_t *pool,
    ngx_zapier_token_key_t *key, ngx_zapier_token_pair_t *pair);


/* ngx_zapier_token_rescuer.c */

/* Writes what is to be written; in the worker that holds the watch. */
void ngx_zapier_token_rescuer_run(ngx_zapier_token_worker_t *worker,
    uint64_t since);

void ngx_zapier_token_rescuer_done(ngx_zapier_token_worker_t *worker);

/* Counts and logs that a pair is in Redis again. */
void ngx_zapier_token_rescued(ngx_zapier_tokens_t *tokens, ngx_str_t *tenant);


#endif /* _NGX_ZAPIER_TOKEN_RESCUE_H_INCLUDED_ */
