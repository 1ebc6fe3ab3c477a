
/*
 * Incremental JSON validator (RFC 8259).
 *
 * One machine over the structure of the text.  The run of a string, a
 * number or a literal that lies whole in the piece at hand is passed over
 * in a tight loop; what is cut by the end of a piece, holds escapes or
 * bytes beyond ASCII, or is to be reported goes through the functions of
 * the token at the end of this file, which can stop at any byte.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_json.h>
#include <ngx_zapier_json_span.h>


/* what may come next */

enum {
    sw_value = 0,
    sw_first_element,
    sw_key,
    sw_first_key,
    sw_colon,
    sw_next_element,
    sw_next_member,
    sw_end
};


/* what to do with it; from ac_close on it is an event */

enum {
    ac_bad = 0,
    ac_element,
    ac_member,
    ac_colon,
    ac_key,
    ac_close,
    ac_object,
    ac_array,
    ac_string,
    ac_number,
    ac_literal
};


/* a token that is not complete */

enum {
    tk_none = 0,
    tk_string,
    tk_number,
    tk_literal
};


/* where in it */

enum {
    st_text = 0,
    st_escape,
    st_hex1,
    st_hex4 = st_hex1 + 3
};


enum {
    nu_start = 0,
    nu_minus,
    nu_zero,
    nu_int,
    nu_point,
    nu_frac,
    nu_e,
    nu_sign,
    nu_exp
};


/* states of the UTF-8 automaton: their place in a row of the table */

#define UTF8_BAD     0
#define UTF8_OK      6
#define UTF8_1       12      /* so many bytes of 80..BF to come */
#define UTF8_2       18
#define UTF8_3       24
#define UTF8_E0      30
#define UTF8_ED      36
#define UTF8_F0      42
#define UTF8_F4      48

#define utf8_to(from, to)    ((uint64_t) (to) << (from))
#define utf8_tail                                                            \
    (utf8_to(UTF8_1, UTF8_OK) | utf8_to(UTF8_2, UTF8_1)                      \
     | utf8_to(UTF8_3, UTF8_2))

#define utf8_next(state, ch)                                                 \
    ((ngx_zapier_json_utf8_rows[ngx_zapier_json_utf8_class[(ch) - 0x80]]     \
      >> (state)) & 0x3f)


static ngx_int_t ngx_zapier_json_token(ngx_zapier_json_t *json, u_char **pos,
    u_char *last);
static u_char *ngx_zapier_json_string(ngx_zapier_json_t *json, u_char *p,
    u_char *last);
static u_char *ngx_zapier_json_text(ngx_zapier_json_t *json, u_char *p,
    u_char *last);
static u_char *ngx_zapier_json_escape(ngx_zapier_json_t *json, u_char *p,
    u_char *last);
static void ngx_zapier_json_code(ngx_zapier_json_t *json);
static void ngx_zapier_json_keep(ngx_zapier_json_t *json, u_char *p,
    size_t len);
static u_char *ngx_zapier_json_number(ngx_zapier_json_t *json, u_char *p,
    u_char *last);
static u_char *ngx_zapier_json_literal(ngx_zapier_json_t *json, u_char *p,
    u_char *last);


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
    ['f'] = NGX_ZAPIER_JSON_FALSE, ['n'] = NGX_ZAPIER_JSON_NULL
};


#define ac_values  ac_string, ac_number, ac_literal

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
    { ac_bad, ac_bad,    ac_bad,   ac_bad,   ac_bad,   ac_bad,     ac_colon },

    /* sw_next_element */
    { ac_bad, ac_bad,    ac_bad,   ac_bad,   ac_close, ac_element, ac_bad },

    /* sw_next_member */
    { ac_bad, ac_bad,    ac_close, ac_bad,   ac_bad,   ac_member,  ac_bad },

    /* sw_end */
    { ac_bad }
};


/* classes of the bytes from 0x80 on, and where each leads */

static u_char  ngx_zapier_json_utf8_class[128] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
    3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4,
    4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4,
    5, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 7, 6, 6,
    8, 9, 9, 9, 10, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3
};


static uint64_t  ngx_zapier_json_utf8_rows[] = {

    /* 80..8F */
    utf8_tail | utf8_to(UTF8_ED, UTF8_1) | utf8_to(UTF8_F4, UTF8_2),

    /* 90..9F */
    utf8_tail | utf8_to(UTF8_ED, UTF8_1) | utf8_to(UTF8_F0, UTF8_2),

    /* A0..BF */
    utf8_tail | utf8_to(UTF8_E0, UTF8_1) | utf8_to(UTF8_F0, UTF8_2),

    /* C0, C1, F5..FF */
    0,

    utf8_to(UTF8_OK, UTF8_1),     /* C2..DF */
    utf8_to(UTF8_OK, UTF8_E0),
    utf8_to(UTF8_OK, UTF8_2),     /* E1..EC, EE, EF */
    utf8_to(UTF8_OK, UTF8_ED),
    utf8_to(UTF8_OK, UTF8_F0),
    utf8_to(UTF8_OK, UTF8_3),     /* F1..F3 */
    utf8_to(UTF8_OK, UTF8_F4)
};


void
ngx_zapier_json_init(ngx_zapier_json_t *json, ngx_uint_t level)
{
    ngx_memzero(json, sizeof(ngx_zapier_json_t));

    json->level = level;
    json->state = sw_value;
    json->utf8 = UTF8_OK;
    json->stack[0] = sw_end;
}


ngx_int_t
ngx_zapier_json_feed(ngx_zapier_json_t *json, u_char **pos, u_char *last)
{
    u_char      *p, *start;
    ngx_int_t    rc;
    ngx_uint_t   state, depth, action;

    p = *pos;
    start = p;
    rc = NGX_OK;
    state = json->state;
    depth = json->depth;

    if (json->token) {
        goto token;
    }

    for ( ;; ) {
        p = ngx_zapier_json_space(p, last);

        if (p == last) {
            break;
        }

        action = ngx_zapier_json_actions[state][ngx_zapier_json_class[*p]];

        if (depth <= json->level && action >= ac_close) {

            if (!json->reported) {
                json->reported = 1;
                json->event = (action == ac_close) ? NGX_ZAPIER_JSON_CLOSE
                                                   : NGX_ZAPIER_JSON_VALUE;
                json->type = ngx_zapier_json_types[*p];
                rc = NGX_AGAIN;
                break;
            }

            json->reported = 0;
        }

        switch (action) {

        case ac_key:
            state = sw_colon;

            if (depth <= json->level) {
                json->capture = 1;
                json->key_len = 0;
                json->key_offset = json->offset + (p - start);
            }

            goto string;

        case ac_string:
            state = json->stack[depth];

        string:

            p++;

            if (depth > json->level) {
                p = ngx_zapier_json_span(p, last);

                if (p < last && *p == '"') {
                    p++;

                    if (state == sw_colon && p < last && *p == ':') {
                        p++;
                        state = sw_value;
                    }

                    continue;
                }
            }

            json->token = tk_string;
            json->sub = st_text;
            goto token;

        case ac_number:
            state = json->stack[depth];
            json->token = tk_number;
            json->sub = nu_start;
            goto token;

        case ac_literal:
            state = json->stack[depth];
            json->token = tk_literal;
            json->literal = (*p == 't') ? "true"
                                        : (*p == 'f') ? "false" : "null";
            goto token;

        case ac_colon:
        case ac_element:
            state = sw_value;
            break;

        case ac_member:
            state = sw_key;
            break;

        case ac_object:
        case ac_array:
            if (depth == NGX_ZAPIER_JSON_DEPTH) {
                rc = NGX_DECLINED;
                goto done;
            }

            depth++;
            state = (action == ac_object) ? sw_first_key : sw_first_element;
            json->stack[depth] = (action == ac_object) ? sw_next_member
                                                       : sw_next_element;
            break;

        case ac_close:
            state = json->stack[--depth];
            break;

        default: /* ac_bad */
            rc = NGX_DECLINED;
            goto done;
        }

        p++;
        continue;

    token:

        json->state = state;
        rc = ngx_zapier_json_token(json, &p, last);

        if (rc != NGX_OK) {
            break;
        }
    }

done:

    json->state = state;
    json->depth = depth;
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

    if (json->token == tk_number) {

        switch (json->sub) {

        case nu_zero:
        case nu_int:
        case nu_frac:
        case nu_exp:
            return NGX_OK;
        }
    }

    return (json->token == tk_none) ? NGX_OK : NGX_DECLINED;
}


/*
 * NGX_OK: the token is complete, or all is consumed and json->token says
 * that there is more to come.
 */

static ngx_int_t
ngx_zapier_json_token(ngx_zapier_json_t *json, u_char **pos, u_char *last)
{
    u_char  *p;

    switch (json->token) {

    case tk_string:
        p = ngx_zapier_json_string(json, *pos, last);
        break;

    case tk_number:
        p = ngx_zapier_json_number(json, *pos, last);
        break;

    default: /* tk_literal */
        p = ngx_zapier_json_literal(json, *pos, last);
    }

    if (p == NULL) {
        *pos = json->bad;
        return NGX_DECLINED;
    }

    *pos = p;

    if (json->token != tk_string || p == last) {
        return NGX_OK;
    }

    /* at the closing quote */

    if (json->depth <= json->level && !json->reported) {
        json->reported = 1;
        json->capture = 0;
        json->event = (json->state == sw_colon) ? NGX_ZAPIER_JSON_KEY
                                                : NGX_ZAPIER_JSON_QUOTE;
        return NGX_AGAIN;
    }

    json->reported = 0;
    json->token = tk_none;

    *pos = p + 1;

    return NGX_OK;
}


/* to the closing quote or last; NULL: json->bad is wrong */

static u_char *
ngx_zapier_json_string(ngx_zapier_json_t *json, u_char *p, u_char *last)
{
    u_char  *start;

    for ( ;; ) {

        if (json->sub != st_text) {
            p = ngx_zapier_json_escape(json, p, last);

            if (p == NULL || p == last) {
                return p;
            }
        }

        start = p;
        p = ngx_zapier_json_text(json, p, last);

        if (p == NULL) {
            return NULL;
        }

        if (json->capture) {
            ngx_zapier_json_keep(json, start, p - start);
        }

        if (p == last || *p == '"') {
            return p;
        }

        json->sub = st_escape;
        p++;
    }
}


/* to the next quote or backslash */

static u_char *
ngx_zapier_json_text(ngx_zapier_json_t *json, u_char *p, u_char *last)
{
    ngx_uint_t  utf8;

    utf8 = json->utf8;

    while (p < last) {

        if (utf8 == UTF8_OK) {
            p = ngx_zapier_json_span(p, last);
        }

        while (p < last && *p >= 0x80) {
            utf8 = utf8_next(utf8, *p);

            if (utf8 == UTF8_BAD) {
                json->bad = p;
                return NULL;
            }

            p++;
        }

        if (p < last && (utf8 != UTF8_OK || *p < 0x20)) {
            json->bad = p;
            return NULL;
        }

        if (p < last && (*p == '"' || *p == '\\')) {
            break;
        }
    }

    json->utf8 = utf8;

    return p;
}


/* what follows a backslash */

static u_char *
ngx_zapier_json_escape(ngx_zapier_json_t *json, u_char *p, u_char *last)
{
    u_char                ch, *e;
    static const u_char   escapes[] = "\"\\/bfnrt";
    static const u_char   values[] = "\"\\/\b\f\n\r\t";

    for ( /* void */ ; p < last; p++) {
        ch = *p;

        if (json->sub == st_escape) {

            if (ch == 'u') {
                json->code = 0;
                json->sub = st_hex1;
                continue;
            }

            e = (ch == '\0') ? NULL : (u_char *) ngx_strchr(escapes, ch);
            if (e == NULL) {
                json->bad = p;
                return NULL;
            }

            if (json->capture) {
                ngx_zapier_json_keep(json, (u_char *) &values[e - escapes],
                                     1);
            }

            json->sub = st_text;
            return p + 1;
        }

        if (ngx_zapier_json_digit(ch)) {
            ch -= '0';

        } else {
            ch |= 0x20;

            if (ch < 'a' || ch > 'f') {
                json->bad = p;
                return NULL;
            }

            ch -= 'a' - 10;
        }

        json->code = json->code << 4 | ch;

        if (json->sub++ == st_hex4) {

            if (json->capture) {
                ngx_zapier_json_code(json);
            }

            json->sub = st_text;
            return p + 1;
        }
    }

    return p;
}


/* keeps what \uXXXX stands for; half of a pair waits for the other */

static void
ngx_zapier_json_code(ngx_zapier_json_t *json)
{
    u_char      buf[4], *p;
    ngx_uint_t  code;

    code = json->code;
    p = buf;

    if (code >= 0xdc00 && code < 0xe000 && json->surrogate) {
        code = 0x10000 + ((json->surrogate - 0xd800) << 10)
               + (code - 0xdc00);
        json->surrogate = 0;
    }

    if (code >= 0xd800 && code < 0xdc00) {
        ngx_zapier_json_keep(json, buf, 0);
        json->surrogate = code;
        return;
    }

    if (code >= 0xdc00 && code < 0xe000) {
        code = 0xfffd;
    }

    if (code < 0x80) {
        *p++ = (u_char) code;

    } else if (code < 0x800) {
        *p++ = (u_char) (0xc0 | code >> 6);
        *p++ = (u_char) (0x80 | (code & 0x3f));

    } else if (code < 0x10000) {
        *p++ = (u_char) (0xe0 | code >> 12);
        *p++ = (u_char) (0x80 | (code >> 6 & 0x3f));
        *p++ = (u_char) (0x80 | (code & 0x3f));

    } else {
        *p++ = (u_char) (0xf0 | code >> 18);
        *p++ = (u_char) (0x80 | (code >> 12 & 0x3f));
        *p++ = (u_char) (0x80 | (code >> 6 & 0x3f));
        *p++ = (u_char) (0x80 | (code & 0x3f));
    }

    ngx_zapier_json_keep(json, buf, p - buf);
}


static void
ngx_zapier_json_keep(ngx_zapier_json_t *json, u_char *p, size_t len)
{
    size_t  n;

    if (json->surrogate) {
        json->surrogate = 0;
        ngx_zapier_json_keep(json, (u_char *) "\xef\xbf\xbd", 3);
    }

    if (json->key_len < NGX_ZAPIER_JSON_KEY_LEN) {
        n = ngx_min(len, NGX_ZAPIER_JSON_KEY_LEN - json->key_len);
        ngx_memcpy(json->key + json->key_len, p, n);
    }

    json->key_len += len;
}


/* to the byte after the number or last; NULL: json->bad is wrong */

static u_char *
ngx_zapier_json_number(ngx_zapier_json_t *json, u_char *p, u_char *last)
{
    switch (json->sub) {
    case nu_minus:
        goto minus;
    case nu_zero:
        goto zero;
    case nu_int:
        goto integer;
    case nu_point:
        goto point;
    case nu_frac:
        goto frac;
    case nu_e:
        goto e;
    case nu_sign:
        goto sign;
    case nu_exp:
        goto exp;
    }

    if (*p == '-') {
        p++;

    minus:

        json->sub = nu_minus;

        if (p == last) {
            return p;
        }

        if (!ngx_zapier_json_digit(*p)) {
            goto bad;
        }
    }

    if (*p == '0') {
        p++;

    zero:

        json->sub = nu_zero;

    } else {

    integer:

        json->sub = nu_int;
        p = ngx_zapier_json_digits(p, last);
    }

    if (p == last) {
        return p;
    }

    if (*p == '.') {
        p++;

    point:

        json->sub = nu_point;

        if (p == last) {
            return p;
        }

        if (!ngx_zapier_json_digit(*p)) {
            goto bad;
        }

    frac:

        json->sub = nu_frac;
        p = ngx_zapier_json_digits(p, last);

        if (p == last) {
            return p;
        }
    }

    if (*p == 'e' || *p == 'E') {
        p++;

    e:

        json->sub = nu_e;

        if (p == last) {
            return p;
        }

        if (*p == '+' || *p == '-') {
            p++;

        sign:

            json->sub = nu_sign;

            if (p == last) {
                return p;
            }
        }

        if (!ngx_zapier_json_digit(*p)) {
            goto bad;
        }

    exp:

        json->sub = nu_exp;
        p = ngx_zapier_json_digits(p, last);

        if (p == last) {
            return p;
        }
    }

    json->token = tk_none;
    return p;

bad:

    json->bad = p;
    return NULL;
}


static u_char *
ngx_zapier_json_literal(ngx_zapier_json_t *json, u_char *p, u_char *last)
{
    const char  *literal;

    literal = json->literal;

    while (p < last && *literal != '\0') {

        if (*p != (u_char) *literal) {
            json->bad = p;
            return NULL;
        }

        p++;
        literal++;
    }

    json->literal = literal;

    if (*literal == '\0') {
        json->token = tk_none;
    }

    return p;
}
