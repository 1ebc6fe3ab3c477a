
/*
 * Flights: one in a worker for each run that somebody waits for.  What one
 * does to find out stands in ngx_zapier_run_poll.c.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_zapier_run_private.h>


/* ms between looks at what other workers have found out */
#define NGX_ZAPIER_RUN_TICK       20


static ngx_zapier_run_flight_t *ngx_zapier_run_find(ngx_zapier_runs_t *runs,
    ngx_zapier_run_key_t *key);
static ngx_zapier_run_flight_t *ngx_zapier_run_create(
    ngx_zapier_run_wait_t *wait, ngx_zapier_run_key_t *key);
static ngx_int_t ngx_zapier_run_called_back(
    ngx_zapier_run_flight_t *flight, ngx_zapier_run_wait_t *wait);
static void ngx_zapier_run_begin(ngx_zapier_run_flight_t *flight,
    ngx_zapier_run_wait_t *wait);
static void ngx_zapier_run_join(ngx_zapier_run_flight_t *flight,
    ngx_zapier_run_wait_t *wait);
static void ngx_zapier_run_late(ngx_event_t *ev);
static void ngx_zapier_run_timer(ngx_event_t *ev);
static void ngx_zapier_run_give(ngx_zapier_run_flight_t *flight,
    ngx_zapier_run_wait_t *wait, ngx_zapier_run_state_e state,
    ngx_str_t *body);
static void ngx_zapier_run_leave(ngx_zapier_run_wait_t *wait);
static void ngx_zapier_run_release(ngx_zapier_run_flight_t *flight);
static void ngx_zapier_run_tick(ngx_event_t *ev);
static void ngx_zapier_run_wake(ngx_rbtree_node_t *node);


ngx_int_t
ngx_zapier_runs_init_worker(ngx_zapier_runs_t *runs, ngx_cycle_t *cycle)
{
    ngx_zapier_run_worker_t  *worker;

    worker = ngx_pcalloc(cycle->pool, sizeof(ngx_zapier_run_worker_t));
    if (worker == NULL) {
        return NGX_ERROR;
    }

    worker->runs = runs;

    ngx_rbtree_init(&worker->flights, &worker->sentinel,
                    ngx_str_rbtree_insert_value);

    worker->tick.handler = ngx_zapier_run_tick;
    worker->tick.data = worker;
    worker->tick.log = cycle->log;

    runs->worker = worker;

    return ngx_zapier_run_news_start(runs, cycle);
}


void
ngx_zapier_runs_exit_worker(ngx_zapier_runs_t *runs)
{
    ngx_queue_t              *q;
    ngx_rbtree_node_t        *node;
    ngx_zapier_run_wait_t    *wait;
    ngx_zapier_run_worker_t  *worker;
    ngx_zapier_run_flight_t  *flight;

    worker = runs->worker;

    if (worker == NULL) {
        return;
    }

    ngx_zapier_run_news_stop(runs);
    ngx_zapier_run_store_exit();

    while (worker->flights.root != &worker->sentinel) {

        node = worker->flights.root;
        flight = ngx_rbtree_data(node, ngx_zapier_run_flight_t, node.node);

        flight->polling = 0;
        flight->ending = 1;

        while (!ngx_queue_empty(&flight->waiters)) {
            q = ngx_queue_head(&flight->waiters);
            wait = ngx_queue_data(q, ngx_zapier_run_wait_t, queue);
            ngx_zapier_run_leave(wait);
        }

        flight->ending = 0;
        ngx_zapier_run_release(flight);
    }

    runs->worker = NULL;
}


ngx_int_t
ngx_zapier_run_wait(ngx_zapier_run_wait_t *wait)
{
    ngx_int_t                 rc;
    ngx_zapier_run_key_t      key;
    ngx_zapier_run_flight_t  *flight;

    ngx_zapier_run_key(wait->runs, &key, &wait->tenant, &wait->id);

    wait->polled = 0;
    wait->flight = NULL;

    if (!wait->started) {
        rc = ngx_zapier_run_known(wait->runs, &key, wait->pool, &wait->body);

        if (rc != NGX_DECLINED) {
            wait->state = NGX_ZAPIER_RUN_FINISHED;
            return rc;
        }
    }

    flight = ngx_zapier_run_find(wait->runs, &key);

    if (flight == NULL) {
        flight = ngx_zapier_run_create(wait, &key);
        if (flight == NULL) {
            return NGX_ERROR;
        }

        ngx_zapier_run_join(flight, wait);
        ngx_zapier_run_begin(flight, wait);

        return NGX_AGAIN;
    }

    ngx_zapier_run_join(flight, wait);

    return NGX_AGAIN;
}


void
ngx_zapier_run_cancel(ngx_zapier_run_wait_t *wait)
{
    ngx_zapier_run_flight_t  *flight;

    flight = wait->flight;

    if (flight != NULL) {
        ngx_zapier_run_leave(wait);
        ngx_zapier_run_release(flight);
    }
}


static ngx_zapier_run_flight_t *
ngx_zapier_run_find(ngx_zapier_runs_t *runs, ngx_zapier_run_key_t *key)
{
    ngx_str_t                 text;
    ngx_str_node_t           *node;
    ngx_zapier_run_worker_t  *worker;

    worker = runs->worker;

    text.data = key->data;
    text.len = key->len;

    node = ngx_str_rbtree_lookup(&worker->flights, &text, key->hash);

    if (node == NULL) {
        return NULL;
    }

    return ngx_rbtree_data(&node->node, ngx_zapier_run_flight_t, node.node);
}


static ngx_zapier_run_flight_t *
ngx_zapier_run_create(ngx_zapier_run_wait_t *wait, ngx_zapier_run_key_t *key)
{
    ngx_pool_t               *pool;
    ngx_zapier_run_worker_t  *worker;
    ngx_zapier_run_flight_t  *flight;

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    flight = ngx_pcalloc(pool, sizeof(ngx_zapier_run_flight_t));
    if (flight == NULL) {
        goto failed;
    }

    flight->poll.origin = wait->origin(wait, pool);
    if (flight->poll.origin == NULL) {
        goto failed;
    }

    worker = wait->runs->worker;

    flight->runs = wait->runs;
    flight->pool = pool;
    flight->key = *key;

    flight->tenant.data = flight->key.data;
    flight->tenant.len = wait->tenant.len;
    flight->id.data = flight->key.data + wait->tenant.len + 1;
    flight->id.len = wait->id.len;

    flight->node.node.key = key->hash;
    flight->node.str.data = flight->key.data;
    flight->node.str.len = key->len;

    flight->owner = ngx_zapier_run_owner();
    flight->interval = wait->interval;
    flight->keep = wait->keep;
    flight->max = wait->max;
    flight->started = ngx_current_msec;
    flight->until = ngx_current_msec;

    if (wait->callback.len != 0
        && ngx_zapier_run_called_back(flight, wait) != NGX_OK)
    {
        goto failed;
    }

    ngx_queue_init(&flight->waiters);

    flight->timer.handler = ngx_zapier_run_timer;
    flight->timer.data = flight;
    flight->timer.log = ngx_cycle->log;

    ngx_rbtree_insert(&worker->flights, &flight->node.node);

    if (worker->n++ == 0) {
        ngx_add_timer(&worker->tick, NGX_ZAPIER_RUN_TICK);
    }

    return flight;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


static ngx_int_t
ngx_zapier_run_called_back(ngx_zapier_run_flight_t *flight,
    ngx_zapier_run_wait_t *wait)
{
    u_char  *p;

    p = ngx_pnalloc(flight->pool, NGX_ZAPIER_RUN_STORE_KEY(flight->runs));
    if (p == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_zapier_run_callback_key(p, flight->runs, &flight->tenant,
                                       &wait->callback, &flight->callback);

    flight->patience = wait->patience;

    return NGX_OK;
}


/* The first look: nobody can know of a run that was started just now. */

static void
ngx_zapier_run_begin(ngx_zapier_run_flight_t *flight,
    ngx_zapier_run_wait_t *wait)
{
    ngx_msec_t  delay;

    if (!wait->started) {
        ngx_zapier_run_arm(flight, 0);
        return;
    }

    delay = ngx_zapier_run_delay(flight);

    if (flight->callback.len != 0) {
        flight->ask.handler = ngx_zapier_run_expected;
        flight->ask.data = flight;

        if (ngx_zapier_run_expect(flight->runs, &flight->ask,
                                  &flight->tenant, &flight->id,
                                  &flight->callback, delay)
            == NGX_AGAIN)
        {
            flight->asking = 1;
            return;
        }
    }

    ngx_zapier_run_arm(flight, delay);
}


static void
ngx_zapier_run_join(ngx_zapier_run_flight_t *flight,
    ngx_zapier_run_wait_t *wait)
{
    ngx_msec_t  until;

    wait->flight = flight;

    ngx_queue_insert_tail(&flight->waiters, &wait->queue);

    ngx_memzero(&wait->event, sizeof(ngx_event_t));

    if (wait->time == 0) {

        /* whoever polls, or is about to, answers this one too */

        if (flight->timer.timer_set) {
            ngx_zapier_run_arm(flight, 0);
        }

        return;
    }

    wait->event.handler = ngx_zapier_run_late;
    wait->event.data = wait;
    wait->event.log = ngx_cycle->log;

    ngx_add_timer(&wait->event, wait->time);

    until = ngx_current_msec + wait->time;

    if ((ngx_msec_int_t) (until - flight->until) > 0) {
        flight->until = until;
    }
}


static void
ngx_zapier_run_late(ngx_event_t *ev)
{
    ngx_zapier_run_wait_t    *wait;
    ngx_zapier_run_flight_t  *flight;

    wait = ev->data;
    flight = wait->flight;

    ngx_zapier_run_leave(wait);
    ngx_zapier_run_give(flight, wait, NGX_ZAPIER_RUN_PENDING, NULL);
    ngx_zapier_run_release(flight);
}


void
ngx_zapier_run_arm(ngx_zapier_run_flight_t *flight, uint64_t delay)
{
    delay = ngx_min(delay, NGX_ZAPIER_RUN_DELAY_MAX);

    /* without the margin of ngx_add_timer(), which keeps what is sooner */

    if (flight->timer.timer_set) {
        ngx_del_timer(&flight->timer);
    }

    ngx_add_timer(&flight->timer, (ngx_msec_t) ngx_max(delay, 1));
}


static void
ngx_zapier_run_timer(ngx_event_t *ev)
{
    ngx_zapier_run_step(ev->data);
}


/*
 * To all who wait, or those who want to know how things stand.  Handlers
 * may end any request, also those of others who wait here.
 */

void
ngx_zapier_run_tell(ngx_zapier_run_flight_t *flight,
    ngx_zapier_run_state_e state, ngx_str_t *body, ngx_uint_t all)
{
    ngx_queue_t            *q, told;
    ngx_zapier_run_wait_t  *wait;

    flight->ending = 1;

    ngx_queue_init(&told);

    if (all) {
        if (!ngx_queue_empty(&flight->waiters)) {
            ngx_queue_add(&told, &flight->waiters);
            ngx_queue_init(&flight->waiters);
        }

    } else {
        for (q = ngx_queue_head(&flight->waiters);
             q != ngx_queue_sentinel(&flight->waiters);
             /* void */)
        {
            wait = ngx_queue_data(q, ngx_zapier_run_wait_t, queue);
            q = ngx_queue_next(q);

            if (wait->time == 0) {
                ngx_queue_remove(&wait->queue);
                ngx_queue_insert_tail(&told, &wait->queue);
            }
        }
    }

    while (!ngx_queue_empty(&told)) {
        q = ngx_queue_head(&told);
        wait = ngx_queue_data(q, ngx_zapier_run_wait_t, queue);

        ngx_zapier_run_leave(wait);
        ngx_zapier_run_give(flight, wait, state, body);
    }

    flight->ending = 0;

    if (flight->answers != NULL) {
        ngx_destroy_pool(flight->answers);
        flight->answers = NULL;
    }

    if (all && !ngx_queue_empty(&flight->waiters)) {

        /* somebody has come meanwhile, for whom there was no room */

        ngx_zapier_run_arm(flight, NGX_ZAPIER_RUN_TICK);
    }

    ngx_zapier_run_release(flight);
}


static void
ngx_zapier_run_give(ngx_zapier_run_flight_t *flight,
    ngx_zapier_run_wait_t *wait, ngx_zapier_run_state_e state,
    ngx_str_t *body)
{
    wait->state = state;
    wait->polled = 1;
    wait->status = 0;
    wait->own = 0;
    wait->too_long = (state == NGX_ZAPIER_RUN_FINISHED && body == NULL);
    wait->retry_after = 0;
    ngx_str_null(&wait->body);

    if (state == NGX_ZAPIER_RUN_FAILED) {
        wait->status = flight->poll.status;
        wait->own = flight->poll.own;
        wait->code = flight->poll.code;
        wait->type.data = ngx_pstrdup(wait->pool, &flight->poll.type);
        wait->type.len = wait->type.data ? flight->poll.type.len : 0;
        wait->retry_after = flight->poll.retry_after;
    }

    if (body != NULL && body->len != 0) {
        wait->body.data = ngx_pnalloc(wait->pool, body->len);

        if (wait->body.data == NULL) {
            wait->state = NGX_ZAPIER_RUN_FAILED;

        } else {
            wait->body.len = body->len;
            ngx_memcpy(wait->body.data, body->data, body->len);
        }
    }

    wait->handler(wait);
}


static void
ngx_zapier_run_leave(ngx_zapier_run_wait_t *wait)
{
    ngx_queue_remove(&wait->queue);

    wait->flight = NULL;

    if (wait->event.timer_set) {
        ngx_del_timer(&wait->event);
    }
}


/* What was sent already is waited for: its answer will be remembered. */

static void
ngx_zapier_run_release(ngx_zapier_run_flight_t *flight)
{
    ngx_zapier_run_worker_t  *worker;

    if (flight->ending
        || flight->polling
        || !ngx_queue_empty(&flight->waiters))
    {
        return;
    }

    worker = flight->runs->worker;

    if (flight->asking) {
        ngx_zapier_run_ask_cancel(&flight->ask);

        /* nobody asks: who comes next may at once */

        ngx_zapier_run_pending(flight->runs, &flight->key, flight->owner, 0,
                               NULL);
    }

    if (flight->timer.timer_set) {
        ngx_del_timer(&flight->timer);
    }

    if (flight->answers != NULL) {
        ngx_destroy_pool(flight->answers);
    }

    ngx_rbtree_delete(&worker->flights, &flight->node.node);

    if (--worker->n == 0 && worker->tick.timer_set) {
        ngx_del_timer(&worker->tick);
    }

    ngx_destroy_pool(flight->pool);
}


void
ngx_zapier_run_heard(ngx_zapier_runs_t *runs, ngx_str_t *tenant,
    ngx_str_t *id)
{
    ngx_zapier_run_key_t      key;
    ngx_zapier_run_flight_t  *flight;

    ngx_zapier_run_key(runs, &key, tenant, id);

    flight = ngx_zapier_run_find(runs, &key);

    if (flight == NULL || flight->polling) {
        return;
    }

    if (flight->asking) {

        /* what Redis is about to say may be older */

        flight->heard = 1;
        return;
    }

    flight->ask.handler = ngx_zapier_run_asked_handler;
    flight->ask.data = flight;

    if (ngx_zapier_run_ask(runs, &flight->ask, tenant, id, flight->owner,
                           flight->interval, 0)
        == NGX_AGAIN)
    {
        flight->asking = 1;

        if (flight->timer.timer_set) {
            ngx_del_timer(&flight->timer);
        }
    }
}


/* What another worker has found out is looked up at once. */

static void
ngx_zapier_run_tick(ngx_event_t *ev)
{
    uint32_t                  hashes[NGX_ZAPIER_RUN_RING];
    ngx_uint_t                n;
    ngx_rbtree_node_t        *node;
    ngx_zapier_run_worker_t  *worker;

    worker = ev->data;

    ngx_add_timer(ev, NGX_ZAPIER_RUN_TICK);

    if (ngx_zapier_run_news(worker->runs, &worker->seq, hashes, &n)
        != NGX_OK)
    {
        for (node = ngx_rbtree_min(worker->flights.root, &worker->sentinel);
             node != NULL;
             node = ngx_rbtree_next(&worker->flights, node))
        {
            ngx_zapier_run_wake(node);
        }

        return;
    }

    while (n-- > 0) {
        node = worker->flights.root;

        while (node != &worker->sentinel && node->key != hashes[n]) {
            node = (hashes[n] < node->key) ? node->left : node->right;
        }

        if (node != &worker->sentinel) {
            ngx_zapier_run_wake(node);
        }
    }
}


static void
ngx_zapier_run_wake(ngx_rbtree_node_t *node)
{
    ngx_zapier_run_flight_t  *flight;

    flight = ngx_rbtree_data(node, ngx_zapier_run_flight_t, node.node);

    if (flight->timer.timer_set) {
        ngx_zapier_run_arm(flight, 0);
    }
}
