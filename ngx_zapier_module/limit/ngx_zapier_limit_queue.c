
/*
 * Waiting for quota in weighted fair order.
 *
 * The calls of one party with one chain of scopes are a flow.  Flows wait
 * at the scope that has refused the first of them: there one tries at a
 * time, when the scope's units are said to be back.  It is the one that
 * has had least (start-time fair queueing): each flow has a tag which its
 * calls move on by their units over its weight, and a flow that comes new
 * begins where the others are.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_zapier_limit_count.h>
#include <ngx_zapier_limit_entry.h>
#include <ngx_zapier_limit_flow.h>


/*
 * ms until a scope is looked at again, whatever it said: units may come
 * back and gates open before their time.  To look asks nothing of Redis.
 */
#define NGX_ZAPIER_LIMIT_QUEUE_LOOK   1000

/* lines that are tried at once when the first ones leave units to others */
#define NGX_ZAPIER_LIMIT_QUEUE_YIELD  128


static void ngx_zapier_limit_queue_claimed(ngx_zapier_limit_claim_t *claim);
static ngx_int_t ngx_zapier_limit_queue_join(
    ngx_zapier_limit_waiter_t *waiter);
static ngx_int_t ngx_zapier_limit_queue_enter(
    ngx_zapier_limit_waiter_t *waiter, ngx_zapier_limit_flow_t *flow);
static ngx_uint_t ngx_zapier_limit_queue_never(
    ngx_zapier_limit_claim_t *claim);
static ngx_uint_t ngx_zapier_limit_queue_oust(
    ngx_zapier_limit_waiter_t *waiter, ngx_zapier_limit_flow_t *flow);
static void ngx_zapier_limit_queue_refuse(ngx_zapier_limit_waiter_t *waiter,
    uint64_t wait);
static void ngx_zapier_limit_queue_turn(ngx_event_t *ev);
static void ngx_zapier_limit_queue_serve(ngx_zapier_limit_stop_t *stop);
static ngx_int_t ngx_zapier_limit_queue_tried(
    ngx_zapier_limit_waiter_t *waiter);
static void ngx_zapier_limit_queue_arm(ngx_zapier_limit_stop_t *stop,
    uint64_t wait);
static void ngx_zapier_limit_queue_late(ngx_event_t *ev);
static uint64_t ngx_zapier_limit_queue_left(
    ngx_zapier_limit_waiter_t *waiter);
static void ngx_zapier_limit_queue_fail(ngx_zapier_limit_waiter_t *waiter,
    uint64_t wait);
static void ngx_zapier_limit_queue_done(ngx_event_t *ev);
static void ngx_zapier_limit_queue_post(ngx_zapier_limit_waiter_t *waiter);
static void ngx_zapier_limit_queue_leave(ngx_zapier_limit_waiter_t *waiter);


ngx_int_t
ngx_zapier_limit_queue(ngx_zapier_limit_waiter_t *waiter)
{
    ngx_int_t                  rc;
    ngx_uint_t                 i;
    ngx_zapier_limit_claim_t  *claim;
    ngx_zapier_limit_scope_t  *scope;

    claim = waiter->claim;

    claim->handler = ngx_zapier_limit_queue_claimed;
    claim->data = waiter;

    waiter->flow = NULL;
    waiter->full = 0;
    waiter->waited = 0;
    waiter->since = ngx_current_msec;
    waiter->units = 1;

    for (i = 0; i < claim->nscopes; i++) {
        waiter->units = ngx_max(waiter->units, claim->scopes[i].units);
    }

    scope = ngx_zapier_limit_stop_ahead(waiter->limits, claim);

    if (scope != NULL) {
        (void) ngx_zapier_limit_peek(waiter->limits, claim);

        claim->view.scope = scope;

        return ngx_zapier_limit_queue_join(waiter);
    }

    rc = ngx_zapier_limit_start(waiter->limits, claim);

    if (rc == NGX_OK && claim->verdict == NGX_ZAPIER_LIMIT_REJECTED) {
        return ngx_zapier_limit_queue_join(waiter);
    }

    return rc;
}


void
ngx_zapier_limit_queue_cancel(ngx_zapier_limit_waiter_t *waiter)
{
    ngx_zapier_limit_queue_leave(waiter);

    if (waiter->event.posted) {
        ngx_delete_posted_event(&waiter->event);
    }

    ngx_zapier_limit_cancel(waiter->limits, waiter->claim);
}


/* Redis was asked: for who has just come, or for who had his turn. */

static void
ngx_zapier_limit_queue_claimed(ngx_zapier_limit_claim_t *claim)
{
    ngx_zapier_limit_flow_t    *flow;
    ngx_zapier_limit_stop_t    *stop;
    ngx_zapier_limit_waiter_t  *waiter;

    waiter = claim->data;
    flow = waiter->flow;

    if (flow == NULL) {

        if (claim->verdict != NGX_ZAPIER_LIMIT_REJECTED
            || ngx_zapier_limit_queue_join(waiter) != NGX_AGAIN)
        {
            waiter->handler(waiter);
        }

        return;
    }

    stop = flow->stop;
    stop->asking = NULL;

    if (ngx_zapier_limit_queue_tried(waiter) == NGX_OK) {
        ngx_zapier_limit_queue_serve(stop);
    }
}


/* At the stop of the scope that binds; returns as ngx_zapier_limit_queue. */

static ngx_int_t
ngx_zapier_limit_queue_join(ngx_zapier_limit_waiter_t *waiter)
{
    ngx_zapier_limit_flow_t   *flow;
    ngx_zapier_limit_stop_t   *stop;
    ngx_zapier_limit_claim_t  *claim;

    claim = waiter->claim;

    claim->verdict = NGX_ZAPIER_LIMIT_REJECTED;
    waiter->scope = claim->view.scope;

    stop = ngx_zapier_limit_queue_never(claim)
           ? NULL
           : ngx_zapier_limit_stop(waiter->limits, waiter->scope,
                                   ngx_zapier_limit_queue_turn);

    if (stop == NULL) {
        ngx_zapier_limit_queue_refuse(waiter, claim->wait);
        return NGX_OK;
    }

    flow = ngx_zapier_limit_flow(waiter, stop);

    if (flow == NULL) {
        ngx_zapier_limit_stop_release(stop);
        ngx_zapier_limit_queue_refuse(waiter, claim->wait);
        return NGX_OK;
    }

    if (ngx_zapier_limit_queue_enter(waiter, flow) == NGX_OK) {

        /* the flow may stand elsewhere */

        ngx_zapier_limit_stop_release(stop);

        return NGX_AGAIN;
    }

    ngx_zapier_limit_flow_release(flow);
    ngx_zapier_limit_stop_release(stop);

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_limit_queue_enter(ngx_zapier_limit_waiter_t *waiter,
    ngx_zapier_limit_flow_t *flow)
{
    uint64_t                   wait;
    ngx_zapier_limit_stop_t   *stop;
    ngx_zapier_limit_claim_t  *claim;

    claim = waiter->claim;
    stop = flow->stop;

    wait = ngx_zapier_limit_forecast(waiter->limits, claim,
                                     ngx_zapier_limit_flow_ahead(flow));

    if (wait > waiter->time) {
        ngx_zapier_limit_queue_refuse(waiter, wait);
        return NGX_DECLINED;
    }

    if (waiter->room->n >= waiter->room->max
        && !ngx_zapier_limit_queue_oust(waiter, flow))
    {
        waiter->full = 1;
        ngx_zapier_limit_queue_refuse(waiter, wait);
        return NGX_DECLINED;
    }

    waiter->room->n++;
    waiter->flow = flow;
    flow->n++;
    flow->units += waiter->units;

    ngx_queue_insert_tail(&flow->waiters, &waiter->queue);

    ngx_zapier_limit_share_queue(waiter->limits, claim,
                                 (uint32_t) stop->node.key, waiter->units,
                                 waiter->time);

    ngx_memzero(&waiter->event, sizeof(ngx_event_t));

    waiter->event.handler = ngx_zapier_limit_queue_late;
    waiter->event.data = waiter;
    waiter->event.log = claim->log;

    ngx_add_timer(&waiter->event, waiter->time);

    /* with units to be had, those who wait may only have left them to this */

    if (stop->asking == NULL) {
        ngx_zapier_limit_queue_arm(stop, claim->wait);
    }

    ngx_zapier_limit_count(waiter->limits, waiter->scope->zone,
                           NGX_ZAPIER_LIMIT_COUNT_QUEUED, 1);

    return NGX_OK;
}


/* More is asked for than the limit has. */

static ngx_uint_t
ngx_zapier_limit_queue_never(ngx_zapier_limit_claim_t *claim)
{
    ngx_uint_t                 i;
    ngx_zapier_limit_scope_t  *scope;

    for (i = 0; i < claim->nscopes; i++) {
        scope = &claim->scopes[i];

        if (scope->zone->limit != 0 && scope->units > scope->zone->limit) {
            return 1;
        }
    }

    return 0;
}


/* Who has most waiting has the last of them turned out. */

static ngx_uint_t
ngx_zapier_limit_queue_oust(ngx_zapier_limit_waiter_t *waiter,
    ngx_zapier_limit_flow_t *flow)
{
    ngx_uint_t                  n;
    ngx_queue_t                *q;
    ngx_rbtree_t               *flows;
    ngx_rbtree_node_t          *node;
    ngx_zapier_limit_flow_t    *other;
    ngx_zapier_limit_waiter_t  *last, *longest;

    flows = &ngx_zapier_limit_queues(waiter->limits)->flows;
    longest = NULL;
    n = flow->n + 1;

    for (node = ngx_rbtree_min(flows->root, flows->sentinel);
         node != NULL;
         node = ngx_rbtree_next(flows, node))
    {
        other = (ngx_zapier_limit_flow_t *) node;

        if (other->n <= n) {
            continue;
        }

        q = ngx_queue_last(&other->waiters);
        last = ngx_queue_data(q, ngx_zapier_limit_waiter_t, queue);

        if (last->room == waiter->room) {
            longest = last;
            n = other->n;
        }
    }

    if (longest == NULL) {
        return 0;
    }

    longest->full = 1;

    ngx_zapier_limit_queue_leave(longest);
    ngx_zapier_limit_queue_refuse(longest, longest->claim->wait);
    ngx_zapier_limit_queue_post(longest);

    return 1;
}


static void
ngx_zapier_limit_queue_refuse(ngx_zapier_limit_waiter_t *waiter,
    uint64_t wait)
{
    time_t                     seconds;
    ngx_zapier_limit_view_t   *view;
    ngx_zapier_limit_claim_t  *claim;

    claim = waiter->claim;
    view = &claim->view;

    seconds = (time_t) ((wait + 999) / 1000);
    seconds = ngx_max(seconds, 1);

    claim->verdict = NGX_ZAPIER_LIMIT_REJECTED;

    if (view->zone == NULL) {
        view->zone = waiter->scope->zone;
        view->limit = -1;
        view->remaining = 0;
        view->reset = ngx_time() + seconds;
    }

    view->retry_after = ngx_max(view->retry_after, seconds);

    if (waiter->full) {
        ngx_zapier_limit_count(waiter->limits, waiter->scope->zone,
                               NGX_ZAPIER_LIMIT_COUNT_QUEUE_FULL, 1);
    }
}


static void
ngx_zapier_limit_queue_turn(ngx_event_t *ev)
{
    ngx_zapier_limit_queue_serve(ev->data);
}


/*
 * Handlers may end any request, also those who wait: they are called by
 * the event loop later, never from here.
 */

static void
ngx_zapier_limit_queue_serve(ngx_zapier_limit_stop_t *stop)
{
    ngx_uint_t                  n, yields;
    ngx_queue_t                *q;
    ngx_rbtree_node_t          *turn;
    ngx_zapier_limit_flow_t    *flow;
    ngx_zapier_limit_waiter_t  *waiter;

    if (stop->asking != NULL) {
        return;
    }

    n = 0;
    turn = NULL;

    while (!ngx_zapier_limit_queue_empty(&stop->flows)) {

        if (turn == NULL) {
            turn = ngx_rbtree_min(stop->flows.root, stop->flows.sentinel);
        }

        flow = ngx_zapier_limit_flow_of(turn);

        q = ngx_queue_head(&flow->waiters);
        waiter = ngx_queue_data(q, ngx_zapier_limit_waiter_t, queue);

        if (ngx_zapier_limit_start(stop->limits, waiter->claim) == NGX_AGAIN)
        {
            stop->asking = waiter;
            return;
        }

        yields = waiter->claim->yields;

        if (ngx_zapier_limit_queue_tried(waiter) == NGX_OK) {
            turn = NULL;
            continue;
        }

        /* what it leaves may be meant for another one here */

        turn = ngx_rbtree_next(&stop->flows, turn);

        if (!yields || turn == NULL || ++n == NGX_ZAPIER_LIMIT_QUEUE_YIELD) {
            return;
        }
    }

    ngx_zapier_limit_stop_release(stop);
}


/* NGX_DECLINED: nobody need try at this stop now. */

static ngx_int_t
ngx_zapier_limit_queue_tried(ngx_zapier_limit_waiter_t *waiter)
{
    ngx_zapier_limit_flow_t   *flow;
    ngx_zapier_limit_stop_t   *stop, *other;
    ngx_zapier_limit_claim_t  *claim;

    claim = waiter->claim;
    flow = waiter->flow;
    stop = flow->stop;

    if (claim->verdict != NGX_ZAPIER_LIMIT_REJECTED) {
        ngx_zapier_limit_flow_charge(flow, waiter->units);
        ngx_zapier_limit_queue_leave(waiter);
        ngx_zapier_limit_queue_post(waiter);

        return NGX_OK;
    }

    waiter->scope = claim->view.scope;

    if (claim->wait > ngx_zapier_limit_queue_left(waiter)) {

        /* it is of no use to let it wait for that */

        ngx_zapier_limit_queue_leave(waiter);
        ngx_zapier_limit_queue_fail(waiter, claim->wait);
        ngx_zapier_limit_queue_post(waiter);

        return NGX_OK;
    }

    other = ngx_zapier_limit_stop(waiter->limits, waiter->scope,
                                  ngx_zapier_limit_queue_turn);

    if (other == NULL || other == stop) {
        ngx_zapier_limit_queue_arm(stop, claim->wait);
        return NGX_DECLINED;
    }

    /* it is another scope that is in the way now */

    ngx_zapier_limit_share_queue(waiter->limits, claim,
                                 (uint32_t) stop->node.key,
                                 - (int64_t) flow->units, 0);

    ngx_zapier_limit_flow_move(flow, other);

    ngx_zapier_limit_share_queue(waiter->limits, claim,
                                 (uint32_t) other->node.key, flow->units,
                                 ngx_zapier_limit_queue_left(waiter));

    if (other->asking == NULL) {
        ngx_zapier_limit_queue_arm(other, claim->wait);
    }

    return NGX_OK;
}


/* A timer only ever comes nearer: newcomers must not put it off. */

static void
ngx_zapier_limit_queue_arm(ngx_zapier_limit_stop_t *stop, uint64_t wait)
{
    ngx_msec_int_t  later;

    wait = ngx_min(wait, NGX_ZAPIER_LIMIT_QUEUE_LOOK);
    wait = ngx_max(wait, 1);

    if (stop->event.timer_set) {
        later = (ngx_msec_int_t) (stop->event.timer.key - ngx_current_msec);

        if (later <= (ngx_msec_int_t) wait) {
            return;
        }

        /* nginx itself keeps a timer that is only a little later */

        ngx_del_timer(&stop->event);
    }

    ngx_add_timer(&stop->event, (ngx_msec_t) wait);
}


static void
ngx_zapier_limit_queue_late(ngx_event_t *ev)
{
    uint64_t                    wait;
    ngx_zapier_limit_claim_t   *claim;
    ngx_zapier_limit_flow_t    *flow;
    ngx_zapier_limit_waiter_t  *waiter;

    waiter = ev->data;
    claim = waiter->claim;
    flow = waiter->flow;

    if (flow->stop->asking == waiter) {
        ngx_zapier_limit_cancel(waiter->limits, claim);
    }

    (void) ngx_zapier_limit_peek(waiter->limits, claim);

    wait = ngx_zapier_limit_forecast(waiter->limits, claim,
                                     ngx_zapier_limit_flow_ahead(flow)
                                     - waiter->units);

    ngx_zapier_limit_queue_leave(waiter);
    ngx_zapier_limit_queue_fail(waiter, wait);

    waiter->handler(waiter);
}


static uint64_t
ngx_zapier_limit_queue_left(ngx_zapier_limit_waiter_t *waiter)
{
    ngx_msec_int_t  left;

    left = (ngx_msec_int_t) (waiter->event.timer.key - ngx_current_msec);

    return (uint64_t) ngx_max(left, 0);
}


static void
ngx_zapier_limit_queue_fail(ngx_zapier_limit_waiter_t *waiter, uint64_t wait)
{
    ngx_zapier_limit_queue_refuse(waiter, wait);

    ngx_zapier_limit_count(waiter->limits, waiter->scope->zone,
                           NGX_ZAPIER_LIMIT_COUNT_QUEUE_LATE, 1);
}


static void
ngx_zapier_limit_queue_done(ngx_event_t *ev)
{
    ngx_zapier_limit_waiter_t *waiter = ev->data;

    waiter->handler(waiter);
}


static void
ngx_zapier_limit_queue_post(ngx_zapier_limit_waiter_t *waiter)
{
    waiter->event.handler = ngx_zapier_limit_queue_done;

    ngx_post_event(&waiter->event, &ngx_posted_events);
}


/*
 * A stop that this leaves empty goes when its timer fires, unless somebody
 * comes before: it may be in use.
 */

static void
ngx_zapier_limit_queue_leave(ngx_zapier_limit_waiter_t *waiter)
{
    ngx_zapier_limit_flow_t  *flow;
    ngx_zapier_limit_stop_t  *stop;

    flow = waiter->flow;

    if (flow == NULL) {
        return;
    }

    stop = flow->stop;

    if (waiter->event.timer_set) {
        ngx_del_timer(&waiter->event);
    }

    ngx_queue_remove(&waiter->queue);

    waiter->waited = ngx_current_msec - waiter->since;
    waiter->waited = ngx_max(waiter->waited, 1);
    waiter->flow = NULL;
    waiter->room->n--;
    flow->n--;
    flow->units -= waiter->units;

    ngx_zapier_limit_share_queue(waiter->limits, waiter->claim,
                                 (uint32_t) stop->node.key,
                                 - (int64_t) waiter->units, 0);

    if (stop->asking == waiter) {
        stop->asking = NULL;
        ngx_zapier_limit_queue_arm(stop, 1);
    }

    ngx_zapier_limit_flow_release(flow);
}
