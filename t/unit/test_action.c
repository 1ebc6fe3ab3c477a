
/* Pages of actions, and queries for them. */

#include <unit.h>
#include <ngx_zapier_action.h>


/* rc NGX_OK: result is the id; NGX_AGAIN: the query of the next page */

static struct {
    const char  *text;
    const char  *type;
    ngx_int_t    rc;
    const char  *result;
} cases[] = {
    { "{\"data\":[{\"id\":\"core:1\",\"key\":\"k\"}]}", "", NGX_OK,
      "core:1" },
    { "[{\"data\":[{\"id\":\"core:1\",\"key\":\"k\"}]}]", "", NGX_OK,
      "core:1" },
    { "{\"data\":[{\"key\":\"a\"},1,null,{\"key\":2},"
      "{\"key\":\"k\",\"id\":\"\\u00e4\\\"\"}],"
      "\"links\":{\"next\":\"http://x/?a\"}}", "", NGX_OK,
      "\xc3\xa4\"" },
    { "{\"data\":[{\"id\":\"1\",\"key\":\"k\",\"action_type\":\"READ\"},"
      "{\"id\":\"2\",\"key\":\"k\",\"action_type\":\"WRITE\"}]}", "WRITE",
      NGX_OK, "2" },
    { "{\"data\":[{\"id\":\"1\",\"key\":\"k\",\"action_type\":\"READ\"},"
      "{\"id\":\"2\",\"key\":\"k\",\"action_type\":\"WRITE\"}]}", "",
      NGX_ABORT, "has several actions with this key, \"type\" may tell them "
      "apart" },
    { "{\"data\":[{\"id\":\"1\",\"key\":\"k\"}]}", "READ", NGX_DECLINED,
      NULL },
    { "{\"data\":[{\"id\":\"1\",\"key\":\"K\"}]}", "", NGX_DECLINED, NULL },
    { "{\"data\":[{\"id\":\"1\",\"key\":\"k\\u0000\"}]}", "", NGX_ABORT,
      "is no page of actions" },
    { "{\"data\":[{\"id\":1,\"key\":\"k\"}]}", "", NGX_ABORT,
      "has no id for this action" },
    { "{\"data\":[{\"id\":\"\",\"key\":\"k\"}]}", "", NGX_ABORT,
      "has no id for this action" },
    { "{\"data\":[{\"key\":\"k\"}]}", "", NGX_ABORT,
      "has no id for this action" },
    { "{\"data\":[]}", "", NGX_DECLINED, NULL },
    { "{\"data\":[],\"links\":{\"next\":\"http://x/?a\"}}", "", NGX_DECLINED,
      NULL },
    { "{\"data\":[1],\"links\":null}", "", NGX_DECLINED, NULL },
    { "{\"data\":[1],\"links\":{\"next\":null}}", "", NGX_DECLINED, NULL },
    { "{\"data\":[1],\"links\":{\"next\":\"https://x/?a=1&b=%20?\"}}", "",
      NGX_AGAIN, "a=1&b=%20?" },
    { "{\"data\":[1],\"links\":{\"next\":\"?a\"}}", "", NGX_AGAIN, "a" },
    { "{\"data\":[1],\"links\":{\"next\":1}}", "", NGX_ABORT,
      "is no page of actions" },
    { "{\"data\":[1],\"links\":{\"next\":\"http://x/\"}}", "", NGX_ABORT,
      "is no page of actions" },
    { "{\"data\":[1],\"links\":{\"next\":\"http://x/?\"}}", "", NGX_ABORT,
      "is no page of actions" },
    { "{\"data\":[1],\"links\":{\"next\":\"http://x/?a#b\"}}", "", NGX_ABORT,
      "is no page of actions" },
    { "{\"data\":[1],\"links\":{\"next\":\"http://x/?a b\"}}", "", NGX_ABORT,
      "is no page of actions" },
    { "{\"data\":[1],\"links\":{\"next\":\"http://x/?a\\r\\nX: y\"}}", "",
      NGX_ABORT, "is no page of actions" },
    { "{\"data\":[1],\"links\":{\"next\":\"http://x/?\xc3\xa4\"}}", "",
      NGX_ABORT, "is no page of actions" },
    { "{\"data\":{}}", "", NGX_ABORT, "is no page of actions" },
    { "{}", "", NGX_ABORT, "is no page of actions" },
    { "[]", "", NGX_ABORT, "is no page of actions" },
    { "\"\"", "", NGX_ABORT, "is no page of actions" },
    { "{\"data\":[", "", NGX_ABORT, "is no page of actions" },
    { "", "", NGX_ABORT, "is no page of actions" }
};


static void
page(ngx_uint_t i, ngx_pool_t *pool)
{
    char         name[64];
    ngx_int_t    rc;
    ngx_str_t    text, key, type, id, next, *result;
    const char  *why;

    ngx_str_null(&id);
    ngx_str_null(&next);
    ngx_str_set(&key, "k");

    text.data = (u_char *) cases[i].text;
    text.len = strlen(cases[i].text);
    type.data = (u_char *) cases[i].type;
    type.len = strlen(cases[i].type);

    rc = ngx_zapier_action_page(pool, &text, &key, &type, &id, &next, &why);

    snprintf(name, sizeof(name), "page %d: %.40s", (int) i, cases[i].text);

    is_int(rc, cases[i].rc, name);

    if (rc == NGX_ABORT) {
        ok(strcmp(why, cases[i].result) == 0, "why");
        return;
    }

    result = (rc == NGX_AGAIN) ? &next : &id;

    if (cases[i].result != NULL) {
        is_str(result, cases[i].result, "what it says");
    }
}


static void
query(ngx_pool_t *pool, const char *app, const char *type, const char *want)
{
    ngx_str_t  a, t, text;

    a.data = (u_char *) app;
    a.len = strlen(app);
    t.data = (u_char *) type;
    t.len = strlen(type);

    is_int(ngx_zapier_action_query(pool, &a, &t, &text), NGX_OK, "a query");
    is_str(&text, want, "as it should be");
}


int
main(void)
{
    ngx_uint_t   i;
    ngx_pool_t  *pool;

    pool = ngx_create_pool(4096, NULL);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        page(i, pool);
    }

    query(pool, "6b3e-1", "", "app=6b3e-1");
    query(pool, "a b&c=d#\xc3\xa4", "READ",
          "app=a%20b%26c%3Dd%23%C3%A4&action_type=READ");

    ngx_destroy_pool(pool);

    return done();
}
