
/*
 * The table of tokens in shared memory.
 *
 * An entry is a value, the right of one reader to renew it, or both.  A
 * value is trusted for the cache time while the watch covers it, and for
 * NGX_ZAPIER_TOKEN_BOUND ms after it was asked for in any case.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_token_rescue.h>
#include <ngx_zapier_wipe.h>


/*
 * With a token of 40 bytes, a short scope and a name of usual length it
 * must stay below 256 bytes.
 */
typedef struct {
    ngx_zapier_shm_node_t       node;
    uint64_t                    requested;  /* 0: no value */
    uint64_t                    lease;      /* a read is under way until */
    uint64_t                    owner;      /* whose it is, 0: nobody's */
    int64_t                     expires;
    uint32_t                    signature;
    uint16_t                    authorization_len;
    uint16_t                    scope_len;
    u_char                      result;
    unsigned                    dirty:1;    /* changed since the read began */
    unsigned                    refreshable:1;
    unsigned                    refused:1;  /* by upstream */
    unsigned                    strayed:1;  /* the watch does not cover it */
    u_char                      data[1];
} ngx_zapier_token_entry_t;

#define NGX_ZAPIER_TOKEN_ENTRY_SIZE  offsetof(ngx_zapier_token_entry_t, data)

/* bytes that a value may leave unused in an entry */
#define NGX_ZAPIER_TOKEN_SLACK       64


#define ngx_zapier_token_lookup(tokens, key)                                 \
    (ngx_zapier_token_entry_t *)                                             \
        ngx_zapier_shm_lookup(&(tokens)->table, (key)->hash,                 \
                              (key)->tenant.data, (key)->tenant.len)


static ngx_int_t ngx_zapier_token_evict(ngx_zapier_shm_table_t *table,
    ngx_zapier_shm_node_t *node);
static ngx_uint_t ngx_zapier_token_usable(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_entry_t *entry);
static ngx_uint_t ngx_zapier_token_live(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_entry_t *entry, uint64_t now);
static ngx_uint_t ngx_zapier_token_fresh(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_entry_t *entry, uint64_t now);
static void ngx_zapier_token_load(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_entry_t *entry, uint64_t now,
    ngx_zapier_token_value_t *value);
static void ngx_zapier_token_save(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, ngx_zapier_token_entry_t *entry,
    uint64_t requested, ngx_zapier_token_value_t *value);
static void ngx_zapier_token_void(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_entry_t *entry);


ngx_int_t
ngx_zapier_tokens_init(ngx_conf_t *cf, ngx_zapier_tokens_t *tokens)
{
    uint32_t  crc;

    ngx_crc32_init(crc);
    ngx_crc32_update(&crc, tokens->prefix.data, tokens->prefix.len);
    ngx_crc32_update(&crc, (u_char *) "\n", 1);
    ngx_crc32_update(&crc, tokens->redis_url.data, tokens->redis_url.len);
    ngx_crc32_final(crc);

    tokens->signature = crc;

    tokens->table.name = "tokens";
    tokens->table.evict = ngx_zapier_token_evict;
    tokens->table.data = tokens;
    tokens->table.data_size = sizeof(ngx_zapier_token_state_t);

    if (ngx_zapier_shm_table_add(tokens->shm, &tokens->table) != NGX_OK
        || ngx_zapier_token_leases_init(tokens) != NGX_OK
        || ngx_zapier_token_rescue_init(tokens) != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "too many tables in zone \"%V\"",
                           &tokens->shm->zone->shm.name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_zapier_token_counters_t *
ngx_zapier_token_counters(ngx_zapier_tokens_t *tokens)
{
    ngx_zapier_token_state_t  *state;

    state = ngx_zapier_shm_data(&tokens->table);

    return &state->counters;
}


void
ngx_zapier_token_key(ngx_zapier_tokens_t *tokens, ngx_zapier_token_key_t *key,
    ngx_str_t *tenant)
{
    key->tenant = *tenant;
    key->hash = ngx_zapier_shm_hash(tokens->shm, tenant->data, tenant->len);
}


ngx_int_t
ngx_zapier_token_cache_get(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, ngx_zapier_token_value_t *value)
{
    uint64_t                   now;
    ngx_int_t                  rc;
    ngx_zapier_token_entry_t  *entry;

    rc = NGX_DECLINED;
    now = ngx_zapier_clock();

    ngx_zapier_shm_lock(tokens->shm);

    entry = ngx_zapier_token_lookup(tokens, key);

    if (entry && ngx_zapier_token_usable(tokens, entry)) {

        if (ngx_zapier_token_fresh(tokens, entry, now)) {
            ngx_zapier_token_load(tokens, entry, now, value);
            rc = NGX_OK;

        } else if (ngx_zapier_token_live(tokens, entry, now)) {
            ngx_zapier_token_load(tokens, entry, now, value);
            rc = NGX_AGAIN;
        }
    }

    ngx_zapier_shm_unlock(tokens->shm);

    return rc;
}


ngx_int_t
ngx_zapier_token_cache_claim(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, uint64_t id, ngx_msec_t lease,
    ngx_zapier_token_value_t *value)
{
    uint64_t                   now;
    ngx_int_t                  rc;
    ngx_zapier_token_entry_t  *entry;

    rc = NGX_DECLINED;
    now = ngx_zapier_clock();

    ngx_zapier_shm_lock(tokens->shm);

    entry = ngx_zapier_token_lookup(tokens, key);

    if (entry == NULL) {
        entry = (ngx_zapier_token_entry_t *)
                    ngx_zapier_shm_insert(&tokens->table, key->hash,
                                          key->tenant.data, key->tenant.len,
                                          NGX_ZAPIER_TOKEN_ENTRY_SIZE);

    } else if (ngx_zapier_token_usable(tokens, entry)
               && ngx_zapier_token_fresh(tokens, entry, now))
    {
        ngx_zapier_token_load(tokens, entry, now, value);
        rc = NGX_OK;

    } else if (entry->lease > now && entry->signature == tokens->signature) {
        rc = NGX_BUSY;
    }

    /* without memory every worker reads for itself, and keeps nothing */

    if (rc == NGX_DECLINED && entry) {

        if (entry->signature != tokens->signature) {
            entry->requested = 0;
            entry->signature = tokens->signature;
        }

        entry->dirty = 0;
        entry->owner = id;
        entry->lease = now + lease;
    }

    ngx_zapier_shm_unlock(tokens->shm);

    return rc;
}


void
ngx_zapier_token_cache_store(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, uint64_t id, uint64_t requested,
    ngx_zapier_token_value_t *value)
{
    uint32_t                   refused;
    ngx_zapier_token_state_t  *state;
    ngx_zapier_token_entry_t  *entry;

    ngx_zapier_shm_lock(tokens->shm);

    state = ngx_zapier_shm_data(&tokens->table);
    entry = ngx_zapier_token_lookup(tokens, key);

    refused = ngx_zapier_token_lease_refused(tokens, key);

    value->refused = refused != 0
                     && refused == ngx_crc32_long(value->data,
                                                  value->authorization_len);

    /*
     * Changes are noted in the entry: if it has gone or is another's, it
     * is not known whether there were any.
     */

    if (entry && entry->owner == id) {

        entry->owner = 0;
        entry->lease = 0;

        if (entry->dirty || requested <= state->flushed) {
            ngx_zapier_token_void(tokens, entry);

        } else {
            ngx_zapier_token_save(tokens, key, entry, requested, value);
        }
    }

    ngx_zapier_shm_unlock(tokens->shm);
}


ngx_int_t
ngx_zapier_token_cache_release(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, uint64_t id,
    ngx_zapier_token_value_t *value)
{
    uint64_t                   now;
    ngx_int_t                  rc;
    ngx_zapier_token_entry_t  *entry;

    rc = NGX_DECLINED;
    now = ngx_zapier_clock();

    ngx_zapier_shm_lock(tokens->shm);

    entry = ngx_zapier_token_lookup(tokens, key);

    if (entry) {

        if (entry->owner == id) {
            entry->owner = 0;
            entry->lease = 0;
        }

        if (!ngx_zapier_token_usable(tokens, entry)) {
            ngx_zapier_token_void(tokens, entry);

        } else if (ngx_zapier_token_live(tokens, entry, now)) {
            ngx_zapier_token_load(tokens, entry, now, value);
            rc = NGX_OK;
        }
    }

    ngx_zapier_shm_unlock(tokens->shm);

    return rc;
}


void
ngx_zapier_token_cache_drop(ngx_zapier_tokens_t *tokens, ngx_str_t *tenant)
{
    ngx_zapier_token_key_t     key;
    ngx_zapier_token_entry_t  *entry;
    ngx_zapier_token_state_t  *state;

    if (tenant == NULL) {
        ngx_zapier_shm_lock(tokens->shm);

        state = ngx_zapier_shm_data(&tokens->table);
        state->flushed = ngx_zapier_clock();

        ngx_zapier_shm_unlock(tokens->shm);

        return;
    }

    ngx_zapier_token_key(tokens, &key, tenant);

    ngx_zapier_shm_lock(tokens->shm);

    entry = ngx_zapier_token_lookup(tokens, &key);

    if (entry) {
        entry->dirty = 1;
        ngx_zapier_token_void(tokens, entry);
    }

    ngx_zapier_shm_unlock(tokens->shm);
}


ngx_int_t
ngx_zapier_token_refused(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_op_t *op)
{
    uint32_t                   crc;
    ngx_int_t                  rc;
    ngx_zapier_token_key_t     key;
    ngx_zapier_token_entry_t  *entry;

    if (tokens->oauth == NULL || op->authorization.len == 0) {
        return NGX_DECLINED;
    }

    ngx_zapier_token_key(tokens, &key, &op->tenant);

    crc = ngx_crc32_long(op->authorization.data, op->authorization.len);

    rc = NGX_OK;

    ngx_zapier_shm_lock(tokens->shm);

    entry = ngx_zapier_token_lookup(tokens, &key);

    if (entry
        && entry->authorization_len == op->authorization.len
        && ngx_memcmp(entry->data, op->authorization.data,
                      op->authorization.len)
           == 0)
    {
        if (entry->refreshable
            && ngx_zapier_token_lease_refuse(tokens, &key, crc) == NGX_OK)
        {
            entry->refused = 1;

        } else {
            rc = NGX_DECLINED;
        }
    }

    ngx_zapier_shm_unlock(tokens->shm);

    ngx_zapier_token_count(tokens, refused);

    return rc;
}


/*
 * Redis has it all.  A reader whose entry goes finds out when it is done.
 */

static ngx_int_t
ngx_zapier_token_evict(ngx_zapier_shm_table_t *table,
    ngx_zapier_shm_node_t *node)
{
    (void) table;
    (void) node;

    return NGX_OK;
}


/* Is there a value that is not known to be outdated? */

static ngx_uint_t
ngx_zapier_token_usable(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_entry_t *entry)
{
    ngx_zapier_token_state_t  *state;

    state = ngx_zapier_shm_data(&tokens->table);

    return entry->requested > state->flushed
           && entry->signature == tokens->signature;
}


/* Is it a token, and one that has not expired? */

static ngx_uint_t
ngx_zapier_token_live(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_entry_t *entry, uint64_t now)
{
    return entry->result == NGX_ZAPIER_TOKEN_OK
           && (entry->expires == 0
               || entry->expires > ngx_zapier_token_time(tokens, now));
}


/* May a usable value be used without asking Redis? */

static ngx_uint_t
ngx_zapier_token_fresh(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_entry_t *entry, uint64_t now)
{
    uint64_t                   age, cache;
    ngx_zapier_token_state_t  *state;

    /* another worker may have stored it while we waited for the mutex */
    age = (now > entry->requested) ? now - entry->requested : 0;

    cache = ngx_zapier_token_live(tokens, entry, now) ? tokens->cache
                                         : tokens->missing_cache;

    if (age >= cache) {
        return 0;
    }

    if (age < NGX_ZAPIER_TOKEN_BOUND) {
        return 1;
    }

    state = ngx_zapier_shm_data(&tokens->table);

    return !entry->strayed
           && state->since != 0
           && state->signature == tokens->signature
           && entry->requested > state->since
           && now < state->confirmed + NGX_ZAPIER_TOKEN_BOUND;
}


static void
ngx_zapier_token_load(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_entry_t *entry, uint64_t now,
    ngx_zapier_token_value_t *value)
{
    value->result = entry->result;
    value->expires = entry->expires;
    value->retry = 0;
    value->refreshable = entry->refreshable;
    value->refused = entry->refused;
    value->authorization_len = entry->authorization_len;
    value->scope_len = entry->scope_len;

    ngx_memcpy(value->data, entry->data,
               value->authorization_len + value->scope_len);

    if (value->result == NGX_ZAPIER_TOKEN_OK
        && !ngx_zapier_token_live(tokens, entry, now))
    {
        value->result = ngx_zapier_token_expired(tokens, value->refreshable);
    }
}


static void
ngx_zapier_token_save(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, ngx_zapier_token_entry_t *entry,
    uint64_t requested, ngx_zapier_token_value_t *value)
{
    size_t  len, room;

    len = value->authorization_len + value->scope_len;
    room = entry->node.size - NGX_ZAPIER_TOKEN_ENTRY_SIZE;

    if (len > room || room - len > NGX_ZAPIER_TOKEN_SLACK) {

        ngx_zapier_shm_delete(&tokens->table, &entry->node);

        entry = (ngx_zapier_token_entry_t *)
                    ngx_zapier_shm_insert(&tokens->table, key->hash,
                                          key->tenant.data, key->tenant.len,
                                          NGX_ZAPIER_TOKEN_ENTRY_SIZE + len);
        if (entry == NULL) {
            return;
        }

        room = len;
    }

    /* a worker that dies half way must leave no value */

    entry->requested = 0;

    ngx_memory_barrier();

    entry->signature = tokens->signature;
    entry->result = (u_char) value->result;
    entry->refreshable = value->refreshable;
    entry->refused = value->refused;
    entry->strayed = value->strayed;
    entry->expires = value->expires;
    entry->authorization_len = (uint16_t) value->authorization_len;
    entry->scope_len = (uint16_t) value->scope_len;

    ngx_memcpy(entry->data, value->data, len);
    ngx_memzero(entry->data + len, room - len);

    ngx_memory_barrier();

    entry->requested = requested;
}


/* Forgets the value; the entry stays while somebody reads a new one. */

static void
ngx_zapier_token_void(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_entry_t *entry)
{
    if (entry->owner == 0) {
        ngx_zapier_shm_delete(&tokens->table, &entry->node);
        return;
    }

    entry->requested = 0;

    ngx_memory_barrier();

    ngx_zapier_wipe(entry->data,
                    entry->node.size - NGX_ZAPIER_TOKEN_ENTRY_SIZE);
}
