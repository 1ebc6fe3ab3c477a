
/*
 * Refreshing a token: one flight per tenant in a worker, with memory of its
 * own, that outlives any request waiting for it.
 *
 * A lease in shared memory makes it the only one of this node, a lock in
 * Redis the only one of all nodes.  Who holds the lock has read the record
 * again under it.  The refresh token dies by being used: from the call on
 * nothing ends a flight but the call's outcome.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_tenant.h>
#include <ngx_zapier_token_refresh.h>


/* ms between looks at what another worker, or another node, does */
#define NGX_ZAPIER_REFRESH_POLL      10
#define NGX_ZAPIER_REFRESH_POLL_MAX  200

/* longest that other nodes are waited for when Redis has come back, ms */
#define NGX_ZAPIER_REFRESH_SETTLE    4000


static ngx_zapier_token_refresh_t *ngx_zapier_token_refresh_find(
    ngx_zapier_token_worker_t *worker, ngx_zapier_token_key_t *key);
static ngx_zapier_token_refresh_t *ngx_zapier_token_refresh_create(
    ngx_zapier_token_worker_t *worker, ngx_zapier_token_key_t *key,
    ngx_zapier_token_op_t *op, ngx_zapier_token_value_t *value);
static ngx_int_t ngx_zapier_token_refresh_names(
    ngx_zapier_token_worker_t *worker, ngx_zapier_token_refresh_t *refresh);
static ngx_int_t ngx_zapier_token_refresh_step(
    ngx_zapier_token_refresh_t *refresh);
static void ngx_zapier_token_refresh_wait(
    ngx_zapier_token_refresh_t *refresh, ngx_zapier_token_op_t *op);
static void ngx_zapier_token_refresh_timer(ngx_event_t *ev);
static void ngx_zapier_token_refresh_overdue(ngx_event_t *ev);
static void ngx_zapier_token_refresh_destroy(
    ngx_zapier_token_refresh_t *refresh);


void
ngx_zapier_token_refresh_ahead(ngx_zapier_token_worker_t *worker,
    ngx_zapier_token_key_t *key, ngx_zapier_token_op_t *op,
    ngx_zapier_token_value_t *value)
{
    ngx_zapier_token_refresh_t  *refresh;

    if (ngx_zapier_token_lease_taken(worker->tokens, key)
        || ngx_zapier_token_refresh_find(worker, key))
    {
        return;
    }

    refresh = ngx_zapier_token_refresh_create(worker, key, op, value);
    if (refresh == NULL) {
        return;
    }

    refresh->due = ngx_zapier_token_margin(worker->tokens, key);

    if (ngx_zapier_token_refresh_step(refresh) != NGX_AGAIN) {
        ngx_zapier_token_refresh_destroy(refresh);
        return;
    }

    ngx_rbtree_insert(&worker->refreshes, &refresh->node.node);
}


ngx_int_t
ngx_zapier_token_refresh_join(ngx_zapier_token_worker_t *worker,
    ngx_zapier_token_key_t *key, ngx_zapier_token_op_t *op,
    ngx_zapier_token_value_t *value)
{
    ngx_zapier_token_refresh_t  *refresh;

    refresh = ngx_zapier_token_refresh_find(worker, key);

    if (refresh == NULL) {

        refresh = ngx_zapier_token_refresh_create(worker, key, op, value);
        if (refresh == NULL) {
            return NGX_ERROR;
        }

        refresh->patient = 1;

        if (op->force || value->refused) {
            refresh->force = op->force;
            refresh->due = -1;
        }

        if (ngx_zapier_token_refresh_step(refresh) != NGX_AGAIN) {
            ngx_zapier_token_value_zero(value);
            *value = refresh->value;
            ngx_zapier_token_refresh_destroy(refresh);
            return NGX_OK;
        }

        ngx_rbtree_insert(&worker->refreshes, &refresh->node.node);
    }

    ngx_zapier_token_refresh_wait(refresh, op);

    return NGX_AGAIN;
}


void
ngx_zapier_token_refreshes_destroy(ngx_zapier_token_worker_t *worker)
{
    ngx_queue_t                 *q;
    ngx_rbtree_node_t           *node;
    ngx_zapier_token_op_t       *op;
    ngx_zapier_token_refresh_t  *refresh;

    while (worker->refreshes.root != &worker->sentinel) {

        node = worker->refreshes.root;
        refresh = ngx_rbtree_data(node, ngx_zapier_token_refresh_t, node.node);

        while (!ngx_queue_empty(&refresh->waiters)) {
            q = ngx_queue_head(&refresh->waiters);
            ngx_queue_remove(q);

            op = ngx_queue_data(q, ngx_zapier_token_op_t, queue);
            op->flight = NULL;
        }

        ngx_rbtree_delete(&worker->refreshes, node);
        ngx_zapier_token_refresh_destroy(refresh);
    }
}


static ngx_zapier_token_refresh_t *
ngx_zapier_token_refresh_find(ngx_zapier_token_worker_t *worker,
    ngx_zapier_token_key_t *key)
{
    ngx_str_node_t  *node;

    node = ngx_str_rbtree_lookup(&worker->refreshes, &key->tenant, key->hash);

    if (node == NULL) {
        return NULL;
    }

    return ngx_rbtree_data(&node->node, ngx_zapier_token_refresh_t, node.node);
}


static ngx_zapier_token_refresh_t *
ngx_zapier_token_refresh_create(ngx_zapier_token_worker_t *worker,
    ngx_zapier_token_key_t *key, ngx_zapier_token_op_t *op,
    ngx_zapier_token_value_t *value)
{
    ngx_pool_t                  *pool;
    ngx_zapier_token_refresh_t  *refresh;

    pool = ngx_create_pool(NGX_MIN_POOL_SIZE + sizeof(*refresh),
                           ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    refresh = ngx_pcalloc(pool, sizeof(ngx_zapier_token_refresh_t));
    if (refresh == NULL) {
        goto failed;
    }

    refresh->tokens = worker->tokens;
    refresh->pool = pool;
    refresh->fd = (ngx_socket_t) -1;
    refresh->origin = op->origin;
    refresh->delay = NGX_ZAPIER_REFRESH_POLL;
    refresh->started = ngx_zapier_clock();
    refresh->mint = ngx_zapier_token_minted(&key->tenant);
    refresh->mint_scope = op->mint_scope;

    if (value->refused) {
        refresh->refused = ngx_crc32_long(value->data,
                                          value->authorization_len);
    }

    refresh->id = (uint64_t) ngx_pid << 32 | ++worker->sequence;
    refresh->key.hash = key->hash;
    refresh->key.tenant.len = key->tenant.len;
    refresh->key.tenant.data = ngx_pstrdup(pool, &key->tenant);

    if (refresh->key.tenant.data == NULL
        || ngx_zapier_token_refresh_names(worker, refresh) != NGX_OK)
    {
        goto failed;
    }

    refresh->node.node.key = key->hash;
    refresh->node.str = refresh->key.tenant;

    ngx_queue_init(&refresh->waiters);

    refresh->timer.handler = ngx_zapier_token_refresh_timer;
    refresh->timer.data = refresh;
    refresh->timer.log = ngx_cycle->log;

    refresh->overdue = refresh->timer;
    refresh->overdue.handler = ngx_zapier_token_refresh_overdue;

    return refresh;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


/* The keys, and an owner that no other process ever has. */

static ngx_int_t
ngx_zapier_token_refresh_names(ngx_zapier_token_worker_t *worker,
    ngx_zapier_token_refresh_t *refresh)
{
    u_char      *p;
    ngx_str_t   *prefix, *tenant;
    ngx_uint_t   i;

    static const char  *kinds[] = { "token", "lock" };

    prefix = &worker->tokens->prefix;
    tenant = &refresh->key.tenant;

    for (i = 0; i < NGX_ZAPIER_REFRESH_KEYS; i++) {

        p = ngx_pnalloc(refresh->pool,
                        ngx_zapier_key_len(prefix, kinds[i], tenant));
        if (p == NULL) {
            return NGX_ERROR;
        }

        refresh->keys[i].data = p;
        refresh->keys[i].len = ngx_zapier_key(p, prefix, kinds[i], tenant) - p;
    }

    p = ngx_pnalloc(refresh->pool, 2 * sizeof(worker->name) + 1
                                   + NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    refresh->owner.data = p;

    p = ngx_hex_dump(p, worker->name, sizeof(worker->name));
    p = ngx_sprintf(p, ".%uL", refresh->id);

    refresh->owner.len = p - refresh->owner.data;

    return NGX_OK;
}


/* NGX_OK: refresh->value is the result; NGX_AGAIN: it will come. */

static ngx_int_t
ngx_zapier_token_refresh_step(ngx_zapier_token_refresh_t *refresh)
{
    /* what Redis says may be older than what another node knows */

    if (!refresh->force
        && ngx_zapier_clock() - refresh->started < NGX_ZAPIER_REFRESH_SETTLE
        && ngx_zapier_token_watch_unsettled(refresh->tokens))
    {
        return ngx_zapier_token_refresh_poll(refresh);
    }

    switch (ngx_zapier_token_lease_claim(refresh->tokens, &refresh->key,
                                         refresh->id, NGX_ZAPIER_REFRESH_LOCK,
                                         &refresh->value))
    {

    case NGX_OK:
        break;

    case NGX_BUSY:
        return ngx_zapier_token_refresh_poll(refresh);

    default: /* NGX_DECLINED: there is a pause */

        if (!refresh->force) {
            return NGX_OK;
        }
    }

    return ngx_zapier_token_refresh_lock(refresh);
}


ngx_int_t
ngx_zapier_token_refresh_poll(ngx_zapier_token_refresh_t *refresh)
{
    if (!refresh->patient) {
        return NGX_OK;
    }

    ngx_add_timer(&refresh->timer, refresh->delay);

    refresh->delay = ngx_min(refresh->delay * 2, NGX_ZAPIER_REFRESH_POLL_MAX);

    return NGX_AGAIN;
}


static void
ngx_zapier_token_refresh_timer(ngx_event_t *ev)
{
    ngx_zapier_token_refresh_t  *refresh;

    refresh = ev->data;

    if (refresh->resume) {
        refresh->resume(refresh);
        return;
    }

    if (ngx_queue_empty(&refresh->waiters)) {
        refresh->patient = 0;
    }

    if (!refresh->force
        && ngx_zapier_token_rescue_get(refresh->tokens, &refresh->key,
                                       &refresh->value)
           == NGX_OK)
    {
        ngx_zapier_token_refresh_end(refresh);
        return;
    }

    if (ngx_zapier_token_refresh_step(refresh) != NGX_AGAIN) {
        ngx_zapier_token_refresh_end(refresh);
    }
}


static void
ngx_zapier_token_refresh_wait(ngx_zapier_token_refresh_t *refresh,
    ngx_zapier_token_op_t *op)
{
    ngx_msec_t  timeout;

    timeout = refresh->tokens->oauth->timeout;

    refresh->patient = 1;

    op->flight = refresh;
    op->deadline = ngx_zapier_clock() + timeout;

    if (op->started == 0) {
        op->started = ngx_zapier_clock();
    }

    ngx_queue_insert_tail(&refresh->waiters, &op->queue);

    if (!refresh->overdue.timer_set) {
        ngx_add_timer(&refresh->overdue, timeout);
    }
}


/* The call goes on, whoever asks next finds its outcome. */

static void
ngx_zapier_token_refresh_overdue(ngx_event_t *ev)
{
    uint64_t                     now;
    ngx_queue_t                 *q, overdue;
    ngx_zapier_token_op_t       *op;
    ngx_zapier_token_value_t     value;
    ngx_zapier_token_refresh_t  *refresh;

    refresh = ev->data;
    now = ngx_zapier_clock();

    ngx_queue_init(&overdue);

    while (!ngx_queue_empty(&refresh->waiters)) {

        q = ngx_queue_head(&refresh->waiters);
        op = ngx_queue_data(q, ngx_zapier_token_op_t, queue);

        if (op->deadline > now) {
            ngx_add_timer(ev, (ngx_msec_t) (op->deadline - now));
            break;
        }

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&overdue, q);
    }

    /* handlers may do anything, the refresh is not looked at any more */

    ngx_memzero(&value, offsetof(ngx_zapier_token_value_t, data));

    value.result = NGX_ZAPIER_TOKEN_EXPIRED;
    value.retry = 1000;

    while (!ngx_queue_empty(&overdue)) {

        q = ngx_queue_head(&overdue);
        ngx_queue_remove(q);

        op = ngx_queue_data(q, ngx_zapier_token_op_t, queue);
        op->flight = NULL;

        (void) ngx_zapier_token_fill(op, &value);

        op->handler(op);
    }
}


void
ngx_zapier_token_refresh_end(ngx_zapier_token_refresh_t *refresh)
{
    ngx_zapier_token_worker_t  *worker;

    worker = refresh->tokens->worker;

    ngx_zapier_token_refresh_stop(refresh);

    if (refresh->rounds) {

        /* what was read under the lock is newer than what is cached */

        ngx_zapier_token_cache_drop(refresh->tokens, &refresh->key.tenant);
    }

    ngx_zapier_token_lease_release(refresh->tokens, &refresh->key, refresh->id,
                                   &refresh->value);

    /* found by nobody any more: handlers may look up and cancel at will */

    ngx_rbtree_delete(&worker->refreshes, &refresh->node.node);

    ngx_zapier_token_refresh_tell(refresh);
    ngx_zapier_token_refresh_destroy(refresh);
}


void
ngx_zapier_token_refresh_tell(ngx_zapier_token_refresh_t *refresh)
{
    ngx_queue_t            *q;
    ngx_zapier_token_op_t  *op;

    while (!ngx_queue_empty(&refresh->waiters)) {

        q = ngx_queue_head(&refresh->waiters);
        ngx_queue_remove(q);

        op = ngx_queue_data(q, ngx_zapier_token_op_t, queue);
        op->flight = NULL;

        if (ngx_zapier_token_fill(op, &refresh->value) != NGX_OK) {
            op->result = NGX_ZAPIER_TOKEN_UNAVAILABLE;
            op->source = NGX_ZAPIER_TOKEN_NONE;
        }

        op->handler(op);
    }
}


static void
ngx_zapier_token_refresh_destroy(ngx_zapier_token_refresh_t *refresh)
{
    ngx_zapier_token_refresh_stop(refresh);

    if (refresh->overdue.timer_set) {
        ngx_del_timer(&refresh->overdue);
    }

    if (refresh->rescued) {
        ngx_zapier_token_rescue_hold(refresh->tokens, &refresh->key,
                                     refresh->id, 0);
    }

    ngx_zapier_token_value_zero(&refresh->value);

    ngx_destroy_pool(refresh->pool);
}
