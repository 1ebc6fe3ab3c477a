
/*
 * Private to redis/: a Cluster as a worker knows it.
 */


#ifndef _NGX_ZAPIER_REDIS_CLUSTER_H_INCLUDED_
#define _NGX_ZAPIER_REDIS_CLUSTER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_slot.h>
#include <ngx_zapier_redis_topology.h>


/* masters, and servers that were some once */
#define NGX_ZAPIER_REDIS_CLUSTER_MASTERS 128
#define NGX_ZAPIER_REDIS_CLUSTER_NODES   256

#define NGX_ZAPIER_REDIS_CLUSTER_NONE    0xff

/* ms between rounds while all is well, or while changes are watched */
#define NGX_ZAPIER_REDIS_CLUSTER_POLL    10000
#define NGX_ZAPIER_REDIS_CLUSTER_WATCH   400

/* ms until there is another round while something is not well */
#define NGX_ZAPIER_REDIS_CLUSTER_HURRY   250

/* bits in the cursor of SCAN: the master's first slot and who it was */
#define NGX_ZAPIER_REDIS_CLUSTER_SLOT    14
#define NGX_ZAPIER_REDIS_CLUSTER_BITS    (NGX_ZAPIER_REDIS_CLUSTER_SLOT + 8)


typedef struct {
    ngx_zapier_redis_topology_t     topology;   /* must be first */

    ngx_zapier_redis_t             *masters[NGX_ZAPIER_REDIS_CLUSTER_MASTERS];
    ngx_uint_t                      nmasters;
    ngx_uint_t                      next;       /* who is asked next */
    ngx_uint_t                      asked;      /* in this round */
    ngx_zapier_redis_t             *server;     /* ... just now */
    ngx_zapier_redis_cmd_t          question;
    uint64_t                        sent;       /* ngx_zapier_clock() ms */
    uint64_t                        epoch;      /* of the map */
    uint64_t                        told;       /* by the server */
    uint64_t                        highest;    /* by any in this round */
    ngx_event_t                     timer;      /* of the next round */

    /* the reply to SCAN as the caller sees it */
    ngx_zapier_redis_reply_t        scan;
    ngx_zapier_redis_reply_t        cursor;
    ngx_zapier_redis_reply_t       *elts[2];
    u_char                          text[NGX_INT64_LEN];

    unsigned                        known:1;    /* there is a map */
    unsigned                        asking:1;
    unsigned                        well:1;     /* as the server says */
    unsigned                        lenient:1;  /* ... or not, in this round */
    unsigned                        answered:1; /* by any in this round */
    unsigned                        warned:1;   /* that nobody answers */

    u_char                          map[NGX_ZAPIER_REDIS_SLOTS];
} ngx_zapier_redis_cluster_t;


/* a round of questions; its timer's handler */
void ngx_zapier_redis_cluster_round(ngx_event_t *ev);

/* Begins one after so many ms at the latest; calls no handlers. */
void ngx_zapier_redis_cluster_soon(ngx_zapier_redis_cluster_t *c,
    ngx_msec_t delay);

/* A server says that the slot is that one's now. */
void ngx_zapier_redis_cluster_moved(ngx_zapier_redis_cluster_t *c,
    ngx_int_t slot, ngx_zapier_redis_t *redis);


#endif /* _NGX_ZAPIER_REDIS_CLUSTER_H_INCLUDED_ */
