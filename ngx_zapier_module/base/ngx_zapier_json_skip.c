
/*
 * The fast half of the JSON scanner.  A body is almost wholly passed over
 * here: no events, no state in memory but the stack of containers.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_likely.h>
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

    if (state == sw_next_element || state == sw_next_member) {
        goto next;
    }

    for ( ;; ) {

        if (state == sw_key) {
            rc = ngx_zapier_json_skip_key(json, &p, last, &state);

            if (rc != NGX_OK) {
                break;
            }

        } else if (state != sw_value) {
            break;
        }

        rc = ngx_zapier_json_skip_value(json, &p, last, &state, &depth);

        if (rc == NGX_AGAIN) {
            continue;
        }

        if (rc != NGX_OK) {
            break;
        }

    next:

        rc = ngx_zapier_json_skip_next(json, &p, last, &state, &depth);

        if (rc != NGX_OK) {
            break;
        }
    }

    json->state = state;
    json->depth = depth;

    return p;
}


/* most strings are plain, and short */

static ngx_inline u_char *
ngx_zapier_json_skip_text(u_char *p, u_char *last)
{
    p = ngx_zapier_json_span(p, last);

    if (ngx_zapier_unlikely(p == last)) {
        return p;
    }

    return ngx_zapier_likely(*p == '"') ? p : ngx_zapier_json_run(p, last);
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

        if (ngx_zapier_likely(*p == ',')) {
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


u_char *
ngx_zapier_json_span_long(u_char *p, u_char *last)
{
#if (NGX_ZAPIER_JSON_SSE2)

    u_char    *start;
    uint64_t   mask;

    /* what is not short tends to be long */

    for (start = p; p - start < 32 && last - p >= 16; p += 16) {
        mask = ngx_zapier_json_special(p);

        if (mask) {
            return p + __builtin_ctz((unsigned) mask);
        }
    }

#if (NGX_ZAPIER_JSON_AVX2)

    if (last - p >= NGX_ZAPIER_JSON_LONG && ngx_zapier_json_has_avx2()) {
        p = ngx_zapier_json_span_avx2(p, last);
    }

#endif

    while (last - p >= 64) {
        mask = ngx_zapier_json_special64(p);

        if (mask) {
            return p + __builtin_ctzll(mask);
        }

        p += 64;
    }

    while (last - p >= 16) {
        mask = ngx_zapier_json_special(p);

        if (mask) {
            return p + __builtin_ctz((unsigned) mask);
        }

        p += 16;
    }

#else

    uint64_t  w, q, b;

    while (last - p >= 8) {
        ngx_memcpy(&w, p, 8);

        q = w ^ 0x2222222222222222;
        b = w ^ 0x5c5c5c5c5c5c5c5c;

        if ((w | (w - 0x2020202020202020) | (q - 0x0101010101010101)
             | (b - 0x0101010101010101)) & 0x8080808080808080)
        {
            break;
        }

        p += 8;
    }

#endif

    while (p < last && ngx_zapier_json_plain(*p)) {
        p++;
    }

    return p;
}


/* a line break and an indent, mostly */

u_char *
ngx_zapier_json_space_long(u_char *p, u_char *last)
{
#if (NGX_ZAPIER_JSON_SSE2)

    ngx_uint_t  mask;

    while (last - p >= 16) {
        mask = ngx_zapier_json_nonspace(p);

        if (mask) {
            return p + __builtin_ctz((unsigned) mask);
        }

        p += 16;
    }

#endif

    while (p < last
           && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
    {
        p++;
    }

    return p;
}


/* the end of a literal or a plain number, NULL if it takes a closer look */

static ngx_inline u_char *
ngx_zapier_json_scalar(u_char *p, u_char *last)
{
    if (last - p < 6) {
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

    /* the longest that is looked at here, and the byte after it */

    return (last - p < 33) ? NULL : ngx_zapier_json_decimal(p);
}
