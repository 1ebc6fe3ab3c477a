
/*
 * The fast half of the JSON scanner.  A body is almost wholly passed over
 * here: no events, no state in memory but the stack of containers.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_json.h>
#include <ngx_zapier_json_span.h>
#include <ngx_zapier_json_private.h>


static u_char *ngx_zapier_json_skip_text(u_char *p, u_char *last);
static ngx_int_t ngx_zapier_json_skip_key(ngx_zapier_json_t *json,
    u_char **pos, u_char *last, ngx_uint_t *state);
static ngx_int_t ngx_zapier_json_skip_value(ngx_zapier_json_t *json,
    u_char **pos, u_char *last, ngx_uint_t *state, ngx_uint_t *depth);
static ngx_int_t ngx_zapier_json_skip_open(ngx_zapier_json_t *json,
    u_char **pos, u_char *last, ngx_uint_t *state, ngx_uint_t *depth);
static ngx_int_t ngx_zapier_json_skip_next(ngx_zapier_json_t *json,
    u_char **pos, u_char *last, ngx_uint_t *state, ngx_uint_t *depth);
static u_char *ngx_zapier_json_scalar(u_char *p, u_char *last);


u_char *
ngx_zapier_json_skip(ngx_zapier_json_t *json, u_char *p, u_char *last)
{
    ngx_int_t    rc;
    ngx_uint_t   state, depth;

    state = json->state;
    depth = json->depth;

    for ( ;; ) {

        switch (state) {

        case sw_key:
            rc = ngx_zapier_json_skip_key(json, &p, last, &state);

            if (rc != NGX_OK) {
                goto done;
            }

            /* fall through */

        case sw_value:
            rc = ngx_zapier_json_skip_value(json, &p, last, &state, &depth);

            if (rc == NGX_AGAIN) {
                continue;
            }

            if (rc != NGX_OK) {
                goto done;
            }

            /* fall through */

        case sw_next_element:
        case sw_next_member:
            rc = ngx_zapier_json_skip_next(json, &p, last, &state, &depth);

            if (rc != NGX_OK) {
                goto done;
            }

            continue;

        default:
            goto done;
        }
    }

done:

    json->state = state;
    json->depth = depth;

    return p;
}


/* most strings are plain, and short */

static ngx_inline u_char *
ngx_zapier_json_skip_text(u_char *p, u_char *last)
{
    p = ngx_zapier_json_span(p, last);

    return (p == last || *p == '"') ? p : ngx_zapier_json_run(p, last);
}


/*
 * These are inlined.  They return NGX_OK to go on and NGX_DONE to stop at
 * *pos, with *state right for what comes there in either case.
 */

static ngx_inline ngx_int_t
ngx_zapier_json_skip_key(ngx_zapier_json_t *json, u_char **pos, u_char *last,
    ngx_uint_t *state)
{
    u_char  *p;

    p = ngx_zapier_json_space(*pos, last);
    *pos = p;

    if (p == last || *p != '"') {
        return NGX_DONE;
    }

    *state = sw_colon;
    p = ngx_zapier_json_skip_text(p + 1, last);
    *pos = p;

    if (p == last || *p != '"') {
        ngx_zapier_json_token_start(json, '"');
        return NGX_DONE;
    }

    *pos = ++p;

    if (p == last || *p != ':') {
        return NGX_DONE;
    }

    *pos = ++p;
    *state = sw_value;

    return NGX_OK;
}


/* NGX_AGAIN: a container was opened, a key or another value is next */

static ngx_inline ngx_int_t
ngx_zapier_json_skip_value(ngx_zapier_json_t *json, u_char **pos,
    u_char *last, ngx_uint_t *state, ngx_uint_t *depth)
{
    u_char  *p;

    p = ngx_zapier_json_space(*pos, last);
    *pos = p;

    if (p == last) {
        return NGX_DONE;
    }

    switch (*p) {

    case '"':
        *state = json->stack[*depth];
        p = ngx_zapier_json_skip_text(p + 1, last);
        *pos = p;

        if (p == last || *p != '"') {
            ngx_zapier_json_token_start(json, '"');
            return NGX_DONE;
        }

        *pos = p + 1;
        return NGX_OK;

    case '{':
    case '[':
        return ngx_zapier_json_skip_open(json, pos, last, state, depth);
    }

    p = ngx_zapier_json_scalar(p, last);

    if (p == NULL) {
        return NGX_DONE;
    }

    *pos = p;
    *state = json->stack[*depth];

    return NGX_OK;
}


static ngx_inline ngx_int_t
ngx_zapier_json_skip_open(ngx_zapier_json_t *json, u_char **pos,
    u_char *last, ngx_uint_t *state, ngx_uint_t *depth)
{
    u_char      *p;
    ngx_uint_t   object;

    if (*depth == NGX_ZAPIER_JSON_DEPTH) {
        return NGX_DONE;
    }

    object = (**pos == '{');

    (*depth)++;
    json->stack[*depth] = object ? sw_next_member : sw_next_element;
    *state = object ? sw_first_key : sw_first_element;

    p = ngx_zapier_json_space(*pos + 1, last);
    *pos = p;

    if (p == last) {
        return NGX_DONE;
    }

    if (*p == (object ? '}' : ']')) {
        *state = json->stack[*depth];
        return NGX_OK;
    }

    *state = object ? sw_key : sw_value;

    return NGX_AGAIN;
}


static ngx_inline ngx_int_t
ngx_zapier_json_skip_next(ngx_zapier_json_t *json, u_char **pos,
    u_char *last, ngx_uint_t *state, ngx_uint_t *depth)
{
    u_char  *p;

    for ( ;; ) {
        p = ngx_zapier_json_space(*pos, last);
        *pos = p;

        if (p == last) {
            return NGX_DONE;
        }

        if (*p == ',') {
            *pos = p + 1;
            *state = (*state == sw_next_member) ? sw_key : sw_value;

            return NGX_OK;
        }

        if (*p != ((*state == sw_next_member) ? '}' : ']')) {
            return NGX_DONE;
        }

        *pos = p + 1;
        (*depth)--;
        *state = json->stack[*depth];

        if (*depth <= json->level) {
            return NGX_DONE;
        }
    }
}


/* the end of a literal or a plain number, NULL if it takes a closer look */

static ngx_inline u_char *
ngx_zapier_json_scalar(u_char *p, u_char *last)
{
    /* the longest that is looked at here, and the byte after it */

    if (last - p < 34) {
        return NULL;
    }

    switch (*p) {

    case 't':
        return ngx_memcmp(p, "true", 4) == 0 ? p + 4 : NULL;

    case 'f':
        return ngx_memcmp(p + 1, "alse", 4) == 0 ? p + 5 : NULL;

    case 'n':
        return ngx_memcmp(p, "null", 4) == 0 ? p + 4 : NULL;

    case '-':
        p++;
        break;
    }

    return ngx_zapier_json_decimal(p);
}
