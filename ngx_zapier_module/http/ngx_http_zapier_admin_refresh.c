
/*
 * A refresh that an operator asks for: a look at the record, the refresh as
 * any request would have it, and another look, which tells whether there is
 * a new record, no matter who has made it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_admin.h>


static void ngx_http_zapier_admin_force(ngx_http_zapier_admin_t *admin,
    ngx_zapier_store_record_t *record);
static void ngx_http_zapier_admin_token_handler(ngx_zapier_token_op_t *op);
static void ngx_http_zapier_admin_forced(ngx_http_zapier_admin_t *admin);
static void ngx_http_zapier_admin_failed(ngx_http_zapier_admin_t *admin);
static void ngx_http_zapier_admin_dead(ngx_http_zapier_admin_t *admin);


void
ngx_http_zapier_admin_refresh(ngx_http_zapier_admin_t *admin)
{
    ngx_http_zapier_main_conf_t  *zmcf;

    zmcf = ngx_http_get_module_main_conf(admin->request,
                                         ngx_http_zapier_module);

    if (zmcf->tokens->oauth == NULL) {
        ngx_http_zapier_admin_error(admin, NGX_HTTP_CONFLICT,
                                    "not_refreshable",
                                    "This gateway has no zapier_oauth_client "
                                    "and does not refresh tokens.");
        return;
    }

    admin->look = NGX_HTTP_ZAPIER_ADMIN_BEFORE;

    ngx_http_zapier_admin_start(admin);
}


void
ngx_http_zapier_admin_looked(ngx_http_zapier_admin_t *admin)
{
    ngx_zapier_store_record_t  *record;

    record = admin->op.records.elts;

    if (admin->look == NGX_HTTP_ZAPIER_ADMIN_BEFORE) {
        ngx_http_zapier_admin_force(admin, record);
        return;
    }

    if (record->version <= admin->version) {

        /* its access token may live on all the same */

        if (ngx_strcmp(record->state, "dead") == 0) {
            ngx_http_zapier_admin_dead(admin);

        } else {
            ngx_http_zapier_admin_failed(admin);
        }

        return;
    }

    admin->look = NGX_HTTP_ZAPIER_ADMIN_NONE;

    ngx_log_error(NGX_LOG_NOTICE, admin->request->connection->log, 0,
                  "zapier: token of tenant \"%V\" was refreshed for an "
                  "operator", &admin->op.tenant);

    ngx_http_zapier_admin_answer(admin);
}


static void
ngx_http_zapier_admin_force(ngx_http_zapier_admin_t *admin,
    ngx_zapier_store_record_t *record)
{
    ngx_int_t                     rc;
    ngx_http_request_t           *r;
    ngx_http_zapier_app_t        *app;
    ngx_zapier_token_op_t        *op;
    ngx_http_core_srv_conf_t     *cscf;
    ngx_http_zapier_main_conf_t  *zmcf;

    r = admin->request;

    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    app = ngx_http_zapier_app_find(zmcf, &admin->op.tenant);

    if (app == NULL && !record->refreshable) {

        if (ngx_strcmp(record->state, "dead") == 0) {
            ngx_http_zapier_admin_dead(admin);
            return;
        }

        ngx_http_zapier_admin_error(admin, NGX_HTTP_CONFLICT,
                                    "not_refreshable",
                                    "The record has no refresh token that "
                                    "could be used, and is no app token that "
                                    "a location uses.");
        return;
    }

    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    admin->version = record->version;

    op = &admin->token;

    op->tenant = admin->op.tenant;
    op->pool = r->pool;
    op->log = r->connection->log;
    op->origin = cscf->ctx;
    op->force = 1;

    if (app != NULL) {
        op->mint_scope = app->scope;
    }

    op->handler = ngx_http_zapier_admin_token_handler;
    op->data = admin;

    rc = ngx_zapier_token_start(zmcf->tokens, op);

    if (rc == NGX_OK) {
        ngx_http_zapier_admin_forced(admin);

    } else if (rc != NGX_AGAIN) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
    }
}


static void
ngx_http_zapier_admin_token_handler(ngx_zapier_token_op_t *op)
{
    ngx_connection_t         *c;
    ngx_http_zapier_admin_t  *admin;

    admin = op->data;
    c = admin->request->connection;

    ngx_http_set_log_request(c->log, admin->request);

    ngx_http_zapier_admin_forced(admin);

    /* the request may be gone */

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_zapier_admin_forced(ngx_http_zapier_admin_t *admin)
{
    switch (admin->token.result) {

    case NGX_ZAPIER_TOKEN_OK:
        admin->look = NGX_HTTP_ZAPIER_ADMIN_AFTER;
        ngx_http_zapier_admin_start(admin);
        return;

    case NGX_ZAPIER_TOKEN_EXPIRED:
        ngx_http_zapier_admin_failed(admin);
        return;

    case NGX_ZAPIER_TOKEN_REAUTHORIZE:
        ngx_http_zapier_admin_dead(admin);
        return;

    case NGX_ZAPIER_TOKEN_UNAVAILABLE:
        ngx_http_zapier_admin_error(admin, NGX_HTTP_SERVICE_UNAVAILABLE,
                                    "store_unavailable",
                                    "The token store cannot be reached.");
        return;

    default:
        /* NGX_ZAPIER_TOKEN_MISSING, NGX_ZAPIER_TOKEN_INVALID */

        ngx_http_zapier_admin_error(admin, NGX_HTTP_CONFLICT,
                                    "not_refreshable",
                                    "The record cannot be understood, or has "
                                    "gone meanwhile.");
    }
}


static void
ngx_http_zapier_admin_failed(ngx_http_zapier_admin_t *admin)
{
    ngx_http_zapier_admin_error(admin, NGX_HTTP_SERVICE_UNAVAILABLE,
                                "refresh_failed",
                                "There is no new token; the log of errors "
                                "says what the token endpoint answered.");
}


static void
ngx_http_zapier_admin_dead(ngx_http_zapier_admin_t *admin)
{
    ngx_http_zapier_admin_error(admin, NGX_HTTP_CONFLICT,
                                "reauthorization_required",
                                "The refresh token is dead, the tenant must "
                                "authorize anew.");
}
