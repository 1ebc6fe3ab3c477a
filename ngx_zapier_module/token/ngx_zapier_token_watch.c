
/*
 * The watch over token records.
 *
 * One worker of the node holds it by a lease in shared memory, which every
 * proof of life renews, or the worker itself while it tries to connect.
 * The others look from time to time whether the lease has lapsed.
 * Whatever happens to the holder, values that are not covered any more are
 * read again, so nothing depends on a quick change of hands but the number
 * of reads.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_tenant.h>
#include <ngx_zapier_token_rescue.h>


/* ms between looks at the lease, and between proofs of life */
#define NGX_ZAPIER_TOKEN_TICK     250

/* ms that a proof of life is good for */
#define NGX_ZAPIER_TOKEN_LEASE    1000

/* ms to bring the watch up before another worker may try */
#define NGX_ZAPIER_TOKEN_ATTEMPT  60000

/* ms after Redis has come back in which other nodes notice it as well, and
 * after an attempt to reach it in which there will be another */
#define NGX_ZAPIER_TOKEN_CALM     2000
#define NGX_ZAPIER_TOKEN_LOST     3000


static void ngx_zapier_token_watch_timer(ngx_event_t *ev);
static ngx_int_t ngx_zapier_token_watch_take(
    ngx_zapier_token_worker_t *worker);
static void ngx_zapier_token_watch_stop(ngx_zapier_token_worker_t *worker);
static ngx_zapier_token_state_t *ngx_zapier_token_watch_state(
    ngx_zapier_token_worker_t *worker);
static void ngx_zapier_token_watch_up(ngx_zapier_redis_watch_t *watch);
static void ngx_zapier_token_watch_change(ngx_zapier_redis_watch_t *watch,
    ngx_str_t *key);
static void ngx_zapier_token_watch_alive(ngx_zapier_redis_watch_t *watch,
    uint64_t sent);
static void ngx_zapier_token_watch_down(ngx_zapier_redis_watch_t *watch);


ngx_int_t
ngx_zapier_token_watch_init(ngx_zapier_token_worker_t *worker)
{
    u_char                    *p;
    ngx_str_t                 *prefix;
    ngx_zapier_redis_watch_t  *watch;

    prefix = &worker->tokens->prefix;
    watch = &worker->watch;

    p = ngx_pnalloc(worker->cycle->pool, prefix->len + sizeof("token:{") - 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    watch->prefix.data = p;

    p = ngx_cpymem(p, prefix->data, prefix->len);
    p = ngx_cpymem(p, "token:{", sizeof("token:{") - 1);

    watch->prefix.len = p - watch->prefix.data;

    watch->interval = NGX_ZAPIER_TOKEN_TICK;
    watch->data = worker;
    watch->up = ngx_zapier_token_watch_up;
    watch->change = ngx_zapier_token_watch_change;
    watch->alive = ngx_zapier_token_watch_alive;
    watch->down = ngx_zapier_token_watch_down;

    worker->timer.handler = ngx_zapier_token_watch_timer;
    worker->timer.data = worker;
    worker->timer.log = worker->cycle->log;
    worker->timer.cancelable = 1;

    ngx_add_timer(&worker->timer, 1);

    return NGX_OK;
}


/* Lets another worker take over. */

void
ngx_zapier_token_watch_done(ngx_zapier_token_worker_t *worker)
{
    ngx_zapier_token_state_t  *state;

    ngx_zapier_token_watch_stop(worker);

    if (worker->timer.timer_set) {
        ngx_del_timer(&worker->timer);
    }

    ngx_zapier_shm_lock(worker->tokens->shm);

    state = ngx_zapier_token_watch_state(worker);

    if (state) {
        state->since = 0;
        state->pid = 0;
    }

    ngx_zapier_shm_unlock(worker->tokens->shm);
}


static void
ngx_zapier_token_watch_timer(ngx_event_t *ev)
{
    ngx_zapier_token_state_t   *state;
    ngx_zapier_token_worker_t  *worker;

    worker = ev->data;

    /* a worker that only finishes its requests must not hold the watch */

    if (ngx_exiting) {
        ngx_zapier_token_watch_done(worker);
        return;
    }

    switch (ngx_zapier_token_watch_take(worker)) {

    case NGX_OK:
        break;

    case NGX_DONE:

        /* an old link has missed what went before */
        ngx_zapier_token_watch_stop(worker);

        if (ngx_zapier_redis_watch_start(worker->tokens->redis,
                                         &worker->watch)
            == NGX_OK)
        {
            worker->watching = 1;
        }

        break;

    default: /* NGX_DECLINED */
        ngx_zapier_token_watch_stop(worker);
        break;
    }

    if (worker->watching) {
        state = ngx_zapier_shm_data(&worker->tokens->table);
        ngx_zapier_token_rescuer_run(worker, state->since);
    }

    ngx_add_timer(ev, NGX_ZAPIER_TOKEN_TICK);
}


/* NGX_OK: held, NGX_DONE: taken just now, NGX_DECLINED: another holds it. */

static ngx_int_t
ngx_zapier_token_watch_take(ngx_zapier_token_worker_t *worker)
{
    uint64_t                   now;
    ngx_int_t                  rc;
    ngx_zapier_token_state_t  *state;

    rc = NGX_DECLINED;
    now = ngx_zapier_clock();

    ngx_zapier_shm_lock(worker->tokens->shm);

    state = ngx_zapier_shm_data(&worker->tokens->table);

    if (worker->watching && ngx_zapier_token_watch_state(worker)) {
        rc = NGX_OK;

        if (state->since == 0
            && now - worker->taken < NGX_ZAPIER_TOKEN_ATTEMPT)
        {
            state->lease = now + NGX_ZAPIER_TOKEN_LEASE;
        }

    } else if (state->pid == 0
               || state->lease <= now
               || state->signature != worker->tokens->signature)
    {
        state->since = 0;
        state->pid = (uint32_t) ngx_pid;
        state->signature = worker->tokens->signature;
        state->lease = now + NGX_ZAPIER_TOKEN_LEASE;
        worker->taken = now;
        rc = NGX_DONE;
    }

    ngx_zapier_shm_unlock(worker->tokens->shm);

    return rc;
}


static void
ngx_zapier_token_watch_stop(ngx_zapier_token_worker_t *worker)
{
    if (worker->watching) {
        ngx_zapier_redis_watch_stop(&worker->watch);
        worker->watching = 0;
    }
}


/* NULL: this worker does not hold the watch.  Under the mutex. */

static ngx_zapier_token_state_t *
ngx_zapier_token_watch_state(ngx_zapier_token_worker_t *worker)
{
    ngx_zapier_token_state_t  *state;

    state = ngx_zapier_shm_data(&worker->tokens->table);

    if (state->pid != (uint32_t) ngx_pid
        || state->signature != worker->tokens->signature)
    {
        return NULL;
    }

    return state;
}


static void
ngx_zapier_token_watch_up(ngx_zapier_redis_watch_t *watch)
{
    uint64_t                    now;
    ngx_zapier_token_state_t   *state;
    ngx_zapier_token_worker_t  *worker;

    worker = watch->data;
    now = ngx_zapier_clock();
    worker->taken = now;

    ngx_zapier_shm_lock(worker->tokens->shm);

    state = ngx_zapier_token_watch_state(worker);

    if (state) {
        state->confirmed = now;
        state->since = now;
        state->lease = now + NGX_ZAPIER_TOKEN_LEASE;

        if (state->lost) {
            state->calm = now + NGX_ZAPIER_TOKEN_CALM;
            state->lost = 0;
        }
    }

    ngx_zapier_shm_unlock(worker->tokens->shm);

    /* the sooner, the fewer other nodes find an old record */

    ngx_zapier_token_rescuer_run(worker, now);
}


static void
ngx_zapier_token_watch_change(ngx_zapier_redis_watch_t *watch, ngx_str_t *key)
{
    ngx_str_t                   tenant;
    ngx_zapier_token_worker_t  *worker;

    worker = watch->data;

    if (key == NULL) {
        ngx_zapier_token_cache_drop(worker->tokens, NULL);
        return;
    }

    if (ngx_zapier_key_tenant(key, &worker->tokens->prefix, "token", &tenant)
        == NGX_OK)
    {
        ngx_zapier_token_cache_drop(worker->tokens, &tenant);
        ngx_zapier_token_rescue_changed(worker->tokens, &tenant);
    }
}


static void
ngx_zapier_token_watch_alive(ngx_zapier_redis_watch_t *watch, uint64_t sent)
{
    ngx_zapier_token_state_t   *state;
    ngx_zapier_token_worker_t  *worker;

    worker = watch->data;

    ngx_zapier_shm_lock(worker->tokens->shm);

    state = ngx_zapier_token_watch_state(worker);

    if (state) {

        if (state->confirmed < sent) {
            state->confirmed = sent;
        }

        state->lease = ngx_zapier_clock() + NGX_ZAPIER_TOKEN_LEASE;
    }

    ngx_zapier_shm_unlock(worker->tokens->shm);
}


static void
ngx_zapier_token_watch_down(ngx_zapier_redis_watch_t *watch)
{
    ngx_zapier_token_state_t   *state;
    ngx_zapier_token_worker_t  *worker;

    worker = watch->data;

    ngx_zapier_shm_lock(worker->tokens->shm);

    state = ngx_zapier_token_watch_state(worker);

    if (state) {

        if (state->since || state->lost) {
            state->lost = ngx_zapier_clock();
        }

        state->since = 0;
    }

    ngx_zapier_shm_unlock(worker->tokens->shm);
}


ngx_uint_t
ngx_zapier_token_watch_unsettled(ngx_zapier_tokens_t *tokens)
{
    uint64_t                   now, gone;
    ngx_uint_t                 unsettled;
    ngx_zapier_token_state_t  *state;

    now = ngx_zapier_clock();

    /* the worker that watches may not have noticed yet */

    gone = ngx_zapier_redis_gone(tokens->redis);

    if (gone != 0 && now - gone < NGX_ZAPIER_TOKEN_CALM) {
        return 1;
    }

    ngx_zapier_shm_lock(tokens->shm);

    state = ngx_zapier_shm_data(&tokens->table);

    unsettled = state->calm > now
                || (state->lost
                    && now - state->lost < NGX_ZAPIER_TOKEN_LOST);

    ngx_zapier_shm_unlock(tokens->shm);

    return unsettled;
}
