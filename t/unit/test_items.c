
/* The items of a bulk request. */

#include <unit.h>
#include <ngx_zapier_items.h>


#define MAX  3


/* items are separated by "|"; pointer NULL: none */

static struct {
    const char  *text;
    const char  *items;
    const char  *code;
    const char  *pointer;
    off_t        offset;
} cases[] = {
    { "[{}]", "{}", NULL, NULL, 0 },
    { "[{\"a\":[1,{}]},{\"b\":\"],\"}]", "{\"a\":[1,{}]}|{\"b\":\"],\"}",
      NULL, NULL, 0 },
    { " [ {} ,\n\t{ }\r, 1e400 ] ", "{}|{ }|1e400", NULL, NULL, 0 },
    { "[\"a,\",null,[[]]]", "\"a,\"|null|[[]]", NULL, NULL, 0 },
    { "{\"data\":[{\"data\":[1]},{}]}", "{\"data\":[1]}|{}", NULL, NULL, 0 },
    { "{ \"d\\u0061ta\" : [ 1 , 2 ] }", "1|2", NULL, NULL, 0 },
    { "[]", "", "empty", "", 0 },
    { "  []", "", "empty", "", 2 },
    { "{\"data\":[ ]}", "", "empty", "/data", 8 },
    { "[1,2,3,4]", "1|2|3", "too_many", "/3", 7 },
    { "[1,2,3,4,5]", "1|2|3", "too_many", "/3", 7 },
    { "{\"data\":[1,2,3,4]}", "1|2|3", "too_many", "/data/3", 15 },
    { "{}", "", "required", "/data", -1 },
    { "{\"action\":\"a\",\"inputs\":{}}", "", "required", "/data", -1 },
    { "{\"data\":{}}", "", "invalid_type", "/data", 8 },
    { "{\"data\":1}", "", "invalid_type", "/data", 8 },
    { "{\"data\":[1],\"a~/b\":[2]}", "1", "unknown_field", "/a~0~1b", 12 },
    { "{\"a\":{\"data\":[1]},\"data\":[2]}", "2", "unknown_field", "/a", 1 },
    { "{\"data\":[1],\"data\":[2]}", "1", "duplicate", "/data", 12 },
    { "\"text\"", "", "invalid_type", "", 0 },
    { "null", "", "invalid_type", "", 0 },
    { "", "", "parse_error", NULL, 0 },
    { "[", "", "parse_error", NULL, 1 },
    { "[1,]", "1", "parse_error", NULL, 3 },
    { "[{\"a\":tru}]", "{\"a\":tru}", "parse_error", NULL, 9 },
    { "[1,2,3,4", "1|2|3", "parse_error", NULL, 8 },
    { "[1] 2", "1", "parse_error", NULL, 4 }
};


static void
check(ngx_uint_t i, ngx_pool_t *pool)
{
    char                 name[128];
    size_t               len;
    ngx_int_t            rc;
    ngx_str_t            text, *item;
    ngx_uint_t           n;
    const char          *want;
    ngx_zapier_items_t   items;

    text.data = (u_char *) strdup(cases[i].text);
    text.len = strlen(cases[i].text);

    snprintf(name, sizeof(name), "%s", cases[i].text);

    rc = ngx_zapier_items(&items, pool, &text, MAX);

    is_int(rc, cases[i].code ? NGX_DECLINED : NGX_OK, name);

    if (cases[i].code) {
        is_str(ngx_zapier_fault_code(items.fault.code), cases[i].code, name);
        is_int(items.fault.offset, cases[i].offset, name);

        if (cases[i].pointer) {
            is_mem(items.fault.pointer, items.fault.pointer_len,
                   cases[i].pointer, strlen(cases[i].pointer), name);

        } else {
            ok(items.fault.pointer == NULL, name);
        }

        free(text.data);
        return;
    }

    item = items.items;
    want = cases[i].items;

    for (n = 0; n < items.n; n++) {
        len = strcspn(want, "|");
        is_mem(item[n].data, item[n].len, want, len, name);
        want += len + (want[len] == '|');
    }

    is_int(*want, '\0', name);

    free(text.data);
}


int
main(void)
{
    ngx_int_t            rc;
    ngx_str_t            text = ngx_string("[1,2,3,4]");
    ngx_uint_t           i;
    ngx_pool_t          *pool;
    ngx_zapier_items_t   items;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pool = ngx_create_pool(4096, NULL);
        check(i, pool);
        ngx_destroy_pool(pool);
    }

    for (i = 0; i < 8; i++) {
        pool = ngx_create_pool(4096, NULL);
        unit_fail_alloc(i);
        rc = ngx_zapier_items(&items, pool, &text, MAX);
        unit_fail_alloc(-1);
        ok(rc == NGX_ERROR || rc == NGX_DECLINED, "little memory");
        ngx_destroy_pool(pool);
    }

    return done();
}
