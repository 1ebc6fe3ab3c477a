
/*
 * News of gates and views between the nodes of a fleet, by a channel in
 * Redis.  Every worker hears all of them and writes them into the node's
 * shared memory, where they count as an answer of the upstream does: what
 * is heard twice, late or never does no harm.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_zapier_clock.h>
#include <ngx_zapier_limit_count.h>
#include <ngx_zapier_limit_news.h>
#include <ngx_zapier_limit_operate.h>
#include <ngx_zapier_redis.h>
#include <ngx_zapier_redis_scripts.h>


/* ms between proofs that the link still works */
#define NGX_ZAPIER_LIMIT_NEWS_PING   1000

/* gates that who comes later is told of, at most */
#define NGX_ZAPIER_LIMIT_NEWS_GATES  "500"


static ngx_uint_t ngx_zapier_limit_news_wanted(ngx_zapier_limits_t *limits);
static void ngx_zapier_limit_news_message(ngx_zapier_redis_watch_t *watch,
    ngx_str_t *text);
static void ngx_zapier_limit_news_take(ngx_zapier_limit_news_t *news,
    ngx_zapier_limit_item_t *item);
static ngx_zapier_limit_zone_t *ngx_zapier_limit_news_zone(
    ngx_zapier_limits_t *limits, ngx_zapier_limit_item_t *item);
static ngx_uint_t ngx_zapier_limit_news_operator(
    ngx_zapier_limit_news_e kind);
static ngx_uint_t ngx_zapier_limit_news_hear(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_item_t *item);
static void ngx_zapier_limit_news_up(ngx_zapier_redis_watch_t *watch);
static void ngx_zapier_limit_news_read(ngx_zapier_limit_news_t *news);
static void ngx_zapier_limit_news_gates(ngx_zapier_redis_eval_t *eval);
static void ngx_zapier_limit_news_timer(ngx_event_t *ev);
static void ngx_zapier_limit_news_ignore(ngx_zapier_redis_watch_t *watch);
static void ngx_zapier_limit_news_alive(ngx_zapier_redis_watch_t *watch,
    uint64_t sent);


static ngx_zapier_redis_script_t  ngx_zapier_limit_gates_script =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_LIMIT_GATES);


ngx_int_t
ngx_zapier_limit_news_start(ngx_zapier_limits_t *limits, ngx_cycle_t *cycle)
{
    size_t                      len;
    u_char                     *p;
    ngx_str_t                  *db;
    ngx_zapier_limit_news_t    *news;
    ngx_zapier_limit_shared_t  *shared;

    limits->news = NULL;

    if (!ngx_zapier_limit_news_wanted(limits)) {
        return NGX_OK;
    }

    news = ngx_pcalloc(cycle->pool, sizeof(ngx_zapier_limit_news_t));
    if (news == NULL) {
        return NGX_ERROR;
    }

    /* the databases of a server have their channels in common */

    db = ngx_zapier_redis_db(limits->redis);

    len = limits->prefix.len + sizeof("limit") - 1;

    p = ngx_pnalloc(cycle->pool, 2 * len + sizeof("@:gates") - 1 + db->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    news->limits = limits;

    ngx_zapier_shm_lock(limits->shm);
    ngx_zapier_limit_name(limits);
    ngx_zapier_shm_unlock(limits->shm);

    shared = ngx_zapier_shm_data(&limits->table);
    (void) ngx_hex_dump(news->node, shared->node, sizeof(shared->node));

    news->channel.data = p;
    p = ngx_cpymem(p, limits->prefix.data, limits->prefix.len);
    p = ngx_cpymem(p, "limit", sizeof("limit") - 1);

    if (db->len != 0) {
        *p++ = '@';
        p = ngx_cpymem(p, db->data, db->len);
    }

    news->channel.len = p - news->channel.data;

    news->gates.data = p;
    p = ngx_cpymem(p, news->channel.data, len);
    p = ngx_cpymem(p, ":gates", sizeof(":gates") - 1);
    news->gates.len = p - news->gates.data;

    ngx_queue_init(&news->posts);

    news->watch.channel = news->channel;
    news->watch.interval = NGX_ZAPIER_LIMIT_NEWS_PING;
    news->watch.data = news;
    news->watch.up = ngx_zapier_limit_news_up;
    news->watch.message = ngx_zapier_limit_news_message;
    news->watch.alive = ngx_zapier_limit_news_alive;
    news->watch.down = ngx_zapier_limit_news_ignore;

    news->timer.handler = ngx_zapier_limit_news_timer;
    news->timer.data = news;
    news->timer.log = cycle->log;
    news->timer.cancelable = 1;

    if (ngx_zapier_redis_watch_start(limits->redis, &news->watch) != NGX_OK) {
        return NGX_ERROR;
    }

    limits->news = news;

    return NGX_OK;
}


void
ngx_zapier_limit_news_stop(ngx_zapier_limits_t *limits)
{
    ngx_zapier_limit_news_t  *news;

    news = limits->news;

    if (news == NULL) {
        return;
    }

    ngx_zapier_redis_watch_stop(&news->watch);

    if (news->timer.timer_set) {
        ngx_del_timer(&news->timer);
    }

    if (news->reading) {
        ngx_zapier_redis_eval_cancel(&news->read);
    }

    ngx_zapier_limit_news_drop(news);

    limits->news = NULL;
}


static ngx_uint_t
ngx_zapier_limit_news_wanted(ngx_zapier_limits_t *limits)
{
    ngx_uint_t                 i;
    ngx_zapier_limit_zone_t  **zones;

    if (limits->redis == NULL) {
        return 0;
    }

    zones = limits->zones->elts;

    for (i = 0; i < limits->zones->nelts; i++) {
        if (zones[i]->store == NGX_ZAPIER_LIMIT_REDIS) {
            return 1;
        }
    }

    return 0;
}


static void
ngx_zapier_limit_news_message(ngx_zapier_redis_watch_t *watch,
    ngx_str_t *text)
{
    ngx_zapier_limit_item_t   item;
    ngx_zapier_limit_news_t  *news;

    news = watch->data;

    if (ngx_zapier_limit_news_parse(text, &item) != NGX_OK) {
        return;
    }

    /* what is being read may be older than what an operator says now */

    if (news->reading && ngx_zapier_limit_news_operator(item.kind)) {
        news->unread = 1;
    }

    ngx_zapier_limit_news_take(news, &item);
}


static void
ngx_zapier_limit_news_take(ngx_zapier_limit_news_t *news,
    ngx_zapier_limit_item_t *item)
{
    ngx_uint_t                 changed;
    ngx_zapier_limits_t       *limits;
    ngx_zapier_limit_zone_t   *zone;
    ngx_zapier_limit_claim_t   claim;
    ngx_zapier_limit_scope_t   scope;
    ngx_zapier_limit_chain_t   chain;

    limits = news->limits;

    if (item->node.len == sizeof(news->node)
        && ngx_memcmp(item->node.data, news->node, item->node.len) == 0)
    {
        return;
    }

    zone = ngx_zapier_limit_news_zone(limits, item);
    if (zone == NULL) {
        return;
    }

    ngx_memzero(&claim, sizeof(ngx_zapier_limit_claim_t));
    ngx_memzero(&scope, sizeof(ngx_zapier_limit_scope_t));

    claim.nscopes = 1;
    claim.scopes = &scope;

    scope.zone = zone;
    scope.key = item->key;
    scope.tag = item->tag.len ? &item->tag : NULL;

    if (ngx_zapier_limit_chain_open(&chain, limits, &claim) != NGX_OK) {
        return;
    }

    if (ngx_zapier_limit_news_operator(item->kind)) {
        (void) ngx_zapier_limit_operated(&chain, item->kind,
                      (item->closed != NGX_ZAPIER_LIMIT_UNSET) ? item->closed
                                                               : 0);
        changed = 0;

    } else {
        changed = ngx_zapier_limit_news_hear(&chain, item);
    }

    ngx_zapier_limit_chain_close(&chain);

    if (!changed) {
        return;
    }

    if (item->kind == NGX_ZAPIER_LIMIT_NEWS_CLOSED) {
        ngx_zapier_limit_count(limits, zone, NGX_ZAPIER_LIMIT_COUNT_CLOSED, 1);
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "another node tells that a scope of limit zone \"%V\" is "
                  "%s", &zone->name,
                  (item->kind == NGX_ZAPIER_LIMIT_NEWS_CLOSED) ? "closed"
                                                              : "open again");
}


/* A zone that is counted here alone is not what another node means. */

static ngx_zapier_limit_zone_t *
ngx_zapier_limit_news_zone(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_item_t *item)
{
    ngx_str_t                 *name;
    ngx_uint_t                 i;
    ngx_zapier_limit_zone_t  **zones;

    name = &item->zone;
    zones = limits->zones->elts;

    for (i = 0; i < limits->zones->nelts; i++) {

        if (zones[i]->store == NGX_ZAPIER_LIMIT_REDIS
            && (zones[i]->mirror || ngx_zapier_limit_news_operator(item->kind))
            && zones[i]->name.len == name->len
            && ngx_memcmp(zones[i]->name.data, name->data, name->len) == 0)
        {
            return zones[i];
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_zapier_limit_news_operator(ngx_zapier_limit_news_e kind)
{
    return kind == NGX_ZAPIER_LIMIT_NEWS_SHUT
           || kind == NGX_ZAPIER_LIMIT_NEWS_FREE
           || kind == NGX_ZAPIER_LIMIT_NEWS_RESET;
}


/* Returns 1 if a gate was closed or may open. */

static ngx_uint_t
ngx_zapier_limit_news_hear(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_item_t *item)
{
    ngx_uint_t                changed;
    ngx_zapier_limit_link_t  *link;
    ngx_zapier_limit_told_t   told;
    ngx_zapier_limit_state_t  state;

    link = &chain->links[0];

    if (item->kind == NGX_ZAPIER_LIMIT_NEWS_OPEN) {

        if (item->age == NGX_ZAPIER_LIMIT_UNSET || item->age > chain->now) {
            return 0;
        }

        return ngx_zapier_limit_gate_open(link, chain->now - item->age);
    }

    told.limit = item->limit;
    told.remaining = item->remaining;
    told.has_reset = (item->reset != NGX_ZAPIER_LIMIT_UNSET);
    told.reset = told.has_reset ? chain->now + item->reset : 0;
    told.closes = (item->kind == NGX_ZAPIER_LIMIT_NEWS_CLOSED);
    told.closed = (item->closed != NGX_ZAPIER_LIMIT_UNSET)
                  ? chain->now + item->closed : 0;

    if (!ngx_zapier_limit_mirror_matters(&told, chain->now)
        || (ngx_zapier_limit_provide(chain, link) != NGX_OK
            && link->entry == NULL))
    {
        return 0;
    }

    changed = ngx_zapier_limit_mirror_observe(link->entry, chain->now,
                                              link->scope->zone->cooldown,
                                              &told);

    ngx_zapier_limit_judge(link, chain->now, 0, &state);

    (void) ngx_zapier_limit_remember(chain, &state);

    return changed;
}


/* Gates that were closed before this worker listened. */

static void
ngx_zapier_limit_news_up(ngx_zapier_redis_watch_t *watch)
{
    ngx_zapier_limit_news_t  *news;

    news = watch->data;

    news->unread = 1;

    ngx_zapier_limit_news_read(news);
}


static void
ngx_zapier_limit_news_read(ngx_zapier_limit_news_t *news)
{
    ngx_str_t  argv[2];

    if (news->reading) {
        return;
    }

    argv[0] = news->gates;
    ngx_str_set(&argv[1], NGX_ZAPIER_LIMIT_NEWS_GATES);

    news->read.handler = ngx_zapier_limit_news_gates;
    news->read.data = news;

    if (ngx_zapier_redis_eval(news->limits->redis, &news->read,
                              &ngx_zapier_limit_gates_script, 1, 2, argv)
        == NGX_AGAIN)
    {
        news->reading = 1;
        news->unread = 0;
        return;
    }

    ngx_zapier_limit_news_later(news);
}


static void
ngx_zapier_limit_news_gates(ngx_zapier_redis_eval_t *eval)
{
    uint32_t                    age;
    ngx_uint_t                  i;
    ngx_zapier_limit_item_t     item;
    ngx_zapier_limit_news_t    *news;
    ngx_zapier_redis_reply_t  **elts;

    news = eval->data;

    news->reading = 0;

    if (eval->status != NGX_OK || news->unread) {
        news->unread = 1;
        ngx_zapier_limit_news_later(news);
        return;
    }

    if (eval->reply->type != NGX_ZAPIER_REDIS_ARRAY
        || eval->reply->nelts % 2 != 0)
    {
        /* without the right to do this, others' refusals are met again */

        ngx_zapier_redis_complain(NGX_LOG_WARN,
                                  "tell which gates are closed", eval->reply);
        return;
    }

    for (i = 0; i < eval->reply->nelts; i += 2) {
        elts = &eval->reply->elts[i];

        if (elts[0]->type != NGX_ZAPIER_REDIS_INTEGER
            || elts[0]->integer < 0
            || elts[1]->type != NGX_ZAPIER_REDIS_STRING
            || ngx_zapier_limit_news_parse(&elts[1]->str, &item) != NGX_OK)
        {
            continue;
        }

        age = (uint32_t) ngx_min(elts[0]->integer, NGX_MAX_INT32_VALUE);

        ngx_zapier_limit_news_aged(&item, age);

        if (item.closed != 0) {
            ngx_zapier_limit_news_take(news, &item);
        }
    }
}


static void
ngx_zapier_limit_news_timer(ngx_event_t *ev)
{
    ngx_zapier_limit_news_t  *news;

    news = ev->data;

    if (news->unread) {
        ngx_zapier_limit_news_read(news);
    }

    ngx_zapier_limit_news_again(news);
}


/* Nothing depends on hearing of everything. */

static void
ngx_zapier_limit_news_ignore(ngx_zapier_redis_watch_t *watch)
{
    (void) watch;
}


static void
ngx_zapier_limit_news_alive(ngx_zapier_redis_watch_t *watch, uint64_t sent)
{
    (void) watch;
    (void) sent;
}
