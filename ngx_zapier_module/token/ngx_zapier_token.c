
/*
 * Looking a token up: in the cache, or by a flight to Redis.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_token_rescue.h>
#include <ngx_zapier_wipe.h>


/* ms after a failed read when nobody waits who has a token to go on with */
#define NGX_ZAPIER_TOKEN_SPARE     250


static ngx_int_t ngx_zapier_token_name(u_char *name, size_t len);
static void ngx_zapier_token_zero(void *data);


ngx_int_t
ngx_zapier_tokens_init_worker(ngx_zapier_tokens_t *tokens, ngx_cycle_t *cycle)
{
    ngx_zapier_token_worker_t  *worker;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    worker = ngx_pcalloc(cycle->pool, sizeof(ngx_zapier_token_worker_t));
    if (worker == NULL) {
        return NGX_ERROR;
    }

    worker->tokens = tokens;
    worker->cycle = cycle;
    worker->fd = (ngx_socket_t) -1;

    if (ngx_zapier_token_name(worker->name, sizeof(worker->name)) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "reading \"/dev/urandom\" failed");
        return NGX_ERROR;
    }

    ngx_rbtree_init(&worker->flights, &worker->sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_rbtree_init(&worker->refreshes, &worker->sentinel,
                    ngx_str_rbtree_insert_value);

    ngx_queue_init(&worker->rescues);

    if (tokens->keyring) {
        ngx_zapier_keyring_init_worker(tokens->keyring);
    }

    if (ngx_zapier_token_watch_init(worker) != NGX_OK) {
        return NGX_ERROR;
    }

    tokens->worker = worker;

    return NGX_OK;
}


void
ngx_zapier_tokens_exit_worker(ngx_zapier_tokens_t *tokens)
{
    ngx_zapier_token_worker_t  *worker;

    worker = tokens->worker;

    if (worker == NULL) {
        return;
    }

    ngx_zapier_token_watch_done(worker);
    ngx_zapier_token_flights_destroy(worker);
    ngx_zapier_token_refreshes_destroy(worker);
    ngx_zapier_token_rescuer_done(worker);
    ngx_zapier_token_clock_done(worker);

    tokens->worker = NULL;
}


ngx_int_t
ngx_zapier_token_start(ngx_zapier_tokens_t *tokens, ngx_zapier_token_op_t *op)
{
    ngx_int_t                   rc;
    ngx_zapier_token_key_t      key;
    ngx_zapier_token_value_t    value;
    ngx_zapier_token_worker_t  *worker;

    op->flight = NULL;
    op->started = 0;

    op->source = NGX_ZAPIER_TOKEN_NONE;
    ngx_str_null(&op->authorization);
    op->expires = 0;
    ngx_str_null(&op->scope);
    op->redis_time = -1;
    op->retry_after = 0;

    ngx_zapier_token_value_init(&value);

    if (op->hash == 0) {
        op->hash = ngx_zapier_shm_hash(tokens->shm, op->tenant.data,
                                       op->tenant.len);
    }

    key.tenant = op->tenant;
    key.hash = op->hash;

    rc = ngx_zapier_token_cache_get(tokens, &key, &value);

    if (rc == NGX_OK) {
        value.source = NGX_ZAPIER_TOKEN_HIT;
        goto done;
    }

    worker = tokens->worker;

    if (rc == NGX_AGAIN
        && worker->failed
        && ngx_zapier_clock() - worker->failed < NGX_ZAPIER_TOKEN_SPARE)
    {
        value.source = NGX_ZAPIER_TOKEN_STALE;
        goto done;
    }

    ngx_zapier_token_value_zero(&value);

    rc = ngx_zapier_token_flight_join(worker, &key, op, &value);

    if (rc != NGX_OK) {
        goto failed;
    }

done:

    rc = ngx_zapier_token_settle(tokens->worker, &key, op, &value);

failed:

    ngx_zapier_token_value_zero(&value);

    return rc;
}


void
ngx_zapier_token_cancel(ngx_zapier_token_op_t *op)
{
    /* the flight goes on: what it reads will be asked for again */

    if (op->flight) {
        ngx_queue_remove(&op->queue);
        op->flight = NULL;
    }
}


ngx_int_t
ngx_zapier_token_has_scope(ngx_str_t *scope, ngx_str_t *name)
{
    if (scope->data == NULL) {
        return NGX_OK;
    }

    return ngx_zapier_record_has_scope(scope, name);
}


ngx_int_t
ngx_zapier_token_settle(ngx_zapier_token_worker_t *worker,
    ngx_zapier_token_key_t *key, ngx_zapier_token_op_t *op,
    ngx_zapier_token_value_t *value)
{
    ngx_int_t             rc;
    ngx_uint_t            now;
    ngx_zapier_tokens_t  *tokens;

    tokens = worker->tokens;

    if (tokens->oauth == NULL) {
        return ngx_zapier_token_fill(op, value);
    }

    if ((value->result != NGX_ZAPIER_TOKEN_OK
         || value->source == NGX_ZAPIER_TOKEN_STALE
         || value->refused)
        && !op->force
        && ngx_zapier_token_rescue_get(tokens, key, value) == NGX_OK)
    {
        return ngx_zapier_token_fill(op, value);
    }

    now = value->refreshable
          && (value->result == NGX_ZAPIER_TOKEN_EXPIRED
              || (value->result == NGX_ZAPIER_TOKEN_OK
                  && (value->refused || op->force)));

    if (now
        || (value->result == NGX_ZAPIER_TOKEN_MISSING
            && ngx_zapier_token_minted(&key->tenant)))
    {
        rc = ngx_zapier_token_refresh_join(worker, key, op, value);

        if (rc != NGX_OK) {
            return rc;
        }

    } else if (value->refreshable
               && value->expires != 0
               && value->result == NGX_ZAPIER_TOKEN_OK
               && value->expires - ngx_zapier_token_now(tokens)
                  <= ngx_zapier_token_margin(tokens, key))
    {
        ngx_zapier_token_refresh_ahead(worker, key, op, value);
    }

    return ngx_zapier_token_fill(op, value);
}


ngx_int_t
ngx_zapier_token_fill(ngx_zapier_token_op_t *op,
    ngx_zapier_token_value_t *value)
{
    ngx_str_t           *secret;
    ngx_pool_cleanup_t  *cln;

    op->result = value->result;
    op->source = value->source;
    op->expires = (time_t) value->expires;
    op->retry_after = (time_t) ((value->retry + 999) / 1000);

    if (op->started) {
        op->redis_time = (ngx_int_t) (ngx_zapier_clock() - op->started);
    }

    if (value->result != NGX_ZAPIER_TOKEN_OK) {
        op->source = NGX_ZAPIER_TOKEN_NONE;
        return NGX_OK;
    }

    cln = ngx_pool_cleanup_add(op->pool, sizeof(ngx_str_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    secret = cln->data;

    secret->len = value->authorization_len;
    secret->data = ngx_pnalloc(op->pool,
                               value->authorization_len + value->scope_len);
    if (secret->data == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_zapier_token_zero;

    ngx_memcpy(secret->data, value->data,
               value->authorization_len + value->scope_len);

    op->authorization = *secret;

    if (value->scope_len) {
        op->scope.len = value->scope_len;
        op->scope.data = secret->data + secret->len;
    }

    return NGX_OK;
}


ngx_int_t
ngx_zapier_token_keep(ngx_pool_t *pool, ngx_str_t *text, ngx_str_t *copy)
{
    ngx_str_null(copy);

    if (text->len == 0) {
        return NGX_OK;
    }

    copy->data = ngx_zapier_oauth_alloc(pool, text->len);
    if (copy->data == NULL) {
        return NGX_ERROR;
    }

    copy->len = text->len;
    ngx_memcpy(copy->data, text->data, text->len);

    return NGX_OK;
}


/* What no other worker of any node has. */

static ngx_int_t
ngx_zapier_token_name(u_char *name, size_t len)
{
    ssize_t   n;
    ngx_fd_t  fd;

    fd = ngx_open_file((u_char *) "/dev/urandom", NGX_FILE_RDONLY,
                       NGX_FILE_OPEN, 0);
    if (fd == NGX_INVALID_FILE) {
        return NGX_ERROR;
    }

    n = ngx_read_fd(fd, name, len);

    (void) ngx_close_file(fd);

    return (n == (ssize_t) len) ? NGX_OK : NGX_ERROR;
}


static void
ngx_zapier_token_zero(void *data)
{
    ngx_str_t  *secret = data;

    ngx_zapier_wipe(secret->data, secret->len);
}
