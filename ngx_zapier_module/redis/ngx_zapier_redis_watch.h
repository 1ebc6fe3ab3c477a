
/*
 * Private to redis/: links of watches.
 */


#ifndef _NGX_ZAPIER_REDIS_WATCH_H_INCLUDED_
#define _NGX_ZAPIER_REDIS_WATCH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_link.h>
#include <ngx_zapier_redis_topology.h>


typedef struct {
    ngx_zapier_redis_link_t     link;      /* must be first */
    ngx_queue_t                 queue;
    ngx_zapier_redis_t         *front;     /* of the URL */
    ngx_zapier_redis_t         *server;    /* this one of several, or NULL */
    ngx_zapier_redis_watch_t   *watch;     /* NULL: stopped, may be reused */

    ngx_event_t                 timer;
    ngx_msec_t                  backoff;
    ngx_msec_t                  pinged;    /* by the clock of timers */
    uint64_t                    sent;      /* by the clock of shared memory */
    uint64_t                    proven;    /* the last one with an answer */

    unsigned                    up:1;
    unsigned                    pinging:1;
    unsigned                    refused:1; /* at this attempt */
    unsigned                    warned:1;
} ngx_zapier_redis_watcher_t;


/* Opens a link of the watch, to server if not NULL.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_zapier_redis_watcher_start(ngx_zapier_redis_t *front,
    ngx_zapier_redis_watch_t *watch, ngx_zapier_redis_t *server);

/* Closes it; no handler is called. */
void ngx_zapier_redis_watcher_stop(ngx_zapier_redis_watcher_t *w);


/* spread: a watch with a link to each server */

void ngx_zapier_redis_spread_start(ngx_zapier_redis_watch_t *watch);

/* a link is up, or has proved that it is; lost: or is not any more */
void ngx_zapier_redis_spread_settle(ngx_zapier_redis_watch_t *watch,
    ngx_uint_t lost);


#endif /* _NGX_ZAPIER_REDIS_WATCH_H_INCLUDED_ */
