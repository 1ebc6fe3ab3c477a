
/* Keys to slots of a Cluster; the numbers are those of CLUSTER KEYSLOT. */

#include <unit.h>
#include <ngx_zapier_redis_slot.h>


static struct {
    const char  *key;
    ngx_uint_t   slot;
} cases[] = {
    { "", 0 },
    { "a", 15495 },
    { "foo", 12182 },
    { "bar", 5061 },
    { "123456789", 12739 },
    { "{foo}", 12182 },
    { "x{foo}y", 12182 },
    { "zapier:token:{acme}", 11304 },
    { "x{foo}{bar}", 12182 },
    { "{}foo", 9500 },
    { "{foo", 13308 },
    { "foo}", 15679 }
};


static ngx_str_t
str(const char *text)
{
    ngx_str_t  s;

    s.data = (u_char *) text;
    s.len = strlen(text);

    return s;
}


static void
commands(void)
{
    ngx_str_t  argv[5];

    argv[0] = str("EVALSHA");
    argv[1] = str("sha");
    argv[2] = str("2");
    argv[3] = str("key");
    argv[4] = str("other");

    ok(ngx_zapier_redis_command_key(5, argv) == &argv[3], "key of a script");

    argv[2] = str("0");
    ok(ngx_zapier_redis_command_key(5, argv) == NULL, "a script without keys");

    argv[0] = str("EVAL");
    argv[2] = str("1");
    ok(ngx_zapier_redis_command_key(4, argv) == &argv[3], "EVAL");

    argv[0] = str("HMGET");
    ok(ngx_zapier_redis_command_key(3, argv) == &argv[1], "HMGET");

    argv[0] = str("TIME");
    ok(ngx_zapier_redis_command_key(1, argv) == NULL, "TIME");

    argv[0] = str("PUBLISH");
    ok(ngx_zapier_redis_command_key(3, argv) == NULL, "PUBLISH");

    argv[0] = str("SCAN");
    ok(ngx_zapier_redis_command_key(6, argv) == NULL, "SCAN");
}


int
main(void)
{
    ngx_str_t   key;
    ngx_uint_t  i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        key = str(cases[i].key);

        is_int(ngx_zapier_redis_key_slot(&key), cases[i].slot, cases[i].key);
    }

    commands();

    return done();
}
