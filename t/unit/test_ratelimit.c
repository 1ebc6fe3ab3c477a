
/* Dialects of rate limit headers. */

#include <unit.h>
#include <ngx_zapier_ratelimit.h>


#define NOW    1800000000    /* Fri, 15 Jan 2027 08:00:00 GMT */
#define UNSET  NGX_ZAPIER_RATELIMIT_UNSET
#define AHEAD  NGX_ZAPIER_RATELIMIT_AHEAD
#define MAX    0x7fffffffffffffffLL


typedef struct {
    const char  *name;
    const char  *value;
    ngx_int_t    rc;
    int64_t      expected;     /* of the field */
    int64_t      reset_at;
} case_t;


static case_t  cases[] = {

    { "X-RateLimit-Limit", "60", NGX_OK, 60, UNSET },
    { "x-ratelimit-limit", "0", NGX_OK, 0, UNSET },
    { "X-RATELIMIT-LIMIT", " \t60 ", NGX_OK, 60, UNSET },
    { "X-RateLimit-Limit", "", NGX_ERROR, UNSET, UNSET },
    { "X-RateLimit-Limit", " ", NGX_ERROR, UNSET, UNSET },
    { "X-RateLimit-Limit", "sixty", NGX_ERROR, UNSET, UNSET },
    { "X-RateLimit-Limit", "-1", NGX_ERROR, UNSET, UNSET },
    { "X-RateLimit-Limit", "+60", NGX_ERROR, UNSET, UNSET },
    { "X-RateLimit-Limit", "60.5", NGX_ERROR, UNSET, UNSET },
    { "X-RateLimit-Limit", "6 0", NGX_ERROR, UNSET, UNSET },
    { "X-RateLimit-Limit", "0x10", NGX_ERROR, UNSET, UNSET },
    { "X-RateLimit-Limit", "100, 60", NGX_OK, 60, UNSET },
    { "X-RateLimit-Limit", "100, 60;w=1", NGX_ERROR, UNSET, UNSET },
    { "X-RateLimit-Limit", "100,", NGX_ERROR, UNSET, UNSET },
    { "X-RateLimit-Limit", "9007199254740993", NGX_OK,
      9007199254740993LL, UNSET },
    { "X-RateLimit-Limit", "9223372036854775807", NGX_OK, MAX, UNSET },
    { "X-RateLimit-Limit", "9223372036854775808", NGX_OK, MAX, UNSET },
    { "X-RateLimit-Limit", "99999999999999999999999999", NGX_OK, MAX,
      UNSET },

    { "X-RateLimit-Remaining", "59", NGX_OK, 59, UNSET },
    { "X-RateLimit-Remaining", "0", NGX_OK, 0, UNSET },
    { "X-RateLimit-Remaining", "none", NGX_ERROR, UNSET, UNSET },
    { "X-RateLimit-Remaining", "-3", NGX_ERROR, UNSET, UNSET },

    { "X-RateLimit-Reset", "1800000030", NGX_OK, 30, 1800000030 },
    { "X-RateLimit-Reset", "1800000000", NGX_OK, 0, UNSET },
    { "X-RateLimit-Reset", "1799999999", NGX_OK, 0, UNSET },
    { "X-RateLimit-Reset", "1000000000", NGX_OK, 0, UNSET },
    { "X-RateLimit-Reset", "999999999", NGX_OK, AHEAD, UNSET },
    { "X-RateLimit-Reset", "0", NGX_OK, 0, UNSET },
    { "X-RateLimit-Reset", "45", NGX_OK, 45, UNSET },
    { "X-RateLimit-Reset", "86400", NGX_OK, AHEAD, UNSET },
    { "X-RateLimit-Reset", "86401", NGX_OK, AHEAD, UNSET },
    { "X-RateLimit-Reset", "1800086400", NGX_OK, AHEAD, 1800086400 },
    { "X-RateLimit-Reset", "1800086401", NGX_OK, AHEAD, UNSET },
    { "X-RateLimit-Reset", "1800000030001", NGX_OK, 31, 1800000031 },
    { "X-RateLimit-Reset", "1800000030000", NGX_OK, 30, 1800000030 },
    { "X-RateLimit-Reset", "99999999999999999999", NGX_OK, AHEAD, UNSET },
    { "X-RateLimit-Reset", "Fri, 15 Jan 2027 08:00:10 GMT", NGX_OK, 10,
      1800000010 },
    { "X-RateLimit-Reset", "soon", NGX_ERROR, UNSET, UNSET },
    { "X-RateLimit-Reset", "", NGX_ERROR, UNSET, UNSET },
    { "X-RateLimit-Reset", "-5", NGX_ERROR, UNSET, UNSET },

    { "Retry-After", "7", NGX_OK, 7, UNSET },
    { "retry-after", "0", NGX_OK, 0, UNSET },
    { "Retry-After", "86401", NGX_OK, AHEAD, UNSET },
    { "Retry-After", "1800000007", NGX_OK, 7, UNSET },
    { "Retry-After", "", NGX_ERROR, UNSET, UNSET },
    { "Retry-After", "   ", NGX_ERROR, UNSET, UNSET },
    { "Retry-After", "-1", NGX_ERROR, UNSET, UNSET },
    { "Retry-After", "1.5", NGX_ERROR, UNSET, UNSET },
    { "Retry-After", "1e3", NGX_ERROR, UNSET, UNSET },
    { "Retry-After", "https://example.com/", NGX_ERROR, UNSET, UNSET },
    { "Retry-After", "Fri, 15 Jan 2027 08:01:00 GMT", NGX_OK, 60, UNSET },
    { "Retry-After", "Friday, 15-Jan-27 08:01:00 GMT", NGX_OK, 60, UNSET },
    { "Retry-After", "Fri Jan 15 08:01:00 2027", NGX_OK, 60, UNSET },
    { "Retry-After", "Fri, 15 Jan 2027 07:59:00 GMT", NGX_OK, 0, UNSET },
    { "Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT", NGX_OK, 0, UNSET },
    { "Retry-After", "Wed, 15 Jan 2098 08:00:00 GMT", NGX_OK, AHEAD,
      UNSET },
    { "Retry-After", "Fri, 15 Jan 2027 08:01:00 +0200", NGX_ERROR, UNSET,
      UNSET },
    { "Retry-After", "Fri, 32 Jan 2027 08:01:00 GMT", NGX_ERROR, UNSET,
      UNSET },
    { "Retry-After", "Fri,", NGX_ERROR, UNSET, UNSET },

    { "X-RateLimit", "60", NGX_DECLINED, UNSET, UNSET },
    { "X-RateLimit-Lemon", "60", NGX_DECLINED, UNSET, UNSET },
    { "X-RateLimit-Remainder", "60", NGX_DECLINED, UNSET, UNSET },
    { "Retry-After-All", "60", NGX_DECLINED, UNSET, UNSET },
    { "Retry_After", "60", NGX_DECLINED, UNSET, UNSET },
    { "Content-Type", "60", NGX_DECLINED, UNSET, UNSET },
    { "", "60", NGX_DECLINED, UNSET, UNSET },

    { NULL, NULL, 0, 0, 0 }
};


/* a copy that ends where it ends, so that sanitizers see each overrun */

static ngx_int_t
feed(ngx_zapier_ratelimit_t *rl, const char *name, const char *value)
{
    ngx_int_t   rc;
    ngx_str_t   n, v;

    n.len = ngx_strlen(name);
    n.data = malloc(n.len);
    ngx_memcpy(n.data, name, n.len);

    v.len = ngx_strlen(value);
    v.data = malloc(v.len);
    ngx_memcpy(v.data, value, v.len);

    rc = ngx_zapier_ratelimit_header(rl, &n, &v, NOW);

    free(n.data);
    free(v.data);

    return rc;
}


static int64_t
field(ngx_zapier_ratelimit_t *rl, const char *name)
{
    switch (ngx_strlen(name)) {

    case 11:
        return rl->retry_after;

    case 21:
        return rl->remaining;

    case 17:
        return ngx_tolower(name[12]) == 'l' ? rl->limit : rl->reset;
    }

    return UNSET;
}


static void
table(void)
{
    case_t                  *c;
    char                     buf[200];
    ngx_zapier_ratelimit_t   rl;

    for (c = cases; c->name; c++) {
        ngx_zapier_ratelimit_init(&rl);

        snprintf(buf, sizeof(buf), "%s: %s", c->name, c->value);

        is_int(feed(&rl, c->name, c->value), c->rc, buf);
        is_int(field(&rl, c->name), c->expected, buf);
        is_int(rl.reset_at, c->reset_at, buf);
    }
}


static void
several(void)
{
    ngx_zapier_ratelimit_t  rl;

    ngx_zapier_ratelimit_init(&rl);

    feed(&rl, "X-RateLimit-Limit", "100");
    feed(&rl, "X-RateLimit-Limit", "60");
    feed(&rl, "X-RateLimit-Limit", "80");
    is_int(rl.limit, 60, "the smaller limit");

    feed(&rl, "X-RateLimit-Remaining", "5");
    feed(&rl, "X-RateLimit-Remaining", "7");
    feed(&rl, "X-RateLimit-Remaining", "many");
    is_int(rl.remaining, 5, "the smaller remaining");

    feed(&rl, "X-RateLimit-Reset", "10");
    feed(&rl, "X-RateLimit-Reset", "1800000020");
    is_int(rl.reset, 20, "the later reset");
    is_int(rl.reset_at, 1800000020, "and its epoch");
    feed(&rl, "X-RateLimit-Reset", "30");
    feed(&rl, "X-RateLimit-Reset", "1799999999");
    is_int(rl.reset, 30, "a later delta");
    is_int(rl.reset_at, UNSET, "has no epoch");

    feed(&rl, "Retry-After", "1");
    feed(&rl, "Retry-After", "Fri, 15 Jan 2027 08:00:10 GMT");
    feed(&rl, "Retry-After", "5");
    feed(&rl, "Retry-After", "");
    is_int(rl.retry_after, 10, "the longer Retry-After");
}


int
main(void)
{
    table();
    several();

    return done();
}
