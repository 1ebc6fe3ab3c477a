
/*
 * The fast half of the JSON scanner.  A body is almost wholly passed over
 * here: no events, no state in memory but the stack of containers.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_json.h>
#include <ngx_zapier_json_span.h>
#include <ngx_zapier_json_private.h>


static u_char *ngx_zapier_json_scalar(u_char *p, u_char *last);


u_char *
ngx_zapier_json_skip(ngx_zapier_json_t *json, u_char *p, u_char *last)
{
    u_char      *q;
    ngx_uint_t   state, depth, level, object;

    state = json->state;
    depth = json->depth;
    level = json->level;

    switch (state) {

    case sw_value:
        goto value;

    case sw_key:
        goto key;

    case sw_next_element:
    case sw_next_member:
        goto next;

    default:
        return p;
    }

key:

    state = sw_key;
    p = ngx_zapier_json_space(p, last);

    if (p == last || *p != '"') {
        goto done;
    }

    state = sw_colon;
    p = ngx_zapier_json_span(p + 1, last);

    if (p == last || *p != '"') {
        ngx_zapier_json_token_start(json, '"');
        goto done;
    }

    p++;

    if (p == last || *p != ':') {
        goto done;
    }

    p++;

value:

    state = sw_value;
    p = ngx_zapier_json_space(p, last);

element:

    if (p == last) {
        goto done;
    }

    switch (*p) {

    case '"':
        state = json->stack[depth];
        p = ngx_zapier_json_span(p + 1, last);

        if (p == last || *p != '"') {
            ngx_zapier_json_token_start(json, '"');
            goto done;
        }

        p++;
        break;

    case '{':
    case '[':
        if (depth == NGX_ZAPIER_JSON_DEPTH) {
            goto done;
        }

        object = (*p == '{');
        state = object ? sw_first_key : sw_first_element;
        json->stack[++depth] = object ? sw_next_member : sw_next_element;

        p = ngx_zapier_json_space(p + 1, last);

        if (p == last) {
            goto done;
        }

        if (*p == (object ? '}' : ']')) {
            break;
        }

        if (object) {
            goto key;
        }

        state = sw_value;
        goto element;

    default:
        q = ngx_zapier_json_scalar(p, last);

        if (q == NULL) {
            goto done;
        }

        p = q;
    }

next:

    state = json->stack[depth];
    p = ngx_zapier_json_space(p, last);

    if (p == last) {
        goto done;
    }

    if (*p == ',') {
        p++;

        if (state == sw_next_member) {
            goto key;
        }

        goto value;
    }

    if (*p == ((state == sw_next_member) ? '}' : ']')) {
        p++;
        depth--;

        if (depth > level) {
            goto next;
        }

        state = json->stack[depth];
    }

done:

    json->state = state;
    json->depth = depth;

    return p;
}


/* the end of a literal or a plain number, NULL if it takes a closer look */

static u_char *
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
