
/*
 * The table of pairs that Redis may lose or has not got yet.
 *
 * A worker may be killed at any instruction: an entry is trusted only when
 * "made" is set, which is the last store.  Tokens are as in Redis, sealed
 * if there is a key ring; without one they are as plain as there, and as
 * the table of tokens has them.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_sha1.h>
#include <ngx_zapier_token_rescue.h>


/* ms that a pair is kept which Redis has, and if nothing proves that it has
 * it still */
#define NGX_ZAPIER_RESCUE_KEEP   600000
#define NGX_ZAPIER_RESCUE_DOUBT  3600000

/* ms in which memory is not taken from it */
#define NGX_ZAPIER_RESCUE_YOUNG  60000

/* ms between attempts to write a pair */
#define NGX_ZAPIER_RESCUE_AGAIN  500


typedef struct {
    ngx_zapier_shm_node_t       node;
    uint64_t                    made;       /* 0: not filled yet */
    uint64_t                    written;    /* 0: Redis has not got it */
    uint64_t                    asked;      /* when Redis was, 0: to be */
    uint64_t                    busy;       /* somebody's business until */
    uint64_t                    id;
    int64_t                     fence;
    uint32_t                    signature;
    uint32_t                    place;      /* of the prefix alone: another
                                               server may be the replica */
    uint16_t                    len[NGX_ZAPIER_PAIR_TEXTS];
    uint16_t                    nspent;
    u_char                      spent[NGX_ZAPIER_PAIR_SPENT]
                                     [NGX_ZAPIER_PAIR_DIGEST];
    u_char                      data[1];
} ngx_zapier_rescue_entry_t;

#define NGX_ZAPIER_RESCUE_SIZE  offsetof(ngx_zapier_rescue_entry_t, data)


#define ngx_zapier_rescue_node(tokens, key)                                  \
    (ngx_zapier_rescue_entry_t *)                                            \
        ngx_zapier_shm_lookup(&(tokens)->rescues, (key)->hash,               \
                              (key)->tenant.data, (key)->tenant.len)


static ngx_int_t ngx_zapier_rescue_evict(ngx_zapier_shm_table_t *table,
    ngx_zapier_shm_node_t *node);
static ngx_zapier_rescue_entry_t *ngx_zapier_rescue_lookup(
    ngx_zapier_tokens_t *tokens, ngx_zapier_token_key_t *key);
static void ngx_zapier_rescue_fill(ngx_zapier_tokens_t *tokens,
    ngx_zapier_rescue_entry_t *entry, ngx_zapier_token_pair_t *pair,
    uint64_t busy);
static ngx_uint_t ngx_zapier_rescue_is_spent(ngx_zapier_rescue_entry_t *entry,
    u_char *digest);
static ngx_uint_t ngx_zapier_rescue_void(ngx_zapier_tokens_t *tokens,
    ngx_zapier_rescue_entry_t *entry, uint64_t since, uint64_t now);
static ngx_int_t ngx_zapier_rescue_copy(ngx_zapier_rescue_entry_t *entry,
    ngx_pool_t *pool, ngx_zapier_token_pair_t *pair);
static ngx_int_t ngx_zapier_rescue_value(ngx_zapier_tokens_t *tokens,
    ngx_str_t *tenant, ngx_zapier_token_pair_t *pair, ngx_pool_t *pool,
    ngx_zapier_token_value_t *value);
static void ngx_zapier_rescue_digest(ngx_str_t *token, u_char *digest);


ngx_int_t
ngx_zapier_token_rescue_init(ngx_zapier_tokens_t *tokens)
{
    tokens->rescues.name = "rescues";
    tokens->rescues.evict = ngx_zapier_rescue_evict;

    tokens->place = ngx_crc32_long(tokens->prefix.data, tokens->prefix.len);

    return ngx_zapier_shm_table_add(tokens->shm, &tokens->rescues);
}


void
ngx_zapier_token_pair_spent(ngx_zapier_token_pair_t *pair, ngx_str_t *token)
{
    ngx_zapier_rescue_digest(token, pair->spent[0]);

    pair->nspent = 1;
}


void
ngx_zapier_token_pair_args(ngx_zapier_token_pair_t *pair, ngx_str_t *lock,
    ngx_str_t *args)
{
    *args++ = *lock;

    /* no digest is found across two of them but by a chance of 2^-150 */

    args->data = pair->spent[0];
    args->len = pair->nspent * NGX_ZAPIER_PAIR_DIGEST;
    args++;

    ngx_memcpy(args, pair->texts, sizeof(pair->texts));
    args += NGX_ZAPIER_PAIR_TEXTS;

    args->data = pair->number;
    args->len = ngx_sprintf(pair->number, "%L", pair->fence) - pair->number;
    args++;

    ngx_str_set(args, "older");
    args->len = pair->written ? args->len : 0;
}


ngx_int_t
ngx_zapier_token_rescue_keep(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, ngx_zapier_token_pair_t *pair, ngx_msec_t ms)
{
    size_t                      len;
    ngx_uint_t                  i;
    ngx_zapier_rescue_entry_t  *entry;

    len = 0;

    for (i = 0; i < NGX_ZAPIER_PAIR_TEXTS; i++) {
        len += pair->texts[i].len;
    }

    ngx_zapier_shm_lock(tokens->shm);

    entry = ngx_zapier_rescue_node(tokens, key);

    if (entry) {

        /* Redis may fall back behind both */

        for (i = 0;
             entry->made && entry->place == tokens->place
             && i < entry->nspent && pair->nspent < NGX_ZAPIER_PAIR_SPENT;
             i++)
        {
            ngx_memcpy(pair->spent[pair->nspent++], entry->spent[i],
                       NGX_ZAPIER_PAIR_DIGEST);
        }

        ngx_zapier_shm_delete(&tokens->rescues, &entry->node);
    }

    entry = (ngx_zapier_rescue_entry_t *)
                ngx_zapier_shm_insert(&tokens->rescues, key->hash,
                                      key->tenant.data, key->tenant.len,
                                      NGX_ZAPIER_RESCUE_SIZE + len);
    if (entry) {
        ngx_zapier_rescue_fill(tokens, entry, pair, ngx_zapier_clock() + ms);
    }

    ngx_zapier_shm_unlock(tokens->shm);

    return entry ? NGX_OK : NGX_ERROR;
}


static void
ngx_zapier_rescue_fill(ngx_zapier_tokens_t *tokens,
    ngx_zapier_rescue_entry_t *entry, ngx_zapier_token_pair_t *pair,
    uint64_t busy)
{
    u_char      *p;
    ngx_uint_t   i;

    entry->asked = ngx_zapier_clock();
    entry->busy = busy;
    entry->id = pair->id;
    entry->fence = pair->fence;
    entry->signature = tokens->signature;
    entry->place = tokens->place;
    entry->nspent = (uint16_t) pair->nspent;

    ngx_memcpy(entry->spent, pair->spent, sizeof(pair->spent));

    p = entry->data;

    for (i = 0; i < NGX_ZAPIER_PAIR_TEXTS; i++) {
        entry->len[i] = (uint16_t) pair->texts[i].len;
        p = ngx_cpymem(p, pair->texts[i].data, pair->texts[i].len);
    }

    ngx_memory_barrier();

    entry->made = entry->asked;
}


void
ngx_zapier_token_rescue_hold(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, uint64_t id, ngx_msec_t ms)
{
    ngx_zapier_rescue_entry_t  *entry;

    ngx_zapier_shm_lock(tokens->shm);

    entry = ngx_zapier_rescue_lookup(tokens, key);

    if (entry && entry->id == id && entry->written == 0) {
        entry->busy = ms ? ngx_zapier_clock() + ms : 0;
    }

    ngx_zapier_shm_unlock(tokens->shm);
}


void
ngx_zapier_token_rescue_done(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, uint64_t id, ngx_uint_t done)
{
    ngx_zapier_rescue_entry_t  *entry;

    ngx_zapier_shm_lock(tokens->shm);

    entry = ngx_zapier_rescue_lookup(tokens, key);

    if (entry && entry->id == id) {

        entry->busy = 0;

        if (done) {
            entry->written = ngx_zapier_clock();

        } else {
            entry->asked = 0;
        }
    }

    ngx_zapier_shm_unlock(tokens->shm);
}


void
ngx_zapier_token_rescue_changed(ngx_zapier_tokens_t *tokens,
    ngx_str_t *tenant)
{
    ngx_zapier_token_key_t      key;
    ngx_zapier_rescue_entry_t  *entry;

    ngx_zapier_token_key(tokens, &key, tenant);

    ngx_zapier_shm_lock(tokens->shm);

    entry = ngx_zapier_rescue_lookup(tokens, &key);

    if (entry) {
        entry->asked = 0;
    }

    ngx_zapier_shm_unlock(tokens->shm);
}


ngx_int_t
ngx_zapier_token_rescue_get(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, ngx_zapier_token_value_t *value)
{
    ngx_int_t                   rc;
    ngx_pool_t                 *pool;
    ngx_zapier_token_pair_t     pair;
    ngx_zapier_token_value_t    found;
    ngx_zapier_rescue_entry_t  *entry;

    rc = NGX_DECLINED;
    pool = NULL;

    ngx_zapier_shm_lock(tokens->shm);

    entry = ngx_zapier_rescue_lookup(tokens, key);

    if (entry
        && entry->written == 0
        && entry->signature == tokens->signature)
    {
        pool = ngx_create_pool(NGX_MIN_POOL_SIZE, ngx_cycle->log);

        if (pool) {
            rc = ngx_zapier_rescue_copy(entry, pool, &pair);
        }
    }

    ngx_zapier_shm_unlock(tokens->shm);

    if (rc == NGX_OK) {

        rc = NGX_DECLINED;

        if (ngx_zapier_rescue_value(tokens, &key->tenant, &pair, pool, &found)
                == NGX_OK
            && found.result == NGX_ZAPIER_TOKEN_OK)
        {
            ngx_zapier_token_value_zero(value);

            *value = found;
            value->source = NGX_ZAPIER_TOKEN_STALE;
            rc = NGX_OK;
        }

        ngx_zapier_token_value_zero(&found);
    }

    if (pool) {
        ngx_destroy_pool(pool);
    }

    return (rc == NGX_OK) ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_zapier_token_rescue_match(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, ngx_str_t *stored, int64_t version,
    ngx_zapier_token_value_t *value)
{
    ngx_int_t                  rc;
    ngx_pool_t                *pool;
    ngx_zapier_token_pair_t    pair;
    ngx_zapier_token_value_t   found;

    pool = ngx_create_pool(NGX_MIN_POOL_SIZE, ngx_cycle->log);
    if (pool == NULL) {
        return NGX_DECLINED;
    }

    rc = ngx_zapier_token_rescue_take(tokens, key, stored, version, pool,
                                      &pair);

    if (rc == NGX_OK) {
        rc = ngx_zapier_rescue_value(tokens, &key->tenant, &pair, pool,
                                     &found);

        if (rc == NGX_OK) {
            ngx_zapier_token_value_zero(value);
            *value = found;
        }

        ngx_zapier_token_value_zero(&found);
    }

    ngx_destroy_pool(pool);

    return rc;
}


ngx_int_t
ngx_zapier_token_rescue_take(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, ngx_str_t *stored, int64_t version,
    ngx_pool_t *pool, ngx_zapier_token_pair_t *pair)
{
    u_char                      digest[NGX_ZAPIER_PAIR_DIGEST];
    ngx_int_t                   rc;
    ngx_zapier_rescue_entry_t  *entry;

    rc = NGX_DECLINED;

    ngx_zapier_rescue_digest(stored, digest);

    ngx_zapier_shm_lock(tokens->shm);

    entry = ngx_zapier_rescue_lookup(tokens, key);

    if (entry
        && (entry->written == 0 || version < entry->fence)
        && ngx_zapier_rescue_is_spent(entry, digest))
    {
        rc = ngx_zapier_rescue_copy(entry, pool, pair);

        /* to be written by the rescuer if the caller does not */

        entry->asked = 0;
    }

    ngx_zapier_shm_unlock(tokens->shm);

    return rc;
}


ngx_int_t
ngx_zapier_token_rescue_next(ngx_zapier_tokens_t *tokens, uint64_t since,
    ngx_msec_t ms, ngx_pool_t *pool, ngx_zapier_token_key_t *key,
    ngx_zapier_token_pair_t *pair)
{
    uint64_t                    now;
    ngx_int_t                   rc;
    ngx_zapier_shm_node_t      *node, *next;
    ngx_zapier_rescue_entry_t  *entry;

    rc = NGX_DECLINED;
    now = ngx_zapier_clock();

    ngx_zapier_shm_lock(tokens->shm);

    for (node = ngx_zapier_shm_oldest(&tokens->rescues, NULL);
         node;
         node = next)
    {
        next = ngx_zapier_shm_oldest(&tokens->rescues, node);

        entry = (ngx_zapier_rescue_entry_t *) node;

        if (ngx_zapier_rescue_void(tokens, entry, since, now)) {
            ngx_zapier_shm_delete(&tokens->rescues, node);
            continue;
        }

        /* who comes back first mends it, be it somebody else's business */

        if (entry->place != tokens->place
            || !((entry->written == 0
                  && entry->busy <= now
                  && now - entry->asked >= NGX_ZAPIER_RESCUE_AGAIN)
                 || (since != 0 && entry->asked <= since)))
        {
            continue;
        }

        key->hash = node->hash;
        key->tenant.len = node->key_len;
        key->tenant.data = ngx_pnalloc(pool, node->key_len);

        if (key->tenant.data == NULL) {
            break;
        }

        ngx_memcpy(key->tenant.data, ngx_zapier_shm_key(node), node->key_len);

        rc = ngx_zapier_rescue_copy(entry, pool, pair);

        entry->asked = now;
        entry->busy = now + ms;

        break;
    }

    ngx_zapier_shm_unlock(tokens->shm);

    return rc;
}


static ngx_int_t
ngx_zapier_rescue_evict(ngx_zapier_shm_table_t *table,
    ngx_zapier_shm_node_t *node)
{
    ngx_zapier_rescue_entry_t  *entry = (ngx_zapier_rescue_entry_t *) node;

    (void) table;

    if (entry->made == 0
        || (entry->written
            && ngx_zapier_clock() - entry->made > NGX_ZAPIER_RESCUE_YOUNG))
    {
        return NGX_OK;
    }

    return NGX_DECLINED;
}


/* NULL also for what a worker that died has left half done. */

static ngx_zapier_rescue_entry_t *
ngx_zapier_rescue_lookup(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key)
{
    ngx_zapier_rescue_entry_t  *entry;

    if (ngx_zapier_shm_count(&tokens->rescues) == 0) {
        return NULL;
    }

    entry = ngx_zapier_rescue_node(tokens, key);

    if (entry && entry->made && entry->place == tokens->place) {
        return entry;
    }

    return NULL;
}


static ngx_uint_t
ngx_zapier_rescue_is_spent(ngx_zapier_rescue_entry_t *entry, u_char *digest)
{
    ngx_uint_t  i;

    for (i = 0; i < entry->nspent; i++) {
        if (ngx_memcmp(entry->spent[i], digest, NGX_ZAPIER_PAIR_DIGEST) == 0) {
            return 1;
        }
    }

    return 0;
}


/*
 * Is it of no use any more?  While Redis is away it stays: who knows what
 * comes back.
 */

static ngx_uint_t
ngx_zapier_rescue_void(ngx_zapier_tokens_t *tokens,
    ngx_zapier_rescue_entry_t *entry, uint64_t since, uint64_t now)
{
    uint64_t  age;

    if (entry->made == 0) {
        return 1;
    }

    if (entry->busy > now) {
        return 0;
    }

    age = now - entry->made;

    if (entry->written == 0 && entry->place == tokens->place) {
        return 0;
    }

    return age > NGX_ZAPIER_RESCUE_DOUBT
           || (age > NGX_ZAPIER_RESCUE_KEEP
               && since != 0 && entry->asked > since);
}


static ngx_int_t
ngx_zapier_rescue_copy(ngx_zapier_rescue_entry_t *entry, ngx_pool_t *pool,
    ngx_zapier_token_pair_t *pair)
{
    size_t       len;
    u_char      *p;
    ngx_uint_t   i;

    len = 0;

    for (i = 0; i < NGX_ZAPIER_PAIR_TEXTS; i++) {
        len += entry->len[i];
    }

    p = ngx_zapier_oauth_alloc(pool, len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, entry->data, len);

    for (i = 0; i < NGX_ZAPIER_PAIR_TEXTS; i++) {
        pair->texts[i].data = p;
        pair->texts[i].len = entry->len[i];
        p += entry->len[i];
    }

    pair->id = entry->id;
    pair->fence = entry->fence;
    pair->nspent = entry->nspent;
    pair->written = (entry->written != 0);

    ngx_memcpy(pair->spent, entry->spent, sizeof(pair->spent));

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_rescue_value(ngx_zapier_tokens_t *tokens, ngx_str_t *tenant,
    ngx_zapier_token_pair_t *pair, ngx_pool_t *pool,
    ngx_zapier_token_value_t *value)
{
    ngx_zapier_record_t  record;

    ngx_zapier_token_value_init(value);
    ngx_memzero(&record, sizeof(ngx_zapier_record_t));

    if (ngx_zapier_token_open(tokens, tenant, &ngx_zapier_token_fields[0],
                              &pair->texts[0], pool, &record.access_token)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    record.expires_at = pair->texts[2];
    record.scope = pair->texts[3];
    record.token_type = pair->texts[4];

    value->source = NGX_ZAPIER_TOKEN_MISS;

    ngx_zapier_token_decode_record(tokens, tenant, &record,
                                   pair->texts[1].len != 0, value);

    return NGX_OK;
}


static void
ngx_zapier_rescue_digest(ngx_str_t *token, u_char *digest)
{
    u_char      raw[20];
    ngx_sha1_t  sha1;

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, token->data, token->len);
    ngx_sha1_final(raw, &sha1);

    ngx_hex_dump(digest, raw, sizeof(raw));
}
