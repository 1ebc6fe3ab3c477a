
/*
 * What the gateway's own GETs need to know of the request that they are made
 * for, which may be gone by then.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_action.h>
#include <ngx_http_zapier_poll.h>
#include <ngx_http_zapier_queue.h>
#include <ngx_http_zapier_run.h>


static ngx_http_zapier_origin_t *ngx_http_zapier_poll_create_origin(
    ngx_http_zapier_ctx_t *ctx, ngx_pool_t *pool);
static ngx_int_t ngx_http_zapier_poll_scopes(
    ngx_http_zapier_origin_t *origin, ngx_http_zapier_ctx_t *ctx,
    ngx_pool_t *pool);


void *
ngx_http_zapier_poll_origin(ngx_zapier_run_wait_t *wait, ngx_pool_t *pool)
{
    u_char                      *p;
    ngx_str_t                    uri;
    ngx_http_request_t          *r;
    ngx_http_zapier_ctx_t       *ctx;
    ngx_http_zapier_origin_t    *origin;
    ngx_http_zapier_loc_conf_t  *zlcf;

    ctx = wait->data;
    r = ctx->request;

    origin = ngx_http_zapier_poll_create_origin(ctx, pool);
    if (origin == NULL) {
        return NULL;
    }

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    origin->patience = zlcf->queue ? zlcf->queue->time : 0;

    /* the run that a GET is about, or what a POST has added one to */

    uri = r->uri;

    while (uri.len > 1 && uri.data[uri.len - 1] == '/') {
        uri.len--;
    }

    if (!ctx->run->post) {
        uri.len -= wait->id.len + 1;
    }

    p = ngx_pnalloc(pool, uri.len + 1 + wait->id.len);
    if (p == NULL) {
        return NULL;
    }

    origin->uri.data = p;

    p = ngx_cpymem(p, uri.data, uri.len);
    *p++ = '/';
    p = ngx_cpymem(p, wait->id.data, wait->id.len);

    origin->uri.len = p - origin->uri.data;

    return origin;
}


void *
ngx_http_zapier_lookup_origin(ngx_zapier_lookup_t *lookup, ngx_pool_t *pool)
{
    ngx_uint_t                 i;
    ngx_http_zapier_ctx_t     *ctx;
    ngx_zapier_limit_claim_t  *claim;
    ngx_http_zapier_origin_t  *origin;

    ctx = lookup->data;

    origin = ngx_http_zapier_poll_create_origin(ctx, pool);
    if (origin == NULL) {
        return NULL;
    }

    origin->elsewhere = 1;
    origin->uri = lookup->uri;
    origin->patience = ngx_http_zapier_queue_time(ctx->request, ctx);

    /* it is a part of the caller's own call */

    claim = &ctx->claim;
    origin->patient = claim->patient;

    for (i = 0; i < claim->nscopes; i++) {
        origin->scopes[i].party = claim->scopes[i].party;
        origin->scopes[i].weight = claim->scopes[i].weight;
    }

    return origin;
}


static ngx_http_zapier_origin_t *
ngx_http_zapier_poll_create_origin(ngx_http_zapier_ctx_t *ctx,
    ngx_pool_t *pool)
{
    ngx_http_request_t        *r;
    ngx_http_core_srv_conf_t  *cscf;
    ngx_http_zapier_origin_t  *origin;

    r = ctx->request;

    origin = ngx_pcalloc(pool, sizeof(ngx_http_zapier_origin_t));
    if (origin == NULL) {
        return NULL;
    }

    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    origin->server = cscf->ctx;
    origin->loc_conf = r->loc_conf;
    origin->content_handler = r->content_handler;
    origin->phase_handler = r->phase_handler;
    origin->hash = ctx->hash;
    origin->dry = ctx->dry;

    if (ngx_http_zapier_poll_scopes(origin, ctx, pool) != NGX_OK) {
        return NULL;
    }

    return origin;
}


/* One unit of each scope; keys that are made of the request are as there. */

static ngx_int_t
ngx_http_zapier_poll_scopes(ngx_http_zapier_origin_t *origin,
    ngx_http_zapier_ctx_t *ctx, ngx_pool_t *pool)
{
    ngx_uint_t                 i;
    ngx_zapier_limit_claim_t  *claim;
    ngx_zapier_limit_scope_t  *scope;

    claim = &ctx->claim;

    origin->nscopes = claim->nscopes;
    origin->fallback = claim->fallback;
    origin->open_calls = claim->open_calls;
    origin->open_time = claim->open_time;

    origin->tag.len = claim->tag.len;
    origin->tag.data = ngx_pstrdup(pool, &claim->tag);
    origin->scopes = ngx_pcalloc(pool, claim->nscopes
                                       * sizeof(ngx_zapier_limit_scope_t));

    if (origin->tag.data == NULL || origin->scopes == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < origin->nscopes; i++) {
        scope = &origin->scopes[i];

        scope->zone = claim->scopes[i].zone;
        scope->hash = claim->scopes[i].hash;
        scope->units = 1;
        ngx_zapier_limit_tag(scope, &origin->tag);
        scope->key.len = claim->scopes[i].key.len;

        scope->key.data = ngx_pstrdup(pool, &claim->scopes[i].key);
        if (scope->key.data == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


void
ngx_http_zapier_poll_claim(ngx_http_zapier_origin_t *origin,
    ngx_zapier_limit_claim_t *claim, ngx_zapier_limit_scope_t *scopes)
{
    ngx_memzero(claim, sizeof(ngx_zapier_limit_claim_t));

    claim->nscopes = origin->nscopes;
    claim->tag = origin->tag;
    claim->fallback = origin->fallback;
    claim->open_calls = origin->open_calls;
    claim->open_time = origin->open_time;
    claim->patient = origin->patient;

    claim->scopes = scopes;

    ngx_memcpy(scopes, origin->scopes,
               origin->nscopes * sizeof(ngx_zapier_limit_scope_t));
}
