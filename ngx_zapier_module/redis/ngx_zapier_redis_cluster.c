
/*
 * Commands in a Cluster: to the master that has the key, or where a server
 * says that it has gone.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_cluster.h>


/* ms until a command is sent again that its server cannot serve yet */
#define NGX_ZAPIER_REDIS_CLUSTER_PAUSE   20


static void ngx_zapier_redis_cluster_setup(
    ngx_zapier_redis_topology_t *topology, ngx_zapier_redis_t *redis);
static void ngx_zapier_redis_cluster_init(
    ngx_zapier_redis_topology_t *topology);
static void ngx_zapier_redis_cluster_exit(
    ngx_zapier_redis_topology_t *topology);
static ngx_int_t ngx_zapier_redis_cluster_send(ngx_zapier_redis_call_t *call);
static ngx_zapier_redis_t *ngx_zapier_redis_cluster_choose(
    ngx_zapier_redis_cluster_t *c, ngx_zapier_redis_call_t *call);
static ngx_zapier_redis_t *ngx_zapier_redis_cluster_scan(
    ngx_zapier_redis_cluster_t *c, ngx_zapier_redis_call_t *call);
static ngx_uint_t ngx_zapier_redis_cluster_scan_next(
    ngx_zapier_redis_cluster_t *c, ngx_uint_t last);
static void ngx_zapier_redis_cluster_scanned(ngx_zapier_redis_cluster_t *c,
    ngx_zapier_redis_call_t *call);
static ngx_int_t ngx_zapier_redis_cluster_reply(
    ngx_zapier_redis_call_t *call);
static ngx_int_t ngx_zapier_redis_cluster_redirect(
    ngx_zapier_redis_call_t *call);
static void ngx_zapier_redis_cluster_failed(
    ngx_zapier_redis_topology_t *topology, ngx_zapier_redis_t *redis);
static ngx_zapier_redis_t *ngx_zapier_redis_cluster_watched(
    ngx_zapier_redis_topology_t *topology, ngx_zapier_redis_watch_t *watch);
static ngx_uint_t ngx_zapier_redis_cluster_unused(
    ngx_zapier_redis_topology_t *topology, ngx_zapier_redis_t *redis);


/* one that is cut up into all its slots still fits */

static const ngx_zapier_redis_caps_t  ngx_zapier_redis_cluster_caps = {
    7,                   /* depth */
    16384,               /* nelts */
    524288,              /* total */
    1024 * 1024,         /* string */
    8 * 1024 * 1024      /* bytes */
};


ngx_zapier_redis_topology_t *
ngx_zapier_redis_cluster_create(ngx_conf_t *cf, ngx_zapier_redis_t *redis)
{
    ngx_zapier_redis_cluster_t  *c;

    c = ngx_pcalloc(cf->pool, sizeof(ngx_zapier_redis_cluster_t));
    if (c == NULL) {
        return NULL;
    }

    redis->caps = &ngx_zapier_redis_cluster_caps;

    c->topology.form = NGX_ZAPIER_REDIS_CLUSTER_FORM;
    c->topology.max = NGX_ZAPIER_REDIS_CLUSTER_NODES;
    c->topology.several = 1;
    c->topology.setup = ngx_zapier_redis_cluster_setup;
    c->topology.init = ngx_zapier_redis_cluster_init;
    c->topology.exit = ngx_zapier_redis_cluster_exit;
    c->topology.send = ngx_zapier_redis_cluster_send;
    c->topology.reply = ngx_zapier_redis_cluster_reply;
    c->topology.failed = ngx_zapier_redis_cluster_failed;
    c->topology.watched = ngx_zapier_redis_cluster_watched;
    c->topology.unused = ngx_zapier_redis_cluster_unused;

    return &c->topology;
}


static void
ngx_zapier_redis_cluster_setup(ngx_zapier_redis_topology_t *topology,
    ngx_zapier_redis_t *redis)
{
    redis->password = topology->redis->password;
    redis->conf.connections = 1;

    /* one that is silent leaves half of the time for another */

    redis->conf.timeout = redis->conf.timeout / 2 + 1;
}


static void
ngx_zapier_redis_cluster_init(ngx_zapier_redis_topology_t *topology)
{
    ngx_zapier_redis_cluster_t  *c;

    c = (ngx_zapier_redis_cluster_t *) topology;

    /* workers do not all begin with the same one */

    c->next = (ngx_uint_t) ngx_random();

    c->timer.handler = ngx_zapier_redis_cluster_round;
    c->timer.data = c;
    c->timer.log = &topology->log;
    c->timer.cancelable = 1;
}


static void
ngx_zapier_redis_cluster_exit(ngx_zapier_redis_topology_t *topology)
{
    ngx_zapier_redis_cluster_t  *c;

    c = (ngx_zapier_redis_cluster_t *) topology;

    if (c->timer.timer_set) {
        ngx_del_timer(&c->timer);
    }

    ngx_zapier_redis_cancel(&c->question);
}


static ngx_int_t
ngx_zapier_redis_cluster_send(ngx_zapier_redis_call_t *call)
{
    ngx_uint_t                   asking;
    ngx_zapier_redis_t          *redis;
    ngx_zapier_redis_cluster_t  *c;

    c = (ngx_zapier_redis_cluster_t *) call->topology;

    if (call->delayed) {
        call->delayed = 0;
        call->pausing = 1;
        call->resume = ngx_current_msec + NGX_ZAPIER_REDIS_CLUSTER_PAUSE;
        return NGX_BUSY;
    }

    if (!c->known) {
        redis = c->topology.redis;

        /* one at a time finds out whether there is a Cluster again */

        if (redis->backoff
            && ((ngx_msec_int_t) (redis->retry - ngx_current_msec) > 0
                || !ngx_queue_empty(&c->topology.waiting)))
        {
            return NGX_ERROR;
        }

        ngx_zapier_redis_cluster_soon(c, 1);

        return NGX_BUSY;
    }

    redis = call->target;
    asking = (redis != NULL);
    call->target = NULL;

    if (redis == NULL) {
        redis = ngx_zapier_redis_cluster_choose(c, call);
    }

    if (redis == NULL) {
        ngx_zapier_redis_cluster_soon(c, NGX_ZAPIER_REDIS_CLUSTER_HURRY);
        return NGX_ERROR;
    }

    return ngx_zapier_redis_call_send(call, redis, asking);
}


static ngx_zapier_redis_t *
ngx_zapier_redis_cluster_choose(ngx_zapier_redis_cluster_t *c,
    ngx_zapier_redis_call_t *call)
{
    u_char       n;
    ngx_str_t   *key;
    ngx_uint_t   i;

    key = ngx_zapier_redis_command_key(call->argc, call->argv);

    if (key != NULL) {
        n = c->map[ngx_zapier_redis_key_slot(key)];

        return (n == NGX_ZAPIER_REDIS_CLUSTER_NONE) ? NULL : c->masters[n];
    }

    if (call->argv[0].len == sizeof("SCAN") - 1
        && ngx_strncmp(call->argv[0].data, "SCAN", sizeof("SCAN") - 1) == 0)
    {
        return ngx_zapier_redis_cluster_scan(c, call);
    }

    for (i = 0; i < c->nmasters; i++) {
        if (c->masters[i]->backoff == 0) {
            return c->masters[i];
        }
    }

    return c->masters[0];
}


/*
 * Masters are scanned one after another, in the order of their first slots.
 * The lowest bits of the caller's cursor tell that slot, and by a few bits of
 * its name the server; a server's own cursor is never so large that it has no
 * room for them.  To another server it means nothing: that is scanned from
 * its beginning, for keys may be told twice, but none may be left out.
 */

static ngx_zapier_redis_t *
ngx_zapier_redis_cluster_scan(ngx_zapier_redis_cluster_t *c,
    ngx_zapier_redis_call_t *call)
{
    u_char               n;
    int64_t              cursor;
    ngx_uint_t           mark;
    ngx_zapier_redis_t  *redis;

    if (!call->scanning) {
        cursor = ngx_atoi(call->argv[1].data, call->argv[1].len);

        if (cursor == NGX_ERROR) {
            return NULL;
        }

        call->slot = cursor & (NGX_ZAPIER_REDIS_SLOTS - 1);
        call->mark = (cursor >> NGX_ZAPIER_REDIS_CLUSTER_SLOT) & 0xff;
        cursor >>= NGX_ZAPIER_REDIS_CLUSTER_BITS;

        /* it is never longer than before */

        call->argv[1].len = ngx_sprintf(call->argv[1].data, "%L", cursor)
                            - call->argv[1].data;
        call->scanning = 1;
    }

    while (c->map[call->slot] == NGX_ZAPIER_REDIS_CLUSTER_NONE) {
        if (++call->slot == NGX_ZAPIER_REDIS_SLOTS) {
            return NULL;
        }
    }

    n = c->map[call->slot];

    redis = c->masters[n];
    mark = ngx_crc32_short(redis->name.data, redis->name.len) & 0xff;

    if (mark != call->mark) {
        call->mark = mark;
        call->argv[1].data[0] = '0';
        call->argv[1].len = 1;
    }

    return redis;
}


/* The first slot of the master that is scanned next, 0: there is none. */

static ngx_uint_t
ngx_zapier_redis_cluster_scan_next(ngx_zapier_redis_cluster_t *c,
    ngx_uint_t last)
{
    u_char      n, seen[NGX_ZAPIER_REDIS_CLUSTER_MASTERS];
    ngx_uint_t  slot;

    ngx_memzero(seen, sizeof(seen));

    for (slot = 0; slot < NGX_ZAPIER_REDIS_SLOTS; slot++) {
        n = c->map[slot];

        if (n == NGX_ZAPIER_REDIS_CLUSTER_NONE || seen[n]) {
            continue;
        }

        if (slot > last) {
            return slot;
        }

        seen[n] = 1;
    }

    return 0;
}


static void
ngx_zapier_redis_cluster_scanned(ngx_zapier_redis_cluster_t *c,
    ngx_zapier_redis_call_t *call)
{
    int64_t                    cursor;
    ngx_str_t                 *text;
    ngx_zapier_redis_reply_t  *reply;

    reply = call->cmd.reply;

    if (reply->type != NGX_ZAPIER_REDIS_ARRAY
        || reply->nelts != 2
        || reply->elts[0]->type != NGX_ZAPIER_REDIS_STRING)
    {
        return;
    }

    text = &reply->elts[0]->str;
    cursor = ngx_atoi(text->data, text->len);

    if (cursor == NGX_ERROR
        || cursor > (INT64_MAX >> NGX_ZAPIER_REDIS_CLUSTER_BITS))
    {
        return;
    }

    if (cursor != 0) {
        cursor = (cursor << NGX_ZAPIER_REDIS_CLUSTER_BITS)
                 + ((int64_t) call->mark << NGX_ZAPIER_REDIS_CLUSTER_SLOT)
                 + (int64_t) call->slot;

    } else {
        cursor = ngx_zapier_redis_cluster_scan_next(c, call->slot);
    }

    c->cursor = *reply->elts[0];
    c->cursor.str.data = c->text;
    c->cursor.str.len = ngx_sprintf(c->text, "%L", cursor) - c->text;

    c->elts[0] = &c->cursor;
    c->elts[1] = reply->elts[1];

    c->scan = *reply;
    c->scan.elts = c->elts;

    call->cmd.reply = &c->scan;
}


static ngx_int_t
ngx_zapier_redis_cluster_reply(ngx_zapier_redis_call_t *call)
{
    ngx_zapier_redis_cmd_t    *cmd;
    ngx_zapier_redis_reply_t  *reply;

    cmd = &call->cmd;

    if (cmd->status != NGX_OK) {
        return (cmd->refused || call->harmless) ? NGX_DECLINED : NGX_OK;
    }

    reply = cmd->reply;

    if (ngx_zapier_redis_reply_is(reply, NGX_ZAPIER_REDIS_ERROR, "MOVED")
        || ngx_zapier_redis_reply_is(reply, NGX_ZAPIER_REDIS_ERROR, "ASK"))
    {
        return ngx_zapier_redis_cluster_redirect(call);
    }

    /* some keys of the command have moved already, the others will */

    if (ngx_zapier_redis_reply_is(reply, NGX_ZAPIER_REDIS_ERROR, "TRYAGAIN"))
    {
        call->delayed = 1;
        return NGX_DECLINED;
    }

    if (call->scanning) {
        ngx_zapier_redis_cluster_scanned(
                        (ngx_zapier_redis_cluster_t *) call->topology, call);
    }

    return NGX_OK;
}


/* "MOVED SLOT HOST:PORT" or "ASK SLOT HOST:PORT" */

static ngx_int_t
ngx_zapier_redis_cluster_redirect(ngx_zapier_redis_call_t *call)
{
    u_char                      *p, *last, *colon;
    ngx_int_t                    slot, port;
    ngx_str_t                    host, *text;
    ngx_zapier_redis_t          *redis;
    ngx_zapier_redis_cluster_t  *c;

    c = (ngx_zapier_redis_cluster_t *) call->topology;

    text = &call->cmd.reply->str;
    last = text->data + text->len;

    p = ngx_strlchr(text->data, last, ' ');
    host.data = (p != NULL) ? ngx_strlchr(p + 1, last, ' ') : NULL;

    if (host.data == NULL) {
        return NGX_OK;
    }

    slot = ngx_atoi(p + 1, host.data - p - 1);

    host.data++;

    for (colon = last; colon > host.data && *colon != ':'; colon--) {
        /* void */
    }

    host.len = colon - host.data;
    port = (colon < last) ? ngx_atoi(colon + 1, last - colon - 1) : NGX_ERROR;

    if (slot < 0 || slot >= NGX_ZAPIER_REDIS_SLOTS || port == NGX_ERROR) {
        return NGX_OK;
    }

    /* without a host it is another port of the one that says so */

    if (host.len == 0 && call->server != NULL) {
        host = call->server->host;
    }

    redis = ngx_zapier_redis_node(&c->topology, &host, port);
    if (redis == NULL) {
        return NGX_OK;
    }

    if (text->data[0] == 'A') {
        call->target = redis;
        return NGX_DECLINED;
    }

    ngx_zapier_redis_cluster_moved(c, slot, redis);

    return NGX_DECLINED;
}


static void
ngx_zapier_redis_cluster_failed(ngx_zapier_redis_topology_t *topology,
    ngx_zapier_redis_t *redis)
{
    (void) redis;

    ngx_zapier_redis_cluster_soon((ngx_zapier_redis_cluster_t *) topology,
                                  NGX_ZAPIER_REDIS_CLUSTER_HURRY);
}


/*
 * What is published reaches all servers of a Cluster.  Changes of keys are
 * reported only by the master of each, so there is a link to each of them.
 */

static ngx_zapier_redis_t *
ngx_zapier_redis_cluster_watched(ngx_zapier_redis_topology_t *topology,
    ngx_zapier_redis_watch_t *watch)
{
    ngx_uint_t                   i;
    ngx_zapier_redis_cluster_t  *c;

    c = (ngx_zapier_redis_cluster_t *) topology;

    if (!c->known || watch->channel.len == 0) {
        ngx_zapier_redis_cluster_soon(c, 1);
        return NULL;
    }

    for (i = 0; i < c->nmasters; i++) {
        if (c->masters[i]->backoff == 0) {
            return c->masters[i];
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_zapier_redis_cluster_unused(ngx_zapier_redis_topology_t *topology,
    ngx_zapier_redis_t *redis)
{
    ngx_uint_t                   i;
    ngx_zapier_redis_cluster_t  *c;

    c = (ngx_zapier_redis_cluster_t *) topology;

    for (i = 0; i < c->nmasters; i++) {
        if (c->masters[i] == redis) {
            return 0;
        }
    }

    return redis != c->server;
}
