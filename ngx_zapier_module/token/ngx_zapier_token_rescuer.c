
/*
 * Writing pairs again: those whose worker has died before Redis had them,
 * and, whenever the watch was lost and came back, those of the last minutes
 * if Redis has lost them.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_scripts.h>
#include <ngx_zapier_tenant.h>
#include <ngx_zapier_token_rescue.h>


/* pairs that are written at the same time */
#define NGX_ZAPIER_RESCUER_JOBS  16


typedef struct {
    ngx_zapier_token_worker_t  *worker;
    ngx_pool_t                 *pool;
    ngx_queue_t                 queue;
    ngx_zapier_token_key_t      key;
    ngx_zapier_token_pair_t     pair;
    ngx_str_t                   args[NGX_ZAPIER_PAIR_ARGS];
    ngx_zapier_redis_eval_t     eval;
} ngx_zapier_rescuer_job_t;


static ngx_int_t ngx_zapier_rescuer_start(ngx_zapier_token_worker_t *worker,
    uint64_t since);
static ngx_int_t ngx_zapier_rescuer_write(ngx_zapier_rescuer_job_t *job);
static void ngx_zapier_rescuer_written(ngx_zapier_redis_eval_t *eval);


ngx_zapier_redis_script_t  ngx_zapier_token_rotate =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_TOKEN_ROTATE);


void
ngx_zapier_token_rescuer_run(ngx_zapier_token_worker_t *worker,
    uint64_t since)
{
    while (worker->rescuing < NGX_ZAPIER_RESCUER_JOBS
           && ngx_zapier_rescuer_start(worker, since) == NGX_OK)
    {
        /* void */
    }
}


void
ngx_zapier_token_rescuer_done(ngx_zapier_token_worker_t *worker)
{
    ngx_queue_t               *q;
    ngx_zapier_rescuer_job_t  *job;

    while (!ngx_queue_empty(&worker->rescues)) {

        q = ngx_queue_head(&worker->rescues);
        ngx_queue_remove(q);

        job = ngx_queue_data(q, ngx_zapier_rescuer_job_t, queue);

        ngx_zapier_redis_eval_cancel(&job->eval);

        ngx_zapier_token_rescue_done(worker->tokens, &job->key, job->pair.id,
                                     0);
        ngx_destroy_pool(job->pool);
    }

    worker->rescuing = 0;
}


/* NGX_OK: there may be more to do. */

static ngx_int_t
ngx_zapier_rescuer_start(ngx_zapier_token_worker_t *worker, uint64_t since)
{
    ngx_pool_t                *pool;
    ngx_msec_t                 ms;
    ngx_zapier_tokens_t       *tokens;
    ngx_zapier_rescuer_job_t  *job;

    tokens = worker->tokens;

    pool = ngx_create_pool(NGX_MIN_POOL_SIZE + sizeof(*job), ngx_cycle->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    job = ngx_pcalloc(pool, sizeof(ngx_zapier_rescuer_job_t));
    if (job == NULL) {
        goto failed;
    }

    job->worker = worker;
    job->pool = pool;

    ms = 2 * tokens->redis_timeout + 1000;

    if (ngx_zapier_token_rescue_next(tokens, since, ms, pool, &job->key,
                                     &job->pair)
        != NGX_OK)
    {
        goto failed;
    }

    if (ngx_zapier_rescuer_write(job) != NGX_OK) {
        ngx_zapier_token_rescue_done(tokens, &job->key, job->pair.id, 0);
        goto failed;
    }

    ngx_queue_insert_tail(&worker->rescues, &job->queue);
    worker->rescuing++;

    return NGX_OK;

failed:

    ngx_destroy_pool(pool);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_zapier_rescuer_write(ngx_zapier_rescuer_job_t *job)
{
    u_char               *p;
    ngx_str_t             lock;
    ngx_uint_t            i;
    ngx_zapier_tokens_t  *tokens;

    static const char  *kinds[] = { "token", "lock" };

    tokens = job->worker->tokens;

    for (i = 0; i < NGX_ZAPIER_PAIR_KEYS; i++) {

        p = ngx_pnalloc(job->pool, ngx_zapier_key_len(&tokens->prefix,
                                                      kinds[i],
                                                      &job->key.tenant));
        if (p == NULL) {
            return NGX_ERROR;
        }

        job->args[i].data = p;
        job->args[i].len = ngx_zapier_key(p, &tokens->prefix, kinds[i],
                                          &job->key.tenant)
                           - p;
    }

    /* without the lock: what the record must hold guards it as well */

    ngx_str_null(&lock);

    ngx_zapier_token_pair_args(&job->pair, &lock,
                               &job->args[NGX_ZAPIER_PAIR_KEYS]);

    job->eval.handler = ngx_zapier_rescuer_written;
    job->eval.data = job;

    return ngx_zapier_redis_eval(tokens->redis, &job->eval,
                                 &ngx_zapier_token_rotate,
                                 NGX_ZAPIER_PAIR_KEYS, NGX_ZAPIER_PAIR_ARGS,
                                 job->args)
           == NGX_AGAIN ? NGX_OK : NGX_ERROR;
}


static void
ngx_zapier_rescuer_written(ngx_zapier_redis_eval_t *eval)
{
    ngx_uint_t                  known;
    ngx_zapier_rescuer_job_t   *job;
    ngx_zapier_token_state_t   *state;
    ngx_zapier_redis_reply_t   *reply;
    ngx_zapier_token_worker_t  *worker;

    job = eval->data;
    worker = job->worker;
    reply = eval->reply;

    known = eval->status == NGX_OK && reply->type == NGX_ZAPIER_REDIS_INTEGER;

    if (known && reply->integer == NGX_ZAPIER_PAIR_WRITTEN) {
        ngx_zapier_token_rescued(worker->tokens, &job->key.tenant);

    } else if (eval->status == NGX_OK && !known) {
        ngx_zapier_token_complain(worker, &reply->str);
    }

    ngx_zapier_token_rescue_done(worker->tokens, &job->key, job->pair.id,
                                 known);

    ngx_queue_remove(&job->queue);
    worker->rescuing--;

    ngx_destroy_pool(job->pool);

    if (known && worker->watching) {
        state = ngx_zapier_shm_data(&worker->tokens->table);
        ngx_zapier_token_rescuer_run(worker, state->since);
    }
}


void
ngx_zapier_token_rescued(ngx_zapier_tokens_t *tokens, ngx_str_t *tenant)
{
    ngx_zapier_token_count(tokens, refresh_rescued);

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "the token of tenant \"%V\", which Redis had lost or never "
                  "got, is written again", tenant);
}
