
/*
 * The shared memory zone: adoption on reload, and hash tables with an LRU
 * order that live in it.
 *
 * One mutex (that of the slab pool, the only one nginx frees when a worker
 * dies holding it) guards all tables.  Sections under it are a lookup long
 * and publish with one last store.  Nothing here knows what is stored.
 */


#ifndef _NGX_ZAPIER_SHM_H_INCLUDED_
#define _NGX_ZAPIER_SHM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_hash.h>


#define NGX_ZAPIER_SHM_TABLES  8


typedef struct ngx_zapier_shm_node_s   ngx_zapier_shm_node_t;
typedef struct ngx_zapier_shm_table_s  ngx_zapier_shm_table_t;
typedef struct ngx_zapier_shm_s        ngx_zapier_shm_t;
typedef struct ngx_zapier_shm_sh_s     ngx_zapier_shm_sh_t;


/* the first member of every entry; the key bytes follow the entry */
struct ngx_zapier_shm_node_s {
    ngx_zapier_shm_node_t     *next;       /* in the bucket */
    ngx_queue_t                lru;        /* head: most recently used */
    uint32_t                   hash;
    uint16_t                   key_len;
    uint16_t                   size;       /* of the entry before the key */
};


/*
 * Process-local description of a table.  Filled by its owner before
 * ngx_zapier_shm_table_add() and kept in configuration memory.
 */
struct ngx_zapier_shm_table_s {
    const char                *name;

    /*
     * May this entry be thrown away for want of memory?  Called under the
     * mutex; frees what else the entry owns and returns NGX_OK, or
     * NGX_DECLINED to keep it.
     */
    ngx_int_t                (*evict)(ngx_zapier_shm_table_t *table,
                                      ngx_zapier_shm_node_t *node);
    void                      *data;       /* for evict */
    size_t                     data_size;  /* bytes of shared state, zeroed
                                              when the zone is new */

    /* set by ngx_zapier_shm_table_add() */
    ngx_zapier_shm_t          *shm;
    ngx_uint_t                 index;
};


struct ngx_zapier_shm_s {
    ngx_shm_zone_t            *zone;
    ngx_slab_pool_t           *shpool;     /* both set when the zone is */
    ngx_zapier_shm_sh_t       *sh;         /* initialised */
    ngx_uint_t                 ntables;
    ngx_zapier_shm_table_t    *tables[NGX_ZAPIER_SHM_TABLES];
};


/*
 * Registers the zone in the configuration.  tag is the module's address;
 * a zone of the same name, size and tag is adopted on reload with all its
 * entries.  NULL: an error that has been logged.
 */
ngx_zapier_shm_t *ngx_zapier_shm_add(ngx_conf_t *cf, ngx_str_t *name,
    size_t size, void *tag);

/* Adds a table, in the same order in every configuration. */
ngx_int_t ngx_zapier_shm_table_add(ngx_zapier_shm_t *shm,
    ngx_zapier_shm_table_t *table);


/*
 * The hash of a key, for lookup and insert.  It differs from zone to zone:
 * keys are names that callers choose.
 */
uint32_t ngx_zapier_shm_hash(ngx_zapier_shm_t *shm, u_char *key, size_t len);


#define ngx_zapier_shm_lock(shm)    ngx_shmtx_lock(&(shm)->shpool->mutex)
#define ngx_zapier_shm_unlock(shm)  ngx_shmtx_unlock(&(shm)->shpool->mutex)


/* The rest is to be called with the mutex held. */

/* The table's own shared state of data_size bytes (aligned for any type). */
void *ngx_zapier_shm_data(ngx_zapier_shm_table_t *table);

/* The entry or NULL.  A found entry becomes the most recently used one. */
ngx_zapier_shm_node_t *ngx_zapier_shm_lookup(ngx_zapier_shm_table_t *table,
    uint32_t hash, u_char *key, size_t len);

/*
 * A new zeroed entry of size bytes (at most 65535) with its key, inserted
 * as the most recently used.  When memory is short, old entries that
 * evict() lets go make room.  NULL: none could be made; logged once until
 * an allocation succeeds again.
 */
ngx_zapier_shm_node_t *ngx_zapier_shm_insert(ngx_zapier_shm_table_t *table,
    uint32_t hash, u_char *key, size_t len, size_t size);

/* Removes and frees an entry, zeroing it.  Does not call evict(). */
void ngx_zapier_shm_delete(ngx_zapier_shm_table_t *table,
    ngx_zapier_shm_node_t *node);

/*
 * Extra memory owned by an entry, evicting as ngx_zapier_shm_insert() but
 * never the entry keep (may be NULL).  NULL when there is none.
 */
void *ngx_zapier_shm_alloc(ngx_zapier_shm_table_t *table, size_t size,
    ngx_zapier_shm_node_t *keep);
void ngx_zapier_shm_free(ngx_zapier_shm_table_t *table, void *p);

/*
 * The least recently used entry, or the next one after node; NULL: there is
 * none.  Nothing but entries already passed may go between two calls.
 */
ngx_zapier_shm_node_t *ngx_zapier_shm_oldest(ngx_zapier_shm_table_t *table,
    ngx_zapier_shm_node_t *node);

/* Entries in the table. */
ngx_uint_t ngx_zapier_shm_count(ngx_zapier_shm_table_t *table);

#define ngx_zapier_shm_key(node)  ((u_char *) (node) + (node)->size)


/*
 * Private: what lies in the zone.  No function pointers here, a module is
 * not at the same address in every process for ever.
 */

typedef struct {
    ngx_zapier_shm_node_t    **buckets;
    uint32_t                   mask;
    ngx_uint_t                 busy;       /* the order is being changed */
    ngx_uint_t                 count;
    ngx_queue_t                lru;
    void                      *data;
} ngx_zapier_shm_table_sh_t;


struct ngx_zapier_shm_sh_s {
    uint32_t                   magic;
    uint32_t                   abi;
    uint32_t                   signature;
    uint32_t                   ntables;
    ngx_zapier_hash_secret_t   secret;     /* as long as the zone lives */
    ngx_uint_t                 nomem;      /* the last allocation failed */
    uint64_t                   nomem_logged;
    ngx_zapier_shm_table_sh_t  tables[NGX_ZAPIER_SHM_TABLES];
};


#endif /* _NGX_ZAPIER_SHM_H_INCLUDED_ */
