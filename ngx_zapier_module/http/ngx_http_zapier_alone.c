
/*
 * Requests without a client, see ngx_http_zapier_alone.h.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_alone.h>


static ngx_connection_t *ngx_http_zapier_alone_socket(ngx_log_t *log);
static void ngx_http_zapier_alone_event(ngx_event_t *ev);
static u_char *ngx_http_zapier_alone_log_error(ngx_log_t *log, u_char *buf,
    size_t len);


/* What nginx expects of a client's connection. */

ngx_connection_t *
ngx_http_zapier_alone_connection(ngx_http_conf_ctx_t *origin)
{
    ngx_log_t              *log;
    ngx_connection_t       *c;
    ngx_http_log_ctx_t     *ctx;
    ngx_http_connection_t  *hc;

    c = ngx_http_zapier_alone_socket(ngx_cycle->log);
    if (c == NULL) {
        return NULL;
    }

    hc = ngx_pcalloc(c->pool, sizeof(ngx_http_connection_t));
    log = ngx_palloc(c->pool, sizeof(ngx_log_t));
    ctx = ngx_pcalloc(c->pool, sizeof(ngx_http_log_ctx_t));
    c->buffer = ngx_calloc_buf(c->pool);
    c->sockaddr = ngx_pcalloc(c->pool, sizeof(struct sockaddr));

    if (hc == NULL || log == NULL || ctx == NULL || c->buffer == NULL
        || c->sockaddr == NULL)
    {
        ngx_http_close_connection(c);
        return NULL;
    }

    hc->conf_ctx = origin;

    ctx->connection = c;

    *log = *c->log;
    log->connection = c->number;
    log->handler = ngx_http_zapier_alone_log_error;
    log->data = ctx;
    log->action = NULL;

    c->sockaddr->sa_family = AF_UNIX;
    c->socklen = offsetof(struct sockaddr, sa_data);
    c->local_sockaddr = c->sockaddr;
    c->local_socklen = c->socklen;
    ngx_str_set(&c->addr_text, "unix:");

    c->data = hc;
    c->log = log;
    c->log_error = NGX_ERROR_INFO;
    c->tcp_nodelay = NGX_TCP_NODELAY_DISABLED;
    c->tcp_nopush = NGX_TCP_NOPUSH_DISABLED;

    c->read->log = log;
    c->read->handler = ngx_http_zapier_alone_event;
    c->write->log = log;
    c->write->handler = ngx_http_zapier_alone_event;
    c->write->ready = 1;

    return c;
}


/*
 * A datagram socket without a name: nobody can send to it, and there is no
 * other end to be closed.
 */

static ngx_connection_t *
ngx_http_zapier_alone_socket(ngx_log_t *log)
{
    ngx_socket_t       s;
    ngx_connection_t  *c;

    s = ngx_socket(AF_UNIX, SOCK_DGRAM, 0);

    if (s == (ngx_socket_t) -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_socket_errno,
                      ngx_socket_n " for a request of our own failed");
        return NULL;
    }

    if (ngx_nonblocking(s) == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_socket_errno,
                      ngx_nonblocking_n " failed");
        goto failed;
    }

    c = ngx_get_connection(s, log);
    if (c == NULL) {
        goto failed;
    }

    c->recv = ngx_recv;
    c->send = ngx_send;
    c->recv_chain = ngx_recv_chain;
    c->send_chain = ngx_send_chain;

    c->pool = ngx_create_pool(1024, log);
    if (c->pool == NULL) {
        ngx_close_connection(c);
        return NULL;
    }

    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);
    c->start_time = ngx_current_msec;

#if (NGX_STAT_STUB)
    /* ngx_http_close_connection() takes it away */
    (void) ngx_atomic_fetch_add(ngx_stat_active, 1);
#endif

    return c;

failed:

    if (ngx_close_socket(s) == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_socket_errno,
                      ngx_close_socket_n " failed");
    }

    return NULL;
}


ngx_http_request_t *
ngx_http_zapier_alone_request(ngx_connection_t *c,
    ngx_pool_cleanup_pt closed, void *data)
{
    ngx_http_request_t  *r;
    ngx_pool_cleanup_t  *cln;

    r = ngx_http_create_request(c);
    if (r == NULL) {
        return NULL;
    }

    c->data = r;

#if (NGX_STAT_STUB)
    /* no client has asked for it */
    (void) ngx_atomic_fetch_add(ngx_stat_requests, -1);
    (void) ngx_atomic_fetch_add(ngx_stat_reading, -1);
    r->stat_reading = 0;
#endif

    /* no line in the access log */

    r->logged = 1;

    /* the first to be added is the last to run, after that of the upstream */

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        ngx_http_free_request(r, 0);
        return NULL;
    }

    cln->handler = closed;
    cln->data = data;

    r->http_state = NGX_HTTP_PROCESS_REQUEST_STATE;
    r->http_version = NGX_HTTP_VERSION_11;
    ngx_str_set(&r->http_protocol, "HTTP/1.1");

    return r;
}


ngx_table_elt_t *
ngx_http_zapier_alone_header(ngx_http_request_t *r, ngx_str_t *names,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_in.headers);
    if (h == NULL) {
        return NULL;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    /* proxy_set_header finds what it replaces by the hash */

    h->hash = ngx_hash_key(names[1].data, names[1].len);
    h->key = names[0];
    h->value = *value;
    h->lowcase_key = names[1].data;

    return h;
}


/* As ngx_http_request_handler(): a delay by limit_req counts on it. */

static void
ngx_http_zapier_alone_event(ngx_event_t *ev)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    c = ev->data;
    r = c->data;

    ngx_http_set_log_request(c->log, r);

    if (c->close) {
        /* worker_shutdown_timeout */
        ngx_http_zapier_alone_abort(c);
        return;
    }

    if (ev->delayed && ev->timedout) {
        ev->delayed = 0;
        ev->timedout = 0;
    }

    if (ev->write) {
        r->write_event_handler(r);

    } else {
        r->read_event_handler(r);
    }

    ngx_http_run_posted_requests(c);
}


void
ngx_http_zapier_alone_abort(ngx_connection_t *c)
{
    c->error = 1;

    ngx_http_finalize_request(c->data, NGX_ERROR);
    ngx_http_run_posted_requests(c);
}


static u_char *
ngx_http_zapier_alone_log_error(ngx_log_t *log, u_char *buf, size_t len)
{
    u_char              *p;
    ngx_http_request_t  *r;
    ngx_http_log_ctx_t  *ctx;

    if (log->action) {
        p = ngx_snprintf(buf, len, " while %s", log->action);
        len -= p - buf;
        buf = p;
    }

    ctx = log->data;
    r = ctx->request;

    return (r != NULL) ? r->log_handler(r, ctx->current_request, buf, len)
                       : buf;
}
