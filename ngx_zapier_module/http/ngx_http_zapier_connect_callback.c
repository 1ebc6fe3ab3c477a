
/*
 * "zapier_connect callback": what the browser brings back is judged before
 * anything is done with it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_connect.h>
#include <ngx_zapier_oauth.h>
#include <ngx_zapier_wipe.h>


typedef struct {
    ngx_str_t                  state;
    ngx_str_t                  code;
    ngx_str_t                  error;
    ngx_uint_t                 twice;    /* one of them */
} ngx_http_zapier_connect_args_t;


static ngx_int_t ngx_http_zapier_connect_args(ngx_http_request_t *r,
    ngx_http_zapier_connect_args_t *args);
static ngx_int_t ngx_http_zapier_connect_decode(ngx_http_request_t *r,
    ngx_str_t *raw, ngx_str_t *value);
static void ngx_http_zapier_connect_mask(ngx_str_t *text);
static ngx_int_t ngx_http_zapier_connect_judge(
    ngx_http_zapier_connect_t *connect, ngx_http_zapier_connect_args_t *args,
    ngx_http_zapier_connect_outcome_e *outcome);
static ngx_int_t ngx_http_zapier_connect_read_state(
    ngx_http_zapier_connect_t *connect, ngx_str_t *text);
static ngx_http_zapier_connect_outcome_e ngx_http_zapier_connect_failed(
    ngx_http_zapier_connect_t *connect, ngx_str_t *error);
static ngx_uint_t ngx_http_zapier_connect_printable(ngx_str_t *text,
    size_t max);


void
ngx_http_zapier_connect_callback(ngx_http_zapier_connect_t *connect)
{
    ngx_int_t                          rc;
    ngx_http_request_t                *r;
    ngx_http_zapier_connect_args_t     args;
    ngx_http_zapier_connect_outcome_e  outcome;

    r = connect->request;
    outcome = NGX_HTTP_ZAPIER_CONNECT_ARGS;

    ngx_memzero(&args, sizeof(ngx_http_zapier_connect_args_t));

    rc = ngx_http_zapier_connect_args(r, &args);

    ngx_http_zapier_connect_hide(r);

    if (rc == NGX_OK) {
        rc = ngx_http_zapier_connect_judge(connect, &args, &outcome);
    }

    if (rc == NGX_OK) {
        connect->code = args.code;
        rc = ngx_http_zapier_grant_start(connect, &outcome);
    }

    switch (rc) {

    case NGX_AGAIN:

        /* notices a browser that goes away, though it is not waited for */

        r->read_event_handler = ngx_http_test_reading;

        if (r->connection->read->ready) {
            ngx_post_event(r->connection->read, &ngx_posted_events);

        } else if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        }

        return;

    case NGX_ERROR:
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;

    default: /* NGX_DONE */
        ngx_http_zapier_connect_answer(connect, outcome);
    }
}


static ngx_int_t
ngx_http_zapier_connect_args(ngx_http_request_t *r,
    ngx_http_zapier_connect_args_t *args)
{
    u_char     *p, *last, *end;
    ngx_str_t   raw, *value;

    p = r->args.data;
    last = p + r->args.len;

    for ( /* void */ ; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, '&');
        if (end == NULL) {
            end = last;
        }

        raw.data = ngx_strlchr(p, end, '=');

        if (raw.data == NULL) {
            continue;
        }

        if (raw.data - p == 5 && ngx_memcmp(p, "state", 5) == 0) {
            value = &args->state;

        } else if (raw.data - p == 4 && ngx_memcmp(p, "code", 4) == 0) {
            value = &args->code;

        } else if (raw.data - p == 5 && ngx_memcmp(p, "error", 5) == 0) {
            value = &args->error;

        } else {
            continue;
        }

        raw.data++;
        raw.len = end - raw.data;

        if (value->data != NULL) {
            args->twice = 1;

        } else if (ngx_http_zapier_connect_decode(r, &raw, value) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* As a form: a plus is a blank. */

static ngx_int_t
ngx_http_zapier_connect_decode(ngx_http_request_t *r, ngx_str_t *raw,
    ngx_str_t *value)
{
    size_t   i;
    u_char  *src, *dst;

    value->data = ngx_zapier_oauth_alloc(r->pool, raw->len + 1);
    if (value->data == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < raw->len; i++) {
        value->data[i] = (raw->data[i] == '+') ? ' ' : raw->data[i];
    }

    src = value->data;
    dst = value->data;

    ngx_unescape_uri(&dst, &src, raw->len, 0);

    value->len = dst - value->data;

    return NGX_OK;
}


/*
 * Logs have the request line and $args.  A code that was not used, since
 * Redis or the token endpoint were away, is still good for something.
 */

void
ngx_http_zapier_connect_hide(ngx_http_request_t *r)
{
    ngx_http_zapier_connect_mask(&r->args);
    ngx_http_zapier_connect_mask(&r->unparsed_uri);
    ngx_http_zapier_connect_mask(&r->request_line);
}


static void
ngx_http_zapier_connect_mask(ngx_str_t *text)
{
    u_char  *p, *last;

    p = text->data;
    last = p + text->len;

    while (last - p >= 5) {

        if (ngx_memcmp(p, "code=", 5) != 0
            || (p != text->data && p[-1] != '&' && p[-1] != '?'))
        {
            p++;
            continue;
        }

        for (p += 5; p < last && *p != '&' && *p != ' '; p++) {
            *p = '*';
        }
    }
}


/*
 * NGX_OK: there is a code to be exchanged; NGX_DONE; NGX_ERROR.  *outcome is
 * that of malformed arguments until something else is found.
 */

static ngx_int_t
ngx_http_zapier_connect_judge(ngx_http_zapier_connect_t *connect,
    ngx_http_zapier_connect_args_t *args,
    ngx_http_zapier_connect_outcome_e *outcome)
{
    ngx_int_t                     rc;
    ngx_uint_t                    found;
    ngx_http_request_t           *r;
    ngx_http_zapier_main_conf_t  *zmcf;

    r = connect->request;
    zmcf = ngx_http_get_module_main_conf(r, ngx_http_zapier_module);

    if (args->twice || args->state.len == 0) {
        return NGX_DONE;
    }

    rc = ngx_http_zapier_connect_read_state(connect, &args->state);

    if (rc != NGX_OK) {
        *outcome = NGX_HTTP_ZAPIER_CONNECT_FORGED;
        return (rc == NGX_DECLINED) ? NGX_DONE : NGX_ERROR;
    }

    if (connect->state.expires <= ngx_zapier_token_now(zmcf->tokens)) {
        *outcome = NGX_HTTP_ZAPIER_CONNECT_EXPIRED;
        return NGX_DONE;
    }

    rc = ngx_http_zapier_connect_browser(r, &connect->state.redirect_uri,
                                         connect->state.browser, &found);
    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "zapier: the browser that comes back from connecting "
                      "tenant \"%V\" has %s cookie; the one that began was "
                      "to come to \"%V\"", &connect->ctx->tenant,
                      found ? "another" : "no",
                      &connect->state.redirect_uri);

        *outcome = NGX_HTTP_ZAPIER_CONNECT_BROWSER;
        return (rc == NGX_DECLINED) ? NGX_DONE : NGX_ERROR;
    }

    if ((args->error.data != NULL) == (args->code.data != NULL)) {
        return NGX_DONE;
    }

    if (args->error.data != NULL) {
        *outcome = ngx_http_zapier_connect_failed(connect, &args->error);
        return NGX_DONE;
    }

    return ngx_http_zapier_connect_printable(&args->code,
                                             NGX_HTTP_ZAPIER_CODE_LEN)
           ? NGX_OK : NGX_DONE;
}


static ngx_int_t
ngx_http_zapier_connect_read_state(ngx_http_zapier_connect_t *connect,
    ngx_str_t *text)
{
    u_char     *buf;
    ngx_int_t   rc;

    u_char  key[NGX_ZAPIER_STATE_KEY_LEN];

    buf = ngx_pnalloc(connect->request->pool, NGX_ZAPIER_STATE_LEN);

    if (buf == NULL
        || ngx_http_zapier_connect_key(connect->request, key) != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_zapier_state_read(key, text, buf, &connect->state);

    ngx_zapier_wipe(key, sizeof(key));

    if (rc == NGX_OK) {
        connect->ctx->tenant = connect->state.tenant;
    }

    return rc;
}


/* What the authorize URL has to say goes to the log, and nowhere else. */

static ngx_http_zapier_connect_outcome_e
ngx_http_zapier_connect_failed(ngx_http_zapier_connect_t *connect,
    ngx_str_t *error)
{
    ngx_str_t  text;

    if (error->len == sizeof("access_denied") - 1
        && ngx_memcmp(error->data, "access_denied", error->len) == 0)
    {
        return NGX_HTTP_ZAPIER_CONNECT_DENIED;
    }

    text = *error;

    if (!ngx_http_zapier_connect_printable(&text,
                                           NGX_ZAPIER_OAUTH_ERROR_LEN))
    {
        ngx_str_set(&text, "(not a code)");
    }

    ngx_log_error(NGX_LOG_ERR, connect->request->connection->log, 0,
                  "zapier: connecting tenant \"%V\" failed at the authorize "
                  "URL: \"%V\"", &connect->ctx->tenant, &text);

    return NGX_HTTP_ZAPIER_CONNECT_FAILED;
}


/* VSCHAR of RFC 6749 A.7, A.11 */

static ngx_uint_t
ngx_http_zapier_connect_printable(ngx_str_t *text, size_t max)
{
    size_t  i;

    if (text->len == 0 || text->len > max) {
        return 0;
    }

    for (i = 0; i < text->len; i++) {
        if (text->data[i] < 0x20 || text->data[i] > 0x7e) {
            return 0;
        }
    }

    return 1;
}
