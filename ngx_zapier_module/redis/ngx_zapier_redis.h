
/*
 * A non-blocking Redis client.  nginx owns the sockets, the timers, the
 * resolver and TLS; hiredis formats commands and parses replies (RESP2).
 *
 * Every worker has a few pipelined links to the server, connected at the
 * first command.  A dead server costs one failed connect per backoff
 * interval, not one per command.  Nothing here knows about tokens.
 */


#ifndef _NGX_ZAPIER_REDIS_H_INCLUDED_
#define _NGX_ZAPIER_REDIS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


typedef struct ngx_zapier_redis_s        ngx_zapier_redis_t;
typedef struct ngx_zapier_redis_cmd_s    ngx_zapier_redis_cmd_t;
typedef struct ngx_zapier_redis_reply_s  ngx_zapier_redis_reply_t;
typedef struct ngx_zapier_redis_watch_s  ngx_zapier_redis_watch_t;
typedef struct ngx_zapier_redis_slot_s   ngx_zapier_redis_slot_t;
typedef struct ngx_zapier_redis_call_s   ngx_zapier_redis_call_t;
typedef struct ngx_zapier_redis_link_s   ngx_zapier_redis_link_t;


/* what zapier_redis and zapier_redis_ssl_* say */
typedef struct {
    ngx_str_t                  url;        /* as written */
    ngx_msec_t                 timeout;    /* for one command, ms */
    ngx_uint_t                 connections; /* links per worker */
    ngx_str_t                  user;
    ngx_str_t                  password_file;  /* full name or empty */
    ngx_str_t                  sentinel_user;  /* the same for Sentinels */
    ngx_str_t                  sentinel_password_file;

    ngx_flag_t                 ssl_verify;
    ngx_str_t                  ssl_name;   /* empty: the host of the URL */
    ngx_str_t                  ssl_trusted_certificate;
    ngx_str_t                  ssl_certificate;
    ngx_str_t                  ssl_certificate_key;

    ngx_resolver_t            *resolver;   /* NULL: names are resolved once,
                                              when nginx starts */
    ngx_msec_t                 resolver_timeout;
} ngx_zapier_redis_conf_t;


typedef enum {
    NGX_ZAPIER_REDIS_NIL = 0,
    NGX_ZAPIER_REDIS_INTEGER,
    NGX_ZAPIER_REDIS_STRING,
    NGX_ZAPIER_REDIS_STATUS,
    NGX_ZAPIER_REDIS_ERROR,
    NGX_ZAPIER_REDIS_ARRAY
} ngx_zapier_redis_type_e;


struct ngx_zapier_redis_reply_s {
    ngx_zapier_redis_type_e    type;
    int64_t                    integer;
    ngx_str_t                  str;        /* STRING, STATUS and ERROR */
    ngx_uint_t                 nelts;
    ngx_zapier_redis_reply_t **elts;
};


/*
 * A command under way.  Memory and handler belong to the caller, who zeroes
 * it before the first use and may use it again once the handler was called.
 */
struct ngx_zapier_redis_cmd_s {
    void                     (*handler)(ngx_zapier_redis_cmd_t *cmd);
    void                      *data;
    unsigned                   durable:1;  /* ngx_zapier_redis_sync() may
                                              follow */

    /*
     * For the handler: NGX_OK, reply is set (it may be an ERROR reply) and
     * lives until the handler returns; NGX_ERROR, there was no answer (no
     * link, timeout, the link broke, a reply beyond the caps): whether the
     * command took effect is unknown.  A reply that says the server cannot
     * serve (LOADING, MASTERDOWN, READONLY, CLUSTERDOWN, TRYAGAIN, NOAUTH)
     * is NGX_ERROR too, and the link is made anew; so is MISCONF, but the
     * link stays, as reads go on.
     */
    ngx_int_t                  status;
    ngx_zapier_redis_reply_t  *reply;
    ngx_msec_t                 time;       /* ms from start to handler */
    unsigned                   refused:1;  /* with NGX_ERROR: it surely took
                                              no effect */
    unsigned                   strayed:1;  /* the key is on its way between
                                              servers: no watch may cover
                                              the one that has replied */

    /* private */
    ngx_zapier_redis_slot_t   *slot;
    ngx_zapier_redis_call_t   *call;
    ngx_msec_t                 started;
    ngx_msec_t                 deadline;
    ngx_zapier_redis_link_t   *link;       /* durable: where it came from */
    ngx_uint_t                 epoch;
};


/*
 * Reads the configuration (URL, files, TLS context, first addresses).
 * Errors are logged as [emerg] with file and line.  NULL: failed.
 * Everything is allocated from cf->pool.
 */
ngx_zapier_redis_t *ngx_zapier_redis_create(ngx_conf_t *cf,
    ngx_zapier_redis_conf_t *conf);

/*
 * Sends a command of argc binary-safe arguments, which are copied.
 *
 * NGX_AGAIN  the handler will be called exactly once, never from here,
 *            within conf->timeout
 * NGX_ERROR  the server is known to be unreachable now (after a failure
 *            one command at a time is let through until one has had its
 *            reply), or too many commands wait, or no memory: the handler
 *            will not be called
 */
ngx_int_t ngx_zapier_redis_start(ngx_zapier_redis_t *redis,
    ngx_zapier_redis_cmd_t *cmd, ngx_uint_t argc, ngx_str_t *argv);

/* The handler will not be called.  Safe at any time, also after it was. */
void ngx_zapier_redis_cancel(ngx_zapier_redis_cmd_t *cmd);


/*
 * Asks how many replicas have got what a durable command has written, and
 * waits until there are n of them, or its timeout is nearly over.  For its
 * handler only, which is called once more: with an INTEGER reply, or as
 * with any command.  Durable commands have a link of their own, as nothing
 * goes over it meanwhile.
 *
 * NGX_AGAIN or NGX_ERROR, as ngx_zapier_redis_start(); NGX_ERROR too if the
 * link was lost
 */
ngx_int_t ngx_zapier_redis_sync(ngx_zapier_redis_cmd_t *cmd, ngx_uint_t n);


/*
 * Logs "redis refused to WHAT: TEXT" with what of the reply's text may be
 * logged: nothing that a terminal heeds.
 */
void ngx_zapier_redis_complain(ngx_uint_t level, const char *what,
    ngx_zapier_redis_reply_t *reply);


/* The number of the database as text, empty for 0. */
ngx_str_t *ngx_zapier_redis_db(ngx_zapier_redis_t *redis);

/*
 * When this worker last lost a link that it had not given up by itself, or
 * could not make one: ngx_zapier_clock() ms, 0: never.  What answers since
 * then may be another server.
 */
uint64_t ngx_zapier_redis_gone(ngx_zapier_redis_t *redis);

/*
 * Closes all links when the worker exits, perhaps without having waited for
 * them.  Watches have been stopped before; no handler is called.
 */
void ngx_zapier_redis_exit_worker(ngx_zapier_redis_t *redis);


/*
 * A watch: one more link that reports writes to keys of a prefix by
 * server-assisted client tracking (CLIENT TRACKING ON REDIRECT self BCAST
 * PREFIX, RESP2), or what is published on a channel, and proves several
 * times a second that it still would.  In a Cluster, where each master
 * reports its own keys, a link to each of them: it is up when all are.
 */
struct ngx_zapier_redis_watch_s {
    ngx_str_t                  prefix;     /* of the keys */
    ngx_str_t                  channel;    /* instead, if not empty */
    ngx_msec_t                 interval;   /* between proofs of life, ms */
    void                      *data;

    /* reports are complete from now on; called at each (re)connect */
    void                     (*up)(ngx_zapier_redis_watch_t *watch);

    /* key was written or deleted; NULL: anything may have been */
    void                     (*change)(ngx_zapier_redis_watch_t *watch,
                                       ngx_str_t *key);

    /* with a channel, instead: text was published */
    void                     (*message)(ngx_zapier_redis_watch_t *watch,
                                        ngx_str_t *text);

    /*
     * every change made before sent (ngx_zapier_clock() ms) has been
     * reported
     */
    void                     (*alive)(ngx_zapier_redis_watch_t *watch,
                                      uint64_t sent);

    /* the link is lost and will be made anew; may be called repeatedly */
    void                     (*down)(ngx_zapier_redis_watch_t *watch);

    /* private */
    ngx_zapier_redis_t        *redis;      /* NULL: stopped */
    ngx_queue_t                queue;      /* of a Cluster */
    uint64_t                   servers;    /* ngx_zapier_clock() ms when
                                              they were known to be all, or
                                              0 */
    unsigned                   missing:1;  /* there is no link to some */
    unsigned                   complete:1; /* all links are up */
};


/*
 * Starts watching; the link is kept up with backoff until stopped.
 * NGX_OK or NGX_ERROR (no memory).  No handler is called from here.
 */
ngx_int_t ngx_zapier_redis_watch_start(ngx_zapier_redis_t *redis,
    ngx_zapier_redis_watch_t *watch);

/* Closes its links.  No handler is called from here or later. */
void ngx_zapier_redis_watch_stop(ngx_zapier_redis_watch_t *watch);


#endif /* _NGX_ZAPIER_REDIS_H_INCLUDED_ */
