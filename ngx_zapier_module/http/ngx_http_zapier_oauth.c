
/*
 * Calls of the token endpoint, and of others that the gateway asks by itself.
 *
 * A refresh must not end because some client goes away: the new token would
 * be lost and the old one is void.  So a call is the subrequest of a request
 * that has no client, see ngx_http_zapier_alone.h.
 *
 *     call() -> start -> subrequest -> answered -> close -> closed -> end
 *
 * closed() is the cleanup of the request's pool: whatever ends the request,
 * the call's handler is called.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_alone.h>
#include <ngx_http_zapier_oauth.h>
#include <ngx_zapier_wipe.h>


/*
 * Calls of one worker at a time, the others wait for their turn.  Many tokens
 * may expire together; an endpoint that cannot cope answers too late, and a
 * rotated pair whose answer nobody waited for is lost.
 */
#define NGX_HTTP_ZAPIER_OAUTH_CALLS  16


static void ngx_http_zapier_oauth_next(void);
static void ngx_http_zapier_oauth_start(ngx_event_t *ev);
static ngx_http_request_t *ngx_http_zapier_oauth_request(
    ngx_http_zapier_exchange_t *x, ngx_connection_t *c);
static ngx_int_t ngx_http_zapier_oauth_headers(ngx_http_request_t *r,
    ngx_zapier_oauth_call_t *call);
static ngx_int_t ngx_http_zapier_oauth_body(ngx_http_request_t *r,
    ngx_str_t *body);
static ngx_int_t ngx_http_zapier_oauth_subrequest(
    ngx_http_zapier_exchange_t *x, ngx_http_request_t *r);
static void ngx_http_zapier_oauth_close(ngx_http_request_t *r);
static void ngx_http_zapier_oauth_closed(void *data);
static void ngx_http_zapier_oauth_end(ngx_event_t *ev);
static void ngx_http_zapier_oauth_free(ngx_http_zapier_exchange_t *x);


static ngx_queue_t  ngx_http_zapier_oauth_calls;
static ngx_uint_t   ngx_http_zapier_oauth_busy;


ngx_int_t
ngx_http_zapier_oauth_call(ngx_zapier_oauth_t *oauth,
    ngx_zapier_oauth_call_t *call)
{
    ngx_pool_t                  *pool;
    ngx_http_zapier_exchange_t  *x;

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    x = ngx_pcalloc(pool, sizeof(ngx_http_zapier_exchange_t));
    if (x == NULL) {
        ngx_destroy_pool(pool);
        return NGX_ERROR;
    }

    call->status = 0;
    call->sent = 0;
    call->retry_after = 0;
    ngx_str_null(&call->answer);

    x->call = call;
    x->uri = oauth->data;
    x->pool = pool;

    x->event.handler = ngx_http_zapier_oauth_start;
    x->event.data = x;
    x->event.log = ngx_cycle->log;

    if (ngx_http_zapier_oauth_calls.next == NULL) {
        ngx_queue_init(&ngx_http_zapier_oauth_calls);
    }

    ngx_queue_insert_tail(&ngx_http_zapier_oauth_calls, &x->queue);

    ngx_http_zapier_oauth_next();

    return NGX_AGAIN;
}


static void
ngx_http_zapier_oauth_next(void)
{
    ngx_queue_t                 *q;
    ngx_http_zapier_exchange_t  *x;

    for (q = ngx_queue_head(&ngx_http_zapier_oauth_calls);
         q != ngx_queue_sentinel(&ngx_http_zapier_oauth_calls)
         && ngx_http_zapier_oauth_busy < NGX_HTTP_ZAPIER_OAUTH_CALLS;
         q = ngx_queue_next(q))
    {
        x = ngx_queue_data(q, ngx_http_zapier_exchange_t, queue);

        if (!x->begun) {
            x->begun = 1;
            ngx_http_zapier_oauth_busy++;

            /* the caller may be deep inside a request of its own */

            ngx_post_event(&x->event, &ngx_posted_events);
        }
    }
}


void
ngx_http_zapier_oauth_exit_worker(void)
{
    ngx_queue_t                 *q;
    ngx_http_zapier_exchange_t  *x;

    while (ngx_http_zapier_oauth_calls.next != NULL
           && !ngx_queue_empty(&ngx_http_zapier_oauth_calls))
    {
        q = ngx_queue_head(&ngx_http_zapier_oauth_calls);
        x = ngx_queue_data(q, ngx_http_zapier_exchange_t, queue);

        if (x->connection != NULL) {
            ngx_http_zapier_alone_abort(x->connection);
        }

        if (x->event.posted) {
            ngx_delete_posted_event(&x->event);
        }

        ngx_http_zapier_oauth_free(x);
    }
}


static void
ngx_http_zapier_oauth_start(ngx_event_t *ev)
{
    ngx_http_zapier_exchange_t *x = ev->data;

    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    ev->handler = ngx_http_zapier_oauth_end;

    c = ngx_http_zapier_alone_connection(x->call->origin);
    if (c == NULL) {
        ngx_http_zapier_oauth_end(ev);
        return;
    }

    r = ngx_http_zapier_oauth_request(x, c);
    if (r == NULL) {
        ngx_http_close_connection(c);
        ngx_http_zapier_oauth_end(ev);
        return;
    }

    /* from here on closed() posts the end */

    if (ngx_http_zapier_oauth_headers(r, x->call) != NGX_OK
        || ngx_http_zapier_oauth_body(r, &x->call->body) != NGX_OK
        || ngx_http_zapier_oauth_subrequest(x, r) != NGX_OK)
    {
        ngx_http_free_request(r, 0);
        ngx_http_close_connection(c);
        return;
    }

    ngx_http_run_posted_requests(c);
}


static ngx_http_request_t *
ngx_http_zapier_oauth_request(ngx_http_zapier_exchange_t *x,
    ngx_connection_t *c)
{
    ngx_http_request_t  *r;

    r = ngx_http_zapier_alone_request(c, ngx_http_zapier_oauth_closed, x);
    if (r == NULL) {
        return NULL;
    }

    x->connection = c;

    r->write_event_handler = ngx_http_zapier_oauth_close;

    if (x->call->body.len != 0) {
        r->method = NGX_HTTP_POST;
        ngx_str_set(&r->method_name, "POST");

    } else {
        r->method = NGX_HTTP_GET;
        ngx_str_set(&r->method_name, "GET");
    }

    r->uri = *x->uri;
    r->unparsed_uri = *x->uri;

    return r;
}


static ngx_int_t
ngx_http_zapier_oauth_headers(ngx_http_request_t *r,
    ngx_zapier_oauth_call_t *call)
{
    ngx_str_t  value;

    /* each with its name in lower case */

    static ngx_str_t  accept[] = { ngx_string("Accept"),
                                   ngx_string("accept") };
    static ngx_str_t  agent[] = { ngx_string("User-Agent"),
                                  ngx_string("user-agent") };
    static ngx_str_t  authorization[] = { ngx_string("Authorization"),
                                          ngx_string("authorization") };

    if (ngx_list_init(&r->headers_in.headers, r->pool, 5,
                      sizeof(ngx_table_elt_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&value, "application/json");

    if (ngx_http_zapier_alone_header(r, accept, &value) == NULL) {
        return NGX_ERROR;
    }

    /* firewalls do not like requests without it */

    ngx_str_set(&value, "ngx_zapier_module");

    r->headers_in.user_agent = ngx_http_zapier_alone_header(r, agent, &value);
    if (r->headers_in.user_agent == NULL) {
        return NGX_ERROR;
    }

    if (call->authorization.len != 0
        && ngx_http_zapier_alone_header(r, authorization, &call->authorization)
           == NULL)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_zapier_oauth_body(ngx_http_request_t *r, ngx_str_t *body)
{
    u_char                   *p;
    ngx_buf_t                *b;
    ngx_str_t                 value;
    ngx_http_request_body_t  *rb;

    static ngx_str_t  type[] = { ngx_string("Content-Type"),
                                 ngx_string("content-type") };
    static ngx_str_t  length[] = { ngx_string("Content-Length"),
                                   ngx_string("content-length") };

    if (body->len == 0) {
        return NGX_OK;
    }

    ngx_str_set(&value, "application/x-www-form-urlencoded");

    r->headers_in.content_type = ngx_http_zapier_alone_header(r, type, &value);

    p = ngx_pnalloc(r->pool, NGX_SIZE_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "%uz", body->len) - p;

    r->headers_in.content_length = ngx_http_zapier_alone_header(r, length,
                                                             &value);
    r->headers_in.content_length_n = body->len;

    if (r->headers_in.content_type == NULL
        || r->headers_in.content_length == NULL)
    {
        return NGX_ERROR;
    }

    rb = ngx_pcalloc(r->pool, sizeof(ngx_http_request_body_t));
    if (rb == NULL) {
        return NGX_ERROR;
    }

    rb->bufs = ngx_alloc_chain_link(r->pool);
    if (rb->bufs == NULL) {
        return NGX_ERROR;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->start = body->data;
    b->pos = body->data;
    b->last = body->data + body->len;
    b->end = b->last;
    b->memory = 1;
    b->last_buf = 1;

    rb->bufs->buf = b;
    rb->bufs->next = NULL;

    r->request_body = rb;

    return NGX_OK;
}


static ngx_int_t
ngx_http_zapier_oauth_subrequest(ngx_http_zapier_exchange_t *x,
    ngx_http_request_t *r)
{
    ngx_http_request_t  *sr;

    x->post.handler = ngx_http_zapier_oauth_answered;
    x->post.data = x;

    if (ngx_http_subrequest(r, x->uri, NULL, &sr, &x->post,
                            NGX_HTTP_SUBREQUEST_IN_MEMORY
                            |NGX_HTTP_SUBREQUEST_WAITED)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    sr->method = r->method;
    sr->method_name = r->method_name;

    x->subrequest = sr;

    return NGX_OK;
}


/* The parent's turn, which comes when the subrequest is over. */

static void
ngx_http_zapier_oauth_close(ngx_http_request_t *r)
{
    if (r->postponed != NULL) {
        return;
    }

    /* the way around post_action and lingering_close */

    r->connection->read->eof = 1;

    ngx_http_finalize_request(r, NGX_DONE);
}


static void
ngx_http_zapier_oauth_closed(void *data)
{
    ngx_http_zapier_exchange_t *x = data;

    if (x->subrequest != NULL) {
        ngx_http_zapier_oauth_result(x);

        if (x->subrequest->upstream != NULL) {
            ngx_http_zapier_oauth_wipe(x->subrequest->upstream);
        }
    }

    x->connection = NULL;
    x->subrequest = NULL;

    ngx_post_event(&x->event, &ngx_posted_events);
}


static void
ngx_http_zapier_oauth_end(ngx_event_t *ev)
{
    ngx_http_zapier_exchange_t *x = ev->data;

    x->call->handler(x->call);

    ngx_http_zapier_oauth_free(x);
    ngx_http_zapier_oauth_next();
}


static void
ngx_http_zapier_oauth_free(ngx_http_zapier_exchange_t *x)
{
    ngx_queue_remove(&x->queue);

    if (x->begun) {
        ngx_http_zapier_oauth_busy--;
    }

    if (x->answer.start != NULL) {
        ngx_zapier_wipe(x->answer.start, x->answer.end - x->answer.start);
    }

    ngx_destroy_pool(x->pool);
}
