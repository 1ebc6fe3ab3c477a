
/*
 * The watch: a link in subscribe mode.  It gets the server's invalidation
 * messages, redirected to itself because RESP2 has no other way, or what is
 * published on a channel.
 *
 * Silence could mean that nothing changes or that the link is dead, hence
 * the PING: the server reports a change before it answers a PING that was
 * sent after the change.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_clock.h>
#include <ngx_zapier_redis_watch.h>


#define NGX_ZAPIER_REDIS_CHANNEL       "__redis__:invalidate"

/* ms between attempts: the link broke, or the server does not track */
#define NGX_ZAPIER_REDIS_WATCH_RETRY   1000
#define NGX_ZAPIER_REDIS_WATCH_REFUSED 30000


static ngx_zapier_redis_watcher_t *ngx_zapier_redis_watcher(
    ngx_zapier_redis_t *redis);
static void ngx_zapier_redis_watch_timer(ngx_event_t *ev);
static void ngx_zapier_redis_watch_open(ngx_zapier_redis_watcher_t *w);
static void ngx_zapier_redis_watch_ping(ngx_zapier_redis_watcher_t *w);
static ngx_int_t ngx_zapier_redis_watch_login(ngx_zapier_redis_link_t *link);
static ngx_int_t ngx_zapier_redis_watch_id(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_reply_t *reply);
static ngx_int_t ngx_zapier_redis_watch_tracking(
    ngx_zapier_redis_link_t *link, ngx_zapier_redis_reply_t *reply);
static ngx_int_t ngx_zapier_redis_watch_subscribe(
    ngx_zapier_redis_link_t *link);
static ngx_int_t ngx_zapier_redis_watch_refused(
    ngx_zapier_redis_watcher_t *w, ngx_zapier_redis_reply_t *reply,
    const char *what);
static ngx_int_t ngx_zapier_redis_watch_push(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_reply_t *reply);
static ngx_int_t ngx_zapier_redis_watch_error(ngx_zapier_redis_watcher_t *w,
    ngx_zapier_redis_reply_t *reply);
static void ngx_zapier_redis_watch_pong(ngx_zapier_redis_watcher_t *w);
static ngx_int_t ngx_zapier_redis_watch_message(
    ngx_zapier_redis_watcher_t *w, ngx_zapier_redis_reply_t *payload);
static void ngx_zapier_redis_watch_closed(ngx_zapier_redis_link_t *link);
static void ngx_zapier_redis_watch_channel(ngx_zapier_redis_watcher_t *w,
    ngx_str_t *channel);
static ngx_uint_t ngx_zapier_redis_watch_is(ngx_zapier_redis_reply_t *reply,
    const char *text);


/* one message holds all keys that were written in a turn of the server */

static const ngx_zapier_redis_caps_t  ngx_zapier_redis_watch_caps = {
    3,                   /* depth */
    65536,               /* nelts */
    65536 + 16,          /* total */
    64 * 1024,           /* string */
    8 * 1024 * 1024      /* bytes */
};


ngx_int_t
ngx_zapier_redis_watch_start(ngx_zapier_redis_t *redis,
    ngx_zapier_redis_watch_t *watch)
{
    ngx_zapier_redis_init_worker(redis);

    if (redis->links == NULL && redis->topology == NULL) {
        return NGX_ERROR;
    }

    watch->redis = redis;

    if (redis->topology && redis->topology->several
        && watch->channel.len == 0)
    {
        ngx_zapier_redis_spread_start(watch);
        return NGX_OK;
    }

    if (ngx_zapier_redis_watcher_start(redis, watch, NULL) != NGX_OK) {
        watch->redis = NULL;
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_zapier_redis_watcher_start(ngx_zapier_redis_t *front,
    ngx_zapier_redis_watch_t *watch, ngx_zapier_redis_t *server)
{
    ngx_zapier_redis_watcher_t  *w;

    w = ngx_zapier_redis_watcher(front);
    if (w == NULL) {
        return NGX_ERROR;
    }

    w->watch = watch;
    w->server = server;
    w->backoff = 0;
    w->proven = 0;
    w->up = 0;
    w->pinging = 0;
    w->refused = 0;
    w->warned = 0;

    ngx_add_timer(&w->timer, 1);

    return NGX_OK;
}


static ngx_zapier_redis_watcher_t *
ngx_zapier_redis_watcher(ngx_zapier_redis_t *redis)
{
    ngx_queue_t                 *q;
    ngx_zapier_redis_link_t     *link;
    ngx_zapier_redis_watcher_t  *w;

    for (q = ngx_queue_head(&redis->watchers);
         q != ngx_queue_sentinel(&redis->watchers);
         q = ngx_queue_next(q))
    {
        w = ngx_queue_data(q, ngx_zapier_redis_watcher_t, queue);

        if (w->watch == NULL) {
            return w;
        }
    }

    w = ngx_pcalloc(redis->pool, sizeof(ngx_zapier_redis_watcher_t));
    if (w == NULL) {
        return NULL;
    }

    w->front = redis;

    link = &w->link;

    ngx_zapier_redis_link_init(link, redis, &ngx_zapier_redis_watch_caps);

    link->login = ngx_zapier_redis_watch_login;
    link->push = ngx_zapier_redis_watch_push;
    link->closed = ngx_zapier_redis_watch_closed;

    w->timer.handler = ngx_zapier_redis_watch_timer;
    w->timer.data = w;
    w->timer.log = ngx_cycle->log;
    w->timer.cancelable = 1;

    ngx_queue_insert_tail(&redis->watchers, &w->queue);

    return w;
}


void
ngx_zapier_redis_watch_stop(ngx_zapier_redis_watch_t *watch)
{
    ngx_queue_t                 *q;
    ngx_zapier_redis_t          *redis;
    ngx_zapier_redis_watcher_t  *w;

    redis = watch->redis;

    if (redis == NULL) {
        return;
    }

    watch->redis = NULL;

    if (redis->topology && redis->topology->several
        && watch->channel.len == 0)
    {
        ngx_queue_remove(&watch->queue);
    }

    for (q = ngx_queue_head(&redis->watchers);
         q != ngx_queue_sentinel(&redis->watchers);
         q = ngx_queue_next(q))
    {
        w = ngx_queue_data(q, ngx_zapier_redis_watcher_t, queue);

        if (w->watch == watch) {
            ngx_zapier_redis_watcher_stop(w);
        }
    }
}


void
ngx_zapier_redis_watcher_stop(ngx_zapier_redis_watcher_t *w)
{
    w->watch = NULL;

    if (w->timer.timer_set) {
        ngx_del_timer(&w->timer);
    }

    if (w->link.state != NGX_ZAPIER_REDIS_DOWN) {
        ngx_zapier_redis_link_close(&w->link, 0);
    }
}


/* Opens the link, or sends the next PING and looks after the last one. */

static void
ngx_zapier_redis_watch_timer(ngx_event_t *ev)
{
    ngx_zapier_redis_link_t     *link;
    ngx_zapier_redis_watcher_t  *w;

    w = ev->data;
    link = &w->link;

    switch (link->state) {

    case NGX_ZAPIER_REDIS_DOWN:

        if (!ngx_exiting) {
            ngx_zapier_redis_watch_open(w);
        }

        return;

    case NGX_ZAPIER_REDIS_READY:
        ngx_zapier_redis_watch_ping(w);
        return;

    default:

        /* it has a deadline of its own */

        return;
    }
}


static void
ngx_zapier_redis_watch_open(ngx_zapier_redis_watcher_t *w)
{
    ngx_zapier_redis_t           *redis;
    ngx_zapier_redis_topology_t  *topology;

    topology = w->front->topology;

    if (topology) {
        redis = w->server ? w->server
                          : topology->watched(topology, w->watch);

        if (redis == NULL) {
            ngx_zapier_redis_watch_closed(&w->link);
            return;
        }

        ngx_zapier_redis_init_worker(redis);

        if (redis->links == NULL) {
            ngx_zapier_redis_watch_closed(&w->link);
            return;
        }

        w->link.redis = redis;
    }

    /* when it cannot be opened, it is closed and says so */

    (void) ngx_zapier_redis_link_open(&w->link);
}


void
ngx_zapier_redis_watch_moved(ngx_zapier_redis_t *front,
    ngx_zapier_redis_t *redis)
{
    ngx_queue_t                 *q;
    ngx_zapier_redis_watcher_t  *w;

    for (q = ngx_queue_head(&front->watchers);
         q != ngx_queue_sentinel(&front->watchers);
         q = ngx_queue_next(q))
    {
        w = ngx_queue_data(q, ngx_zapier_redis_watcher_t, queue);

        if (w->link.redis != redis
            && w->link.state != NGX_ZAPIER_REDIS_DOWN)
        {
            w->backoff = 0;
            ngx_zapier_redis_link_close(&w->link, 0);
        }
    }
}


static void
ngx_zapier_redis_watch_ping(ngx_zapier_redis_watcher_t *w)
{
    ngx_str_t                 argv[1];
    ngx_msec_t                timeout;
    ngx_zapier_redis_link_t  *link;

    link = &w->link;
    timeout = link->redis->conf.timeout;

    if (w->pinging) {

        if (ngx_current_msec - w->pinged < timeout) {
            ngx_add_timer(&w->timer, timeout - (ngx_current_msec - w->pinged));
            return;
        }

        ngx_log_error(NGX_LOG_ERR, &link->log, NGX_ETIMEDOUT,
                      "redis did not answer PING of the watch");

        ngx_zapier_redis_link_fail(link);
        return;
    }

    ngx_str_set(&argv[0], "PING");

    if (ngx_zapier_redis_queue_own(link, NULL, 1, argv) != NGX_OK) {
        ngx_zapier_redis_link_fail(link);
        return;
    }

    w->pinging = 1;
    w->pinged = ngx_current_msec;
    w->sent = ngx_zapier_clock();

    ngx_zapier_redis_link_post(link);

    ngx_add_timer(&w->timer, ngx_min(w->watch->interval, timeout));
}


static ngx_int_t
ngx_zapier_redis_watch_login(ngx_zapier_redis_link_t *link)
{
    ngx_str_t  argv[2];

    link->log.action = "starting the watch";

    if (((ngx_zapier_redis_watcher_t *) link)->watch->channel.len != 0) {
        return ngx_zapier_redis_watch_subscribe(link);
    }

    ngx_str_set(&argv[0], "CLIENT");
    ngx_str_set(&argv[1], "ID");

    return ngx_zapier_redis_queue_own(link, ngx_zapier_redis_watch_id, 2,
                                      argv);
}


static ngx_int_t
ngx_zapier_redis_watch_id(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_reply_t *reply)
{
    u_char                       id[NGX_INT64_LEN];
    ngx_str_t                    argv[8];
    ngx_zapier_redis_watcher_t  *w;

    w = (ngx_zapier_redis_watcher_t *) link;

    if (reply->type != NGX_ZAPIER_REDIS_INTEGER) {
        return ngx_zapier_redis_watch_refused(w, reply, "CLIENT ID");
    }

    ngx_str_set(&argv[0], "CLIENT");
    ngx_str_set(&argv[1], "TRACKING");
    ngx_str_set(&argv[2], "ON");
    ngx_str_set(&argv[3], "REDIRECT");
    argv[4].data = id;
    argv[4].len = ngx_sprintf(id, "%L", reply->integer) - id;
    ngx_str_set(&argv[5], "BCAST");
    ngx_str_set(&argv[6], "PREFIX");
    argv[7] = w->watch->prefix;

    ngx_zapier_redis_link_post(link);

    return ngx_zapier_redis_queue_own(link, ngx_zapier_redis_watch_tracking,
                                      8, argv);
}


static ngx_int_t
ngx_zapier_redis_watch_tracking(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_reply_t *reply)
{
    ngx_zapier_redis_watcher_t  *w;

    w = (ngx_zapier_redis_watcher_t *) link;

    if (!ngx_zapier_redis_reply_is(reply, NGX_ZAPIER_REDIS_STATUS, "OK")) {
        return ngx_zapier_redis_watch_refused(w, reply, "CLIENT TRACKING");
    }

    return ngx_zapier_redis_watch_subscribe(link);
}


static ngx_int_t
ngx_zapier_redis_watch_subscribe(ngx_zapier_redis_link_t *link)
{
    ngx_str_t  argv[2];

    /* nothing but SUBSCRIBE has its reply here any more */

    link->pushing = 1;

    ngx_str_set(&argv[0], "SUBSCRIBE");
    ngx_zapier_redis_watch_channel((ngx_zapier_redis_watcher_t *) link,
                                   &argv[1]);

    ngx_zapier_redis_link_post(link);

    return ngx_zapier_redis_queue_own(link, NULL, 2, argv);
}


static ngx_int_t
ngx_zapier_redis_watch_refused(ngx_zapier_redis_watcher_t *w,
    ngx_zapier_redis_reply_t *reply, const char *what)
{
    size_t  len;
    u_char  text[NGX_ZAPIER_REDIS_TEXT_LEN];

    len = ngx_zapier_redis_reply_text(reply, text);

    if (ngx_zapier_redis_refused(reply)) {
        ngx_log_error(NGX_LOG_ERR, &w->link.log, 0,
                      "redis cannot serve: \"%*s\"", len, text);
        return NGX_ERROR;
    }

    /* an old server, a proxy, or an ACL: this will not be otherwise soon */

    w->refused = 1;

    if (!w->warned) {
        w->warned = 1;

        ngx_log_error(NGX_LOG_WARN, &w->link.log, 0,
                      "redis refused %s, %s not reported: \"%*s\"", what,
                      w->watch->channel.len ? "what is published is"
                                            : "changed keys are",
                      len, text);
    }

    return NGX_ERROR;
}


static ngx_int_t
ngx_zapier_redis_watch_push(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_reply_t *reply)
{
    ngx_str_t                    channel;
    ngx_zapier_redis_watcher_t  *w;

    w = (ngx_zapier_redis_watcher_t *) link;

    ngx_zapier_redis_watch_channel(w, &channel);

    if (reply->type == NGX_ZAPIER_REDIS_ERROR) {
        return ngx_zapier_redis_watch_error(w, reply);
    }

    if (reply->type == NGX_ZAPIER_REDIS_ARRAY && reply->nelts == 2
        && ngx_zapier_redis_watch_is(reply->elts[0], "pong"))
    {
        ngx_zapier_redis_watch_pong(w);
        return NGX_OK;
    }

    if (reply->type == NGX_ZAPIER_REDIS_ARRAY && reply->nelts == 3
        && reply->elts[1]->type == NGX_ZAPIER_REDIS_STRING
        && reply->elts[1]->str.len == channel.len
        && ngx_memcmp(reply->elts[1]->str.data, channel.data, channel.len)
           == 0)
    {
        if (ngx_zapier_redis_watch_is(reply->elts[0], "message")) {
            return ngx_zapier_redis_watch_message(w, reply->elts[2]);
        }

        if (ngx_zapier_redis_watch_is(reply->elts[0], "subscribe")
            && link->state == NGX_ZAPIER_REDIS_LOGIN)
        {
            ngx_zapier_redis_link_ready(link);

            /* no need to wait with commands any longer */

            link->redis->retry = ngx_current_msec;

            /* the first proof of life is wanted now */

            ngx_add_timer(&w->timer, 1);

            w->up = 1;

            if (w->server) {
                ngx_zapier_redis_spread_settle(w->watch, 0);

            } else {
                w->watch->up(w->watch);
            }

            return NGX_OK;
        }
    }

    ngx_log_error(NGX_LOG_ERR, &link->log, 0,
                  "redis sent an unexpected reply to the watch");

    return NGX_ERROR;
}


static ngx_int_t
ngx_zapier_redis_watch_error(ngx_zapier_redis_watcher_t *w,
    ngx_zapier_redis_reply_t *reply)
{
    size_t  len;
    u_char  text[NGX_ZAPIER_REDIS_TEXT_LEN];

    if (w->link.state == NGX_ZAPIER_REDIS_LOGIN) {
        return ngx_zapier_redis_watch_refused(w, reply, "SUBSCRIBE");
    }

    /* a server that cannot save answers PING so, yet in its turn */

    if (w->pinging
        && ngx_zapier_redis_reply_is(reply, NGX_ZAPIER_REDIS_ERROR,
                                     "MISCONF"))
    {
        ngx_zapier_redis_watch_pong(w);
        return NGX_OK;
    }

    len = ngx_zapier_redis_reply_text(reply, text);

    ngx_log_error(NGX_LOG_ERR, &w->link.log, 0,
                  "redis failed the watch: \"%*s\"", len, text);

    return NGX_ERROR;
}


static void
ngx_zapier_redis_watch_pong(ngx_zapier_redis_watcher_t *w)
{
    ngx_msec_t  elapsed;

    if (!w->pinging) {
        return;
    }

    w->pinging = 0;
    w->backoff = 0;

    elapsed = ngx_current_msec - w->pinged;

    if (w->timer.timer_set) {
        ngx_del_timer(&w->timer);
    }

    ngx_add_timer(&w->timer, (elapsed < w->watch->interval)
                             ? w->watch->interval - elapsed : 1);

    w->proven = w->sent;

    if (w->server) {
        ngx_zapier_redis_spread_settle(w->watch, 0);

    } else {
        w->watch->alive(w->watch, w->sent);
    }
}


static ngx_int_t
ngx_zapier_redis_watch_message(ngx_zapier_redis_watcher_t *w,
    ngx_zapier_redis_reply_t *payload)
{
    ngx_uint_t                 i, epoch;
    ngx_zapier_redis_reply_t  *key;

    if (w->watch->channel.len != 0) {

        if (payload->type == NGX_ZAPIER_REDIS_STRING) {
            w->watch->message(w->watch, &payload->str);
        }

        return NGX_OK;
    }

    if (payload->type == NGX_ZAPIER_REDIS_NIL) {
        w->watch->change(w->watch, NULL);
        return NGX_OK;
    }

    if (payload->type != NGX_ZAPIER_REDIS_ARRAY) {
        ngx_log_error(NGX_LOG_ERR, &w->link.log, 0,
                      "redis sent an unexpected message to the watch");
        return NGX_ERROR;
    }

    epoch = w->link.epoch;

    for (i = 0; i < payload->nelts && w->link.epoch == epoch; i++) {
        key = payload->elts[i];

        if (key->type == NGX_ZAPIER_REDIS_STRING) {
            w->watch->change(w->watch, &key->str);
        }
    }

    return NGX_OK;
}


static void
ngx_zapier_redis_watch_closed(ngx_zapier_redis_link_t *link)
{
    ngx_msec_t                   delay;
    ngx_zapier_redis_watcher_t  *w;

    w = (ngx_zapier_redis_watcher_t *) link;

    if (w->watch == NULL) {
        return;
    }

    if (w->timer.timer_set) {
        ngx_del_timer(&w->timer);
    }

    w->pinging = 0;
    w->proven = 0;
    w->up = 0;

    if (w->refused) {
        w->refused = 0;
        delay = NGX_ZAPIER_REDIS_WATCH_REFUSED;

    } else {
        w->backoff = w->backoff ? ngx_min(w->backoff * 2,
                                          NGX_ZAPIER_REDIS_WATCH_RETRY)
                                : NGX_ZAPIER_REDIS_BACKOFF;
        delay = w->backoff;
    }

    if (!ngx_exiting) {
        ngx_add_timer(&w->timer, ngx_zapier_redis_jitter(delay));
    }

    if (w->server) {
        ngx_zapier_redis_spread_settle(w->watch, 1);

    } else {
        w->watch->down(w->watch);
    }
}


static void
ngx_zapier_redis_watch_channel(ngx_zapier_redis_watcher_t *w,
    ngx_str_t *channel)
{
    if (w->watch->channel.len != 0) {
        *channel = w->watch->channel;
        return;
    }

    ngx_str_set(channel, NGX_ZAPIER_REDIS_CHANNEL);
}


static ngx_uint_t
ngx_zapier_redis_watch_is(ngx_zapier_redis_reply_t *reply, const char *text)
{
    return reply->type == NGX_ZAPIER_REDIS_STRING
           && reply->str.len == ngx_strlen(text)
           && ngx_strncmp(reply->str.data, text, reply->str.len) == 0;
}
