
/*
 * Configurations: made, merged, checked as a whole.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_action.h>
#include <ngx_http_zapier_callback.h>
#include <ngx_http_zapier_run.h>


#define NGX_HTTP_ZAPIER_ZONE_SIZE  (16 * 1024 * 1024)


static char *ngx_http_zapier_check_needs(ngx_conf_t *cf,
    ngx_http_zapier_main_conf_t *zmcf, ngx_http_zapier_loc_conf_t *conf);
static char *ngx_http_zapier_useless(ngx_conf_t *cf,
    ngx_http_zapier_mention_t *mention, const char *need,
    const char *where);
static void ngx_http_zapier_check_size(ngx_conf_t *cf,
    ngx_http_zapier_loc_conf_t *conf, ngx_http_core_loc_conf_t *clcf);
static void ngx_http_zapier_stand(ngx_conf_t *cf, ngx_conf_file_t *file,
    ngx_http_zapier_mention_t *mention);
static ngx_int_t ngx_http_zapier_default_limit(ngx_conf_t *cf,
    ngx_http_zapier_main_conf_t *zmcf);
static ngx_int_t ngx_http_zapier_check_zones(ngx_conf_t *cf,
    ngx_http_zapier_main_conf_t *zmcf);
static ngx_int_t ngx_http_zapier_check_oauth(ngx_conf_t *cf,
    ngx_http_zapier_main_conf_t *zmcf);
static ngx_int_t ngx_http_zapier_init_redis(ngx_conf_t *cf,
    ngx_http_zapier_main_conf_t *zmcf);
static ngx_int_t ngx_http_zapier_init_tables(ngx_conf_t *cf,
    ngx_http_zapier_main_conf_t *zmcf, ngx_zapier_shm_t *shm);
static ngx_int_t ngx_http_zapier_full_name(ngx_conf_t *cf, ngx_str_t *name);


void *
ngx_http_zapier_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_zapier_main_conf_t  *zmcf;

    zmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_zapier_main_conf_t));
    if (zmcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     zmcf->zone_name = { 0, NULL };
     *     zmcf->redis.url = { 0, NULL };
     *     zmcf->used = { { 0, NULL }, ... };
     *     zmcf->tokens = NULL;
     */

    zmcf->redis.ssl_verify = NGX_CONF_UNSET;
    zmcf->token_cache = NGX_CONF_UNSET_MSEC;
    zmcf->token_missing_cache = NGX_CONF_UNSET_MSEC;

    if (ngx_array_init(&zmcf->zones, cf->pool, 4,
                       sizeof(ngx_http_zapier_zone_t *))
        != NGX_OK)
    {
        return NULL;
    }

    if (ngx_array_init(&zmcf->apps, cf->pool, 2,
                       sizeof(ngx_http_zapier_app_t *))
        != NGX_OK)
    {
        return NULL;
    }

    /* its zone is looked up when all zapier_limit_zone are known */

    zmcf->tenant_zone = ngx_array_create(cf->pool, 1,
                                         sizeof(ngx_http_zapier_zone_t *));
    if (zmcf->tenant_zone == NULL) {
        return NULL;
    }

    return zmcf;
}


char *
ngx_http_zapier_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_zapier_main_conf_t *zmcf = conf;

    ngx_conf_init_value(zmcf->redis.ssl_verify, 1);
    ngx_conf_init_msec_value(zmcf->token_cache, 60000);
    ngx_conf_init_msec_value(zmcf->token_missing_cache, 2000);

    if (zmcf->zone_name.data == NULL) {
        ngx_str_set(&zmcf->zone_name, "zapier");
        zmcf->zone_size = NGX_HTTP_ZAPIER_ZONE_SIZE;
    }

    return NGX_CONF_OK;
}


void *
ngx_http_zapier_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_zapier_loc_conf_t  *zlcf;

    zlcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_zapier_loc_conf_t));
    if (zlcf == NULL) {
        return NULL;
    }

    zlcf->tenant = NGX_CONF_UNSET_PTR;
    zlcf->body = NGX_CONF_UNSET_UINT;
    zlcf->body_max = NGX_CONF_UNSET_SIZE;
    zlcf->auth = NGX_CONF_UNSET_UINT;
    zlcf->limits = NGX_CONF_UNSET_PTR;
    zlcf->fallback = NGX_CONF_UNSET_UINT;
    zlcf->dry_run = NGX_CONF_UNSET_UINT;
    zlcf->queue = NGX_CONF_UNSET_PTR;
    zlcf->retry = NGX_CONF_UNSET_UINT;
    zlcf->retry_time = NGX_CONF_UNSET_MSEC;
    zlcf->wait = NGX_CONF_UNSET_PTR;
    zlcf->idem = NGX_CONF_UNSET_PTR;
    zlcf->callback = NGX_CONF_UNSET_PTR;
    zlcf->action_map = NGX_CONF_UNSET_PTR;
    zlcf->action = NGX_CONF_UNSET_PTR;
    zlcf->authentication = NGX_CONF_UNSET_PTR;

    return zlcf;
}


char *
ngx_http_zapier_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_zapier_loc_conf_t *prev = parent;
    ngx_http_zapier_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t     *clcf;
    ngx_http_zapier_main_conf_t  *zmcf;

    zmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_zapier_module);

    if (conf->body == NGX_CONF_UNSET_UINT) {
        conf->sized = prev->sized;
        conf->bulk = prev->bulk;
    }

    ngx_conf_merge_ptr_value(conf->tenant, prev->tenant, NULL);
    ngx_conf_merge_uint_value(conf->body, prev->body, NGX_HTTP_ZAPIER_BODY_OFF);
    ngx_conf_merge_size_value(conf->body_max, prev->body_max,
                              NGX_HTTP_ZAPIER_BODY_MAX);
    ngx_conf_merge_ptr_value(conf->action, prev->action, NULL);
    ngx_conf_merge_ptr_value(conf->authentication, prev->authentication, NULL);
    ngx_conf_merge_str_value(conf->scope, prev->scope, "");
    ngx_conf_merge_ptr_value(conf->limits, prev->limits, zmcf->tenant_zone);

    if (conf->limit_tag == NULL) {
        conf->limit_tag = prev->limit_tag;
    }

    ngx_conf_merge_uint_value(conf->dry_run, prev->dry_run, 0);
    ngx_conf_merge_ptr_value(conf->queue, prev->queue, NULL);

    if (conf->fallback == NGX_CONF_UNSET_UINT) {
        conf->open_calls = prev->open_calls;
        conf->open_time = prev->open_time;
    }

    ngx_conf_merge_uint_value(conf->fallback, prev->fallback,
                              NGX_ZAPIER_LIMIT_FALL_LOCAL);
    ngx_conf_merge_uint_value(conf->retry, prev->retry, 0);
    ngx_conf_merge_msec_value(conf->retry_time, prev->retry_time, 10000);
    ngx_conf_merge_ptr_value(conf->wait, prev->wait, NULL);
    ngx_conf_merge_ptr_value(conf->idem, prev->idem, NULL);

    if (ngx_http_zapier_auth_merge(cf, prev, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_zapier_check_needs(cf, zmcf, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    /* what stands above other locations may be meant for those */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->needs_tenant.name.data != NULL
        && conf->tenant == NULL
        && clcf->name.len != 0
        && clcf->locations == NULL)
    {
        return ngx_http_zapier_useless(cf, &conf->needs_tenant,
                                       "zapier_tenant",
                                       "in the same location");
    }

    ngx_http_zapier_check_size(cf, conf, clcf);

    ngx_http_zapier_admin_merge(cf);
    ngx_http_zapier_action_merge(cf, prev, conf);
    ngx_http_zapier_callback_merge(cf, prev, conf);

    return ngx_http_zapier_connect_merge(cf, prev, conf);
}


/* What a directive does nothing without. */

static char *
ngx_http_zapier_check_needs(ngx_conf_t *cf, ngx_http_zapier_main_conf_t *zmcf,
    ngx_http_zapier_loc_conf_t *conf)
{
    if (conf->needs_body.name.data != NULL
        && conf->body == NGX_HTTP_ZAPIER_BODY_OFF)
    {
        return ngx_http_zapier_useless(cf, &conf->needs_body,
                                       "zapier_body action_run",
                                       "in the same location");
    }

    if (conf->needs_wait.name.data != NULL && conf->wait == NULL) {
        return ngx_http_zapier_useless(cf, &conf->needs_wait,
                                       "zapier_wait TIME",
                                       "in the same location");
    }

    if (conf->needs_refresh.name.data != NULL
        && zmcf->oauth_token.name.data == NULL)
    {
        return ngx_http_zapier_useless(cf, &conf->needs_refresh,
                                       "zapier_oauth_token URI",
                                       "in the http block");
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_zapier_useless(ngx_conf_t *cf, ngx_http_zapier_mention_t *mention,
    const char *need, const char *where)
{
    ngx_conf_file_t  file;

    ngx_http_zapier_stand(cf, &file, mention);

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"%V\" \"%V\" has no effect, it needs \"%s\" %s",
                       &mention->name, &mention->value, need, where);

    return NGX_CONF_ERROR;
}


/* nginx refuses too large a body before this module can */

static void
ngx_http_zapier_check_size(ngx_conf_t *cf, ngx_http_zapier_loc_conf_t *conf,
    ngx_http_core_loc_conf_t *clcf)
{
    ngx_conf_file_t  file, *saved;

    if (conf->tenant == NULL
        || conf->sized.name.data == NULL
        || clcf->name.len == 0
        || clcf->noname
        || clcf->client_max_body_size == 0
        || clcf->client_max_body_size >= (off_t) conf->body_max)
    {
        return;
    }

    saved = cf->conf_file;

    ngx_http_zapier_stand(cf, &file, &conf->sized);

    ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                       "\"%V\" of \"%V\" is larger than "
                       "\"client_max_body_size\" of location \"%V\", which "
                       "is %O bytes: nginx itself refuses what is larger, "
                       "with its own error page",
                       &conf->sized.value, &conf->sized.name, &clcf->name,
                       clcf->client_max_body_size);

    cf->conf_file = saved;
}


/*
 * Errors name the place of the directive, not the end of the block that is
 * merged; file lives as long as cf stands there.
 */

static void
ngx_http_zapier_stand(ngx_conf_t *cf, ngx_conf_file_t *file,
    ngx_http_zapier_mention_t *mention)
{
    if (mention->name.data == NULL) {
        return;
    }

    *file = *cf->conf_file;

    file->file.name.data = mention->file;
    file->line = mention->line;

    cf->conf_file = file;
}


ngx_int_t
ngx_http_zapier_conf_finish(ngx_conf_t *cf)
{
    ngx_conf_file_t               file, *saved;
    ngx_zapier_shm_t             *shm;
    ngx_http_zapier_main_conf_t  *zmcf;

    zmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_zapier_module);

    if (ngx_http_zapier_default_limit(cf, zmcf) != NGX_OK
        || ngx_http_zapier_check_zones(cf, zmcf) != NGX_OK
        || ngx_http_zapier_check_oauth(cf, zmcf) != NGX_OK
        || ngx_http_zapier_connect_check(cf, zmcf) != NGX_OK
        || ngx_http_zapier_callback_check(cf, zmcf) != NGX_OK
        || ngx_http_zapier_auth_init(cf, zmcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (zmcf->used.name.data == NULL) {
        return NGX_OK;
    }

    saved = cf->conf_file;

    if (zmcf->redis.url.len == 0) {
        ngx_http_zapier_stand(cf, &file, &zmcf->used);

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is used, but there is no "
                           "\"zapier_redis\" in the http block; add, for "
                           "example, \"zapier_redis redis://127.0.0.1:6379;\"",
                           &zmcf->used.name);
        return NGX_ERROR;
    }

    ngx_http_zapier_stand(cf, &file, &zmcf->zone);

    shm = ngx_zapier_shm_add(cf, &zmcf->zone_name, zmcf->zone_size,
                             &ngx_http_zapier_module);

    cf->conf_file = saved;

    if (shm == NULL) {
        return NGX_ERROR;
    }

    zmcf->tokens = ngx_pcalloc(cf->pool, sizeof(ngx_zapier_tokens_t));
    if (zmcf->tokens == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_zapier_init_redis(cf, zmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_zapier_init_tables(cf, zmcf, shm);
}


static ngx_int_t
ngx_http_zapier_init_tables(ngx_conf_t *cf, ngx_http_zapier_main_conf_t *zmcf,
    ngx_zapier_shm_t *shm)
{
    zmcf->tokens->shm = shm;
    zmcf->tokens->prefix = zmcf->prefix;
    zmcf->tokens->redis_url = zmcf->redis.url;
    zmcf->tokens->redis_timeout = zmcf->redis.timeout;
    zmcf->tokens->cache = zmcf->token_cache;
    zmcf->tokens->missing_cache = zmcf->token_missing_cache;
    zmcf->tokens->oauth = (zmcf->oauth_token.name.data != NULL)
                          ? zmcf->oauth : NULL;
    zmcf->tokens->keyring = zmcf->keyring;
    zmcf->tokens->key_required = zmcf->key_required;

    if (ngx_zapier_tokens_init(cf, zmcf->tokens) != NGX_OK) {
        return NGX_ERROR;
    }

    zmcf->limits.shm = shm;
    zmcf->limits.redis = zmcf->tokens->redis;
    zmcf->limits.prefix = zmcf->prefix;

    if (ngx_http_zapier_limit_zones(cf, zmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_zapier_limits_init(cf, &zmcf->limits) != NGX_OK) {
        return NGX_ERROR;
    }

    zmcf->runs.shm = shm;
    zmcf->runs.redis = zmcf->tokens->redis;
    zmcf->runs.prefix = zmcf->prefix;
    zmcf->runs.call = ngx_http_zapier_poll_call;

    if (ngx_zapier_runs_init(cf, &zmcf->runs) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_zapier_lookups_init(cf, &zmcf->runs);
}


/* "zapier_limit tenant" and, unless it is defined, its zone */

static ngx_int_t
ngx_http_zapier_default_limit(ngx_conf_t *cf,
    ngx_http_zapier_main_conf_t *zmcf)
{
    ngx_str_t                          name, value;
    ngx_http_zapier_zone_t            *zone, **zp;
    ngx_http_compile_complex_value_t   ccv;

    ngx_str_set(&name, "tenant");
    ngx_str_set(&value, "$zapier_tenant");

    zone = ngx_http_zapier_zone_get(cf, zmcf, &name);
    if (zone == NULL) {
        return NGX_ERROR;
    }

    zp = ngx_array_push(zmcf->tenant_zone);
    if (zp == NULL) {
        return NGX_ERROR;
    }

    *zp = zone;

    if (zone->key != NULL) {
        return NGX_OK;
    }

    zone->by_tenant = 1;
    zone->zone.mirror = 1;
    zone->zone.cooldown = NGX_HTTP_ZAPIER_COOLDOWN;

    zone->key = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (zone->key == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &value;
    ccv.complex_value = zone->key;

    return ngx_http_compile_complex_value(&ccv);
}


static ngx_int_t
ngx_http_zapier_check_zones(ngx_conf_t *cf, ngx_http_zapier_main_conf_t *zmcf)
{
    ngx_uint_t                i;
    ngx_http_zapier_zone_t  **zones;

    zones = zmcf->zones.elts;

    for (i = 0; i < zmcf->zones.nelts; i++) {

        if (zones[i]->key == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown zone \"%V\" in \"zapier_limit\" in %s:%ui, "
                          "define it by \"zapier_limit_zone %V key=...;\" in "
                          "the http block", &zones[i]->zone.name,
                          zones[i]->file, zones[i]->line,
                          &zones[i]->zone.name);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* one of the two without the other does nothing, but for a client's id */

static ngx_int_t
ngx_http_zapier_check_oauth(ngx_conf_t *cf, ngx_http_zapier_main_conf_t *zmcf)
{
    ngx_conf_file_t             file, *saved;
    ngx_http_zapier_mention_t  *client, *token;

    client = &zmcf->oauth_client;
    token = &zmcf->oauth_token;

    if (client->name.data == NULL && token->name.data == NULL) {
        return NGX_OK;
    }

    if (client->name.data != NULL
        && (token->name.data != NULL
            ? zmcf->oauth->client_secret.len != 0
            : zmcf->auth_client_id.name.data != NULL))
    {
        return NGX_OK;
    }

    saved = cf->conf_file;

    ngx_http_zapier_stand(cf, &file, client->name.data ? client : token);

    if (token->name.data == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"zapier_oauth_client\" needs "
                           "\"zapier_oauth_token URI\" in the http block, or "
                           "\"zapier_auth client_id\" in a location");

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"zapier_oauth_token\" needs "
                           "\"zapier_oauth_client ID SECRET_FILE\" in the "
                           "http block");
    }

    cf->conf_file = saved;

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_zapier_init_redis(ngx_conf_t *cf, ngx_http_zapier_main_conf_t *zmcf)
{
    ngx_conf_file_t            file, *saved;
    ngx_zapier_redis_conf_t   *conf;
    ngx_http_core_loc_conf_t  *clcf;

    conf = &zmcf->redis;

    if (ngx_http_zapier_full_name(cf, &conf->password_file) != NGX_OK
        || ngx_http_zapier_full_name(cf, &conf->sentinel_password_file)
           != NGX_OK
        || ngx_http_zapier_full_name(cf, &conf->ssl_trusted_certificate)
           != NGX_OK
        || ngx_http_zapier_full_name(cf, &conf->ssl_certificate) != NGX_OK
        || ngx_http_zapier_full_name(cf, &conf->ssl_certificate_key)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* without "resolver" nginx makes one that has no servers */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->resolver != NULL && clcf->resolver->connections.nelts != 0) {
        conf->resolver = clcf->resolver;
        conf->resolver_timeout = (clcf->resolver_timeout
                                  == NGX_CONF_UNSET_MSEC)
                                 ? 30000 : clcf->resolver_timeout;
    }

    saved = cf->conf_file;

    ngx_http_zapier_stand(cf, &file, &zmcf->store);

    zmcf->tokens->redis = ngx_zapier_redis_create(cf, conf);

    cf->conf_file = saved;

    return (zmcf->tokens->redis == NULL) ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_http_zapier_full_name(ngx_conf_t *cf, ngx_str_t *name)
{
    if (name->len == 0) {
        return NGX_OK;
    }

    return ngx_conf_full_name(cf->cycle, name, 1);
}
