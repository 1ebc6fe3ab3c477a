
/* The envelope: what becomes of a body, and what is wrong with it. */

#include <unit.h>
#include <ngx_zapier_envelope.h>


typedef struct {
    const char  *action;            /* defaults of the location, JSON */
    const char  *authentication;
    const char  *body;
    const char  *expected;          /* the result or "code pointer offset" */
} envelope_case_t;


#define A    "\"core:1\""
#define AU   "\"au\""


static envelope_case_t  cases[] = {

    /* the upstream's own shape goes through as it is */

    { "", "",
      "{\"data\":{\"action\":\"a\",\"authentication\":\"b\",\"inputs\":{}}}",
      "{\"data\":{\"action\":\"a\",\"authentication\":\"b\",\"inputs\":{}}}" },
    { A, AU,
      " {\n \"data\" : { \"inputs\" : {\"x\":[ ]}, \"authentication\" : null"
      " , \"action\":\"a\" } }\r\n",
      " {\n \"data\" : { \"inputs\" : {\"x\":[ ]}, \"authentication\" : null"
      " , \"action\":\"a\" } }\r\n" },
    { "", "",
      "{\"data\":{\"callback_url\":\"https://x\",\"action\":\"a\","
      "\"authentication\":\"b\",\"inputs\":{}}}",
      "{\"data\":{\"callback_url\":\"https://x\",\"action\":\"a\","
      "\"authentication\":\"b\",\"inputs\":{}}}" },
    { "", "",
      "{\"d\\u0061ta\":{\"\\u0061ction\":\"\\u0061\",\"authentication\":\"b\","
      "\"inputs\":{}}}",
      "{\"d\\u0061ta\":{\"\\u0061ction\":\"\\u0061\",\"authentication\":\"b\","
      "\"inputs\":{}}}" },

    /* every byte of the inputs */

    { "", "",
      "{\"data\":{\"action\":\"a\",\"authentication\":null,\"inputs\":"
      "{\"n\":9007199254740993,\"e\":1e400,\"z\":-0,\"d\":1.10,\"d\":2,"
      "\"u\":\"\\u00e9\\/\\ud800\",\"l\":[],\"o\":{},\"data\":{\"x\":1},"
      "\"action\":5,\"input\":[{\"inputs\":0}]}}}",
      "{\"data\":{\"action\":\"a\",\"authentication\":null,\"inputs\":"
      "{\"n\":9007199254740993,\"e\":1e400,\"z\":-0,\"d\":1.10,\"d\":2,"
      "\"u\":\"\\u00e9\\/\\ud800\",\"l\":[],\"o\":{},\"data\":{\"x\":1},"
      "\"action\":5,\"input\":[{\"inputs\":0}]}}}" },

    /* members that are missing */

    { "", "", "{\"data\":{\"action\":\"a\",\"inputs\":{}}}",
      "{\"data\":{\"action\":\"a\",\"inputs\":{},\"authentication\":null}}" },
    { "", AU, "{\"data\":{\"action\":\"a\",\"inputs\":{} }\n}",
      "{\"data\":{\"action\":\"a\",\"inputs\":{} ,\"authentication\":\"au\"}"
      "\n}" },
    { A, "", "{\"data\":{\"authentication\":\"b\",\"inputs\":{}}}",
      "{\"data\":{\"authentication\":\"b\",\"inputs\":{},\"action\":\"core:1\""
      "}}" },
    { A, AU, "{\"data\":{\"inputs\":{}}}",
      "{\"data\":{\"inputs\":{},\"action\":\"core:1\",\"authentication\":"
      "\"au\"}}" },
    { A, AU, "{\"data\":{\"action\":\"a\",\"inputs\":{}}}",
      "{\"data\":{\"action\":\"a\",\"inputs\":{},\"authentication\":\"au\"}}" },

    /* without the envelope */

    { "", "", "{\"action\":\"a\",\"authentication\":\"b\",\"inputs\":{}}",
      "{\"data\":{\"action\":\"a\",\"authentication\":\"b\",\"inputs\":{}}}" },
    { "", "", "{\"inputs\":{},\"action\":\"a\"}",
      "{\"data\":{\"inputs\":{},\"action\":\"a\",\"authentication\":null}}" },
    { A, AU, "\t{\"inputs\":{\"x\":{}}}\n",
      "{\"data\":\t{\"inputs\":{\"x\":{}},\"action\":\"core:1\","
      "\"authentication\":\"au\"}\n}" },
    { A, "", "{\"callback_url\":\"https://x\",\"inputs\":{}}",
      "{\"data\":{\"callback_url\":\"https://x\",\"inputs\":{},\"action\":"
      "\"core:1\",\"authentication\":null}}" },

    /* input for inputs */

    { "", "", "{\"data\":{\"action\":\"a\",\"authentication\":null,"
      "\"input\":{}}}",
      "{\"data\":{\"action\":\"a\",\"authentication\":null,\"inputs\":{}}}" },
    { "", "", "{\"input\" : {\"input\":1},\"action\":\"a\"}",
      "{\"data\":{\"inputs\" : {\"input\":1},\"action\":\"a\","
      "\"authentication\":null}}" },
    { A, "", "{\"inpu\\u0074\":{}}",
      "{\"data\":{\"inpu\\u0074s\":{},\"action\":\"core:1\","
      "\"authentication\":null}}" },
    { A, "", "{\"callback_url\":\"u\",\"input\":{}}",
      "{\"data\":{\"callback_url\":\"u\",\"inputs\":{},\"action\":"
      "\"core:1\",\"authentication\":null}}" },

    /* bare inputs, whatever they hold */

    { A, "", "{}",
      "{\"data\":{\"action\":\"core:1\",\"authentication\":null,\"inputs\":"
      "{}}}" },
    { A, AU, "{\"email\":\"a@b\",\"n\":1e400}\n",
      "{\"data\":{\"action\":\"core:1\",\"authentication\":\"au\",\"inputs\":"
      "{\"email\":\"a@b\",\"n\":1e400}\n}}" },
    { A, "", "{\"x\":1,\"x\":2,\"callback_url\":\"\",\"callback_url\":5}",
      "{\"data\":{\"action\":\"core:1\",\"authentication\":null,\"inputs\":"
      "{\"x\":1,\"x\":2,\"callback_url\":\"\",\"callback_url\":5}}}" },
    { A, "", "{\"Data\":{\"action\":1},\"x\":{\"data\":1,\"action\":[]}}",
      "{\"data\":{\"action\":\"core:1\",\"authentication\":null,\"inputs\":"
      "{\"Data\":{\"action\":1},\"x\":{\"data\":1,\"action\":[]}}}}" },
    { A, "", "{\"1\":0,\"2\":0,\"3\":0,\"4\":0,\"5\":0,\"6\":0,\"7\":0,"
      "\"8\":0,\"9\":0,\"10\":0,\"11\":0,\"12\":0,\"13\":0,\"14\":0,"
      "\"15\":0,\"16\":0,\"17\":0,\"18\":0}",
      "{\"data\":{\"action\":\"core:1\",\"authentication\":null,\"inputs\":"
      "{\"1\":0,\"2\":0,\"3\":0,\"4\":0,\"5\":0,\"6\":0,\"7\":0,"
      "\"8\":0,\"9\":0,\"10\":0,\"11\":0,\"12\":0,\"13\":0,\"14\":0,"
      "\"15\":0,\"16\":0,\"17\":0,\"18\":0}}}" },

    /* required */

    { "", "", "{}", "required /action -1, required /inputs -1" },
    { "", "", "{\"data\":{}}",
      "required /data/action -1, required /data/inputs -1" },
    { A, "", "{\"data\":{}}", "required /data/inputs -1" },
    { A, "", "{\"action\":\"a\"}", "required /inputs -1" },
    { A, "", "{\"authentication\":null}", "required /inputs -1" },
    { "", "", "{\"inputs\":{}}", "required /action -1" },
    { "", "", "{\"input\":{},\"authentication\":\"b\"}",
      "required /action -1" },
    { "", "", "{\"data\":{\"input\":{}}}", "required /data/action -1" },
    { "", "", "{\"callback_url\":\"x\"}",
      "required /action -1, required /inputs -1" },

    /* invalid_type */

    { A, "", "[]", "invalid_type  0" },
    { A, "", " \"x\"", "invalid_type  1" },
    { A, "", "12", "invalid_type  0" },
    { A, "", "null", "invalid_type  0" },
    { A, "", "[{\"data\":1,\"data\":2}]", "invalid_type  0" },
    { A, "", "{\"data\":[{\"action\":1}]}", "invalid_type /data 8" },
    { A, "", "{\"data\":\"x\"}", "invalid_type /data 8" },
    { A, "", "{\"data\": null}", "invalid_type /data 9" },
    { "", "", "{\"action\":1,\"authentication\":2,\"inputs\":3}",
      "invalid_type /action 10, invalid_type /authentication 29, "
      "invalid_type /inputs 40" },
    { "", "", "{\"data\":{\"action\":null,\"authentication\":{},\"inputs\":[],"
      "\"callback_url\":null}}",
      "invalid_type /data/action 18, invalid_type /data/authentication 40, "
      "invalid_type /data/inputs 52, invalid_type /data/callback_url 70" },
    { "", "", "{\"action\":\"a\",\"input\":\"{}\",\"callback_url\":[]}",
      "invalid_type /input 22, invalid_type /callback_url 42" },
    { "", "", "{\"action\":true,\"input\":false}",
      "invalid_type /action 10, invalid_type /input 23" },

    /* empty */

    { A, "", "{\"action\":\"\",\"inputs\":{}}", "empty /action 10" },
    { "", "", "{\"data\":{\"action\": \"\",\"inputs\":{},\"callback_url\":"
      "\"\"}}", "empty /data/action 19, empty /data/callback_url 49" },
    { "", "", "{\"callback_url\":\"\",\"action\":\"a\",\"inputs\":{}}",
      "empty /callback_url 16" },

    /* unknown_field */

    { "", "", "{\"action\":\"a\",\"inputs\":{},\"x\":1}",
      "unknown_field /x 26" },
    { "", "", "{\"x\":1,\"action\":\"a\",\"inputs\":{}}",
      "unknown_field /x 1" },
    { "", "", "{\"x\":1,\"data\":{\"action\":\"a\",\"inputs\":{},\"y\":2},"
      "\"z\":3}", "unknown_field /x 1, unknown_field /data/y 40, "
      "unknown_field /z 47" },
    { "", "", "{\"data\":{\"action\":\"a\",\"inputs\":{},\"data\":{}}}",
      "unknown_field /data/data 34" },
    { "", "", "{\"data\":{\"action\":\"a\",\"inputs\":{}},"
      "\"callback_url\":\"u\"}", "unknown_field /callback_url 35" },
    { A, "", "{\"callback_url\":1,\"data\":{\"inputs\":{}}}",
      "unknown_field /callback_url 1" },
    { "", "", "{\"x\":1}", "unknown_field /x 1, required /action -1, "
      "required /inputs -1" },
    { "", "", "{\"inputs\":{},\"action\":\"a\",\"a/b~c\":1,\"\":2,\"\\n\":3}",
      "unknown_field /a~1b~0c 26, unknown_field / 36, unknown_field /\n 41" },
    { A, "", "{\"inputs\":{},\"Action\":\"a\",\"inputs \":1}",
      "unknown_field /Action 13, unknown_field /inputs  26" },

    /* duplicate */

    { "", "", "{\"action\":\"a\",\"action\":5,\"inputs\":{}}",
      "duplicate /action 14" },
    { "", "", "{\"\\u0061ction\":\"a\",\"inputs\":{},\"action\":\"b\"}",
      "duplicate /action 31" },
    { "", "", "{\"action\":\"a\",\"inputs\":{},\"actio\\u006E\":\"b\"}",
      "duplicate /action 26" },
    { "", "", "{\"data\":{\"action\":\"a\",\"inputs\":{},\"inputs\":{},"
      "\"authentication\":null,\"authentication\":null,\"callback_url\":\"u\","
      "\"callback_url\":\"u\"}}",
      "duplicate /data/inputs 34, duplicate /data/authentication 68, "
      "duplicate /data/callback_url 109" },
    { "", "", "{\"data\":{\"action\":\"a\",\"inputs\":{}},\"data\":{}}",
      "duplicate /data 35" },
    { "", "", "{\"input\":{},\"input\":{},\"action\":\"a\"}",
      "duplicate /input 12" },
    { "", "", "{\"callback_url\":\"u\",\"action\":\"a\",\"inputs\":{},"
      "\"callback_url\":\"v\"}", "duplicate /callback_url 45" },

    /* ambiguous */

    { "", "", "{\"action\":\"a\",\"inputs\":{},\"input\":{}}",
      "ambiguous /input 26" },
    { "", "", "{\"data\":{\"action\":\"a\",\"input\":{},\"inputs\":1}}",
      "ambiguous /data/inputs 33" },
    { "", "", "{\"data\":{\"action\":\"a\",\"inputs\":{}},\"action\":\"b\"}",
      "ambiguous /action 35" },
    { "", "", "{\"action\":\"b\",\"data\":{\"x\":1}}", "ambiguous /data 14" },
    { "", "", "{\"input\":{},\"data\":{\"action\":\"a\",\"inputs\":{}},"
      "\"authentication\":null}",
      "ambiguous /data 12, ambiguous /authentication 46" },

    /* all at once, in the order of the text */

    { "", "", "{\"x\":1,\"data\":{\"action\":\"\",\"y\":2,\"inputs\":[],"
      "\"input\":{},\"authentication\":1},\"data\":0,\"inputs\":{}}",
      "unknown_field /x 1, empty /data/action 24, unknown_field /data/y 27, "
      "invalid_type /data/inputs 42, ambiguous /data/input 45, "
      "invalid_type /data/authentication 73, duplicate /data 76, "
      "ambiguous /inputs 85" },

    /* unknown fields do not hide what is required */

    { "", "", "{\"1\":0,\"2\":0,\"3\":0,\"4\":0,\"5\":0,\"6\":0,\"7\":0,"
      "\"8\":0,\"9\":0,\"10\":0,\"11\":0,\"12\":0,\"13\":0,\"14\":0,"
      "\"15\":0,\"16\":0,\"17\":0,\"18\":0}",
      "unknown_field /1 1, unknown_field /2 7, unknown_field /3 13, "
      "unknown_field /4 19, unknown_field /5 25, unknown_field /6 31, "
      "unknown_field /7 37, unknown_field /8 43, unknown_field /9 49, "
      "unknown_field /10 55, unknown_field /11 62, unknown_field /12 69, "
      "unknown_field /13 76, unknown_field /14 83, required /action -1, "
      "required /inputs -1" },

    /* parse_error stands alone */

    { A, "", "", "parse_error  0" },
    { A, "", " \n", "parse_error  2" },
    { A, "", "{", "parse_error  1" },
    { A, "", "{\"data\":{\"action\":1,\"inputs\":", "parse_error  29" },
    { A, "", "{\"action\":\"\",\"x\":}", "parse_error  17" },
    { A, "", "{\"inputs\":{}}x", "parse_error  13" },
    { A, "", "{\"inputs\":{}}{}", "parse_error  13" },
    { A, "", "{\"inputs\":{},}", "parse_error  13" },
    { A, "", "{\"input", "parse_error  7" },
    { A, "", "\xef\xbb\xbf{\"inputs\":{}}", "parse_error  0" },
    { A, "", "{\"inputs\":{\"x\":\"\xff\"}}", "parse_error  16" },
    { A, "", "a=1&b=2", "parse_error  0" },
    { A, "", "-", "parse_error  1" }
};


/* the result of a body that comes in pieces, as a string */

static ngx_int_t
run(envelope_case_t *c, size_t split, size_t step, char *out)
{
    char                   *o;
    size_t                  n, len, done;
    u_char                 *piece, *p, *last, *from;
    ngx_int_t               rc;
    ngx_str_t               action, authentication, insert, before, after;
    ngx_pool_t             *pool;
    ngx_uint_t              i, nfaults;
    ngx_zapier_fault_t     *fault;
    ngx_zapier_envelope_t  *e;
    static char             text[8192];

    action.data = (u_char *) c->action;
    action.len = ngx_strlen(c->action);
    authentication.data = (u_char *) c->authentication;
    authentication.len = ngx_strlen(c->authentication);

    pool = ngx_create_pool(1024, NULL);
    e = ngx_zapier_envelope_create(pool, &action, &authentication);

    o = text;
    rc = NGX_OK;
    len = ngx_strlen(c->body);

    for (done = 0; done < len && rc == NGX_OK; done += n) {
        n = (done < split) ? split : step;
        n = ngx_min(n, len - done);

        piece = malloc(n);
        ngx_memcpy(piece, c->body + done, n);
        p = piece;
        last = piece + n;

        for ( ;; ) {
            from = p;
            rc = ngx_zapier_envelope_feed(e, &p, last, &insert);

            o = (char *) ngx_cpymem(o, from, p - from);

            if (rc != NGX_AGAIN) {
                break;
            }

            if (p == last || insert.len == 0) {
                sprintf(out, "nothing to insert before");
                free(piece);
                ngx_destroy_pool(pool);
                return NGX_ERROR;
            }

            o = (char *) ngx_cpymem(o, insert.data, insert.len);
        }

        free(piece);
    }

    rc = ngx_zapier_envelope_finish(e, &before, &after);

    if (rc == NGX_OK) {
        sprintf(out, "%.*s%.*s%.*s", (int) before.len, before.data,
                (int) (o - text), text, (int) after.len, after.data);

    } else {
        *out = '\0';
        fault = ngx_zapier_envelope_faults(e, &nfaults);

        for (i = 0; i < nfaults; i++) {
            out += sprintf(out, "%s%s %.*s %d", i ? ", " : "",
                           ngx_zapier_fault_code(fault[i].code)->data,
                           (int) fault[i].pointer_len, fault[i].pointer,
                           (int) fault[i].offset);
        }
    }

    ngx_destroy_pool(pool);

    return rc;
}


static void
check(envelope_case_t *c)
{
    char    out[8192], name[128];
    size_t  split, len;

    len = ngx_strlen(c->body);

    run(c, len, len, out);

    for (split = 0; strcmp(out, c->expected) == 0 && split < len; split++) {
        run(c, split, split ? len : 1, out);
    }

    snprintf(name, sizeof(name), "%s", c->body);

    is_mem(out, strlen(out), c->expected, strlen(c->expected), name);
}


static void
long_key(void)
{
    char             body[600], out[8192];
    envelope_case_t  c;

    memset(body, 'k', sizeof(body));
    memcpy(body, "{\"action\":\"a\",\"inputs\":{},\"", 27);
    strcpy(body + 27 + 300, "\":1}");

    c.action = "";
    c.authentication = "";
    c.body = body;
    c.expected = "";

    run(&c, 600, 600, out);
    ok(strcmp(out, "unknown_field  26") == 0, "pointer of the parent");

    strcpy(body + 27 + 256, "\":1}");

    run(&c, 600, 600, out);
    is_int(strlen(out), 256 + sizeof("unknown_field / 26") - 1,
           "the longest key that is kept");
}


/* all orders of the members give the same members */

static void
orders(void)
{
    static const char  *members[] = {
        "\"action\":\"a\"", "\"authentication\":\"b\"", "\"input\":{\"x\":1}",
        "\"callback_url\":\"u\""
    };

    int              i, n[4], wrong;
    char             body[256], out[8192];
    envelope_case_t  c;

    c.action = A;
    c.authentication = AU;
    c.body = body;
    wrong = 0;

    for (i = 0; i < 256; i++) {
        n[0] = i & 3;
        n[1] = i >> 2 & 3;
        n[2] = i >> 4 & 3;
        n[3] = i >> 6 & 3;

        if ((1 << n[0] | 1 << n[1] | 1 << n[2] | 1 << n[3]) != 15) {
            continue;
        }

        sprintf(body, "{\"data\":{%s,%s,%s,%s}}", members[n[0]],
                members[n[1]], members[n[2]], members[n[3]]);

        if (run(&c, 7, 3, out) != NGX_OK
            || strlen(out) != strlen(body) + 1
            || strstr(out, "\"inputs\":{\"x\":1}") == NULL)
        {
            diag("%s: %s", body, out);
            wrong++;
        }

        sprintf(body, "{%s,%s,%s,%s}", members[n[0]],
                members[n[1]], members[n[2]], members[n[3]]);

        if (run(&c, 7, 3, out) != NGX_OK
            || strlen(out) != strlen(body) + 1 + strlen("{\"data\":}"))
        {
            diag("%s: %s", body, out);
            wrong++;
        }
    }

    is_int(wrong, 0, "orders of the members");
}


static void
no_memory(void)
{
    size_t                  i;
    u_char                 *p, *last;
    ngx_int_t               rc;
    ngx_str_t               action, none, insert, before, after;
    ngx_pool_t             *pool;
    ngx_zapier_envelope_t  *e;
    static const char      *bodies[] = {
        "{\"inputs\":{}}", "{\"inputs\":{},\"x\":1}", "{}", "{\"inputs\":1}"
    };

    ngx_str_set(&action, A);
    ngx_str_null(&none);

    for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        pool = ngx_create_pool(1024, NULL);
        e = ngx_zapier_envelope_create(pool, &action, &none);

        p = (u_char *) bodies[i];
        last = p + ngx_strlen(p);

        unit_fail_alloc(0);

        rc = ngx_zapier_envelope_feed(e, &p, last, &insert);
        if (rc == NGX_OK) {
            rc = ngx_zapier_envelope_finish(e, &before, &after);
        }

        is_int(rc, NGX_ERROR, "no memory");
        unit_fail_alloc(-1);

        ngx_destroy_pool(pool);
    }

    pool = ngx_create_pool(1024, NULL);
    unit_fail_alloc(0);
    ok(ngx_zapier_envelope_create(pool, &none, &none) == NULL, "no memory");
    unit_fail_alloc(-1);
    ngx_destroy_pool(pool);
}


int
main(void)
{
    size_t  i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check(&cases[i]);
    }

    long_key();
    orders();
    no_memory();

    return done();
}
