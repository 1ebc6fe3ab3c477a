
/*
 * The name of the server becomes addresses before each connect.  The
 * addresses from configuration time, or from the last answer, serve while
 * the name server does not.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_link.h>


static void ngx_zapier_redis_resolve_handler(ngx_resolver_ctx_t *ctx);
static void ngx_zapier_redis_resolve_answer(ngx_zapier_redis_link_t *link,
    ngx_resolver_ctx_t *ctx);


ngx_int_t
ngx_zapier_redis_resolve(ngx_zapier_redis_link_t *link)
{
    ngx_resolver_ctx_t  *ctx;
    ngx_zapier_redis_t  *redis;

    redis = link->redis;

    if (!redis->dynamic) {
        return redis->naddrs ? NGX_OK : NGX_ERROR;
    }

    ctx = ngx_resolve_start(redis->conf.resolver, NULL);

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        return redis->naddrs ? NGX_OK : NGX_ERROR;
    }

    ctx->name = redis->host;
    ctx->handler = ngx_zapier_redis_resolve_handler;
    ctx->data = link;
    ctx->timeout = ngx_min(redis->conf.timeout, redis->conf.resolver_timeout);

    /* must not keep a worker from exiting */

    ctx->cancelable = 1;

    link->resolve = ctx;

    if (ngx_resolve_name(ctx) != NGX_OK) {

        /* it has freed ctx */

        link->resolve = NULL;
    }

    if (link->resolve) {
        return NGX_AGAIN;
    }

    return redis->naddrs ? NGX_OK : NGX_ERROR;
}


void
ngx_zapier_redis_resolve_cancel(ngx_zapier_redis_link_t *link)
{
    if (link->resolve) {
        ngx_resolve_name_done(link->resolve);
        link->resolve = NULL;
    }
}


/* Also called from inside ngx_resolve_name(), when the name is cached. */

static void
ngx_zapier_redis_resolve_handler(ngx_resolver_ctx_t *ctx)
{
    ngx_uint_t                async;
    ngx_zapier_redis_link_t  *link;

    link = ctx->data;
    async = ctx->async;

    ngx_zapier_redis_resolve_answer(link, ctx);

    link->resolve = NULL;
    ngx_resolve_name_done(ctx);

    if (!async) {
        return;
    }

    if (link->redis->naddrs == 0) {
        ngx_zapier_redis_link_fail(link);
        return;
    }

    ngx_zapier_redis_link_resolved(link);
}


static void
ngx_zapier_redis_resolve_answer(ngx_zapier_redis_link_t *link,
    ngx_resolver_ctx_t *ctx)
{
    ngx_uint_t           i;
    ngx_zapier_redis_t  *redis;

    redis = link->redis;

    if (ctx->state) {
        ngx_log_error(NGX_LOG_ERR, &link->log, 0,
                      "%V could not be resolved (%i: %s)%s",
                      &ctx->name, ctx->state,
                      ngx_resolver_strerror(ctx->state),
                      redis->naddrs ? ", trying the previous address" : "");
        return;
    }

    redis->naddrs = 0;
    redis->addr = 0;

    for (i = 0; i < ctx->naddrs; i++) {
        if (ngx_zapier_redis_add_addr(redis, ctx->addrs[i].sockaddr,
                                      ctx->addrs[i].socklen)
            != NGX_OK)
        {
            break;
        }
    }
}
