
/*
 * Hash tables in the zone: look-up, insertion, eviction.
 *
 * A worker may be killed at any instruction here, and nginx then frees the
 * mutex.  Chains of buckets change by one store.  The order of use takes
 * several: it is marked busy meanwhile, and built anew from the chains by
 * whoever finds it so.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_likely.h>
#include <ngx_zapier_shm.h>
#include <ngx_zapier_clock.h>
#include <ngx_zapier_wipe.h>


/*
 * Old entries of a table looked at to make room for one allocation: those
 * of the same size, and then all.  A page of small entries holds 64.
 */
#define NGX_ZAPIER_SHM_SAME   32
#define NGX_ZAPIER_SHM_ANY    256

/*
 * Entries of one bucket.  Neither chance nor who chooses names brings as
 * many together; should it happen, look-ups stay short all the same.
 */
#define NGX_ZAPIER_SHM_CHAIN  64

/* ms between two complaints */
#define NGX_ZAPIER_SHM_QUIET  10000


#define ngx_zapier_shm_begin(tsh)                                            \
    (tsh)->busy = 1; ngx_memory_barrier()

#define ngx_zapier_shm_end(tsh)                                              \
    ngx_memory_barrier(); (tsh)->busy = 0


static ngx_zapier_shm_table_sh_t *ngx_zapier_shm_open(
    ngx_zapier_shm_table_t *table);
static void ngx_zapier_shm_repair(ngx_zapier_shm_table_t *table,
    ngx_zapier_shm_table_sh_t *tsh);
static void ngx_zapier_shm_touch(ngx_zapier_shm_table_sh_t *tsh,
    ngx_zapier_shm_node_t *node);
static void ngx_zapier_shm_trim(ngx_zapier_shm_table_t *table,
    ngx_zapier_shm_table_sh_t *tsh, uint32_t hash);
static void *ngx_zapier_shm_alloc_any(ngx_zapier_shm_t *shm, size_t size,
    ngx_zapier_shm_node_t *keep);
static void *ngx_zapier_shm_evict(ngx_zapier_shm_table_t *table, size_t size,
    ngx_zapier_shm_node_t *keep, ngx_uint_t same);
static size_t ngx_zapier_shm_chunk(size_t size);


ngx_zapier_shm_node_t *
ngx_zapier_shm_lookup(ngx_zapier_shm_table_t *table, uint32_t hash,
    u_char *key, size_t len)
{
    ngx_zapier_shm_node_t      *node;
    ngx_zapier_shm_table_sh_t  *tsh;

    tsh = ngx_zapier_shm_open(table);

    for (node = tsh->buckets[hash & tsh->mask]; node; node = node->next) {

        if (ngx_zapier_likely(node->hash == hash)
            && node->key_len == len
            && ngx_memcmp(ngx_zapier_shm_key(node), key, len) == 0)
        {
            ngx_zapier_shm_touch(tsh, node);
            return node;
        }
    }

    return NULL;
}


ngx_zapier_shm_node_t *
ngx_zapier_shm_insert(ngx_zapier_shm_table_t *table, uint32_t hash,
    u_char *key, size_t len, size_t size)
{
    ngx_zapier_shm_node_t       *node, **bucket;
    ngx_zapier_shm_table_sh_t   *tsh;

    tsh = ngx_zapier_shm_open(table);

    if (len > 65535 || size > 65535) {
        return NULL;
    }

    ngx_zapier_shm_trim(table, tsh, hash);

    node = ngx_zapier_shm_alloc_any(table->shm, size + len, NULL);
    if (node == NULL) {
        return NULL;
    }

    ngx_memzero(node, size);

    node->hash = hash;
    node->key_len = (uint16_t) len;
    node->size = (uint16_t) size;

    ngx_memcpy(ngx_zapier_shm_key(node), key, len);

    ngx_zapier_shm_begin(tsh);

    ngx_queue_insert_head(&tsh->lru, &node->lru);
    tsh->count++;

    bucket = &tsh->buckets[hash & tsh->mask];
    node->next = *bucket;

    ngx_memory_barrier();

    *bucket = node;

    ngx_zapier_shm_end(tsh);

    return node;
}


void
ngx_zapier_shm_delete(ngx_zapier_shm_table_t *table,
    ngx_zapier_shm_node_t *node)
{
    ngx_zapier_shm_node_t      **pp;
    ngx_zapier_shm_table_sh_t   *tsh;

    tsh = ngx_zapier_shm_open(table);

    ngx_zapier_shm_begin(tsh);

    for (pp = &tsh->buckets[node->hash & tsh->mask]; *pp; pp = &(*pp)->next) {
        if (*pp == node) {
            *pp = node->next;
            break;
        }
    }

    ngx_queue_remove(&node->lru);
    tsh->count--;

    ngx_zapier_shm_end(tsh);

    ngx_zapier_wipe(node, (size_t) node->size + node->key_len);

    ngx_slab_free_locked(table->shm->shpool, node);
}


void *
ngx_zapier_shm_alloc(ngx_zapier_shm_table_t *table, size_t size,
    ngx_zapier_shm_node_t *keep)
{
    return ngx_zapier_shm_alloc_any(table->shm, size, keep);
}


void
ngx_zapier_shm_free(ngx_zapier_shm_table_t *table, void *p)
{
    ngx_slab_free_locked(table->shm->shpool, p);
}


ngx_zapier_shm_node_t *
ngx_zapier_shm_oldest(ngx_zapier_shm_table_t *table,
    ngx_zapier_shm_node_t *node)
{
    ngx_queue_t                *q;
    ngx_zapier_shm_table_sh_t  *tsh;

    tsh = ngx_zapier_shm_open(table);

    q = node ? ngx_queue_prev(&node->lru) : ngx_queue_last(&tsh->lru);

    if (q == ngx_queue_sentinel(&tsh->lru)) {
        return NULL;
    }

    return ngx_queue_data(q, ngx_zapier_shm_node_t, lru);
}


ngx_uint_t
ngx_zapier_shm_count(ngx_zapier_shm_table_t *table)
{
    return ngx_zapier_shm_open(table)->count;
}


static ngx_zapier_shm_table_sh_t *
ngx_zapier_shm_open(ngx_zapier_shm_table_t *table)
{
    ngx_zapier_shm_table_sh_t  *tsh;

    tsh = &table->shm->sh->tables[table->index];

    if (ngx_zapier_unlikely(tsh->busy)) {
        ngx_zapier_shm_repair(table, tsh);
    }

    return tsh;
}


/* Long, but it happens once for a worker that died within a few stores. */

static void
ngx_zapier_shm_repair(ngx_zapier_shm_table_t *table,
    ngx_zapier_shm_table_sh_t *tsh)
{
    uint32_t                i;
    ngx_zapier_shm_node_t  *node;

    ngx_queue_init(&tsh->lru);
    tsh->count = 0;

    for (i = 0; i <= tsh->mask; i++) {
        for (node = tsh->buckets[i]; node; node = node->next) {
            ngx_queue_insert_head(&tsh->lru, &node->lru);
            tsh->count++;
        }
    }

    ngx_zapier_shm_end(tsh);

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "order of %ui entries of table \"%s\" restored "
                  "after a worker died%s",
                  tsh->count, table->name, table->shm->shpool->log_ctx);
}


static void
ngx_zapier_shm_touch(ngx_zapier_shm_table_sh_t *tsh,
    ngx_zapier_shm_node_t *node)
{
    if (ngx_zapier_likely(ngx_queue_head(&tsh->lru) == &node->lru)) {
        return;
    }

    ngx_zapier_shm_begin(tsh);

    ngx_queue_remove(&node->lru);
    ngx_queue_insert_head(&tsh->lru, &node->lru);

    ngx_zapier_shm_end(tsh);
}


/* The oldest entry of a bucket makes room for the next one. */

static void
ngx_zapier_shm_trim(ngx_zapier_shm_table_t *table,
    ngx_zapier_shm_table_sh_t *tsh, uint32_t hash)
{
    ngx_uint_t              n;
    ngx_zapier_shm_node_t  *node, *last;

    n = 0;
    last = NULL;

    for (node = tsh->buckets[hash & tsh->mask]; node; node = node->next) {
        last = node;
        n++;
    }

    if (n >= NGX_ZAPIER_SHM_CHAIN && table->evict(table, last) == NGX_OK) {
        ngx_zapier_shm_delete(table, last);
    }
}


static void *
ngx_zapier_shm_alloc_any(ngx_zapier_shm_t *shm, size_t size,
    ngx_zapier_shm_node_t *keep)
{
    void                 *p;
    uint64_t              now;
    ngx_uint_t            i, same;
    ngx_zapier_shm_sh_t  *sh;

    sh = shm->sh;

    p = ngx_slab_alloc_locked(shm->shpool, size);

    /*
     * The slab hands out chunks of a freed chunk's size, or a page when
     * all of the page is free.  So one entry of the same size is worth
     * more than many others.
     */

    for (same = 2; p == NULL && same-- > 0; /* void */) {
        for (i = 0; p == NULL && i < shm->ntables; i++) {
            p = ngx_zapier_shm_evict(shm->tables[i], size, keep, same);
        }
    }

    if (p) {
        sh->nomem = 0;
        return p;
    }

    now = ngx_zapier_clock();

    if (sh->nomem == 0
        && (sh->nomem_logged == 0
            || now - sh->nomem_logged >= NGX_ZAPIER_SHM_QUIET))
    {
        sh->nomem = 1;
        sh->nomem_logged = now;

        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, 0,
                      "no memory for %uz bytes and no entry that could go%s",
                      size, shm->shpool->log_ctx);
    }

    return NULL;
}


static void *
ngx_zapier_shm_evict(ngx_zapier_shm_table_t *table, size_t size,
    ngx_zapier_shm_node_t *keep, ngx_uint_t same)
{
    void                       *p;
    size_t                      chunk;
    ngx_uint_t                  n;
    ngx_queue_t                *q, *prev;
    ngx_zapier_shm_node_t      *node;
    ngx_zapier_shm_table_sh_t  *tsh;

    tsh = ngx_zapier_shm_open(table);

    chunk = ngx_zapier_shm_chunk(size);
    q = ngx_queue_last(&tsh->lru);

    n = same ? NGX_ZAPIER_SHM_SAME : NGX_ZAPIER_SHM_ANY;

    while (n-- && q != ngx_queue_sentinel(&tsh->lru)) {

        prev = ngx_queue_prev(q);
        node = ngx_queue_data(q, ngx_zapier_shm_node_t, lru);
        q = prev;

        if (node == keep
            || (same && ngx_zapier_shm_chunk((size_t) node->size
                                             + node->key_len) != chunk))
        {
            continue;
        }

        if (table->evict(table, node) != NGX_OK) {

            /* next time others are looked at */
            ngx_zapier_shm_touch(tsh, node);
            continue;
        }

        ngx_zapier_shm_delete(table, node);

        p = ngx_slab_alloc_locked(table->shm->shpool, size);
        if (p) {
            return p;
        }
    }

    return NULL;
}


/* The bytes that the slab allocates for size. */

static size_t
ngx_zapier_shm_chunk(size_t size)
{
    size_t  n;

    if (size > ngx_pagesize / 2) {
        return ngx_align(size, ngx_pagesize);
    }

    for (n = 8; n < size; n <<= 1) { /* void */ }

    return n;
}
