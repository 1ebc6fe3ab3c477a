
/*
 * Callbacks about runs, see ngx_zapier_run_callback.h.
 *
 *     callback() -> token -> result -> handler
 *
 * Two calls, for in a Cluster their keys are on different servers.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_scripts.h>
#include <ngx_zapier_run_callback.h>
#include <ngx_zapier_run_private.h>


static void ngx_zapier_run_callback_seen(ngx_zapier_redis_eval_t *eval);
static ngx_int_t ngx_zapier_run_callback_store(
    ngx_zapier_run_callback_t *callback);
static void ngx_zapier_run_callback_stored(ngx_zapier_redis_eval_t *eval);
static ngx_int_t ngx_zapier_run_callback_reply(
    ngx_zapier_redis_eval_t *eval);
static void ngx_zapier_run_callback_end(ngx_zapier_run_callback_t *callback,
    ngx_int_t rc);


static ngx_zapier_redis_script_t  ngx_zapier_run_token_script =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_RUN_TOKEN);

static ngx_zapier_redis_script_t  ngx_zapier_run_callback_script =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_RUN_CALLBACK);


ngx_int_t
ngx_zapier_run_callback(ngx_zapier_run_callback_t *callback)
{
    u_char              *p;
    ngx_str_t            argv[3];
    ngx_zapier_runs_t   *runs;

    runs = callback->runs;

    p = ngx_pnalloc(callback->pool,
                    runs->prefix.len + sizeof("callback:{}")
                    + callback->digest.len + NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    argv[0].data = p;
    p = ngx_zapier_key(p, &runs->prefix, "callback", &callback->digest);
    argv[0].len = p - argv[0].data;

    argv[1] = callback->name;

    (void) ngx_zapier_run_number(p, NGX_ZAPIER_CALLBACK_TOKEN, &argv[2]);

    callback->eval.handler = ngx_zapier_run_callback_seen;
    callback->eval.data = callback;

    if (ngx_zapier_redis_eval(runs->redis, &callback->eval,
                              &ngx_zapier_run_token_script, 1, 3, argv)
        != NGX_AGAIN)
    {
        return NGX_ERROR;
    }

    callback->busy = 1;

    return NGX_AGAIN;
}


void
ngx_zapier_run_callback_cancel(ngx_zapier_run_callback_t *callback)
{
    if (callback->busy) {
        callback->busy = 0;
        ngx_zapier_redis_eval_cancel(&callback->eval);
    }
}


static void
ngx_zapier_run_callback_seen(ngx_zapier_redis_eval_t *eval)
{
    ngx_int_t                   rc;
    ngx_zapier_run_callback_t  *callback;

    callback = eval->data;

    rc = ngx_zapier_run_callback_reply(eval);

    if (rc == NGX_OK) {
        rc = ngx_zapier_run_callback_store(callback);

        if (rc == NGX_AGAIN) {
            return;
        }
    }

    ngx_zapier_run_callback_end(callback, rc);
}


static ngx_int_t
ngx_zapier_run_callback_store(ngx_zapier_run_callback_t *callback)
{
    u_char              *p;
    ngx_str_t            argv[9];
    ngx_zapier_runs_t   *runs;

    runs = callback->runs;

    p = ngx_pnalloc(callback->pool,
                    3 * NGX_ZAPIER_RUN_STORE_KEY(runs) + 2 * NGX_INT64_LEN
                    + NGX_ZAPIER_RUN_KEY_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p = ngx_zapier_run_keys(runs, p, &callback->tenant, &callback->id, argv);
    p = ngx_zapier_run_callback_key(p, runs, &callback->tenant,
                                    &callback->name, &argv[2]);

    argv[3] = callback->id;
    p = ngx_zapier_run_number(p, NGX_ZAPIER_CALLBACK_TIME, &argv[4]);
    argv[5] = callback->body;
    p = ngx_zapier_run_number(p, callback->keep, &argv[6]);
    argv[7] = *ngx_zapier_run_news_channel(runs);

    argv[8].data = p;
    p = ngx_cpymem(p, callback->tenant.data, callback->tenant.len);
    *p++ = ' ';
    p = ngx_cpymem(p, callback->id.data, callback->id.len);
    argv[8].len = p - argv[8].data;

    callback->eval.handler = ngx_zapier_run_callback_stored;

    return ngx_zapier_redis_eval(runs->redis, &callback->eval,
                                 &ngx_zapier_run_callback_script, 3, 9, argv);
}


/* In Redis it is the first result that counts, and so it is here. */

static void
ngx_zapier_run_callback_stored(ngx_zapier_redis_eval_t *eval)
{
    u_char                      text[NGX_ZAPIER_RUN_KEY_LEN];
    ngx_int_t                   rc;
    ngx_zapier_run_key_t        key;
    ngx_zapier_run_callback_t  *callback;

    callback = eval->data;

    rc = ngx_zapier_run_callback_reply(eval);

    if (rc == NGX_OK) {
        ngx_zapier_run_key(callback->runs, &key, text, &callback->tenant,
                           &callback->id);
        ngx_zapier_run_finished(callback->runs, &key, callback->keep,
                                &callback->body);
        ngx_zapier_run_wake(callback->runs, &key);
    }

    ngx_zapier_run_callback_end(callback, rc);
}


static ngx_int_t
ngx_zapier_run_callback_reply(ngx_zapier_redis_eval_t *eval)
{
    if (eval->status != NGX_OK) {
        return NGX_ERROR;
    }

    if (eval->reply->type != NGX_ZAPIER_REDIS_INTEGER) {
        ngx_zapier_redis_complain(NGX_LOG_ERR, "take a callback",
                                  eval->reply);
        return NGX_ERROR;
    }

    return eval->reply->integer ? NGX_OK : NGX_DECLINED;
}


static void
ngx_zapier_run_callback_end(ngx_zapier_run_callback_t *callback,
    ngx_int_t rc)
{
    callback->busy = 0;
    callback->rc = rc;

    callback->handler(callback);
}
