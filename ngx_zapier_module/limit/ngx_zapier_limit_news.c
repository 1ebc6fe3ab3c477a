
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


/* ms between proofs that the link still works */
#define NGX_ZAPIER_LIMIT_NEWS_PING   1000

/* news of one worker that may be on their way; more are not told */
#define NGX_ZAPIER_LIMIT_NEWS_POSTS  64

/* ms until it is tried again to tell of a closed gate, and no more */
#define NGX_ZAPIER_LIMIT_NEWS_AGAIN  250
#define NGX_ZAPIER_LIMIT_NEWS_OLD    30000


typedef struct {
    ngx_zapier_redis_cmd_t     cmd;
    ngx_zapier_limit_news_t   *news;
    ngx_uint_t                 busy;
    ngx_uint_t                 late;       /* could not be sent */

    /* what to tell, zone is NULL for other commands */
    ngx_zapier_limit_zone_t   *zone;
    ngx_zapier_limit_item_t    item;
    uint64_t                   since;
    u_char                     key[NGX_ZAPIER_LIMIT_KEY_LEN];
} ngx_zapier_limit_post_t;


struct ngx_zapier_limit_news_s {
    ngx_zapier_limits_t       *limits;
    ngx_str_t                  channel;
    ngx_zapier_redis_watch_t   watch;
    ngx_event_t                timer;
    u_char                     node[NGX_ZAPIER_LIMIT_NEWS_NODE];
    ngx_zapier_limit_post_t    posts[NGX_ZAPIER_LIMIT_NEWS_POSTS];
};


static ngx_uint_t ngx_zapier_limit_news_wanted(ngx_zapier_limits_t *limits);
static ngx_zapier_limit_post_t *ngx_zapier_limit_news_slot(
    ngx_zapier_limit_news_t *news);
static void ngx_zapier_limit_news_send(ngx_zapier_limit_post_t *post);
static void ngx_zapier_limit_news_posted(ngx_zapier_redis_cmd_t *cmd);
static void ngx_zapier_limit_news_failed(ngx_zapier_limit_post_t *post);
static void ngx_zapier_limit_news_again(ngx_event_t *ev);
static void ngx_zapier_limit_news_message(ngx_zapier_redis_watch_t *watch,
    ngx_str_t *text);
static ngx_zapier_limit_zone_t *ngx_zapier_limit_news_zone(
    ngx_zapier_limits_t *limits, ngx_zapier_limit_item_t *item);
static ngx_uint_t ngx_zapier_limit_news_operator(
    ngx_zapier_limit_news_e kind);
static ngx_uint_t ngx_zapier_limit_news_hear(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_item_t *item);
static void ngx_zapier_limit_news_ignore(ngx_zapier_redis_watch_t *watch);
static void ngx_zapier_limit_news_alive(ngx_zapier_redis_watch_t *watch,
    uint64_t sent);


ngx_int_t
ngx_zapier_limit_news_start(ngx_zapier_limits_t *limits, ngx_cycle_t *cycle)
{
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

    p = ngx_pnalloc(cycle->pool,
                    limits->prefix.len + sizeof("limit@") - 1 + db->len);
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

    news->watch.channel = news->channel;
    news->watch.interval = NGX_ZAPIER_LIMIT_NEWS_PING;
    news->watch.data = news;
    news->watch.up = ngx_zapier_limit_news_ignore;
    news->watch.message = ngx_zapier_limit_news_message;
    news->watch.alive = ngx_zapier_limit_news_alive;
    news->watch.down = ngx_zapier_limit_news_ignore;

    news->timer.handler = ngx_zapier_limit_news_again;
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
    if (limits->news != NULL) {
        ngx_zapier_redis_watch_stop(&limits->news->watch);

        if (limits->news->timer.timer_set) {
            ngx_del_timer(&limits->news->timer);
        }

        limits->news = NULL;
    }
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


void
ngx_zapier_limit_news_tell(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_scope_t *scope, ngx_zapier_limit_item_t *item)
{
    ngx_zapier_limit_news_t  *news;
    ngx_zapier_limit_post_t  *post;

    news = limits->news;

    if (news == NULL) {
        return;
    }

    post = ngx_zapier_limit_news_slot(news);
    if (post == NULL) {
        return;
    }

    post->zone = scope->zone;
    post->since = ngx_zapier_clock();
    post->item = *item;

    post->item.node.data = news->node;
    post->item.node.len = sizeof(news->node);
    post->item.zone = scope->zone->name;
    post->item.key.data = post->key;
    post->item.key.len = ngx_min(scope->key.len, sizeof(post->key));

    ngx_memcpy(post->key, scope->key.data, post->item.key.len);

    ngx_zapier_limit_news_send(post);

    ngx_zapier_limit_count(limits, scope->zone, NGX_ZAPIER_LIMIT_COUNT_TOLD,
                           1);
}


ngx_int_t
ngx_zapier_limit_news_sender(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_item_t *item, ngx_str_t *channel)
{
    ngx_zapier_limit_news_t  *news;

    news = limits->news;

    if (news == NULL) {
        return NGX_ERROR;
    }

    item->node.data = news->node;
    item->node.len = sizeof(news->node);

    *channel = news->channel;

    return NGX_OK;
}


void
ngx_zapier_limit_news_post(ngx_zapier_limits_t *limits, ngx_uint_t argc,
    ngx_str_t *argv)
{
    ngx_zapier_limit_post_t  *post;

    if (limits->news == NULL) {
        return;
    }

    post = ngx_zapier_limit_news_slot(limits->news);
    if (post == NULL) {
        return;
    }

    if (ngx_zapier_redis_start(limits->redis, &post->cmd, argc, argv)
        != NGX_AGAIN)
    {
        ngx_zapier_limit_news_failed(post);
    }
}


static ngx_zapier_limit_post_t *
ngx_zapier_limit_news_slot(ngx_zapier_limit_news_t *news)
{
    ngx_uint_t                i;
    ngx_zapier_limit_post_t  *post;

    for (i = 0; i < NGX_ZAPIER_LIMIT_NEWS_POSTS; i++) {
        post = &news->posts[i];

        if (!post->busy) {
            post->busy = 1;
            post->late = 0;
            post->news = news;
            post->zone = NULL;
            post->cmd.handler = ngx_zapier_limit_news_posted;
            post->cmd.data = post;

            return post;
        }
    }

    return NULL;
}


/* The times are those of now, however long it took to come so far. */

static void
ngx_zapier_limit_news_send(ngx_zapier_limit_post_t *post)
{
    u_char                    text[NGX_ZAPIER_LIMIT_NEWS_LEN];
    uint32_t                  passed;
    ngx_str_t                 argv[3];
    ngx_zapier_limit_item_t   item;
    ngx_zapier_limit_news_t  *news;

    news = post->news;
    item = post->item;
    passed = (uint32_t) (ngx_zapier_clock() - post->since);

    if (item.closed != NGX_ZAPIER_LIMIT_UNSET) {
        item.closed -= ngx_min(passed, item.closed);
    }

    if (item.reset != NGX_ZAPIER_LIMIT_UNSET) {
        item.reset -= ngx_min(passed, item.reset);
    }

    post->late = 0;

    ngx_str_set(&argv[0], "PUBLISH");
    argv[1] = news->channel;
    argv[2].data = text;
    argv[2].len = ngx_zapier_limit_news_format(text, &item);

    if (ngx_zapier_redis_start(news->limits->redis, &post->cmd, 3, argv)
        != NGX_AGAIN)
    {
        ngx_zapier_limit_news_failed(post);
    }
}


static void
ngx_zapier_limit_news_posted(ngx_zapier_redis_cmd_t *cmd)
{
    ngx_zapier_limit_post_t *post = cmd->data;

    if (cmd->status == NGX_OK) {
        post->busy = 0;
        return;
    }

    ngx_zapier_limit_news_failed(post);
}


/* A gate that stays closed for a while is worth another attempt. */

static void
ngx_zapier_limit_news_failed(ngx_zapier_limit_post_t *post)
{
    uint64_t      passed;
    ngx_event_t  *timer;

    passed = ngx_zapier_clock() - post->since;

    if (post->zone == NULL
        || post->item.kind != NGX_ZAPIER_LIMIT_NEWS_CLOSED
        || post->item.closed <= passed
        || passed > NGX_ZAPIER_LIMIT_NEWS_OLD)
    {
        post->busy = 0;
        return;
    }

    post->late = 1;

    timer = &post->news->timer;

    if (!timer->timer_set && !ngx_exiting) {
        ngx_add_timer(timer, NGX_ZAPIER_LIMIT_NEWS_AGAIN);
    }
}


static void
ngx_zapier_limit_news_again(ngx_event_t *ev)
{
    ngx_uint_t                i;
    ngx_zapier_limit_news_t  *news;

    news = ev->data;

    for (i = 0; i < NGX_ZAPIER_LIMIT_NEWS_POSTS; i++) {
        if (news->posts[i].busy && news->posts[i].late) {
            ngx_zapier_limit_news_send(&news->posts[i]);
        }
    }
}


static void
ngx_zapier_limit_news_message(ngx_zapier_redis_watch_t *watch,
    ngx_str_t *text)
{
    ngx_uint_t                 changed;
    ngx_zapier_limits_t       *limits;
    ngx_zapier_limit_item_t    item;
    ngx_zapier_limit_news_t   *news;
    ngx_zapier_limit_zone_t   *zone;
    ngx_zapier_limit_claim_t   claim;
    ngx_zapier_limit_chain_t   chain;

    news = watch->data;
    limits = news->limits;

    if (ngx_zapier_limit_news_parse(text, &item) != NGX_OK) {
        return;
    }

    if (item.node.len == sizeof(news->node)
        && ngx_memcmp(item.node.data, news->node, item.node.len) == 0)
    {
        return;
    }

    zone = ngx_zapier_limit_news_zone(limits, &item);
    if (zone == NULL) {
        return;
    }

    ngx_memzero(&claim, sizeof(ngx_zapier_limit_claim_t));

    claim.nscopes = 1;
    claim.scopes[0].zone = zone;
    claim.scopes[0].key = item.key;

    if (ngx_zapier_limit_chain_open(&chain, limits, &claim) != NGX_OK) {
        return;
    }

    if (ngx_zapier_limit_news_operator(item.kind)) {
        (void) ngx_zapier_limit_operated(&chain, item.kind,
                      (item.closed != NGX_ZAPIER_LIMIT_UNSET) ? item.closed
                                                              : 0);
        changed = 0;

    } else {
        changed = ngx_zapier_limit_news_hear(&chain, &item);
    }

    ngx_zapier_limit_chain_close(&chain);

    if (!changed) {
        return;
    }

    if (item.kind == NGX_ZAPIER_LIMIT_NEWS_CLOSED) {
        ngx_zapier_limit_count(limits, zone, NGX_ZAPIER_LIMIT_COUNT_CLOSED, 1);
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "another node tells that a scope of limit zone \"%V\" is "
                  "%s", &zone->name,
                  (item.kind == NGX_ZAPIER_LIMIT_NEWS_CLOSED) ? "closed"
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
