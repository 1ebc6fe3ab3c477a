
/*
 * What is known of actions, in shared memory, and who may find out more.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_lookup_private.h>


/* names are the callers' to choose: there is no end to them */
#define NGX_ZAPIER_LOOKUP_ENTRIES  4096

/* bytes of a value, and of all values: one part of so many of the zone */
#define NGX_ZAPIER_LOOKUP_MAX      (64 * 1024)
#define NGX_ZAPIER_LOOKUP_SHARE    8


typedef struct {
    ngx_zapier_shm_node_t        node;
    uint64_t                     known;    /* since when, 0: it is not */
    uint64_t                     lease;    /* somebody finds out, until */
    uint64_t                     owner;    /* who */
    ngx_uint_t                   result;
    ngx_uint_t                   status;
    time_t                       retry_after;
    size_t                       len;
    u_char                      *value;    /* NULL: empty */
} ngx_zapier_lookup_fact_t;


typedef struct {
    size_t                       bytes;    /* of all values */
} ngx_zapier_lookup_shared_t;


static ngx_zapier_lookup_fact_t *ngx_zapier_lookup_fact(
    ngx_zapier_runs_t *runs, ngx_zapier_lookup_key_t *key,
    ngx_uint_t create);
static ngx_uint_t ngx_zapier_lookup_good(ngx_zapier_lookup_fact_t *fact,
    ngx_zapier_lookup_age_t *age);
static void ngx_zapier_lookup_keep(ngx_zapier_runs_t *runs,
    ngx_zapier_lookup_fact_t *fact, ngx_str_t *value);
static ngx_int_t ngx_zapier_lookup_copy(ngx_zapier_lookup_fact_t *fact,
    ngx_pool_t *pool, ngx_zapier_lookup_answer_t *answer);
static ngx_int_t ngx_zapier_lookup_evict(ngx_zapier_shm_table_t *table,
    ngx_zapier_shm_node_t *node);


ngx_int_t
ngx_zapier_lookups_init(ngx_conf_t *cf, ngx_zapier_runs_t *runs)
{
    runs->lookups.name = "actions";
    runs->lookups.evict = ngx_zapier_lookup_evict;
    runs->lookups.data_size = sizeof(ngx_zapier_lookup_shared_t);

    if (ngx_zapier_shm_table_add(runs->shm, &runs->lookups) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "too many tables in zone \"%V\"",
                           &runs->shm->zone->shm.name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_zapier_lookup_claim(ngx_zapier_runs_t *runs,
    ngx_zapier_lookup_key_t *key, uint64_t owner,
    ngx_zapier_lookup_age_t *age, ngx_pool_t *pool,
    ngx_zapier_lookup_answer_t *answer)
{
    uint64_t                   now;
    ngx_int_t                  rc;
    ngx_zapier_lookup_fact_t  *fact;

    now = ngx_zapier_clock();
    rc = NGX_DECLINED;

    ngx_zapier_shm_lock(runs->shm);

    fact = ngx_zapier_lookup_fact(runs, key, owner != 0);

    /* without memory everybody asks for himself */

    if (fact == NULL) {
        goto done;
    }

    if (ngx_zapier_lookup_good(fact, age)) {
        rc = ngx_zapier_lookup_copy(fact, pool, answer);
        goto done;
    }

    if (fact->lease > now && fact->owner != owner) {
        rc = NGX_BUSY;
        goto done;
    }

    if (owner != 0) {
        fact->owner = owner;
        fact->lease = now + NGX_ZAPIER_LOOKUP_LEASE;
    }

done:

    ngx_zapier_shm_unlock(runs->shm);

    return rc;
}


/* A failure is for those who wait for it already. */

static ngx_uint_t
ngx_zapier_lookup_good(ngx_zapier_lookup_fact_t *fact,
    ngx_zapier_lookup_age_t *age)
{
    uint64_t  until;

    until = fact->known;

    switch (fact->result) {

    case NGX_ZAPIER_LOOKUP_FOUND:
        until += age->cache;
        break;

    case NGX_ZAPIER_LOOKUP_NONE:
        until += ngx_min(age->cache, NGX_ZAPIER_LOOKUP_NONE_TIME);
        break;

    default: /* NGX_ZAPIER_LOOKUP_FAILED */
        break;
    }

    return fact->known != 0 && until > age->time;
}


void
ngx_zapier_lookup_put(ngx_zapier_runs_t *runs, ngx_zapier_lookup_key_t *key,
    uint64_t then, ngx_zapier_lookup_answer_t *answer)
{
    ngx_zapier_lookup_fact_t  *fact;

    ngx_zapier_shm_lock(runs->shm);

    fact = ngx_zapier_lookup_fact(runs, key, 1);

    if (fact == NULL) {
        goto done;
    }

    /* nothing is known until all of it is written */

    fact->known = 0;
    fact->lease = 0;

    ngx_memory_barrier();

    ngx_zapier_lookup_keep(runs, fact, &answer->value);

    if (fact->value == NULL && answer->value.len != 0) {
        goto done;
    }

    fact->result = answer->result;
    fact->status = answer->status;
    fact->retry_after = answer->retry_after;

    ngx_memory_barrier();

    fact->known = then;

done:

    ngx_zapier_shm_unlock(runs->shm);
}


/* Without memory, or when it is too long, the fact has none. */

static void
ngx_zapier_lookup_keep(ngx_zapier_runs_t *runs,
    ngx_zapier_lookup_fact_t *fact, ngx_str_t *value)
{
    u_char                      *p;
    ngx_zapier_shm_node_t       *node;
    ngx_zapier_shm_table_t      *table;
    ngx_zapier_lookup_shared_t  *shared;

    table = &runs->lookups;
    shared = ngx_zapier_shm_data(table);

    (void) ngx_zapier_lookup_evict(table, &fact->node);

    if (value->len == 0 || value->len > NGX_ZAPIER_LOOKUP_MAX) {
        return;
    }

    while (shared->bytes + value->len
           > runs->shm->zone->shm.size / NGX_ZAPIER_LOOKUP_SHARE)
    {
        node = ngx_zapier_shm_oldest(table, NULL);

        if (node == NULL || node == &fact->node) {
            return;
        }

        (void) ngx_zapier_lookup_evict(table, node);
        ngx_zapier_shm_delete(table, node);
    }

    p = ngx_zapier_shm_alloc(table, value->len, &fact->node);
    if (p == NULL) {
        return;
    }

    ngx_memcpy(p, value->data, value->len);

    shared->bytes += value->len;
    fact->len = value->len;

    ngx_memory_barrier();

    fact->value = p;
}


void
ngx_zapier_lookup_lease(ngx_zapier_runs_t *runs,
    ngx_zapier_lookup_key_t *key, uint64_t owner, ngx_msec_t time)
{
    ngx_zapier_lookup_fact_t  *fact;

    ngx_zapier_shm_lock(runs->shm);

    fact = ngx_zapier_lookup_fact(runs, key, 0);

    if (fact != NULL && fact->owner == owner && fact->lease != 0) {
        fact->lease = time ? ngx_zapier_clock() + time : 0;
    }

    ngx_zapier_shm_unlock(runs->shm);
}


static ngx_zapier_lookup_fact_t *
ngx_zapier_lookup_fact(ngx_zapier_runs_t *runs, ngx_zapier_lookup_key_t *key,
    ngx_uint_t create)
{
    ngx_zapier_shm_node_t   *node;
    ngx_zapier_shm_table_t  *table;

    table = &runs->lookups;

    node = ngx_zapier_shm_lookup(table, key->hash, key->data, key->len);

    if (node != NULL || !create) {
        return (ngx_zapier_lookup_fact_t *) node;
    }

    if (ngx_zapier_shm_count(table) >= NGX_ZAPIER_LOOKUP_ENTRIES) {
        node = ngx_zapier_shm_oldest(table, NULL);

        (void) ngx_zapier_lookup_evict(table, node);
        ngx_zapier_shm_delete(table, node);
    }

    return (ngx_zapier_lookup_fact_t *)
           ngx_zapier_shm_insert(table, key->hash, key->data, key->len,
                                 sizeof(ngx_zapier_lookup_fact_t));
}


static ngx_int_t
ngx_zapier_lookup_copy(ngx_zapier_lookup_fact_t *fact, ngx_pool_t *pool,
    ngx_zapier_lookup_answer_t *answer)
{
    answer->result = fact->result;
    answer->status = fact->status;
    answer->retry_after = fact->retry_after;

    ngx_str_null(&answer->value);

    if (fact->value == NULL) {
        return NGX_OK;
    }

    answer->value.data = ngx_pnalloc(pool, fact->len);
    if (answer->value.data == NULL) {
        return NGX_ERROR;
    }

    answer->value.len = fact->len;
    ngx_memcpy(answer->value.data, fact->value, fact->len);

    return NGX_OK;
}


/* All of it can be found out again. */

static ngx_int_t
ngx_zapier_lookup_evict(ngx_zapier_shm_table_t *table,
    ngx_zapier_shm_node_t *node)
{
    u_char                      *p;
    ngx_zapier_lookup_fact_t    *fact;
    ngx_zapier_lookup_shared_t  *shared;

    fact = (ngx_zapier_lookup_fact_t *) node;
    p = fact->value;

    if (p != NULL) {
        shared = ngx_zapier_shm_data(table);
        shared->bytes -= ngx_min(fact->len, shared->bytes);

        /* a worker that dies after this loses the memory, not the order */

        fact->value = NULL;

        ngx_memory_barrier();

        ngx_zapier_shm_free(table, p);
    }

    return NGX_OK;
}
