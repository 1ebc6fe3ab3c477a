
/*
 * Calls of the token endpoint on their way through nginx, and the answers;
 * see ngx_http_zapier_oauth.c.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_oauth.h>
#include <ngx_http_zapier_retry.h>
#include <ngx_http_zapier_secret.h>
#include <ngx_zapier_ratelimit.h>
#include <ngx_zapier_wipe.h>


static ngx_int_t ngx_http_zapier_oauth_content(ngx_http_request_t *r);
static ngx_uint_t ngx_http_zapier_oauth_sent(ngx_http_request_t *r);
static void ngx_http_zapier_oauth_preread(ngx_http_zapier_exchange_t *x,
    ngx_http_upstream_t *u);
static ngx_http_zapier_exchange_t *ngx_http_zapier_oauth_exchange(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_zapier_oauth_buffer(ngx_http_zapier_exchange_t *x);


void
ngx_http_zapier_oauth_enter(ngx_http_request_t *r)
{
    ngx_http_zapier_exchange_t  *x;

    x = ngx_http_zapier_oauth_exchange(r);

    if (x == NULL
        || r->content_handler == NULL
        || r->content_handler == ngx_http_zapier_oauth_content)
    {
        return;
    }

    x->content = r->content_handler;
    r->content_handler = ngx_http_zapier_oauth_content;
}


static ngx_int_t
ngx_http_zapier_oauth_content(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    rc = ngx_http_zapier_oauth_exchange(r)->content(r);

    /* nothing is sent before that, unless the connection is a kept one */

    ngx_http_zapier_secret(r);

    return rc;
}


ngx_int_t
ngx_http_zapier_oauth_header(ngx_http_request_t *r)
{
    ngx_http_zapier_exchange_t  *x;

    x = ngx_http_zapier_oauth_exchange(r);
    if (x == NULL) {
        return NGX_OK;
    }

    /*
     * An answer that is not buffered is neither cached nor stored, and it
     * passes through one buffer that can be zeroed: those of the event pipe
     * are freed on the way.
     */

    if (r->upstream != NULL) {
        r->upstream->buffering = 0;
    }

    if (ngx_http_zapier_oauth_buffer(x) != NGX_OK) {
        return NGX_ERROR;
    }

    /* in the place of nginx's own, subrequest_output_buffer_size is short */

    x->out.buf = &x->answer;
    x->out.next = NULL;

    r->out = &x->out;

    return NGX_OK;
}


ngx_str_t *
ngx_http_zapier_oauth_authorization(ngx_http_request_t *r)
{
    ngx_http_zapier_exchange_t  *x;

    x = ngx_http_zapier_oauth_exchange(r);

    /* not for a location that the answer redirects to, and not for logs */

    if (x == NULL || x->answered || r->upstream_states != NULL) {
        return NULL;
    }

    return &x->call->authorization;
}


ngx_int_t
ngx_http_zapier_oauth_answered(ngx_http_request_t *r, void *data,
    ngx_int_t rc)
{
    ngx_http_zapier_exchange_t *x = data;

    x->answered = 1;
    x->rc = rc;

    /* no error page */

    return NGX_OK;
}


void
ngx_http_zapier_oauth_result(ngx_http_zapier_exchange_t *x)
{
    ngx_http_request_t       *r;
    ngx_http_upstream_t      *u;
    ngx_zapier_oauth_call_t  *call;

    r = x->subrequest;
    u = r->upstream;
    call = x->call;

    if (u == NULL) {

        /* nginx has answered: no such location, "return", limit_req */

        if (x->answered) {
            call->status = (x->rc >= NGX_HTTP_SPECIAL_RESPONSE)
                           ? (ngx_uint_t) x->rc : r->headers_out.status;
        }

    } else {
        call->sent = ngx_http_zapier_oauth_sent(r);

        if (u->headers_in.status_n == 0
            || u->state == NULL
            || u->state->header_time == (ngx_msec_t) -1)
        {
            /* a 502 or 504 of nginx itself, or something from a cache */
            return;
        }

        call->status = u->headers_in.status_n;
        call->sent = 1;
        call->retry_after = ngx_http_zapier_retry_after(u);

        if (!u->header_sent) {
            ngx_http_zapier_oauth_preread(x, u);
        }
    }

    /* too long an answer ends with NGX_ERROR */

    if (x->answered && x->rc != NGX_ERROR) {
        call->answer.data = x->answer.pos;
        call->answer.len = x->answer.last - x->answer.pos;
    }
}


/*
 * A connection may fail after another one was sent something, if the
 * location says proxy_next_upstream non_idempotent.
 */

static ngx_uint_t
ngx_http_zapier_oauth_sent(ngx_http_request_t *r)
{
    ngx_uint_t                  i;
    ngx_http_upstream_state_t  *state;

    if (r->upstream->request_sent) {
        return 1;
    }

    if (r->upstream_states == NULL) {
        return 0;
    }

    state = r->upstream_states->elts;

    for (i = 0; i < r->upstream_states->nelts; i++) {
        if (state[i].bytes_sent > 0) {
            return 1;
        }
    }

    return 0;
}


/*
 * The body of an answer that was not passed on: proxy_intercept_errors or
 * proxy_next_upstream took it for a reason to do something else.  What came
 * with the header is mostly all, and says whether the token is dead.
 */

static void
ngx_http_zapier_oauth_preread(ngx_http_zapier_exchange_t *x,
    ngx_http_upstream_t *u)
{
    off_t  len;

    len = u->buffer.last - u->buffer.pos;

    if (u->headers_in.chunked
        || u->headers_in.content_length_n != len
        || len > NGX_ZAPIER_OAUTH_ANSWER_LEN
        || ngx_http_zapier_oauth_buffer(x) != NGX_OK)
    {
        return;
    }

    x->answer.last = ngx_cpymem(x->answer.last, u->buffer.pos, len);
}


time_t
ngx_http_zapier_retry_after(ngx_http_upstream_t *u)
{
    ngx_table_elt_t         *h;
    ngx_zapier_ratelimit_t   rl;
    ngx_http_zapier_walk_t   walk;

    ngx_zapier_ratelimit_init(&rl);

    walk.part = &u->headers_in.headers.part;
    walk.i = 0;

    while ((h = ngx_http_zapier_next_header(&walk)) != NULL) {
        (void) ngx_zapier_ratelimit_header(&rl, &h->key, &h->value,
                                           ngx_time());
    }

    return (rl.retry_after > 0) ? (time_t) rl.retry_after : 0;
}


/* The request as it was sent, and the buffer that the answer came in. */

void
ngx_http_zapier_oauth_wipe(ngx_http_upstream_t *u)
{
    ngx_chain_t  *cl;

    for (cl = u->request_bufs; cl; cl = cl->next) {

        /* the body is the caller's */

        if (cl->buf->temporary) {
            ngx_zapier_wipe(cl->buf->start, cl->buf->end - cl->buf->start);
        }
    }

    if (u->buffer.start != NULL) {
        ngx_zapier_wipe(u->buffer.start, u->buffer.end - u->buffer.start);
    }
}


/* The call that r, a subrequest, is made for; NULL: another one */

static ngx_http_zapier_exchange_t *
ngx_http_zapier_oauth_exchange(ngx_http_request_t *r)
{
    if (r->post_subrequest == NULL
        || r->post_subrequest->handler != ngx_http_zapier_oauth_answered)
    {
        return NULL;
    }

    return r->post_subrequest->data;
}


/* Makes the answer's buffer, or empties it. */

static ngx_int_t
ngx_http_zapier_oauth_buffer(ngx_http_zapier_exchange_t *x)
{
    ngx_buf_t  *b;

    b = &x->answer;

    if (b->start == NULL) {
        b->start = ngx_palloc(x->pool, NGX_ZAPIER_OAUTH_ANSWER_LEN);
        if (b->start == NULL) {
            return NGX_ERROR;
        }

        b->end = b->start + NGX_ZAPIER_OAUTH_ANSWER_LEN;
        b->temporary = 1;
        b->last_buf = 1;
    }

    b->pos = b->start;
    b->last = b->start;

    return NGX_OK;
}
