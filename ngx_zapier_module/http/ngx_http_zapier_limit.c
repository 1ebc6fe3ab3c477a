
/*
 * Quota as a request sees it: the chain to claim, what the upstream's
 * answer says of it, and the account at the end.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_sha1.h>
#include <ngx_http_zapier_module.h>
#include <ngx_zapier_limit_count.h>


static ngx_int_t ngx_http_zapier_limit_scope(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_http_zapier_zone_t *zone,
    ngx_zapier_limit_scope_t *scope);
static ngx_int_t ngx_http_zapier_limit_tag_value(ngx_http_request_t *r,
    ngx_http_zapier_loc_conf_t *zlcf, ngx_str_t *tag);
static ngx_int_t ngx_http_zapier_limit_digest(ngx_http_request_t *r,
    ngx_str_t *key);
static ngx_int_t ngx_http_zapier_limit_units(ngx_http_request_t *r,
    ngx_http_zapier_zone_t *zone, uint32_t *units);
static ngx_int_t ngx_http_zapier_limit_share(ngx_http_request_t *r,
    ngx_http_zapier_zone_t *zone, ngx_zapier_limit_scope_t *scope);
static ngx_int_t ngx_http_zapier_limit_header(ngx_http_request_t *r,
    const char *name, int64_t number, u_char **p);
static void ngx_http_zapier_limit_hide(ngx_http_request_t *r,
    ngx_uint_t limits, ngx_uint_t retry_after);


ngx_int_t
ngx_http_zapier_limit_chain(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_uint_t                    i;
    ngx_http_zapier_zone_t      **zones;
    ngx_zapier_limit_claim_t     *claim;
    ngx_http_zapier_loc_conf_t   *zlcf;

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    claim = &ctx->claim;
    claim->nscopes = 0;
    ngx_zapier_limit_view_init(&claim->view);

    ctx->dry = zlcf->dry_run != 0
               && (ngx_uint_t) (ngx_random() % 100) < zlcf->dry_run;
    ctx->let_pass = 0;

    claim->fallback = zlcf->fallback;
    claim->open_calls = zlcf->open_calls;
    claim->open_time = zlcf->open_time;
    claim->patient = (zlcf->queue != NULL);

    if (ngx_http_zapier_limit_tag_value(r, zlcf, &claim->tag) != NGX_OK) {
        return NGX_ERROR;
    }

    zones = zlcf->limits->elts;

    claim->scopes = ngx_palloc(r->pool, zlcf->limits->nelts
                                        * sizeof(ngx_zapier_limit_scope_t));
    if (claim->scopes == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < zlcf->limits->nelts; i++) {

        rc = ngx_http_zapier_limit_scope(r, ctx, zones[i],
                                         &claim->scopes[claim->nscopes]);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_OK) {
            claim->nscopes++;
        }
    }

    return NGX_OK;
}


/* NGX_DECLINED: the zone is not for this call. */

static ngx_int_t
ngx_http_zapier_limit_scope(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx,
    ngx_http_zapier_zone_t *zone, ngx_zapier_limit_scope_t *scope)
{
    ngx_zapier_limit_scope_init(scope);

    scope->zone = &zone->zone;
    scope->hash = 0;

    if (zone->by_tenant) {
        scope->key = ctx->tenant;
        scope->hash = ctx->hash;

    } else if (ngx_http_complex_value(r, zone->key, &scope->key) != NGX_OK) {
        return NGX_ERROR;
    }

    /* as with limit_req, an empty key is not counted */

    if (scope->key.len == 0) {
        return NGX_DECLINED;
    }

    if (ngx_zapier_unlikely(scope->key.len > NGX_ZAPIER_LIMIT_KEY_LEN)
        && ngx_http_zapier_limit_digest(r, &scope->key) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_zapier_limit_tag(scope, &ctx->claim.tag);

    if (ngx_http_zapier_limit_units(r, zone, &scope->units) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_zapier_limit_share(r, zone, scope);
}


/* "{" and "}" would move the keys of one chain to several slots. */

static ngx_int_t
ngx_http_zapier_limit_tag_value(ngx_http_request_t *r,
    ngx_http_zapier_loc_conf_t *zlcf, ngx_str_t *tag)
{
    size_t  i;

    if (ngx_zapier_likely(zlcf->limit_tag == NULL)) {
        ngx_zapier_limit_tag_default(tag);
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, zlcf->limit_tag, tag) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = 0; i < tag->len; i++) {
        if (tag->data[i] == '{' || tag->data[i] == '}') {
            break;
        }
    }

    if (i < tag->len || tag->len == 0
        || tag->len > NGX_ZAPIER_LIMIT_TAG_LEN)
    {

        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "invalid zapier_limit_tag \"%V\", \"all\" is taken",
                      tag);

        ngx_zapier_limit_tag_default(tag);
    }

    return NGX_OK;
}


/*
 * A digest stands for a long key.  Who finds two keys of one digest makes
 * them share their quota, which only he can suffer from.
 */

static ngx_int_t
ngx_http_zapier_limit_digest(ngx_http_request_t *r, ngx_str_t *key)
{
    u_char      *p;
    u_char       digest[20];
    ngx_sha1_t   sha1;

    p = ngx_pnalloc(r->pool, sizeof("sha1:") - 1 + 2 * sizeof(digest));
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, key->data, key->len);
    ngx_sha1_final(digest, &sha1);

    key->data = p;

    p = ngx_http_zapier_put(p, "sha1:");
    p = ngx_hex_dump(p, digest, sizeof(digest));

    key->len = p - key->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_zapier_limit_units(ngx_http_request_t *r,
    ngx_http_zapier_zone_t *zone, uint32_t *units)
{
    ngx_int_t  n;
    ngx_str_t  value;

    *units = 1;

    if (ngx_zapier_likely(zone->weight == NULL)) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, zone->weight, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    n = ngx_atoi(value.data, value.len);

    if (n < 1 || n > 1000000) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "invalid weight \"%V\" for zapier_limit_zone \"%V\", "
                      "1 is taken", &value, &zone->zone.name);
        return NGX_OK;
    }

    *units = n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_zapier_limit_share(ngx_http_request_t *r,
    ngx_http_zapier_zone_t *zone, ngx_zapier_limit_scope_t *scope)
{
    ngx_int_t                     n;
    ngx_str_t                     value;
    ngx_http_zapier_main_conf_t  *zmcf;

    scope->party = 0;
    scope->weight = 1;

    if (ngx_zapier_likely(zone->share == NULL)) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, zone->share, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (value.len == 0) {
        return NGX_OK;
    }

    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    scope->party = ngx_zapier_shm_hash(zmcf->limits.shm, value.data,
                                       value.len)
                   | 1;

    if (zone->share_weight == NULL) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, zone->share_weight, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    n = ngx_atoi(value.data, value.len);

    if (n < 1 || n > NGX_ZAPIER_LIMIT_QUEUE_WEIGHT) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "invalid share_weight \"%V\" for zapier_limit_zone "
                      "\"%V\", 1 is taken", &value, &zone->zone.name);
        return NGX_OK;
    }

    scope->weight = n;

    return NGX_OK;
}


ngx_uint_t
ngx_http_zapier_limit_dry(ngx_http_request_t *r, ngx_http_zapier_ctx_t *ctx)
{
    ngx_zapier_limit_zone_t      *zone;
    ngx_http_zapier_main_conf_t  *zmcf;

    if (!ctx->dry) {
        return 0;
    }

    ctx->let_pass = 1;

    zone = ctx->claim.view.zone;

    if (zone == NULL) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "dry run: the call would have been refused, its quota "
                      "is not known");
        return 1;
    }

    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    ngx_zapier_limit_count(&zmcf->limits, zone, NGX_ZAPIER_LIMIT_COUNT_DRY_RUN,
                           1);

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "dry run: the call would have been refused by limit zone "
                  "\"%V\"", &zone->name);

    return 1;
}


void
ngx_http_zapier_limit_observe(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_table_elt_t              *h;
    ngx_http_upstream_t          *u;
    ngx_http_zapier_walk_t        walk;
    ngx_http_zapier_main_conf_t  *zmcf;

    u = r->upstream;

    /* a location that was redirected from may have left its upstream */

    if (!ctx->claimed || ctx->observed || u == NULL || u == ctx->upstream
        || u->headers_in.status_n == 0)
    {
        return;
    }

#if (NGX_HTTP_CACHE)
    if (r->cached) {
        return;
    }
#endif

    ctx->observed = 1;

    ngx_zapier_ratelimit_init(&ctx->ratelimit);

    walk.part = &u->headers_in.headers.part;
    walk.i = 0;

    for ( ;; ) {
        h = ngx_http_zapier_next_header(&walk);

        if (h == NULL) {
            break;
        }

        if (ngx_zapier_unlikely(ngx_zapier_ratelimit_likely(&h->key))
            && ngx_zapier_ratelimit_header(&ctx->ratelimit, &h->key,
                                           &h->value, ngx_time())
               == NGX_ERROR)
        {
            ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                          "upstream sent a malformed \"%V\" header, it is "
                          "ignored", &h->key);
        }
    }

    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    ngx_zapier_limit_observe(&zmcf->limits, &ctx->claim,
                             u->headers_in.status_n, &ctx->ratelimit);
}


void
ngx_http_zapier_limit_settle(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_uint_t                    i, calls, seen;
    ngx_zapier_ratelimit_t        rl;
    ngx_http_upstream_state_t    *state;
    ngx_http_zapier_main_conf_t  *zmcf;

    if (!ctx->claimed) {
        return;
    }

    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    if (ctx->call != NULL) {
        r = ctx->call;
    }

    calls = 0;

    if (r->upstream_states != NULL) {
        state = r->upstream_states->elts;
        seen = 0;

        for (i = ctx->states; i < r->upstream_states->nelts; i++) {

            /* nginx puts an empty state between one proxy_pass and the next */

            if (state[i].peer == NULL) {
                if (seen) {
                    break;
                }

                continue;
            }

            seen = 1;

            if (state[i].bytes_sent == 0) {
                continue;
            }

            calls++;

            if (state[i].status == NGX_HTTP_TOO_MANY_REQUESTS
                && i + 1 < r->upstream_states->nelts)
            {
                /* the headers of an attempt that was retried are gone */

                ngx_zapier_ratelimit_init(&rl);
                ngx_zapier_limit_observe(&zmcf->limits, &ctx->claim,
                                         state[i].status, &rl);
            }
        }
    }

    ngx_http_zapier_limit_observe(r, ctx);

    ctx->claimed = 0;

    if (calls == 0) {
        ngx_zapier_limit_return(&zmcf->limits, &ctx->claim);

    } else if (calls > 1) {
        ngx_zapier_limit_charge(&zmcf->limits, &ctx->claim, calls - 1);
    }

    ngx_zapier_limit_done(&zmcf->limits, &ctx->claim);
}


ngx_int_t
ngx_http_zapier_limit_headers(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    u_char                   *p;
    ngx_uint_t                limits, retry_after;
    ngx_zapier_limit_view_t  *view;

    view = &ctx->claim.view;

    if (view->zone == NULL) {
        return NGX_OK;
    }

    /* never more permissive than what the upstream says itself */

    limits = (!ctx->observed
              || ctx->ratelimit.remaining == NGX_ZAPIER_RATELIMIT_UNSET
              || ctx->ratelimit.remaining >= view->remaining);

    retry_after = (view->retry_after != 0
                   && (r->headers_out.status == NGX_HTTP_TOO_MANY_REQUESTS
                       || r->headers_out.status
                          == NGX_HTTP_SERVICE_UNAVAILABLE)
                   && (!ctx->observed
                       || ctx->ratelimit.retry_after <= view->retry_after));

    if (ctx->observed) {
        ngx_http_zapier_limit_hide(r, limits, retry_after);
    }

    p = ngx_pnalloc(r->pool, 4 * NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    /* the upstream may close a gate without telling its limit */

    if (limits
        && view->limit >= 0
        && ngx_http_zapier_limit_header(r, "X-RateLimit-Limit", view->limit,
                                        &p)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (limits
        && (ngx_http_zapier_limit_header(r, "X-RateLimit-Remaining",
                                         view->remaining, &p)
               != NGX_OK
            || ngx_http_zapier_limit_header(r, "X-RateLimit-Reset",
                                            view->reset, &p)
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    if (retry_after) {
        return ngx_http_zapier_limit_header(r, "Retry-After",
                                            view->retry_after, &p);
    }

    return NGX_OK;
}


/* the number is written to *p, which goes on to its end */

static ngx_int_t
ngx_http_zapier_limit_header(ngx_http_request_t *r, const char *name,
    int64_t number, u_char **p)
{
    ngx_str_t  value;

    value.data = *p;
    *p = ngx_http_zapier_put_number(*p, number);
    value.len = *p - value.data;

    return ngx_http_zapier_add_header(r, name, &value);
}


/* Takes the upstream's own headers out of the answer. */

static void
ngx_http_zapier_limit_hide(ngx_http_request_t *r, ngx_uint_t limits,
    ngx_uint_t retry_after)
{
    ngx_table_elt_t         *h;
    ngx_http_zapier_walk_t   walk;

    static u_char  prefix[] = "X-RateLimit-";

    walk.part = &r->headers_out.headers.part;
    walk.i = 0;

    for ( ;; ) {
        h = ngx_http_zapier_next_header(&walk);

        if (h == NULL) {
            return;
        }

        if ((limits
             && h->key.len > sizeof(prefix) - 1
             && ngx_strncasecmp(h->key.data, prefix, sizeof(prefix) - 1) == 0)
            || (retry_after && ngx_http_zapier_header_is(h, "Retry-After")))
        {
            h->hash = 0;
        }
    }
}
