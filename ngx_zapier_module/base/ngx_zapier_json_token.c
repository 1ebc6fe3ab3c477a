
/*
 * The tokens of the JSON scanner, byte by byte where it must be: they can
 * be cut at any byte, hold escapes and bytes beyond ASCII, and a key may
 * have to be kept.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_json.h>
#include <ngx_zapier_json_span.h>
#include <ngx_zapier_json_private.h>


/* json->sub: where in a string */

enum {
    st_text = 0,
    st_escape,
    st_hex1,
    st_hex4 = st_hex1 + 3
};


/*
 * UTF-8 and numbers are checked by automata whose state is the place, in
 * the row of the byte at hand, of the 6 bits that hold the next state.
 */

#define row_to(from, to)     ((uint64_t) (to) << (from))

#define UTF8_BAD     0
#define UTF8_OK      NGX_ZAPIER_JSON_UTF8_OK
#define UTF8_1       12      /* so many bytes of 80..BF to come */
#define UTF8_2       18
#define UTF8_3       24
#define UTF8_E0      30
#define UTF8_ED      36
#define UTF8_F0      42
#define UTF8_F4      48

#define utf8_tail                                                            \
    (row_to(UTF8_1, UTF8_OK) | row_to(UTF8_2, UTF8_1)                        \
     | row_to(UTF8_3, UTF8_2))

#define utf8_next(state, ch)                                                 \
    ((ngx_zapier_json_utf8_rows[ngx_zapier_json_utf8_class[(ch) - 0x80]]     \
      >> (state)) & 0x3f)


#define NUMBER_BAD    0
#define NUMBER_START  6
#define NUMBER_MINUS  12
#define NUMBER_POINT  18
#define NUMBER_E      24
#define NUMBER_SIGN   30
#define NUMBER_ZERO   36     /* from here on it may end */
#define NUMBER_INT    42
#define NUMBER_FRAC   48
#define NUMBER_EXP    54

#define number_complete(state)  ((state) >= NUMBER_ZERO)

#define number_next(state, ch)                                               \
    ((ngx_zapier_json_number_rows[ngx_zapier_json_number_class[ch]]          \
      >> (state)) & 0x3f)

#define number_digit                                                         \
    (row_to(NUMBER_INT, NUMBER_INT) | row_to(NUMBER_POINT, NUMBER_FRAC)      \
     | row_to(NUMBER_FRAC, NUMBER_FRAC) | row_to(NUMBER_E, NUMBER_EXP)       \
     | row_to(NUMBER_SIGN, NUMBER_EXP) | row_to(NUMBER_EXP, NUMBER_EXP))


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


/* what follows a backslash, but for u */

u_char  ngx_zapier_json_escapes[256] = {
    ['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b', ['f'] = '\f',
    ['n'] = '\n', ['r'] = '\r', ['t'] = '\t'
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
    utf8_tail | row_to(UTF8_ED, UTF8_1) | row_to(UTF8_F4, UTF8_2),

    /* 90..9F */
    utf8_tail | row_to(UTF8_ED, UTF8_1) | row_to(UTF8_F0, UTF8_2),

    /* A0..BF */
    utf8_tail | row_to(UTF8_E0, UTF8_1) | row_to(UTF8_F0, UTF8_2),

    /* C0, C1, F5..FF */
    0,

    row_to(UTF8_OK, UTF8_1),     /* C2..DF */
    row_to(UTF8_OK, UTF8_E0),
    row_to(UTF8_OK, UTF8_2),     /* E1..EC, EE, EF */
    row_to(UTF8_OK, UTF8_ED),
    row_to(UTF8_OK, UTF8_F0),
    row_to(UTF8_OK, UTF8_3),     /* F1..F3 */
    row_to(UTF8_OK, UTF8_F4)
};


static u_char  ngx_zapier_json_number_class[256] = {
    ['0'] = 1, ['1'] = 2, ['2'] = 2, ['3'] = 2, ['4'] = 2, ['5'] = 2,
    ['6'] = 2, ['7'] = 2, ['8'] = 2, ['9'] = 2, ['-'] = 3, ['+'] = 4,
    ['.'] = 5, ['e'] = 6, ['E'] = 6
};


static uint64_t  ngx_zapier_json_number_rows[] = {
    0,

    /* 0 */
    number_digit | row_to(NUMBER_START, NUMBER_ZERO)
    | row_to(NUMBER_MINUS, NUMBER_ZERO),

    /* 1..9 */
    number_digit | row_to(NUMBER_START, NUMBER_INT)
    | row_to(NUMBER_MINUS, NUMBER_INT),

    /* - */
    row_to(NUMBER_START, NUMBER_MINUS) | row_to(NUMBER_E, NUMBER_SIGN),

    /* + */
    row_to(NUMBER_E, NUMBER_SIGN),

    /* . */
    row_to(NUMBER_ZERO, NUMBER_POINT) | row_to(NUMBER_INT, NUMBER_POINT),

    /* e */
    row_to(NUMBER_ZERO, NUMBER_E) | row_to(NUMBER_INT, NUMBER_E)
    | row_to(NUMBER_FRAC, NUMBER_E)
};


void
ngx_zapier_json_token_start(ngx_zapier_json_t *json, u_char ch)
{
    switch (ch) {

    case '"':
        json->token = tk_string;
        json->sub = st_text;
        break;

    case 't':
        json->token = tk_literal;
        json->literal = "true";
        break;

    case 'f':
        json->token = tk_literal;
        json->literal = "false";
        break;

    case 'n':
        json->token = tk_literal;
        json->literal = "null";
        break;

    default:
        json->token = tk_number;
        json->sub = NUMBER_START;
    }
}


ngx_int_t
ngx_zapier_json_number_complete(ngx_zapier_json_t *json)
{
    return number_complete(json->sub);
}


ngx_int_t
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

        /* the end of the key, too, ends a lone surrogate */

        if (json->capture && (p > start || (p < last && *p == '"'))) {
            ngx_zapier_json_keep(json, start, p - start);
        }

        if (p == last || *p == '"') {
            json->sub = st_text;
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

            /* an escape in a key must be kept, so it ends the run */

            p = json->capture ? ngx_zapier_json_span(p, last)
                              : ngx_zapier_json_run(p, last);
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

        if (p == last) {
            break;
        }

        if (*p == '"' || *p == '\\') {
            break;
        }
    }

    json->utf8 = utf8;

    return p;
}


u_char *
ngx_zapier_json_run(u_char *p, u_char *last)
{
    u_char      *start;
    ngx_uint_t   utf8;

    for ( ;; ) {

#if (NGX_ZAPIER_JSON_AVX2)

        /* not for short strings, whose end is near */

        if (last - p >= NGX_ZAPIER_JSON_LONG
            && ngx_zapier_json_special(p) == 0
            && ngx_zapier_json_has_avx2())
        {
            p = ngx_zapier_json_run_avx2(p, last);
        }

#endif

        p = ngx_zapier_json_span(p, last);

        /* four bytes are at hand for what is looked at below */

        if (last - p < 4 || *p == '"') {
            return p;
        }

        if (*p == '\\') {

            if (!ngx_zapier_json_escapes[p[1]]) {
                return p;
            }

            p += 2;
            continue;
        }

        /* many of them are worth the vectors, a single one is not */

        if (p[3] >= 0x80) {
            p = ngx_zapier_json_multibyte(p, last);
        }

        start = p;
        utf8 = UTF8_OK;

        while (p < last && *p >= 0x80) {
            utf8 = utf8_next(utf8, *p);

            if (utf8 == UTF8_BAD) {
                return start;
            }

            p++;
        }

        if (utf8 != UTF8_OK || p == last || *p < 0x20) {
            return start;
        }
    }
}


/* what follows a backslash */

static u_char *
ngx_zapier_json_escape(ngx_zapier_json_t *json, u_char *p, u_char *last)
{
    u_char  ch;

    for ( /* void */ ; p < last; p++) {
        ch = *p;

        if (json->sub == st_escape) {

            if (ch == 'u') {
                json->code = 0;
                json->sub = st_hex1;
                continue;
            }

            ch = ngx_zapier_json_escapes[ch];

            if (ch == '\0') {
                json->bad = p;
                return NULL;
            }

            if (json->capture) {
                ngx_zapier_json_keep(json, &ch, 1);
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
    ngx_uint_t  state, next;

    state = json->sub;

    for ( /* void */ ; p < last; p++) {
        next = number_next(state, *p);

        if (next == NUMBER_BAD) {

            if (!number_complete(state)) {
                json->bad = p;
                return NULL;
            }

            json->token = tk_none;
            break;
        }

        state = next;
    }

    json->sub = state;

    return p;
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
