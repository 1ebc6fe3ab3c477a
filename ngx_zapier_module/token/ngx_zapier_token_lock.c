
/*
 * The lock in Redis under which a token is refreshed: taken, kept while the
 * token endpoint is asked, given back.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_scripts.h>
#include <ngx_zapier_token_refresh.h>


/* ms that a lost answer, or its reader, is given to turn up */
#define NGX_ZAPIER_LOCK_CAUTION  1000

/* times that one refresh takes the lock, against records that never rest */
#define NGX_ZAPIER_LOCK_ROUNDS   200


/* what redis/scripts/token_lock.lua answers */
typedef enum {
    NGX_ZAPIER_LOCK_BUSY = 0,
    NGX_ZAPIER_LOCK_GRANTED,
    NGX_ZAPIER_LOCK_NOT_DUE,
    NGX_ZAPIER_LOCK_NOTHING,
    NGX_ZAPIER_LOCK_PAUSE
} ngx_zapier_lock_code_e;

#define NGX_ZAPIER_LOCK_FIELDS   4
#define NGX_ZAPIER_LOCK_ELTS                                                 \
    (NGX_ZAPIER_LOCK_FIELDS + NGX_ZAPIER_TOKEN_FIELDS)


static void ngx_zapier_lock_reply(ngx_zapier_redis_eval_t *eval);
static ngx_int_t ngx_zapier_lock_read(ngx_zapier_token_refresh_t *refresh,
    ngx_zapier_redis_reply_t *reply);
static void ngx_zapier_lock_decide(ngx_zapier_token_refresh_t *refresh,
    int64_t code, int64_t number);
static ngx_int_t ngx_zapier_lock_own(ngx_zapier_token_refresh_t *refresh,
    ngx_zapier_redis_reply_t *reply);
static void ngx_zapier_lock_released(ngx_zapier_redis_eval_t *eval);
static void ngx_zapier_lock_renew(ngx_event_t *ev);
static void ngx_zapier_lock_renewed(ngx_zapier_redis_eval_t *eval);


static ngx_zapier_redis_script_t  ngx_zapier_lock_take =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_TOKEN_LOCK);
static ngx_zapier_redis_script_t  ngx_zapier_lock_give =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_TOKEN_RELEASE);
static ngx_zapier_redis_script_t  ngx_zapier_lock_keep =
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

    if (refresh->rounds++ == NGX_ZAPIER_LOCK_ROUNDS
        || ngx_zapier_token_refresh_eval(refresh, &ngx_zapier_lock_take, 6,
                                 ngx_zapier_lock_reply)
           != NGX_OK)
    {
        refresh->value.result = NGX_ZAPIER_TOKEN_UNAVAILABLE;
        refresh->value.retry = NGX_ZAPIER_REFRESH_STORE;

        return NGX_OK;
    }

    return NGX_AGAIN;
}


static void
ngx_zapier_lock_reply(ngx_zapier_redis_eval_t *eval)
{
    ngx_zapier_redis_reply_t    *reply;
    ngx_zapier_token_refresh_t  *refresh;

    refresh = eval->data;
    refresh->evaluating = 0;

    reply = eval->reply;

    if (eval->status != NGX_OK
        || ngx_zapier_lock_read(refresh, reply) != NGX_OK)
    {
        ngx_zapier_token_refresh_fail(refresh, NGX_ZAPIER_TOKEN_UNAVAILABLE,
                              NGX_ZAPIER_REFRESH_STORE);
        return;
    }

    if (reply->elts[0]->integer == NGX_ZAPIER_LOCK_GRANTED
        && ngx_zapier_lock_own(refresh, reply) != NGX_OK)
    {
        ngx_zapier_token_refresh_release(refresh, NGX_ZAPIER_REFRESH_LATER,
                                         "");
        return;
    }

    ngx_zapier_lock_decide(refresh, reply->elts[0]->integer,
                            reply->elts[1]->integer);
}


static ngx_int_t
ngx_zapier_lock_read(ngx_zapier_token_refresh_t *refresh,
    ngx_zapier_redis_reply_t *reply)
{
    ngx_uint_t                   i;
    ngx_zapier_redis_reply_t   **fields;
    ngx_zapier_token_worker_t   *worker;

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

    fields = &reply->elts[NGX_ZAPIER_LOCK_FIELDS];

    if (ngx_zapier_token_decode_fields(worker, &refresh->key.tenant, fields,
                                       &refresh->value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    refresh->version = reply->elts[3]->integer - 1;

    if (!refresh->mint) {
        (void) ngx_zapier_token_rescue_match(refresh->tokens, &refresh->key,
                                             &fields[1]->str,
                                             refresh->version,
                                             &refresh->value);
    }

    return NGX_OK;
}


static void
ngx_zapier_lock_decide(ngx_zapier_token_refresh_t *refresh, int64_t code,
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

            ngx_zapier_token_refresh_release(refresh, 0, "");
            return;
        }

        refresh->attempts = number;

        if (!refresh->renew.timer_set && !refresh->renewing) {
            refresh->renew.handler = ngx_zapier_lock_renew;
            refresh->renew.data = refresh;
            refresh->renew.log = ngx_cycle->log;

            ngx_add_timer(&refresh->renew, NGX_ZAPIER_REFRESH_RENEW);
        }

        ngx_zapier_token_refresh_granted(refresh);
        return;

    case NGX_ZAPIER_LOCK_BUSY:

        if (!usable && refresh->patient) {

            /* what is forced is done by who came first */

            if (refresh->due < 0 && refresh->refused == 0) {
                refresh->due = 0;
            }

            ngx_zapier_token_refresh_again(refresh);
            return;
        }

        value->retry = NGX_ZAPIER_REFRESH_STORE;
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
ngx_zapier_lock_own(ngx_zapier_token_refresh_t *refresh,
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


ngx_int_t
ngx_zapier_token_refresh_eval(ngx_zapier_token_refresh_t *refresh,
    ngx_zapier_redis_script_t *script, ngx_uint_t n,
    ngx_zapier_token_refresh_pt handler)
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


void
ngx_zapier_token_refresh_release(ngx_zapier_token_refresh_t *refresh,
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
        || ngx_zapier_token_refresh_eval(refresh, &ngx_zapier_lock_give, 5,
                                 ngx_zapier_lock_released)
           != NGX_OK)
    {
        ngx_zapier_token_refresh_end(refresh);
    }
}


/* If it was not done, the lock lapses by itself. */

static void
ngx_zapier_lock_released(ngx_zapier_redis_eval_t *eval)
{
    ngx_zapier_token_refresh_t  *refresh;

    refresh = eval->data;
    refresh->evaluating = 0;

    ngx_zapier_token_refresh_end(refresh);
}


void
ngx_zapier_token_refresh_pause(ngx_zapier_token_refresh_t *refresh)
{
    refresh->cautious = 1;
    refresh->resume = ngx_zapier_token_refresh_again;

    ngx_add_timer(&refresh->timer, NGX_ZAPIER_LOCK_CAUTION);
}


void
ngx_zapier_token_refresh_again(ngx_zapier_token_refresh_t *refresh)
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


void
ngx_zapier_token_refresh_fail(ngx_zapier_token_refresh_t *refresh,
    ngx_zapier_token_result_e result, ngx_msec_t retry)
{
    if (refresh->refused || refresh->value.result != NGX_ZAPIER_TOKEN_OK) {
        refresh->value.result = result;
    }

    refresh->value.retry = retry;

    ngx_zapier_token_refresh_end(refresh);
}


static void
ngx_zapier_lock_renew(ngx_event_t *ev)
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

    refresh->renewal.handler = ngx_zapier_lock_renewed;
    refresh->renewal.data = refresh;

    if (refresh->lock.len
        && ngx_zapier_redis_eval(refresh->tokens->redis, &refresh->renewal,
                                 &ngx_zapier_lock_keep, 1, 3, argv)
           == NGX_AGAIN)
    {
        refresh->renewing = 1;
        return;
    }

    ngx_add_timer(ev, NGX_ZAPIER_REFRESH_AGAIN);
}


/* Lost or not: the call is under way, and the record is compared later. */

static void
ngx_zapier_lock_renewed(ngx_zapier_redis_eval_t *eval)
{
    ngx_zapier_token_refresh_t  *refresh;

    refresh = eval->data;
    refresh->renewing = 0;

    ngx_add_timer(&refresh->renew,
                  (eval->status == NGX_OK) ? NGX_ZAPIER_REFRESH_RENEW
                                           : NGX_ZAPIER_REFRESH_AGAIN);
}
