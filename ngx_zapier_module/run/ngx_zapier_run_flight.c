
/*
 * Flights: one in a worker for each run that somebody waits for.  What one
 * does to find out stands in ngx_zapier_run_poll.c.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_zapier_run_private.h>


static ngx_zapier_run_flight_t *ngx_zapier_run_create(
    ngx_zapier_run_wait_t *wait, ngx_zapier_run_key_t *key);
static void ngx_zapier_run_begin(ngx_zapier_run_flight_t *flight,
    ngx_zapier_run_wait_t *wait);
static void ngx_zapier_run_join(ngx_zapier_run_flight_t *flight,
    ngx_zapier_run_wait_t *wait);
static void ngx_zapier_run_late(ngx_event_t *ev);
static void ngx_zapier_run_timer(ngx_event_t *ev);
static void ngx_zapier_run_collect(ngx_zapier_run_flight_t *flight,
    ngx_queue_t *queue, ngx_uint_t all);
static ngx_uint_t ngx_zapier_run_lonely(ngx_zapier_run_flight_t *flight);
static void ngx_zapier_run_give(ngx_zapier_run_flight_t *flight,
    ngx_zapier_run_wait_t *wait, ngx_zapier_run_state_e state,
    ngx_str_t *body);
static void ngx_zapier_run_leave(ngx_zapier_run_wait_t *wait);
static void ngx_zapier_run_release(ngx_zapier_run_flight_t *flight);
static void ngx_zapier_run_idle(ngx_zapier_run_flight_t *flight);


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
    ngx_queue_t              *q, all;
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

        ngx_zapier_run_collect(flight, &all, 1);

        while (!ngx_queue_empty(&all)) {
            q = ngx_queue_head(&all);
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
    u_char                    text[NGX_ZAPIER_RUN_KEY_LEN];
    ngx_int_t                 rc;
    ngx_zapier_run_key_t      key;
    ngx_zapier_run_flight_t  *flight;

    ngx_zapier_run_key(wait->runs, &key, text, &wait->tenant, &wait->id);

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


ngx_zapier_run_flight_t *
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

    flight = ngx_pcalloc(pool, sizeof(ngx_zapier_run_flight_t) + key->len);
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

    flight->key.data = (u_char *) (flight + 1);
    flight->key.len = key->len;
    flight->key.hash = key->hash;

    ngx_memcpy(flight->key.data, key->data, key->len);

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

    flight->patience = (wait->callback.len != 0) ? wait->patience : 0;

    ngx_queue_init(&flight->waiters);
    ngx_queue_init(&flight->askers);

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

    if (wait->callback.len == 0
        || ngx_zapier_run_announce(flight, &wait->callback, delay)
           != NGX_AGAIN)
    {
        ngx_zapier_run_rest(flight, delay);
    }
}


static void
ngx_zapier_run_join(ngx_zapier_run_flight_t *flight,
    ngx_zapier_run_wait_t *wait)
{
    ngx_msec_t  until;

    wait->flight = flight;

    ngx_memzero(&wait->event, sizeof(ngx_event_t));

    if (wait->time == 0) {
        ngx_queue_insert_tail(&flight->askers, &wait->queue);

        /* whoever polls, or is about to, answers this one too */

        if (flight->timer.timer_set) {
            ngx_zapier_run_arm(flight, 0);
        }

        return;
    }

    ngx_queue_insert_tail(&flight->waiters, &wait->queue);

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

    /* others may leave because of what this one does */

    flight->ending = 1;
    ngx_zapier_run_give(flight, wait, NGX_ZAPIER_RUN_PENDING, NULL);
    flight->ending = 0;

    ngx_zapier_run_release(flight);
}


void
ngx_zapier_run_arm(ngx_zapier_run_flight_t *flight, uint64_t delay)
{
    delay = ngx_min(delay, NGX_ZAPIER_RUN_DELAY_MAX);
    delay = ngx_max(delay, 1);

    /* without the margin of ngx_add_timer(), which keeps what is sooner */

    if (flight->timer.timer_set) {
        ngx_del_timer(&flight->timer);
    }

    ngx_add_timer(&flight->timer, (ngx_msec_t) delay);

    flight->due = flight->timer.timer.key;
}


void
ngx_zapier_run_rest(ngx_zapier_run_flight_t *flight, uint64_t delay)
{
    ngx_zapier_run_idle(flight);
    ngx_zapier_run_arm(flight, delay);
}


/* Questions and answers, those of one step at a time. */

ngx_int_t
ngx_zapier_run_memory(ngx_zapier_run_flight_t *flight)
{
    if (flight->answers == NULL) {
        flight->answers = ngx_create_pool(1024, ngx_cycle->log);
    }

    if (flight->answers == NULL) {
        ngx_zapier_run_arm(flight, NGX_ZAPIER_RUN_PUT_OFF);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_zapier_run_idle(ngx_zapier_run_flight_t *flight)
{
    if (flight->answers != NULL) {
        ngx_destroy_pool(flight->answers);
        flight->answers = NULL;
        flight->ask = NULL;
    }
}


static void
ngx_zapier_run_timer(ngx_event_t *ev)
{
    ngx_msec_int_t            left;
    ngx_zapier_run_flight_t  *flight;

    flight = ev->data;

    left = (ngx_msec_int_t) (flight->due - ngx_current_msec);

    if (!flight->polling && left <= 0) {
        ngx_zapier_run_step(flight);
        return;
    }

    if (ngx_zapier_run_look(flight) || flight->polling) {
        return;
    }

    ngx_zapier_run_rest(flight, left);
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

    ngx_zapier_run_collect(flight, &told, all);

    while (!ngx_queue_empty(&told)) {
        q = ngx_queue_head(&told);
        wait = ngx_queue_data(q, ngx_zapier_run_wait_t, queue);

        ngx_zapier_run_leave(wait);
        ngx_zapier_run_give(flight, wait, state, body);
    }

    flight->ending = 0;

    if (flight->polling) {

        /* its answer comes to where this one lies */

        return;
    }

    ngx_zapier_run_idle(flight);

    if (all && !ngx_zapier_run_lonely(flight)) {

        /* somebody has come meanwhile, for whom there was no room */

        ngx_zapier_run_arm(flight, NGX_ZAPIER_RUN_TICK);
    }

    ngx_zapier_run_release(flight);
}


static void
ngx_zapier_run_collect(ngx_zapier_run_flight_t *flight, ngx_queue_t *queue,
    ngx_uint_t all)
{
    ngx_queue_init(queue);

    if (!ngx_queue_empty(&flight->askers)) {
        ngx_queue_add(queue, &flight->askers);
        ngx_queue_init(&flight->askers);
    }

    if (all && !ngx_queue_empty(&flight->waiters)) {
        ngx_queue_add(queue, &flight->waiters);
        ngx_queue_init(&flight->waiters);
    }
}


/* Does nobody wait for it? */

static ngx_uint_t
ngx_zapier_run_lonely(ngx_zapier_run_flight_t *flight)
{
    return ngx_queue_empty(&flight->waiters)
           && ngx_queue_empty(&flight->askers);
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
        || !ngx_zapier_run_lonely(flight))
    {
        return;
    }

    worker = flight->runs->worker;

    if (flight->asking) {
        ngx_zapier_run_ask_cancel(flight->ask);

        /* nobody asks: who comes next may at once */

        ngx_zapier_run_pending(flight->runs, &flight->key, flight->owner, 0,
                               NULL);
    }

    if (flight->timer.timer_set) {
        ngx_del_timer(&flight->timer);
    }

    ngx_zapier_run_idle(flight);

    ngx_rbtree_delete(&worker->flights, &flight->node.node);

    if (--worker->n == 0 && worker->tick.timer_set) {
        ngx_del_timer(&worker->tick);
    }

    ngx_destroy_pool(flight->pool);
}
