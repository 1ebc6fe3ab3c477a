
/*
 * The masters of a Cluster, and which of them has a slot.
 *
 * The map comes from CLUSTER SLOTS of any server that answers: at the start,
 * when a master fails or a server says that a slot has MOVED, and once in a
 * while.  Only masters are in it.  A map that is out of date costs a
 * redirection and nothing else, for a server never serves what is not its.
 *
 * A server that is cut off from the others has an old map.  It knows that it
 * is not well, or its epoch is one that others have left behind, so others
 * are asked first.  When there is no better one the newest has to do.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_clock.h>
#include <ngx_zapier_redis_cluster.h>


static ngx_uint_t ngx_zapier_redis_cluster_add(ngx_zapier_redis_t **masters,
    ngx_uint_t *n, ngx_zapier_redis_t *redis);
static void ngx_zapier_redis_cluster_ask(ngx_zapier_redis_cluster_t *c);
static ngx_int_t ngx_zapier_redis_cluster_question(
    ngx_zapier_redis_cluster_t *c, const char *what,
    void (*handler)(ngx_zapier_redis_cmd_t *cmd));
static void ngx_zapier_redis_cluster_informed(ngx_zapier_redis_cmd_t *cmd);
static void ngx_zapier_redis_cluster_state(ngx_zapier_redis_cluster_t *c,
    ngx_str_t *info);
static ngx_int_t ngx_zapier_redis_cluster_field(ngx_str_t *text,
    const char *name, ngx_str_t *value);
static void ngx_zapier_redis_cluster_answer(ngx_zapier_redis_cmd_t *cmd);
static ngx_uint_t ngx_zapier_redis_cluster_best(
    ngx_zapier_redis_cluster_t *c);
static void ngx_zapier_redis_cluster_next(ngx_zapier_redis_cluster_t *c);
static ngx_int_t ngx_zapier_redis_cluster_read(ngx_zapier_redis_cluster_t *c,
    ngx_zapier_redis_reply_t *reply);
static ngx_int_t ngx_zapier_redis_cluster_range(
    ngx_zapier_redis_cluster_t *c, ngx_zapier_redis_reply_t *range,
    u_char *map, ngx_zapier_redis_t **masters, ngx_uint_t *n);
static void ngx_zapier_redis_cluster_lost(ngx_zapier_redis_cluster_t *c);


void
ngx_zapier_redis_cluster_moved(ngx_zapier_redis_cluster_t *c, ngx_int_t slot,
    ngx_zapier_redis_t *redis)
{
    ngx_uint_t  n;

    n = ngx_zapier_redis_cluster_add(c->masters, &c->nmasters, redis);

    if (n != NGX_ZAPIER_REDIS_CLUSTER_NONE) {
        c->map[slot] = (u_char) n;
    }

    ngx_zapier_redis_cluster_soon(c, NGX_ZAPIER_REDIS_CLUSTER_HURRY);
}


static ngx_uint_t
ngx_zapier_redis_cluster_add(ngx_zapier_redis_t **masters, ngx_uint_t *n,
    ngx_zapier_redis_t *redis)
{
    ngx_uint_t  i;

    for (i = 0; i < *n; i++) {
        if (masters[i] == redis) {
            return i;
        }
    }

    if (*n == NGX_ZAPIER_REDIS_CLUSTER_MASTERS) {
        return NGX_ZAPIER_REDIS_CLUSTER_NONE;
    }

    masters[(*n)++] = redis;

    return i;
}


/* A round is never put off. */

void
ngx_zapier_redis_cluster_soon(ngx_zapier_redis_cluster_t *c, ngx_msec_t delay)
{
    ngx_msec_int_t  later;

    if (c->asking || ngx_exiting) {
        return;
    }

    if (c->timer.timer_set) {
        later = (ngx_msec_int_t) (c->timer.timer.key - ngx_current_msec);

        if (later <= (ngx_msec_int_t) delay) {
            return;
        }

        ngx_del_timer(&c->timer);
    }

    ngx_add_timer(&c->timer, delay);
}


void
ngx_zapier_redis_cluster_round(ngx_event_t *ev)
{
    ngx_zapier_redis_cluster_t  *c;

    c = ev->data;

    c->asking = 1;
    c->asked = 0;
    c->lenient = 0;
    c->answered = 0;
    c->highest = 0;

    ngx_zapier_redis_cluster_ask(c);
}


/* Masters that are known, then the servers of the URL. */

static void
ngx_zapier_redis_cluster_ask(ngx_zapier_redis_cluster_t *c)
{
    ngx_uint_t  n, all;

    all = c->nmasters + c->topology.nservers;

    while (c->asked < all) {
        n = c->next++ % all;
        c->asked++;

        c->server = (n < c->nmasters)
                    ? c->masters[n] : &c->topology.servers[n - c->nmasters];

        if (ngx_zapier_redis_cluster_question(c, "INFO",
                                            ngx_zapier_redis_cluster_informed)
            == NGX_AGAIN)
        {
            return;
        }
    }

    if (!c->lenient && c->answered) {
        c->lenient = 1;
        c->asked = 0;
        ngx_zapier_redis_cluster_ask(c);
        return;
    }

    ngx_zapier_redis_cluster_lost(c);
}


static ngx_int_t
ngx_zapier_redis_cluster_question(ngx_zapier_redis_cluster_t *c,
    const char *what, void (*handler)(ngx_zapier_redis_cmd_t *cmd))
{
    ngx_str_t  argv[2];

    ngx_str_set(&argv[0], "CLUSTER");
    argv[1].data = (u_char *) what;
    argv[1].len = ngx_strlen(what);

    c->question.handler = handler;
    c->question.data = c;

    return ngx_zapier_redis_start(c->server, &c->question, 2, argv);
}


/* A server that may not tell how it is is taken at its word. */

static void
ngx_zapier_redis_cluster_informed(ngx_zapier_redis_cmd_t *cmd)
{
    ngx_zapier_redis_cluster_t  *c;

    c = cmd->data;

    if (cmd->status != NGX_OK) {
        ngx_zapier_redis_cluster_ask(c);
        return;
    }

    c->told = 0;
    c->well = 1;
    c->sent = ngx_zapier_clock();

    if (cmd->reply->type == NGX_ZAPIER_REDIS_STRING) {
        ngx_zapier_redis_cluster_state(c, &cmd->reply->str);
    }

    if (ngx_zapier_redis_cluster_question(c, "SLOTS",
                                          ngx_zapier_redis_cluster_answer)
        != NGX_AGAIN)
    {
        ngx_zapier_redis_cluster_ask(c);
    }
}


static void
ngx_zapier_redis_cluster_state(ngx_zapier_redis_cluster_t *c, ngx_str_t *info)
{
    ngx_int_t  epoch;
    ngx_str_t  value;

    if (ngx_zapier_redis_cluster_field(info, "cluster_state:", &value)
        == NGX_OK)
    {
        c->well = (value.len == 2 && value.data[0] == 'o');
    }

    if (ngx_zapier_redis_cluster_field(info, "cluster_current_epoch:",
                                       &value)
        == NGX_OK)
    {
        epoch = ngx_atoi(value.data, value.len);
        c->told = (epoch != NGX_ERROR) ? (uint64_t) epoch : 0;
    }
}


static ngx_int_t
ngx_zapier_redis_cluster_field(ngx_str_t *text, const char *name,
    ngx_str_t *value)
{
    u_char  *p, *last;
    size_t   len;

    len = ngx_strlen(name);
    last = text->data + text->len;

    for (p = text->data; (size_t) (last - p) > len; p++) {

        if (ngx_strncmp(p, name, len) == 0) {
            value->data = p + len;

            for (p = value->data; p < last && *p > ' '; p++) {
                /* void */
            }

            value->len = p - value->data;

            return NGX_OK;
        }

        p = ngx_strlchr(p, last, '\n');
        if (p == NULL) {
            break;
        }
    }

    return NGX_DECLINED;
}


static void
ngx_zapier_redis_cluster_answer(ngx_zapier_redis_cmd_t *cmd)
{
    size_t                       len;
    u_char                       text[NGX_ZAPIER_REDIS_TEXT_LEN];
    ngx_zapier_redis_cluster_t  *c;

    c = cmd->data;

    if (cmd->status != NGX_OK || !ngx_zapier_redis_cluster_best(c)) {
        ngx_zapier_redis_cluster_ask(c);
        return;
    }

    if (ngx_zapier_redis_cluster_read(c, cmd->reply) != NGX_OK) {
        len = ngx_zapier_redis_reply_text(cmd->reply, text);

        ngx_log_error(NGX_LOG_ERR, &c->topology.log, 0,
                      "redis %V does not tell the slots of a cluster%s%*s",
                      &c->server->name, len ? ": " : "", len, text);

        ngx_zapier_redis_cluster_ask(c);
        return;
    }

    c->known = 1;
    c->asking = 0;
    c->warned = 0;
    c->server = NULL;
    c->epoch = c->told;
    c->topology.redis->backoff = 0;

    ngx_zapier_redis_cluster_next(c);

    ngx_zapier_redis_spread_servers(&c->topology, c->masters, c->nmasters,
                                    c->sent);
    ngx_zapier_redis_call_flush(&c->topology);
}


/* Is there no better map than the server's? */

static ngx_uint_t
ngx_zapier_redis_cluster_best(ngx_zapier_redis_cluster_t *c)
{
    c->answered = 1;

    if (c->lenient) {
        return c->told >= c->highest;
    }

    c->highest = ngx_max(c->highest, c->told);

    return c->well && c->told >= c->epoch;
}


static void
ngx_zapier_redis_cluster_next(ngx_zapier_redis_cluster_t *c)
{
    ngx_uint_t  i;
    ngx_msec_t  poll;

    poll = ngx_queue_empty(&c->topology.spread)
           ? NGX_ZAPIER_REDIS_CLUSTER_POLL : NGX_ZAPIER_REDIS_CLUSTER_WATCH;

    for (i = 0; i < c->nmasters; i++) {
        if (c->masters[i]->backoff) {
            poll = NGX_ZAPIER_REDIS_CLUSTER_HURRY;
        }
    }

    ngx_zapier_redis_cluster_soon(c, ngx_zapier_redis_jitter(poll));
}


static ngx_int_t
ngx_zapier_redis_cluster_read(ngx_zapier_redis_cluster_t *c,
    ngx_zapier_redis_reply_t *reply)
{
    u_char               map[NGX_ZAPIER_REDIS_SLOTS];
    ngx_uint_t           i, k, n;
    ngx_zapier_redis_t  *masters[NGX_ZAPIER_REDIS_CLUSTER_MASTERS];

    if (reply->type != NGX_ZAPIER_REDIS_ARRAY || reply->nelts == 0) {
        return NGX_ERROR;
    }

    ngx_memset(map, NGX_ZAPIER_REDIS_CLUSTER_NONE, sizeof(map));
    n = 0;

    for (i = 0; i < reply->nelts; i++) {
        if (ngx_zapier_redis_cluster_range(c, reply->elts[i], map, masters,
                                           &n)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    /* a server that is no master any more may still answer what was sent */

    for (i = 0; i < c->nmasters; i++) {

        for (k = 0; k < n && masters[k] != c->masters[i]; k++) {
            /* void */
        }

        if (k == n) {
            ngx_zapier_redis_gone_now(c->masters[i]);
            ngx_zapier_redis_node_drain(c->masters[i]);
        }
    }

    ngx_memcpy(c->map, map, sizeof(map));
    ngx_memcpy(c->masters, masters, n * sizeof(ngx_zapier_redis_t *));
    c->nmasters = n;

    return NGX_OK;
}


/* first slot, last slot, master, replicas; a server: host, port, ... */

static ngx_int_t
ngx_zapier_redis_cluster_range(ngx_zapier_redis_cluster_t *c,
    ngx_zapier_redis_reply_t *range, u_char *map,
    ngx_zapier_redis_t **masters, ngx_uint_t *n)
{
    ngx_str_t                  *host;
    ngx_uint_t                  k;
    ngx_zapier_redis_t         *redis;
    ngx_zapier_redis_reply_t  **elts, **server;

    elts = range->elts;

    if (range->type != NGX_ZAPIER_REDIS_ARRAY
        || range->nelts < 3
        || elts[0]->type != NGX_ZAPIER_REDIS_INTEGER
        || elts[1]->type != NGX_ZAPIER_REDIS_INTEGER
        || elts[0]->integer < 0
        || elts[0]->integer > elts[1]->integer
        || elts[1]->integer >= NGX_ZAPIER_REDIS_SLOTS
        || elts[2]->type != NGX_ZAPIER_REDIS_ARRAY
        || elts[2]->nelts < 2)
    {
        return NGX_ERROR;
    }

    server = elts[2]->elts;

    if ((server[0]->type != NGX_ZAPIER_REDIS_STRING
         && server[0]->type != NGX_ZAPIER_REDIS_NIL)
        || server[1]->type != NGX_ZAPIER_REDIS_INTEGER)
    {
        return NGX_ERROR;
    }

    /* who does not know its own address is known by that it was asked at */

    host = (server[0]->type == NGX_ZAPIER_REDIS_STRING
            && server[0]->str.len != 0)
           ? &server[0]->str : &c->server->host;

    redis = ngx_zapier_redis_node(&c->topology, host, server[1]->integer);
    if (redis == NULL) {
        return NGX_ERROR;
    }

    k = ngx_zapier_redis_cluster_add(masters, n, redis);

    if (k == NGX_ZAPIER_REDIS_CLUSTER_NONE) {
        return NGX_ERROR;
    }

    ngx_memset(&map[elts[0]->integer], (int) k,
               (size_t) (elts[1]->integer - elts[0]->integer + 1));

    return NGX_OK;
}


/* All have been asked.  A map that there is may still be right. */

static void
ngx_zapier_redis_cluster_lost(ngx_zapier_redis_cluster_t *c)
{
    c->asking = 0;
    c->server = NULL;

    if (!c->warned) {
        c->warned = 1;

        ngx_log_error(NGX_LOG_ERR, &c->topology.log, 0,
                      "no server of redis cluster %V tells its slots",
                      &c->topology.redis->name);
    }

    if (c->known) {
        ngx_zapier_redis_cluster_soon(c,
                     ngx_zapier_redis_jitter(NGX_ZAPIER_REDIS_CLUSTER_HURRY));
        return;
    }

    ngx_zapier_redis_breaker_fail(c->topology.redis);
    ngx_zapier_redis_call_fail(&c->topology);
}
