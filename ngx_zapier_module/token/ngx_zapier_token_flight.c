
/*
 * Reading records: one flight per tenant in a worker, with memory of its
 * own, that outlives any request waiting for it.
 *
 * Of the flights of several workers for one tenant, one asks Redis; the
 * others look into the cache until it has answered or its right lapsed.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_token_private.h>
#include <ngx_zapier_tenant.h>


/* ms a request may wait beyond the timeout of Redis */
#define NGX_ZAPIER_TOKEN_GRACE     50

/* ms after the timeout when a reader is taken for dead */
#define NGX_ZAPIER_TOKEN_LAPSE     20

/* ms between looks into the cache */
#define NGX_ZAPIER_TOKEN_POLL      2
#define NGX_ZAPIER_TOKEN_POLL_MAX  16


typedef struct {
    ngx_zapier_tokens_t        *tokens;
    ngx_pool_t                 *pool;
    void                       *unused;
    ngx_socket_t                fd;         /* see the worker's */

    ngx_str_node_t              node;       /* among the worker's flights */
    ngx_zapier_token_key_t      key;
    uint64_t                    id;
    uint64_t                    started;
    uint64_t                    requested;
    ngx_msec_t                  delay;
    ngx_queue_t                 waiters;
    ngx_event_t                 timer;
    ngx_zapier_redis_cmd_t      cmd;
    unsigned                    asking:1;
} ngx_zapier_token_flight_t;


static ngx_zapier_token_flight_t *ngx_zapier_token_flight_find(
    ngx_zapier_token_worker_t *worker, ngx_zapier_token_key_t *key);
static ngx_zapier_token_flight_t *ngx_zapier_token_flight_create(
    ngx_zapier_tokens_t *tokens, ngx_zapier_token_key_t *key);
static ngx_int_t ngx_zapier_token_flight_step(
    ngx_zapier_token_flight_t *flight, ngx_zapier_token_value_t *value);
static ngx_int_t ngx_zapier_token_flight_ask(
    ngx_zapier_token_flight_t *flight);
static void ngx_zapier_token_flight_timer(ngx_event_t *ev);
static void ngx_zapier_token_flight_reply(ngx_zapier_redis_cmd_t *cmd);
static void ngx_zapier_token_flight_fail(ngx_zapier_token_flight_t *flight,
    ngx_zapier_token_value_t *value);
static void ngx_zapier_token_flight_end(ngx_zapier_token_flight_t *flight,
    ngx_zapier_token_value_t *value);
static void ngx_zapier_token_flight_destroy(
    ngx_zapier_token_flight_t *flight);


ngx_int_t
ngx_zapier_token_flight_join(ngx_zapier_token_worker_t *worker,
    ngx_zapier_token_key_t *key, ngx_zapier_token_op_t *op,
    ngx_zapier_token_value_t *value)
{
    ngx_zapier_token_flight_t  *flight;

    flight = ngx_zapier_token_flight_find(worker, key);

    if (flight == NULL) {

        flight = ngx_zapier_token_flight_create(worker->tokens, key);
        if (flight == NULL) {
            return NGX_ERROR;
        }

        if (ngx_zapier_token_flight_step(flight, value) != NGX_AGAIN) {
            ngx_zapier_token_flight_destroy(flight);
            return NGX_OK;
        }

        ngx_rbtree_insert(&worker->flights, &flight->node.node);
    }

    op->flight = flight;
    op->started = ngx_zapier_clock();
    ngx_queue_insert_tail(&flight->waiters, &op->queue);

    return NGX_AGAIN;
}


void
ngx_zapier_token_flights_destroy(ngx_zapier_token_worker_t *worker)
{
    ngx_queue_t                *q;
    ngx_rbtree_node_t          *node;
    ngx_zapier_token_op_t      *op;
    ngx_zapier_token_flight_t  *flight;

    while (worker->flights.root != &worker->sentinel) {

        node = worker->flights.root;
        flight = ngx_rbtree_data(node, ngx_zapier_token_flight_t, node.node);

        while (!ngx_queue_empty(&flight->waiters)) {
            q = ngx_queue_head(&flight->waiters);
            ngx_queue_remove(q);

            op = ngx_queue_data(q, ngx_zapier_token_op_t, queue);
            op->flight = NULL;
        }

        ngx_rbtree_delete(&worker->flights, node);
        ngx_zapier_token_flight_destroy(flight);
    }
}


static ngx_zapier_token_flight_t *
ngx_zapier_token_flight_find(ngx_zapier_token_worker_t *worker,
    ngx_zapier_token_key_t *key)
{
    ngx_str_node_t  *node;

    node = ngx_str_rbtree_lookup(&worker->flights, &key->tenant, key->hash);

    if (node == NULL) {
        return NULL;
    }

    return ngx_rbtree_data(&node->node, ngx_zapier_token_flight_t, node.node);
}


static ngx_zapier_token_flight_t *
ngx_zapier_token_flight_create(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key)
{
    ngx_pool_t                 *pool;
    ngx_zapier_token_worker_t  *worker;
    ngx_zapier_token_flight_t  *flight;

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    flight = ngx_pcalloc(pool, sizeof(ngx_zapier_token_flight_t));
    if (flight == NULL) {
        goto failed;
    }

    flight->key.hash = key->hash;
    flight->key.tenant.len = key->tenant.len;
    flight->key.tenant.data = ngx_pstrdup(pool, &key->tenant);
    if (flight->key.tenant.data == NULL) {
        goto failed;
    }

    worker = tokens->worker;

    flight->tokens = tokens;
    flight->pool = pool;
    flight->fd = (ngx_socket_t) -1;

    flight->node.node.key = key->hash;
    flight->node.str = flight->key.tenant;

    flight->id = (uint64_t) ngx_pid << 32 | ++worker->sequence;
    flight->started = ngx_zapier_clock();
    flight->delay = NGX_ZAPIER_TOKEN_POLL;

    ngx_queue_init(&flight->waiters);

    flight->timer.handler = ngx_zapier_token_flight_timer;
    flight->timer.data = flight;
    flight->timer.log = ngx_cycle->log;

    return flight;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


/* NGX_OK: *value is the result; NGX_AGAIN: it will come. */

static ngx_int_t
ngx_zapier_token_flight_step(ngx_zapier_token_flight_t *flight,
    ngx_zapier_token_value_t *value)
{
    uint64_t              left, passed;
    ngx_int_t             rc;
    ngx_zapier_tokens_t  *tokens;

    tokens = flight->tokens;

    passed = ngx_zapier_clock() - flight->started;
    left = tokens->redis_timeout + NGX_ZAPIER_TOKEN_GRACE;

    if (passed >= left) {
        ngx_zapier_token_flight_fail(flight, value);
        return NGX_OK;
    }

    left -= passed;

    rc = ngx_zapier_token_cache_claim(tokens, &flight->key, flight->id,
                               tokens->redis_timeout + NGX_ZAPIER_TOKEN_LAPSE,
                               value);

    if (rc == NGX_OK) {
        value->source = ngx_queue_empty(&flight->waiters)
                        ? NGX_ZAPIER_TOKEN_HIT : NGX_ZAPIER_TOKEN_MISS;
        return NGX_OK;
    }

    if (rc == NGX_BUSY) {
        ngx_add_timer(&flight->timer, (ngx_msec_t) ngx_min(left,
                                                           flight->delay));

        flight->delay = ngx_min(flight->delay * 2, NGX_ZAPIER_TOKEN_POLL_MAX);

        return NGX_AGAIN;
    }

    /* a refusal costs nobody time, it is no reason not to try again soon */

    if (ngx_zapier_token_flight_ask(flight) != NGX_OK) {
        ngx_zapier_token_flight_fail(flight, value);
        return NGX_OK;
    }

    /* whoever comes after a dead reader has less time */

    if (left < tokens->redis_timeout) {
        ngx_add_timer(&flight->timer, (ngx_msec_t) left);
    }

    return NGX_AGAIN;
}


static ngx_int_t
ngx_zapier_token_flight_ask(ngx_zapier_token_flight_t *flight)
{
    ngx_str_t             argv[2 + NGX_ZAPIER_TOKEN_FIELDS];
    ngx_zapier_tokens_t  *tokens;

    tokens = flight->tokens;

    /* its answer comes first */

    ngx_zapier_token_clock_ask(tokens->worker);

    argv[1].data = ngx_pnalloc(flight->pool,
                               ngx_zapier_key_len(&tokens->prefix, "token",
                                                  &flight->key.tenant));
    if (argv[1].data == NULL) {
        return NGX_ERROR;
    }

    argv[1].len = ngx_zapier_key(argv[1].data, &tokens->prefix, "token",
                                 &flight->key.tenant)
                  - argv[1].data;

    ngx_str_set(&argv[0], "HMGET");
    ngx_memcpy(&argv[2], ngx_zapier_token_fields,
               sizeof(ngx_zapier_token_fields));

    flight->cmd.handler = ngx_zapier_token_flight_reply;
    flight->cmd.data = flight;
    flight->requested = ngx_zapier_clock();

    if (ngx_zapier_redis_start(tokens->redis, &flight->cmd,
                               2 + NGX_ZAPIER_TOKEN_FIELDS, argv)
        != NGX_AGAIN)
    {
        return NGX_ERROR;
    }

    flight->asking = 1;

    return NGX_OK;
}


static void
ngx_zapier_token_flight_timer(ngx_event_t *ev)
{
    ngx_zapier_token_value_t    value;
    ngx_zapier_token_flight_t  *flight;

    flight = ev->data;

    if (flight->asking) {
        ngx_zapier_token_flight_fail(flight, &value);

    } else if (ngx_zapier_token_flight_step(flight, &value) == NGX_AGAIN) {
        return;
    }

    ngx_zapier_token_flight_end(flight, &value);
}


static void
ngx_zapier_token_flight_reply(ngx_zapier_redis_cmd_t *cmd)
{
    ngx_zapier_tokens_t        *tokens;
    ngx_zapier_token_value_t    value;
    ngx_zapier_token_worker_t  *worker;
    ngx_zapier_token_flight_t  *flight;

    flight = cmd->data;
    flight->asking = 0;

    tokens = flight->tokens;
    worker = tokens->worker;

    if (cmd->status != NGX_OK) {
        worker->failed = ngx_zapier_clock();
        ngx_zapier_token_flight_fail(flight, &value);

    } else if (ngx_zapier_token_decode(worker, &flight->key.tenant,
                                       cmd->reply, &value)
               != NGX_OK)
    {
        ngx_zapier_token_flight_fail(flight, &value);

    } else {
        worker->failed = 0;
        worker->complaint = 0;
        value.strayed = cmd->strayed;

        ngx_zapier_token_cache_store(tokens, &flight->key, flight->id,
                                     flight->requested, &value);
    }

    ngx_zapier_token_flight_end(flight, &value);
}


/* Redis cannot be asked: a token from the cache, or none. */

static void
ngx_zapier_token_flight_fail(ngx_zapier_token_flight_t *flight,
    ngx_zapier_token_value_t *value)
{
    if (ngx_zapier_token_cache_release(flight->tokens, &flight->key,
                                       flight->id, value)
        == NGX_OK)
    {
        value->source = NGX_ZAPIER_TOKEN_STALE;
        return;
    }

    ngx_zapier_token_value_init(value);

    value->result = NGX_ZAPIER_TOKEN_UNAVAILABLE;
}


/*
 * Tells those who wait.  Their handlers may look up and cancel whatever
 * they like: the flight is found by nobody any more.
 */

static void
ngx_zapier_token_flight_end(ngx_zapier_token_flight_t *flight,
    ngx_zapier_token_value_t *value)
{
    ngx_int_t                   rc;
    ngx_queue_t                *q;
    ngx_zapier_token_op_t      *op;
    ngx_zapier_token_worker_t  *worker;

    worker = flight->tokens->worker;

    ngx_rbtree_delete(&worker->flights, &flight->node.node);

    while (!ngx_queue_empty(&flight->waiters)) {

        q = ngx_queue_head(&flight->waiters);
        ngx_queue_remove(q);

        op = ngx_queue_data(q, ngx_zapier_token_op_t, queue);
        op->flight = NULL;

        rc = ngx_zapier_token_settle(worker, &flight->key, op, value);

        if (rc == NGX_AGAIN) {
            continue;
        }

        if (rc == NGX_ERROR) {
            op->result = NGX_ZAPIER_TOKEN_UNAVAILABLE;
            op->source = NGX_ZAPIER_TOKEN_NONE;
        }

        op->handler(op);
    }

    ngx_zapier_token_value_zero(value);
    ngx_zapier_token_flight_destroy(flight);
}


static void
ngx_zapier_token_flight_destroy(ngx_zapier_token_flight_t *flight)
{
    if (flight->asking) {
        ngx_zapier_redis_cancel(&flight->cmd);
    }

    if (flight->timer.timer_set) {
        ngx_del_timer(&flight->timer);
    }

    ngx_destroy_pool(flight->pool);
}
