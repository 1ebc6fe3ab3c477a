
/*
 * zapier_action_map: what has to be found out about an action while its
 * request waits.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_action.h>
#include <ngx_http_zapier_bulk.h>
#include <ngx_http_zapier_managed.h>
#include <ngx_zapier_wipe.h>


static ngx_int_t ngx_http_zapier_action_wait(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static void ngx_http_zapier_action_handler(ngx_zapier_lookup_t *lookup);
static ngx_int_t ngx_http_zapier_action_known(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static ngx_int_t ngx_http_zapier_action_entry_known(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static ngx_int_t ngx_http_zapier_action_described(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_str_t *text);
static ngx_int_t ngx_http_zapier_action_id_known(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static ngx_int_t ngx_http_zapier_action_failed(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static ngx_int_t ngx_http_zapier_action_limited(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static ngx_int_t ngx_http_zapier_action_unknown(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static ngx_int_t ngx_http_zapier_action_refuse(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_uint_t status, const char *code,
    const char *detail);


ngx_int_t
ngx_http_zapier_action_entry(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_zapier_lookup_t       *lookup;
    ngx_http_zapier_naming_t  *naming;

    naming = ctx->naming;

    if (naming->action != NULL) {
        return NGX_OK;
    }

    lookup = &naming->lookup;

    lookup->name = naming->name;
    lookup->cache = naming->map->entry_cache;

    return ngx_http_zapier_action_wait(r, ctx);
}


ngx_int_t
ngx_http_zapier_action_identify(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_zapier_action_t         *action;
    ngx_zapier_lookup_t         *lookup;
    ngx_http_zapier_naming_t    *naming;
    ngx_http_zapier_loc_conf_t  *zlcf;

    naming = ctx->naming;
    action = naming->action;
    lookup = &naming->lookup;

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    ngx_str_null(&lookup->name);

    lookup->tenant = ctx->tenant;
    lookup->app = action->app;
    lookup->key = action->key;
    lookup->type = action->type;
    lookup->uri = naming->map->lookup;
    lookup->cache = naming->map->lookup_cache;
    lookup->again = ((zlcf->retry & NGX_HTTP_ZAPIER_RETRY_401) != 0);
    lookup->origin = ngx_http_zapier_lookup_origin;

    /* one look-up is enough for all items of a request */

    if (ctx->item != NULL) {
        lookup->before = ngx_current_msec - ctx->item->bulk->since;
    }

    return ngx_http_zapier_action_wait(r, ctx);
}


static ngx_int_t
ngx_http_zapier_action_wait(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_zapier_lookup_t          *lookup;
    ngx_http_zapier_main_conf_t  *zmcf;

    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    lookup = &ctx->naming->lookup;

    lookup->runs = &zmcf->runs;
    lookup->pool = r->pool;
    lookup->handler = ngx_http_zapier_action_handler;
    lookup->data = ctx;

    switch (ngx_zapier_lookup(lookup)) {

    case NGX_OK:
        return ngx_http_zapier_action_known(r, ctx);

    case NGX_AGAIN:

        /* if there is a token, it is asked for again afterwards */

        ngx_zapier_wipe(ctx->token.authorization.data,
                        ctx->token.authorization.len);
        ctx->token.authorization.len = 0;

        ctx->state = NGX_HTTP_ZAPIER_ACTION_WAIT;
        return ngx_http_zapier_hold(r);

    default: /* NGX_ERROR */
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
}


static void
ngx_http_zapier_action_handler(ngx_zapier_lookup_t *lookup)
{
    ngx_http_zapier_ctx_t *ctx = lookup->data;

    ctx->state = NGX_HTTP_ZAPIER_ACTION_DONE;

    ngx_http_zapier_resume(ctx->request);
}


void
ngx_http_zapier_action_cancel(ngx_http_zapier_ctx_t *ctx)
{
    if (ctx->naming != NULL) {
        ngx_zapier_lookup_cancel(&ctx->naming->lookup);
    }
}


/* A token that was good before may have been refused or refreshed. */

ngx_int_t
ngx_http_zapier_check_action(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_zapier_action_known(r, ctx);

    return (rc == NGX_OK) ? ngx_http_zapier_start_token(r, ctx) : rc;
}


static ngx_int_t
ngx_http_zapier_action_known(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    return (ctx->naming->action == NULL)
           ? ngx_http_zapier_action_entry_known(r, ctx)
           : ngx_http_zapier_action_id_known(r, ctx);
}


static ngx_int_t
ngx_http_zapier_action_entry_known(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_http_zapier_naming_t    *naming;
    ngx_zapier_lookup_answer_t  *answer;

    naming = ctx->naming;
    answer = &naming->lookup.answer;

    switch (answer->result) {

    case NGX_ZAPIER_LOOKUP_FOUND:
        return ngx_http_zapier_action_described(r, ctx, &answer->value);

    case NGX_ZAPIER_LOOKUP_NONE:
        ctx->naming = NULL;

        /* then it is an id */

        return naming->map->strict ? ngx_http_zapier_action_unknown(r, ctx)
                                   : NGX_OK;

    default: /* NGX_ZAPIER_LOOKUP_FAILED */
        return ngx_http_zapier_action_refuse(r, ctx,
                                             NGX_HTTP_SERVICE_UNAVAILABLE,
                                             "store_unavailable",
                                             "The store that knows the names "
                                             "of actions cannot be reached.");
    }
}


static ngx_int_t
ngx_http_zapier_action_described(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_str_t *text)
{
    ngx_int_t                  rc;
    ngx_zapier_action_t       *action;
    ngx_http_zapier_naming_t  *naming;

    naming = ctx->naming;

    rc = ngx_http_zapier_action_parsed(r, &naming->name, text, &action);

    if (rc == NGX_OK && action->app.len != 0 && naming->map->lookup.len == 0)
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "the entry of action \"%V\" in Redis has an id to be "
                      "looked up, which needs \"lookup=URI\" of "
                      "\"zapier_action_map\"", &naming->name);

        rc = NGX_DECLINED;
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_zapier_action_refuse(r, ctx,
                                             NGX_HTTP_SERVICE_UNAVAILABLE,
                                             "store_unavailable",
                                             "What the store says of this "
                                             "action cannot be understood.");
    }

    if (rc == NGX_ERROR
        || ngx_http_zapier_action_take(r, ctx, action) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return (ctx->body_rc == NGX_OK) ? NGX_OK
                                    : ngx_http_zapier_body_error(r, ctx);
}


static ngx_int_t
ngx_http_zapier_action_id_known(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_str_t                    id;
    ngx_zapier_lookup_answer_t  *answer;

    answer = &ctx->naming->lookup.answer;

    if (answer->result == NGX_ZAPIER_LOOKUP_NONE) {
        return ngx_http_zapier_action_unknown(r, ctx);
    }

    if (answer->result == NGX_ZAPIER_LOOKUP_FAILED) {
        return ngx_http_zapier_action_failed(r, ctx);
    }

    id.len = ngx_zapier_json_quote(NULL, answer->value.data,
                                   answer->value.len);

    id.data = ngx_pnalloc(r->pool, id.len);
    if (id.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) ngx_zapier_json_quote(id.data, answer->value.data,
                                 answer->value.len);

    return (ngx_http_zapier_action_finish(r, ctx, &id) == NGX_OK)
           ? NGX_OK : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


static ngx_int_t
ngx_http_zapier_action_failed(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    u_char                      *code;
    ngx_uint_t                   level;
    ngx_zapier_lookup_answer_t  *answer;

    answer = &ctx->naming->lookup.answer;

    /* what the upstream says is hardly the caller's fault */

    level = (answer->value.len != 0
             && answer->status < NGX_HTTP_INTERNAL_SERVER_ERROR)
            ? NGX_LOG_INFO : NGX_LOG_ERR;

    ngx_log_error(level, r->connection->log, 0,
                  "the id of action \"%V\" could not be looked up: %ui \"%V\"",
                  &ctx->naming->name, answer->status, &answer->value);

    if (answer->status == NGX_HTTP_TOO_MANY_REQUESTS) {
        return ngx_http_zapier_action_limited(r, ctx);
    }

    if (answer->value.len != 0) {

        /* an answer of the gateway: there is no token for it, for example */

        code = ngx_pnalloc(r->pool, answer->value.len + 1);
        if (code == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        *ngx_cpymem(code, answer->value.data, answer->value.len) = '\0';

        return ngx_http_zapier_action_refuse(r, ctx, answer->status,
                                             (char *) code,
                                             "The gateway may not look the "
                                             "id of this action up, the call "
                                             "was not sent.");
    }

    return ngx_http_zapier_action_refuse(r, ctx,
                                         (answer->status
                                          == NGX_HTTP_GATEWAY_TIME_OUT)
                                         ? answer->status
                                         : NGX_HTTP_BAD_GATEWAY,
                                         "upstream_invalid",
                                         "The id of this action could not be "
                                         "looked up, the call was not sent.");
}


/* As a request is refused that there is no quota for. */

static ngx_int_t
ngx_http_zapier_action_limited(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_http_zapier_fault_t       fault;
    ngx_zapier_lookup_answer_t   *answer;
    ngx_http_zapier_main_conf_t  *zmcf;

    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    answer = &ctx->naming->lookup.answer;

    ngx_http_zapier_fault_init(&fault, "rate_limited",
                               "The quota is used up, the id of this action "
                               "was not looked up and the call was not "
                               "sent.");
    fault.retry_after = ngx_max(answer->retry_after, 1);

    if (ctx->claim.nscopes != 0
        && ngx_zapier_limit_peek(&zmcf->limits, &ctx->claim) != NGX_OK
        && ctx->claim.verdict == NGX_ZAPIER_LIMIT_REJECTED)
    {
        ctx->limited = 1;

        fault.scope = ctx->claim.view.zone->name;
        fault.retry_after = ctx->claim.view.retry_after;
    }

    return ngx_http_zapier_error(r, ctx, NGX_HTTP_TOO_MANY_REQUESTS, &fault,
                                 1);
}


static ngx_int_t
ngx_http_zapier_action_unknown(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_zapier_envelope_unknown_action(ctx->envelope);

    return ngx_http_zapier_body_error(r, ctx);
}


static ngx_int_t
ngx_http_zapier_action_refuse(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_uint_t status, const char *code,
    const char *detail)
{
    ngx_http_zapier_fault_t  fault;

    ngx_http_zapier_fault_init(&fault, code, detail);

    fault.retry_after = ctx->naming->lookup.answer.retry_after;
    fault.unsent = (status == NGX_HTTP_BAD_GATEWAY
                    || status == NGX_HTTP_GATEWAY_TIME_OUT);

    if (status == NGX_HTTP_SERVICE_UNAVAILABLE && fault.retry_after == 0) {
        fault.retry_after = 1;
    }

    return ngx_http_zapier_error(r, ctx, status, &fault, 1);
}
