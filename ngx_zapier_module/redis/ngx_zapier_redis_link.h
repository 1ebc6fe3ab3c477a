
/*
 * Private to redis/: a server, its links and the commands on them.
 *
 *   conf     URL, files, first addresses      -> ngx_zapier_redis_t
 *   ssl      TLS context, handshake, peer check
 *   client   start and cancel, choice of a link, breaker
 *   watch    the link that reports changed keys
 *   connect  a link is opened: resolve, connect, TLS, log in
 *   link     a link is read, written, watched over and closed
 *   queue    commands of one link: order, deadlines, replies
 *   sync     waiting for replicas
 *   resolve  names to addresses, before each connect
 *   resp     bytes
 *
 * Behind an URL of Sentinels or of a Cluster stand several servers, each
 * of them an ngx_zapier_redis_t like any other: see
 * ngx_zapier_redis_topology.h.
 */


#ifndef _NGX_ZAPIER_REDIS_LINK_H_INCLUDED_
#define _NGX_ZAPIER_REDIS_LINK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_zapier_redis.h>
#include <ngx_zapier_redis_resp.h>


/* commands and bytes of them that may wait on one link */
#define NGX_ZAPIER_REDIS_PENDING      4096
#define NGX_ZAPIER_REDIS_BYTES        (16 * 1024 * 1024)

/* of one write, and what is kept for the next one */
#define NGX_ZAPIER_REDIS_WRITE        16384
#define NGX_ZAPIER_REDIS_WRITE_KEEP   65536

#define NGX_ZAPIER_REDIS_READ         16384

/*
 * ms between attempts to connect; doubled by each failure, +- a quarter, and
 * yet below a second: whoever has been told to try again shall be right
 */
#define NGX_ZAPIER_REDIS_BACKOFF      100
#define NGX_ZAPIER_REDIS_BACKOFF_MAX  600

/* addresses of one name that are tried */
#define NGX_ZAPIER_REDIS_ADDRS        16


typedef struct ngx_zapier_redis_topology_s  ngx_zapier_redis_topology_t;

/* reply to a command of the link's own; NGX_ERROR: logged, fail the link */
typedef ngx_int_t (*ngx_zapier_redis_own_pt)(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_reply_t *reply);


typedef struct {
    ngx_sockaddr_t                  sockaddr;
    socklen_t                       socklen;
    ngx_str_t                       name;
    u_char                          text[NGX_SOCKADDR_STRLEN];
} ngx_zapier_redis_addr_t;


/* a command on a link; outlives the caller's ngx_zapier_redis_cmd_t */
struct ngx_zapier_redis_slot_s {
    ngx_queue_t                     fifo;    /* control, waiting or sent */
    ngx_queue_t                     live;    /* while cmd is set */
    ngx_zapier_redis_link_t        *link;

    ngx_zapier_redis_cmd_t         *cmd;     /* NULL: timed out, cancelled
                                                or the link's own */
    ngx_zapier_redis_own_pt         own;
    ngx_str_t                       text;    /* data NULL: was sent */
    ngx_msec_t                      deadline;
    ngx_msec_t                      sent;
    ngx_uint_t                      replicas;   /* that are waited for */
};


typedef enum {
    NGX_ZAPIER_REDIS_DOWN = 0,
    NGX_ZAPIER_REDIS_RESOLVING,
    NGX_ZAPIER_REDIS_CONNECTING,
    NGX_ZAPIER_REDIS_HANDSHAKE,
    NGX_ZAPIER_REDIS_LOGIN,
    NGX_ZAPIER_REDIS_READY
} ngx_zapier_redis_state_e;


struct ngx_zapier_redis_link_s {
    ngx_zapier_redis_t             *redis;
    ngx_zapier_redis_state_e        state;
    ngx_uint_t                      epoch;   /* rises when it is closed:
                                                whoever calls handlers must
                                                see whether it did */
    ngx_log_t                       log;
    ngx_peer_connection_t           peer;
    ngx_resolver_ctx_t             *resolve;
    ngx_uint_t                      tries;   /* addresses left to try */
    ngx_uint_t                      logins;  /* replies missing to log in */

    ngx_event_t                     timer;   /* set-up or first command */
    ngx_event_t                     flush;   /* posted, joins writes */
    ngx_msec_t                      deadline;   /* of the set-up */

    ngx_zapier_redis_reader_t      *reader;
    const ngx_zapier_redis_caps_t  *caps;
    ngx_msec_t                      received;   /* last time */

    u_char                         *out;     /* a batch being written */
    u_char                         *out_pos;
    u_char                         *out_last;
    size_t                          out_size;

    ngx_queue_t                     control; /* own commands, not sent */
    ngx_queue_t                     waiting; /* callers', not sent */
    ngx_queue_t                     sent;
    ngx_queue_t                     joining; /* the next WAIT is for them */
    ngx_queue_t                     syncing; /* the one under way is */
    ngx_queue_t                     live;    /* of all but control, in the
                                                order of deadlines */
    ngx_uint_t                      pending; /* slots of the queues */
    size_t                          bytes;   /* text of the queues */

    /* a watch has its own ideas about these; all NULL on other links */
    ngx_int_t                     (*login)(ngx_zapier_redis_link_t *link);
    ngx_int_t                     (*push)(ngx_zapier_redis_link_t *link,
                                          ngx_zapier_redis_reply_t *reply);
    void                          (*closed)(ngx_zapier_redis_link_t *link);

    unsigned                        trial:1;     /* no reply so far */
    unsigned                        draining:1;  /* no more commands */
    unsigned                        blocked:1;   /* a WAIT is under way */
    unsigned                        pushing:1;   /* replies go to push() */
    unsigned                        misconf:1;   /* logged */
};


/* made by ngx_zapier_redis_create(), completed in the worker */
struct ngx_zapier_redis_s {
    ngx_zapier_redis_conf_t         conf;
    ngx_pool_t                     *pool;    /* of the cycle */

    ngx_str_t                       name;    /* for the log */
    ngx_str_t                       host;    /* without brackets */
    in_port_t                       port;
    ngx_str_t                       db;      /* empty: 0 */
    ngx_str_t                       password;

    ngx_zapier_redis_topology_t    *topology;  /* NULL: this is a server */
    ngx_zapier_redis_topology_t    *member;    /* of this one, or NULL */
    const ngx_zapier_redis_caps_t  *caps;      /* of replies */

    unsigned                        tls:1;
    unsigned                        master:1;    /* it must be one */
    unsigned                        literal:1;   /* host is an address */
    unsigned                        dynamic:1;   /* host is resolved anew */

#if (NGX_SSL)
    ngx_ssl_t                      *ssl;
    ngx_str_t                       ssl_name;    /* null-terminated */
    unsigned                        ssl_name_literal:1;
#endif

    /* of this worker */

    ngx_uint_t                      naddrs;
    ngx_uint_t                      addr;    /* the one to try first */
    ngx_zapier_redis_addr_t         addrs[NGX_ZAPIER_REDIS_ADDRS];

    ngx_zapier_redis_link_t        *links;   /* NULL before the first use;
                                                the last one is for durable
                                                commands */
    ngx_uint_t                      next;
    ngx_msec_t                      backoff; /* 0: nothing is known to fail */
    ngx_msec_t                      retry;   /* not before, with backoff */
    uint64_t                        gone;    /* see ngx_zapier_redis_gone() */

    ngx_queue_t                     slots;   /* free ones */
    ngx_queue_t                     watchers;
};


#define ngx_zapier_redis_nlinks(redis)  ((redis)->conf.connections + 1)


/* conf */

/* HOST[:PORT] of the URL becomes name, host, port, addresses of redis */
ngx_int_t ngx_zapier_redis_conf_server(ngx_conf_t *cf,
    ngx_zapier_redis_t *redis, ngx_str_t *server, in_port_t port);

/* the number of a database that stands between p and last */
ngx_int_t ngx_zapier_redis_conf_db(ngx_conf_t *cf, ngx_zapier_redis_t *redis,
    u_char *p, u_char *last);

/* logs why the URL is wrong; NGX_ERROR */
ngx_int_t ngx_zapier_redis_conf_invalid(ngx_conf_t *cf,
    ngx_zapier_redis_t *redis, const char *reason);

ngx_int_t ngx_zapier_redis_add_addr(ngx_zapier_redis_t *redis,
    struct sockaddr *sockaddr, socklen_t socklen);
ngx_msec_t ngx_zapier_redis_jitter(ngx_msec_t delay);

/* ssl */

ngx_int_t ngx_zapier_redis_ssl_init(ngx_conf_t *cf,
    ngx_zapier_redis_t *redis);

/* the name in the certificate of a server with the context of another */
ngx_int_t ngx_zapier_redis_ssl_name(ngx_pool_t *pool,
    ngx_zapier_redis_t *redis);

#if (NGX_SSL)

/* NGX_OK, NGX_AGAIN: handler(c) comes; NGX_ERROR: logged */
ngx_int_t ngx_zapier_redis_ssl_start(ngx_zapier_redis_link_t *link,
    void (*handler)(ngx_connection_t *c));
ngx_int_t ngx_zapier_redis_ssl_check(ngx_zapier_redis_link_t *link);

#endif

/* client */

extern const ngx_zapier_redis_caps_t  ngx_zapier_redis_caps;

/*
 * As ngx_zapier_redis_start() of one server, with a deadline not later than
 * the server's timeout; asking: about a key that is on its way there
 */
ngx_int_t ngx_zapier_redis_send(ngx_zapier_redis_t *redis,
    ngx_zapier_redis_cmd_t *cmd, ngx_msec_t deadline, ngx_uint_t asking,
    ngx_uint_t argc, ngx_str_t *argv);

void ngx_zapier_redis_init_worker(ngx_zapier_redis_t *redis);

/* closes the links of one server; no handler is called */
void ngx_zapier_redis_exit_links(ngx_zapier_redis_t *redis);
void ngx_zapier_redis_breaker_fail(ngx_zapier_redis_t *redis);

/* what answers from now on may be another server */
void ngx_zapier_redis_gone_now(ngx_zapier_redis_t *redis);

/* resolve: NGX_OK, NGX_AGAIN: ngx_zapier_redis_link_resolved() comes */

ngx_int_t ngx_zapier_redis_resolve(ngx_zapier_redis_link_t *link);
void ngx_zapier_redis_resolve_cancel(ngx_zapier_redis_link_t *link);

/* connect: NGX_OK: ready or on the way; NGX_ERROR: logged, still down */

ngx_int_t ngx_zapier_redis_link_open(ngx_zapier_redis_link_t *link);
void ngx_zapier_redis_link_resolved(ngx_zapier_redis_link_t *link);
void ngx_zapier_redis_link_ready(ngx_zapier_redis_link_t *link);

/* link */

void ngx_zapier_redis_link_init(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_t *redis, const ngx_zapier_redis_caps_t *caps);

void ngx_zapier_redis_link_read(ngx_event_t *rev);
void ngx_zapier_redis_link_write(ngx_event_t *wev);

/* closes it and fails what is on it, which calls handlers */
void ngx_zapier_redis_link_close(ngx_zapier_redis_link_t *link,
    ngx_uint_t broken);

/* the same, and the breaker hears of it */
void ngx_zapier_redis_link_fail(ngx_zapier_redis_link_t *link);

/* closes the connection only; broken: without saying good-bye */
void ngx_zapier_redis_link_disconnect(ngx_zapier_redis_link_t *link,
    ngx_uint_t broken);

/* keeps idle flag and timer as the queues demand */
void ngx_zapier_redis_link_settle(ngx_zapier_redis_link_t *link);
void ngx_zapier_redis_link_post(ngx_zapier_redis_link_t *link);

/* queue */

ngx_int_t ngx_zapier_redis_queue_add(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_cmd_t *cmd, ngx_msec_t deadline, ngx_uint_t argc,
    ngx_str_t *argv);
ngx_int_t ngx_zapier_redis_queue_own(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_own_pt own, ngx_uint_t argc, ngx_str_t *argv);

/* a slot with no text; NULL: too many, or no memory */
ngx_zapier_redis_slot_t *ngx_zapier_redis_queue_slot(
    ngx_zapier_redis_link_t *link);
void ngx_zapier_redis_queue_free(ngx_zapier_redis_slot_t *slot);

/* the slot has a caller who waits; detach: NULL if he does not any more */
void ngx_zapier_redis_queue_attach(ngx_zapier_redis_slot_t *slot,
    ngx_zapier_redis_cmd_t *cmd, ngx_msec_t deadline);
ngx_zapier_redis_cmd_t *ngx_zapier_redis_queue_detach(
    ngx_zapier_redis_slot_t *slot);

/* calls the handler, which may free cmd, and start or cancel any other */
void ngx_zapier_redis_queue_finish(ngx_zapier_redis_cmd_t *cmd,
    ngx_int_t status, ngx_zapier_redis_reply_t *reply);

/* ms of silence that something sent may take */
ngx_msec_t ngx_zapier_redis_queue_patience(ngx_zapier_redis_link_t *link);

/* the next command is about a key that is on its way here */
ngx_int_t ngx_zapier_redis_queue_asking(ngx_zapier_redis_link_t *link);

/* fills link->out if it is empty; NGX_OK or NGX_ERROR (no memory) */
ngx_int_t ngx_zapier_redis_queue_batch(ngx_zapier_redis_link_t *link);

/* NGX_OK, or NGX_ERROR: logged, fail the link; calls a handler */
ngx_int_t ngx_zapier_redis_queue_reply(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_reply_t *reply);

/* NGX_OK, or NGX_ERROR: logged, fail the link; calls handlers */
ngx_int_t ngx_zapier_redis_queue_expire(ngx_zapier_redis_link_t *link);

/* fails everything (or what is not sent); calls handlers */
void ngx_zapier_redis_queue_fail(ngx_zapier_redis_link_t *link);
void ngx_zapier_redis_queue_fail_waiting(ngx_zapier_redis_link_t *link);

/* sync: sends a WAIT for those who join, unless one is under way */
ngx_int_t ngx_zapier_redis_sync_send(ngx_zapier_redis_link_t *link);


#endif /* _NGX_ZAPIER_REDIS_LINK_H_INCLUDED_ */
