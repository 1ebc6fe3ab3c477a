
/*
 * How a link is opened: resolve, connect, TLS, AUTH, SELECT and ROLE.  All
 * of it together may take as long as one command.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_link.h>
#include <ngx_zapier_redis_topology.h>


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
static ngx_int_t ngx_zapier_redis_link_role(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_reply_t *reply);
static ngx_int_t ngx_zapier_redis_link_welcome(ngx_zapier_redis_link_t *link);
static u_char *ngx_zapier_redis_link_log_error(ngx_log_t *log, u_char *buf,
    size_t len);


/* Calls no handlers: somebody may be in ngx_zapier_redis_start(). */

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
    link->blocked = 0;
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


/* From the event loop.  A slow name server has its own time. */

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

    /* redis->addr moves on failures only, so a good address is kept */

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

                /* what comes next may fail, and failing calls handlers */

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


/* One address did not answer, the name may have others. */

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
        && ngx_zapier_redis_link_welcome(link) != NGX_OK)
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


/*
 * Callers' commands wait for all replies: after a SELECT that failed they
 * would be carried out on the wrong database.
 */

static ngx_int_t
ngx_zapier_redis_link_auth(ngx_zapier_redis_link_t *link)
{
    ngx_uint_t           argc;
    ngx_str_t            argv[3];
    ngx_zapier_redis_t  *redis;

    redis = link->redis;

    if (redis->password.len) {
        argc = 1;
        ngx_str_set(&argv[0], "AUTH");

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

    if (redis->master) {
        ngx_str_set(&argv[0], "ROLE");

        if (ngx_zapier_redis_queue_own(link, ngx_zapier_redis_link_role, 1,
                                       argv)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        link->logins++;
    }

    return NGX_OK;
}


/* Replicas would be asked for what they do not know yet, or not any more. */

static ngx_int_t
ngx_zapier_redis_link_role(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_reply_t *reply)
{
    size_t  len;
    u_char  text[NGX_ZAPIER_REDIS_TEXT_LEN];

    if (reply->type == NGX_ZAPIER_REDIS_ERROR) {
        len = ngx_zapier_redis_reply_text(reply, text);

        ngx_log_error(NGX_LOG_ERR, &link->log, 0,
                      "redis refused ROLE: \"%*s\"", len, text);
        return NGX_ERROR;
    }

    if (!ngx_zapier_redis_is_master(reply)) {
        ngx_log_error(NGX_LOG_ERR, &link->log, 0,
                      "redis is not the master");
        return NGX_ERROR;
    }

    return ngx_zapier_redis_link_welcome(link);
}


/* A reply to AUTH or SELECT. */

static ngx_int_t
ngx_zapier_redis_link_greeted(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_reply_t *reply)
{
    size_t  len;
    u_char  text[NGX_ZAPIER_REDIS_TEXT_LEN];

    if (!ngx_zapier_redis_reply_is(reply, NGX_ZAPIER_REDIS_STATUS, "OK")) {
        len = ngx_zapier_redis_reply_text(reply, text);

        ngx_log_error(NGX_LOG_ERR, &link->log, 0,
                      "redis refused to log in: \"%*s\"", len, text);
        return NGX_ERROR;
    }

    return ngx_zapier_redis_link_welcome(link);
}


/* One step of the login is done, or none was needed. */

static ngx_int_t
ngx_zapier_redis_link_welcome(ngx_zapier_redis_link_t *link)
{
    if (link->logins && --link->logins) {
        return NGX_OK;
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


static u_char *
ngx_zapier_redis_link_log_error(ngx_log_t *log, u_char *buf, size_t len)
{
    ngx_zapier_redis_link_t  *link;

    link = log->data;

    return ngx_snprintf(buf, len, " while %s to redis %V",
                        log->action, &link->redis->name);
}
