
/*
 * The life of a link between opened and closed: reading, writing, waiting.
 * It is closed by whoever finds it broken; everything it holds goes with
 * it: the connection and its pool, the reader, the timers, the resolving.
 *
 * A link is idle for nginx while nobody waits on it, so that a worker that
 * shuts down closes it, and its timer holds the worker only otherwise.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_link.h>
#include <ngx_zapier_wipe.h>


/* pieces read before others get their turn */
#define NGX_ZAPIER_REDIS_ROUNDS  64


static ngx_int_t ngx_zapier_redis_link_receive(ngx_zapier_redis_link_t *link,
    ngx_connection_t *c);
static ngx_int_t ngx_zapier_redis_link_replies(ngx_zapier_redis_link_t *link);
static void ngx_zapier_redis_link_lost(ngx_zapier_redis_link_t *link);
static void ngx_zapier_redis_link_flush(ngx_event_t *ev);
static ngx_int_t ngx_zapier_redis_link_send(ngx_zapier_redis_link_t *link);
static void ngx_zapier_redis_link_written(ngx_zapier_redis_link_t *link);
static void ngx_zapier_redis_link_timer(ngx_event_t *ev);
static void ngx_zapier_redis_link_arm(ngx_zapier_redis_link_t *link);


void
ngx_zapier_redis_link_init(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_t *redis, const ngx_zapier_redis_caps_t *caps)
{
    link->redis = redis;
    link->caps = caps;

    link->timer.handler = ngx_zapier_redis_link_timer;
    link->timer.data = link;
    link->timer.log = &link->log;

    link->flush.handler = ngx_zapier_redis_link_flush;
    link->flush.data = link;
    link->flush.log = &link->log;

    ngx_queue_init(&link->control);
    ngx_queue_init(&link->waiting);
    ngx_queue_init(&link->sent);
    ngx_queue_init(&link->joining);
    ngx_queue_init(&link->syncing);
    ngx_queue_init(&link->live);
}


void
ngx_zapier_redis_link_read(ngx_event_t *rev)
{
    ngx_uint_t                rounds;
    ngx_connection_t         *c;
    ngx_zapier_redis_link_t  *link;

    c = rev->data;
    link = c->data;

    /* set by nginx when the worker goes, on idle ones and at its deadline */

    if (c->close || c->error) {
        ngx_zapier_redis_link_lost(link);
        return;
    }

    for (rounds = 0; rounds < NGX_ZAPIER_REDIS_ROUNDS; rounds++) {

        switch (ngx_zapier_redis_link_receive(link, c)) {

        case NGX_OK:
            continue;

        case NGX_AGAIN:

            if (ngx_handle_read_event(rev, 0) != NGX_OK) {
                ngx_zapier_redis_link_fail(link);
                return;
            }

            ngx_zapier_redis_link_settle(link);
            return;

        default: /* NGX_DONE */
            return;
        }
    }

    ngx_post_event(rev, &ngx_posted_next_events);

    ngx_zapier_redis_link_settle(link);
}


/* NGX_OK: read more, NGX_AGAIN: no more now, NGX_DONE: the link is gone. */

static ngx_int_t
ngx_zapier_redis_link_receive(ngx_zapier_redis_link_t *link,
    ngx_connection_t *c)
{
    u_char     buf[NGX_ZAPIER_REDIS_READ];
    ssize_t    n;
    ngx_int_t  rc;

    n = c->recv(c, buf, NGX_ZAPIER_REDIS_READ);

    if (n == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    if (n == 0 || n == NGX_ERROR) {
        ngx_zapier_redis_link_lost(link);
        return NGX_DONE;
    }

    link->received = ngx_current_msec;

    rc = ngx_zapier_redis_reader_feed(link->reader, buf, n);

    ngx_zapier_wipe(buf, n);

    if (rc != NGX_OK) {
        ngx_zapier_redis_link_fail(link);
        return NGX_DONE;
    }

    return ngx_zapier_redis_link_replies(link);
}


/* NGX_OK: all that came are delivered, NGX_DONE: the link is gone. */

static ngx_int_t
ngx_zapier_redis_link_replies(ngx_zapier_redis_link_t *link)
{
    ngx_int_t                  rc;
    ngx_uint_t                 epoch;
    ngx_zapier_redis_reply_t  *reply;

    epoch = link->epoch;

    for ( ;; ) {

        rc = ngx_zapier_redis_reader_reply(link->reader, &reply);

        if (rc == NGX_AGAIN) {
            return NGX_OK;
        }

        if (rc != NGX_OK) {
            ngx_log_error(NGX_LOG_ERR, &link->log, 0,
                          "redis sent an invalid reply: %s",
                          ngx_zapier_redis_reader_error(link->reader));

            ngx_zapier_redis_link_fail(link);
            return NGX_DONE;
        }

        if (link->pushing) {
            rc = link->push(link, reply);

        } else {
            rc = ngx_zapier_redis_queue_reply(link, reply);
        }

        ngx_zapier_redis_reply_free(reply);

        /* a handler may have closed it, and even opened it again */

        if (link->epoch != epoch) {
            return NGX_DONE;
        }

        if (rc != NGX_OK) {
            ngx_zapier_redis_link_fail(link);
            return NGX_DONE;
        }
    }
}


/* The other side, or nginx itself, has closed the connection. */

static void
ngx_zapier_redis_link_lost(ngx_zapier_redis_link_t *link)
{
    ngx_connection_t  *c;

    c = link->peer.connection;

    if (link->closed == NULL
        && link->pending == 0
        && (c->close || !link->trial))
    {
        /* anybody is free to close a link that nobody waits on */

        ngx_zapier_redis_gone_now(link->redis);
        ngx_zapier_redis_link_close(link, 0);
        return;
    }

    if (!c->close && !c->read->error) {
        ngx_log_error(NGX_LOG_ERR, &link->log, 0,
                      "redis closed the connection");
    }

    ngx_zapier_redis_link_fail(link);
}


void
ngx_zapier_redis_link_post(ngx_zapier_redis_link_t *link)
{
    if (link->state >= NGX_ZAPIER_REDIS_LOGIN) {
        ngx_post_event(&link->flush, &ngx_posted_events);
    }
}


void
ngx_zapier_redis_link_write(ngx_event_t *wev)
{
    ngx_connection_t         *c;
    ngx_zapier_redis_link_t  *link;

    c = wev->data;
    link = c->data;

    if (ngx_zapier_redis_link_send(link) != NGX_OK) {
        ngx_zapier_redis_link_fail(link);
    }
}


/* All commands of one turn of the event loop go out in one write. */

static void
ngx_zapier_redis_link_flush(ngx_event_t *ev)
{
    ngx_uint_t                epoch;
    ngx_zapier_redis_link_t  *link;

    link = ev->data;

    if (link->draining) {
        epoch = link->epoch;

        ngx_zapier_redis_queue_fail_waiting(link);

        if (link->epoch != epoch) {
            return;
        }
    }

    if (ngx_queue_empty(&link->live)
        && link->state == NGX_ZAPIER_REDIS_READY
        && (link->draining || ngx_exiting))
    {
        ngx_zapier_redis_link_close(link, 0);
        return;
    }

    if (ngx_zapier_redis_sync_send(link) != NGX_OK
        || ngx_zapier_redis_link_send(link) != NGX_OK)
    {
        ngx_zapier_redis_link_fail(link);
    }
}


static ngx_int_t
ngx_zapier_redis_link_send(ngx_zapier_redis_link_t *link)
{
    ssize_t            n;
    ngx_connection_t  *c;

    c = link->peer.connection;

    for ( ;; ) {

        if (ngx_zapier_redis_queue_batch(link) != NGX_OK) {
            return NGX_ERROR;
        }

        if (link->out_pos == link->out_last) {
            break;
        }

        n = c->send(c, link->out_pos, link->out_last - link->out_pos);

        if (n == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (n == NGX_AGAIN) {
            break;
        }

        link->out_pos += n;

        if (link->out_pos == link->out_last) {
            ngx_zapier_redis_link_written(link);
        }
    }

    return ngx_handle_write_event(c->write, 0);
}


/* Arguments may be secrets. */

static void
ngx_zapier_redis_link_written(ngx_zapier_redis_link_t *link)
{
    if (link->out == NULL) {
        return;
    }

    ngx_zapier_wipe(link->out, link->out_last - link->out);

    link->out_pos = link->out;
    link->out_last = link->out;

    if (link->out_size > NGX_ZAPIER_REDIS_WRITE_KEEP
        || link->state == NGX_ZAPIER_REDIS_DOWN)
    {
        ngx_free(link->out);

        link->out = NULL;
        link->out_pos = NULL;
        link->out_last = NULL;
        link->out_size = 0;
    }
}


static void
ngx_zapier_redis_link_timer(ngx_event_t *ev)
{
    ngx_uint_t                epoch;
    ngx_zapier_redis_link_t  *link;

    link = ev->data;

    if (link->state < NGX_ZAPIER_REDIS_READY
        && (ngx_msec_int_t) (link->deadline - ngx_current_msec) <= 0)
    {
        if (link->state == NGX_ZAPIER_REDIS_RESOLVING
            && link->redis->naddrs)
        {
            ngx_log_error(NGX_LOG_WARN, &link->log, NGX_ETIMEDOUT,
                          "redis name is not resolved in time, trying the "
                          "previous address");

            ngx_zapier_redis_resolve_cancel(link);
            ngx_zapier_redis_link_resolved(link);
            return;
        }

        ngx_log_error(NGX_LOG_ERR, &link->log, NGX_ETIMEDOUT,
                      "redis timed out");

        ngx_zapier_redis_link_fail(link);
        return;
    }

    epoch = link->epoch;

    if (ngx_zapier_redis_queue_expire(link) != NGX_OK) {
        ngx_zapier_redis_link_fail(link);
        return;
    }

    if (link->epoch == epoch) {
        ngx_zapier_redis_link_settle(link);
    }
}


void
ngx_zapier_redis_link_settle(ngx_zapier_redis_link_t *link)
{
    ngx_uint_t         busy;
    ngx_connection_t  *c;

    if (link->state == NGX_ZAPIER_REDIS_DOWN) {
        return;
    }

    c = link->peer.connection;
    busy = !ngx_queue_empty(&link->live);

    /*
     * A handshake does not see that the connection shall be closed, so the
     * worker waits for the set-up, which does not last long.
     */

    if (link->state < NGX_ZAPIER_REDIS_READY) {
        busy = 1;

    } else if (link->draining || (!busy && ngx_exiting)) {

        /* not from here: somebody may be using it */

        ngx_zapier_redis_link_post(link);
    }

    link->timer.cancelable = !busy;

    if (c) {
        c->idle = !busy;
    }

    ngx_zapier_redis_link_arm(link);
}


static void
ngx_zapier_redis_link_arm(ngx_zapier_redis_link_t *link)
{
    ngx_msec_t                key;
    ngx_queue_t              *q;
    ngx_zapier_redis_slot_t  *slot;

    if (link->state < NGX_ZAPIER_REDIS_READY) {
        key = link->deadline;

    } else if (!ngx_queue_empty(&link->sent)) {

        /* when it is to be seen whether the server is frozen */

        q = ngx_queue_head(&link->sent);
        slot = ngx_queue_data(q, ngx_zapier_redis_slot_t, fifo);

        key = ngx_max(slot->sent, link->received)
              + ngx_zapier_redis_queue_patience(link);

    } else {
        key = (ngx_msec_t) -1;
    }

    if (!ngx_queue_empty(&link->live)) {
        q = ngx_queue_head(&link->live);
        slot = ngx_queue_data(q, ngx_zapier_redis_slot_t, live);

        if ((ngx_msec_int_t) (slot->deadline - key) < 0
            || key == (ngx_msec_t) -1)
        {
            key = slot->deadline;
        }
    }

    if (key == (ngx_msec_t) -1) {
        return;
    }

    /*
     * A timer that fires too early only sets itself anew, one that fires
     * too late would make somebody wait: nginx does not move timers by
     * less than 300 ms unless they are deleted.
     */

    if (link->timer.timer_set) {

        if ((ngx_msec_int_t) (key - link->timer.timer.key) >= 0) {
            return;
        }

        ngx_del_timer(&link->timer);
    }

    if ((ngx_msec_int_t) (key - ngx_current_msec) < 1) {
        key = ngx_current_msec + 1;
    }

    ngx_add_timer(&link->timer, key - ngx_current_msec);
}


void
ngx_zapier_redis_link_fail(ngx_zapier_redis_link_t *link)
{
    /* perhaps another address does better */

    link->redis->addr++;
    ngx_zapier_redis_gone_now(link->redis);

    if (link->closed == NULL) {
        ngx_zapier_redis_breaker_fail(link->redis);
    }

    ngx_zapier_redis_link_close(link, 1);
}


void
ngx_zapier_redis_link_close(ngx_zapier_redis_link_t *link, ngx_uint_t broken)
{
    ngx_zapier_redis_link_disconnect(link, broken);
    ngx_zapier_redis_resolve_cancel(link);

    link->epoch++;
    link->state = NGX_ZAPIER_REDIS_DOWN;

    if (link->timer.timer_set) {
        ngx_del_timer(&link->timer);
    }

    if (link->flush.posted) {
        ngx_delete_posted_event(&link->flush);
    }

    if (link->reader) {
        ngx_zapier_redis_reader_free(link->reader);
        link->reader = NULL;
    }

    ngx_zapier_redis_link_written(link);

    ngx_zapier_redis_queue_fail(link);

    if (link->closed) {
        link->closed(link);
    }
}


void
ngx_zapier_redis_link_disconnect(ngx_zapier_redis_link_t *link,
    ngx_uint_t broken)
{
    ngx_pool_t        *pool;
    ngx_connection_t  *c;

    c = link->peer.connection;

    if (c == NULL) {
        return;
    }

    link->peer.connection = NULL;

#if (NGX_SSL)

    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;

        if (broken) {
            c->error = 1;
        }

        if (ngx_ssl_shutdown(c) == NGX_AGAIN) {

            /* it cannot be written now: without the alert then */

            c->error = 1;
            (void) ngx_ssl_shutdown(c);
        }
    }

#else
    (void) broken;
#endif

    pool = c->pool;

    ngx_close_connection(c);

    if (pool) {
        ngx_destroy_pool(pool);
    }
}
