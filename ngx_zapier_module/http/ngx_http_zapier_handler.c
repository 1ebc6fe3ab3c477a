
/*
 * The PRECONTENT phase: tenant, body, token, quota, in this order, so that
 * what is cheap to refuse is refused first and quota is spent last.
 *
 *     START -> BODY -> TOKEN -> TOKEN_WAIT -> TOKEN_DONE
 *           -> ACTION_WAIT -> ACTION_DONE -> TOKEN ...
 *           -> LIMIT_WAIT -> LIMIT_DONE -> PASSED
 *                                       -> TOKEN ...
 *                                       -> CALL_WAIT -> TOKEN ...
 *                                                    -> RUN_WAIT -> RUN_DONE
 *           -> BULK_WAIT -> BULK_DONE
 *
 * Any step may end in REFUSED.  Whatever runs the phases again finds its
 * way by the state alone.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_action.h>
#include <ngx_http_zapier_bulk.h>
#include <ngx_http_zapier_idem.h>
#include <ngx_http_zapier_managed.h>
#include <ngx_http_zapier_oauth.h>
#include <ngx_http_zapier_queue.h>
#include <ngx_http_zapier_run.h>
#include <ngx_http_zapier_runner.h>


static ngx_uint_t ngx_http_zapier_applies(ngx_http_request_t *r,
    const ngx_http_zapier_loc_conf_t *zlcf);
static ngx_int_t ngx_http_zapier_start(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static ngx_uint_t ngx_http_zapier_body_awaited(ngx_http_request_t *r);
static ngx_int_t ngx_http_zapier_check_tenant(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static ngx_int_t ngx_http_zapier_start_body(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static ngx_int_t ngx_http_zapier_check_token(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static ngx_uint_t ngx_http_zapier_token_spent(ngx_http_zapier_ctx_t *ctx);
static ngx_int_t ngx_http_zapier_start_limit(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static ngx_int_t ngx_http_zapier_claim_wait(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_int_t rc);
static ngx_int_t ngx_http_zapier_check_limit(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static ngx_int_t ngx_http_zapier_refuse_limit(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static ngx_int_t ngx_http_zapier_pass(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);
static void ngx_http_zapier_token_handler(ngx_zapier_token_op_t *op);
static void ngx_http_zapier_claim_handler(ngx_zapier_limit_claim_t *claim);
static ngx_int_t ngx_http_zapier_refuse(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_uint_t status, const char *code,
    const char *detail);


ngx_int_t
ngx_http_zapier_handler(ngx_http_request_t *r)
{
    ngx_http_zapier_ctx_t             *ctx;
    const ngx_http_zapier_loc_conf_t  *zlcf;

    if (r != r->main) {
        ngx_http_zapier_runner_enter(r);
        ngx_http_zapier_oauth_enter(r);
        return NGX_DECLINED;
    }

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    ctx = ngx_http_get_module_ctx(r, ngx_http_zapier_module);

    if (ctx == NULL && ngx_zapier_unlikely(r->internal)) {
        ctx = ngx_http_zapier_get_ctx(r);

        if (ctx != NULL && ngx_http_zapier_redirected(r, ctx) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (!ngx_http_zapier_applies(r, zlcf)) {
        return NGX_DECLINED;
    }

    if (ctx == NULL) {
        ctx = ngx_http_zapier_create_ctx(r);
        if (ctx == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    switch (ctx->state) {

    case NGX_HTTP_ZAPIER_START:
        return ngx_http_zapier_start(r, ctx);

    case NGX_HTTP_ZAPIER_BODY:
        return NGX_DONE;

    case NGX_HTTP_ZAPIER_TOKEN:
        return ngx_http_zapier_start_token(r, ctx);

    case NGX_HTTP_ZAPIER_TOKEN_DONE:
        return ngx_http_zapier_check_token(r, ctx);

    case NGX_HTTP_ZAPIER_ACTION_DONE:
        return ngx_http_zapier_check_action(r, ctx);

    case NGX_HTTP_ZAPIER_LIMIT_DONE:
        return ngx_http_zapier_check_limit(r, ctx);

    case NGX_HTTP_ZAPIER_PASSED:
        return NGX_DECLINED;

    case NGX_HTTP_ZAPIER_CALL_WAIT:
        return ngx_http_zapier_check_call(r, ctx);

    case NGX_HTTP_ZAPIER_RUN_DONE:
        return ngx_http_zapier_check_run(r, ctx);

    case NGX_HTTP_ZAPIER_IDEM_DONE:
        return ngx_http_zapier_check_idem(r, ctx);

    case NGX_HTTP_ZAPIER_BULK_DONE:
        return ngx_http_zapier_bulk_answer(r, ctx);

    case NGX_HTTP_ZAPIER_REFUSED:
        return NGX_DONE;

    default: /* NGX_HTTP_ZAPIER_*_WAIT */
        return NGX_AGAIN;
    }
}


/*
 * zapier_connect has a tenant, but sends nothing for it; a request of our own
 * may be where there is none.
 */

static ngx_uint_t
ngx_http_zapier_applies(ngx_http_request_t *r,
    const ngx_http_zapier_loc_conf_t *zlcf)
{
    return zlcf->connect == NULL
           && (zlcf->tenant != NULL
               || ngx_http_get_module_ctx(r, ngx_http_zapier_module) != NULL);
}


static ngx_int_t
ngx_http_zapier_start(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_int_t                    rc;
    ngx_http_zapier_loc_conf_t  *zlcf;

    if (ngx_zapier_unlikely(ctx->poll != NULL)) {
        return (ngx_http_zapier_poll_enter(r, ctx) == NGX_OK)
               ? ngx_http_zapier_start_token(r, ctx)
               : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_zapier_unlikely(ctx->item != NULL)) {

        if (ngx_http_zapier_item_enter(r, ctx) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

    } else {
        rc = ngx_http_zapier_check_tenant(r, ctx);
        if (rc != NGX_OK) {
            return rc;
        }

        if (ngx_http_zapier_auth_identify(r, ctx) != NGX_OK
            || ngx_http_zapier_limit_chain(r, ctx) != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    if (ngx_http_zapier_is_bulk(r, zlcf, ctx)) {
        rc = ngx_http_zapier_bulk_begin(r, ctx);

        return (rc == NGX_OK) ? ngx_http_zapier_start_call(r, ctx) : rc;
    }

    /* what is known of a run needs neither a token nor quota */

    if (ngx_zapier_unlikely(zlcf->wait != NULL)) {
        rc = ngx_http_zapier_run_start(r, ctx);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    if (ngx_zapier_unlikely(zlcf->idem != NULL)) {
        rc = ngx_http_zapier_idem_start(r, ctx);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return ngx_http_zapier_start_call(r, ctx);
}


ngx_int_t
ngx_http_zapier_start_call(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_http_zapier_main_conf_t  *zmcf;

    /*
     * what is sure to be refused is refused before its body is read, but
     * for what may have been answered already; items ask for themselves
     */

    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    if (ctx->claim.nscopes != 0
        && !ctx->dry
        && ctx->idem == NULL
        && ctx->bulk == NULL
        && (ngx_http_zapier_body_awaited(r)
            || ngx_zapier_limit_suspect(&zmcf->limits, &ctx->claim))
        && ngx_zapier_limit_peek(&zmcf->limits, &ctx->claim) != NGX_OK
        && ctx->claim.wait > ngx_http_zapier_queue_time(r, ctx))
    {
        return ngx_http_zapier_check_limit(r, ctx);
    }

    return ngx_http_zapier_start_body(r, ctx);
}


/* Is there a body, and not at hand as a whole? */

static ngx_uint_t
ngx_http_zapier_body_awaited(ngx_http_request_t *r)
{
    return r->headers_in.chunked
           || r->headers_in.content_length_n
              > r->header_in->last - r->header_in->pos;
}


static ngx_int_t
ngx_http_zapier_check_tenant(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_http_zapier_loc_conf_t   *zlcf;
    ngx_http_zapier_main_conf_t  *zmcf;

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    if (ngx_http_zapier_tenant_value(r, zlcf->tenant, &ctx->tenant)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->tenant.len == 0) {
        return ngx_http_zapier_refuse(r, ctx, NGX_HTTP_UNAUTHORIZED,
                                      "tenant_missing",
                                      "The request does not tell which "
                                      "tenant it is for.");
    }

    if (ngx_zapier_tenant_check(&ctx->tenant) != NGX_OK) {
        ngx_str_null(&ctx->tenant);

        return ngx_http_zapier_refuse(r, ctx, NGX_HTTP_BAD_REQUEST,
                                      "tenant_invalid",
                                      "A tenant name is 1 to 128 characters "
                                      "of A-Z a-z 0-9 . _ @ : and -.");
    }

    /* it is looked up once for the token, and for most limits */

    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    ctx->hash = ngx_zapier_shm_hash(zmcf->limits.shm, ctx->tenant.data,
                                    ctx->tenant.len);

    return NGX_OK;
}


static ngx_int_t
ngx_http_zapier_start_body(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_int_t                    rc;
    ngx_http_zapier_fault_t      fault;
    ngx_http_zapier_loc_conf_t  *zlcf;

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    if (ctx->body_done) {
        return ngx_http_zapier_start_token(r, ctx);
    }

    if (zlcf->body == NGX_HTTP_ZAPIER_BODY_OFF || r->method != NGX_HTTP_POST) {

        /* only the main request can read it, and before the first call */

        if (!ngx_http_zapier_managed(zlcf, ctx)) {
            return ngx_http_zapier_start_token(r, ctx);
        }

    } else {
        rc = ngx_http_zapier_body_check(r, &fault);

        if (rc != NGX_OK) {
            return ngx_http_zapier_error(r, ctx, rc, &fault, 1);
        }
    }

    rc = ngx_http_zapier_body_read(r, ctx);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ctx->body_rc != NGX_OK) {
        return ngx_http_zapier_body_error(r, ctx);
    }

    return ngx_http_zapier_start_token(r, ctx);
}


ngx_int_t
ngx_http_zapier_start_token(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_zapier_token_op_t        *op;
    ngx_http_core_srv_conf_t     *cscf;
    ngx_http_zapier_loc_conf_t   *zlcf;
    ngx_http_zapier_main_conf_t  *zmcf;

    /* the body reader comes here by the phases with a verdict to give */

    if (ctx->body_rc != NGX_OK) {
        return ngx_http_zapier_body_error(r, ctx);
    }

    if (ngx_zapier_unlikely(ctx->bulk != NULL)
        && ngx_http_zapier_bulk_idle(ctx->bulk))
    {
        return ngx_http_zapier_bulk_answer(r, ctx);
    }

    rc = ngx_http_zapier_recall(r, ctx);

    if (rc != NGX_OK) {
        return rc;
    }

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);
    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    op = &ctx->token;

    if (zlcf->auth == NGX_HTTP_ZAPIER_AUTH_CLIENT_ID) {
        ngx_memzero(op, sizeof(ngx_zapier_token_op_t));

        return ngx_http_zapier_start_limit(r, ctx);
    }

    op->tenant = ctx->tenant;
    op->hash = ctx->hash;
    ngx_str_null(&op->mint_scope);

    if (zlcf->auth == NGX_HTTP_ZAPIER_AUTH_APP) {
        op->tenant = zlcf->app->name;
        op->hash = 0;
        op->mint_scope = zlcf->app->scope;
    }

    op->pool = r->pool;
    op->log = r->connection->log;
    op->force = 0;
    op->handler = ngx_http_zapier_token_handler;
    op->data = ctx;

    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);
    op->origin = cscf->ctx;

    rc = ngx_zapier_token_start(zmcf->tokens, op);

    if (rc == NGX_OK) {
        return ngx_http_zapier_check_token(r, ctx);
    }

    if (rc == NGX_AGAIN) {
        ctx->state = NGX_HTTP_ZAPIER_TOKEN_WAIT;
        return ngx_http_zapier_hold(r);
    }

    return NGX_HTTP_INTERNAL_SERVER_ERROR;
}


static ngx_int_t
ngx_http_zapier_check_token(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_http_zapier_loc_conf_t  *zlcf;

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    if (zlcf->auth == NGX_HTTP_ZAPIER_AUTH_APP
        && (ctx->token.result == NGX_ZAPIER_TOKEN_MISSING
            || ctx->token.result == NGX_ZAPIER_TOKEN_EXPIRED))
    {
        /* nothing that the caller or the tenant could mend */

        return ngx_http_zapier_refuse(r, ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                      "store_unavailable",
                                      "The app's own Zapier access token "
                                      "cannot be got for now.");
    }

    switch (ctx->token.result) {

    case NGX_ZAPIER_TOKEN_OK:
        break;

    case NGX_ZAPIER_TOKEN_MISSING:
        return ngx_http_zapier_refuse(r, ctx, NGX_HTTP_UNAUTHORIZED,
                                      "token_missing",
                                      "There is no Zapier access token for "
                                      "this tenant.");

    case NGX_ZAPIER_TOKEN_EXPIRED:
        return ngx_http_zapier_refuse(r, ctx, NGX_HTTP_UNAUTHORIZED,
                                      "token_expired",
                                      "The tenant's Zapier access token has "
                                      "expired and has not been renewed "
                                      "yet.");

    case NGX_ZAPIER_TOKEN_REAUTHORIZE:
        return ngx_http_zapier_refuse(r, ctx, NGX_HTTP_UNAUTHORIZED,
                                      "reauthorization_required",
                                      "The tenant's Zapier access token has "
                                      "expired and cannot be refreshed: the "
                                      "tenant must connect to Zapier again.");

    case NGX_ZAPIER_TOKEN_INVALID:
        return ngx_http_zapier_refuse(r, ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                      "store_unavailable",
                                      "The token record cannot be "
                                      "understood.");

    default: /* NGX_ZAPIER_TOKEN_UNAVAILABLE */
        return ngx_http_zapier_refuse(r, ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                      "store_unavailable",
                                      "The token store cannot be reached and "
                                      "no usable token is cached.");
    }

    if (ngx_http_zapier_token_spent(ctx)) {
        return ngx_http_zapier_refuse(r, ctx, NGX_HTTP_UNAUTHORIZED,
                                      "token_expired",
                                      "Zapier has refused the tenant's "
                                      "access token, and it could not be "
                                      "renewed.");
    }

    if (zlcf->scope.len != 0
        && ngx_zapier_token_has_scope(&ctx->token.scope, &zlcf->scope)
           != NGX_OK)
    {
        return ngx_http_zapier_refuse(r, ctx, NGX_HTTP_FORBIDDEN,
                                      "scope_missing",
                                      "The token lacks the OAuth scope "
                                      "that this call needs.");
    }

    return ngx_http_zapier_start_limit(r, ctx);
}


/* Is it the one that the upstream has refused already? */

static ngx_uint_t
ngx_http_zapier_token_spent(ngx_http_zapier_ctx_t *ctx)
{
    return ctx->refused.len != 0
           && ctx->refused.len == ctx->token.authorization.len
           && ngx_memcmp(ctx->refused.data, ctx->token.authorization.data,
                         ctx->refused.len)
              == 0;
}


static ngx_int_t
ngx_http_zapier_start_limit(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_http_zapier_main_conf_t  *zmcf;

    if (ngx_zapier_unlikely(ctx->bulk != NULL)) {
        return ngx_http_zapier_bulk_start(r, ctx);
    }

    if (ngx_zapier_unlikely(ctx->naming != NULL)) {
        rc = ngx_http_zapier_action_identify(r, ctx);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (ctx->claim.nscopes == 0 || ctx->claimed) {

        /* what has waited for its quota has it already */

        return ngx_http_zapier_check_limit(r, ctx);
    }

    ctx->claim.log = r->connection->log;
    ctx->claim.handler = ngx_http_zapier_claim_handler;
    ctx->claim.data = ctx;

    if (ngx_zapier_unlikely(ngx_http_zapier_queue_of(r, ctx) != NULL)) {
        rc = ngx_http_zapier_queue_start(r, ctx);

        if (rc == NGX_ERROR) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return ngx_http_zapier_claim_wait(r, ctx, rc);
    }

    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    rc = ngx_zapier_limit_start(&zmcf->limits, &ctx->claim);

    return ngx_http_zapier_claim_wait(r, ctx, rc);
}


static ngx_int_t
ngx_http_zapier_claim_wait(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx,
    ngx_int_t rc)
{
    if (rc == NGX_AGAIN) {
        ctx->state = NGX_HTTP_ZAPIER_LIMIT_WAIT;
        return ngx_http_zapier_hold(r);
    }

    return ngx_http_zapier_check_limit(r, ctx);
}


static ngx_int_t
ngx_http_zapier_check_limit(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    if (ctx->claim.nscopes != 0) {
        ctx->limited = 1;
        ctx->claimed = (ctx->claim.verdict == NGX_ZAPIER_LIMIT_PASSED);

        if (!ctx->claimed && ngx_http_zapier_limit_dry(r, ctx)) {
            return ngx_http_zapier_pass(r, ctx);
        }

        if (ctx->claim.verdict == NGX_ZAPIER_LIMIT_UNKNOWN) {
            return ngx_http_zapier_refuse(r, ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                          "quota_unknown",
                                          "The quota that is left cannot be "
                                          "told.");
        }

        if (ctx->claim.verdict == NGX_ZAPIER_LIMIT_REJECTED) {
            return ngx_http_zapier_refuse_limit(r, ctx);
        }

        ctx->observed = 0;
        ctx->states = r->upstream_states ? r->upstream_states->nelts : 0;
        ctx->upstream = r->upstream;
    }

    return ngx_http_zapier_pass(r, ctx);
}


static ngx_int_t
ngx_http_zapier_refuse_limit(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_http_zapier_fault_t  fault;

    ngx_memzero(&fault, sizeof(ngx_http_zapier_fault_t));

    if (ctx->waiter != NULL && ctx->waiter->full) {
        ngx_str_set(&fault.code, "queue_full");
        ngx_str_set(&fault.detail, "The quota is used up, and too many calls "
                                   "wait for it already.");

    } else {
        ngx_str_set(&fault.code, "rate_limited");
        ngx_str_set(&fault.detail, "The quota is used up, the call was not "
                                   "sent.");
    }

    fault.offset = -1;
    fault.scope = ctx->claim.view.zone->name;
    fault.retry_after = ctx->claim.view.retry_after;

    return ngx_http_zapier_error(r, ctx, NGX_HTTP_TOO_MANY_REQUESTS, &fault,
                                 1);
}


static ngx_int_t
ngx_http_zapier_pass(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_http_zapier_loc_conf_t  *zlcf;

    r->read_event_handler = ngx_http_block_reading;

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    if (ngx_http_zapier_managed(zlcf, ctx)) {
        return ngx_http_zapier_start_runner(r, ctx);
    }

    ctx->state = NGX_HTTP_ZAPIER_PASSED;

    return NGX_DECLINED;
}


static void
ngx_http_zapier_token_handler(ngx_zapier_token_op_t *op)
{
    ngx_http_zapier_ctx_t *ctx = op->data;

    ctx->state = NGX_HTTP_ZAPIER_TOKEN_DONE;

    ngx_http_zapier_resume(ctx->request);
}


static void
ngx_http_zapier_claim_handler(ngx_zapier_limit_claim_t *claim)
{
    ngx_http_zapier_ctx_t *ctx = claim->data;

    ctx->state = NGX_HTTP_ZAPIER_LIMIT_DONE;

    ngx_http_zapier_resume(ctx->request);
}


static ngx_int_t
ngx_http_zapier_refuse(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx,
    ngx_uint_t status, const char *code, const char *detail)
{
    ngx_http_zapier_fault_t  fault;

    ngx_http_zapier_fault_init(&fault, code, detail);

    if (status == NGX_HTTP_SERVICE_UNAVAILABLE) {

        /* the breaker tries again within seconds, so may the caller */

        fault.retry_after = 1;
    }

    if (ctx->token.retry_after) {
        fault.retry_after = ctx->token.retry_after;
    }

    return ngx_http_zapier_error(r, ctx, status, &fault, 1);
}
