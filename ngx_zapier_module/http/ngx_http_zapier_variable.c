
/*
 * $zapier_* variables.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_run.h>
#include <ngx_http_zapier_oauth.h>
#include <ngx_http_zapier_runner.h>


static ngx_int_t ngx_http_zapier_tenant_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_zapier_authorization_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_zapier_text_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_zapier_limit_number_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_zapier_redis_time_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_zapier_queue_time_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_zapier_time_set(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, ngx_int_t ms);
static ngx_int_t ngx_http_zapier_decision_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);

static ngx_str_t *ngx_http_zapier_token_status(ngx_http_zapier_ctx_t *ctx);
static ngx_str_t *ngx_http_zapier_limit_status(ngx_http_zapier_ctx_t *ctx);
static ngx_str_t *ngx_http_zapier_limit_scope(ngx_http_zapier_ctx_t *ctx);
static ngx_str_t *ngx_http_zapier_error_code(ngx_http_zapier_ctx_t *ctx);
static ngx_str_t *ngx_http_zapier_run_name(ngx_http_zapier_ctx_t *ctx);
static ngx_int_t ngx_http_zapier_variable_set(ngx_http_variable_value_t *v,
    ngx_str_t *value);
static u_char *ngx_http_zapier_decision_member(u_char *p, const char *name,
    ngx_str_t *value);


/* variable handlers that only pick a text are told which one by data */
typedef ngx_str_t *(*ngx_http_zapier_text_pt)(ngx_http_zapier_ctx_t *ctx);


static ngx_http_variable_t  ngx_http_zapier_vars[] = {

    { ngx_string("zapier_tenant"), NULL,
      ngx_http_zapier_tenant_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("zapier_authorization"), NULL,
      ngx_http_zapier_authorization_variable, 0, NGX_HTTP_VAR_NOCACHEABLE,
      0 },

    { ngx_string("zapier_token_status"), NULL,
      ngx_http_zapier_text_variable,
      (uintptr_t) ngx_http_zapier_token_status, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("zapier_limit_status"), NULL,
      ngx_http_zapier_text_variable,
      (uintptr_t) ngx_http_zapier_limit_status, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("zapier_limit_scope"), NULL,
      ngx_http_zapier_text_variable,
      (uintptr_t) ngx_http_zapier_limit_scope, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("zapier_limit_remaining"), NULL,
      ngx_http_zapier_limit_number_variable,
      offsetof(ngx_zapier_limit_view_t, remaining),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("zapier_limit_reset"), NULL,
      ngx_http_zapier_limit_number_variable,
      offsetof(ngx_zapier_limit_view_t, reset),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("zapier_error"), NULL,
      ngx_http_zapier_text_variable,
      (uintptr_t) ngx_http_zapier_error_code, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("zapier_redis_time"), NULL,
      ngx_http_zapier_redis_time_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("zapier_queue_time"), NULL,
      ngx_http_zapier_queue_time_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("zapier_run_id"), NULL,
      ngx_http_zapier_text_variable,
      (uintptr_t) ngx_http_zapier_run_name, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("zapier_decision"), NULL,
      ngx_http_zapier_decision_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


static ngx_str_t  ngx_http_zapier_token_names[] = {
    ngx_string("NONE"),
    ngx_string("HIT"),
    ngx_string("MISS"),
    ngx_string("STALE"),
    ngx_string("REFRESHED")
};


ngx_int_t
ngx_http_zapier_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_zapier_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_zapier_tenant_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                    value;
    ngx_http_zapier_ctx_t       *ctx;
    ngx_http_zapier_loc_conf_t  *zlcf;

    ctx = ngx_http_zapier_get_ctx(r);

    if (ctx != NULL) {
        return ngx_http_zapier_variable_set(v, &ctx->tenant);
    }

    /* before the PRECONTENT phase, for example for allow and auth_request */

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    if (zlcf->tenant == NULL) {
        return ngx_http_zapier_variable_set(v, NULL);
    }

    if (ngx_http_zapier_tenant_value(r, zlcf->tenant, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_zapier_tenant_check(&value) != NGX_OK) {
        return ngx_http_zapier_variable_set(v, NULL);
    }

    return ngx_http_zapier_variable_set(v, &value);
}


/*
 * The token, only while proxy_pass makes its request: not for a location
 * that the request is redirected to, not for subrequests, not for logs,
 * and not once it has expired.  A call of the token endpoint has its own.
 */

static ngx_int_t
ngx_http_zapier_authorization_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_zapier_ctx_t        *ctx;
    ngx_http_zapier_state_e       state;
    ngx_http_zapier_main_conf_t  *zmcf;

    if (r == r->main) {
        ctx = ngx_http_get_module_ctx(r, ngx_http_zapier_module);
        state = NGX_HTTP_ZAPIER_PASSED;

    } else {
        ctx = ngx_http_zapier_runner_ctx(r);
        state = NGX_HTTP_ZAPIER_CALL_WAIT;
    }

    if (ctx == NULL) {
        return ngx_http_zapier_variable_set(v,
                                     ngx_http_zapier_oauth_authorization(r));
    }

    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    if (ctx->state != state
        || r->headers_out.status != 0
        || ctx->logged
        || (ctx->token.expires != 0
            && ngx_zapier_token_now(zmcf->tokens) >= ctx->token.expires))
    {
        return ngx_http_zapier_variable_set(v, NULL);
    }

    ngx_http_zapier_bearer(ctx, r);

    return ngx_http_zapier_variable_set(v, &ctx->token.authorization);
}


static ngx_int_t
ngx_http_zapier_text_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_zapier_ctx_t    *ctx;
    ngx_http_zapier_text_pt   text;

    ctx = ngx_http_zapier_get_ctx(r);
    text = (ngx_http_zapier_text_pt) data;

    return ngx_http_zapier_variable_set(v, ctx ? text(ctx) : NULL);
}


static ngx_int_t
ngx_http_zapier_limit_number_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                 *p;
    int64_t                 number;
    ngx_str_t               value;
    ngx_http_zapier_ctx_t  *ctx;

    ctx = ngx_http_zapier_get_ctx(r);

    if (ctx == NULL || ctx->claim.view.zone == NULL) {
        return ngx_http_zapier_variable_set(v, NULL);
    }

    number = (data == offsetof(ngx_zapier_limit_view_t, reset))
             ? (int64_t) ctx->claim.view.reset
             : ctx->claim.view.remaining;

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "%L", number) - p;

    return ngx_http_zapier_variable_set(v, &value);
}


static ngx_int_t
ngx_http_zapier_redis_time_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_zapier_ctx_t  *ctx;

    ctx = ngx_http_zapier_get_ctx(r);

    if (ctx == NULL || ctx->token.handler == NULL || ctx->token.redis_time < 0)
    {
        return ngx_http_zapier_variable_set(v, NULL);
    }

    return ngx_http_zapier_time_set(r, v, ctx->token.redis_time);
}


static ngx_int_t
ngx_http_zapier_queue_time_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_zapier_ctx_t  *ctx;

    ctx = ngx_http_zapier_get_ctx(r);

    if (ctx == NULL || !ctx->queued) {
        return ngx_http_zapier_variable_set(v, NULL);
    }

    return ngx_http_zapier_time_set(r, v, ctx->waiter->waited);
}


static ngx_int_t
ngx_http_zapier_time_set(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    ngx_int_t ms)
{
    u_char     *p;
    ngx_str_t   value;

    p = ngx_pnalloc(r->pool, NGX_INT_T_LEN + 4);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "%i.%03i", ms / 1000, ms % 1000) - p;

    return ngx_http_zapier_variable_set(v, &value);
}


/* one line of JSON for the access log, with log_format ... escape=none */

static ngx_int_t
ngx_http_zapier_decision_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    size_t                    len;
    u_char                   *p;
    ngx_str_t                 value;
    ngx_http_zapier_ctx_t    *ctx;
    ngx_zapier_limit_view_t  *view;

    ctx = ngx_http_zapier_get_ctx(r);

    if (ctx == NULL) {
        return ngx_http_zapier_variable_set(v, NULL);
    }

    view = &ctx->claim.view;

    len = sizeof("{\"tenant\":\"\",\"token\":\"\",\"limit\":\"\","
                 "\"scope\":\"\",\"remaining\":,\"reset\":,\"redis_ms\":,"
                 "\"queue_ms\":,"
                 "\"error\":\"\"}")
          + ctx->tenant.len + 2 * sizeof("REJECTED") + 2 * NGX_INT64_LEN
          + 2 * NGX_INT_T_LEN + ctx->error.len
          + (view->zone ? 6 * view->zone->name.len : 0);

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;

    *p++ = '{';
    p = ngx_http_zapier_decision_member(p, "tenant", &ctx->tenant);
    *p++ = ',';
    p = ngx_http_zapier_decision_member(p, "token",
                                        ngx_http_zapier_token_status(ctx));
    *p++ = ',';
    p = ngx_http_zapier_decision_member(p, "limit",
                                        ngx_http_zapier_limit_status(ctx));

    if (view->zone != NULL) {
        *p++ = ',';
        p = ngx_http_zapier_decision_member(p, "scope", &view->zone->name);
        p = ngx_sprintf(p, ",\"remaining\":%L,\"reset\":%T",
                        view->remaining, view->reset);
    }

    if (ctx->token.handler != NULL && ctx->token.redis_time >= 0) {
        p = ngx_sprintf(p, ",\"redis_ms\":%i", ctx->token.redis_time);
    }

    if (ctx->queued) {
        p = ngx_sprintf(p, ",\"queue_ms\":%M", ctx->waiter->waited);
    }

    if (ctx->error.len != 0) {
        *p++ = ',';
        p = ngx_http_zapier_decision_member(p, "error", &ctx->error);
    }

    *p++ = '}';

    value.len = p - value.data;

    return ngx_http_zapier_variable_set(v, &value);
}


static u_char *
ngx_http_zapier_decision_member(u_char *p, const char *name,
    ngx_str_t *value)
{
    p = ngx_sprintf(p, "\"%s\":", name);

    return (u_char *) ngx_zapier_json_quote(p, value->data, value->len);
}


static ngx_str_t *
ngx_http_zapier_token_status(ngx_http_zapier_ctx_t *ctx)
{
    return &ngx_http_zapier_token_names[ctx->token.source];
}


static ngx_str_t *
ngx_http_zapier_limit_status(ngx_http_zapier_ctx_t *ctx)
{
    static ngx_str_t  passed = ngx_string("PASSED");
    static ngx_str_t  rejected = ngx_string("REJECTED");
    static ngx_str_t  bypass = ngx_string("BYPASS");
    static ngx_str_t  dry_run = ngx_string("DRY_RUN");
    static ngx_str_t  queued = ngx_string("QUEUED");

    /* zapier_limit off, or refused before the quota was asked */

    if (!ctx->limited) {
        return &bypass;
    }

    if (ctx->let_pass) {
        return &dry_run;
    }

    if (ctx->claim.verdict != NGX_ZAPIER_LIMIT_PASSED) {
        return &rejected;
    }

    return ctx->queued ? &queued : &passed;
}


static ngx_str_t *
ngx_http_zapier_limit_scope(ngx_http_zapier_ctx_t *ctx)
{
    return ctx->claim.view.zone ? &ctx->claim.view.zone->name : NULL;
}


static ngx_str_t *
ngx_http_zapier_error_code(ngx_http_zapier_ctx_t *ctx)
{
    return &ctx->error;
}


static ngx_str_t *
ngx_http_zapier_run_name(ngx_http_zapier_ctx_t *ctx)
{
    return ctx->run ? &ctx->run->id : NULL;
}


static ngx_int_t
ngx_http_zapier_variable_set(ngx_http_variable_value_t *v, ngx_str_t *value)
{
    if (value == NULL || value->len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->len = value->len;
    v->data = value->data;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}
