
/* The frame itself. */

#include <unit.h>


int
main(void)
{
    u_char       buf[16];
    ngx_str_t    s;
    ngx_pool_t  *pool;

    pool = ngx_create_pool(1024, NULL);

    s.data = ngx_pnalloc(pool, 3);
    ngx_memcpy(s.data, "abc", 3);
    s.len = 3;

    ok(pool != NULL, "pool");
    is_str(&s, "abc", "string");
    is_int(ngx_sprintf(buf, "%V", &s) - buf, 3, "ngx_sprintf");

    unit_fail_alloc(0);

    ok(ngx_palloc(pool, 1) == NULL, "failing allocation");
    ok(ngx_palloc(pool, 1) != NULL, "and the next one");

    ngx_destroy_pool(pool);

    return done();
}
