
/*
 * zapier_action_map: the directive, and what is done to bodies.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_action.h>
#include <ngx_http_zapier_directive.h>


/* bytes of a map, at most */
#define NGX_HTTP_ZAPIER_ACTION_MAP  (4 * 1024 * 1024)


static char *ngx_http_zapier_action_load(ngx_conf_t *cf, ngx_str_t *value,
    ngx_array_t *actions);
static ngx_int_t ngx_http_zapier_action_file(ngx_conf_t *cf, ngx_str_t *name,
    ngx_str_t *text);
static ngx_int_t ngx_http_zapier_action_judge(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_zapier_action_t *action,
    ngx_str_t *body);
static ngx_int_t ngx_http_zapier_action_fault(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_zapier_schema_fault_t *wrong,
    ngx_http_zapier_fault_t *fault);
static ngx_int_t ngx_http_zapier_action_text(ngx_http_request_t *r,
    size_t len, ngx_str_t *body);


char *
ngx_http_zapier_action_map(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_loc_conf_t *zlcf = conf;

    ngx_str_t                      *value;
    ngx_http_zapier_action_conf_t  *map;

    if (zlcf->action_map != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0 && cf->args->nelts == 2) {
        zlcf->action_map = NULL;
        return NGX_CONF_OK;
    }

    map = ngx_pcalloc(cf->pool, sizeof(ngx_http_zapier_action_conf_t));
    if (map == NULL) {
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts == 3) {

        if (ngx_strcmp(value[2].data, "strict") != 0) {
            return ngx_http_zapier_invalid(cf, &value[2],
                                           "\"strict\" is needed");
        }

        map->strict = 1;
    }

    if (cf->cmd_type & NGX_HTTP_LOC_CONF) {
        ngx_http_zapier_mention(cf, &zlcf->needs_body);
    }

    zlcf->action_map = map;

    return ngx_http_zapier_action_load(cf, &value[1], &map->actions);
}


static char *
ngx_http_zapier_action_load(ngx_conf_t *cf, ngx_str_t *value,
    ngx_array_t *actions)
{
    ngx_int_t  rc;
    ngx_str_t  name, text, where, why;

    name = *value;

    if (ngx_conf_full_name(cf->cycle, &name, 1) != NGX_OK
        || ngx_http_zapier_action_file(cf, &name, &text) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    rc = ngx_zapier_action_map(cf->pool, &text, actions, &where, &why);

    if (rc == NGX_DECLINED) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" of \"zapier_action_map\" is no map of "
                           "actions: %V%s%V", &name, &where,
                           where.len ? ": " : "", &why);
    }

    return (rc == NGX_OK) ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_zapier_action_file(ngx_conf_t *cf, ngx_str_t *name, ngx_str_t *text)
{
    size_t           size;
    ssize_t          n;
    ngx_int_t        rc;
    ngx_file_t       file;
    ngx_file_info_t  fi;

    rc = NGX_ERROR;

    ngx_memzero(&file, sizeof(ngx_file_t));

    file.name = *name;
    file.log = cf->log;

    file.fd = ngx_open_file(name->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (file.fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" of \"zapier_action_map\" "
                           "failed", name);
        return NGX_ERROR;
    }

    if (ngx_fd_info(file.fd, &fi) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_fd_info_n " \"%V\" failed", name);
        goto done;
    }

    if (!ngx_is_file(&fi) || ngx_file_size(&fi) > NGX_HTTP_ZAPIER_ACTION_MAP)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" of \"zapier_action_map\" is no file of at "
                           "most 4m", name);
        goto done;
    }

    size = (size_t) ngx_file_size(&fi);

    text->data = ngx_pnalloc(cf->temp_pool, size + 1);
    if (text->data == NULL) {
        goto done;
    }

    n = ngx_read_file(&file, text->data, size, 0);

    if (n == NGX_ERROR) {
        goto done;
    }

    text->len = n;
    rc = NGX_OK;

done:

    if (ngx_close_file(file.fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", name);
    }

    return rc;
}


void
ngx_http_zapier_action_merge(ngx_conf_t *cf,
    ngx_http_zapier_loc_conf_t *prev, ngx_http_zapier_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    ngx_conf_merge_ptr_value(conf->action_map, prev->action_map, NULL);

    if (conf->action_map == NULL
        || conf->body != NGX_HTTP_ZAPIER_BODY_ACTION_RUN)
    {
        return;
    }

    /* a body is never read back from a file */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    clcf->client_body_buffer_size = ngx_max(clcf->client_body_buffer_size,
                                            conf->body_max);
}


ngx_int_t
ngx_http_zapier_action_apply(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    ngx_buf_t                      *b;
    ngx_str_t                       body;
    ngx_chain_t                    *cl;
    ngx_zapier_action_t            *action;
    ngx_zapier_action_body_t        parts;
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

    if (ngx_http_zapier_action_text(r, (size_t) ctx->body_length, &body)
        != NGX_OK
        || ngx_zapier_action_parse(&body, &parts) != NGX_OK)
    {
        return NGX_ERROR;
    }

    action = ngx_zapier_action_find(&map->actions, &parts);

    if (action == NULL) {

        if (map->strict) {
            ngx_zapier_envelope_unknown_action(ctx->envelope);
            ctx->body_rc = NGX_DECLINED;
        }

        return NGX_OK;
    }

    if (ngx_zapier_action_write(r->pool, action, &ctx->tenant, &body, &parts)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (action->schema != NULL
        && ngx_http_zapier_action_judge(r, ctx, action, &body) != NGX_OK)
    {
        return NGX_ERROR;
    }

    cl = ngx_alloc_chain_link(r->pool);
    b = ngx_calloc_buf(r->pool);

    if (cl == NULL || b == NULL) {
        return NGX_ERROR;
    }

    b->start = body.data;
    b->pos = body.data;
    b->last = body.data + body.len;
    b->end = b->last;
    b->temporary = 1;

    cl->buf = b;
    cl->next = NULL;

    r->request_body->bufs = cl;
    ctx->body_length = body.len;

    return NGX_OK;
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
