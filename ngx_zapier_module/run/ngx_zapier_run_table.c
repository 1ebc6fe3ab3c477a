
/*
 * The table of runs in shared memory: results, and who may ask for those
 * that are pending.
 *
 * A body is memory of its own; all of them together have a share of the
 * zone that leaves room for what cannot be had again.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_run_private.h>
#include <ngx_zapier_wipe.h>


/* bytes of bodies: one part of so many of the zone */
#define NGX_ZAPIER_RUN_SHARE  4


typedef struct {
    ngx_zapier_shm_node_t      node;
    uint64_t                   expires;    /* the body */
    uint64_t                   polled;     /* a poll began, 0: none has */
    uint64_t                   next;       /* none is wanted before */
    uint64_t                   lease;      /* one is under way until */
    uint64_t                   owner;      /* who asks */
    size_t                     len;
    u_char                    *body;       /* NULL: not known */
    ngx_uint_t                 finished;
} ngx_zapier_run_entry_t;


typedef struct {
    size_t                     bytes;      /* of all bodies */
    ngx_atomic_t               seq;        /* runs finished so far */
    uint32_t                   ring[NGX_ZAPIER_RUN_RING];
} ngx_zapier_run_shared_t;


static ngx_zapier_run_entry_t *ngx_zapier_run_entry(ngx_zapier_runs_t *runs,
    ngx_zapier_run_key_t *key, ngx_uint_t create);
static ngx_int_t ngx_zapier_run_copy(ngx_zapier_run_entry_t *entry,
    ngx_pool_t *pool, ngx_str_t *body);
static void ngx_zapier_run_keep(ngx_zapier_runs_t *runs,
    ngx_zapier_run_entry_t *entry, ngx_str_t *body);
static void ngx_zapier_run_drop(ngx_zapier_shm_table_t *table,
    ngx_zapier_run_entry_t *entry);
static void ngx_zapier_run_shrink(ngx_zapier_runs_t *runs,
    ngx_zapier_run_entry_t *keep, size_t len);
static ngx_int_t ngx_zapier_run_evict(ngx_zapier_shm_table_t *table,
    ngx_zapier_shm_node_t *node);


ngx_int_t
ngx_zapier_runs_init(ngx_conf_t *cf, ngx_zapier_runs_t *runs)
{
    runs->table.name = "runs";
    runs->table.evict = ngx_zapier_run_evict;
    runs->table.data = runs;
    runs->table.data_size = sizeof(ngx_zapier_run_shared_t);

    if (ngx_zapier_shm_table_add(runs->shm, &runs->table) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "too many tables in zone \"%V\"",
                           &runs->shm->zone->shm.name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_zapier_run_key(ngx_zapier_runs_t *runs, ngx_zapier_run_key_t *key,
    u_char *p, ngx_str_t *tenant, ngx_str_t *id)
{
    key->data = p;

    p = ngx_cpymem(p, tenant->data, tenant->len);
    *p++ = LF;
    p = ngx_cpymem(p, id->data, id->len);

    key->len = p - key->data;
    key->hash = ngx_zapier_shm_hash(runs->shm, key->data, key->len);
}


ngx_int_t
ngx_zapier_run_claim(ngx_zapier_runs_t *runs, ngx_zapier_run_key_t *key,
    uint64_t owner, ngx_msec_t interval, ngx_uint_t urgent, ngx_pool_t *pool,
    ngx_zapier_run_look_t *look)
{
    uint64_t                 now, turn;
    ngx_int_t                rc;
    ngx_zapier_run_entry_t  *entry;

    now = ngx_zapier_clock();
    rc = NGX_DECLINED;

    look->state = NGX_ZAPIER_RUN_PENDING;
    look->wait = 0;
    ngx_str_null(&look->body);

    ngx_zapier_shm_lock(runs->shm);

    entry = ngx_zapier_run_entry(runs, key, 1);

    /* without memory everybody asks for himself */

    if (entry == NULL) {
        goto done;
    }

    if (entry->finished && entry->expires > now) {
        look->state = NGX_ZAPIER_RUN_FINISHED;
        rc = ngx_zapier_run_copy(entry, pool, &look->body);
        goto done;
    }

    if (entry->lease > now && entry->owner != owner) {
        look->wait = entry->lease - now;
        rc = NGX_BUSY;
        goto done;
    }

    turn = (entry->polled == 0) ? 0
           : urgent ? entry->polled + interval
           : (entry->owner == owner) ? 0 : entry->next;

    if (turn > now) {
        look->wait = turn - now;
        rc = NGX_BUSY;

        if (urgent && entry->body != NULL) {
            rc = ngx_zapier_run_copy(entry, pool, &look->body);
        }

        goto done;
    }

    entry->polled = now;
    entry->owner = owner;
    entry->lease = now + NGX_ZAPIER_RUN_LEASE;

done:

    ngx_zapier_shm_unlock(runs->shm);

    return rc;
}


ngx_int_t
ngx_zapier_run_known(ngx_zapier_runs_t *runs, ngx_zapier_run_key_t *key,
    ngx_pool_t *pool, ngx_str_t *body)
{
    ngx_int_t                rc;
    ngx_zapier_run_entry_t  *entry;

    rc = NGX_DECLINED;

    ngx_zapier_shm_lock(runs->shm);

    entry = ngx_zapier_run_entry(runs, key, 0);

    if (entry != NULL
        && entry->finished
        && entry->expires > ngx_zapier_clock())
    {
        rc = pool ? ngx_zapier_run_copy(entry, pool, body) : NGX_OK;
    }

    ngx_zapier_shm_unlock(runs->shm);

    return rc;
}


void
ngx_zapier_run_pending(ngx_zapier_runs_t *runs, ngx_zapier_run_key_t *key,
    uint64_t owner, ngx_msec_t delay, ngx_str_t *body)
{
    ngx_zapier_run_entry_t  *entry;

    ngx_zapier_shm_lock(runs->shm);

    entry = ngx_zapier_run_entry(runs, key, 0);

    if (entry != NULL && entry->owner == owner && !entry->finished) {

        entry->lease = 0;
        entry->next = ngx_zapier_clock() + delay;

        if (body != NULL) {
            ngx_zapier_run_keep(runs, entry, body);
        }
    }

    ngx_zapier_shm_unlock(runs->shm);
}


void
ngx_zapier_run_finished(ngx_zapier_runs_t *runs, ngx_zapier_run_key_t *key,
    ngx_msec_t keep, ngx_str_t *body)
{
    ngx_zapier_run_entry_t   *entry;
    ngx_zapier_run_shared_t  *shared;

    ngx_zapier_shm_lock(runs->shm);

    entry = ngx_zapier_run_entry(runs, key, 1);

    if (entry != NULL && !entry->finished) {

        ngx_zapier_run_keep(runs, entry, body);

        entry->lease = 0;
        entry->expires = ngx_zapier_clock() + keep;

        ngx_memory_barrier();

        entry->finished = (entry->body != NULL);

        shared = ngx_zapier_shm_data(&runs->table);

        shared->ring[shared->seq % NGX_ZAPIER_RUN_RING] = key->hash;

        ngx_memory_barrier();

        shared->seq++;
    }

    ngx_zapier_shm_unlock(runs->shm);
}


ngx_int_t
ngx_zapier_run_news(ngx_zapier_runs_t *runs, uint64_t *seq, uint32_t *hash)
{
    uint64_t                  last;
    ngx_zapier_run_shared_t  *shared;

    shared = ngx_zapier_shm_data(&runs->table);
    last = shared->seq;

    ngx_memory_barrier();

    if (*seq == last) {
        return NGX_DONE;
    }

    /* half of the ring may be written to while it is read */

    if (last - *seq > NGX_ZAPIER_RUN_RING / 2) {
        *seq = last;
        return NGX_DECLINED;
    }

    *hash = shared->ring[(*seq)++ % NGX_ZAPIER_RUN_RING];

    return NGX_OK;
}


static ngx_zapier_run_entry_t *
ngx_zapier_run_entry(ngx_zapier_runs_t *runs, ngx_zapier_run_key_t *key,
    ngx_uint_t create)
{
    ngx_zapier_shm_node_t   *node;
    ngx_zapier_run_entry_t  *entry;

    node = ngx_zapier_shm_lookup(&runs->table, key->hash, key->data,
                                 key->len);

    entry = (ngx_zapier_run_entry_t *) node;

    if (entry != NULL
        && entry->finished
        && entry->expires <= ngx_zapier_clock())
    {
        /* what came of it may be found again */

        entry->finished = 0;

        ngx_memory_barrier();

        ngx_zapier_run_drop(&runs->table, entry);
    }

    if (node == NULL && create) {
        node = ngx_zapier_shm_insert(&runs->table, key->hash, key->data,
                                     key->len,
                                     sizeof(ngx_zapier_run_entry_t));
    }

    return (ngx_zapier_run_entry_t *) node;
}


static ngx_int_t
ngx_zapier_run_copy(ngx_zapier_run_entry_t *entry, ngx_pool_t *pool,
    ngx_str_t *body)
{
    body->data = ngx_pnalloc(pool, entry->len);
    if (body->data == NULL) {
        return NGX_ERROR;
    }

    body->len = entry->len;
    ngx_memcpy(body->data, entry->body, entry->len);

    return NGX_OK;
}


/* Without memory, or when it is too long, the entry has no body. */

static void
ngx_zapier_run_keep(ngx_zapier_runs_t *runs, ngx_zapier_run_entry_t *entry,
    ngx_str_t *body)
{
    u_char                   *p;
    ngx_zapier_run_shared_t  *shared;

    ngx_zapier_run_drop(&runs->table, entry);

    if (body->len == 0 || body->len > NGX_ZAPIER_RUN_SHARED_MAX) {
        return;
    }

    ngx_zapier_run_shrink(runs, entry, body->len);

    p = ngx_zapier_shm_alloc(&runs->table, body->len, &entry->node);
    if (p == NULL) {
        return;
    }

    ngx_memcpy(p, body->data, body->len);

    shared = ngx_zapier_shm_data(&runs->table);
    shared->bytes += body->len;

    entry->len = body->len;

    ngx_memory_barrier();

    entry->body = p;
}


static void
ngx_zapier_run_drop(ngx_zapier_shm_table_t *table,
    ngx_zapier_run_entry_t *entry)
{
    u_char                   *p;
    ngx_zapier_run_shared_t  *shared;

    p = entry->body;

    if (p == NULL) {
        return;
    }

    shared = ngx_zapier_shm_data(table);
    shared->bytes -= ngx_min(entry->len, shared->bytes);

    /* a worker that dies after this loses the memory, not the order */

    entry->body = NULL;

    ngx_memory_barrier();

    ngx_zapier_wipe(p, entry->len);
    ngx_zapier_shm_free(table, p);
}


static void
ngx_zapier_run_shrink(ngx_zapier_runs_t *runs, ngx_zapier_run_entry_t *keep,
    size_t len)
{
    size_t                    share;
    ngx_zapier_shm_node_t    *node;
    ngx_zapier_run_shared_t  *shared;

    shared = ngx_zapier_shm_data(&runs->table);
    share = runs->shm->zone->shm.size / NGX_ZAPIER_RUN_SHARE;

    while (shared->bytes + len > share) {
        node = ngx_zapier_shm_oldest(&runs->table, NULL);

        if (node == NULL || node == &keep->node) {
            return;
        }

        (void) ngx_zapier_run_evict(&runs->table, node);
        ngx_zapier_shm_delete(&runs->table, node);
    }
}


/* A result is in Redis, and what is pending can be asked for again. */

static ngx_int_t
ngx_zapier_run_evict(ngx_zapier_shm_table_t *table,
    ngx_zapier_shm_node_t *node)
{
    ngx_zapier_run_drop(table, (ngx_zapier_run_entry_t *) node);

    return NGX_OK;
}
