
/*
 * A watch of keys that are spread over several servers: a link to each.
 *
 * Reports are complete while all links are up and the servers are known to
 * be all there are.  Both are proved again and again, and the oldest of the
 * proofs counts.  When there are other servers the watch begins anew: what
 * was read before may have been changed at one that was not watched yet.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_watch.h>


static ngx_uint_t ngx_zapier_redis_spread_change(
    ngx_zapier_redis_watch_t *watch, ngx_zapier_redis_t **servers,
    ngx_uint_t n);
static ngx_zapier_redis_watcher_t *ngx_zapier_redis_spread_next(
    ngx_zapier_redis_watch_t *watch, ngx_zapier_redis_watcher_t *w);


void
ngx_zapier_redis_spread_start(ngx_zapier_redis_watch_t *watch)
{
    ngx_zapier_redis_topology_t  *topology;

    topology = watch->redis->topology;

    watch->servers = 0;
    watch->complete = 0;

    ngx_queue_insert_tail(&topology->spread, &watch->queue);

    /* it is NULL, but asks for the servers */

    (void) topology->watched(topology, watch);
}


void
ngx_zapier_redis_spread_servers(ngx_zapier_redis_topology_t *topology,
    ngx_zapier_redis_t **servers, ngx_uint_t n, uint64_t asked)
{
    ngx_uint_t                 changed;
    ngx_queue_t               *q;
    ngx_zapier_redis_watch_t  *watch;

    for (q = ngx_queue_head(&topology->spread);
         q != ngx_queue_sentinel(&topology->spread);
         q = ngx_queue_next(q))
    {
        watch = ngx_queue_data(q, ngx_zapier_redis_watch_t, queue);

        changed = ngx_zapier_redis_spread_change(watch, servers, n);

        watch->servers = asked;

        if (changed && watch->complete) {
            watch->complete = 0;
            watch->down(watch);
        }

        ngx_zapier_redis_spread_settle(watch, 0);
    }
}


/* Ends links to servers that are none any more, and begins missing ones. */

static ngx_uint_t
ngx_zapier_redis_spread_change(ngx_zapier_redis_watch_t *watch,
    ngx_zapier_redis_t **servers, ngx_uint_t n)
{
    ngx_uint_t                   i, changed;
    ngx_zapier_redis_watcher_t  *w;

    changed = 0;

    for (w = ngx_zapier_redis_spread_next(watch, NULL);
         w != NULL;
         w = ngx_zapier_redis_spread_next(watch, w))
    {
        for (i = 0; i < n && servers[i] != w->server; i++) {
            /* void */
        }

        if (i == n) {
            ngx_zapier_redis_watcher_stop(w);
            changed = 1;
        }
    }

    for (i = 0; i < n; i++) {

        for (w = ngx_zapier_redis_spread_next(watch, NULL);
             w != NULL && w->server != servers[i];
             w = ngx_zapier_redis_spread_next(watch, w))
        {
            /* void */
        }

        if (w == NULL) {
            changed = 1;

            if (ngx_zapier_redis_watcher_start(watch->redis, watch,
                                               servers[i])
                != NGX_OK)
            {
                watch->missing = 1;
                return 1;
            }
        }
    }

    watch->missing = 0;

    return changed;
}


void
ngx_zapier_redis_spread_settle(ngx_zapier_redis_watch_t *watch,
    ngx_uint_t lost)
{
    uint64_t                     proven;
    ngx_uint_t                   complete;
    ngx_zapier_redis_watcher_t  *w;

    proven = watch->servers;
    complete = (proven != 0 && !watch->missing);

    for (w = ngx_zapier_redis_spread_next(watch, NULL);
         w != NULL;
         w = ngx_zapier_redis_spread_next(watch, w))
    {
        complete &= w->up;
        proven = ngx_min(proven, w->proven);
    }

    if (!complete) {

        if (watch->complete || lost) {
            watch->complete = 0;
            watch->down(watch);
        }

        return;
    }

    if (!watch->complete) {
        watch->complete = 1;
        watch->up(watch);
        return;
    }

    if (proven != 0) {
        watch->alive(watch, proven);
    }
}


/* The watch's next link; w NULL: the first one. */

static ngx_zapier_redis_watcher_t *
ngx_zapier_redis_spread_next(ngx_zapier_redis_watch_t *watch,
    ngx_zapier_redis_watcher_t *w)
{
    ngx_queue_t  *q, *watchers;

    watchers = &watch->redis->watchers;

    for (q = w ? ngx_queue_next(&w->queue) : ngx_queue_head(watchers);
         q != ngx_queue_sentinel(watchers);
         q = ngx_queue_next(q))
    {
        w = ngx_queue_data(q, ngx_zapier_redis_watcher_t, queue);

        if (w->watch == watch) {
            return w;
        }
    }

    return NULL;
}
