
/*
 * Stops and flows of waiting calls, in a worker's own memory.  They outlive
 * the request that makes them, but no waiter.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_zapier_limit_entry.h>
#include <ngx_zapier_limit_flow.h>


static ngx_int_t ngx_zapier_limit_queues_create(ngx_zapier_limits_t *limits);
static ngx_rbtree_node_t *ngx_zapier_limit_flow_find(ngx_rbtree_t *tree,
    ngx_rbtree_key_t key);
static ngx_rbtree_key_t ngx_zapier_limit_flow_key(
    ngx_zapier_limit_waiter_t *waiter);


static ngx_int_t
ngx_zapier_limit_queues_create(ngx_zapier_limits_t *limits)
{
    ngx_zapier_limit_queues_t  *queues;

    queues = ngx_alloc(sizeof(ngx_zapier_limit_queues_t), ngx_cycle->log);
    if (queues == NULL) {
        return NGX_ERROR;
    }

    ngx_rbtree_init(&queues->stops, &queues->stops_sentinel,
                    ngx_rbtree_insert_value);
    ngx_rbtree_init(&queues->flows, &queues->flows_sentinel,
                    ngx_rbtree_insert_value);

    limits->queues = queues;

    return NGX_OK;
}


static ngx_rbtree_node_t *
ngx_zapier_limit_flow_find(ngx_rbtree_t *tree, ngx_rbtree_key_t key)
{
    ngx_rbtree_node_t  *node;

    node = tree->root;

    while (node != tree->sentinel) {

        if (node->key == key) {
            return node;
        }

        node = (key < node->key) ? node->left : node->right;
    }

    return NULL;
}


/* Two scopes of one hash wait together: a pity, but nobody is let through. */

ngx_zapier_limit_stop_t *
ngx_zapier_limit_stop(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_scope_t *scope, ngx_event_handler_pt handler)
{
    ngx_rbtree_key_t          key;
    ngx_zapier_limit_stop_t  *stop;

    if (limits->queues == NULL
        && ngx_zapier_limit_queues_create(limits) != NGX_OK)
    {
        return NULL;
    }

    key = ngx_zapier_limit_hash(limits, scope);

    stop = (ngx_zapier_limit_stop_t *) ngx_zapier_limit_flow_find(
                               &ngx_zapier_limit_queues(limits)->stops, key);

    if (stop != NULL) {
        return stop;
    }

    stop = ngx_calloc(sizeof(ngx_zapier_limit_stop_t), ngx_cycle->log);
    if (stop == NULL) {
        return NULL;
    }

    ngx_rbtree_init(&stop->flows, &stop->sentinel, ngx_rbtree_insert_value);

    stop->limits = limits;
    stop->event.handler = handler;
    stop->event.data = stop;
    stop->event.log = ngx_cycle->log;

    stop->node.key = key;

    ngx_rbtree_insert(&ngx_zapier_limit_queues(limits)->stops, &stop->node);

    return stop;
}


ngx_zapier_limit_scope_t *
ngx_zapier_limit_stop_ahead(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim)
{
    ngx_uint_t                  i;
    ngx_rbtree_node_t          *node;
    ngx_zapier_limit_scope_t   *scope;
    ngx_zapier_limit_queues_t  *queues;

    queues = ngx_zapier_limit_queues(limits);

    if (queues == NULL || ngx_zapier_limit_queue_empty(&queues->flows)) {
        return NULL;
    }

    for (i = 0; i < claim->nscopes; i++) {
        scope = &claim->scopes[i];

        node = ngx_zapier_limit_flow_find(&queues->stops,
                                       ngx_zapier_limit_hash(limits, scope));

        if (node != NULL
            && !ngx_zapier_limit_queue_empty(
                                   &((ngx_zapier_limit_stop_t *) node)->flows))
        {
            return scope;
        }
    }

    return NULL;
}


void
ngx_zapier_limit_stop_release(ngx_zapier_limit_stop_t *stop)
{
    if (!ngx_zapier_limit_queue_empty(&stop->flows)) {
        return;
    }

    if (stop->event.timer_set) {
        ngx_del_timer(&stop->event);
    }

    ngx_rbtree_delete(&ngx_zapier_limit_queues(stop->limits)->stops,
                      &stop->node);

    ngx_free(stop);
}


ngx_zapier_limit_flow_t *
ngx_zapier_limit_flow(ngx_zapier_limit_waiter_t *waiter,
    ngx_zapier_limit_stop_t *stop)
{
    ngx_rbtree_t             *flows;
    ngx_rbtree_key_t          key;
    ngx_zapier_limit_flow_t  *flow;

    flows = &ngx_zapier_limit_queues(waiter->limits)->flows;
    key = ngx_zapier_limit_flow_key(waiter);

    flow = (ngx_zapier_limit_flow_t *) ngx_zapier_limit_flow_find(flows, key);

    if (flow != NULL) {
        flow->weight = waiter->weight;
        return flow;
    }

    flow = ngx_calloc(sizeof(ngx_zapier_limit_flow_t), ngx_cycle->log);
    if (flow == NULL) {
        return NULL;
    }

    ngx_queue_init(&flow->waiters);

    flow->stop = stop;
    flow->weight = waiter->weight;
    flow->turn.key = stop->clock;
    ngx_rbtree_insert(&stop->flows, &flow->turn);

    flow->node.key = key;
    ngx_rbtree_insert(flows, &flow->node);

    return flow;
}


static ngx_rbtree_key_t
ngx_zapier_limit_flow_key(ngx_zapier_limit_waiter_t *waiter)
{
    ngx_uint_t                 i;
    ngx_rbtree_key_t           key;
    ngx_zapier_limits_t       *limits;
    ngx_zapier_limit_claim_t  *claim;

    limits = waiter->limits;
    claim = waiter->claim;

    key = ngx_zapier_shm_hash(limits->shm, waiter->party.data,
                              waiter->party.len);

    for (i = 0; i < claim->nscopes; i++) {
        key = key * 1000003
              + ngx_zapier_limit_hash(limits, &claim->scopes[i]);
    }

    return key;
}


void
ngx_zapier_limit_flow_move(ngx_zapier_limit_flow_t *flow,
    ngx_zapier_limit_stop_t *stop)
{
    ngx_rbtree_delete(&flow->stop->flows, &flow->turn);

    flow->stop = stop;
    flow->turn.key = stop->clock;

    ngx_rbtree_insert(&stop->flows, &flow->turn);
}


void
ngx_zapier_limit_flow_charge(ngx_zapier_limit_flow_t *flow, uint32_t units)
{
    flow->stop->clock = flow->turn.key;

    ngx_rbtree_delete(&flow->stop->flows, &flow->turn);

    flow->turn.key += (ngx_rbtree_key_t) units * NGX_ZAPIER_LIMIT_QUEUE_UNIT
                      / flow->weight;

    ngx_rbtree_insert(&flow->stop->flows, &flow->turn);
}


uint64_t
ngx_zapier_limit_flow_ahead(ngx_zapier_limit_flow_t *flow)
{
    uint64_t                  units, due;
    ngx_rbtree_t             *tree;
    ngx_rbtree_key_t          tag;
    ngx_rbtree_node_t        *turn;
    ngx_zapier_limit_flow_t  *other;

    tag = flow->turn.key
          + flow->units * NGX_ZAPIER_LIMIT_QUEUE_UNIT / flow->weight;

    units = flow->units;
    tree = &flow->stop->flows;

    for (turn = ngx_rbtree_min(tree->root, tree->sentinel);
         turn != NULL && turn->key <= tag;
         turn = ngx_rbtree_next(tree, turn))
    {
        other = ngx_zapier_limit_flow_of(turn);

        if (other == flow) {
            continue;
        }

        due = (tag - turn->key) * other->weight / NGX_ZAPIER_LIMIT_QUEUE_UNIT
              + 1;

        units += ngx_min(due, other->units);
    }

    return units;
}


void
ngx_zapier_limit_flow_release(ngx_zapier_limit_flow_t *flow)
{
    if (flow->n != 0) {
        return;
    }

    ngx_rbtree_delete(&flow->stop->flows, &flow->turn);
    ngx_rbtree_delete(&ngx_zapier_limit_queues(flow->stop->limits)->flows,
                      &flow->node);

    ngx_free(flow);
}
