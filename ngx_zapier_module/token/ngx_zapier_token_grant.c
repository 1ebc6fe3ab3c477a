
/*
 * What is done under the lock: the call of the token endpoint, and writing
 * down what came of it.
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


/* ms between attempts whose outcome nobody knows */
#define NGX_ZAPIER_GRANT_UNKNOWN      30000
#define NGX_ZAPIER_GRANT_UNKNOWN_MAX  300000

/* ms that an attempt to write a pair takes, with the pause before */
#define ngx_zapier_grant_hold(refresh)                                       \
    (2 * (refresh)->tokens->redis_timeout + 2 * NGX_ZAPIER_REFRESH_STORE)

/* longest pause after what will pass, ms */
#define NGX_ZAPIER_GRANT_BACKOFF_MAX  60000

/* longest Retry-After that is believed, ms */
#define NGX_ZAPIER_GRANT_LATER_MAX    300000


static void ngx_zapier_grant_call(ngx_zapier_token_refresh_t *refresh);
static void ngx_zapier_grant_called(ngx_zapier_oauth_call_t *call);
static void ngx_zapier_grant_lost(ngx_zapier_token_refresh_t *refresh);
static void ngx_zapier_grant_store(ngx_zapier_token_refresh_t *refresh);
static void ngx_zapier_grant_keep(ngx_zapier_token_refresh_t *refresh);
static void ngx_zapier_grant_write(ngx_zapier_token_refresh_t *refresh);
static void ngx_zapier_grant_rewrite(ngx_zapier_token_refresh_t *refresh);
static ngx_int_t ngx_zapier_grant_seal(ngx_zapier_token_refresh_t *refresh,
    ngx_str_t *field, ngx_str_t *plain, ngx_str_t *value);
static void ngx_zapier_grant_stored(ngx_zapier_redis_eval_t *eval);
static void ngx_zapier_grant_value(ngx_zapier_token_refresh_t *refresh);
static void ngx_zapier_grant_use(ngx_zapier_token_refresh_t *refresh);
static void ngx_zapier_grant_dead(ngx_zapier_token_refresh_t *refresh);
static void ngx_zapier_grant_marked(ngx_zapier_redis_eval_t *eval);


static ngx_zapier_redis_script_t  ngx_zapier_grant_mark =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_TOKEN_DEAD);


void
ngx_zapier_token_refresh_granted(ngx_zapier_token_refresh_t *refresh)
{
    if (!refresh->mint
        && ngx_zapier_token_rescue_take(refresh->tokens, &refresh->key,
                                        &refresh->spent, refresh->version,
                                        refresh->pool, &refresh->pair)
           == NGX_OK)
    {
        /* it is spent: Redis has lost what we got for it */

        refresh->restored = 1;
        ngx_zapier_grant_write(refresh);
        return;
    }

    if (refresh->attempts > 1 && !refresh->cautious) {

        ngx_zapier_token_count(refresh->tokens, refresh_resumed);

        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "an earlier refresh of the token of tenant \"%V\" has "
                      "no known outcome, trying again",
                      &refresh->key.tenant);

        ngx_zapier_token_refresh_pause(refresh);
        return;
    }

    ngx_zapier_grant_call(refresh);
}


static void
ngx_zapier_grant_call(ngx_zapier_token_refresh_t *refresh)
{
    ngx_uint_t                 n;
    ngx_zapier_oauth_t        *oauth;
    ngx_zapier_oauth_param_t   params[NGX_ZAPIER_MINT_PARAMS];

    oauth = refresh->tokens->oauth;

    if (refresh->mint) {
        n = ngx_zapier_token_mint_ask(refresh, params);

    } else {
        ngx_str_set(&params[0].name, "grant_type");
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
        ngx_zapier_token_refresh_release(refresh, NGX_ZAPIER_REFRESH_LATER,
                                         "");
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

    if (refresh->mint && answer->result != NGX_ZAPIER_OAUTH_GRANTED) {
        ngx_zapier_token_mint_failed(refresh);
        return;
    }

    switch (answer->result) {

    case NGX_ZAPIER_OAUTH_GRANTED:
        ngx_zapier_grant_store(refresh);
        return;

    case NGX_ZAPIER_OAUTH_DEAD:
        ngx_zapier_grant_dead(refresh);
        return;

    case NGX_ZAPIER_OAUTH_REFUSED:
        ngx_zapier_token_count(refresh->tokens, refresh_refused);
        pause = NGX_ZAPIER_REFRESH_REFUSED;

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "the token endpoint refused the refresh for tenant "
                      "\"%V\": status %ui, \"%V\"; look at "
                      "\"zapier_oauth_client\" and \"zapier_oauth_token\"",
                      &refresh->key.tenant, call->status, &answer->error);
        break;

    case NGX_ZAPIER_OAUTH_TRANSIENT:
        ngx_zapier_token_count(refresh->tokens, refresh_failed);
        pause = ngx_zapier_token_refresh_later(refresh);

        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "the refresh for tenant \"%V\" failed for now: status "
                      "%ui, \"%V\"", &refresh->key.tenant, call->status,
                      &answer->error);
        break;

    default: /* NGX_ZAPIER_OAUTH_UNKNOWN */
        ngx_zapier_grant_lost(refresh);
        return;
    }

    ngx_zapier_token_refresh_release(refresh, pause, "");
}


ngx_msec_t
ngx_zapier_token_refresh_later(ngx_zapier_token_refresh_t *refresh)
{
    time_t      retry_after;
    ngx_msec_t  pause;

    retry_after = refresh->call.retry_after;

    pause = ngx_zapier_token_lease_backoff(refresh->tokens, &refresh->key,
                                           NGX_ZAPIER_REFRESH_LATER,
                                           NGX_ZAPIER_GRANT_BACKOFF_MAX);

    if (retry_after > 0) {
        pause = (ngx_msec_t) ngx_min(retry_after * 1000,
                                     NGX_ZAPIER_GRANT_LATER_MAX);
    }

    return pause;
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
        ngx_zapier_token_refresh_pause(refresh);
        return;
    }

    pause = NGX_ZAPIER_GRANT_UNKNOWN * ngx_max(refresh->attempts, 1);

    ngx_zapier_token_refresh_release(refresh,
                             ngx_min(pause, NGX_ZAPIER_GRANT_UNKNOWN_MAX),
                             "keep");
}


static void
ngx_zapier_grant_store(ngx_zapier_token_refresh_t *refresh)
{
    u_char                     *p;
    time_t                      expires;
    ngx_str_t                  *texts;
    ngx_zapier_oauth_answer_t  *answer;

    texts = refresh->pair.texts;
    answer = &refresh->answer;

    if (refresh->mint) {
        ngx_zapier_token_mint_granted(refresh);

    } else if (answer->refresh_token.len == 0) {

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
        || ngx_zapier_grant_seal(refresh, &ngx_zapier_token_fields[0],
                                 &answer->access_token, &texts[0])
           != NGX_OK
        || ngx_zapier_grant_seal(refresh, &ngx_zapier_token_fields[1],
                                 &answer->refresh_token, &texts[1])
           != NGX_OK)
    {
        ngx_zapier_grant_lost(refresh);
        return;
    }

    texts[2].data = p;
    texts[2].len = 0;

    if (answer->expires_in >= 0) {
        expires = ngx_zapier_token_now(refresh->tokens)
                  + (time_t) answer->expires_in;

        texts[2].len = ngx_sprintf(p, "%T", expires) - p;
    }

    texts[3] = answer->scope;
    texts[4] = answer->token_type;

    ngx_zapier_grant_keep(refresh);

    refresh->delay = NGX_ZAPIER_REFRESH_STORE / 4;

    ngx_zapier_grant_write(refresh);
}


/* Before anything else: from here on it outlives this worker. */

static void
ngx_zapier_grant_keep(ngx_zapier_token_refresh_t *refresh)
{
    ngx_str_t                *again;
    ngx_zapier_token_pair_t  *pair;

    pair = &refresh->pair;
    again = &refresh->answer.refresh_token;

    pair->id = refresh->id;
    pair->fence = refresh->version + 1;
    pair->written = 0;
    ngx_zapier_token_pair_spent(pair, &refresh->spent);

    /* what was not rotated is not lost, nor is what can be made at will */

    if (refresh->mint
        || (again->len == refresh->plain.len
            && ngx_memcmp(again->data, refresh->plain.data, again->len) == 0))
    {
        return;
    }

    if (ngx_zapier_token_rescue_keep(refresh->tokens, &refresh->key, pair,
                                     ngx_zapier_grant_hold(refresh))
        == NGX_OK)
    {
        refresh->rescued = 1;
        refresh->told = 0;
    }
}


/* It is written again until Redis says that it has it. */

static void
ngx_zapier_grant_write(ngx_zapier_token_refresh_t *refresh)
{
    if (refresh->rescued) {
        ngx_zapier_token_rescue_hold(refresh->tokens, &refresh->key,
                                     refresh->id,
                                     ngx_zapier_grant_hold(refresh));
    }

    ngx_zapier_token_pair_args(&refresh->pair, &refresh->lock,
                               &refresh->args[NGX_ZAPIER_REFRESH_KEYS]);

    if (ngx_zapier_token_refresh_eval(refresh, &ngx_zapier_token_rotate,
                                      NGX_ZAPIER_REFRESH_ARGS,
                                      ngx_zapier_grant_stored)
        != NGX_OK)
    {
        ngx_zapier_grant_rewrite(refresh);
    }
}


/*
 * Those who wait have the token now if it cannot be lost any more; else they
 * give up when their time has come.
 */

static void
ngx_zapier_grant_rewrite(ngx_zapier_token_refresh_t *refresh)
{
    if (refresh->restored) {

        /* others see to it */

        ngx_zapier_token_refresh_fail(refresh, NGX_ZAPIER_TOKEN_UNAVAILABLE,
                                      NGX_ZAPIER_REFRESH_STORE);
        return;
    }

    refresh->resume = ngx_zapier_grant_write;

    ngx_add_timer(&refresh->timer, refresh->delay);

    refresh->delay = ngx_min(refresh->delay * 2, NGX_ZAPIER_REFRESH_STORE);

    if (refresh->rescued && !refresh->told) {
        refresh->told = 1;

        ngx_zapier_grant_value(refresh);
        ngx_zapier_token_refresh_tell(refresh);
    }
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

    ngx_zapier_token_rescue_done(refresh->tokens, &refresh->key,
                                 refresh->pair.id, 1);

    if (refresh->restored && reply->integer == NGX_ZAPIER_PAIR_WRITTEN) {
        ngx_zapier_token_rescued(refresh->tokens, &refresh->key.tenant);
    }

    if (reply->integer == NGX_ZAPIER_PAIR_OTHER || refresh->restored) {

        /* a record written meanwhile is what somebody wants us to use */

        refresh->restored = 0;
        refresh->refused = 0;
        refresh->due = 0;

        ngx_zapier_token_refresh_again(refresh);
        return;
    }

    ngx_zapier_grant_use(refresh);
}


static void
ngx_zapier_grant_use(ngx_zapier_token_refresh_t *refresh)
{
    ngx_zapier_token_count(refresh->tokens, refreshed);

    ngx_zapier_grant_value(refresh);
    ngx_zapier_token_refresh_end(refresh);
}


static void
ngx_zapier_grant_value(ngx_zapier_token_refresh_t *refresh)
{
    ngx_zapier_record_t         record;
    ngx_zapier_oauth_answer_t  *answer;

    answer = &refresh->answer;

    ngx_memzero(&record, sizeof(ngx_zapier_record_t));

    record.access_token = answer->access_token;
    record.expires_at = refresh->pair.texts[2];
    record.scope = answer->scope;
    record.token_type = answer->token_type;

    ngx_zapier_token_value_zero(&refresh->value);

    ngx_zapier_token_decode_record(refresh->tokens, &refresh->key.tenant,
                                   &record, answer->refresh_token.len != 0,
                                   &refresh->value);

    refresh->value.source = NGX_ZAPIER_TOKEN_REFRESHED;
}


/* Redis compares: who has changed the record meanwhile is not marked. */

static void
ngx_zapier_grant_dead(ngx_zapier_token_refresh_t *refresh)
{
    refresh->args[2] = refresh->lock;
    refresh->args[3] = refresh->spent;

    if (ngx_zapier_token_refresh_eval(refresh, &ngx_zapier_grant_mark, 4,
                              ngx_zapier_grant_marked)
        != NGX_OK)
    {
        ngx_zapier_token_refresh_fail(refresh, NGX_ZAPIER_TOKEN_UNAVAILABLE,
                              NGX_ZAPIER_REFRESH_STORE);
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
        ngx_zapier_token_refresh_fail(refresh, NGX_ZAPIER_TOKEN_UNAVAILABLE,
                              NGX_ZAPIER_REFRESH_STORE);
        return;
    }

    refresh->lock.len = 0;

    if (eval->reply->integer == 0) {
        ngx_zapier_token_refresh_again(refresh);
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
