
/*
 * The zone itself: registration, creation, adoption on reload.
 *
 * Old and new workers use an adopted zone at the same time, so it is taken
 * as it is or not at all.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_shm.h>


#define NGX_ZAPIER_SHM_MAGIC        0x7a617069   /* "zapi" */

/* to be raised when the meaning of what lies in the zone changes */
#define NGX_ZAPIER_SHM_ABI          5

/* bytes of the zone per bucket of each table */
#define NGX_ZAPIER_SHM_PER_BUCKET   1024
#define NGX_ZAPIER_SHM_MIN_BUCKETS  64


static ngx_int_t ngx_zapier_shm_init_zone(ngx_shm_zone_t *zone, void *data);
static ngx_int_t ngx_zapier_shm_adopt(ngx_zapier_shm_t *shm);
static ngx_int_t ngx_zapier_shm_create(ngx_zapier_shm_t *shm);
static ngx_int_t ngx_zapier_shm_draw(ngx_zapier_shm_t *shm,
    ngx_zapier_hash_secret_t *secret);
static ngx_int_t ngx_zapier_shm_create_table(ngx_zapier_shm_t *shm,
    ngx_zapier_shm_table_t *table, ngx_zapier_shm_table_sh_t *tsh);
static uint32_t ngx_zapier_shm_signature(ngx_zapier_shm_t *shm);


ngx_zapier_shm_t *
ngx_zapier_shm_add(ngx_conf_t *cf, ngx_str_t *name, size_t size, void *tag)
{
    ngx_shm_zone_t    *zone;
    ngx_zapier_shm_t  *shm;

    if (size < 8 * ngx_pagesize) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is too small, it must have "
                           "at least %uzk", name, 8 * ngx_pagesize / 1024);
        return NULL;
    }

    shm = ngx_pcalloc(cf->pool, sizeof(ngx_zapier_shm_t));
    if (shm == NULL) {
        return NULL;
    }

    zone = ngx_shared_memory_add(cf, name, size, tag);
    if (zone == NULL) {
        return NULL;
    }

    if (zone->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is already used", name);
        return NULL;
    }

    zone->init = ngx_zapier_shm_init_zone;
    zone->data = shm;

    shm->zone = zone;

    return shm;
}


ngx_int_t
ngx_zapier_shm_table_add(ngx_zapier_shm_t *shm, ngx_zapier_shm_table_t *table)
{
    if (shm->ntables == NGX_ZAPIER_SHM_TABLES) {
        return NGX_ERROR;
    }

    table->shm = shm;
    table->index = shm->ntables;

    shm->tables[shm->ntables++] = table;

    return NGX_OK;
}


void *
ngx_zapier_shm_data(ngx_zapier_shm_table_t *table)
{
    return table->shm->sh->tables[table->index].data;
}


uint32_t
ngx_zapier_shm_hash(ngx_zapier_shm_t *shm, u_char *key, size_t len)
{
    return (uint32_t) ngx_zapier_hash(&shm->sh->secret, key, len);
}


static ngx_int_t
ngx_zapier_shm_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_zapier_shm_t  *old = data;

    ngx_zapier_shm_t  *shm;

    shm = zone->data;

    shm->shpool = (ngx_slab_pool_t *) zone->shm.addr;

    /* tokens in it are not encrypted, and core files lie about */

#ifdef MADV_DONTDUMP
    (void) madvise(zone->shm.addr, zone->shm.size, MADV_DONTDUMP);
#endif

    if (old || zone->shm.exists) {
        return ngx_zapier_shm_adopt(shm);
    }

    if (ngx_zapier_shm_create(shm) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                      "zone \"%V\" of %uz bytes is too small for its tables",
                      &zone->shm.name, zone->shm.size);
        return NGX_ERROR;
    }

    return ngx_zapier_shm_draw(shm, &shm->sh->secret);
}


static ngx_int_t
ngx_zapier_shm_adopt(ngx_zapier_shm_t *shm)
{
    ngx_zapier_shm_sh_t  *sh;

    sh = shm->shpool->data;

    if (sh == NULL
        || sh->magic != NGX_ZAPIER_SHM_MAGIC
        || sh->abi != NGX_ZAPIER_SHM_ABI
        || sh->ntables != shm->ntables
        || sh->signature != ngx_zapier_shm_signature(shm))
    {
        ngx_log_error(NGX_LOG_EMERG, shm->zone->shm.log, 0,
                      "zone \"%V\" in memory was laid out by another version "
                      "of the module or for another configuration; "
                      "restart nginx or give the zone another name",
                      &shm->zone->shm.name);
        return NGX_ERROR;
    }

    shm->sh = sh;

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_shm_create(ngx_zapier_shm_t *shm)
{
    size_t                len;
    u_char               *ctx;
    ngx_uint_t            i;
    ngx_slab_pool_t      *shpool;
    ngx_zapier_shm_sh_t  *sh;

    shpool = shm->shpool;

    /* a full zone makes room by itself and tells when it cannot */
    shpool->log_nomem = 0;

    sh = ngx_slab_calloc(shpool, sizeof(ngx_zapier_shm_sh_t));
    if (sh == NULL) {
        return NGX_ERROR;
    }

    len = sizeof(" in zapier zone \"\"") + shm->zone->shm.name.len;

    ctx = ngx_slab_alloc(shpool, len);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(ctx, " in zapier zone \"%V\"%Z", &shm->zone->shm.name);
    shpool->log_ctx = ctx;

    for (i = 0; i < shm->ntables; i++) {
        if (ngx_zapier_shm_create_table(shm, shm->tables[i], &sh->tables[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    sh->abi = NGX_ZAPIER_SHM_ABI;
    sh->ntables = (uint32_t) shm->ntables;
    sh->signature = ngx_zapier_shm_signature(shm);
    sh->magic = NGX_ZAPIER_SHM_MAGIC;

    shm->sh = sh;
    shpool->data = sh;

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_shm_create_table(ngx_zapier_shm_t *shm,
    ngx_zapier_shm_table_t *table, ngx_zapier_shm_table_sh_t *tsh)
{
    size_t  n, size;

    size = shm->zone->shm.size / NGX_ZAPIER_SHM_PER_BUCKET;

    /* a table does not grow, and the hash is 32 bits wide */
    for (n = NGX_ZAPIER_SHM_MIN_BUCKETS; n < size; n <<= 1) {
        if (n == (size_t) 1 << 30) {
            break;
        }
    }

    tsh->buckets = ngx_slab_calloc(shm->shpool,
                                   n * sizeof(ngx_zapier_shm_node_t *));
    if (tsh->buckets == NULL) {
        return NGX_ERROR;
    }

    tsh->mask = (uint32_t) (n - 1);
    ngx_queue_init(&tsh->lru);

    if (table->data_size) {
        tsh->data = ngx_slab_calloc(shm->shpool, table->data_size);
        if (tsh->data == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* ngx_random() will not do: it can be worked out from what it gave away. */

static ngx_int_t
ngx_zapier_shm_draw(ngx_zapier_shm_t *shm, ngx_zapier_hash_secret_t *secret)
{
    ssize_t   n;
    ngx_fd_t  fd;

    fd = ngx_open_file((u_char *) "/dev/urandom", NGX_FILE_RDONLY,
                       NGX_FILE_OPEN, 0);
    if (fd == NGX_INVALID_FILE) {
        ngx_log_error(NGX_LOG_EMERG, shm->zone->shm.log, ngx_errno,
                      ngx_open_file_n " \"/dev/urandom\" failed");
        return NGX_ERROR;
    }

    n = ngx_read_fd(fd, secret, sizeof(ngx_zapier_hash_secret_t));

    if (n != sizeof(ngx_zapier_hash_secret_t)) {
        ngx_log_error(NGX_LOG_EMERG, shm->zone->shm.log,
                      (n == -1) ? ngx_errno : 0,
                      ngx_read_fd_n " \"/dev/urandom\" failed");
    }

    (void) ngx_close_file(fd);

    return (n == sizeof(ngx_zapier_hash_secret_t)) ? NGX_OK : NGX_ERROR;
}


static uint32_t
ngx_zapier_shm_signature(ngx_zapier_shm_t *shm)
{
    size_t                   sizes[4];
    uint32_t                 crc;
    ngx_uint_t               i;
    ngx_zapier_shm_table_t  *table;

    sizes[0] = sizeof(ngx_zapier_shm_sh_t);
    sizes[1] = sizeof(ngx_zapier_shm_table_sh_t);
    sizes[2] = sizeof(ngx_zapier_shm_node_t);
    sizes[3] = offsetof(ngx_zapier_shm_node_t, hash);

    ngx_crc32_init(crc);
    ngx_crc32_update(&crc, (u_char *) sizes, sizeof(sizes));

    for (i = 0; i < shm->ntables; i++) {
        table = shm->tables[i];

        ngx_crc32_update(&crc, (u_char *) table->name,
                         ngx_strlen(table->name) + 1);
        ngx_crc32_update(&crc, (u_char *) &table->data_size,
                         sizeof(table->data_size));
    }

    ngx_crc32_final(crc);

    return crc;
}
