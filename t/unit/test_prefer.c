
/* Prefer headers, RFC 7240. */

#include <unit.h>
#include <ngx_zapier_prefer.h>


static struct {
    const char  *value;
    ngx_int_t    wait;
    ngx_uint_t   async;
} cases[] = {
    { "wait=10", 10, 0 },
    { "Wait = 10", 10, 0 },
    { " wait=0 ", 0, 0 },
    { "wait=\"10\"", 10, 0 },
    { "wait=", -1, 0 },
    { "wait", -1, 0 },
    { "wait=ten", -1, 0 },
    { "wait=-1", -1, 0 },
    { "wait=1.5", -1, 0 },
    { "waits=10", -1, 0 },
    { "await=10", -1, 0 },
    { "wait=99999999", 86400, 0 },
    { "wait=99999999999999999999999", -1, 0 },
    { "wait=5, wait=10", 5, 0 },
    { "wait=x, wait=10", 10, 0 },
    { "respond-async", -1, 1 },
    { "RESPOND-ASYNC", -1, 1 },
    { "respond-async, wait=10", 10, 1 },
    { "respond-async; x=y, wait=10; z", 10, 1 },
    { "respond-asynchronously", -1, 0 },
    { "foo=\"a, wait=3\", wait=4", 4, 0 },
    { "foo=\"a\\\", wait=3\", wait=4", 4, 0 },
    { "foo=\"never closed, wait=3", -1, 0 },
    { "return=minimal;wait=3", -1, 0 },
    { ",,wait=3,", 3, 0 },
    { "", -1, 0 },
    { ",", -1, 0 },
    { "=", -1, 0 },
    { "\\", -1, 0 },
    { "\"", -1, 0 }
};


int
main(void)
{
    char                 name[128];
    ngx_str_t            value;
    ngx_uint_t           i;
    ngx_zapier_prefer_t  prefer;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        value.data = (u_char *) cases[i].value;
        value.len = strlen(cases[i].value);

        ngx_zapier_prefer_init(&prefer);
        ngx_zapier_prefer_header(&prefer, &value);

        snprintf(name, sizeof(name), "Prefer: %s", cases[i].value);

        ok(prefer.wait == cases[i].wait
           && prefer.respond_async == cases[i].async, name);
    }

    ngx_zapier_prefer_init(&prefer);

    value.data = (u_char *) "respond-async";
    value.len = 13;
    ngx_zapier_prefer_header(&prefer, &value);

    value.data = (u_char *) "wait=7";
    value.len = 6;
    ngx_zapier_prefer_header(&prefer, &value);

    ok(prefer.wait == 7 && prefer.respond_async, "several headers add up");

    return done();
}
