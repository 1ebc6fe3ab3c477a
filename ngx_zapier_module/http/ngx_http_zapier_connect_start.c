
/*
 * "zapier_connect start": the browser is sent to the authorize URL.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_connect.h>
#include <ngx_zapier_wipe.h>


/* what stands in the arguments of the authorize URL */
typedef struct {
    ngx_str_t                  authorize;
    ngx_str_t                  redirect_uri;
    ngx_str_t                  scope;
    ngx_str_t                  state;
    ngx_str_t                  challenge;
} ngx_http_zapier_authorize_t;


static ngx_int_t ngx_http_zapier_connect_tenant(
    ngx_http_zapier_connect_t *connect,
    ngx_http_zapier_connect_outcome_e *outcome);
static ngx_int_t ngx_http_zapier_connect_values(
    ngx_http_zapier_connect_t *connect, ngx_http_zapier_authorize_t *args);
static ngx_int_t ngx_http_zapier_connect_value(ngx_http_request_t *r,
    ngx_http_complex_value_t *cv, const char *name, ngx_str_t *value);
static ngx_int_t ngx_http_zapier_connect_state(
    ngx_http_zapier_connect_t *connect, ngx_http_zapier_authorize_t *args);
static ngx_int_t ngx_http_zapier_connect_bind(
    ngx_http_zapier_connect_t *connect, ngx_zapier_state_t *state);
static ngx_int_t ngx_http_zapier_connect_location(ngx_http_request_t *r,
    ngx_http_zapier_authorize_t *args, ngx_str_t *location);
static u_char *ngx_http_zapier_connect_arg(u_char *p, const char *name,
    ngx_str_t *value);


void
ngx_http_zapier_connect_start(ngx_http_zapier_connect_t *connect)
{
    ngx_int_t                          rc;
    ngx_str_t                          location;
    ngx_http_zapier_authorize_t        args;
    ngx_http_zapier_connect_outcome_e  outcome;

    ngx_memzero(&args, sizeof(ngx_http_zapier_authorize_t));

    rc = ngx_http_zapier_connect_tenant(connect, &outcome);

    if (rc == NGX_DECLINED) {
        ngx_http_zapier_connect_answer(connect, outcome);
        return;
    }

    if (rc != NGX_OK
        || ngx_http_zapier_connect_values(connect, &args) != NGX_OK
        || ngx_http_zapier_connect_state(connect, &args) != NGX_OK
        || ngx_http_zapier_connect_location(connect->request, &args,
                                            &location)
           != NGX_OK)
    {
        ngx_http_finalize_request(connect->request,
                                  NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_zapier_connect_redirect(connect->request, &location);
}


static ngx_int_t
ngx_http_zapier_connect_tenant(ngx_http_zapier_connect_t *connect,
    ngx_http_zapier_connect_outcome_e *outcome)
{
    ngx_str_t                   *tenant;
    ngx_http_request_t          *r;
    ngx_http_zapier_loc_conf_t  *zlcf;

    r = connect->request;
    tenant = &connect->ctx->tenant;

    zlcf = ngx_http_get_module_loc_conf(r, ngx_http_zapier_module);

    if (ngx_http_zapier_tenant_value(r, zlcf->tenant, tenant) != NGX_OK) {
        return NGX_ERROR;
    }

    if (tenant->len == 0) {
        *outcome = NGX_HTTP_ZAPIER_CONNECT_NO_TENANT;
        return NGX_DECLINED;
    }

    if (ngx_zapier_tenant_check(tenant) != NGX_OK) {
        ngx_str_null(tenant);
        *outcome = NGX_HTTP_ZAPIER_CONNECT_BAD_TENANT;
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_zapier_connect_values(ngx_http_zapier_connect_t *connect,
    ngx_http_zapier_authorize_t *args)
{
    ngx_http_request_t              *r;
    ngx_http_zapier_connect_conf_t  *conf;

    r = connect->request;
    conf = connect->conf;

    if (ngx_http_zapier_connect_value(r, conf->authorize, "authorize",
                                      &args->authorize)
        != NGX_OK
        || ngx_http_zapier_connect_value(r, conf->redirect_uri,
                                         "redirect_uri", &args->redirect_uri)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (conf->scope == NULL) {
        return NGX_OK;
    }

    return ngx_http_complex_value(r, conf->scope, &args->scope);
}


static ngx_int_t
ngx_http_zapier_connect_value(ngx_http_request_t *r,
    ngx_http_complex_value_t *cv, const char *name, ngx_str_t *value)
{
    if (ngx_http_complex_value(r, cv, value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_zapier_connect_url(value, 0, 0) != NGX_OK
        || (cv->lengths != NULL
            && value->len > NGX_ZAPIER_STATE_REDIRECT_LEN))
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "zapier: \"%s=\" of \"zapier_connect\" must be a URL of "
                      "at most 512 bytes, but is \"%V\"", name, value);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_zapier_connect_state(ngx_http_zapier_connect_t *connect,
    ngx_http_zapier_authorize_t *args)
{
    ngx_int_t                     rc;
    ngx_http_request_t           *r;
    ngx_zapier_state_t           *state;
    ngx_http_zapier_main_conf_t  *zmcf;

    u_char  key[NGX_ZAPIER_STATE_KEY_LEN];
    u_char  verifier[NGX_ZAPIER_STATE_PKCE_LEN];

    r = connect->request;
    state = &connect->state;

    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    state->tenant = connect->ctx->tenant;
    state->redirect_uri = args->redirect_uri;
    state->pkce = connect->conf->pkce;

    /* the clock of Redis, as another node may be asked by the callback */

    state->expires = ngx_zapier_token_now(zmcf->tokens)
                     + connect->conf->expires;

    args->state.data = ngx_pnalloc(r->pool, NGX_ZAPIER_STATE_LEN
                                            + NGX_ZAPIER_STATE_PKCE_LEN);

    if (args->state.data == NULL
        || ngx_zapier_state_random(state->nonce, sizeof(state->nonce))
           != NGX_OK
        || ngx_http_zapier_connect_bind(connect, state) != NGX_OK
        || ngx_http_zapier_connect_key(r, key) != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_zapier_state_make(key, state, &args->state);

    if (rc == NGX_OK && state->pkce) {
        args->challenge.data = args->state.data + NGX_ZAPIER_STATE_LEN;
        args->challenge.len = NGX_ZAPIER_STATE_PKCE_LEN;

        rc = ngx_zapier_state_verifier(key, state->nonce, verifier);

        if (rc == NGX_OK) {
            rc = ngx_zapier_state_challenge(verifier, args->challenge.data);
        }

        ngx_zapier_wipe(verifier, sizeof(verifier));
    }

    ngx_zapier_wipe(key, sizeof(key));

    return rc;
}


/* A browser keeps its cookie, so that two tabs do not disturb each other. */

static ngx_int_t
ngx_http_zapier_connect_bind(ngx_http_zapier_connect_t *connect,
    ngx_zapier_state_t *state)
{
    ngx_str_t            value, raw;
    ngx_http_request_t  *r;

    u_char  random[32];

    r = connect->request;

    if (ngx_http_zapier_connect_cookie(r, &state->redirect_uri, &value)
        != NGX_OK)
    {
        raw.data = random;
        raw.len = sizeof(random);

        value.data = ngx_pnalloc(r->pool,
                                 ngx_base64_encoded_length(sizeof(random)));

        if (value.data == NULL
            || ngx_zapier_state_random(random, sizeof(random)) != NGX_OK)
        {
            return NGX_ERROR;
        }

        ngx_encode_base64url(&value, &raw);
    }

    if (ngx_zapier_state_digest(&value, state->browser) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_zapier_connect_set_cookie(r, &state->redirect_uri, &value,
                                              connect->conf->expires);
}


static ngx_int_t
ngx_http_zapier_connect_location(ngx_http_request_t *r,
    ngx_http_zapier_authorize_t *args, ngx_str_t *location)
{
    u_char                       *p, *more;
    size_t                        len;
    ngx_str_t                    *client, code, method;
    ngx_http_zapier_main_conf_t  *zmcf;

    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    client = &zmcf->oauth->client_id;
    ngx_str_set(&code, "code");
    ngx_str_set(&method, "S256");

    len = args->authorize.len + sizeof("?response_type=code&client_id="
                                       "&redirect_uri=&scope=&state="
                                       "&code_challenge="
                                       "&code_challenge_method=S256")
          + 3 * (client->len + args->redirect_uri.len + args->scope.len
                 + args->state.len + args->challenge.len);

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    location->data = p;

    more = ngx_strlchr(args->authorize.data,
                       args->authorize.data + args->authorize.len, '?');

    p = ngx_cpymem(p, args->authorize.data, args->authorize.len);
    *p++ = more ? '&' : '?';

    p = ngx_http_zapier_connect_arg(p, "response_type", &code);
    p = ngx_http_zapier_connect_arg(p, "client_id", client);
    p = ngx_http_zapier_connect_arg(p, "redirect_uri", &args->redirect_uri);
    p = ngx_http_zapier_connect_arg(p, "scope", &args->scope);
    p = ngx_http_zapier_connect_arg(p, "state", &args->state);

    if (args->challenge.len != 0) {
        p = ngx_http_zapier_connect_arg(p, "code_challenge",
                                        &args->challenge);
        p = ngx_http_zapier_connect_arg(p, "code_challenge_method", &method);
    }

    /* without the last ampersand */

    location->len = p - location->data - 1;

    return NGX_OK;
}


static u_char *
ngx_http_zapier_connect_arg(u_char *p, const char *name, ngx_str_t *value)
{
    if (value->len == 0) {
        return p;
    }

    p = ngx_cpymem(p, name, ngx_strlen(name));
    *p++ = '=';
    p = (u_char *) ngx_escape_uri(p, value->data, value->len,
                                  NGX_ESCAPE_URI_COMPONENT);
    *p++ = '&';

    return p;
}
