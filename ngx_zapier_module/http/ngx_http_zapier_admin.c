
/*
 * zapier_admin: an operator's verbs on token records and limits, under the URI
 * of the location.  Who may come here is the business of allow, deny and so on.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_admin.h>
#include <ngx_http_zapier_directive.h>
#include <ngx_zapier_wipe.h>


/* KIND, KIND/NAME or KIND/NAME/ACTION below the location's URI */
typedef struct {
    ngx_str_t                  kind;
    ngx_str_t                  name;      /* data NULL: none */
    ngx_str_t                  action;
} ngx_http_zapier_admin_path_t;


typedef struct {
    ngx_str_t                  kind;
    ngx_uint_t                 named;
    ngx_str_t                  action;
    ngx_uint_t                 methods;
    const char                *allow;
    ngx_zapier_store_verb_e    verb;
    void                     (*handler)(ngx_http_zapier_admin_t *admin);
} ngx_http_zapier_admin_route_t;


#define ngx_http_zapier_admin_same(a, b)                                     \
    ((a)->len == (b)->len                                                    \
     && ((a)->len == 0 || ngx_memcmp((a)->data, (b)->data, (a)->len) == 0))


static ngx_int_t ngx_http_zapier_admin_handler(ngx_http_request_t *r);
static ngx_http_zapier_admin_t *ngx_http_zapier_admin_create(
    ngx_http_request_t *r);
static void ngx_http_zapier_admin_route(ngx_http_zapier_admin_t *admin);
static ngx_int_t ngx_http_zapier_admin_path(ngx_http_request_t *r,
    ngx_http_zapier_admin_path_t *path);
static void ngx_http_zapier_admin_method(ngx_http_zapier_admin_t *admin,
    ngx_str_t *allow);
static void ngx_http_zapier_admin_begin(ngx_http_zapier_admin_t *admin,
    ngx_http_zapier_admin_route_t *route);
static ngx_int_t ngx_http_zapier_admin_name(ngx_http_zapier_admin_t *admin,
    ngx_http_zapier_admin_route_t *route);
static void ngx_http_zapier_admin_list(ngx_http_zapier_admin_t *admin);
static ngx_int_t ngx_http_zapier_admin_cursor(ngx_http_request_t *r,
    ngx_str_t *cursor);
static void ngx_http_zapier_admin_done(ngx_zapier_store_op_t *op);
static void ngx_http_zapier_admin_cleanup(void *data);


static ngx_http_zapier_admin_route_t  ngx_http_zapier_admin_routes[] = {

    { ngx_string("tokens"), 0, ngx_null_string,
      NGX_HTTP_GET|NGX_HTTP_HEAD, "GET, HEAD",
      NGX_ZAPIER_STORE_LIST, ngx_http_zapier_admin_list },

    { ngx_string("tokens"), 1, ngx_null_string,
      NGX_HTTP_GET|NGX_HTTP_HEAD, "GET, HEAD",
      NGX_ZAPIER_STORE_SHOW, ngx_http_zapier_admin_start },

    { ngx_string("tokens"), 1, ngx_null_string,
      NGX_HTTP_PUT, "PUT",
      NGX_ZAPIER_STORE_PUT, ngx_http_zapier_admin_read },

    { ngx_string("tokens"), 1, ngx_null_string,
      NGX_HTTP_DELETE, "DELETE",
      NGX_ZAPIER_STORE_DELETE, ngx_http_zapier_admin_start },

    { ngx_string("tokens"), 1, ngx_string("clear"),
      NGX_HTTP_POST, "POST",
      NGX_ZAPIER_STORE_CLEAR, ngx_http_zapier_admin_start },

    { ngx_string("tokens"), 1, ngx_string("refresh"),
      NGX_HTTP_POST, "POST",
      NGX_ZAPIER_STORE_SHOW, ngx_http_zapier_admin_refresh },

    { ngx_string("counters"), 0, ngx_null_string,
      NGX_HTTP_GET|NGX_HTTP_HEAD, "GET, HEAD",
      NGX_ZAPIER_STORE_SHOW, ngx_http_zapier_admin_counters },

    { ngx_string("limits"), 0, ngx_null_string,
      NGX_HTTP_GET|NGX_HTTP_HEAD, "GET, HEAD",
      NGX_ZAPIER_STORE_SHOW, ngx_http_zapier_admin_zones },

    { ngx_string("limits"), 1, ngx_null_string,
      NGX_HTTP_GET|NGX_HTTP_HEAD, "GET, HEAD",
      NGX_ZAPIER_STORE_SHOW, ngx_http_zapier_admin_scope },

    { ngx_string("limits"), 1, ngx_string("close"),
      NGX_HTTP_POST, "POST",
      NGX_ZAPIER_STORE_SHOW, ngx_http_zapier_admin_close },

    { ngx_string("limits"), 1, ngx_string("open"),
      NGX_HTTP_POST, "POST",
      NGX_ZAPIER_STORE_SHOW, ngx_http_zapier_admin_open },

    { ngx_string("limits"), 1, ngx_string("reset"),
      NGX_HTTP_POST, "POST",
      NGX_ZAPIER_STORE_SHOW, ngx_http_zapier_admin_reset },

    { ngx_string("explain"), 1, ngx_null_string,
      NGX_HTTP_GET|NGX_HTTP_HEAD, "GET, HEAD",
      NGX_ZAPIER_STORE_SHOW, ngx_http_zapier_admin_explain }
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


/* A token that is put is in what OpenSSL has decrypted, before we see it. */

void
ngx_http_zapier_admin_merge(ngx_conf_t *cf)
{
#if (NGX_HTTP_SSL) && defined SSL_OP_CLEANSE_PLAINTEXT

    ngx_http_ssl_srv_conf_t   *sscf;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    sscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_ssl_module);

    if (clcf->handler == ngx_http_zapier_admin_handler
        && sscf->ssl.ctx != NULL)
    {
        SSL_CTX_set_options(sscf->ssl.ctx, SSL_OP_CLEANSE_PLAINTEXT);
    }

#else
    (void) cf;
#endif
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
    u_char                         *p, methods[64];
    ngx_str_t                       allow;
    ngx_uint_t                      i;
    ngx_http_zapier_admin_path_t    path;
    ngx_http_zapier_admin_route_t  *route;

    p = methods;

    if (ngx_http_zapier_admin_path(admin->request, &path) != NGX_OK) {
        goto not_found;
    }

    for (i = 0;
         i < sizeof(ngx_http_zapier_admin_routes)
             / sizeof(ngx_http_zapier_admin_route_t);
         i++)
    {
        route = &ngx_http_zapier_admin_routes[i];

        if (!ngx_http_zapier_admin_same(&route->kind, &path.kind)
            || !ngx_http_zapier_admin_same(&route->action, &path.action)
            || route->named != (path.name.data != NULL))
        {
            continue;
        }

        if (route->methods & admin->request->method) {
            admin->op.tenant = path.name;
            ngx_http_zapier_admin_begin(admin, route);
            return;
        }

        p = ngx_sprintf(p, "%s%s", (p == methods) ? "" : ", ", route->allow);
    }

not_found:

    if (p != methods) {
        allow.len = p - methods;
        allow.data = methods;
        ngx_http_zapier_admin_method(admin, &allow);
        return;
    }

    ngx_http_zapier_admin_error(admin, NGX_HTTP_NOT_FOUND, "not_found",
                                "There is nothing under this path, see the "
                                "documentation of zapier_admin.");
}


static ngx_int_t
ngx_http_zapier_admin_path(ngx_http_request_t *r,
    ngx_http_zapier_admin_path_t *path)
{
    u_char                    *p, *last, *slash;
    ngx_str_t                 *parts[3];
    ngx_uint_t                 i;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    ngx_memzero(path, sizeof(ngx_http_zapier_admin_path_t));

    parts[0] = &path->kind;
    parts[1] = &path->name;
    parts[2] = &path->action;

    if (r->uri.len < clcf->name.len) {
        return NGX_DECLINED;
    }

    p = r->uri.data + clcf->name.len;
    last = r->uri.data + r->uri.len;

    if (clcf->name.data[clcf->name.len - 1] != '/'
        && (p == last || *p++ != '/'))
    {
        return NGX_DECLINED;
    }

    for (i = 0; i < 3; i++) {
        slash = ngx_strlchr(p, last, '/');

        parts[i]->data = p;
        parts[i]->len = (slash ? slash : last) - p;

        if (slash == NULL) {
            break;
        }

        p = slash + 1;
    }

    /* an empty action is not none */

    if (i == 3 || (i == 2 && path->action.len == 0)) {
        return NGX_DECLINED;
    }

    return NGX_OK;
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
ngx_http_zapier_admin_begin(ngx_http_zapier_admin_t *admin,
    ngx_http_zapier_admin_route_t *route)
{
    ngx_int_t  rc;

    static ngx_str_t  limits = ngx_string("limits");

    admin->op.verb = route->verb;

    if (route->named
        && !ngx_http_zapier_admin_same(&route->kind, &limits)
        && ngx_http_zapier_admin_name(admin, route) != NGX_OK)
    {
        return;
    }

    if (route->verb != NGX_ZAPIER_STORE_PUT) {
        rc = ngx_http_discard_request_body(admin->request);

        if (rc != NGX_OK) {
            ngx_http_finalize_request(admin->request, rc);
            return;
        }
    }

    route->handler(admin);
}


/* NGX_DECLINED: the answer is given. */

static ngx_int_t
ngx_http_zapier_admin_name(ngx_http_zapier_admin_t *admin,
    ngx_http_zapier_admin_route_t *route)
{
    ngx_str_t  *name;

    name = &admin->op.tenant;

    if (ngx_zapier_store_check_name(name) != NGX_OK) {
        ngx_http_zapier_admin_error(admin, NGX_HTTP_BAD_REQUEST,
                                    "tenant_invalid",
                                    "A tenant name is 1 to 128 characters "
                                    "of A-Z a-z 0-9 . _ @ : and -.");
        return NGX_DECLINED;
    }

    if (ngx_zapier_tenant_check(name) != NGX_OK
        && route->verb == NGX_ZAPIER_STORE_PUT)
    {
        ngx_http_zapier_admin_error(admin, NGX_HTTP_BAD_REQUEST,
                                    "tenant_invalid",
                                    "This is a token of the app itself, "
                                    "which is not put: it is made when it is "
                                    "needed.");
        return NGX_DECLINED;
    }

    admin->ctx->tenant = *name;

    return NGX_OK;
}


static void
ngx_http_zapier_admin_list(ngx_http_zapier_admin_t *admin)
{
    if (ngx_http_zapier_admin_cursor(admin->request, &admin->op.cursor)
        != NGX_OK)
    {
        ngx_http_zapier_admin_error(admin, NGX_HTTP_BAD_REQUEST,
                                    "invalid_value",
                                    "The argument cursor must be what next "
                                    "was in the page before.");
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
    ngx_zapier_token_cancel(&admin->token);
    ngx_zapier_limit_operate_cancel(&admin->limit);

    /* an unsent command points to them no more */

    ngx_zapier_wipe(admin->body.data, admin->body.len);
    ngx_zapier_wipe(admin->secrets.data, admin->secrets.len);
}
