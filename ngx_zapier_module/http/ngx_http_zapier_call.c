
/*
 * The memory of the runner's calls, see ngx_http_zapier_call.h.
 *
 * The clone shares the request's variables, and the request has its states
 * of the upstream: what of them lies in the call's pool is copied before
 * that is destroyed.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_call.h>


/* subrequest, upstream and a buffer for the header fit into few blocks */
#define NGX_HTTP_ZAPIER_CALL_POOL  4096


static ngx_uint_t ngx_http_zapier_call_over(ngx_http_request_t *r,
    ngx_http_request_t *sr);
static ngx_int_t ngx_http_zapier_call_keep(ngx_http_request_t *r);
static ngx_int_t ngx_http_zapier_call_states(ngx_http_request_t *r);
static ngx_int_t ngx_http_zapier_call_upstream(ngx_http_request_t *r);
static u_char *ngx_http_zapier_call_header(ngx_table_elt_t *dst,
    ngx_table_elt_t *src, u_char *p);
static void ngx_http_zapier_call_variables(ngx_http_request_t *r,
    ngx_http_variable_value_t *before);


ngx_pool_t *
ngx_http_zapier_call_memory(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    if (ctx->call_pool == NULL) {
        ctx->call_pool = ngx_create_pool(NGX_HTTP_ZAPIER_CALL_POOL,
                                         r->connection->log);
    }

    return ctx->call_pool;
}


ngx_http_request_t *
ngx_http_zapier_call_create(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_http_zapier_call_pt done)
{
    size_t                       size;
    ngx_int_t                    rc;
    ngx_pool_t                  *pool, *own;
    ngx_http_request_t          *sr;
    ngx_http_core_main_conf_t   *cmcf;
    ngx_http_post_subrequest_t  *ps;

    pool = ngx_http_zapier_call_memory(r, ctx);
    if (pool == NULL) {
        return NULL;
    }

    if (ctx->call_variables == NULL) {
        cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);

        size = cmcf->variables.nelts * sizeof(ngx_http_variable_value_t);

        ctx->call_variables = ngx_palloc(pool, size);
        if (ctx->call_variables == NULL) {
            return NULL;
        }

        ngx_memcpy(ctx->call_variables, r->variables, size);
    }

    ps = ngx_palloc(pool, sizeof(ngx_http_post_subrequest_t));
    if (ps == NULL) {
        return NULL;
    }

    ps->handler = done;
    ps->data = ctx;

    /* a subrequest takes everything from the pool of its parent */

    own = r->pool;
    r->pool = pool;

    rc = ngx_http_subrequest(r, &r->uri, &r->args, &sr, ps,
                             NGX_HTTP_SUBREQUEST_CLONE);
    r->pool = own;

    return (rc == NGX_OK) ? sr : NULL;
}


void
ngx_http_zapier_call_release(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    if (ctx->call == NULL
        || !ngx_http_zapier_call_over(r, ctx->call)
        || ngx_http_zapier_call_keep(r) != NGX_OK)
    {
        return;
    }

    ngx_http_zapier_call_variables(r, ctx->call_variables);

    ngx_http_zapier_bearer(ctx, NULL);

    ngx_http_zapier_call_destroy(ctx);

    ctx->call_variables = NULL;
    ctx->call = NULL;
    ctx->text = NULL;
    ctx->envelope = NULL;
}


void
ngx_http_zapier_call_destroy(ngx_http_zapier_ctx_t *ctx)
{
    if (ctx->call_pool != NULL) {
        ngx_destroy_pool(ctx->call_pool);
        ctx->call_pool = NULL;
    }
}


/* Nobody will come back to it. */

static ngx_uint_t
ngx_http_zapier_call_over(ngx_http_request_t *r, ngx_http_request_t *sr)
{
    ngx_http_posted_request_t  *pr;

    if (!sr->done || r->postponed != NULL) {
        return 0;
    }

    for (pr = r->main->posted_requests; pr; pr = pr->next) {
        if (pr->request == sr) {
            return 0;
        }
    }

    return 1;
}


static ngx_int_t
ngx_http_zapier_call_keep(ngx_http_request_t *r)
{
    return (ngx_http_zapier_call_states(r) == NGX_OK)
           ? ngx_http_zapier_call_upstream(r) : NGX_ERROR;
}


static ngx_int_t
ngx_http_zapier_call_states(ngx_http_request_t *r)
{
    ngx_str_t                  *peer;
    ngx_uint_t                  i;
    ngx_array_t                *states;
    ngx_http_upstream_state_t  *state;

    if (r->upstream_states == NULL || r->upstream_states->nelts == 0) {
        return NGX_OK;
    }

    states = ngx_array_create(r->pool, r->upstream_states->nelts,
                              sizeof(ngx_http_upstream_state_t));
    if (states == NULL) {
        return NGX_ERROR;
    }

    state = states->elts;
    states->nelts = r->upstream_states->nelts;

    ngx_memcpy(state, r->upstream_states->elts,
               states->nelts * sizeof(ngx_http_upstream_state_t));

    for (i = 0; i < states->nelts; i++) {

        /* what was resolved for this call has its name in the call's pool */

        if (state[i].peer == NULL) {
            continue;
        }

        peer = ngx_palloc(r->pool, sizeof(ngx_str_t));
        if (peer == NULL) {
            return NGX_ERROR;
        }

        peer->len = state[i].peer->len;
        peer->data = ngx_pstrdup(r->pool, state[i].peer);
        if (peer->data == NULL) {
            return NGX_ERROR;
        }

        state[i].peer = peer;
    }

    r->upstream_states = states;

    return NGX_OK;
}


/* As much as $upstream_http_* and the like need. */

static ngx_int_t
ngx_http_zapier_call_upstream(ngx_http_request_t *r)
{
    u_char                  *p;
    size_t                   len;
    ngx_list_t              *list;
    ngx_uint_t               n;
    ngx_table_elt_t         *h, *copy;
    ngx_http_upstream_t     *u;
    ngx_http_zapier_walk_t   walk;

    if (r->upstream == NULL) {
        return NGX_OK;
    }

    n = 0;
    len = 0;

    walk.part = &r->upstream->headers_in.headers.part;
    walk.i = 0;

    while ((h = ngx_http_zapier_next_header(&walk)) != NULL) {
        n++;
        len += h->key.len + h->value.len;
    }

    u = ngx_pcalloc(r->pool, sizeof(ngx_http_upstream_t));
    copy = ngx_palloc(r->pool, n * sizeof(ngx_table_elt_t));
    p = ngx_pnalloc(r->pool, len);

    if (u == NULL || copy == NULL || p == NULL) {
        return NGX_ERROR;
    }

    u->headers_in.status_n = r->upstream->headers_in.status_n;
    u->request_sent = r->upstream->request_sent;
#if (NGX_HTTP_CACHE)
    u->cache_status = r->upstream->cache_status;
#endif

    list = &u->headers_in.headers;
    list->part.elts = copy;
    list->part.nelts = n;

    walk.part = &r->upstream->headers_in.headers.part;
    walk.i = 0;

    while ((h = ngx_http_zapier_next_header(&walk)) != NULL) {
        p = ngx_http_zapier_call_header(copy++, h, p);
    }

    r->upstream = u;

    return NGX_OK;
}


static u_char *
ngx_http_zapier_call_header(ngx_table_elt_t *dst, ngx_table_elt_t *src,
    u_char *p)
{
    ngx_memzero(dst, sizeof(ngx_table_elt_t));

    dst->hash = src->hash;

    dst->key.len = src->key.len;
    dst->key.data = p;
    p = ngx_cpymem(p, src->key.data, src->key.len);

    dst->value.len = src->value.len;
    dst->value.data = p;

    return ngx_cpymem(p, src->value.data, src->value.len);
}


/*
 * What was found out during the call, if it is not to be found out again.
 * Secrets are no such values.
 */

static void
ngx_http_zapier_call_variables(ngx_http_request_t *r,
    ngx_http_variable_value_t *before)
{
    u_char                     *p;
    ngx_uint_t                  i;
    ngx_http_core_main_conf_t  *cmcf;
    ngx_http_variable_value_t  *v;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);

    for (i = 0; i < cmcf->variables.nelts; i++) {
        v = &r->variables[i];

        if (!v->valid || v->data == before[i].data) {
            continue;
        }

        p = NULL;

        if (!v->no_cacheable) {
            p = ngx_pnalloc(r->pool, v->len);
        }

        if (p == NULL) {
            v->valid = 0;
            v->not_found = 0;
            continue;
        }

        ngx_memcpy(p, v->data, v->len);
        v->data = p;
    }
}
