
/*
 * zapier_admin: an operator's verbs on token records, under the URI of the
 * location.  Who may come here is the business of allow, deny and the like.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_admin.h>
#include <ngx_http_zapier_directive.h>


typedef struct {
    ngx_str_t                  action;    /* what follows the name */
    ngx_uint_t                 named;     /* tokens/NAME/ACTION */
    ngx_uint_t                 methods;
    const char                *allow;
    ngx_zapier_store_verb_e    verb;
} ngx_http_zapier_admin_route_t;


static ngx_int_t ngx_http_zapier_admin_handler(ngx_http_request_t *r);
static ngx_http_zapier_admin_t *ngx_http_zapier_admin_create(
    ngx_http_request_t *r);
static void ngx_http_zapier_admin_route(ngx_http_zapier_admin_t *admin);
static ngx_int_t ngx_http_zapier_admin_path(ngx_http_request_t *r,
    ngx_str_t *name, ngx_str_t *action);
static void ngx_http_zapier_admin_method(ngx_http_zapier_admin_t *admin,
    ngx_str_t *allow);
static void ngx_http_zapier_admin_begin(ngx_http_zapier_admin_t *admin);
static ngx_int_t ngx_http_zapier_admin_cursor(ngx_http_request_t *r,
    ngx_str_t *cursor);
static void ngx_http_zapier_admin_done(ngx_zapier_store_op_t *op);
static void ngx_http_zapier_admin_cleanup(void *data);


static ngx_http_zapier_admin_route_t  ngx_http_zapier_admin_routes[] = {

    { ngx_null_string, 0, NGX_HTTP_GET|NGX_HTTP_HEAD, "GET, HEAD",
      NGX_ZAPIER_STORE_LIST },

    { ngx_null_string, 1, NGX_HTTP_GET|NGX_HTTP_HEAD, "GET, HEAD",
      NGX_ZAPIER_STORE_SHOW },

    { ngx_null_string, 1, NGX_HTTP_PUT, "PUT", NGX_ZAPIER_STORE_PUT },

    { ngx_null_string, 1, NGX_HTTP_DELETE, "DELETE",
      NGX_ZAPIER_STORE_DELETE },

    { ngx_string("clear"), 1, NGX_HTTP_POST, "POST",
      NGX_ZAPIER_STORE_CLEAR }
};


char *
ngx_http_zapier_admin(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_loc_conf_t *zlcf = conf;

    ngx_http_core_loc_conf_t     *clcf;
    ngx_http_zapier_main_conf_t  *zmcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler == ngx_http_zapier_admin_handler) {
        return "is duplicate";
    }

    if (clcf->named || clcf->exact_match
#if (NGX_PCRE)
        || clcf->regex
#endif
       )
    {
        return "needs a location that is a prefix, as its verbs are below "
               "its URI";
    }

    if (zlcf->tenant != NGX_CONF_UNSET_PTR && zlcf->tenant != NULL) {
        return "and \"zapier_tenant\" cannot be in the same location";
    }

    zlcf->tenant = NULL;

    zmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_zapier_module);

    ngx_http_zapier_mention(cf, &zmcf->used);

    clcf->handler = ngx_http_zapier_admin_handler;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_zapier_admin_handler(ngx_http_request_t *r)
{
    ngx_http_zapier_admin_t  *admin;

    static ngx_str_t  no_store = ngx_string("no-store");

    if (r != r->main) {
        return NGX_HTTP_FORBIDDEN;
    }

    admin = ngx_http_zapier_admin_create(r);

    if (admin == NULL
        || ngx_http_zapier_add_header(r, "Cache-Control", &no_store) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->main->count++;

    ngx_http_zapier_admin_route(admin);

    return NGX_DONE;
}


static ngx_http_zapier_admin_t *
ngx_http_zapier_admin_create(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t       *cln;
    ngx_http_zapier_ctx_t    *ctx;
    ngx_http_zapier_admin_t  *admin;

    ctx = ngx_http_zapier_get_ctx(r);

    if (ctx == NULL) {
        ctx = ngx_http_zapier_create_ctx(r);
        if (ctx == NULL) {
            return NULL;
        }
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_zapier_admin_t));
    if (cln == NULL) {
        return NULL;
    }

    admin = cln->data;
    ngx_memzero(admin, sizeof(ngx_http_zapier_admin_t));

    admin->request = r;
    admin->ctx = ctx;
    admin->op.pool = r->pool;
    admin->op.handler = ngx_http_zapier_admin_done;
    admin->op.data = admin;

    cln->handler = ngx_http_zapier_admin_cleanup;

    ctx->admin = admin;
    ngx_str_null(&ctx->tenant);

    return admin;
}


static void
ngx_http_zapier_admin_route(ngx_http_zapier_admin_t *admin)
{
    ngx_str_t                       name, action, allow;
    ngx_uint_t                      i;
    ngx_http_request_t             *r;
    ngx_http_zapier_admin_route_t  *route;
    u_char                          methods[64], *p;

    r = admin->request;

    if (ngx_http_zapier_admin_path(r, &name, &action) != NGX_OK) {
        goto not_found;
    }

    p = methods;

    for (i = 0;
         i < sizeof(ngx_http_zapier_admin_routes)
             / sizeof(ngx_http_zapier_admin_route_t);
         i++)
    {
        route = &ngx_http_zapier_admin_routes[i];

        if (route->named != (name.data != NULL)
            || route->action.len != action.len
            || ngx_strncmp(route->action.data, action.data, action.len) != 0)
        {
            continue;
        }

        if (route->methods & r->method) {
            admin->op.verb = route->verb;
            admin->op.tenant = name;
            ngx_http_zapier_admin_begin(admin);
            return;
        }

        p = ngx_sprintf(p, "%s%s", (p == methods) ? "" : ", ", route->allow);
    }

    if (p != methods) {
        allow.len = p - methods;
        allow.data = methods;
        ngx_http_zapier_admin_method(admin, &allow);
        return;
    }

not_found:

    ngx_http_zapier_admin_error(admin, NGX_HTTP_NOT_FOUND, "not_found",
                                "There is nothing under this path: known "
                                "are tokens, tokens/TENANT and "
                                "tokens/TENANT/clear.");
}


/* tokens, tokens/NAME or tokens/NAME/ACTION below the location's URI */

static ngx_int_t
ngx_http_zapier_admin_path(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *action)
{
    u_char                    *p, *last, *slash;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    ngx_str_null(name);
    ngx_str_null(action);

    if (r->uri.len < clcf->name.len) {
        return NGX_DECLINED;
    }

    p = r->uri.data + clcf->name.len;
    last = r->uri.data + r->uri.len;

    if (clcf->name.len != 0 && *(p - 1) != '/') {

        if (p == last || *p++ != '/') {
            return NGX_DECLINED;
        }
    }

    if (last - p < (ssize_t) sizeof("tokens") - 1
        || ngx_strncmp(p, "tokens", sizeof("tokens") - 1) != 0)
    {
        return NGX_DECLINED;
    }

    p += sizeof("tokens") - 1;

    if (p == last) {
        return NGX_OK;
    }

    if (*p++ != '/') {
        return NGX_DECLINED;
    }

    slash = ngx_strlchr(p, last, '/');

    name->data = p;
    name->len = (slash ? slash : last) - p;

    if (slash != NULL) {
        action->data = slash + 1;
        action->len = last - action->data;
    }

    return (slash != NULL && action->len == 0) ? NGX_DECLINED : NGX_OK;
}


static void
ngx_http_zapier_admin_method(ngx_http_zapier_admin_t *admin, ngx_str_t *allow)
{
    ngx_str_t            value;
    ngx_http_request_t  *r;

    r = admin->request;

    value.len = allow->len;
    value.data = ngx_pstrdup(r->pool, allow);

    if (value.data == NULL
        || ngx_http_zapier_add_header(r, "Allow", &value) != NGX_OK)
    {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_zapier_admin_error(admin, NGX_HTTP_NOT_ALLOWED,
                                "method_not_allowed",
                                "This path has other methods, see the header "
                                "Allow.");
}


static void
ngx_http_zapier_admin_begin(ngx_http_zapier_admin_t *admin)
{
    ngx_int_t               rc;
    ngx_zapier_store_op_t  *op;

    op = &admin->op;

    if (op->verb == NGX_ZAPIER_STORE_LIST) {

        if (ngx_http_zapier_admin_cursor(admin->request, &op->cursor)
            != NGX_OK)
        {
            ngx_http_zapier_admin_error(admin, NGX_HTTP_BAD_REQUEST,
                                        "invalid_value",
                                        "The argument cursor must be what "
                                        "next was in the page before.");
            return;
        }

    } else {

        /* an app's token is made, not put */

        if ((op->verb == NGX_ZAPIER_STORE_PUT)
            ? ngx_zapier_tenant_check(&op->tenant) != NGX_OK
            : ngx_zapier_store_check_name(&op->tenant) != NGX_OK)
        {
            ngx_http_zapier_admin_error(admin, NGX_HTTP_BAD_REQUEST,
                                        "tenant_invalid",
                                        "A tenant name is 1 to 128 characters "
                                        "of A-Z a-z 0-9 . _ @ : and -.");
            return;
        }

        admin->ctx->tenant = op->tenant;
    }

    if (op->verb == NGX_ZAPIER_STORE_PUT) {
        ngx_http_zapier_admin_read(admin);
        return;
    }

    rc = ngx_http_discard_request_body(admin->request);

    if (rc != NGX_OK) {
        ngx_http_finalize_request(admin->request, rc);
        return;
    }

    ngx_http_zapier_admin_start(admin);
}


static ngx_int_t
ngx_http_zapier_admin_cursor(ngx_http_request_t *r, ngx_str_t *cursor)
{
    size_t  i;

    if (ngx_http_arg(r, (u_char *) "cursor", sizeof("cursor") - 1, cursor)
        != NGX_OK)
    {
        return NGX_OK;
    }

    /* an unsigned number of 64 bits */

    if (cursor->len == 0 || cursor->len > NGX_INT64_LEN) {
        return NGX_DECLINED;
    }

    for (i = 0; i < cursor->len; i++) {
        if (cursor->data[i] < '0' || cursor->data[i] > '9') {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


void
ngx_http_zapier_admin_start(ngx_http_zapier_admin_t *admin)
{
    ngx_int_t                     rc;
    ngx_http_zapier_main_conf_t  *zmcf;

    zmcf = ngx_http_get_module_main_conf(admin->request,
                                         ngx_http_zapier_module);

    rc = ngx_zapier_store_start(zmcf->tokens, &admin->op);

    if (rc == NGX_OK) {
        ngx_http_zapier_admin_answer(admin);

    } else if (rc != NGX_AGAIN) {
        ngx_http_finalize_request(admin->request,
                                  NGX_HTTP_INTERNAL_SERVER_ERROR);
    }
}


static void
ngx_http_zapier_admin_done(ngx_zapier_store_op_t *op)
{
    ngx_connection_t         *c;
    ngx_http_request_t       *r;
    ngx_http_zapier_admin_t  *admin;

    admin = op->data;
    r = admin->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_http_zapier_admin_answer(admin);

    /* r may be gone */

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_zapier_admin_cleanup(void *data)
{
    ngx_http_zapier_admin_t *admin = data;

    ngx_zapier_store_cancel(&admin->op);

    /* an unsent command points to them no more */

    ngx_explicit_memzero(admin->body.data, admin->body.len);
    ngx_explicit_memzero(admin->secrets.data, admin->secrets.len);
}
