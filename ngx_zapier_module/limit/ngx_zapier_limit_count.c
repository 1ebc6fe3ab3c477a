
/*
 * Counters of zones, a list in shared memory.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_clock.h>
#include <ngx_zapier_limit_count.h>
#include <ngx_zapier_limit_entry.h>


static ngx_zapier_limit_counts_t *ngx_zapier_limit_counts(
    ngx_zapier_limits_t *limits, ngx_zapier_limit_zone_t *zone);
static ngx_zapier_limit_counts_t *ngx_zapier_limit_counts_create(
    ngx_zapier_limits_t *limits, ngx_zapier_limit_shared_t *shared,
    ngx_str_t *name);


const char  *ngx_zapier_limit_counters[] = {
    "closed",
    "probes",
    "reopened",
    "drift_refused",
    "drift_limit",
    "asked",
    "fallback_local",
    "fallback_open",
    "fallback_closed",
    "told",
    "dry_run",
    "queued",
    "queue_late",
    "queue_full",
    "yielded"
};


void
ngx_zapier_limit_count(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_zone_t *zone, ngx_zapier_limit_counter_e counter,
    ngx_uint_t n)
{
    ngx_zapier_limit_counts_t  *counts;

    counts = ngx_zapier_limit_counts(limits, zone);

    if (counts != NULL) {
        (void) ngx_atomic_fetch_add(&counts->counters[counter], n);
    }
}


ngx_uint_t
ngx_zapier_limit_counted(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_zone_t *zone, ngx_zapier_limit_counter_e counter)
{
    ngx_zapier_limit_counts_t  *counts;

    counts = ngx_zapier_limit_counts(limits, zone);

    return counts ? counts->counters[counter] : 0;
}


ngx_uint_t
ngx_zapier_limit_may_warn(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_zone_t *zone, ngx_zapier_limit_warning_e warning,
    ngx_uint_t seconds)
{
    ngx_atomic_uint_t           now, last;
    ngx_zapier_limit_counts_t  *counts;

    counts = ngx_zapier_limit_counts(limits, zone);

    if (counts == NULL) {
        return 0;
    }

    now = (ngx_atomic_uint_t) (ngx_zapier_clock() / 1000);
    last = counts->warned[warning];

    if (last != 0 && now - last < seconds) {
        return 0;
    }

    return ngx_atomic_cmp_set(&counts->warned[warning], last, now);
}


/*
 * Where they are is remembered in the worker's copy of the configuration.
 * NULL: no memory.
 */

static ngx_zapier_limit_counts_t *
ngx_zapier_limit_counts(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_zone_t *zone)
{
    ngx_str_t                  *name;
    ngx_zapier_limit_counts_t  *counts;
    ngx_zapier_limit_shared_t  *shared;

    if (zone->counts != NULL) {
        return zone->counts;
    }

    name = &zone->name;

    ngx_zapier_shm_lock(limits->shm);

    shared = ngx_zapier_shm_data(&limits->table);

    for (counts = shared->counts; counts != NULL; counts = counts->next) {
        if (counts->len == name->len
            && ngx_memcmp(counts->name, name->data, name->len) == 0)
        {
            break;
        }
    }

    if (counts == NULL) {
        counts = ngx_zapier_limit_counts_create(limits, shared, name);
    }

    ngx_zapier_shm_unlock(limits->shm);

    zone->counts = counts;

    return counts;
}


static ngx_zapier_limit_counts_t *
ngx_zapier_limit_counts_create(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_shared_t *shared, ngx_str_t *name)
{
    size_t                      size;
    ngx_zapier_limit_counts_t  *counts;

    size = offsetof(ngx_zapier_limit_counts_t, name) + name->len;

    counts = ngx_zapier_shm_alloc(&limits->table, size, NULL);
    if (counts == NULL) {
        return NULL;
    }

    ngx_memzero(counts, size);
    ngx_memcpy(counts->name, name->data, name->len);

    counts->len = name->len;
    counts->next = shared->counts;

    /* a worker that dies here has lost some memory, but no list */

    ngx_memory_barrier();

    shared->counts = counts;

    return counts;
}
