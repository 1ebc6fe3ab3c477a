
/*
 * Incremental JSON validator (RFC 8259): the machine over the structure of
 * a text.  It takes one step for each token and knows of the events; what
 * lies too deep for them is left to ngx_zapier_json_skip().
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_json.h>
#include <ngx_zapier_json_span.h>
#include <ngx_zapier_json_private.h>


/* what to do with the byte at hand; from ac_close on it is an event */

enum {
    ac_bad = 0,
    ac_element,      /* a comma or a colon: a value comes next */
    ac_member,
    ac_key,
    ac_close,
    ac_object,
    ac_array,
    ac_string,
    ac_scalar
};


static ngx_int_t ngx_zapier_json_step(ngx_zapier_json_t *json, u_char **pos,
    u_char *start, u_char *last);
static ngx_int_t ngx_zapier_json_string_start(ngx_zapier_json_t *json,
    u_char **pos, u_char *last, ngx_zapier_json_event_e event);
static ngx_int_t ngx_zapier_json_report(ngx_zapier_json_t *json,
    ngx_uint_t action, u_char ch);


/* classes of bytes: columns of the table below */

static u_char  ngx_zapier_json_class[256] = {
    ['{'] = 1, ['}'] = 2, ['['] = 3, [']'] = 4, [','] = 5, [':'] = 6,
    ['"'] = 7, ['-'] = 8, ['0'] = 8, ['1'] = 8, ['2'] = 8, ['3'] = 8,
    ['4'] = 8, ['5'] = 8, ['6'] = 8, ['7'] = 8, ['8'] = 8, ['9'] = 8,
    ['t'] = 9, ['f'] = 9, ['n'] = 9
};


static u_char  ngx_zapier_json_types[256] = {
    ['{'] = NGX_ZAPIER_JSON_OBJECT, ['['] = NGX_ZAPIER_JSON_ARRAY,
    ['"'] = NGX_ZAPIER_JSON_STRING, ['t'] = NGX_ZAPIER_JSON_TRUE,
    ['f'] = NGX_ZAPIER_JSON_FALSE, ['n'] = NGX_ZAPIER_JSON_NULL,
    ['-'] = NGX_ZAPIER_JSON_NUMBER, ['0'] = NGX_ZAPIER_JSON_NUMBER,
    ['1'] = NGX_ZAPIER_JSON_NUMBER, ['2'] = NGX_ZAPIER_JSON_NUMBER,
    ['3'] = NGX_ZAPIER_JSON_NUMBER, ['4'] = NGX_ZAPIER_JSON_NUMBER,
    ['5'] = NGX_ZAPIER_JSON_NUMBER, ['6'] = NGX_ZAPIER_JSON_NUMBER,
    ['7'] = NGX_ZAPIER_JSON_NUMBER, ['8'] = NGX_ZAPIER_JSON_NUMBER,
    ['9'] = NGX_ZAPIER_JSON_NUMBER
};


#define ac_values  ac_string, ac_scalar, ac_scalar

static u_char  ngx_zapier_json_actions[][16] = {

    /* other   {          }         [         ]         ,           : */

    /* sw_value */
    { ac_bad, ac_object, ac_bad,   ac_array, ac_bad,   ac_bad,     ac_bad,
      ac_values },

    /* sw_first_element */
    { ac_bad, ac_object, ac_bad,   ac_array, ac_close, ac_bad,     ac_bad,
      ac_values },

    /* sw_key */
    { ac_bad, ac_bad,    ac_bad,   ac_bad,   ac_bad,   ac_bad,     ac_bad,
      ac_key },

    /* sw_first_key */
    { ac_bad, ac_bad,    ac_close, ac_bad,   ac_bad,   ac_bad,     ac_bad,
      ac_key },

    /* sw_colon */
    { ac_bad, ac_bad,    ac_bad,   ac_bad,   ac_bad,   ac_bad,     ac_element },

    /* sw_next_element */
    { ac_bad, ac_bad,    ac_bad,   ac_bad,   ac_close, ac_element, ac_bad },

    /* sw_next_member */
    { ac_bad, ac_bad,    ac_close, ac_bad,   ac_bad,   ac_member,  ac_bad },

    /* sw_end */
    { ac_bad }
};


void
ngx_zapier_json_init(ngx_zapier_json_t *json, ngx_uint_t level)
{
    json->level = level;
    json->offset = 0;
    json->depth = 0;
    json->event = NGX_ZAPIER_JSON_VALUE;
    json->type = NGX_ZAPIER_JSON_NONE;
    json->key_offset = 0;
    json->key_len = 0;

    json->state = sw_value;
    json->token = tk_none;
    json->sub = 0;
    json->utf8 = NGX_ZAPIER_JSON_UTF8_OK;
    json->code = 0;
    json->surrogate = 0;
    json->literal = NULL;
    json->bad = NULL;
    json->capture = 0;
    json->reported = 0;

    json->stack[0] = sw_end;
}


ngx_int_t
ngx_zapier_json_feed(ngx_zapier_json_t *json, u_char **pos, u_char *last)
{
    u_char     *p, *start;
    ngx_int_t   rc;

    p = *pos;
    start = p;

    for ( ;; ) {

        if (json->token && json->reported && p < last) {

            /* back from the event at the end of a string */

            json->reported = 0;
            json->token = tk_none;
            p++;

            if (json->state == sw_colon && p < last && *p == ':') {
                json->state = sw_value;
                p++;
            }

        } else if (json->token) {
            rc = ngx_zapier_json_token(json, &p, last);

            if (rc != NGX_OK) {
                break;
            }
        }

        if (json->depth > json->level) {
            /* the caller may have lowered the level at an event */
            json->reported = 0;

            p = ngx_zapier_json_skip(json, p, last);

            if (json->token && p < last) {
                continue;
            }
        }

        p = ngx_zapier_json_space(p, last);

        if (p == last) {
            rc = NGX_OK;
            break;
        }

        rc = ngx_zapier_json_step(json, &p, start, last);

        if (rc != NGX_OK) {
            break;
        }
    }

    json->offset += p - start;
    *pos = p;

    return rc;
}


ngx_int_t
ngx_zapier_json_finish(ngx_zapier_json_t *json)
{
    if (json->state != sw_end) {
        return NGX_DECLINED;
    }

    /* only the end of the text ends a number that is the root */

    if (json->token == tk_none
        || (json->token == tk_number && ngx_zapier_json_number_complete(json)))
    {
        return NGX_OK;
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_zapier_json_step(ngx_zapier_json_t *json, u_char **pos, u_char *start,
    u_char *last)
{
    u_char      *p;
    ngx_uint_t   action;

    p = *pos;
    action = ngx_zapier_json_actions[json->state][ngx_zapier_json_class[*p]];

    if (json->depth <= json->level && action >= ac_close
        && ngx_zapier_json_report(json, action, *p) == NGX_AGAIN)
    {
        return NGX_AGAIN;
    }

    json->reported = 0;

    switch (action) {

    case ac_key:
        json->state = sw_colon;
        json->capture = (json->depth <= json->level);
        json->key_offset = json->offset + (p - start);
        json->key_len = 0;
        return ngx_zapier_json_string_start(json, pos, last,
                                            NGX_ZAPIER_JSON_KEY);

    case ac_string:
        json->state = json->stack[json->depth];
        return ngx_zapier_json_string_start(json, pos, last,
                                            NGX_ZAPIER_JSON_QUOTE);

    case ac_scalar:
        json->state = json->stack[json->depth];
        ngx_zapier_json_token_start(json, *p);
        return NGX_OK;

    case ac_element:
        json->state = sw_value;
        break;

    case ac_member:
        json->state = sw_key;
        break;

    case ac_object:
    case ac_array:

        if (json->depth == NGX_ZAPIER_JSON_DEPTH) {
            return NGX_DECLINED;
        }

        json->depth++;

        if (action == ac_object) {
            json->state = sw_first_key;
            json->stack[json->depth] = sw_next_member;

        } else {
            json->state = sw_first_element;
            json->stack[json->depth] = sw_next_element;
        }

        break;

    case ac_close:
        json->depth--;
        json->state = json->stack[json->depth];
        break;

    default: /* ac_bad */
        return NGX_DECLINED;
    }

    *pos = p + 1;

    return NGX_OK;
}


/*
 * Most strings that are reported are plain and end in this piece: these go
 * to their closing quote at once, as ngx_zapier_json_token() would get
 * there, the others are left to it.
 */

static ngx_int_t
ngx_zapier_json_string_start(ngx_zapier_json_t *json, u_char **pos,
    u_char *last, ngx_zapier_json_event_e event)
{
    size_t   len;
    u_char  *p, *end;

    ngx_zapier_json_token_start(json, '"');

    p = *pos + 1;
    *pos = p;

    if (json->depth > json->level) {
        return NGX_OK;
    }

    end = ngx_zapier_json_span(p, last);

    if (end == last || *end != '"') {
        return NGX_OK;
    }

    if (json->capture) {
        len = end - p;

        if (len > NGX_ZAPIER_JSON_KEY_LEN) {
            return NGX_OK;
        }

        ngx_memcpy(json->key, p, len);
        json->key_len = len;
        json->capture = 0;
    }

    json->reported = 1;
    json->event = event;
    *pos = end;

    return NGX_AGAIN;
}


/* NGX_AGAIN for an event, NGX_OK when the caller comes back from it */

static ngx_int_t
ngx_zapier_json_report(ngx_zapier_json_t *json, ngx_uint_t action, u_char ch)
{
    if (json->reported) {
        return NGX_OK;
    }

    json->reported = 1;

    if (action == ac_close) {
        json->event = NGX_ZAPIER_JSON_CLOSE;

    } else {
        json->event = NGX_ZAPIER_JSON_VALUE;
        json->type = ngx_zapier_json_types[ch];
    }

    return NGX_AGAIN;
}
