
/*
 * The module's definition: directives and hooks.  How a directive is read
 * stands in ngx_http_zapier_*directive.c, what is done with a request in
 * ngx_http_zapier_handler.c.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_action.h>
#include <ngx_http_zapier_callback.h>
#include <ngx_http_zapier_oauth.h>
#include <ngx_http_zapier_run.h>


static ngx_int_t ngx_http_zapier_postconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_zapier_init_process(ngx_cycle_t *cycle);
static void ngx_http_zapier_exit_process(ngx_cycle_t *cycle);


static ngx_command_t  ngx_http_zapier_commands[] = {

    { ngx_string("zapier_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      ngx_http_zapier_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("zapier_redis"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_zapier_redis,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("zapier_redis_ssl_trusted_certificate"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_zapier_main_conf_t, redis.ssl_trusted_certificate),
      NULL },

    { ngx_string("zapier_redis_ssl_verify"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_zapier_main_conf_t, redis.ssl_verify),
      NULL },

    { ngx_string("zapier_redis_ssl_name"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_zapier_main_conf_t, redis.ssl_name),
      NULL },

    { ngx_string("zapier_redis_ssl_certificate"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_zapier_main_conf_t, redis.ssl_certificate),
      NULL },

    { ngx_string("zapier_redis_ssl_certificate_key"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_zapier_main_conf_t, redis.ssl_certificate_key),
      NULL },

    { ngx_string("zapier_token_cache"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_zapier_token_time,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_zapier_main_conf_t, token_cache),
      NULL },

    { ngx_string("zapier_token_missing_cache"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_zapier_token_time,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_zapier_main_conf_t, token_missing_cache),
      NULL },

    { ngx_string("zapier_token_key"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_zapier_token_key,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("zapier_oauth_client"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE123,
      ngx_http_zapier_oauth_client,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("zapier_oauth_token"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE123,
      ngx_http_zapier_oauth_token,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("zapier_limit_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_2MORE,
      ngx_http_zapier_limit_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("zapier_tenant"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_zapier_tenant,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("zapier_body"),
      NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_zapier_body,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("zapier_action_map"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_zapier_action_map,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("zapier_action"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_zapier_default,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_zapier_loc_conf_t, action),
      NULL },

    { ngx_string("zapier_authentication"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_zapier_default,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_zapier_loc_conf_t, authentication),
      NULL },

    { ngx_string("zapier_scope"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_zapier_scope,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("zapier_auth"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_http_zapier_auth,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("zapier_dry_run"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_zapier_dry_run,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("zapier_limit_tag"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_zapier_loc_conf_t, limit_tag),
      NULL },

    { ngx_string("zapier_limit_fallback"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_http_zapier_limit_fallback,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("zapier_limit"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_zapier_limit,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("zapier_queue"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_http_zapier_queue,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("zapier_retry"),
      NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_zapier_retry,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("zapier_idempotency"),
      NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1234,
      ngx_http_zapier_idempotency,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("zapier_wait"),
      NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1234,
      ngx_http_zapier_wait,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("zapier_callback"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_http_zapier_callback,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("zapier_callback_secret"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_zapier_callback_secret,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("zapier_callback_keys"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE123,
      ngx_http_zapier_callback_keys,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("zapier_connect"),
      NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_zapier_connect,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("zapier_admin"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_zapier_admin,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_zapier_module_ctx = {
    ngx_http_zapier_add_variables,         /* preconfiguration */
    ngx_http_zapier_postconfiguration,     /* postconfiguration */

    ngx_http_zapier_create_main_conf,      /* create main configuration */
    ngx_http_zapier_init_main_conf,        /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_zapier_create_loc_conf,       /* create location configuration */
    ngx_http_zapier_merge_loc_conf         /* merge location configuration */
};


ngx_module_t  ngx_http_zapier_module = {
    NGX_MODULE_V1,
    &ngx_http_zapier_module_ctx,           /* module context */
    ngx_http_zapier_commands,              /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_zapier_init_process,          /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_zapier_exit_process,          /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_zapier_postconfiguration(ngx_conf_t *cf)
{
    ngx_array_t                  *a;
    ngx_http_handler_pt          *h;
    ngx_http_core_main_conf_t    *cmcf;
    ngx_http_zapier_main_conf_t  *zmcf;

    if (ngx_http_zapier_conf_finish(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    zmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_zapier_module);

    if (zmcf->used.name.data == NULL) {
        return NGX_OK;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    /*
     * after allow, auth_basic, auth_request and the like, so that nobody
     * spends the quota of a tenant that he may not speak for
     */

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_zapier_handler;

    /* before the access log, which shall see the final account */

    a = &cmcf->phases[NGX_HTTP_LOG_PHASE].handlers;

    if (ngx_array_push(a) == NULL) {
        return NGX_ERROR;
    }

    h = a->elts;

    ngx_memmove(&h[1], h, (a->nelts - 1) * sizeof(ngx_http_handler_pt));

    h[0] = ngx_http_zapier_log_handler;

    if (ngx_http_zapier_body_filter_init(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_zapier_filter_init(cf);
}


static ngx_int_t
ngx_http_zapier_init_process(ngx_cycle_t *cycle)
{
    ngx_http_zapier_main_conf_t  *zmcf;

    /* the cache manager and loader come here too */

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    zmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_zapier_module);

    if (zmcf == NULL || zmcf->tokens == NULL) {
        return NGX_OK;
    }

    if (ngx_zapier_limit_news_start(&zmcf->limits, cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    if (zmcf->waited.name.data != NULL
        && ngx_zapier_runs_init_worker(&zmcf->runs, cycle) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_zapier_tokens_init_worker(zmcf->tokens, cycle);
}


static void
ngx_http_zapier_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_zapier_main_conf_t  *zmcf;

    ngx_http_zapier_oauth_exit_worker();
    ngx_http_zapier_keys_exit_worker();
    ngx_http_zapier_connect_exit_worker();
    ngx_http_zapier_poll_exit_worker();
    ngx_zapier_lookups_exit_worker();
    ngx_http_zapier_action_exit_worker();

    zmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_zapier_module);

    if (zmcf != NULL && zmcf->tokens != NULL) {
        ngx_zapier_runs_exit_worker(&zmcf->runs);
        ngx_zapier_limit_news_stop(&zmcf->limits);
        ngx_zapier_limits_exit_worker(&zmcf->limits);
        ngx_zapier_tokens_exit_worker(zmcf->tokens);
        ngx_zapier_redis_exit_worker(zmcf->tokens->redis);
    }
}
