
/*
 * Where calls wait for quota: stops at scopes, and flows of calls there.
 * Private to limit/.
 */


#ifndef _NGX_ZAPIER_LIMIT_FLOW_H_INCLUDED_
#define _NGX_ZAPIER_LIMIT_FLOW_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_zapier_limit_queue.h>


/* a unit in the tag of a flow that has the weight 1 */
#define NGX_ZAPIER_LIMIT_QUEUE_UNIT  (1 << 16)


/* a scope that calls wait for */
typedef struct {
    ngx_rbtree_node_t          node;       /* by the scope's hash */
    ngx_rbtree_t               flows;      /* by their tags */
    ngx_rbtree_node_t          sentinel;
    ngx_zapier_limits_t       *limits;
    ngx_rbtree_key_t           clock;      /* tag of who was served last */
    ngx_zapier_limit_waiter_t *asking;     /* Redis, NULL: nobody */
    ngx_event_t                event;      /* for the next one to try */
} ngx_zapier_limit_stop_t;


typedef struct {
    ngx_rbtree_node_t          node;       /* by party and chain */
    ngx_rbtree_node_t          turn;       /* key: the tag */
    ngx_zapier_limit_stop_t   *stop;
    ngx_queue_t                waiters;
    ngx_uint_t                 n;
    uint64_t                   units;      /* of all of them */
    ngx_uint_t                 weight;
} ngx_zapier_limit_flow_t;


typedef struct {
    ngx_rbtree_t               stops;
    ngx_rbtree_t               flows;
    ngx_rbtree_node_t          stops_sentinel;
    ngx_rbtree_node_t          flows_sentinel;
} ngx_zapier_limit_queues_t;


#define ngx_zapier_limit_flow_of(turning)                                    \
    ngx_rbtree_data(turning, ngx_zapier_limit_flow_t, turn)

#define ngx_zapier_limit_queue_empty(tree)  ((tree)->root == (tree)->sentinel)


/* All of the worker; NULL: there have not been any. */
#define ngx_zapier_limit_queues(limits)                                      \
    ((ngx_zapier_limit_queues_t *) (limits)->queues)


/*
 * The stop at a scope; a new one is armed with the handler.  NULL: no
 * memory.
 */
ngx_zapier_limit_stop_t *ngx_zapier_limit_stop(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_scope_t *scope, ngx_event_handler_pt handler);

/* The first scope of a chain at whose stop somebody waits, or NULL. */
ngx_zapier_limit_scope_t *ngx_zapier_limit_stop_ahead(
    ngx_zapier_limits_t *limits, ngx_zapier_limit_claim_t *claim);

/* Is to follow whatever may have emptied it. */
void ngx_zapier_limit_stop_release(ngx_zapier_limit_stop_t *stop);

/* The waiter's flow, or a new one at the stop.  NULL: no memory. */
ngx_zapier_limit_flow_t *ngx_zapier_limit_flow(
    ngx_zapier_limit_waiter_t *waiter, ngx_zapier_limit_stop_t *stop);

/* The flow goes on at another stop. */
void ngx_zapier_limit_flow_move(ngx_zapier_limit_flow_t *flow,
    ngx_zapier_limit_stop_t *stop);

/* A call of so many units was served. */
void ngx_zapier_limit_flow_charge(ngx_zapier_limit_flow_t *flow,
    uint32_t units);

/* Units that will be had before a newcomer's, if nobody else comes. */
uint64_t ngx_zapier_limit_flow_ahead(ngx_zapier_limit_flow_t *flow);

/* The same. */
void ngx_zapier_limit_flow_release(ngx_zapier_limit_flow_t *flow);


#endif /* _NGX_ZAPIER_LIMIT_FLOW_H_INCLUDED_ */
