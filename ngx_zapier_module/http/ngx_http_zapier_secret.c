
/*
 * With TLS nginx copies what it sends to a buffer of the connection, which
 * may live long after the request, or is freed as it is.  OpenSSL does the
 * like with what it has decrypted.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_secret.h>
#include <ngx_zapier_wipe.h>


#if (NGX_HTTP_SSL)

static ngx_int_t ngx_http_zapier_secret_send(void *data, ngx_chain_t *in);
static void ngx_http_zapier_secret_sent(ngx_connection_t *c, ngx_int_t rc);


void
ngx_http_zapier_secret(ngx_http_request_t *r)
{
    ngx_http_upstream_t  *u;

    u = r->upstream;

    if (u == NULL) {
        return;
    }

    /* the filter of a body that is passed on in chunks keeps its place */

    if (u->output.output_filter == NULL
        || u->output.output_filter == ngx_chain_writer)
    {
        u->output.output_filter = ngx_http_zapier_secret_send;
        u->output.filter_ctx = r;
    }

    /* a connection that was there already has been used at once */

    if (u->peer.connection != NULL) {
        ngx_http_zapier_secret_sent(u->peer.connection, NGX_OK);
    }
}


static ngx_int_t
ngx_http_zapier_secret_send(void *data, ngx_chain_t *in)
{
    ngx_http_request_t *r = data;

    ngx_int_t             rc;
    ngx_http_upstream_t  *u;

    u = r->upstream;

    rc = ngx_chain_writer(&u->writer, in);

    ngx_http_zapier_secret_sent(u->peer.connection, rc);

    return rc;
}


static void
ngx_http_zapier_secret_sent(ngx_connection_t *c, ngx_int_t rc)
{
    size_t      len;
    ngx_buf_t  *b;

    if (c->ssl == NULL) {
        return;
    }

#ifdef SSL_OP_CLEANSE_PLAINTEXT
    SSL_set_options(c->ssl->connection, SSL_OP_CLEANSE_PLAINTEXT);
#endif

    b = c->ssl->buf;

    if (b == NULL || b->start == NULL) {
        return;
    }

    len = b->end - b->start;

    if (rc != NGX_ERROR) {

        if (b->pos != b->last) {

            /* what could not be sent now must stay */

            return;
        }

        len = (size_t) ngx_min((off_t) len, c->sent);
    }

    ngx_zapier_wipe(b->start, len);
}

#else

void
ngx_http_zapier_secret(ngx_http_request_t *r)
{
    (void) r;
}

#endif
