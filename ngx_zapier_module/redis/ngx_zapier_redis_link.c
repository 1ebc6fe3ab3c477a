
/*
 * The life of one connection.  It is opened when somebody needs it and
 * closed by whoever finds it broken; everything it holds goes with it:
 * the connection and its pool, the reader, the timers, the resolving.
 *
 * A link is idle for nginx while nobody waits on it, so that a worker that
 * shuts down closes it, and its timer holds the worker only otherwise.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_link.h>


/* pieces read before others get their turn */
#define NGX_ZAPIER_REDIS_ROUNDS  64


static ngx_int_t ngx_zapier_redis_link_connect(ngx_zapier_redis_link_t *link);
static ngx_int_t ngx_zapier_redis_link_setup(ngx_zapier_redis_link_t *link);
static void ngx_zapier_redis_link_connected(ngx_event_t *ev);
static ngx_int_t ngx_zapier_redis_link_test(ngx_connection_t *c);
static void ngx_zapier_redis_link_retry(ngx_zapier_redis_link_t *link);
#if (NGX_SSL)
static void ngx_zapier_redis_link_secured(ngx_connection_t *c);
#endif
static void ngx_zapier_redis_link_login(ngx_zapier_redis_link_t *link);
static ngx_int_t ngx_zapier_redis_link_auth(ngx_zapier_redis_link_t *link);
static ngx_int_t ngx_zapier_redis_link_greeted(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_reply_t *reply);
static void ngx_zapier_redis_link_read(ngx_event_t *rev);
static ngx_int_t ngx_zapier_redis_link_receive(ngx_zapier_redis_link_t *link,
    ngx_connection_t *c);
static ngx_int_t ngx_zapier_redis_link_replies(ngx_zapier_redis_link_t *link);
static void ngx_zapier_redis_link_lost(ngx_zapier_redis_link_t *link);
static void ngx_zapier_redis_link_write(ngx_event_t *wev);
static void ngx_zapier_redis_link_flush(ngx_event_t *ev);
static ngx_int_t ngx_zapier_redis_link_send(ngx_zapier_redis_link_t *link);
static void ngx_zapier_redis_link_written(ngx_zapier_redis_link_t *link);
static void ngx_zapier_redis_link_timer(ngx_event_t *ev);
static void ngx_zapier_redis_link_arm(ngx_zapier_redis_link_t *link);
static void ngx_zapier_redis_link_disconnect(ngx_zapier_redis_link_t *link,
    ngx_uint_t broken);
static u_char *ngx_zapier_redis_link_log_error(ngx_log_t *log, u_char *buf,
    size_t len);


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
    ngx_queue_init(&link->live);
}


ngx_int_t
ngx_zapier_redis_link_open(ngx_zapier_redis_link_t *link)
{
    ngx_int_t  rc;

    /* a copy, as handler and connection number are ours alone */

    link->log = *ngx_cycle->log;
    link->log.handler = ngx_zapier_redis_link_log_error;
    link->log.data = link;
    link->log.action = "resolving";

    link->trial = 1;
    link->draining = 0;
    link->pushing = 0;
    link->misconf = 0;
    link->logins = 0;

    link->state = NGX_ZAPIER_REDIS_RESOLVING;
    link->deadline = ngx_current_msec + link->redis->conf.timeout;

    rc = ngx_zapier_redis_resolve(link);

    if (rc == NGX_AGAIN) {
        ngx_zapier_redis_link_settle(link);
        return NGX_OK;
    }

    if (rc == NGX_OK) {
        link->tries = link->redis->naddrs;
        rc = ngx_zapier_redis_link_connect(link);
    }

    if (rc != NGX_OK) {
        ngx_zapier_redis_link_close(link, 1);
    }

    return rc;
}


void
ngx_zapier_redis_link_resolved(ngx_zapier_redis_link_t *link)
{
    link->tries = link->redis->naddrs;
    link->deadline = ngx_current_msec + link->redis->conf.timeout;

    if (ngx_zapier_redis_link_connect(link) != NGX_OK) {
        ngx_zapier_redis_link_fail(link);
    }
}


static ngx_int_t
ngx_zapier_redis_link_connect(ngx_zapier_redis_link_t *link)
{
    ngx_int_t                 rc;
    ngx_zapier_redis_t       *redis;
    ngx_zapier_redis_addr_t  *addr;

    redis = link->redis;

    link->state = NGX_ZAPIER_REDIS_CONNECTING;
    link->log.action = "connecting";

    while (link->tries) {
        link->tries--;

        addr = &redis->addrs[redis->addr % redis->naddrs];

        link->peer.sockaddr = &addr->sockaddr.sockaddr;
        link->peer.socklen = addr->socklen;
        link->peer.name = &addr->name;
        link->peer.get = ngx_event_get_peer;
        link->peer.log = &link->log;
        link->peer.log_error = NGX_ERROR_ERR;
        link->peer.so_keepalive =
                      (addr->sockaddr.sockaddr.sa_family != AF_UNIX);
        link->peer.connection = NULL;

        rc = ngx_event_connect_peer(&link->peer);

        if (rc == NGX_OK || rc == NGX_AGAIN) {

            if (ngx_zapier_redis_link_setup(link) != NGX_OK) {
                return NGX_ERROR;
            }

            if (rc == NGX_OK) {

                /* somebody may be in ngx_zapier_redis_start() */

                ngx_post_event(link->peer.connection->write,
                               &ngx_posted_events);
            }

            return NGX_OK;
        }

        redis->addr++;
    }

    return NGX_ERROR;
}


static ngx_int_t
ngx_zapier_redis_link_setup(ngx_zapier_redis_link_t *link)
{
    ngx_connection_t  *c;

    c = link->peer.connection;

    c->data = link;
    c->log = &link->log;
    c->log->connection = c->number;

    c->read->handler = ngx_zapier_redis_link_connected;
    c->write->handler = ngx_zapier_redis_link_connected;

    /* TLS allocates from it */

    c->pool = ngx_create_pool(512, c->log);
    if (c->pool == NULL) {
        return NGX_ERROR;
    }

    if (link->reader == NULL) {
        link->reader = ngx_zapier_redis_reader_create(link->caps, &link->log);

        if (link->reader == NULL) {
            return NGX_ERROR;
        }
    }

    ngx_zapier_redis_link_settle(link);

    return NGX_OK;
}


/* Handles both directions until the connection is there. */

static void
ngx_zapier_redis_link_connected(ngx_event_t *ev)
{
    ngx_connection_t         *c;
    ngx_zapier_redis_link_t  *link;

    c = ev->data;
    link = c->data;

    if (c->close || c->error) {
        ngx_zapier_redis_link_fail(link);
        return;
    }

    if (ngx_zapier_redis_link_test(c) != NGX_OK) {
        ngx_zapier_redis_link_retry(link);
        return;
    }

    if (link->peer.sockaddr->sa_family != AF_UNIX
        && ngx_tcp_nodelay(c) != NGX_OK)
    {
        ngx_zapier_redis_link_fail(link);
        return;
    }

#if (NGX_SSL)

    if (link->redis->tls) {
        link->state = NGX_ZAPIER_REDIS_HANDSHAKE;
        link->log.action = "SSL handshaking";

        switch (ngx_zapier_redis_ssl_start(link,
                                           ngx_zapier_redis_link_secured))
        {
        case NGX_AGAIN:
            return;

        case NGX_OK:
            ngx_zapier_redis_link_secured(c);
            return;

        default:
            ngx_zapier_redis_link_fail(link);
            return;
        }
    }

#endif

    ngx_zapier_redis_link_login(link);
}


static ngx_int_t
ngx_zapier_redis_link_test(ngx_connection_t *c)
{
    int        err;
    socklen_t  len;

#if (NGX_HAVE_KQUEUE)

    if (ngx_event_flags & NGX_USE_KQUEUE_EVENT) {

        if (c->write->pending_eof || c->read->pending_eof) {
            err = c->write->pending_eof ? c->write->kq_errno
                                        : c->read->kq_errno;

            (void) ngx_connection_error(c, err,
                                        "kevent() reported that connect() "
                                        "failed");
            return NGX_ERROR;
        }

        return NGX_OK;
    }

#endif

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        (void) ngx_connection_error(c, err, "connect() failed");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_zapier_redis_link_retry(ngx_zapier_redis_link_t *link)
{
    if (link->tries == 0) {
        ngx_zapier_redis_link_fail(link);
        return;
    }

    link->redis->addr++;

    ngx_zapier_redis_link_disconnect(link, 1);

    if (ngx_zapier_redis_link_connect(link) != NGX_OK) {
        ngx_zapier_redis_link_fail(link);
    }
}


#if (NGX_SSL)

static void
ngx_zapier_redis_link_secured(ngx_connection_t *c)
{
    ngx_zapier_redis_link_t  *link;

    link = c->data;

    /* nothing, the password least of all, goes to a peer that is not ours */

    if (ngx_zapier_redis_ssl_check(link) != NGX_OK) {
        ngx_zapier_redis_link_fail(link);
        return;
    }

    ngx_zapier_redis_link_login(link);
}

#endif


static void
ngx_zapier_redis_link_login(ngx_zapier_redis_link_t *link)
{
    ngx_connection_t  *c;

    c = link->peer.connection;

    c->read->handler = ngx_zapier_redis_link_read;
    c->write->handler = ngx_zapier_redis_link_write;

    link->state = NGX_ZAPIER_REDIS_LOGIN;
    link->log.action = "logging in";
    link->received = ngx_current_msec;

    if (ngx_zapier_redis_link_auth(link) != NGX_OK) {
        ngx_zapier_redis_link_fail(link);
        return;
    }

    if (link->logins == 0
        && ngx_zapier_redis_link_greeted(link, NULL) != NGX_OK)
    {
        ngx_zapier_redis_link_fail(link);
        return;
    }

    ngx_zapier_redis_link_post(link);

    /* over TLS the first bytes may have come with the handshake */

    if (c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);
        return;
    }

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_zapier_redis_link_fail(link);
    }
}


static ngx_int_t
ngx_zapier_redis_link_auth(ngx_zapier_redis_link_t *link)
{
    ngx_uint_t           argc;
    ngx_str_t            argv[3];
    ngx_zapier_redis_t  *redis;

    redis = link->redis;

    if (redis->password.len) {
        argc = 0;
        ngx_str_set(&argv[argc++], "AUTH");

        if (redis->conf.user.len) {
            argv[argc++] = redis->conf.user;
        }

        argv[argc++] = redis->password;

        if (ngx_zapier_redis_queue_own(link, ngx_zapier_redis_link_greeted,
                                       argc, argv)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        link->logins++;
    }

    if (redis->db.len) {
        ngx_str_set(&argv[0], "SELECT");
        argv[1] = redis->db;

        if (ngx_zapier_redis_queue_own(link, ngx_zapier_redis_link_greeted,
                                       2, argv)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        link->logins++;
    }

    return NGX_OK;
}


/* A reply to AUTH or SELECT, NULL: neither was needed. */

static ngx_int_t
ngx_zapier_redis_link_greeted(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_reply_t *reply)
{
    size_t  len;
    u_char  text[NGX_ZAPIER_REDIS_TEXT_LEN];

    if (reply) {

        if (!ngx_zapier_redis_reply_is(reply, NGX_ZAPIER_REDIS_STATUS, "OK")) {
            len = ngx_zapier_redis_reply_text(reply, text);

            ngx_log_error(NGX_LOG_ERR, &link->log, 0,
                          "redis refused to log in: \"%*s\"", len, text);
            return NGX_ERROR;
        }

        if (--link->logins) {
            return NGX_OK;
        }
    }

    if (link->login) {
        return link->login(link);
    }

    ngx_zapier_redis_link_ready(link);

    return NGX_OK;
}


void
ngx_zapier_redis_link_ready(ngx_zapier_redis_link_t *link)
{
    link->state = NGX_ZAPIER_REDIS_READY;
    link->log.action = "talking";

    ngx_zapier_redis_link_post(link);
    ngx_zapier_redis_link_settle(link);
}


static void
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

    ngx_explicit_memzero(buf, n);

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


static void
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

    if (ngx_zapier_redis_link_send(link) != NGX_OK) {
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

    ngx_explicit_memzero(link->out, link->out_last - link->out);

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

        key = ngx_max(slot->sent, link->received) + link->redis->conf.timeout;

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


static void
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


static u_char *
ngx_zapier_redis_link_log_error(ngx_log_t *log, u_char *buf, size_t len)
{
    ngx_zapier_redis_link_t  *link;

    link = log->data;

    return ngx_snprintf(buf, len, " while %s to redis %V",
                        log->action, &link->redis->name);
}
