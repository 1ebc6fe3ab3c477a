
/*
 * Private to redis/: several servers behind one URL.
 *
 *   url       hosts of the URL, start and end of a topology
 *   call      a command on its way: waiting, sent, sent again
 *   node      servers that others have named
 *   sentinel  which of them is the master
 *   cluster   which of them has a key
 *   slot      keys to slots of a cluster
 *
 * A server is an ngx_zapier_redis_t with links and a breaker of its own, and
 * knows nothing of what is here but that it is a member.
 */


#ifndef _NGX_ZAPIER_REDIS_TOPOLOGY_H_INCLUDED_
#define _NGX_ZAPIER_REDIS_TOPOLOGY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_zapier_redis_link.h>


#define NGX_ZAPIER_REDIS_SENTINEL_FORM                                       \
    "\"redis+sentinel://HOST[:PORT],.../MASTER[/DB]\" or "                   \
    "\"rediss+sentinel://HOST[:PORT],.../MASTER[/DB]\""

#define NGX_ZAPIER_REDIS_CLUSTER_FORM                                        \
    "\"redis+cluster://HOST[:PORT],...\" or "                                \
    "\"rediss+cluster://HOST[:PORT],...\""

/* servers of one URL */
#define NGX_ZAPIER_REDIS_SERVERS    16

/* times that one command is sent */
#define NGX_ZAPIER_REDIS_ATTEMPTS   8

#define NGX_ZAPIER_REDIS_HOST_LEN   255


/* a server that somebody has named */
typedef struct {
    ngx_zapier_redis_t              redis;      /* must be first */
    ngx_queue_t                     queue;
    u_char                          host[NGX_ZAPIER_REDIS_HOST_LEN + 1];
    u_char                          name[NGX_ZAPIER_REDIS_HOST_LEN
                                         + sizeof("[]:65535")];
} ngx_zapier_redis_node_t;


/* a caller's command; its arguments are kept as it may be sent again */
struct ngx_zapier_redis_call_s {
    ngx_queue_t                     queue;      /* calls */
    ngx_queue_t                     wait;       /* waiting, or empty */
    ngx_zapier_redis_topology_t    *topology;
    ngx_zapier_redis_cmd_t         *caller;
    ngx_zapier_redis_cmd_t          cmd;        /* on a server */

    ngx_msec_t                      deadline;
    ngx_msec_t                      resume;     /* waiting: not before */
    ngx_uint_t                      attempts;

    ngx_zapier_redis_t             *server;     /* sent to */
    ngx_zapier_redis_t             *target;     /* ASK: to be sent to */
    ngx_uint_t                      slot;       /* SCAN: of the master */
    ngx_uint_t                      mark;       /* ... that it was */

    unsigned                        harmless:1; /* it only reads */
    unsigned                        delayed:1;  /* wait before it is sent */
    unsigned                        scanning:1; /* slot and mark are set */
    unsigned                        strayed:1;  /* sent to a target */
    unsigned                        pausing:1;  /* resume is set */

    size_t                          size;       /* of all this */
    ngx_uint_t                      argc;
    ngx_str_t                       argv[1];    /* and their bytes */
};


struct ngx_zapier_redis_topology_s {
    ngx_zapier_redis_t             *redis;      /* of the URL; its breaker
                                                   is for all servers */
    const char                     *form;       /* of the URL */
    ngx_zapier_redis_t             *servers;    /* of the URL */
    ngx_uint_t                      nservers;
    ngx_uint_t                      max;        /* nodes */

    unsigned                        several:1;  /* servers have keys */

    /* what it needs beside the URL, and of its servers and nodes */
    ngx_int_t                     (*conf)(ngx_conf_t *cf,
                                      ngx_zapier_redis_topology_t *topology);
    void                          (*setup)(
                                      ngx_zapier_redis_topology_t *topology,
                                      ngx_zapier_redis_t *redis);

    /*
     * Sends a call; calls no handlers.
     *
     * NGX_AGAIN     sent
     * NGX_BUSY      it has to wait for resume or to be called by flush()
     * NGX_ERROR     it cannot be sent
     */
    ngx_int_t                     (*send)(ngx_zapier_redis_call_t *call);

    /*
     * call->cmd is done.  NGX_OK: for the caller; NGX_DECLINED: it is to be
     * sent again.
     */
    ngx_int_t                     (*reply)(ngx_zapier_redis_call_t *call);

    /* a server has failed; calls no handlers */
    void                          (*failed)(
                                      ngx_zapier_redis_topology_t *topology,
                                      ngx_zapier_redis_t *redis);

    /* the server to watch now, or NULL: there is none, or are several */
    ngx_zapier_redis_t           *(*watched)(
                                      ngx_zapier_redis_topology_t *topology,
                                      ngx_zapier_redis_watch_t *watch);

    /* may the node be forgotten? */
    ngx_uint_t                    (*unused)(
                                      ngx_zapier_redis_topology_t *topology,
                                      ngx_zapier_redis_t *redis);

    void                          (*init)(
                                      ngx_zapier_redis_topology_t *topology);
    void                          (*exit)(
                                      ngx_zapier_redis_topology_t *topology);

    /* of this worker */

    ngx_log_t                       log;        /* for the timers */
    ngx_queue_t                     calls;
    ngx_uint_t                      ncalls;
    size_t                          bytes;      /* of calls */
    ngx_queue_t                     waiting;
    ngx_event_t                     timer;      /* of waiting */
    ngx_queue_t                     nodes;
    ngx_uint_t                      nnodes;
    ngx_queue_t                     spread;     /* watches of all servers
                                                   with keys */
    unsigned                        started:1;
};


/* url */

ngx_int_t ngx_zapier_redis_sentinel_url(ngx_conf_t *cf,
    ngx_zapier_redis_t *redis, ngx_str_t *rest);

ngx_int_t ngx_zapier_redis_cluster_url(ngx_conf_t *cf,
    ngx_zapier_redis_t *redis, ngx_str_t *rest);

/* when the rest of the configuration is known */
ngx_int_t ngx_zapier_redis_topology_init(ngx_conf_t *cf,
    ngx_zapier_redis_t *redis);

void ngx_zapier_redis_topology_init_worker(
    ngx_zapier_redis_topology_t *topology);
void ngx_zapier_redis_topology_exit_worker(
    ngx_zapier_redis_topology_t *topology);

/* call: as ngx_zapier_redis_start() and _cancel() */

ngx_int_t ngx_zapier_redis_call_start(ngx_zapier_redis_topology_t *topology,
    ngx_zapier_redis_cmd_t *cmd, ngx_uint_t argc, ngx_str_t *argv);
void ngx_zapier_redis_call_cancel(ngx_zapier_redis_call_t *call);

/* sends it to that server; NGX_AGAIN or NGX_ERROR */
ngx_int_t ngx_zapier_redis_call_send(ngx_zapier_redis_call_t *call,
    ngx_zapier_redis_t *redis, ngx_uint_t asking);

/* sends all that wait, or fails them, which calls handlers */
void ngx_zapier_redis_call_flush(ngx_zapier_redis_topology_t *topology);
void ngx_zapier_redis_call_fail(ngx_zapier_redis_topology_t *topology);

void ngx_zapier_redis_call_timer(ngx_event_t *ev);

/* node */

/* NULL: not a good address, or too many (logged), or no memory */
ngx_zapier_redis_t *ngx_zapier_redis_node(
    ngx_zapier_redis_topology_t *topology, ngx_str_t *host, ngx_int_t port);

/* takes no more commands, and closes its links when those sent are done */
void ngx_zapier_redis_node_drain(ngx_zapier_redis_t *redis);

/* sentinel */

/* is it a master's reply to ROLE? */
ngx_uint_t ngx_zapier_redis_is_master(ngx_zapier_redis_reply_t *reply);

ngx_zapier_redis_topology_t *ngx_zapier_redis_sentinel_create(
    ngx_conf_t *cf);
void ngx_zapier_redis_sentinel_master(ngx_zapier_redis_topology_t *topology,
    ngx_str_t *name);

/* cluster; replies may be longer */

ngx_zapier_redis_topology_t *ngx_zapier_redis_cluster_create(ngx_conf_t *cf,
    ngx_zapier_redis_t *redis);

/* watch */

/* those who watch another server have to come to this one */
void ngx_zapier_redis_watch_moved(ngx_zapier_redis_t *front,
    ngx_zapier_redis_t *redis);

/*
 * Those who watch several servers have to watch these: they were all when
 * that was asked for, at ngx_zapier_clock() ms
 */
void ngx_zapier_redis_spread_servers(ngx_zapier_redis_topology_t *topology,
    ngx_zapier_redis_t **servers, ngx_uint_t n, uint64_t asked);


#endif /* _NGX_ZAPIER_REDIS_TOPOLOGY_H_INCLUDED_ */
