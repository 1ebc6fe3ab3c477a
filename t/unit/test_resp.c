
/*
 * RESP: formatting, replies in pieces, and what a hostile server sends.
 */


#include <unit.h>
#include <ngx_zapier_redis_resp.h>


typedef ngx_zapier_redis_reader_t  reader_t;
typedef ngx_zapier_redis_reply_t   reply_t;


static const ngx_zapier_redis_caps_t  caps = { 3, 8, 12, 64, 256 };

static ngx_log_t  test_log;


static void test_format(void);
static void test_types(void);
static void test_pieces(void);
static void test_pipeline(void);
static void test_caps(void);
static void test_refused(void);
static void test_growth(void);
static void test_text(void);
static void test_command(ngx_uint_t argc, ngx_str_t *argv, const char *text,
    size_t len, const char *name);
static reader_t *test_reader(const char *text, size_t len);
static reply_t *test_reply(const char *text);
static void test_error(const char *text, const char *error);


int
main(void)
{
    test_format();
    test_types();
    test_pieces();
    test_pipeline();
    test_caps();
    test_refused();
    test_growth();
    test_text();

    return done();
}


static void
test_format(void)
{
    ngx_str_t   text, many[40];
    ngx_uint_t  i;

    static ngx_str_t  binary[] = {
        ngx_string("SET"), ngx_string("a\0b\r\n$3\r\n"), ngx_null_string
    };
    static ngx_str_t  percent[] = {
        ngx_string("GET"), ngx_string("%s %b %n {x}")
    };

    static const char  bytes[] =
        "*3\r\n$3\r\nSET\r\n$9\r\na\0b\r\n$3\r\n\r\n$0\r\n\r\n";

    test_command(3, binary, bytes, sizeof(bytes) - 1,
                 "NUL, CR, LF and the empty string are data");

    test_command(2, percent, "*2\r\n$3\r\nGET\r\n$12\r\n%s %b %n {x}\r\n",
                 sizeof("*2\r\n$3\r\nGET\r\n$12\r\n%s %b %n {x}\r\n") - 1,
                 "no argument is a format");

    for (i = 0; i < 40; i++) {
        ngx_str_set(&many[i], "x");
    }

    ok(ngx_zapier_redis_format(40, many, &text, &test_log) == NGX_OK,
       "40 arguments");
    is_int(text.len, 5 + 40 * 7, "40 arguments, length");
    ngx_zapier_redis_format_free(&text);
    ok(text.data == NULL, "given back");
}


static void
test_types(void)
{
    reply_t  *r;

    r = test_reply("+OK\r\n");
    is_int(r->type, NGX_ZAPIER_REDIS_STATUS, "status");
    is_str(&r->str, "OK", "status text");
    ngx_zapier_redis_reply_free(r);

    r = test_reply("-ERR no\r\n");
    is_int(r->type, NGX_ZAPIER_REDIS_ERROR, "error");
    is_str(&r->str, "ERR no", "error text");
    ngx_zapier_redis_reply_free(r);

    r = test_reply(":-9223372036854775808\r\n");
    is_int(r->type, NGX_ZAPIER_REDIS_INTEGER, "integer");
    ok(r->integer == INT64_MIN, "smallest integer");
    ngx_zapier_redis_reply_free(r);

    r = test_reply("$5\r\na\r\nb!\r\n");
    is_int(r->type, NGX_ZAPIER_REDIS_STRING, "string");
    is_str(&r->str, "a\r\nb!", "string with CRLF");
    ngx_zapier_redis_reply_free(r);

    r = test_reply("$0\r\n\r\n");
    is_int(r->type, NGX_ZAPIER_REDIS_STRING, "empty string");
    is_int(r->str.len, 0, "empty string, length");
    ngx_zapier_redis_reply_free(r);

    r = test_reply("$-1\r\n");
    is_int(r->type, NGX_ZAPIER_REDIS_NIL, "nil");
    ngx_zapier_redis_reply_free(r);

    r = test_reply("*-1\r\n");
    is_int(r->type, NGX_ZAPIER_REDIS_NIL, "nil array");
    ngx_zapier_redis_reply_free(r);

    r = test_reply("*0\r\n");
    is_int(r->type, NGX_ZAPIER_REDIS_ARRAY, "empty array");
    is_int(r->nelts, 0, "empty array, length");
    ngx_zapier_redis_reply_free(r);

    r = test_reply("*4\r\n$1\r\na\r\n$-1\r\n*2\r\n:7\r\n*-1\r\n*0\r\n");
    is_int(r->nelts, 4, "array");
    is_str(&r->elts[0]->str, "a", "its string");
    is_int(r->elts[1]->type, NGX_ZAPIER_REDIS_NIL, "its nil");
    is_int(r->elts[2]->nelts, 2, "its array");
    is_int(r->elts[2]->elts[0]->integer, 7, "integer in it");
    is_int(r->elts[2]->elts[1]->type, NGX_ZAPIER_REDIS_NIL, "nil in it");
    is_int(r->elts[3]->type, NGX_ZAPIER_REDIS_ARRAY, "its empty array");
    ngx_zapier_redis_reply_free(r);

    ngx_zapier_redis_reply_free(NULL);
}


static void
test_pieces(void)
{
    size_t       i, at;
    reply_t     *r;
    reader_t    *reader;
    ngx_uint_t   bad;

    static u_char  text[] =
        "*3\r\n$4\r\nab\r\n\r\n*2\r\n-ERR x\r\n:12\r\n$-1\r\n";

    for (at = 0, bad = 0; at < sizeof(text); at++) {

        reader = ngx_zapier_redis_reader_create(&caps, &test_log);
        r = NULL;

        (void) ngx_zapier_redis_reader_feed(reader, text, at);

        if (at < sizeof(text) - 1
            && ngx_zapier_redis_reader_reply(reader, &r) != NGX_AGAIN)
        {
            bad++;
        }

        (void) ngx_zapier_redis_reader_feed(reader, text + at,
                                            sizeof(text) - 1 - at);

        if (ngx_zapier_redis_reader_reply(reader, &r) != NGX_OK
            || r->nelts != 3 || r->elts[0]->str.len != 4
            || r->elts[1]->elts[1]->integer != 12
            || r->elts[2]->type != NGX_ZAPIER_REDIS_NIL)
        {
            bad++;
        }

        ngx_zapier_redis_reply_free(r);
        ngx_zapier_redis_reader_free(reader);
    }

    is_int(bad, 0, "split at each byte");

    reader = ngx_zapier_redis_reader_create(&caps, &test_log);

    for (i = 0, bad = 0; i < 5 * (sizeof(text) - 1); i++) {
        at = i % (sizeof(text) - 1);

        (void) ngx_zapier_redis_reader_feed(reader, text + at, 1);

        if (at < sizeof(text) - 2) {
            bad += (ngx_zapier_redis_reader_reply(reader, &r) != NGX_AGAIN);
            continue;
        }

        if (ngx_zapier_redis_reader_reply(reader, &r) == NGX_OK) {
            bad += (r->nelts != 3);
            ngx_zapier_redis_reply_free(r);

        } else {
            bad++;
        }
    }

    is_int(bad, 0, "byte by byte, five times");

    ngx_zapier_redis_reader_free(reader);

    /* freed with half a reply inside */

    reader = test_reader("*2\r\n$3\r\nabc\r\n$9\r\nse", 20);
    ok(ngx_zapier_redis_reader_reply(reader, &r) == NGX_AGAIN, "half a reply");
    ngx_zapier_redis_reader_free(reader);
}


static void
test_pipeline(void)
{
    reply_t     *r;
    reader_t    *reader;
    ngx_int_t    i, bad;

    reader = test_reader(":0\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n", 24);

    for (i = 0, bad = 0; i < 6; i++) {

        if (ngx_zapier_redis_reader_reply(reader, &r) != NGX_OK) {
            bad++;
            break;
        }

        bad += (r->integer != i);
        ngx_zapier_redis_reply_free(r);
    }

    is_int(bad, 0, "six replies in one piece");
    ok(ngx_zapier_redis_reader_reply(reader, &r) == NGX_AGAIN, "no seventh");

    ngx_zapier_redis_reader_free(reader);
}


static void
test_caps(void)
{
    reply_t     *r;
    reader_t    *reader;
    ngx_int_t    rc;
    ngx_uint_t   i;

    r = test_reply("*1\r\n*1\r\n*1\r\n:1\r\n");
    is_int(r->nelts, 1, "three arrays deep");
    ngx_zapier_redis_reply_free(r);

    test_error("*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", "arrays nested too deep");
    test_error("*1\r\n*1\r\n*1\r\n*0\r\n", "arrays nested too deep");
    test_error("*9\r\n", "array too long");
    test_error("*2000000000\r\n", "array too long");
    test_error("*8\r\n*5\r\n", "too many elements");

    r = test_reply("*2\r\n*5\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n*5\r\n:1\r\n"
                   ":1\r\n:1\r\n:1\r\n:1\r\n");
    is_int(r->nelts, 2, "twelve elements in all");
    ngx_zapier_redis_reply_free(r);

    r = test_reply("$64\r\n0123456701234567012345670123456701234567012345670"
                   "123456701234567\r\n");
    is_int(r->str.len, 64, "longest string");
    ngx_zapier_redis_reply_free(r);

    test_error("$65\r\n01234567012345670123456701234567012345670123456701234"
               "567012345678\r\n", "string too long");
    test_error("+01234567012345670123456701234567012345670123456701234567012"
               "345678\r\n", "string too long");

    /* announces more than it may keep in memory */

    reader = test_reader("$1000000000\r\n", 13);
    rc = NGX_AGAIN;

    for (i = 0; i < 100 && rc == NGX_AGAIN; i++) {
        rc = ngx_zapier_redis_reader_reply(reader, &r);
        (void) ngx_zapier_redis_reader_feed(reader, (u_char *) "12345678", 8);
    }

    is_int(rc, NGX_ERROR, "endless string");
    is_str(&((ngx_str_t) { ngx_strlen(ngx_zapier_redis_reader_error(reader)),
                           (u_char *) ngx_zapier_redis_reader_error(reader) }),
           "reply too large", "endless string, error");

    ngx_zapier_redis_reader_free(reader);
}


static void
test_refused(void)
{
    ngx_uint_t  i;

    static const char  *resp3[] = {
        "%1\r\n+a\r\n+b\r\n", "~1\r\n+a\r\n", ">1\r\n+a\r\n", ",1.5\r\n",
        "#t\r\n", "_\r\n", "(123\r\n", "=5\r\ntxt:a\r\n", "|1\r\n+a\r\n+b\r\n",
        "*2\r\n+a\r\n,1.5\r\n", "*2\r\n+a\r\n%0\r\n", "*1\r\n_\r\n"
    };
    static const char  *garbage[] = {
        "HTTP/1.1 400 Bad Request\r\n", "\x16\x03\x01\x02", "\r\n", "?\r\n",
        ":12a\r\n", ":\r\n", ":99999999999999999999\r\n", "*x\r\n", "$\r\n",
        "*-2\r\n", "$-2\r\n", "$99999999999999999999\r\n"
    };

    for (i = 0; i < sizeof(resp3) / sizeof(resp3[0]); i++) {
        test_error(resp3[i], NULL);
    }

    for (i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
        test_error(garbage[i], NULL);
    }
}


static void
test_growth(void)
{
    u_char      *big;
    size_t       n, len;
    reply_t     *r;
    reader_t    *reader;
    ngx_uint_t   i;

    static const ngx_zapier_redis_caps_t  large = {
        3, 8, 12, 1000000, 2000000
    };

    len = 300000;
    big = malloc(len + 16);

    n = ngx_sprintf(big, "$%uz\r\n", len) - big;
    memset(big + n, 'x', len);
    ngx_memcpy(big + n + len, "\r\n", 2);

    reader = ngx_zapier_redis_reader_create(&large, &test_log);

    for (i = 0; i < n + len + 2; i += 4096) {
        (void) ngx_zapier_redis_reader_reply(reader, &r);
        (void) ngx_zapier_redis_reader_feed(reader, big + i,
                                      ngx_min(4096, n + len + 2 - i));
    }

    ok(ngx_zapier_redis_reader_reply(reader, &r) == NGX_OK,
       "a large string in pieces");
    is_mem(r->str.data, r->str.len, big + n, len, "its bytes");

    ngx_zapier_redis_reply_free(r);
    ngx_zapier_redis_reader_free(reader);
    free(big);
}


static void
test_text(void)
{
    u_char    buf[NGX_ZAPIER_REDIS_TEXT_LEN];
    size_t    n;
    reply_t  *r;

    r = test_reply("-ERR a\tb\x1b[31m\xff\r\n");
    n = ngx_zapier_redis_reply_text(r, buf);
    is_mem(buf, n, "ERR a.b.[31m.", 13, "control characters");
    ngx_zapier_redis_reply_free(r);

    r = test_reply("-ERR unknown command 'AUTH', with args beginning with:"
                   " 'x'\r\n");
    n = ngx_zapier_redis_reply_text(r, buf);
    is_mem(buf, n, "ERR unknown command 'AUTH'", 26, "no arguments");
    ngx_zapier_redis_reply_free(r);

    r = test_reply("-LOADING x\r\n");
    ok(ngx_zapier_redis_reply_is(r, NGX_ZAPIER_REDIS_ERROR, "LOADING"),
       "first word");
    ok(!ngx_zapier_redis_reply_is(r, NGX_ZAPIER_REDIS_ERROR, "LOAD"),
       "not a part of it");
    ok(!ngx_zapier_redis_reply_is(r, NGX_ZAPIER_REDIS_STATUS, "LOADING"),
       "not of this type");
    ngx_zapier_redis_reply_free(r);
}


static void
test_command(ngx_uint_t argc, ngx_str_t *argv, const char *text, size_t len,
    const char *name)
{
    ngx_str_t  cmd;

    if (ngx_zapier_redis_format(argc, argv, &cmd, &test_log) != NGX_OK) {
        ok(0, name);
        return;
    }

    is_mem(cmd.data, cmd.len, text, len, name);
    ngx_zapier_redis_format_free(&cmd);
}


static reader_t *
test_reader(const char *text, size_t len)
{
    reader_t  *reader;

    reader = ngx_zapier_redis_reader_create(&caps, &test_log);
    (void) ngx_zapier_redis_reader_feed(reader, (u_char *) text, len);

    return reader;
}


static reply_t *
test_reply(const char *text)
{
    reply_t   *r;
    reader_t  *reader;

    r = NULL;
    reader = test_reader(text, ngx_strlen(text));

    if (ngx_zapier_redis_reader_reply(reader, &r) != NGX_OK) {
        diag("%s: %s", text, ngx_zapier_redis_reader_error(reader));
        exit(1);
    }

    ngx_zapier_redis_reader_free(reader);

    return r;
}


static void
test_error(const char *text, const char *error)
{
    char         name[64];
    reply_t     *r;
    ngx_int_t    rc;
    reader_t    *reader;
    const char  *got;

    snprintf(name, sizeof(name), "refused: %.12s", text);
    name[strcspn(name, "\r\n")] = '\0';

    reader = test_reader(text, ngx_strlen(text));

    rc = ngx_zapier_redis_reader_reply(reader, &r);
    got = ngx_zapier_redis_reader_error(reader);

    is_int(rc, NGX_ERROR, name);

    if (error) {
        is_mem(got, ngx_strlen(got), error, ngx_strlen(error), error);
    }

    ngx_zapier_redis_reader_free(reader);
}
