
/* The scanner: what it takes, what it refuses and where, what it reports. */

#include <unit.h>
#include <ngx_zapier_json.h>


#define VALID    -1

#define S(text)  text, sizeof(text) - 1


typedef struct {
    const char  *text;
    size_t       len;
    ssize_t      bad;      /* offset of the fault, or VALID */
} json_case_t;


static json_case_t  cases[] = {

    /* values */

    { S("{}"), VALID },
    { S("[]"), VALID },
    { S("\"\""), VALID },
    { S("true"), VALID },
    { S("false"), VALID },
    { S("null"), VALID },
    { S("{\"a\":{\"b\":[1,\"x\",true,false,null,{}]}}"), VALID },
    { S("[[],{},[[]],[{}]]"), VALID },
    { S("{\"a\":1,\"a\":2}"), VALID },
    { S("{\"\":0}"), VALID },

    /* white space: these four and nothing else */

    { S(" \t\r\n{ \t\r\n\"a\" \t\r\n: \t\r\n[ \t\r\n1 \t\r\n, \t\r\n2"
        " \t\r\n] \t\r\n, \t\r\n\"b\" : { } } \t\r\n"), VALID },
    { S("{\r\n  \"a\": 1,\r\n  \"b\": [\r\n    2\r\n  ]\r\n}\r\n"), VALID },
    { S("[1,                                            2]"), VALID },
    { S("[1,                                            x]"), 47 },
    { S("\v1"), 0 },
    { S("\f1"), 0 },
    { S("1\0"), 1 },
    { S("\0"), 0 },
    { S("[1\xc2\xa0]"), 2 },
    { S("\xef\xbb\xbf{}"), 0 },
    { S("{\xef\xbb\xbf}"), 1 },
    { S("\xff\xfe{\0}\0"), 0 },

    /* nothing, too little, too much */

    { S(""), 0 },
    { S("   "), 3 },
    { S("{"), 1 },
    { S("["), 1 },
    { S("{\"a"), 3 },
    { S("{\"a\""), 4 },
    { S("{\"a\":"), 5 },
    { S("{\"a\":1"), 6 },
    { S("{\"a\":1,"), 7 },
    { S("[1"), 2 },
    { S("[1,"), 3 },
    { S("\""), 1 },
    { S("\"a\\"), 3 },
    { S("\"\\u12"), 5 },
    { S("\"\xc3"), 2 },
    { S("tru"), 3 },
    { S("nul"), 3 },
    { S("{}{}"), 2 },
    { S("{} x"), 3 },
    { S("{},"), 2 },
    { S("1 2"), 2 },
    { S("\"a\"\"b\""), 3 },
    { S("[]]"), 2 },
    { S("{}}"), 2 },

    /* structure */

    { S("[1,]"), 3 },
    { S("[,1]"), 1 },
    { S("[,]"), 1 },
    { S("[1,,2]"), 3 },
    { S("[1 2]"), 3 },
    { S("[1:2]"), 2 },
    { S("[1}"), 2 },
    { S("{\"a\":1,}"), 7 },
    { S("{,}"), 1 },
    { S("{,\"a\":1}"), 1 },
    { S("{\"a\":1]"), 6 },
    { S("{\"a\"}"), 4 },
    { S("{\"a\",1}"), 4 },
    { S("{\"a\" 1}"), 5 },
    { S("{\"a\":}"), 5 },
    { S("{\"a\"::1}"), 5 },
    { S("{\"a\":1 \"b\":2}"), 7 },
    { S("{a:1}"), 1 },
    { S("{'a':1}"), 1 },
    { S("{1:1}"), 1 },
    { S("{null:1}"), 1 },
    { S("{\"a\":[}"), 6 },
    { S("]"), 0 },
    { S("}"), 0 },
    { S(","), 0 },
    { S(":"), 0 },
    { S("[1/**/]"), 2 },
    { S("// x\n1"), 0 },
    { S("# x\n1"), 0 },

    /* literals */

    { S("[true,false,null]"), VALID },
    { S("True"), 0 },
    { S("tRue"), 1 },
    { S("trux"), 3 },
    { S("truee"), 4 },
    { S("nulL"), 3 },
    { S("[nullx]"), 5 },
    { S("[falsy]"), 5 },
    { S("NaN"), 0 },
    { S("Infinity"), 0 },
    { S("undefined"), 0 },
    { S("nan"), 1 },
    { S("[truefalse]"), 5 },
    { S("t"), 1 },

    /* numbers */

    { S("0"), VALID },
    { S("-0"), VALID },
    { S("-0.0e-0"), VALID },
    { S("10"), VALID },
    { S("123456789012345678901234567890"), VALID },
    { S("[18446744073709551616,-9223372036854775809]"), VALID },
    { S("9007199254740993"), VALID },
    { S("1e400"), VALID },
    { S("1E+400"), VALID },
    { S("-1.5e-400"), VALID },
    { S("0e0"), VALID },
    { S("0E5"), VALID },
    { S("1.0000000000000000000000000000000000001"), VALID },
    { S("[0,1,-1,1.5,1e5]"), VALID },
    { S("00"), 1 },
    { S("01"), 1 },
    { S("-01"), 2 },
    { S("[01]"), 2 },
    { S("-"), 1 },
    { S("--1"), 1 },
    { S("-a"), 1 },
    { S("[-]"), 2 },
    { S("+1"), 0 },
    { S(".5"), 0 },
    { S("-.5"), 1 },
    { S("1."), 2 },
    { S("[1.]"), 3 },
    { S("1.e5"), 2 },
    { S("1.5.5"), 3 },
    { S("1e"), 2 },
    { S("1e+"), 3 },
    { S("[1e]"), 3 },
    { S("[1e-]"), 4 },
    { S("1e+-5"), 3 },
    { S("1e5.5"), 3 },
    { S("1e5e5"), 3 },
    { S("0x10"), 1 },
    { S("1_000"), 1 },
    { S("1,"), 1 },
    { S("1a"), 1 },
    { S("0-1"), 1 },
    { S("1-1"), 1 },
    { S("1+1"), 1 },
    { S("1 000"), 2 },
    { S("\xd9\xa1"), 0 },

    /* strings */

    { S("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uABCD\\uabcd\""), VALID },
    { S("\"\\ud800\""), VALID },
    { S("\"\\udc00\\ud800x\""), VALID },
    { S("\"\\ud83d\\ude00\""), VALID },
    { S("\"\x7f\""), VALID },
    { S("\"a plain text of some length, long enough for all loops: "
        "0123456789012345678901234567890123456789\""), VALID },
    { S("\"0123456789abcdef0123456789abcdef\\n0123456789abcdef0123456\""),
      VALID },
    { S("'a'"), 0 },
    { S("\"\\a\""), 2 },
    { S("\"\\'\""), 2 },
    { S("\"\\U0041\""), 2 },
    { S("\"\\x41\""), 2 },
    { S("\"\\0\""), 2 },
    { S("\"\\\0\""), 2 },
    { S("\"\\u\""), 3 },
    { S("\"\\u004\""), 6 },
    { S("\"\\u00g0\""), 5 },
    { S("\"\\u00G0\""), 5 },
    { S("\"\\u00@0\""), 5 },
    { S("\"\\u-123\""), 3 },
    { S("\"\\\xc3\xa9\""), 2 },
    { S("\"\n\""), 1 },
    { S("\"\r\""), 1 },
    { S("\"\t\""), 1 },
    { S("\"\0\""), 1 },
    { S("\"\x1f\""), 1 },
    { S("\"0123456789abcdef0123456789abcdef\t\""), 33 },
    { S("\"0123456\x01""89abcdef0123456789abcdef\""), 8 },
    { S("{\"\n\":1}"), 2 },

    /* UTF-8, RFC 3629 */

    { S("\"\xc2\x80\xdf\xbf\""), VALID },
    { S("\"\xe0\xa0\x80\xe1\x80\x80\xec\xbf\xbf\xed\x80\x80\xed\x9f\xbf"
        "\xee\x80\x80\xef\xbf\xbf\""), VALID },
    { S("\"\xf0\x90\x80\x80\xf1\x80\x80\x80\xf3\xbf\xbf\xbf\xf4\x80\x80\x80"
        "\xf4\x8f\xbf\xbf\""), VALID },
    { S("{\"Z\xc3\xbcrich\":\"\xe6\x9d\xb1\xe4\xba\xac \xf0\x9f\x98\x80\"}"),
      VALID },
    { S("\"\xef\xbb\xbf\""), VALID },
    { S("\"\x80\""), 1 },
    { S("\"\xbf\""), 1 },
    { S("\"\xc0\x80\""), 1 },
    { S("\"\xc1\xbf\""), 1 },
    { S("\"\xc3\""), 2 },
    { S("\"\xc3\xc3\""), 2 },
    { S("\"\xc3\\n\""), 2 },
    { S("\"\xe0\x80\x80\""), 2 },
    { S("\"\xe0\x9f\xbf\""), 2 },
    { S("\"\xe1\x80\""), 3 },
    { S("\"\xe1\x80x\""), 3 },
    { S("\"\xed\xa0\x80\""), 2 },
    { S("\"\xed\xbf\xbf\""), 2 },
    { S("\"\xf0\x80\x80\x80\""), 2 },
    { S("\"\xf0\x8f\xbf\xbf\""), 2 },
    { S("\"\xf0\x9f\x98\""), 4 },
    { S("\"\xf0\x9f\x98\x20\""), 4 },
    { S("\"\xf4\x90\x80\x80\""), 2 },
    { S("\"\xf5\x80\x80\x80\""), 1 },
    { S("\"\xf8\x88\x80\x80\x80\""), 1 },
    { S("\"\xfe\""), 1 },
    { S("\"\xff\""), 1 },
    { S("\"\xc3\xa9\xa9\""), 3 },
    { S("{\"\xe9\":1}"), 3 },
    { S("\"0123456789abcdef\xd0\xbb\xd0\xbe\xd1\x80\xd0\xb5\xd0\xbc\xd0\xbb"
        "\xd0\xbe\xd1\x80\xd0\xb5\xd0\xbc\xd0\xbb\xd0\xbe\xd1\x80\xd0\xb5"
        "\xd0\xbc\xd0\xbb\xd0\xbe\xd1\x80\xd0\xb5\xd0\xbc\""), VALID },
    { S("\"0123456789abcdef\xd0\xbb\xd0\xbe\xd1\x80\xd0\xb5\xd0\xbc\xd0\xbb"
        "\xd0\xbe\xd1\x80\xd0\xb5\xd0\xbc\xd0\xbb\xd0\xbe\xd1\xd1\xd0\xb5"
        "\xd0\xbc\xd0\xbb\xd0\xbe\xd1\x80\xd0\xb5\xd0\xbc\""), 42 },
    { S("\"\xe6\x9d\xb1\xe4\xba\xac\xe6\x9d\xb1\xe4\xba\xac\xe6\x9d\xb1"
        "\xe4\xba\xac\xe6\x9d\xb1\xe4\xba\xac\xe6\x9d\xb1\xe4\xba\xac"
        "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xed\xa0\x80\""),
      44 },
};


/*
 * Feeds text in pieces: up to "split", then "step" bytes at a time.  Each
 * piece is a block of its own, so that the sanitizer sees a byte too far.
 * Returns the offset of the fault or VALID.
 */

static ssize_t
scan(const char *text, size_t len, size_t split, size_t step,
    ngx_uint_t level)
{
    size_t             n, done;
    u_char            *piece, *p;
    ngx_int_t          rc;
    ngx_zapier_json_t  json;

    ngx_zapier_json_init(&json, level);

    for (done = 0; done < len; done += n) {
        n = (done < split) ? split : step;
        n = ngx_min(n, len - done);

        piece = malloc(n);
        ngx_memcpy(piece, text + done, n);
        p = piece;

        do {
            rc = ngx_zapier_json_feed(&json, &p, piece + n);
        } while (rc == NGX_AGAIN);

        if (json.offset != (off_t) (done + (p - piece))) {
            free(piece);
            return -100;
        }

        free(piece);

        if (rc == NGX_DECLINED) {
            return json.offset;
        }
    }

    rc = ngx_zapier_json_finish(&json);

    return (rc == NGX_OK) ? VALID : json.offset;
}


static void
check(const char *text, size_t len, ssize_t bad, const char *name)
{
    size_t      split;
    ssize_t     got;
    ngx_uint_t  level;

    for (level = 0; level <= 200; level = level * 10 + 2) {

        got = scan(text, len, len, len, level);

        for (split = 1; got == bad && split < len; split++) {
            got = scan(text, len, split, len, level);
        }

        if (got == bad) {
            got = scan(text, len, 0, 1, level);
        }

        if (got != bad) {
            break;
        }
    }

    is_int(got, bad, name);
}


static void
depth(void)
{
    int   i, n, object;
    char  text[2048], name[64], *p;

    for (object = 0; object < 2; object++) {
        for (n = NGX_ZAPIER_JSON_DEPTH; n <= NGX_ZAPIER_JSON_DEPTH + 1; n++) {

            p = text;

            for (i = 0; i < n; i++) {
                p = (char *) ngx_cpymem(p, object ? "{\"a\":" : "[",
                                        object ? 5 : 1);
            }

            if (object) {
                *p++ = '1';
            }

            for (i = 0; i < n; i++) {
                *p++ = object ? '}' : ']';
            }

            sprintf(name, "%d %s", n, object ? "objects" : "arrays");

            check(text, p - text,
                  (n <= NGX_ZAPIER_JSON_DEPTH) ? VALID
                          : NGX_ZAPIER_JSON_DEPTH * (object ? 5 : 1), name);
        }
    }

    /* the depth is that of the moment, not a sum */

    p = text;
    *p++ = '[';

    for (i = 0; i < 300; i++) {
        p = (char *) ngx_cpymem(p, "[{}],", 5);
    }

    p = (char *) ngx_cpymem(p, "0]", 2);

    is_int(scan(text, p - text, p - text, 1, 0), VALID, "wide, not deep");
}


static void
events(const char *text, ngx_uint_t level, const char *expected)
{
    char               log[1024], *l;
    size_t             step, len;
    u_char            *p, *last, *end;
    ngx_zapier_json_t  json;

    len = ngx_strlen(text);

    for (step = len; step; step = (step == len && len > 1) ? 1 : 0) {

        ngx_zapier_json_init(&json, level);

        l = log;
        *l = '\0';
        p = (u_char *) text;
        end = p + len;

        while (p < end) {
            last = ((size_t) (end - p) > step) ? p + step : end;

            while (ngx_zapier_json_feed(&json, &p, last) == NGX_AGAIN) {

                l += sprintf(l, "%d%c%d", (int) json.depth,
                             " VKQC"[json.event], (int) json.offset);

                if (json.event == NGX_ZAPIER_JSON_KEY) {
                    l += sprintf(l, "=%.*s", (int) json.key_len, json.key);
                }

                if (json.event == NGX_ZAPIER_JSON_VALUE) {
                    l += sprintf(l, "%c", " {[\"0tfn"[json.type]);
                }

                *l++ = ' ';
                *l = '\0';
            }
        }

        if (!is_mem(log, ngx_strlen(log), expected, ngx_strlen(expected),
                    text))
        {
            break;
        }
    }
}


static void
all_events(void)
{
    events("1", 0, "0V00 ");
    events(" \"x\" ", 0, "0V1\" 0Q3 ");
    events("{\"a\":\"\",\"b\":[1,{}]}", 0, "0V0{ ");
    events("{\"a\":\"\",\"b\":[1,{}]}", 1,
           "0V0{ 1K3=a 1V5\" 1Q6 1K10=b 1V12[ 1C18 ");
    events("{\"a\":\"\",\"b\":[1,{}]}", 2,
           "0V0{ 1K3=a 1V5\" 1Q6 1K10=b 1V12[ 2V130 2V15{ 2C17 1C18 ");
    events("{\"a\":true , \"b\" : false}", 1,
           "0V0{ 1K3=a 1V5t 1K14=b 1V18f 1C23 ");
    events("[null,\"x\",{\"a\":1}]", 1, "0V0[ 1V1n 1V6\" 1Q8 1V10{ 1C17 ");
    events("{ }", 1, "0V0{ 1C2 ");
}


/* the key of {"...":0} as it is reported */

static void
key(const char *text, const char *expected, size_t len)
{
    size_t             step, n;
    u_char            *p, *last, *end;
    ngx_zapier_json_t  json;

    for (step = ngx_strlen(text); step; step /= 2) {

        ngx_zapier_json_init(&json, 1);

        p = (u_char *) text;
        end = p + ngx_strlen(text);

        while (p < end) {
            last = ((size_t) (end - p) > step) ? p + step : end;

            while (ngx_zapier_json_feed(&json, &p, last) == NGX_AGAIN) {
                /* void */
            }
        }

        is_int(json.key_len, len, "length of the key");
        n = ngx_min(len, NGX_ZAPIER_JSON_KEY_LEN);

        if (!is_mem(json.key, n, expected, n, text)) {
            break;
        }
    }
}


static void
keys(void)
{
    int   i;
    char  text[1024];

    key("{\"action\":0}", S("action"));
    key("{\"\":0}", S(""));
    key("{\"\\u0061ction\":0}", S("action"));
    key("{\"\\u0061\\u0063\\u0074\\u0069\\u006f\\u006E\":0}", S("action"));
    key("{\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\":0}", S("a\"\\/\b\f\n\r\t"));
    key("{\"\\u00e9\\u20ac\":0}", S("\xc3\xa9\xe2\x82\xac"));
    key("{\"\\ud83d\\ude00!\":0}", S("\xf0\x9f\x98\x80!"));
    key("{\"\\ud83d\":0}", S("\xef\xbf\xbd"));
    key("{\"\\ud83dx\":0}", S("\xef\xbf\xbdx"));
    key("{\"\\ud83d\\n\":0}", S("\xef\xbf\xbd\n"));
    key("{\"\\ude00\":0}", S("\xef\xbf\xbd"));
    key("{\"\\ud83d\\ud83d\\ude00\":0}", S("\xef\xbf\xbd\xf0\x9f\x98\x80"));
    key("{\"\\ud83d\\u0041\":0}", S("\xef\xbf\xbd""A"));
    key("{\"\\ud83d\\udbff\":0}", S("\xef\xbf\xbd\xef\xbf\xbd"));
    key("{\"a\\u0000b\":0}", S("a\0b"));
    key("{\"\xc3\xa9\xe6\x9d\xb1\":0}", S("\xc3\xa9\xe6\x9d\xb1"));

    /* a lone half at the end of one key is not the half of the next */

    key("{\"\\ud83d\":0,\"\\ude00\":0}", S("\xef\xbf\xbd"));

    /* longer than what is kept */

    sprintf(text, "{\"");

    for (i = 2; i < 402; i++) {
        text[i] = 'x';
    }

    sprintf(text + i, "\":0}");
    key(text, text + 2, 400);
}


static void
quote(const char *text, size_t len, const char *expected)
{
    u_char     buf[256], *end;
    uintptr_t  n;

    n = ngx_zapier_json_quote(NULL, (u_char *) text, len);
    end = (u_char *) ngx_zapier_json_quote(buf, (u_char *) text, len);

    is_mem(buf, end - buf, expected, ngx_strlen(expected), expected);
    is_int(n, end - buf, "its length");
    is_int(scan((char *) buf, end - buf, 0, 1, 0), VALID, "it is JSON");
}


static void
quotes(void)
{
    quote(S(""), "\"\"");
    quote(S("core:1"), "\"core:1\"");
    quote(S("\"\\/"), "\"\\\"\\\\/\"");
    quote(S("\b\t\n\v\f\r\0\x1f\x7f"),
          "\"\\b\\t\\n\\u000b\\f\\r\\u0000\\u001f\x7f\"");
    quote(S("\xc3\xa9\xe6\x9d\xb1\xf0\x9f\x98\x80"),
          "\"\xc3\xa9\xe6\x9d\xb1\xf0\x9f\x98\x80\"");
    quote(S("a\xff""b"), "\"a\xef\xbf\xbd""b\"");
    quote(S("\xc3"), "\"\xef\xbf\xbd\"");
    quote(S("\xe6\x9d"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    quote(S("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}


/* every sequence of up to three bytes against the scanner */

static void
utf8(void)
{
    int      a, b, c, wrong;
    u_char   text[5];
    ssize_t  bad;

    wrong = 0;
    text[0] = '"';
    text[4] = '"';

    for (a = 0x80; a < 0x100; a++) {
        for (b = 0x80; b < 0x100; b++) {
            for (c = 0x40; c < 0x100; c++) {

                if (c == '\\') {
                    continue;
                }

                text[1] = (u_char) a;
                text[2] = (u_char) b;
                text[3] = (u_char) c;

                bad = scan((char *) text, 5, 5, 5, 0);

                if ((bad == VALID)
                    != (ngx_zapier_json_utf8(text + 1, 3) == NGX_OK))
                {
                    wrong++;
                }
            }
        }
    }

    is_int(wrong, 0, "UTF-8 as in ngx_zapier_json_utf8()");

    is_int(ngx_zapier_json_utf8((u_char *) S("\xf4\x8f\xbf\xbf")), NGX_OK,
           "U+10FFFF");
    is_int(ngx_zapier_json_utf8((u_char *) S("\xf4\x90\x80\x80")),
           NGX_DECLINED, "U+110000");
    is_int(ngx_zapier_json_utf8((u_char *) S("\xf0\x8f\xbf\xbf")),
           NGX_DECLINED, "overlong");
    is_int(ngx_zapier_json_utf8((u_char *) S("")), NGX_OK, "nothing");
}


/* texts beyond ASCII, whole (in blocks) and byte by byte */

static void
blocks(void)
{
    static const char  *pieces[] = {
        "\xc3\xa9", "\xd0\xbb", "\xe2\x82\xac", "\xe6\x9d\xb1", "\xed\x9f\xbf",
        "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf", "a", "\\n",
        "a run that is longer than what is looked at in one go by the vectors"
    };
    static const char  *wrong[] = {
        "\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc3", "\xe0\x9f\xbf",
        "\xe2\x82", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf0\x9f\x98",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\x1f", "\\x"
    };

    int          i, n, at, differ;
    char         text[512], *p;
    ssize_t      bad;
    uint32_t     seed;
    const char  *piece;

    seed = 1;
    differ = 0;

    for (i = 0; i < 50000; i++) {
        p = text;
        *p++ = '"';

        seed = seed * 1103515245 + 12345;
        at = (seed & 0x10000) ? (int) (seed >> 20) % 40 : -1;

        for (n = 0; n < 40; n++) {
            seed = seed * 1103515245 + 12345;

            /* mostly what takes more than one byte */

            piece = (n == at) ? wrong[(seed >> 16) % 15]
                              : pieces[(seed >> 16)
                                       % ((seed & 0x8000) ? 10 : 7)];

            p = (char *) ngx_cpymem(p, piece, ngx_strlen(piece));

            if (p - text > 200) {
                break;
            }
        }

        *p++ = '"';

        bad = scan(text, p - text, p - text, 1, 0);

        if (bad != scan(text, p - text, 0, 1, 0)
            || (bad == VALID) != (at == -1 || n < at))
        {
            differ++;
        }
    }

    is_int(differ, 0, "blocks of UTF-8");
}


/* long texts that are mostly plain, with something at each place of them */

static void
plains(void)
{
    static const char  *pieces[] = {
        "\\n", "\\\"", "\\\\", "\\n\\n\\\"", "\\u00e9", "\xc3\xa9",
        "\xe2\x80\x93", "\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xd0\xbb"
    };
    static const char  *wrong[] = {
        "\"", "\x1f", "\x7f\x80", "\\x", "\\u12g4", "\xe2\x80", "\xed\xa0\x80"
    };

    int          i, n, at, far, differ;
    char         text[512];
    ssize_t      bad;
    const char  *piece;

    differ = 0;

    for (i = 0; i < 9 + 7; i++) {
        piece = (i < 9) ? pieces[i] : wrong[i - 9];

        for (far = 0; far < 2; far++) {
            for (at = 1; at < 330; at++) {
                ngx_memset(text, 'a', sizeof(text));
                text[0] = '"';

                /* one at the place, and another one right or far behind */

                n = at + (int) ngx_strlen(piece);

                ngx_memcpy(text + at, piece, n - at);

                n += far * 70;

                ngx_memcpy(text + n, "\\t", 2);

                n += 60;
                text[n++] = '"';

                bad = scan(text, n, n, 1, 0);

                if (bad != scan(text, n, 0, 7, 0)
                    || (bad == VALID) != (i < 9))
                {
                    differ++;
                }
            }
        }
    }

    is_int(differ, 0, "long texts");
}


int
main(void)
{
    size_t  i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check(cases[i].text, cases[i].len, cases[i].bad,
              cases[i].len ? cases[i].text : "(empty)");
    }

    depth();
    all_events();
    keys();
    quotes();
    utf8();
    blocks();
    plains();

    return done();
}
