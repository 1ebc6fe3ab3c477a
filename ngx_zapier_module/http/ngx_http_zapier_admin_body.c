
/*
 * The body of a PUT.  It holds secrets: it is read piece by piece, as nginx
 * would else write what its buffer cannot hold to a file, and overwritten
 * piece by piece.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_admin.h>
#include <ngx_zapier_wipe.h>


static void ngx_http_zapier_admin_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_zapier_admin_take(ngx_http_zapier_admin_t *admin);
static void ngx_http_zapier_admin_put(ngx_http_zapier_admin_t *admin);
static void ngx_http_zapier_admin_too_large(ngx_http_zapier_admin_t *admin);
static void ngx_http_zapier_admin_unread(ngx_http_zapier_admin_t *admin,
    ngx_int_t rc);


void
ngx_http_zapier_admin_read(ngx_http_zapier_admin_t *admin)
{
    off_t                     length;
    ngx_int_t                 rc;
    ngx_http_request_t       *r;
    ngx_http_zapier_fault_t   fault;

    r = admin->request;

    rc = ngx_http_zapier_body_check(r, &fault);

    if (rc != NGX_OK) {
        (void) ngx_http_zapier_error(r, admin->ctx, rc, &fault, 1);
        return;
    }

    length = r->headers_in.content_length_n;

    if (length > NGX_HTTP_ZAPIER_ADMIN_BODY) {
        ngx_http_zapier_admin_too_large(admin);
        return;
    }

    /* in chunks it may be as large as can be */

    admin->size = (length < 0) ? NGX_HTTP_ZAPIER_ADMIN_BODY : (size_t) length;
    admin->body.data = ngx_pnalloc(r->pool, admin->size + 1);

    if (admin->body.data == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    r->request_body_no_buffering = 1;

    rc = ngx_http_read_client_request_body(r,
                                           ngx_http_zapier_admin_body_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        ngx_http_zapier_admin_unread(admin, rc);
        return;
    }

    /* the reader counts for itself */

    r->main->count--;
}


static void
ngx_http_zapier_admin_body_handler(ngx_http_request_t *r)
{
    ngx_int_t                 rc;
    ngx_http_zapier_ctx_t    *ctx;
    ngx_http_zapier_admin_t  *admin;

    ctx = ngx_http_get_module_ctx(r, ngx_http_zapier_module);
    admin = ctx->admin;

    for ( ;; ) {

        if (ngx_http_zapier_admin_take(admin) != NGX_OK) {
            ngx_http_zapier_admin_too_large(admin);
            return;
        }

        if (!r->reading_body) {
            break;
        }

        rc = ngx_http_read_unbuffered_request_body(r);

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
            ngx_http_zapier_admin_unread(admin, rc);
            return;
        }

        if (rc == NGX_AGAIN && r->request_body->bufs == NULL) {
            r->read_event_handler = ngx_http_zapier_admin_body_handler;
            return;
        }
    }

    r->read_event_handler = ngx_http_block_reading;

    ngx_http_zapier_admin_put(admin);
}


/* NGX_DECLINED: it is too large, or has found its way to a file */

static ngx_int_t
ngx_http_zapier_admin_take(ngx_http_zapier_admin_t *admin)
{
    size_t        len;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    for (cl = admin->request->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;

        if (!ngx_buf_in_memory(b)) {

            if (ngx_buf_special(b)) {
                continue;
            }

            return NGX_DECLINED;
        }

        len = b->last - b->pos;

        if (len > admin->size - admin->body.len) {
            return NGX_DECLINED;
        }

        ngx_memcpy(admin->body.data + admin->body.len, b->pos, len);
        admin->body.len += len;

        ngx_zapier_wipe(b->pos, len);
        b->pos = b->last;
    }

    admin->request->request_body->bufs = NULL;

    return NGX_OK;
}


static void
ngx_http_zapier_admin_put(ngx_http_zapier_admin_t *admin)
{
    ngx_int_t                n;
    ngx_http_zapier_fault_t  faults[NGX_HTTP_ZAPIER_ADMIN_FAULTS];

    ngx_memzero(faults, sizeof(faults));

    n = ngx_http_zapier_admin_parse(admin, faults);

    if (n == NGX_ERROR) {
        ngx_http_finalize_request(admin->request,
                                  NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    if (n != 0) {
        (void) ngx_http_zapier_error(admin->request, admin->ctx,
                                     NGX_HTTP_BAD_REQUEST, faults, n);
        return;
    }

    ngx_http_zapier_admin_start(admin);
}


static void
ngx_http_zapier_admin_too_large(ngx_http_zapier_admin_t *admin)
{
    if (admin->request->reading_body) {
        admin->request->keepalive = 0;
    }

    ngx_http_zapier_admin_error(admin, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                "body_too_large",
                                "The body is larger than 64 kilobytes.");
}


/* The body cannot be had. */

static void
ngx_http_zapier_admin_unread(ngx_http_zapier_admin_t *admin, ngx_int_t rc)
{
    ngx_http_request_t  *r;

    r = admin->request;

    /* where the next request begins is not known */

    r->keepalive = 0;

    if (rc == NGX_HTTP_BAD_REQUEST && !r->connection->error) {
        ngx_http_zapier_admin_error(admin, NGX_HTTP_BAD_REQUEST,
                                    "parse_error",
                                    "The chunks of the body are malformed.");
        return;
    }

    if (rc == NGX_HTTP_REQUEST_ENTITY_TOO_LARGE) {
        ngx_http_zapier_admin_too_large(admin);
        return;
    }

    /* nobody hears, or nginx is to say it */

    ngx_http_finalize_request(r, rc);
}
