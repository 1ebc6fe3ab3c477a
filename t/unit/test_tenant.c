
#include <unit.h>
#include <ngx_zapier_tenant.h>


static ngx_str_t  prefix = ngx_string("zapier:");


static void
check(const char *name, ngx_int_t expected)
{
    ngx_str_t  s;

    s.data = (u_char *) name;
    s.len = ngx_strlen(name);

    is_int(ngx_zapier_tenant_check(&s), expected, name);
}


static void
names(void)
{
    int        ch;
    char       name[NGX_ZAPIER_TENANT_LEN + 2];
    ngx_int_t  expected;

    check("", NGX_DECLINED);
    check("a", NGX_OK);
    check("acme", NGX_OK);
    check("Acme.Corp_1@eu:west-2", NGX_OK);
    check("-", NGX_OK);

    memset(name, 'x', sizeof(name));
    name[NGX_ZAPIER_TENANT_LEN] = '\0';
    check(name, NGX_OK);
    name[NGX_ZAPIER_TENANT_LEN] = 'x';
    name[NGX_ZAPIER_TENANT_LEN + 1] = '\0';
    check(name, NGX_DECLINED);

    for (ch = 1; ch < 256; ch++) {
        expected = ((ch < 128 && isalnum(ch)) || strchr("._@:-", ch))
                   ? NGX_OK : NGX_DECLINED;

        name[0] = 'a';
        name[1] = (char) ch;
        name[2] = 'b';
        name[3] = '\0';
        check(name, expected);
    }
}


static void
keys(void)
{
    u_char      buf[64], *p;
    ngx_str_t   key, tenant, empty;

    ngx_str_set(&tenant, "acme");
    ngx_str_null(&empty);

    p = ngx_zapier_key(buf, &prefix, "token", &tenant);
    is_mem(buf, p - buf, "zapier:token:{acme}", 19, "key");
    is_int(ngx_zapier_key_len(&prefix, "token", &tenant), 19, "key length");

    key.data = buf;
    key.len = p - buf;
    ngx_str_null(&tenant);

    is_int(ngx_zapier_key_tenant(&key, &prefix, "token", &tenant), NGX_OK,
           "tenant found");
    is_str(&tenant, "acme", "tenant");
    ok(tenant.data == buf + 14, "it points into the key");

    is_int(ngx_zapier_key_tenant(&key, &prefix, "lock", &tenant),
           NGX_DECLINED, "another kind");
    is_int(ngx_zapier_key_tenant(&key, &prefix, "toke", &tenant),
           NGX_DECLINED, "a shorter kind");
    is_int(ngx_zapier_key_tenant(&key, &empty, "token", &tenant),
           NGX_DECLINED, "another prefix");

    p = ngx_zapier_key(buf, &empty, "lock", &tenant);
    key.len = p - buf;
    is_int(ngx_zapier_key_tenant(&key, &empty, "lock", &tenant), NGX_OK,
           "no prefix");
}


static void
foreign_keys(void)
{
    static const char  *bad[] = {
        "", "zapier:", "zapier:token", "zapier:token:", "zapier:token:{}",
        "zapier:token:acme", "zapier:token:{acme", "zapier:token:acme}",
        "zapier:token{acme}}", "zapier:token:{ac me}", "zapier:token:{a{b}",
        "Zapier:token:{acme}", "zapier:token:{acme}x", "zapier:lock:{acme}"
    };

    size_t      i;
    ngx_str_t   key, tenant;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        /* of the very size, so that the sanitizer sees an overrun */
        key.len = ngx_strlen(bad[i]);
        key.data = malloc(key.len ? key.len : 1);
        ngx_memcpy(key.data, bad[i], key.len);

        is_int(ngx_zapier_key_tenant(&key, &prefix, "token", &tenant),
               NGX_DECLINED, bad[i]);

        free(key.data);
    }
}


int
main(void)
{
    names();
    keys();
    foreign_keys();

    return done();
}
