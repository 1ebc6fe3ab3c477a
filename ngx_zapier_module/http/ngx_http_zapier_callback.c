
/*
 * Callbacks about runs: their URLs, and what comes of them.
 *
 *     name of the URL -> signature's header -> body -> keys -> signature
 *                     -> run -> Redis -> answer
 *
 * What is cheap to refuse is refused first.  The upstream repeats a call that
 * is answered with a 5xx, and no other.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_call.h>
#include <ngx_http_zapier_callback.h>
#include <ngx_http_zapier_run.h>
#include <ngx_zapier_jwt.h>
#include <ngx_zapier_run_callback.h>
#include <ngx_zapier_state.h>


/* s that the clocks may differ, and that a token is valid at most */
#define NGX_HTTP_ZAPIER_CALLBACK_LEEWAY    60
#define NGX_HTTP_ZAPIER_CALLBACK_LIFETIME  3600

#define NGX_HTTP_ZAPIER_CALLBACK_NAME      (2 * NGX_ZAPIER_STATE_NONCE_LEN)


struct ngx_http_zapier_callback_s {
    ngx_http_request_t           *request;
    ngx_http_zapier_ctx_t        *ctx;
    ngx_str_t                     signature;
    ngx_http_zapier_text_t        body;
    ngx_http_zapier_keys_wait_t   wait;
    ngx_uint_t                    newer;   /* keys were asked for */
    ngx_zapier_run_callback_t     op;
    u_char                        name[NGX_HTTP_ZAPIER_CALLBACK_NAME];
    u_char                        digest[2 * NGX_ZAPIER_JWT_DIGEST_LEN];
    u_char                        state[NGX_ZAPIER_STATE_LEN];
};


static ngx_int_t ngx_http_zapier_callback_begin(
    ngx_http_zapier_callback_t *callback);
static ngx_int_t ngx_http_zapier_callback_name(
    ngx_http_zapier_callback_t *callback);
static ngx_int_t ngx_http_zapier_callback_signature(
    ngx_http_zapier_callback_t *callback);
static void ngx_http_zapier_callback_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_zapier_callback_verify(
    ngx_http_zapier_callback_t *callback);
static ngx_int_t ngx_http_zapier_callback_keys_get(
    ngx_http_zapier_callback_t *callback, ngx_uint_t newer,
    const ngx_zapier_jwks_t **set);
static ngx_int_t ngx_http_zapier_callback_no_keys(
    ngx_http_zapier_callback_t *callback);
static void ngx_http_zapier_callback_keys_handler(void *data);
static ngx_int_t ngx_http_zapier_callback_take(
    ngx_http_zapier_callback_t *callback);
static void ngx_http_zapier_callback_taken(ngx_zapier_run_callback_t *op);
static void ngx_http_zapier_callback_done(
    ngx_http_zapier_callback_t *callback, ngx_int_t rc);
static ngx_int_t ngx_http_zapier_callback_refuse(
    ngx_http_zapier_callback_t *callback, ngx_uint_t status,
    const char *code, const char *detail);
static void ngx_http_zapier_callback_cleanup(void *data);


ngx_int_t
ngx_http_zapier_callback_make(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx)
{
    u_char                       *p, *name;
    ngx_str_t                     text, *url;
    ngx_pool_t                   *pool;
    ngx_zapier_state_t            state;
    ngx_http_zapier_loc_conf_t   *zlcf;
    ngx_http_zapier_main_conf_t  *zmcf;

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);
    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    ngx_memzero(&state, sizeof(ngx_zapier_state_t));

    /* a browser is not sent anywhere, but the text must not be empty */

    ngx_str_set(&state.redirect_uri, "-");

    state.tenant = ctx->tenant;
    state.expires = ngx_time() + NGX_ZAPIER_CALLBACK_TIME / 1000;

    /* the URL is in the body then, only the name is of use any longer */

    pool = ngx_http_zapier_call_memory(r, ctx);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(pool, sizeof("\"/\"") + zlcf->callback->url.len
                          + NGX_ZAPIER_STATE_LEN);
    url = ngx_palloc(pool, sizeof(ngx_str_t));
    name = ngx_pnalloc(r->pool, NGX_HTTP_ZAPIER_CALLBACK_NAME);

    if (p == NULL
        || url == NULL
        || name == NULL
        || ngx_zapier_state_random(state.nonce, sizeof(state.nonce))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->run->callback.data = name;
    ctx->run->callback.len = ngx_hex_dump(name, state.nonce,
                                          sizeof(state.nonce))
                             - name;

    url->data = p;
    *p++ = '"';
    p = ngx_cpymem(p, zlcf->callback->url.data, zlcf->callback->url.len);
    *p++ = '/';

    text.data = p;

    if (ngx_zapier_state_make(zmcf->callbacks.key, &state, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    p += text.len;
    *p++ = '"';
    url->len = p - url->data;

    ngx_zapier_envelope_call_back(ctx->envelope, url);

    return NGX_OK;
}


ngx_int_t
ngx_http_zapier_callback_handler(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t          *cln;
    ngx_http_zapier_ctx_t       *ctx;
    ngx_http_zapier_callback_t  *callback;

    if (r != r->main) {
        return NGX_HTTP_FORBIDDEN;
    }

    if (r->method != NGX_HTTP_POST) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    ctx = ngx_http_zapier_get_ctx(r);

    if (ctx == NULL) {
        ctx = ngx_http_zapier_create_ctx(r);
        if (ctx == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    /* a redirect has taken it away */

    ngx_http_set_ctx(r, ctx, ngx_http_zapier_module);

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_zapier_callback_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    callback = cln->data;
    ngx_memzero(callback, sizeof(ngx_http_zapier_callback_t));

    cln->handler = ngx_http_zapier_callback_cleanup;

    callback->request = r;
    callback->ctx = ctx;

    ctx->callback = callback;

    r->main->count++;

    ngx_http_zapier_callback_done(callback,
                                  ngx_http_zapier_callback_begin(callback));

    return NGX_DONE;
}


/*
 * This and what follows return NGX_OK (taken), NGX_AGAIN, NGX_DONE (answered)
 * or a status.
 */

static ngx_int_t
ngx_http_zapier_callback_begin(ngx_http_zapier_callback_t *callback)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = callback->request;

    rc = ngx_http_zapier_callback_name(callback);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_zapier_callback_signature(callback);

    if (rc != NGX_OK) {
        return rc;
    }

    if (r->headers_in.content_length_n > NGX_HTTP_ZAPIER_WAIT_MAX) {
        return ngx_http_zapier_callback_refuse(callback,
                                      NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                      "body_too_large",
                                      "The result is too large to be kept.");
    }

    rc = ngx_http_read_client_request_body(r, ngx_http_zapier_callback_body);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    /* the reader counts for itself, and may have ended the request */

    r->main->count--;

    return NGX_AGAIN;
}


static ngx_int_t
ngx_http_zapier_callback_name(ngx_http_zapier_callback_t *callback)
{
    u_char                       *p;
    ngx_int_t                     rc;
    ngx_str_t                     text;
    ngx_zapier_state_t            state;
    ngx_http_request_t           *r;
    ngx_http_zapier_main_conf_t  *zmcf;

    r = callback->request;
    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    p = r->uri.data + r->uri.len;

    while (p > r->uri.data && p[-1] != '/') {
        p--;
    }

    text.data = p;
    text.len = r->uri.data + r->uri.len - p;

    rc = ngx_zapier_state_read(zmcf->callbacks.key, &text, callback->state,
                               &state);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc != NGX_OK
        || state.expires <= ngx_time()
        || ngx_zapier_tenant_check(&state.tenant) != NGX_OK)
    {
        return ngx_http_zapier_callback_refuse(callback, NGX_HTTP_FORBIDDEN,
                                      "callback_refused",
                                      "No run is called back about by this "
                                      "URL.");
    }

    callback->ctx->tenant = state.tenant;

    (void) ngx_hex_dump(callback->name, state.nonce, sizeof(state.nonce));

    return NGX_OK;
}


static ngx_int_t
ngx_http_zapier_callback_signature(ngx_http_zapier_callback_t *callback)
{
    ngx_uint_t               n;
    ngx_table_elt_t         *h;
    ngx_http_zapier_walk_t   walk;

    n = 0;

    walk.part = &callback->request->headers_in.headers.part;
    walk.i = 0;

    while ((h = ngx_http_zapier_next_header(&walk)) != NULL) {

        if (ngx_http_zapier_header_is(h, "Zapier-Callback-Signature")) {
            callback->signature = h->value;
            n++;
        }
    }

    return (n == 1) ? NGX_OK
                    : ngx_http_zapier_callback_refuse(callback,
                                      NGX_HTTP_FORBIDDEN, "callback_refused",
                                      "The signature is missing.");
}


static void
ngx_http_zapier_callback_body(ngx_http_request_t *r)
{
    ngx_http_zapier_ctx_t       *ctx;
    ngx_http_zapier_callback_t  *callback;

    ctx = ngx_http_get_module_ctx(r, ngx_http_zapier_module);
    callback = ctx->callback;

    /* a client that goes away is noticed, though it is not waited for */

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_http_zapier_text_init(&callback->body, r->pool,
                              NGX_HTTP_ZAPIER_WAIT_MAX,
                              r->headers_in.content_length_n);

    ngx_http_zapier_text_add(&callback->body, r->request_body->bufs);

    if (callback->body.too_long) {
        ngx_http_zapier_callback_done(callback,
                    ngx_http_zapier_callback_refuse(callback,
                                      NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                      "body_too_large",
                                      "The result is too large to be kept."));
        return;
    }

    ngx_http_zapier_callback_done(callback,
                                  ngx_http_zapier_callback_verify(callback));
}


static ngx_int_t
ngx_http_zapier_callback_verify(ngx_http_zapier_callback_t *callback)
{
    ngx_int_t                     rc;
    ngx_zapier_jwt_t              jwt;
    const ngx_zapier_jwks_t      *set;
    ngx_zapier_jwt_check_t        check;
    ngx_http_zapier_main_conf_t  *zmcf;

    zmcf = ngx_http_get_module_main_conf(callback->request,
                                         ngx_http_zapier_module);

    rc = ngx_http_zapier_callback_keys_get(callback, 0, &set);

    if (rc != NGX_OK) {
        return rc;
    }

    check.now = ngx_time();
    check.leeway = NGX_HTTP_ZAPIER_CALLBACK_LEEWAY;
    check.lifetime = NGX_HTTP_ZAPIER_CALLBACK_LIFETIME;
    check.issuer = zmcf->callbacks.issuer;
    check.audience = zmcf->callbacks.audience;

    rc = ngx_zapier_jwt_verify(set, &check, callback->request->pool,
                               &callback->signature, &jwt);

    if (rc == NGX_OK) {
        (void) ngx_hex_dump(callback->digest, jwt.digest, sizeof(jwt.digest));

        return ngx_http_zapier_callback_take(callback);
    }

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (jwt.result == NGX_ZAPIER_JWT_UNKNOWN_KEY && !callback->newer) {
        callback->newer = 1;

        rc = ngx_http_zapier_callback_keys_get(callback, 1, &set);

        if (rc != NGX_DECLINED) {
            return rc;
        }

        /* too early to ask for newer keys, but it may be one of them */

        return ngx_http_zapier_callback_no_keys(callback);
    }

    ngx_log_error(NGX_LOG_WARN, callback->request->connection->log, 0,
                  "a callback for tenant \"%V\" was refused: its token %s",
                  &callback->ctx->tenant, ngx_zapier_jwt_reason(jwt.result));

    return ngx_http_zapier_callback_refuse(callback, NGX_HTTP_FORBIDDEN,
                                  "callback_refused",
                                  "The signature is not valid.");
}


static ngx_int_t
ngx_http_zapier_callback_keys_get(ngx_http_zapier_callback_t *callback,
    ngx_uint_t newer, const ngx_zapier_jwks_t **set)
{
    ngx_int_t                     rc;
    ngx_http_core_srv_conf_t     *cscf;
    ngx_http_zapier_main_conf_t  *zmcf;

    zmcf = ngx_http_get_module_main_conf(callback->request,
                                         ngx_http_zapier_module);
    cscf = ngx_http_get_module_srv_conf(callback->request,
                                        ngx_http_core_module);

    callback->wait.handler = ngx_http_zapier_callback_keys_handler;
    callback->wait.data = callback;

    rc = ngx_http_zapier_keys(&callback->wait, &zmcf->callbacks.keys,
                              cscf->ctx, newer, set);

    return (rc == NGX_DECLINED && !newer)
           ? ngx_http_zapier_callback_no_keys(callback) : rc;
}


static ngx_int_t
ngx_http_zapier_callback_no_keys(ngx_http_zapier_callback_t *callback)
{
    return ngx_http_zapier_callback_refuse(callback,
                                  NGX_HTTP_SERVICE_UNAVAILABLE,
                                  "keys_unavailable",
                                  "The keys to check the signature with "
                                  "cannot be got for now.");
}


static void
ngx_http_zapier_callback_keys_handler(void *data)
{
    ngx_http_zapier_callback_t *callback = data;

    ngx_connection_t  *c;

    c = callback->request->connection;

    ngx_http_set_log_request(c->log, callback->request);

    ngx_http_zapier_callback_done(callback,
                                  ngx_http_zapier_callback_verify(callback));

    ngx_http_run_posted_requests(c);
}


/* A callback that tells of no end is of no use, and of no harm. */

static ngx_int_t
ngx_http_zapier_callback_take(ngx_http_zapier_callback_t *callback)
{
    ngx_str_t                     body;
    ngx_http_request_t           *r;
    ngx_zapier_run_answer_t       answer;
    ngx_zapier_run_callback_t    *op;
    ngx_http_zapier_loc_conf_t   *zlcf;
    ngx_http_zapier_main_conf_t  *zmcf;

    r = callback->request;

    body.data = callback->body.start;
    body.len = callback->body.last - callback->body.start;

    if (ngx_zapier_run_parse(&body, &answer) != NGX_OK
        || ngx_zapier_run_id(&answer.id) != NGX_OK)
    {
        return ngx_http_zapier_callback_refuse(callback, NGX_HTTP_BAD_REQUEST,
                                  "parse_error",
                                  "The body does not tell of a run.");
    }

    if (answer.state != NGX_ZAPIER_RUN_FINISHED) {
        return NGX_OK;
    }

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);
    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    op = &callback->op;

    op->runs = &zmcf->runs;
    op->tenant = callback->ctx->tenant;
    op->id = answer.id;
    op->name.data = callback->name;
    op->name.len = sizeof(callback->name);
    op->digest.data = callback->digest;
    op->digest.len = sizeof(callback->digest);
    op->body = body;
    op->keep = zlcf->wait ? zlcf->wait->keep : NGX_HTTP_ZAPIER_WAIT_KEEP;
    op->pool = r->pool;
    op->handler = ngx_http_zapier_callback_taken;
    op->data = callback;

    if (ngx_zapier_run_callback(op) == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    return ngx_http_zapier_callback_refuse(callback,
                                  NGX_HTTP_SERVICE_UNAVAILABLE,
                                  "store_unavailable",
                                  "The result cannot be kept for now.");
}


static void
ngx_http_zapier_callback_taken(ngx_zapier_run_callback_t *op)
{
    ngx_http_zapier_callback_t *callback = op->data;

    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = callback->request->connection;

    ngx_http_set_log_request(c->log, callback->request);

    rc = op->rc;

    if (rc == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_WARN, c->log, 0,
                      "a callback for tenant \"%V\" was refused: its URL or "
                      "token belong to another run", &op->tenant);

        rc = ngx_http_zapier_callback_refuse(callback, NGX_HTTP_FORBIDDEN,
                                  "callback_refused",
                                  "URL or signature were used for another "
                                  "run.");

    } else if (rc == NGX_ERROR) {
        rc = ngx_http_zapier_callback_refuse(callback,
                                  NGX_HTTP_SERVICE_UNAVAILABLE,
                                  "store_unavailable",
                                  "The result cannot be kept for now.");
    }

    ngx_http_zapier_callback_done(callback, rc);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_zapier_callback_done(ngx_http_zapier_callback_t *callback,
    ngx_int_t rc)
{
    ngx_http_request_t  *r;

    if (rc == NGX_AGAIN || rc == NGX_DONE) {
        return;
    }

    r = callback->request;

    if (rc == NGX_OK) {
        r->headers_out.status = NGX_HTTP_NO_CONTENT;
        r->header_only = 1;

        rc = ngx_http_send_header(r);
    }

    ngx_http_finalize_request(r, rc);
}


/* NGX_DONE */

static ngx_int_t
ngx_http_zapier_callback_refuse(ngx_http_zapier_callback_t *callback,
    ngx_uint_t status, const char *code, const char *detail)
{
    ngx_http_zapier_fault_t  fault;

    ngx_http_zapier_fault_init(&fault, code, detail);

    if (status == NGX_HTTP_SERVICE_UNAVAILABLE) {
        fault.retry_after = 1;
    }

    return ngx_http_zapier_error(callback->request, callback->ctx, status,
                                 &fault, 1);
}


static void
ngx_http_zapier_callback_cleanup(void *data)
{
    ngx_http_zapier_callback_t *callback = data;

    ngx_http_zapier_keys_cancel(&callback->wait);
    ngx_zapier_run_callback_cancel(&callback->op);
}
