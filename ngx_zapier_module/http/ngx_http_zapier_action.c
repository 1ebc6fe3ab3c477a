
/*
 * zapier_action_map: what is done to bodies.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_action.h>


static ngx_uint_t ngx_http_zapier_action_asked(
    ngx_http_zapier_action_conf_t *map, ngx_str_t *name);
static ngx_int_t ngx_http_zapier_action_judge(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_zapier_action_t *action,
    ngx_str_t *body);
static ngx_int_t ngx_http_zapier_action_fault(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_zapier_schema_fault_t *wrong,
    ngx_http_zapier_fault_t *fault);
static ngx_int_t ngx_http_zapier_action_text(ngx_http_request_t *r,
    size_t len, ngx_str_t *body);
static ngx_int_t ngx_http_zapier_action_replace(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_str_t *body);


ngx_int_t
ngx_http_zapier_action_apply(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_str_t                       name;
    ngx_zapier_action_t            *action;
    ngx_http_zapier_naming_t       *naming;
    ngx_http_zapier_loc_conf_t     *zlcf;
    ngx_http_zapier_action_conf_t  *map;

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);
    map = zlcf->action_map;

    if (r->request_body->temp_file != NULL) {

        /* client_body_in_file_only */

        ctx->body_too_large = 1;
        ctx->body_rc = NGX_DECLINED;
        return NGX_OK;
    }

    naming = ngx_pcalloc(r->pool, sizeof(ngx_http_zapier_naming_t));

    if (naming == NULL
        || ngx_http_zapier_action_text(r, (size_t) ctx->body_length,
                                       &naming->body)
           != NGX_OK
        || ngx_zapier_action_parse(&naming->body, &naming->parts) != NGX_OK
        || ngx_zapier_action_name(r->pool, &naming->parts, &name) != NGX_OK)
    {
        return NGX_ERROR;
    }

    naming->map = map;
    naming->name = name;

    action = ngx_zapier_action_find(&map->actions, &name);

    if (action != NULL) {
        ctx->naming = naming;
        return ngx_http_zapier_action_take(r, ctx, action);
    }

    if (ngx_http_zapier_action_asked(map, &name)) {
        ctx->naming = naming;

    } else if (map->strict) {
        ngx_zapier_envelope_unknown_action(ctx->envelope);
        ctx->body_rc = NGX_DECLINED;
    }

    return NGX_OK;
}


/* Can it be a name in Redis?  The upstream's ids have a colon. */

static ngx_uint_t
ngx_http_zapier_action_asked(ngx_http_zapier_action_conf_t *map,
    ngx_str_t *name)
{
    return map->redis
           && name->len <= NGX_ZAPIER_LOOKUP_NAME_LEN
           && ngx_strlchr(name->data, name->data + name->len, ':') == NULL;
}


ngx_int_t
ngx_http_zapier_action_take(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_zapier_action_t *action)
{
    ngx_str_t                  body;
    ngx_http_zapier_naming_t  *naming;

    naming = ctx->naming;
    naming->action = action;

    if (action->schema != NULL) {
        body = naming->body;

        if (ngx_zapier_action_write(r->pool, action, &naming->parts.action,
                                    &ctx->tenant, &body, &naming->parts)
            != NGX_OK
            || ngx_http_zapier_action_judge(r, ctx, action, &body) != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (ctx->body_rc != NGX_OK) {
            ctx->naming = NULL;
            return NGX_OK;
        }
    }

    return (action->action.len != 0)
           ? ngx_http_zapier_action_finish(r, ctx, &action->action) : NGX_OK;
}


ngx_int_t
ngx_http_zapier_action_finish(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_str_t *id)
{
    ngx_http_zapier_naming_t  *naming;

    naming = ctx->naming;
    ctx->naming = NULL;

    if (ngx_zapier_action_write(r->pool, naming->action, id, &ctx->tenant,
                                &naming->body, &naming->parts)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_zapier_action_replace(r, ctx, &naming->body);
}


/* NGX_OK, ctx->body_rc tells. */

static ngx_int_t
ngx_http_zapier_action_judge(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_zapier_action_t *action, ngx_str_t *body)
{
    ngx_int_t                   rc;
    ngx_uint_t                  i;
    ngx_array_t                 found;
    ngx_http_zapier_fault_t    *fault;
    ngx_zapier_action_body_t    parts;
    ngx_zapier_schema_fault_t  *wrong;

    if (ngx_zapier_action_parse(body, &parts) != NGX_OK
        || ngx_array_init(&found, r->pool, 4,
                          sizeof(ngx_zapier_schema_fault_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_zapier_action_check(r->pool, action, &parts.inputs, &found);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    ctx->faults = ngx_array_create(r->pool, found.nelts,
                                   sizeof(ngx_http_zapier_fault_t));
    if (ctx->faults == NULL) {
        return NGX_ERROR;
    }

    wrong = found.elts;

    for (i = 0; i < found.nelts; i++) {
        fault = ngx_array_push(ctx->faults);

        if (fault == NULL
            || ngx_http_zapier_action_fault(r, ctx, &wrong[i], fault)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    ctx->body_rc = NGX_DECLINED;

    return NGX_OK;
}


/* The place is that in the caller's body. */

static ngx_int_t
ngx_http_zapier_action_fault(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_zapier_schema_fault_t *wrong,
    ngx_http_zapier_fault_t *fault)
{
    u_char     *p;
    ngx_str_t  *inputs;

    ngx_memzero(fault, sizeof(ngx_http_zapier_fault_t));

    inputs = ngx_zapier_envelope_inputs(ctx->envelope);

    p = ngx_pnalloc(r->pool, inputs->len + wrong->pointer.len
                             + wrong->detail.len + wrong->keyword.len
                             + sizeof(" ()") - 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    fault->pointer.data = p;
    p = ngx_cpymem(p, inputs->data, inputs->len);
    p = ngx_cpymem(p, wrong->pointer.data, wrong->pointer.len);
    fault->pointer.len = p - fault->pointer.data;

    fault->detail.data = p;
    p = ngx_sprintf(p, "%V (%V)", &wrong->detail, &wrong->keyword);
    fault->detail.len = p - fault->detail.data;

    ngx_str_set(&fault->code, "invalid_input");
    fault->offset = -1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_zapier_action_text(ngx_http_request_t *r, size_t len,
    ngx_str_t *body)
{
    u_char       *p;
    ngx_chain_t  *cl;

    cl = r->request_body->bufs;

    if (cl != NULL && cl->next == NULL) {
        body->data = cl->buf->pos;
        body->len = cl->buf->last - cl->buf->pos;
        return NGX_OK;
    }

    body->data = ngx_pnalloc(r->pool, len);
    if (body->data == NULL) {
        return NGX_ERROR;
    }

    p = body->data;

    for ( /* void */ ; cl; cl = cl->next) {
        p = ngx_cpymem(p, cl->buf->pos, cl->buf->last - cl->buf->pos);
    }

    body->len = p - body->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_zapier_action_replace(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_str_t *body)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    cl = ngx_alloc_chain_link(r->pool);
    b = ngx_calloc_buf(r->pool);

    if (cl == NULL || b == NULL) {
        return NGX_ERROR;
    }

    b->start = body->data;
    b->pos = body->data;
    b->last = body->data + body->len;
    b->end = b->last;
    b->temporary = 1;

    cl->buf = b;
    cl->next = NULL;

    r->request_body->bufs = cl;
    ctx->body_length = body->len;

    return ngx_http_zapier_set_body_headers(r, ctx->body_length);
}
