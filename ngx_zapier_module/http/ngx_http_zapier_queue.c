
/*
 * zapier_queue: a request that there is no quota for waits for it, as long
 * as the location and the caller's Prefer: wait=N (RFC 7240) let it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_bulk.h>
#include <ngx_http_zapier_directive.h>
#include <ngx_http_zapier_queue.h>
#include <ngx_http_zapier_run.h>
#include <ngx_zapier_wipe.h>


#define NGX_HTTP_ZAPIER_QUEUE_TIME_MAX  3600000
#define NGX_HTTP_ZAPIER_QUEUE_MAX       1000000


static char *ngx_http_zapier_queue_parameter(ngx_conf_t *cf,
    ngx_str_t *value, ngx_http_zapier_queue_conf_t *queue);
static void ngx_http_zapier_queue_prefer(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_msec_t *time);
static void ngx_http_zapier_queue_handler(ngx_zapier_limit_waiter_t *waiter);
static ngx_uint_t ngx_http_zapier_queue_weight(ngx_http_request_t *r,
    ngx_http_complex_value_t *cv);


char *
ngx_http_zapier_queue(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_loc_conf_t *zlcf = conf;

    uint32_t                       time;
    ngx_str_t                     *value;
    ngx_uint_t                     i;
    ngx_http_zapier_queue_conf_t  *queue;

    if (zlcf->queue != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        zlcf->queue = NULL;

        return (cf->args->nelts == 2)
               ? NGX_CONF_OK
               : ngx_http_zapier_invalid(cf, &value[2],
                                         "\"off\" stands alone");
    }

    if (ngx_http_zapier_time(&value[1], NGX_HTTP_ZAPIER_QUEUE_TIME_MAX, &time)
        != NGX_OK)
    {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "\"off\" or a time from 1ms to 1h is "
                                       "needed");
    }

    queue = ngx_pcalloc(cf->pool, sizeof(ngx_http_zapier_queue_conf_t));
    if (queue == NULL) {
        return NGX_CONF_ERROR;
    }

    queue->time = time;
    queue->room.max = NGX_HTTP_ZAPIER_QUEUE_ROOM;

    for (i = 2; i < cf->args->nelts; i++) {
        if (ngx_http_zapier_queue_parameter(cf, &value[i], queue)
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    zlcf->queue = queue;

    ngx_http_zapier_mention(cf, &zlcf->needs_tenant);

    return NGX_CONF_OK;
}


static char *
ngx_http_zapier_queue_parameter(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_zapier_queue_conf_t *queue)
{
    ngx_int_t  n;
    ngx_str_t  rest;

    if (ngx_http_zapier_prefix(value, "max=", &rest)) {
        n = ngx_atoi(rest.data, rest.len);

        if (n >= 1 && n <= NGX_HTTP_ZAPIER_QUEUE_MAX) {
            queue->room.max = n;
            return NGX_CONF_OK;
        }

        return ngx_http_zapier_invalid(cf, value,
                                       "a number from 1 to 1000000 is needed");
    }

    if (ngx_http_zapier_prefix(value, "weight=", &rest) && rest.len != 0) {
        return ngx_http_zapier_complex(cf, &rest, &queue->weight);
    }

    return ngx_http_zapier_invalid(cf, value,
                                   "\"max=\" or \"weight=\" is needed");
}


ngx_int_t
ngx_http_zapier_queue_start(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_msec_t                     time;
    ngx_msec_int_t                 left;
    ngx_zapier_limit_waiter_t     *waiter;
    ngx_http_zapier_main_conf_t   *zmcf;
    ngx_http_zapier_queue_conf_t  *queue;

    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    queue = ngx_http_zapier_queue_of(r, ctx);

    time = ngx_http_zapier_queue_time(r, ctx);

    if (time == 0) {
        return ngx_zapier_limit_start(&zmcf->limits, &ctx->claim);
    }

    waiter = ctx->waiter;

    if (waiter == NULL) {
        waiter = ngx_pcalloc(r->pool, sizeof(ngx_zapier_limit_waiter_t));
        if (waiter == NULL) {
            return NGX_ERROR;
        }

        ctx->waiter = waiter;
        ctx->queue_until = ngx_current_msec + time;
    }

    /* a second call of the request has what the first one has left */

    left = (ngx_msec_int_t) (ctx->queue_until - ngx_current_msec);

    waiter->limits = &zmcf->limits;
    waiter->claim = &ctx->claim;
    waiter->room = &queue->room;
    waiter->party = ctx->tenant;
    waiter->weight = ngx_http_zapier_queue_weight(r, queue->weight);
    waiter->time = (ngx_msec_t) ngx_max(left, 1);
    waiter->handler = ngx_http_zapier_queue_handler;
    waiter->data = ctx;

    return ngx_zapier_limit_queue(waiter);
}


ngx_http_zapier_queue_conf_t *
ngx_http_zapier_queue_of(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_http_zapier_loc_conf_t  *zlcf;

    zlcf = ngx_zapier_unlikely(ctx->poll != NULL)
           ? ngx_http_zapier_poll_counted(ctx)
           : ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    return zlcf->queue;
}


ngx_msec_t
ngx_http_zapier_queue_time(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_msec_t                     time;
    ngx_http_zapier_queue_conf_t  *queue;

    queue = ngx_http_zapier_queue_of(r, ctx);

    if (queue == NULL || ctx->dry) {
        return 0;
    }

    if (ctx->poll != NULL) {
        return ngx_http_zapier_poll_patience(ctx);
    }

    time = queue->time;

    ngx_http_zapier_queue_prefer(r, ctx, &time);

    return ngx_http_zapier_bulk_left(ctx, time);
}


/* The caller can only make it shorter. */

static void
ngx_http_zapier_queue_prefer(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_msec_t *time)
{
    ngx_zapier_prefer_t  prefer;

    ngx_http_zapier_prefer(r, &prefer);

    if (prefer.wait == -1) {
        return;
    }

    *time = ngx_min(*time, (ngx_msec_t) prefer.wait * 1000);

    ctx->preferred = 1;
    ctx->preferred_wait = *time / 1000;
}


/* A token that was good before may have expired or changed meanwhile. */

static void
ngx_http_zapier_queue_handler(ngx_zapier_limit_waiter_t *waiter)
{
    ngx_http_zapier_ctx_t *ctx = waiter->data;

    ctx->state = NGX_HTTP_ZAPIER_LIMIT_DONE;

    if (waiter->waited != 0) {
        ctx->queued = 1;

        if (ctx->claim.verdict == NGX_ZAPIER_LIMIT_PASSED) {
            ctx->claimed = 1;
            ctx->state = NGX_HTTP_ZAPIER_TOKEN;

            ngx_zapier_wipe(ctx->token.authorization.data,
                            ctx->token.authorization.len);
        }
    }

    ngx_http_zapier_resume(ctx->request);
}


static ngx_uint_t
ngx_http_zapier_queue_weight(ngx_http_request_t *r,
    ngx_http_complex_value_t *cv)
{
    ngx_int_t  n;
    ngx_str_t  value;

    if (cv == NULL || ngx_http_complex_value(r, cv, &value) != NGX_OK) {
        return 1;
    }

    n = ngx_atoi(value.data, value.len);

    if (n < 1 || n > NGX_ZAPIER_LIMIT_QUEUE_WEIGHT) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "invalid weight \"%V\" for zapier_queue, 1 is taken",
                      &value);
        return 1;
    }

    return n;
}


ngx_int_t
ngx_http_zapier_queue_headers(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_str_t  value;

    if (!ctx->preferred) {
        return NGX_OK;
    }

    value.data = ngx_pnalloc(r->pool, sizeof("wait=") + NGX_INT_T_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "wait=%ui", ctx->preferred_wait)
                - value.data;

    return ngx_http_zapier_add_header(r, "Preference-Applied", &value);
}
