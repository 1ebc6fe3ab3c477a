
/*
 * The steps of a refresh: lock, call, store.
 *
 * What is not known to have failed may have succeeded: after a lost answer
 * a refresh waits a while, reads the record again, and tries once more;
 * then only at long intervals.  The record says that an attempt is under
 * way, so that this holds as well when who made it has died.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_scripts.h>
#include <ngx_zapier_token_refresh.h>


/* ms that a lost answer, or its reader, is given to turn up */
#define NGX_ZAPIER_GRANT_CAUTION   1000

/* ms between attempts whose outcome nobody knows */
#define NGX_ZAPIER_GRANT_UNKNOWN      30000
#define NGX_ZAPIER_GRANT_UNKNOWN_MAX  300000

/* ms after a refusal, which an operator must mend */
#define NGX_ZAPIER_GRANT_REFUSED   30000

/* ms after what will pass, and if Redis cannot be asked */
#define NGX_ZAPIER_GRANT_LATER     2000
#define NGX_ZAPIER_GRANT_LATER_MAX 300000
#define NGX_ZAPIER_GRANT_STORE     500

/* times that one refresh takes the lock, against records that never rest */
#define NGX_ZAPIER_GRANT_ROUNDS    200


/* what redis/scripts/token_lock.lua answers */
typedef enum {
    NGX_ZAPIER_LOCK_BUSY = 0,
    NGX_ZAPIER_LOCK_GRANTED,
    NGX_ZAPIER_LOCK_NOT_DUE,
    NGX_ZAPIER_LOCK_NOTHING,
    NGX_ZAPIER_LOCK_PAUSE
} ngx_zapier_lock_code_e;

#define NGX_ZAPIER_LOCK_FIELDS     4
#define NGX_ZAPIER_LOCK_ELTS                                                 \
    (NGX_ZAPIER_LOCK_FIELDS + NGX_ZAPIER_TOKEN_FIELDS)


typedef void (*ngx_zapier_grant_pt)(ngx_zapier_redis_eval_t *eval);


static ngx_int_t ngx_zapier_grant_eval(ngx_zapier_token_refresh_t *refresh,
    ngx_zapier_redis_script_t *script, ngx_uint_t n,
    ngx_zapier_grant_pt handler);
static void ngx_zapier_grant_locked(ngx_zapier_redis_eval_t *eval);
static ngx_int_t ngx_zapier_grant_read(ngx_zapier_token_refresh_t *refresh,
    ngx_zapier_redis_reply_t *reply);
static void ngx_zapier_grant_decide(ngx_zapier_token_refresh_t *refresh,
    int64_t code, int64_t number);
static ngx_int_t ngx_zapier_grant_own(ngx_zapier_token_refresh_t *refresh,
    ngx_zapier_redis_reply_t *reply);
static void ngx_zapier_grant_begin(ngx_zapier_token_refresh_t *refresh);
static void ngx_zapier_grant_call(ngx_zapier_token_refresh_t *refresh);
static void ngx_zapier_grant_called(ngx_zapier_oauth_call_t *call);
static void ngx_zapier_grant_lost(ngx_zapier_token_refresh_t *refresh);
static void ngx_zapier_grant_store(ngx_zapier_token_refresh_t *refresh);
static void ngx_zapier_grant_write(ngx_zapier_token_refresh_t *refresh);
static void ngx_zapier_grant_rewrite(ngx_zapier_token_refresh_t *refresh);
static ngx_int_t ngx_zapier_grant_seal(ngx_zapier_token_refresh_t *refresh,
    ngx_str_t *field, ngx_str_t *plain, ngx_str_t *value);
static void ngx_zapier_grant_stored(ngx_zapier_redis_eval_t *eval);
static void ngx_zapier_grant_use(ngx_zapier_token_refresh_t *refresh);
static void ngx_zapier_grant_dead(ngx_zapier_token_refresh_t *refresh);
static void ngx_zapier_grant_marked(ngx_zapier_redis_eval_t *eval);
static void ngx_zapier_grant_release(ngx_zapier_token_refresh_t *refresh,
    ngx_msec_t pause, const char *keep);
static void ngx_zapier_grant_released(ngx_zapier_redis_eval_t *eval);
static void ngx_zapier_grant_wait(ngx_zapier_token_refresh_t *refresh);
static void ngx_zapier_grant_again(ngx_zapier_token_refresh_t *refresh);
static void ngx_zapier_grant_fail(ngx_zapier_token_refresh_t *refresh,
    ngx_zapier_token_result_e result, ngx_msec_t retry);
static void ngx_zapier_grant_renew(ngx_event_t *ev);
static void ngx_zapier_grant_renewed(ngx_zapier_redis_eval_t *eval);


static ngx_zapier_redis_script_t  ngx_zapier_grant_lock =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_TOKEN_LOCK);
static ngx_zapier_redis_script_t  ngx_zapier_grant_rotate =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_TOKEN_ROTATE);
static ngx_zapier_redis_script_t  ngx_zapier_grant_mark =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_TOKEN_DEAD);
static ngx_zapier_redis_script_t  ngx_zapier_grant_unlock =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_TOKEN_RELEASE);
static ngx_zapier_redis_script_t  ngx_zapier_grant_keep =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_TOKEN_RENEW);


ngx_int_t
ngx_zapier_token_refresh_lock(ngx_zapier_token_refresh_t *refresh)
{
    ngx_str_t  *args;

    args = refresh->args;

    args[2] = refresh->owner;

    args[3].data = refresh->number;
    args[3].len = ngx_sprintf(refresh->number, "%d", NGX_ZAPIER_REFRESH_LOCK)
                  - refresh->number;

    args[4].data = args[3].data + args[3].len;
    args[4].len = ngx_sprintf(args[4].data, "%T", refresh->due)
                  - args[4].data;

    ngx_str_set(&args[5], "mint");
    args[5].len = refresh->mint ? 4 : 0;

    if (refresh->rounds++ == NGX_ZAPIER_GRANT_ROUNDS
        || ngx_zapier_grant_eval(refresh, &ngx_zapier_grant_lock, 6,
                                 ngx_zapier_grant_locked)
           != NGX_OK)
    {
        refresh->value.result = NGX_ZAPIER_TOKEN_UNAVAILABLE;
        refresh->value.retry = NGX_ZAPIER_GRANT_STORE;

        return NGX_OK;
    }

    return NGX_AGAIN;
}


void
ngx_zapier_token_refresh_stop(ngx_zapier_token_refresh_t *refresh)
{
    if (refresh->evaluating) {
        ngx_zapier_redis_eval_cancel(&refresh->eval);
        refresh->evaluating = 0;
    }

    if (refresh->renewing) {
        ngx_zapier_redis_eval_cancel(&refresh->renewal);
        refresh->renewing = 0;
    }

    if (refresh->renew.timer_set) {
        ngx_del_timer(&refresh->renew);
    }

    if (refresh->timer.timer_set) {
        ngx_del_timer(&refresh->timer);
    }
}


/* Calls a script with the keys and the n arguments of refresh->args. */

static ngx_int_t
ngx_zapier_grant_eval(ngx_zapier_token_refresh_t *refresh,
    ngx_zapier_redis_script_t *script, ngx_uint_t n,
    ngx_zapier_grant_pt handler)
{
    refresh->args[0] = refresh->keys[0];
    refresh->args[1] = refresh->keys[1];

    refresh->eval.handler = handler;
    refresh->eval.data = refresh;

    if (ngx_zapier_redis_eval(refresh->tokens->redis, &refresh->eval, script,
                              NGX_ZAPIER_REFRESH_KEYS, n, refresh->args)
        != NGX_AGAIN)
    {
        return NGX_ERROR;
    }

    refresh->evaluating = 1;

    return NGX_OK;
}


static void
ngx_zapier_grant_locked(ngx_zapier_redis_eval_t *eval)
{
    ngx_zapier_redis_reply_t    *reply;
    ngx_zapier_token_refresh_t  *refresh;

    refresh = eval->data;
    refresh->evaluating = 0;

    reply = eval->reply;

    if (eval->status != NGX_OK
        || ngx_zapier_grant_read(refresh, reply) != NGX_OK)
    {
        ngx_zapier_grant_fail(refresh, NGX_ZAPIER_TOKEN_UNAVAILABLE,
                              NGX_ZAPIER_GRANT_STORE);
        return;
    }

    if (reply->elts[0]->integer == NGX_ZAPIER_LOCK_GRANTED
        && ngx_zapier_grant_own(refresh, reply) != NGX_OK)
    {
        ngx_zapier_grant_release(refresh, NGX_ZAPIER_GRANT_LATER, "");
        return;
    }

    ngx_zapier_grant_decide(refresh, reply->elts[0]->integer,
                            reply->elts[1]->integer);
}


static ngx_int_t
ngx_zapier_grant_read(ngx_zapier_token_refresh_t *refresh,
    ngx_zapier_redis_reply_t *reply)
{
    ngx_uint_t                  i;
    ngx_zapier_token_worker_t  *worker;

    worker = refresh->tokens->worker;

    if (reply->type != NGX_ZAPIER_REDIS_ARRAY
        || reply->nelts != NGX_ZAPIER_LOCK_ELTS)
    {
        ngx_zapier_token_complain(worker, &reply->str);
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_ZAPIER_LOCK_FIELDS; i++) {
        if (reply->elts[i]->type != NGX_ZAPIER_REDIS_INTEGER) {
            return NGX_ERROR;
        }
    }

    ngx_zapier_token_clock_set(refresh->tokens, reply->elts[2]->integer);

    return ngx_zapier_token_decode_fields(worker, &refresh->key.tenant,
                                          &reply->elts[NGX_ZAPIER_LOCK_FIELDS],
                                          &refresh->value);
}


static void
ngx_zapier_grant_decide(ngx_zapier_token_refresh_t *refresh, int64_t code,
    int64_t number)
{
    ngx_uint_t                 usable;
    ngx_zapier_token_value_t  *value;

    value = &refresh->value;

    usable = value->result == NGX_ZAPIER_TOKEN_OK
             && (refresh->refused == 0
                 || refresh->refused
                    != ngx_crc32_long(value->data, value->authorization_len));

    switch (code) {

    case NGX_ZAPIER_LOCK_GRANTED:

        if (usable && refresh->refused) {

            /* somebody has done it between the refusal and now */

            ngx_zapier_grant_release(refresh, 0, "");
            return;
        }

        refresh->attempts = number;
        ngx_zapier_grant_begin(refresh);
        return;

    case NGX_ZAPIER_LOCK_BUSY:

        if (!usable && refresh->patient) {

            /* what is forced is done by who came first */

            if (refresh->due < 0 && refresh->refused == 0) {
                refresh->due = 0;
            }

            ngx_zapier_grant_again(refresh);
            return;
        }

        value->retry = NGX_ZAPIER_GRANT_STORE;
        break;

    case NGX_ZAPIER_LOCK_PAUSE:

        if (!usable) {
            value->result = NGX_ZAPIER_TOKEN_EXPIRED;
        }

        value->retry = ngx_max(number, 1);
        break;

    default: /* NGX_ZAPIER_LOCK_NOT_DUE, NGX_ZAPIER_LOCK_NOTHING */
        break;
    }

    ngx_zapier_token_refresh_end(refresh);
}


/* What is needed of the record while the lock is held. */

static ngx_int_t
ngx_zapier_grant_own(ngx_zapier_token_refresh_t *refresh,
    ngx_zapier_redis_reply_t *reply)
{
    u_char                    *p;
    ngx_pool_t                *pool;
    ngx_zapier_redis_reply_t **fields;

    static ngx_str_t  field = ngx_string("refresh_token");

    pool = refresh->pool;
    fields = &reply->elts[NGX_ZAPIER_LOCK_FIELDS];

    p = ngx_pnalloc(pool, refresh->owner.len + 1 + NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    refresh->lock.data = p;
    refresh->lock.len = ngx_sprintf(p, "%V:%L", &refresh->owner,
                                    reply->elts[3]->integer)
                        - p;

    if (ngx_zapier_token_keep(pool, &fields[3]->str, &refresh->scope)
            != NGX_OK
        || ngx_zapier_token_keep(pool, &fields[4]->str, &refresh->type)
           != NGX_OK
        || ngx_zapier_token_keep(pool, &fields[1]->str, &refresh->spent)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (refresh->mint) {
        return NGX_OK;
    }

    return ngx_zapier_token_open(refresh->tokens, &refresh->key.tenant, &field,
                                 &refresh->spent, pool, &refresh->plain);
}


static void
ngx_zapier_grant_begin(ngx_zapier_token_refresh_t *refresh)
{
    if (!refresh->renew.timer_set && !refresh->renewing) {
        refresh->renew.handler = ngx_zapier_grant_renew;
        refresh->renew.data = refresh;
        refresh->renew.log = ngx_cycle->log;

        ngx_add_timer(&refresh->renew, NGX_ZAPIER_REFRESH_RENEW);
    }

    if (refresh->attempts > 1 && !refresh->cautious) {

        ngx_zapier_token_count(refresh->tokens, refresh_resumed);

        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "an earlier refresh of the token of tenant \"%V\" has "
                      "no known outcome, trying again",
                      &refresh->key.tenant);

        ngx_zapier_grant_wait(refresh);
        return;
    }

    ngx_zapier_grant_call(refresh);
}


static void
ngx_zapier_grant_call(ngx_zapier_token_refresh_t *refresh)
{
    ngx_uint_t                 n;
    ngx_zapier_oauth_t        *oauth;
    ngx_zapier_oauth_param_t   params[2];

    oauth = refresh->tokens->oauth;

    ngx_str_set(&params[0].name, "grant_type");

    if (refresh->mint) {
        ngx_str_set(&params[0].value, "client_credentials");
        n = 1;

    } else {
        ngx_str_set(&params[0].value, "refresh_token");
        ngx_str_set(&params[1].name, "refresh_token");
        params[1].value = refresh->plain;
        n = 2;
    }

    ngx_memzero(&refresh->call, sizeof(ngx_zapier_oauth_call_t));

    refresh->call.origin = refresh->origin;
    refresh->call.handler = ngx_zapier_grant_called;
    refresh->call.data = refresh;

    if (ngx_zapier_oauth_request(oauth, refresh->pool, params, n,
                                 &refresh->call)
            != NGX_OK
        || oauth->call(oauth, &refresh->call) != NGX_AGAIN)
    {
        ngx_zapier_grant_release(refresh, NGX_ZAPIER_GRANT_LATER, "");
    }
}


static void
ngx_zapier_grant_called(ngx_zapier_oauth_call_t *call)
{
    ngx_msec_t                   pause;
    ngx_zapier_oauth_answer_t   *answer;
    ngx_zapier_token_refresh_t  *refresh;

    refresh = call->data;
    answer = &refresh->answer;

    if (ngx_zapier_oauth_parse(call, refresh->pool, answer) != NGX_OK) {
        answer->result = NGX_ZAPIER_OAUTH_UNKNOWN;
        ngx_str_set(&answer->error, "no memory");
    }

    switch (answer->result) {

    case NGX_ZAPIER_OAUTH_GRANTED:
        ngx_zapier_grant_store(refresh);
        return;

    case NGX_ZAPIER_OAUTH_DEAD:

        if (!refresh->mint) {
            ngx_zapier_grant_dead(refresh);
            return;
        }

        /* fall through */

    case NGX_ZAPIER_OAUTH_REFUSED:
        ngx_zapier_token_count(refresh->tokens, refresh_refused);
        pause = NGX_ZAPIER_GRANT_REFUSED;

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "the token endpoint refused the refresh for tenant "
                      "\"%V\": status %ui, \"%V\"; look at "
                      "\"zapier_oauth_client\" and \"zapier_oauth_token\"",
                      &refresh->key.tenant, call->status, &answer->error);
        break;

    case NGX_ZAPIER_OAUTH_TRANSIENT:
        ngx_zapier_token_count(refresh->tokens, refresh_failed);

        pause = NGX_ZAPIER_GRANT_LATER + ngx_random() % NGX_ZAPIER_GRANT_LATER;

        if (call->retry_after > 0) {
            pause = (ngx_msec_t) ngx_min(call->retry_after * 1000,
                                         NGX_ZAPIER_GRANT_LATER_MAX);
        }

        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "the refresh for tenant \"%V\" failed for now: status "
                      "%ui, \"%V\"", &refresh->key.tenant, call->status,
                      &answer->error);
        break;

    default: /* NGX_ZAPIER_OAUTH_UNKNOWN */
        ngx_zapier_grant_lost(refresh);
        return;
    }

    ngx_zapier_grant_release(refresh, pause, "");
}


/* The answer is lost; the token may have been rotated or not. */

static void
ngx_zapier_grant_lost(ngx_zapier_token_refresh_t *refresh)
{
    ngx_msec_t  pause;

    ngx_zapier_token_count(refresh->tokens, refresh_unknown);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "the outcome of the refresh for tenant \"%V\" is not "
                  "known: status %ui, \"%V\"", &refresh->key.tenant,
                  refresh->call.status, &refresh->answer.error);

    if (!refresh->cautious) {
        ngx_zapier_grant_wait(refresh);
        return;
    }

    pause = NGX_ZAPIER_GRANT_UNKNOWN * ngx_max(refresh->attempts, 1);

    ngx_zapier_grant_release(refresh,
                             ngx_min(pause, NGX_ZAPIER_GRANT_UNKNOWN_MAX),
                             "keep");
}


static void
ngx_zapier_grant_store(ngx_zapier_token_refresh_t *refresh)
{
    u_char                     *p;
    time_t                      expires;
    ngx_str_t                  *args;
    ngx_zapier_oauth_answer_t  *answer;

    static ngx_str_t  access = ngx_string("access_token");
    static ngx_str_t  again = ngx_string("refresh_token");

    args = refresh->args;
    answer = &refresh->answer;

    if (answer->refresh_token.len == 0) {

        /* the server does not rotate: ours goes on, written anew */

        answer->refresh_token = refresh->plain;
    }

    if (answer->scope.len == 0) {
        answer->scope = refresh->scope;
    }

    if (answer->token_type.len == 0) {
        answer->token_type = refresh->type;
    }

    p = ngx_pnalloc(refresh->pool, NGX_TIME_T_LEN);
    if (p == NULL
        || ngx_zapier_grant_seal(refresh, &access, &answer->access_token,
                                 &args[4])
           != NGX_OK
        || ngx_zapier_grant_seal(refresh, &again, &answer->refresh_token,
                                 &args[5])
           != NGX_OK)
    {
        ngx_zapier_grant_lost(refresh);
        return;
    }

    args[2] = refresh->lock;
    args[3] = refresh->spent;
    args[6].data = p;
    args[6].len = 0;

    if (answer->expires_in >= 0) {
        expires = ngx_zapier_token_now(refresh->tokens)
                  + (time_t) answer->expires_in;

        args[6].len = ngx_sprintf(p, "%T", expires) - p;
    }

    args[7] = answer->scope;
    args[8] = answer->token_type;

    refresh->delay = NGX_ZAPIER_GRANT_STORE / 4;

    ngx_zapier_grant_write(refresh);
}


/*
 * Nobody else has this pair: it is written again until Redis says that it
 * has it.  Those who wait give up when their time has come.
 */

static void
ngx_zapier_grant_write(ngx_zapier_token_refresh_t *refresh)
{
    if (ngx_zapier_grant_eval(refresh, &ngx_zapier_grant_rotate, 9,
                              ngx_zapier_grant_stored)
        != NGX_OK)
    {
        ngx_zapier_grant_rewrite(refresh);
    }
}


static void
ngx_zapier_grant_rewrite(ngx_zapier_token_refresh_t *refresh)
{
    refresh->resume = ngx_zapier_grant_write;

    ngx_add_timer(&refresh->timer, refresh->delay);

    refresh->delay = ngx_min(refresh->delay * 2, NGX_ZAPIER_GRANT_STORE);
}


static ngx_int_t
ngx_zapier_grant_seal(ngx_zapier_token_refresh_t *refresh, ngx_str_t *field,
    ngx_str_t *plain, ngx_str_t *value)
{
    u_char  *p;

    if (refresh->tokens->keyring == NULL || plain->len == 0) {
        *value = *plain;
        return NGX_OK;
    }

    p = ngx_pnalloc(refresh->pool, ngx_zapier_seal_len(plain->len));
    if (p == NULL) {
        return NGX_ERROR;
    }

    return ngx_zapier_seal(refresh->tokens->keyring, &refresh->key.tenant,
                           field, plain, p, value);
}


static void
ngx_zapier_grant_stored(ngx_zapier_redis_eval_t *eval)
{
    ngx_zapier_redis_reply_t    *reply;
    ngx_zapier_token_refresh_t  *refresh;

    refresh = eval->data;
    refresh->evaluating = 0;

    reply = eval->reply;

    if (eval->status != NGX_OK || reply->type != NGX_ZAPIER_REDIS_INTEGER) {

        if (eval->status == NGX_OK) {
            ngx_zapier_token_complain(refresh->tokens->worker, &reply->str);
        }

        ngx_zapier_grant_rewrite(refresh);
        return;
    }

    refresh->resume = NULL;
    refresh->lock.len = 0;

    if (reply->integer == 0) {

        /* a record written meanwhile is what somebody wants us to use */

        refresh->refused = 0;
        refresh->due = 0;

        ngx_zapier_grant_again(refresh);
        return;
    }

    ngx_zapier_token_count(refresh->tokens, refreshed);

    ngx_zapier_grant_use(refresh);
}


static void
ngx_zapier_grant_use(ngx_zapier_token_refresh_t *refresh)
{
    ngx_zapier_record_t         record;
    ngx_zapier_oauth_answer_t  *answer;

    answer = &refresh->answer;

    ngx_memzero(&record, sizeof(ngx_zapier_record_t));

    record.access_token = answer->access_token;
    record.expires_at = refresh->args[6];
    record.scope = answer->scope;
    record.token_type = answer->token_type;

    ngx_zapier_token_value_zero(&refresh->value);

    ngx_zapier_token_decode_record(refresh->tokens, &refresh->key.tenant,
                                   &record, answer->refresh_token.len != 0,
                                   &refresh->value);

    refresh->value.source = NGX_ZAPIER_TOKEN_REFRESHED;

    ngx_zapier_token_refresh_end(refresh);
}


/* Redis compares: who has changed the record meanwhile is not marked. */

static void
ngx_zapier_grant_dead(ngx_zapier_token_refresh_t *refresh)
{
    refresh->args[2] = refresh->lock;
    refresh->args[3] = refresh->spent;

    if (ngx_zapier_grant_eval(refresh, &ngx_zapier_grant_mark, 4,
                              ngx_zapier_grant_marked)
        != NGX_OK)
    {
        ngx_zapier_grant_fail(refresh, NGX_ZAPIER_TOKEN_UNAVAILABLE,
                              NGX_ZAPIER_GRANT_STORE);
    }
}


static void
ngx_zapier_grant_marked(ngx_zapier_redis_eval_t *eval)
{
    ngx_zapier_token_refresh_t  *refresh;

    refresh = eval->data;
    refresh->evaluating = 0;

    if (eval->status != NGX_OK
        || eval->reply->type != NGX_ZAPIER_REDIS_INTEGER)
    {
        ngx_zapier_grant_fail(refresh, NGX_ZAPIER_TOKEN_UNAVAILABLE,
                              NGX_ZAPIER_GRANT_STORE);
        return;
    }

    refresh->lock.len = 0;

    if (eval->reply->integer == 0) {
        ngx_zapier_grant_again(refresh);
        return;
    }

    ngx_zapier_token_count(refresh->tokens, refresh_dead);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "the refresh token of tenant \"%V\" is void, the tenant "
                  "must authorize again", &refresh->key.tenant);

    /* the token at hand serves while it lasts, unless upstream refused it */

    refresh->value.refreshable = 0;

    if (refresh->refused || refresh->value.result != NGX_ZAPIER_TOKEN_OK) {
        refresh->value.result = NGX_ZAPIER_TOKEN_REAUTHORIZE;
    }

    ngx_zapier_token_refresh_end(refresh);
}


/* Ends with the value at hand, if it may be used. */

static void
ngx_zapier_grant_release(ngx_zapier_token_refresh_t *refresh,
    ngx_msec_t pause, const char *keep)
{
    u_char  *p;

    if (pause
        && (refresh->refused || refresh->value.result != NGX_ZAPIER_TOKEN_OK))
    {
        refresh->value.result = NGX_ZAPIER_TOKEN_EXPIRED;
    }

    refresh->value.retry = pause;

    refresh->args[2] = refresh->lock;

    p = refresh->number;

    refresh->args[3].data = p;
    refresh->args[3].len = ngx_sprintf(p, "%M", pause) - p;

    refresh->args[4].data = (u_char *) keep;
    refresh->args[4].len = ngx_strlen(keep);

    if (refresh->lock.len == 0
        || ngx_zapier_grant_eval(refresh, &ngx_zapier_grant_unlock, 5,
                                 ngx_zapier_grant_released)
           != NGX_OK)
    {
        ngx_zapier_token_refresh_end(refresh);
    }
}


/* If it was not done, the lock lapses by itself. */

static void
ngx_zapier_grant_released(ngx_zapier_redis_eval_t *eval)
{
    ngx_zapier_token_refresh_t  *refresh;

    refresh = eval->data;
    refresh->evaluating = 0;

    ngx_zapier_token_refresh_end(refresh);
}


/* A lost answer, or its reader, may still turn up. */

static void
ngx_zapier_grant_wait(ngx_zapier_token_refresh_t *refresh)
{
    refresh->cautious = 1;
    refresh->resume = ngx_zapier_grant_again;

    ngx_add_timer(&refresh->timer, NGX_ZAPIER_GRANT_CAUTION);
}


static void
ngx_zapier_grant_again(ngx_zapier_token_refresh_t *refresh)
{
    refresh->resume = NULL;

    if (refresh->lock.len == 0 && refresh->patient) {
        (void) ngx_zapier_token_refresh_poll(refresh);
        return;
    }

    if (ngx_zapier_token_refresh_lock(refresh) != NGX_AGAIN) {
        ngx_zapier_token_refresh_end(refresh);
    }
}


static void
ngx_zapier_grant_fail(ngx_zapier_token_refresh_t *refresh,
    ngx_zapier_token_result_e result, ngx_msec_t retry)
{
    if (refresh->refused || refresh->value.result != NGX_ZAPIER_TOKEN_OK) {
        refresh->value.result = result;
    }

    refresh->value.retry = retry;

    ngx_zapier_token_refresh_end(refresh);
}


static void
ngx_zapier_grant_renew(ngx_event_t *ev)
{
    u_char                      *p;
    ngx_str_t                    argv[3];
    ngx_zapier_token_refresh_t  *refresh;

    refresh = ev->data;

    (void) ngx_zapier_token_lease_claim(refresh->tokens, &refresh->key,
                                        refresh->id, NGX_ZAPIER_REFRESH_LOCK,
                                        &refresh->value);

    p = refresh->hold;

    argv[0] = refresh->keys[1];
    argv[1] = refresh->lock;
    argv[2].data = p;
    argv[2].len = ngx_sprintf(p, "%d", NGX_ZAPIER_REFRESH_LOCK) - p;

    refresh->renewal.handler = ngx_zapier_grant_renewed;
    refresh->renewal.data = refresh;

    if (refresh->lock.len
        && ngx_zapier_redis_eval(refresh->tokens->redis, &refresh->renewal,
                                 &ngx_zapier_grant_keep, 1, 3, argv)
           == NGX_AGAIN)
    {
        refresh->renewing = 1;
        return;
    }

    ngx_add_timer(ev, NGX_ZAPIER_REFRESH_RENEW);
}


/* Lost or not: the call is under way, and the record is compared later. */

static void
ngx_zapier_grant_renewed(ngx_zapier_redis_eval_t *eval)
{
    ngx_zapier_token_refresh_t  *refresh;

    refresh = eval->data;
    refresh->renewing = 0;

    ngx_add_timer(&refresh->renew, NGX_ZAPIER_REFRESH_RENEW);
}
