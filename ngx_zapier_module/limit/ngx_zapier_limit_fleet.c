
/*
 * Quota that a fleet shares: what a chain lacks is asked of Redis by one
 * script call, and others of this worker who lack the same wait for that.
 *
 * No I/O is done with the mutex held.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_zapier_clock.h>
#include <ngx_zapier_limit_ask.h>
#include <ngx_zapier_redis_scripts.h>


/* ms that units last which were granted to be used at once */
#define NGX_ZAPIER_LIMIT_AT_ONCE    2

static void ngx_zapier_limit_ask_reply(ngx_zapier_redis_eval_t *eval);
static ngx_int_t ngx_zapier_limit_ask_read(ngx_zapier_limit_ask_t *ask,
    ngx_zapier_redis_reply_t *reply);
static void ngx_zapier_limit_ask_store(ngx_zapier_limit_ask_t *ask,
    ngx_uint_t i, ngx_zapier_redis_reply_t **told, uint64_t now);
static void ngx_zapier_limit_ask_retry(ngx_zapier_limit_ask_t *ask,
    ngx_int_t known);
static void ngx_zapier_limit_ask_units(ngx_zapier_limit_asked_t *asked,
    uint32_t units, uint64_t stamp);
static void ngx_zapier_limit_ask_end(ngx_event_t *ev);
static void ngx_zapier_limit_ask_returned(ngx_zapier_redis_eval_t *eval);


static ngx_zapier_redis_script_t  ngx_zapier_limit_claim_script =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_LIMIT_CLAIM);
static ngx_zapier_redis_script_t  ngx_zapier_limit_return_script =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_LIMIT_RETURN);


ngx_int_t
ngx_zapier_limit_ask(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_claim_t *claim)
{
    ngx_uint_t                 i;
    ngx_zapier_limits_t       *limits;
    ngx_zapier_limit_ask_t    *ask;
    ngx_zapier_limit_link_t   *link;
    ngx_zapier_limit_asked_t  *asked;

    limits = chain->limits;

    ask = ngx_zapier_limit_ask_find(chain);

    if (ask != NULL) {
        ngx_queue_insert_tail(&ask->waiting, &claim->queue);
        claim->ask = ask;
        return NGX_AGAIN;
    }

    if (claim->rounds++ == NGX_ZAPIER_LIMIT_ROUNDS) {
        return NGX_ERROR;
    }

    ask = ngx_zapier_limit_ask_create(limits, claim, chain->n, chain->links);
    if (ask == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < ask->n; i++) {
        asked = &ask->scopes[i];
        link = asked->scope->link;

        ngx_zapier_limit_ask_numbers(asked, link, link->own,
                                     limits->crowd + 1);
    }

    ask->claim = claim;
    ask->asking = 1;

    if (ngx_zapier_limit_ask_send(ask, &ngx_zapier_limit_claim_script, 1,
                                  ngx_zapier_limit_ask_reply)
        != NGX_AGAIN)
    {
        ask->asking = 0;
        ngx_zapier_limit_debt(ask);
        return NGX_ERROR;
    }

    claim->ask = ask;

    return NGX_AGAIN;
}


static void
ngx_zapier_limit_ask_reply(ngx_zapier_redis_eval_t *eval)
{
    ngx_int_t                known;
    ngx_zapier_limits_t     *limits;
    ngx_zapier_limit_ask_t  *ask;

    ask = eval->data;
    limits = ask->limits;

    ask->asking = 0;

    known = eval->status;

    if (known == NGX_OK) {
        ngx_zapier_shm_lock(limits->shm);
        known = ngx_zapier_limit_ask_read(ask, eval->reply);
        ngx_zapier_shm_unlock(limits->shm);

        if (known != NGX_OK) {
            ngx_zapier_redis_complain(NGX_LOG_ERR, "count", eval->reply);
        }
    }

    ngx_zapier_limit_ask_retry(ask, known);

    if (known != NGX_OK) {
        ngx_zapier_limit_debt(ask);
        return;
    }

    if (ask->end == 0) {
        ngx_zapier_limit_ask_free(ask);
        return;
    }

    ask->timer.handler = ngx_zapier_limit_ask_end;
    ask->timer.data = ask;
    ask->timer.log = ngx_cycle->log;
    ask->timer.cancelable = 1;

    ngx_add_timer(&ask->timer, (ngx_msec_t) (ask->end - ask->sent) + 1);
}


static ngx_int_t
ngx_zapier_limit_ask_read(ngx_zapier_limit_ask_t *ask,
    ngx_zapier_redis_reply_t *reply)
{
    uint64_t                    now;
    ngx_uint_t                  i;
    ngx_zapier_limit_shared_t  *shared;

    if (reply->type != NGX_ZAPIER_REDIS_ARRAY
        || reply->nelts != 1 + ask->n * NGX_ZAPIER_LIMIT_ANSWERS)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < reply->nelts; i++) {
        if (reply->elts[i]->type != NGX_ZAPIER_REDIS_INTEGER
            || reply->elts[i]->integer < 0
            || (reply->elts[i]->integer > NGX_MAX_INT32_VALUE
                && i % NGX_ZAPIER_LIMIT_ANSWERS != NGX_ZAPIER_LIMIT_STAMP))
        {
            return NGX_ERROR;
        }
    }

    now = ngx_zapier_clock();

    for (i = 0; i < ask->n; i++) {
        ngx_zapier_limit_ask_store(ask, i,
                      &reply->elts[1 + i * NGX_ZAPIER_LIMIT_ANSWERS], now);
    }

    shared = ngx_zapier_shm_data(&ask->limits->table);
    shared->nodes = ask->nodes;

    return NGX_OK;
}


/* What a cancelled claim was granted is left for others. */

static void
ngx_zapier_limit_ask_store(ngx_zapier_limit_ask_t *ask, ngx_uint_t i,
    ngx_zapier_redis_reply_t **told, uint64_t now)
{
    uint32_t                   granted;
    uint64_t                   stamp, end;
    ngx_zapier_limit_entry_t  *entry;
    ngx_zapier_limit_asked_t  *asked;

    asked = &ask->scopes[i];

    granted = (uint32_t) told[0]->integer;
    stamp = (uint64_t) told[5]->integer;

    if (granted != 0 && ask->claim != NULL) {
        asked->scope->held = asked->units;
        asked->scope->stamp = stamp;
        granted -= ngx_min(granted, asked->units);
    }

    entry = ngx_zapier_limit_ask_entry(ask, i);
    if (entry == NULL) {
        return;
    }

    entry->left = (uint32_t) told[1]->integer;
    entry->left_reset = now + (uint64_t) told[2]->integer;
    ask->nodes = (uint32_t) told[4]->integer;
    entry->open_since = 0;

    entry->full_until = (told[3]->integer != 0)
                        ? now + (uint64_t) told[3]->integer : 0;
    entry->full_units = asked->units;

    if (granted == 0) {
        return;
    }

    /* counted from before the call, for it was Redis that dated the end */

    end = (told[6]->integer != 0) ? ask->sent + (uint64_t) told[6]->integer
                                  : now + NGX_ZAPIER_LIMIT_AT_ONCE;

    asked->stamp = stamp;
    asked->back = granted;
    asked->back_stamp = stamp;

    ngx_zapier_limit_lease_put(entry, now, &asked->back, &asked->back_stamp,
                               end);

    ask->end = ngx_max(ask->end, end);
}


static void
ngx_zapier_limit_ask_retry(ngx_zapier_limit_ask_t *ask, ngx_int_t known)
{
    ngx_queue_t                waiting, *q;
    ngx_zapier_limits_t       *limits;
    ngx_zapier_limit_claim_t  *claim;

    limits = ask->limits;
    claim = ask->claim;
    ask->claim = NULL;

    limits->crowd = 0;

    for (q = ngx_queue_head(&ask->waiting);
         q != ngx_queue_sentinel(&ask->waiting);
         q = ngx_queue_next(q))
    {
        limits->crowd++;
    }

    if (claim != NULL) {
        claim->ask = NULL;
        claim->alone |= (known != NGX_OK);
        ngx_zapier_limit_ask_finish(limits, claim);
    }

    /* a handler may cancel any claim, hence it stays in a queue until then */

    ngx_queue_init(&waiting);

    if (!ngx_queue_empty(&ask->waiting)) {
        ngx_queue_add(&waiting, &ask->waiting);
        ngx_queue_init(&ask->waiting);
    }

    while (!ngx_queue_empty(&waiting)) {
        q = ngx_queue_head(&waiting);
        ngx_queue_remove(q);

        claim = ngx_queue_data(q, ngx_zapier_limit_claim_t, queue);

        claim->ask = NULL;
        claim->alone |= (known != NGX_OK);

        if (limits->crowd > 0) {
            limits->crowd--;
        }

        ngx_zapier_limit_ask_finish(limits, claim);
    }

    limits->crowd = 0;
}


void
ngx_zapier_limit_ask_finish(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim)
{
    if (ngx_zapier_limit_try(limits, claim) == NGX_AGAIN) {
        return;
    }

    /* granted by Redis, but refused by a scope that is counted here */

    ngx_zapier_limit_give_held(limits, claim);

    claim->handler(claim);
}


void
ngx_zapier_limit_ask_cancel(ngx_zapier_limit_claim_t *claim)
{
    ngx_zapier_limit_ask_t *ask = claim->ask;

    if (ask == NULL) {
        return;
    }

    claim->ask = NULL;

    if (ask->claim == claim) {
        ask->claim = NULL;
        return;
    }

    ngx_queue_remove(&claim->queue);
}


/* What redis/scripts/limit_return.lua is told of a scope. */

static void
ngx_zapier_limit_ask_units(ngx_zapier_limit_asked_t *asked, uint32_t units,
    uint64_t stamp)
{
    asked->numbers.len = ngx_sprintf(asked->numbers.data,
                                     "%uD %uD %uD %uL %uD %uL",
                                     asked->zone->limit, asked->zone->window,
                                     units, stamp, asked->back,
                                     asked->back_stamp)
                         - asked->numbers.data;
}


/* The lease is over: what nobody has used goes back. */

static void
ngx_zapier_limit_ask_end(ngx_event_t *ev)
{
    uint32_t                   units;
    ngx_uint_t                 i, left;
    ngx_zapier_limit_ask_t    *ask;
    ngx_zapier_limit_entry_t  *entry;
    ngx_zapier_limit_asked_t  *asked;

    ask = ev->data;
    left = 0;

    ngx_zapier_shm_lock(ask->limits->shm);

    for (i = 0; i < ask->n; i++) {
        asked = &ask->scopes[i];
        asked->numbers.len = 0;

        entry = (asked->stamp != 0) ? ngx_zapier_limit_ask_entry(ask, i)
                                    : NULL;
        units = 0;

        if (entry != NULL && entry->lease_stamp == asked->stamp) {
            units = entry->lease_units;
            entry->lease_units = 0;
        }

        if (units != 0 || asked->back != 0) {
            ngx_zapier_limit_ask_units(asked, units, asked->stamp);
            left = 1;
        }
    }

    ngx_zapier_shm_unlock(ask->limits->shm);

    if (!left
        || ngx_zapier_limit_ask_send(ask, &ngx_zapier_limit_return_script, 0,
                                     ngx_zapier_limit_ask_returned)
           != NGX_AGAIN)
    {
        ngx_zapier_limit_ask_free(ask);
    }
}


void
ngx_zapier_limit_give_back(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim, ngx_uint_t mask)
{
    ngx_uint_t                 i;
    ngx_zapier_limit_ask_t    *ask;
    ngx_zapier_limit_link_t    links[NGX_ZAPIER_LIMIT_CHAIN];
    ngx_zapier_limit_asked_t  *asked;

    for (i = 0; i < claim->nscopes; i++) {
        links[i].scope = &claim->scopes[i];
        links[i].lacks = (mask >> i) & 1;
        links[i].key_len = claim->scopes[i].key.len
                           + claim->scopes[i].zone->name.len;
        ngx_memcpy(links[i].key, claim->scopes[i].key.data,
                   claim->scopes[i].key.len);
        ngx_memcpy(links[i].key + claim->scopes[i].key.len,
                   claim->scopes[i].zone->name.data,
                   claim->scopes[i].zone->name.len);
        links[i].hash = 0;
    }

    ask = ngx_zapier_limit_ask_create(limits, claim, claim->nscopes, links);
    if (ask == NULL) {
        return;
    }

    for (i = 0; i < ask->n; i++) {
        asked = &ask->scopes[i];

        ngx_zapier_limit_ask_units(asked, asked->units, asked->scope->stamp);
    }

    if (ngx_zapier_limit_ask_send(ask, &ngx_zapier_limit_return_script, 0,
                                  ngx_zapier_limit_ask_returned)
        != NGX_AGAIN)
    {
        ngx_zapier_limit_ask_free(ask);
    }
}


/* Whether it has come back or not, nothing can be done about it. */

static void
ngx_zapier_limit_ask_returned(ngx_zapier_redis_eval_t *eval)
{
    ngx_zapier_limit_ask_free(eval->data);
}


void
ngx_zapier_limits_exit_worker(ngx_zapier_limits_t *limits)
{
    ngx_queue_t             *q;
    ngx_zapier_limit_ask_t  *ask;

    if (limits->asks.next == NULL) {
        return;
    }

    while (!ngx_queue_empty(&limits->asks)) {
        q = ngx_queue_head(&limits->asks);
        ask = ngx_queue_data(q, ngx_zapier_limit_ask_t, queue);

        ngx_zapier_redis_eval_cancel(&ask->eval);
        ngx_zapier_limit_ask_free(ask);
    }
}
