
/*
 * What the files of a refresh share: ngx_zapier_token_refresh.c has the
 * flight and those who wait for it, ngx_zapier_token_lock.c the lock that
 * keeps nodes apart, ngx_zapier_token_grant.c what is done under it.
 */


#ifndef _NGX_ZAPIER_TOKEN_REFRESH_H_INCLUDED_
#define _NGX_ZAPIER_TOKEN_REFRESH_H_INCLUDED_


#include <ngx_zapier_redis_script.h>
#include <ngx_zapier_token_private.h>
#include <ngx_zapier_token_rescue.h>


/* ms after a refusal, which an operator must mend */
#define NGX_ZAPIER_REFRESH_REFUSED  30000

/* ms that a lock lasts if nobody renews it, between renewals, and after one
 * that failed: sooner than other nodes go on when Redis has come back */
#define NGX_ZAPIER_REFRESH_LOCK   6000
#define NGX_ZAPIER_REFRESH_RENEW  1000
#define NGX_ZAPIER_REFRESH_AGAIN  250

/* ms after what will pass, and after Redis could not be asked */
#define NGX_ZAPIER_REFRESH_LATER  2000
#define NGX_ZAPIER_REFRESH_STORE  500

#define NGX_ZAPIER_REFRESH_KEYS   NGX_ZAPIER_PAIR_KEYS
#define NGX_ZAPIER_REFRESH_ARGS   NGX_ZAPIER_PAIR_ARGS


typedef struct ngx_zapier_token_refresh_s  ngx_zapier_token_refresh_t;

/* one refresh of one tenant's token in this worker */
struct ngx_zapier_token_refresh_s {
    ngx_zapier_tokens_t        *tokens;
    ngx_pool_t                 *pool;
    void                       *unused;
    ngx_socket_t                fd;         /* see the worker's */

    ngx_str_node_t              node;       /* among the worker's */
    ngx_zapier_token_key_t      key;
    uint64_t                    id;
    uint64_t                    started;
    void                       *origin;
    ngx_queue_t                 waiters;
    ngx_event_t                 overdue;    /* of the first of them */
    ngx_event_t                 timer;
    ngx_msec_t                  delay;
    void                      (*resume)(ngx_zapier_token_refresh_t *refresh);

    time_t                      due;        /* s before expiry, -1: always */
    uint32_t                    refused;    /* the token not to be got again,
                                               0: none */
    ngx_str_t                   keys[NGX_ZAPIER_REFRESH_KEYS];
    ngx_str_t                   owner;
    ngx_str_t                   lock;       /* its value, once it is ours */
    ngx_zapier_redis_eval_t     eval;
    u_char                      number[NGX_INT64_LEN];

    ngx_event_t                 renew;
    ngx_zapier_redis_eval_t     renewal;
    u_char                      hold[NGX_INT64_LEN];

    int64_t                     version;    /* of the record */
    ngx_str_t                   spent;      /* refresh token as stored */
    ngx_str_t                   plain;      /* the same to be sent */
    ngx_str_t                   scope;
    ngx_str_t                   type;
    ngx_str_t                   mint_scope;
    ngx_zapier_oauth_call_t     call;
    ngx_zapier_oauth_answer_t   answer;
    ngx_zapier_token_pair_t     pair;       /* as it is written */
    ngx_str_t                   args[NGX_ZAPIER_REFRESH_ARGS];

    uint64_t                    attempts;   /* whose outcome is not known */
    ngx_uint_t                  rounds;     /* the record was locked */
    ngx_zapier_token_value_t    value;      /* what comes of it */

    unsigned                    mint:1;     /* client credentials */
    unsigned                    force:1;
    unsigned                    patient:1;  /* somebody waits for it */
    unsigned                    cautious:1; /* waited for a lost answer */
    unsigned                    rescued:1;  /* the pair outlives us */
    unsigned                    restored:1; /* it is an older one of ours */
    unsigned                    told:1;     /* before it was written */
    unsigned                    evaluating:1;
    unsigned                    renewing:1;
};


/* ngx_zapier_token_refresh.c */

/* Looks again in a while.  NGX_AGAIN, or NGX_OK: nobody cares. */
ngx_int_t ngx_zapier_token_refresh_poll(ngx_zapier_token_refresh_t *refresh);

/* Tells those who wait what refresh->value is. */
void ngx_zapier_token_refresh_tell(ngx_zapier_token_refresh_t *refresh);

/* The same, and is gone. */
void ngx_zapier_token_refresh_end(ngx_zapier_token_refresh_t *refresh);


/* ngx_zapier_token_lock.c */

typedef void (*ngx_zapier_token_refresh_pt)(ngx_zapier_redis_eval_t *eval);

/*
 * Takes the lock and goes on from there.
 *
 * NGX_AGAIN  ngx_zapier_token_refresh_end() will be called, never from here
 * NGX_OK     refresh->value is the result
 */
ngx_int_t ngx_zapier_token_refresh_lock(ngx_zapier_token_refresh_t *refresh);

/* Reads the record again, under the lock. */
void ngx_zapier_token_refresh_again(ngx_zapier_token_refresh_t *refresh);

/* The same after a while: a lost answer, or its reader, may turn up. */
void ngx_zapier_token_refresh_pause(ngx_zapier_token_refresh_t *refresh);

/*
 * Gives the lock back and ends with the value at hand.  Nobody tries again
 * for pause ms; keep: "keep" if the outcome is not known, else "".
 */
void ngx_zapier_token_refresh_release(ngx_zapier_token_refresh_t *refresh,
    ngx_msec_t pause, const char *keep);

/* Ends with this result, unless the token at hand still serves. */
void ngx_zapier_token_refresh_fail(ngx_zapier_token_refresh_t *refresh,
    ngx_zapier_token_result_e result, ngx_msec_t retry);

/* Calls a script with the keys and the n arguments of refresh->args.
 * NGX_OK or NGX_ERROR. */
ngx_int_t ngx_zapier_token_refresh_eval(ngx_zapier_token_refresh_t *refresh,
    ngx_zapier_redis_script_t *script, ngx_uint_t n,
    ngx_zapier_token_refresh_pt handler);

/* Stops whatever is under way. */
void ngx_zapier_token_refresh_stop(ngx_zapier_token_refresh_t *refresh);


/* ngx_zapier_token_grant.c */

/* The lock is ours. */
void ngx_zapier_token_refresh_granted(ngx_zapier_token_refresh_t *refresh);

/* ms until a call may be made again that has failed for now */
ngx_msec_t ngx_zapier_token_refresh_later(
    ngx_zapier_token_refresh_t *refresh);


/* ngx_zapier_token_mint.c: an app's token, by its client's credentials */

#define NGX_ZAPIER_MINT_PARAMS  2

/* Fills the parameters of the call; returns their number. */
ngx_uint_t ngx_zapier_token_mint_ask(ngx_zapier_token_refresh_t *refresh,
    ngx_zapier_oauth_param_t *params);

/* There is an answer.  Completes what it leaves to the one who asked. */
void ngx_zapier_token_mint_granted(ngx_zapier_token_refresh_t *refresh);

/* There is none, or a refusal. */
void ngx_zapier_token_mint_failed(ngx_zapier_token_refresh_t *refresh);


#endif /* _NGX_ZAPIER_TOKEN_REFRESH_H_INCLUDED_ */
