
/*
 * The upstream's public keys, as a location tells them.
 *
 * Keys are changed by publishing the new one before it is used, so a set
 * that is an hour old is good while a newer one is on its way.  A token with
 * a key that is not known is a reason to ask, but not for anybody to make us
 * ask all the time.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_callback.h>


/* s after which keys are asked for again, and after which they are void */
#define NGX_HTTP_ZAPIER_KEYS_FRESH  3600
#define NGX_HTTP_ZAPIER_KEYS_STALE  86400

/* s between two questions: with keys, and without */
#define NGX_HTTP_ZAPIER_KEYS_PAUSE  10
#define NGX_HTTP_ZAPIER_KEYS_AGAIN  2


typedef struct {
    ngx_zapier_oauth_t         endpoint;   /* for its URI */
    ngx_zapier_oauth_call_t    call;
    ngx_queue_t                waiting;
    ngx_pool_t                *pool;       /* NULL: there are no keys */
    ngx_zapier_jwks_t          set;
    time_t                     fetched;
    time_t                     tried;      /* 0: never */
    ngx_uint_t                 fetching;
} ngx_http_zapier_keys_t;


static ngx_uint_t ngx_http_zapier_keys_fetch(ngx_str_t *uri,
    ngx_http_conf_ctx_t *origin);
static void ngx_http_zapier_keys_fetched(ngx_zapier_oauth_call_t *call);
static void ngx_http_zapier_keys_take(ngx_zapier_oauth_call_t *call);


static ngx_http_zapier_keys_t  ngx_http_zapier_keys_worker;


ngx_int_t
ngx_http_zapier_keys(ngx_http_zapier_keys_wait_t *wait, ngx_str_t *uri,
    ngx_http_conf_ctx_t *origin, ngx_uint_t newer,
    const ngx_zapier_jwks_t **set)
{
    time_t                   age;
    ngx_http_zapier_keys_t  *keys;

    keys = &ngx_http_zapier_keys_worker;

    if (keys->waiting.next == NULL) {
        ngx_queue_init(&keys->waiting);
    }

    age = ngx_time() - keys->fetched;

    if (keys->pool != NULL && age < NGX_HTTP_ZAPIER_KEYS_STALE && !newer) {

        if (age >= NGX_HTTP_ZAPIER_KEYS_FRESH) {
            (void) ngx_http_zapier_keys_fetch(uri, origin);
        }

        *set = &keys->set;

        return NGX_OK;
    }

    if (!ngx_http_zapier_keys_fetch(uri, origin)) {
        return NGX_DECLINED;
    }

    wait->waiting = 1;

    ngx_queue_insert_tail(&keys->waiting, &wait->queue);

    return NGX_AGAIN;
}


/* Returns 1 if keys are on their way. */

static ngx_uint_t
ngx_http_zapier_keys_fetch(ngx_str_t *uri, ngx_http_conf_ctx_t *origin)
{
    time_t                   pause;
    ngx_http_zapier_keys_t  *keys;

    keys = &ngx_http_zapier_keys_worker;

    if (keys->fetching) {
        return 1;
    }

    pause = keys->pool ? NGX_HTTP_ZAPIER_KEYS_PAUSE
                       : NGX_HTTP_ZAPIER_KEYS_AGAIN;

    if (keys->tried != 0 && ngx_time() - keys->tried < pause) {
        return 0;
    }

    keys->tried = ngx_time();

    ngx_memzero(&keys->call, sizeof(ngx_zapier_oauth_call_t));

    keys->endpoint.data = uri;
    keys->call.origin = origin;
    keys->call.handler = ngx_http_zapier_keys_fetched;
    keys->call.data = keys;

    if (ngx_http_zapier_oauth_call(&keys->endpoint, &keys->call)
        != NGX_AGAIN)
    {
        return 0;
    }

    keys->fetching = 1;

    return 1;
}


static void
ngx_http_zapier_keys_fetched(ngx_zapier_oauth_call_t *call)
{
    ngx_queue_t                   waiting, *q;
    ngx_http_zapier_keys_t       *keys;
    ngx_http_zapier_keys_wait_t  *wait;

    keys = call->data;
    keys->fetching = 0;

    ngx_http_zapier_keys_take(call);

    /* a handler may end any request, hence each stays in a queue until then */

    ngx_queue_init(&waiting);

    if (!ngx_queue_empty(&keys->waiting)) {
        ngx_queue_add(&waiting, &keys->waiting);
        ngx_queue_init(&keys->waiting);
    }

    while (!ngx_queue_empty(&waiting)) {
        q = ngx_queue_head(&waiting);
        wait = ngx_queue_data(q, ngx_http_zapier_keys_wait_t, queue);

        ngx_queue_remove(q);
        wait->waiting = 0;

        wait->handler(wait->data);
    }
}


static void
ngx_http_zapier_keys_take(ngx_zapier_oauth_call_t *call)
{
    ngx_pool_t              *pool;
    const char              *fault;
    ngx_zapier_jwks_t        set;
    ngx_http_zapier_keys_t  *keys;

    keys = call->data;

    if (call->status != NGX_HTTP_OK) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "the keys for callbacks could not be got from \"%V\": "
                      "status %ui", keys->endpoint.data, call->status);
        return;
    }

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        return;
    }

    if (ngx_zapier_jwks_parse(&set, pool, &call->answer, &fault) != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "the answer of \"%V\", which should be a set of keys, "
                      "%s", keys->endpoint.data, fault);
        ngx_destroy_pool(pool);
        return;
    }

    if (keys->pool != NULL) {
        ngx_destroy_pool(keys->pool);
    }

    keys->pool = pool;
    keys->set = set;
    keys->fetched = ngx_time();
}


void
ngx_http_zapier_keys_cancel(ngx_http_zapier_keys_wait_t *wait)
{
    if (wait->waiting) {
        wait->waiting = 0;
        ngx_queue_remove(&wait->queue);
    }
}


void
ngx_http_zapier_keys_exit_worker(void)
{
    ngx_http_zapier_keys_t  *keys;

    keys = &ngx_http_zapier_keys_worker;

    if (keys->pool != NULL) {
        ngx_destroy_pool(keys->pool);
        keys->pool = NULL;
    }
}
