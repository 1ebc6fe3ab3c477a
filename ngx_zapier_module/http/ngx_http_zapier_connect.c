
/*
 * zapier_connect: a tenant's user lets us into his Zapier account.
 *
 *     browser -> start -> the authorize URL -> callback -> token endpoint
 *
 * Nothing is remembered between the two requests: what the callback must
 * know is in the state, which is signed, so any node may answer it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_connect.h>


static ngx_http_zapier_connect_t *ngx_http_zapier_connect_create(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_zapier_connect_method(ngx_http_request_t *r,
    ngx_http_zapier_connect_conf_t *conf);
static void ngx_http_zapier_connect_cleanup(void *data);


ngx_int_t
ngx_http_zapier_connect_handler(ngx_http_request_t *r)
{
    ngx_int_t                   rc;
    ngx_http_zapier_connect_t  *connect;

    if (r != r->main) {
        return NGX_HTTP_FORBIDDEN;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    connect = ngx_http_zapier_connect_create(r);

    if (connect == NULL || ngx_http_zapier_connect_headers(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_zapier_connect_method(r, connect->conf);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->main->count++;

    if (rc == NGX_DECLINED) {
        ngx_http_zapier_connect_hide(r);
        ngx_http_zapier_connect_answer(connect,
                                       NGX_HTTP_ZAPIER_CONNECT_METHOD);

    } else if (connect->conf->authorize != NULL) {
        ngx_http_zapier_connect_start(connect);

    } else {
        ngx_http_zapier_connect_callback(connect);
    }

    return NGX_DONE;
}


static ngx_http_zapier_connect_t *
ngx_http_zapier_connect_create(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t          *cln;
    ngx_http_zapier_ctx_t       *ctx;
    ngx_http_zapier_connect_t   *connect;
    ngx_http_zapier_loc_conf_t  *zlcf;

    ctx = ngx_http_zapier_get_ctx(r);

    if (ctx == NULL) {
        ctx = ngx_http_zapier_create_ctx(r);
        if (ctx == NULL) {
            return NULL;
        }
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_zapier_connect_t));
    if (cln == NULL) {
        return NULL;
    }

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    connect = cln->data;
    ngx_memzero(connect, sizeof(ngx_http_zapier_connect_t));

    connect->request = r;
    connect->ctx = ctx;
    connect->conf = zlcf->connect;

    cln->handler = ngx_http_zapier_connect_cleanup;

    ngx_str_null(&ctx->tenant);

    return connect;
}


/*
 * HEAD must not spend a code: mail scanners and the like look at links by
 * it.  At the start it is as harmless as GET.
 */

static ngx_int_t
ngx_http_zapier_connect_method(ngx_http_request_t *r,
    ngx_http_zapier_connect_conf_t *conf)
{
    ngx_str_t  *allow;

    static ngx_str_t  start = ngx_string("GET, HEAD");
    static ngx_str_t  callback = ngx_string("GET");

    if (r->method == NGX_HTTP_GET
        || (r->method == NGX_HTTP_HEAD && conf->authorize != NULL))
    {
        return NGX_OK;
    }

    allow = (conf->authorize != NULL) ? &start : &callback;

    return (ngx_http_zapier_add_header(r, "Allow", allow) == NGX_OK)
           ? NGX_DECLINED : NGX_ERROR;
}


static void
ngx_http_zapier_connect_cleanup(void *data)
{
    ngx_http_zapier_connect_t *connect = data;

    if (connect->grant != NULL) {
        ngx_http_zapier_grant_leave(connect);
    }
}


/*
 * The prefix of Redis keys is the realm: deployments that share a client,
 * but not their records, do not take each other's states.
 */

ngx_int_t
ngx_http_zapier_connect_key(ngx_http_request_t *r, u_char *key)
{
    ngx_http_zapier_main_conf_t  *zmcf;

    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    return ngx_zapier_state_key(&zmcf->oauth->client_secret, &zmcf->prefix,
                                key);
}
