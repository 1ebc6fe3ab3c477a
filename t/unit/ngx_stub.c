
/*
 * The part of nginx that base/ needs and that is not taken from nginx's
 * own sources.  Every allocation is a malloc() of its own, so that the
 * sanitizers see each overrun.
 */


#include <unit.h>
#include <stdarg.h>


typedef struct {
    ngx_pool_t   pool;
    void       **blocks;
    ngx_uint_t   nblocks;
} unit_pool_t;


static int  unit_fail = -1;

unit_conf_log_t  unit_conf_log;

volatile ngx_cycle_t   *ngx_cycle;
volatile ngx_time_t    *ngx_cached_time;
volatile ngx_msec_t     ngx_current_msec;


void
unit_fail_alloc(int n)
{
    unit_fail = n;
}


ngx_pool_t *
ngx_create_pool(size_t size, ngx_log_t *log)
{
    unit_pool_t  *p;

    (void) size;

    p = calloc(1, sizeof(unit_pool_t));
    if (p == NULL) {
        return NULL;
    }

    p->pool.log = log;

    return &p->pool;
}


void
ngx_destroy_pool(ngx_pool_t *pool)
{
    unit_pool_t  *p = (unit_pool_t *) pool;

    ngx_uint_t           i;
    ngx_pool_cleanup_t  *c;

    for (c = pool->cleanup; c != NULL; c = c->next) {
        if (c->handler) {
            c->handler(c->data);
        }
    }

    for (i = 0; i < p->nblocks; i++) {
        free(p->blocks[i]);
    }

    free(p->blocks);
    free(p);
}


void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    unit_pool_t  *p = (unit_pool_t *) pool;

    void   *block, **blocks;

    if (unit_fail != -1 && unit_fail-- == 0) {
        return NULL;
    }

    blocks = realloc(p->blocks, (p->nblocks + 1) * sizeof(void *));
    if (blocks == NULL) {
        return NULL;
    }

    p->blocks = blocks;

    block = malloc(size);
    if (block == NULL) {
        return NULL;
    }

    memset(block, 0xa5, size);

    p->blocks[p->nblocks++] = block;

    return block;
}


void *
ngx_pnalloc(ngx_pool_t *pool, size_t size)
{
    return ngx_palloc(pool, size);
}


void *
ngx_pcalloc(ngx_pool_t *pool, size_t size)
{
    void  *block;

    block = ngx_palloc(pool, size);
    if (block) {
        memset(block, 0, size);
    }

    return block;
}


ngx_int_t
ngx_pfree(ngx_pool_t *pool, void *block)
{
    unit_pool_t  *p = (unit_pool_t *) pool;

    ngx_uint_t  i;

    for (i = 0; i < p->nblocks; i++) {
        if (p->blocks[i] == block) {
            free(block);
            p->blocks[i] = p->blocks[--p->nblocks];
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


ngx_pool_cleanup_t *
ngx_pool_cleanup_add(ngx_pool_t *pool, size_t size)
{
    ngx_pool_cleanup_t  *c;

    c = ngx_palloc(pool, sizeof(ngx_pool_cleanup_t));
    if (c == NULL) {
        return NULL;
    }

    c->data = NULL;

    if (size) {
        c->data = ngx_palloc(pool, size);
        if (c->data == NULL) {
            return NULL;
        }
    }

    c->handler = NULL;
    c->next = pool->cleanup;
    pool->cleanup = c;

    return c;
}


void *
ngx_alloc(size_t size, ngx_log_t *log)
{
    (void) log;

    return malloc(size);
}


void *
ngx_calloc(size_t size, ngx_log_t *log)
{
    (void) log;

    return calloc(1, size);
}


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    (void) level;
    (void) log;
    (void) err;
    (void) fmt;
}


ngx_int_t
ngx_conf_full_name(ngx_cycle_t *cycle, ngx_str_t *name,
    ngx_uint_t conf_prefix)
{
    (void) cycle;
    (void) name;
    (void) conf_prefix;

    return NGX_OK;
}


void ngx_cdecl
ngx_conf_log_error(ngx_uint_t level, ngx_conf_t *cf, ngx_err_t err,
    const char *fmt, ...)
{
    u_char   *p, *text;
    va_list   args;

    (void) cf;
    (void) err;

    text = (u_char *) unit_conf_log.message;

    va_start(args, fmt);
    p = ngx_vslprintf(text, text + sizeof(unit_conf_log.message) - 1, fmt,
                      args);
    va_end(args);

    *p = '\0';

    unit_conf_log.level = level;
    unit_conf_log.count++;
}


ngx_array_t *
ngx_array_create(ngx_pool_t *pool, ngx_uint_t n, size_t size)
{
    ngx_array_t  *array;

    array = ngx_palloc(pool, sizeof(ngx_array_t));

    return (array != NULL && ngx_array_init(array, pool, n, size) == NGX_OK)
           ? array : NULL;
}


void *
ngx_array_push_n(ngx_array_t *array, ngx_uint_t n)
{
    void        *elts;
    ngx_uint_t   nalloc;

    if (array->nelts + n > array->nalloc) {
        nalloc = 2 * (array->nelts + n);

        elts = ngx_palloc(array->pool, nalloc * array->size);
        if (elts == NULL) {
            return NULL;
        }

        ngx_memcpy(elts, array->elts, array->nelts * array->size);

        array->elts = elts;
        array->nalloc = nalloc;
    }

    array->nelts += n;

    return (u_char *) array->elts + (array->nelts - n) * array->size;
}


void *
ngx_array_push(ngx_array_t *array)
{
    return ngx_array_push_n(array, 1);
}
