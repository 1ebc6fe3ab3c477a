
/*
 * Commands of callers: which link takes one, and when none may.
 *
 * The breaker belongs to the server.  A failure opens it for a while that
 * doubles each time; then one command is let through, and only its reply
 * closes the breaker.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_clock.h>
#include <ngx_zapier_redis_link.h>
#include <ngx_zapier_redis_topology.h>


static ngx_zapier_redis_link_t *ngx_zapier_redis_choose(
    ngx_zapier_redis_t *redis);
static ngx_zapier_redis_link_t *ngx_zapier_redis_choose_durable(
    ngx_zapier_redis_t *redis);
static void ngx_zapier_redis_open(ngx_zapier_redis_link_t *link);
static ngx_uint_t ngx_zapier_redis_usable(ngx_zapier_redis_link_t *link);
static ngx_uint_t ngx_zapier_redis_open_allowed(ngx_zapier_redis_t *redis);


/* the largest record of ours is a run's result */

const ngx_zapier_redis_caps_t  ngx_zapier_redis_caps = {
    7,                   /* depth */
    1024,                /* nelts */
    4096,                /* total */
    1024 * 1024,         /* string */
    2 * 1024 * 1024      /* bytes */
};


ngx_int_t
ngx_zapier_redis_start(ngx_zapier_redis_t *redis, ngx_zapier_redis_cmd_t *cmd,
    ngx_uint_t argc, ngx_str_t *argv)
{
    if (redis->topology) {
        return ngx_zapier_redis_call_start(redis->topology, cmd, argc, argv);
    }

    return ngx_zapier_redis_send(redis, cmd,
                                 ngx_current_msec + redis->conf.timeout, 0,
                                 argc, argv);
}


ngx_int_t
ngx_zapier_redis_send(ngx_zapier_redis_t *redis, ngx_zapier_redis_cmd_t *cmd,
    ngx_msec_t deadline, ngx_uint_t asking, ngx_uint_t argc, ngx_str_t *argv)
{
    ngx_zapier_redis_link_t  *link;

    cmd->slot = NULL;
    cmd->call = NULL;
    cmd->reply = NULL;
    cmd->link = NULL;

    if (redis->links == NULL) {
        ngx_zapier_redis_init_worker(redis);

        if (redis->links == NULL) {
            return NGX_ERROR;
        }
    }

    link = cmd->durable ? ngx_zapier_redis_choose_durable(redis)
                        : ngx_zapier_redis_choose(redis);

    if (link == NULL) {
        return NGX_ERROR;
    }

    if (asking && ngx_zapier_redis_queue_asking(link) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_zapier_redis_queue_add(link, cmd, deadline, argc, argv) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_zapier_redis_link_settle(link);
    ngx_zapier_redis_link_post(link);

    return NGX_AGAIN;
}


/*
 * State of a worker is made in the worker, from the pool of the cycle that
 * the configuration belongs to.
 */

void
ngx_zapier_redis_init_worker(ngx_zapier_redis_t *redis)
{
    ngx_uint_t                i;
    ngx_zapier_redis_link_t  *links;

    if (redis->topology) {
        ngx_zapier_redis_topology_init_worker(redis->topology);
        return;
    }

    if (redis->links) {
        return;
    }

    links = ngx_pcalloc(redis->pool, ngx_zapier_redis_nlinks(redis)
                                     * sizeof(ngx_zapier_redis_link_t));
    if (links == NULL) {
        return;
    }

    for (i = 0; i < ngx_zapier_redis_nlinks(redis); i++) {
        ngx_zapier_redis_link_init(&links[i], redis, redis->caps);
    }

    ngx_queue_init(&redis->slots);
    ngx_queue_init(&redis->watchers);

    redis->links = links;
}


void
ngx_zapier_redis_gone_now(ngx_zapier_redis_t *redis)
{
    redis->gone = ngx_zapier_clock();

    if (redis->member) {
        redis->member->redis->gone = redis->gone;
    }
}


uint64_t
ngx_zapier_redis_gone(ngx_zapier_redis_t *redis)
{
    return redis->gone;
}


void
ngx_zapier_redis_exit_worker(ngx_zapier_redis_t *redis)
{
    if (redis->topology) {
        ngx_zapier_redis_topology_exit_worker(redis->topology);
        return;
    }

    ngx_zapier_redis_exit_links(redis);
}


void
ngx_zapier_redis_exit_links(ngx_zapier_redis_t *redis)
{
    ngx_uint_t                i;
    ngx_queue_t              *q;
    ngx_zapier_redis_link_t  *link;
    ngx_zapier_redis_slot_t  *slot;

    if (redis->links == NULL) {
        return;
    }

    for (i = 0; i < ngx_zapier_redis_nlinks(redis); i++) {
        link = &redis->links[i];

        while (!ngx_queue_empty(&link->live)) {
            q = ngx_queue_head(&link->live);
            slot = ngx_queue_data(q, ngx_zapier_redis_slot_t, live);

            ngx_zapier_redis_cancel(slot->cmd);
        }

        if (link->state != NGX_ZAPIER_REDIS_DOWN) {
            ngx_zapier_redis_link_close(link, 0);
        }
    }
}


/* Links take turns; one that is down is opened, another serves meanwhile. */

static ngx_zapier_redis_link_t *
ngx_zapier_redis_choose(ngx_zapier_redis_t *redis)
{
    ngx_uint_t                i, n;
    ngx_zapier_redis_link_t  *link, *opening;

    opening = NULL;
    n = redis->conf.connections;

    redis->next = (redis->next + 1) % n;

    ngx_zapier_redis_open(&redis->links[redis->next]);

    for (i = 0; i < n; i++) {
        link = &redis->links[(redis->next + i) % n];

        if (!ngx_zapier_redis_usable(link)) {
            continue;
        }

        if (link->state == NGX_ZAPIER_REDIS_READY) {
            return link;
        }

        if (opening == NULL) {
            opening = link;
        }
    }

    return opening;
}


static ngx_zapier_redis_link_t *
ngx_zapier_redis_choose_durable(ngx_zapier_redis_t *redis)
{
    ngx_zapier_redis_link_t  *link;

    link = &redis->links[redis->conf.connections];

    ngx_zapier_redis_open(link);

    return ngx_zapier_redis_usable(link) ? link : NULL;
}


static void
ngx_zapier_redis_open(ngx_zapier_redis_link_t *link)
{
    if (link->state == NGX_ZAPIER_REDIS_DOWN
        && ngx_zapier_redis_open_allowed(link->redis)
        && ngx_zapier_redis_link_open(link) != NGX_OK)
    {
        ngx_zapier_redis_breaker_fail(link->redis);
    }
}


static ngx_uint_t
ngx_zapier_redis_usable(ngx_zapier_redis_link_t *link)
{
    if (link->state == NGX_ZAPIER_REDIS_DOWN || link->draining) {
        return 0;
    }

    /* after a failure the first command is a probe for all others */

    return !(link->redis->backoff && link->trial
             && !ngx_queue_empty(&link->live));
}


static ngx_uint_t
ngx_zapier_redis_open_allowed(ngx_zapier_redis_t *redis)
{
    ngx_uint_t                i;
    ngx_zapier_redis_link_t  *link;

    if (redis->backoff == 0) {
        return 1;
    }

    if ((ngx_msec_int_t) (redis->retry - ngx_current_msec) > 0) {
        return 0;
    }

    for (i = 0; i < ngx_zapier_redis_nlinks(redis); i++) {
        link = &redis->links[i];

        if (link->state != NGX_ZAPIER_REDIS_DOWN && link->trial) {
            return 0;
        }
    }

    return 1;
}


void
ngx_zapier_redis_breaker_fail(ngx_zapier_redis_t *redis)
{
    if (redis->member) {
        redis->member->failed(redis->member, redis);
    }

    /* links that break together are one failure */

    if (redis->backoff
        && (ngx_msec_int_t) (redis->retry - ngx_current_msec) > 0)
    {
        return;
    }

    if (redis->backoff == 0) {
        redis->backoff = NGX_ZAPIER_REDIS_BACKOFF;

    } else {
        redis->backoff = ngx_min(redis->backoff * 2,
                                 NGX_ZAPIER_REDIS_BACKOFF_MAX);
    }

    redis->retry = ngx_current_msec
                   + ngx_zapier_redis_jitter(redis->backoff);
}


/* Workers and nodes must not come back all at once. */

ngx_msec_t
ngx_zapier_redis_jitter(ngx_msec_t delay)
{
    return delay - delay / 4 + (ngx_msec_t) ngx_random() % (delay / 2 + 1);
}


ngx_str_t *
ngx_zapier_redis_db(ngx_zapier_redis_t *redis)
{
    return &redis->db;
}


void
ngx_zapier_redis_complain(ngx_uint_t level, const char *what,
    ngx_zapier_redis_reply_t *reply)
{
    size_t  len;
    u_char  text[NGX_ZAPIER_REDIS_TEXT_LEN];

    len = ngx_zapier_redis_reply_text(reply, text);

    ngx_log_error(level, ngx_cycle->log, 0, "redis refused to %s: \"%*s\"",
                  what, len, text);
}
