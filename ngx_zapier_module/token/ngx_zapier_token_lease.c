
/*
 * Which worker of this node refreshes a tenant's token, and what all of
 * them are to know about refreshing it.  An entry exists only while there
 * is something to know, so that tenants cost no more for it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_token_private.h>


/* ms in which a token that is refused again is not refreshed again */
#define NGX_ZAPIER_TOKEN_REFUSED_AGAIN  60000


typedef struct {
    ngx_zapier_shm_node_t       node;
    uint64_t                    owner;     /* 0: nobody refreshes */
    uint64_t                    lease;     /* until, if he lives */
    uint64_t                    pause;     /* no attempt before */
    uint64_t                    refreshed; /* last success, 0: none known */
    uint32_t                    refused;   /* token that upstream does not
                                              take, 0: none */
    uint32_t                    failures;  /* since the last success */
    uint32_t                    result;    /* for those who cannot wait for
                                              the end of the pause */
} ngx_zapier_token_lease_t;


#define ngx_zapier_token_lease_lookup(tokens, key)                           \
    (ngx_zapier_token_lease_t *)                                             \
        ngx_zapier_shm_lookup(&(tokens)->leases, (key)->hash,                \
                              (key)->tenant.data, (key)->tenant.len)


static ngx_int_t ngx_zapier_token_lease_evict(ngx_zapier_shm_table_t *table,
    ngx_zapier_shm_node_t *node);
static ngx_zapier_token_lease_t *ngx_zapier_token_lease_get(
    ngx_zapier_tokens_t *tokens, ngx_zapier_token_key_t *key);


ngx_int_t
ngx_zapier_token_leases_init(ngx_zapier_tokens_t *tokens)
{
    tokens->leases.name = "refreshes";
    tokens->leases.evict = ngx_zapier_token_lease_evict;

    return ngx_zapier_shm_table_add(tokens->shm, &tokens->leases);
}


ngx_int_t
ngx_zapier_token_lease_claim(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, uint64_t id, ngx_msec_t ms,
    ngx_zapier_token_value_t *value)
{
    uint64_t                   now;
    ngx_int_t                  rc;
    ngx_zapier_token_lease_t  *lease;

    rc = NGX_OK;
    now = ngx_zapier_clock();

    ngx_zapier_shm_lock(tokens->shm);

    lease = ngx_zapier_token_lease_get(tokens, key);

    /* without memory it is only the lock in Redis that keeps workers apart */

    if (lease == NULL) {
        goto done;
    }

    if (lease->owner == id) {
        lease->lease = now + ms;
        goto done;
    }

    if (lease->owner != 0 && lease->lease > now) {
        rc = NGX_BUSY;
        goto done;
    }

    if (lease->pause > now) {
        value->result = lease->result;
        value->retry = lease->pause - now;
        rc = NGX_DECLINED;
        goto done;
    }

    lease->owner = id;
    lease->lease = now + ms;

done:

    ngx_zapier_shm_unlock(tokens->shm);

    return rc;
}


void
ngx_zapier_token_lease_release(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, uint64_t id, ngx_zapier_token_value_t *value)
{
    uint64_t                   now;
    ngx_zapier_token_lease_t  *lease;

    now = ngx_zapier_clock();

    ngx_zapier_shm_lock(tokens->shm);

    lease = ngx_zapier_token_lease_lookup(tokens, key);

    if (lease && lease->owner == id) {

        lease->owner = 0;
        lease->lease = 0;

        if (value->source == NGX_ZAPIER_TOKEN_REFRESHED) {
            lease->refreshed = now;
            lease->refused = 0;
            lease->failures = 0;
            lease->pause = 0;

        } else if (value->retry) {
            lease->pause = now + value->retry;
            lease->result = (value->result == NGX_ZAPIER_TOKEN_OK)
                            ? NGX_ZAPIER_TOKEN_EXPIRED : value->result;

        } else {
            ngx_zapier_shm_delete(&tokens->leases, &lease->node);
        }
    }

    ngx_zapier_shm_unlock(tokens->shm);
}


void
ngx_zapier_token_lease_resume(ngx_zapier_tokens_t *tokens, ngx_str_t *tenant)
{
    ngx_zapier_token_key_t     key;
    ngx_zapier_token_lease_t  *lease;

    ngx_zapier_token_key(tokens, &key, tenant);

    ngx_zapier_shm_lock(tokens->shm);

    lease = ngx_zapier_token_lease_lookup(tokens, &key);

    if (lease) {
        lease->pause = 0;
    }

    ngx_zapier_shm_unlock(tokens->shm);
}


ngx_uint_t
ngx_zapier_token_lease_taken(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key)
{
    uint64_t                   now;
    ngx_uint_t                 taken;
    ngx_zapier_token_lease_t  *lease;

    now = ngx_zapier_clock();

    ngx_zapier_shm_lock(tokens->shm);

    lease = ngx_zapier_token_lease_lookup(tokens, key);

    taken = lease != NULL
            && (lease->pause > now || (lease->owner && lease->lease > now));

    ngx_zapier_shm_unlock(tokens->shm);

    return taken;
}


ngx_int_t
ngx_zapier_token_lease_refuse(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, uint32_t refused)
{
    uint64_t                   now;
    ngx_int_t                  rc;
    ngx_zapier_token_lease_t  *lease;

    now = ngx_zapier_clock();

    lease = ngx_zapier_token_lease_get(tokens, key);

    if (lease == NULL) {
        return NGX_DECLINED;
    }

    /* a token just made is good; it is refused for another reason */

    rc = NGX_DECLINED;

    if (lease->refreshed == 0
        || now - lease->refreshed > NGX_ZAPIER_TOKEN_REFUSED_AGAIN)
    {
        lease->refused = refused;
        rc = NGX_OK;
    }

    return rc;
}


uint32_t
ngx_zapier_token_lease_refused(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key)
{
    ngx_zapier_token_lease_t  *lease;

    if (ngx_zapier_shm_count(&tokens->leases) == 0) {
        return 0;
    }

    lease = ngx_zapier_token_lease_lookup(tokens, key);

    return lease ? lease->refused : 0;
}


ngx_msec_t
ngx_zapier_token_lease_backoff(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key, ngx_msec_t ms, ngx_msec_t max)
{
    ngx_uint_t                 i;
    ngx_zapier_token_lease_t  *lease;

    ngx_zapier_shm_lock(tokens->shm);

    lease = ngx_zapier_token_lease_lookup(tokens, key);

    if (lease) {

        for (i = 0; i < lease->failures && ms < max; i++) {
            ms *= 2;
        }

        lease->failures++;
    }

    ngx_zapier_shm_unlock(tokens->shm);

    ms = ngx_min(ms, max);

    return ms + ngx_random() % (ms / 2 + 1);
}


static ngx_int_t
ngx_zapier_token_lease_evict(ngx_zapier_shm_table_t *table,
    ngx_zapier_shm_node_t *node)
{
    ngx_zapier_token_lease_t *lease = (ngx_zapier_token_lease_t *) node;

    (void) table;

    return (lease->lease > ngx_zapier_clock()) ? NGX_DECLINED : NGX_OK;
}


/* The entry, made if need be; NULL: no memory.  Under the mutex. */

static ngx_zapier_token_lease_t *
ngx_zapier_token_lease_get(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key)
{
    ngx_zapier_token_lease_t  *lease;

    lease = ngx_zapier_token_lease_lookup(tokens, key);

    if (lease == NULL) {
        lease = (ngx_zapier_token_lease_t *)
                    ngx_zapier_shm_insert(&tokens->leases, key->hash,
                                          key->tenant.data, key->tenant.len,
                                          sizeof(ngx_zapier_token_lease_t));
    }

    return lease;
}
