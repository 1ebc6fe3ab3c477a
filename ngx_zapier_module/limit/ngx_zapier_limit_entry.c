
/*
 * Entries of scopes in shared memory: look-up, creation, eviction.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_likely.h>
#include <ngx_zapier_clock.h>
#include <ngx_zapier_limit_entry.h>
#include <ngx_zapier_state.h>


/* ms until the wall clock is read anew */
#define NGX_ZAPIER_LIMIT_WALL  1000


static ngx_int_t ngx_zapier_limit_link(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_link_t *link, ngx_zapier_limit_scope_t *scope);
static ngx_uint_t ngx_zapier_limit_repeated(ngx_zapier_limit_claim_t *claim,
    ngx_uint_t i);
static void ngx_zapier_limit_clocks(ngx_zapier_limit_chain_t *chain);
static ngx_int_t ngx_zapier_limit_grow(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_link_t *link);


ngx_int_t
ngx_zapier_limit_chain_open(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limits_t *limits, ngx_zapier_limit_claim_t *claim)
{
    ngx_uint_t                i;
    ngx_zapier_limit_link_t  *link;

    chain->limits = limits;
    chain->n = 0;
    chain->shared = 0;
    chain->fleet = 0;
    chain->tallies = 0;

    if (claim->nscopes > NGX_ZAPIER_LIMIT_CHAIN) {
        return NGX_ERROR;
    }

    for (i = 0; i < claim->nscopes; i++) {

        if (ngx_zapier_limit_repeated(claim, i)) {
            continue;
        }

        link = &chain->links[chain->n++];

        if (ngx_zapier_limit_link(limits, link, &claim->scopes[i]) != NGX_OK) {
            return NGX_ERROR;
        }

        chain->shared |= ngx_zapier_limit_shared_by(link);
        chain->fleet |= ngx_zapier_limit_fleet(link);
    }

    ngx_zapier_shm_lock(limits->shm);

    limits->chain = chain;

    ngx_zapier_limit_name(limits);

    ngx_zapier_limit_clocks(chain);

    for (i = 0; i < chain->n; i++) {
        link = &chain->links[i];

        link->entry = (ngx_zapier_limit_entry_t *)
                      ngx_zapier_shm_lookup(&limits->table, link->hash,
                                            link->key, link->key_len);

        if (link->entry != NULL && link->scope->zone->limit != 0) {
            ngx_zapier_window_expire(&link->entry->window, chain->now,
                                  ngx_zapier_limit_window(link->scope->zone));
        }
    }

    return NGX_OK;
}


void
ngx_zapier_limit_chain_close(ngx_zapier_limit_chain_t *chain)
{
    chain->limits->chain = NULL;

    ngx_zapier_shm_unlock(chain->limits->shm);
}


void
ngx_zapier_limit_name(ngx_zapier_limits_t *limits)
{
    ngx_uint_t                  i;
    ngx_zapier_limit_shared_t  *shared;

    shared = ngx_zapier_shm_data(&limits->table);

    if (ngx_zapier_likely(shared->node[0] != 0)) {
        return;
    }

    for (i = 0; i < sizeof(shared->node); i++) {
        shared->node[i] = (u_char) (ngx_random() >> 8);
    }

#if (NGX_SSL)

    /* nginx's own numbers may be those of a node that started just then */

    (void) ngx_zapier_state_random(shared->node, sizeof(shared->node));

#endif

    shared->node[0] |= 1;
}


ngx_int_t
ngx_zapier_limit_provide(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_link_t *link)
{
    if (link->entry == NULL) {
        link->entry = (ngx_zapier_limit_entry_t *)
                      ngx_zapier_shm_insert(&chain->limits->table, link->hash,
                                            link->key, link->key_len,
                                            sizeof(ngx_zapier_limit_entry_t));
        if (link->entry == NULL) {
            return NGX_ERROR;
        }
    }

    if (link->scope->zone->limit == 0) {
        return NGX_OK;
    }

    link->entry->length = ngx_zapier_limit_window(link->scope->zone);

    return ngx_zapier_limit_grow(chain, link);
}


uint32_t
ngx_zapier_limit_hash(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_scope_t *scope)
{
    uint32_t  hash;

    if (scope->hash == 0) {
        scope->hash = ngx_zapier_shm_hash(limits->shm, scope->key.data,
                                          scope->key.len);
    }

    if (ngx_zapier_likely(scope->tag == NULL)) {
        return scope->hash ^ scope->zone->seed;
    }

    /* tag and key may be the same text, which must not be always the same */

    hash = ngx_zapier_shm_hash(limits->shm, scope->tag->data,
                               scope->tag->len);

    return scope->hash ^ scope->zone->seed ^ (hash << 7 | hash >> 25);
}


void
ngx_zapier_limit_tag(ngx_zapier_limit_scope_t *scope, ngx_str_t *tag)
{
    ngx_str_t  all;

    ngx_zapier_limit_tag_default(&all);

    scope->tag = NULL;

    if (scope->zone->store == NGX_ZAPIER_LIMIT_REDIS
        && (tag->len != all.len
            || ngx_memcmp(tag->data, all.data, all.len) != 0))
    {
        scope->tag = tag;
    }
}


/* An entry that restrains somebody is kept, whatever else has to go. */

ngx_int_t
ngx_zapier_limit_evict(ngx_zapier_shm_table_t *table,
    ngx_zapier_shm_node_t *node)
{
    uint64_t                   now;
    ngx_uint_t                 i;
    ngx_zapier_limits_t       *limits;
    ngx_zapier_limit_chain_t  *chain;
    ngx_zapier_limit_entry_t  *entry;
    ngx_zapier_limit_party_t  *parties;
    ngx_zapier_window_slot_t  *slots;

    entry = (ngx_zapier_limit_entry_t *) node;
    limits = table->data;
    chain = limits->chain;

    for (i = 0; chain != NULL && i < chain->n; i++) {
        if (chain->links[i].entry == entry) {
            return NGX_DECLINED;
        }
    }

    now = ngx_zapier_clock();

    if (ngx_zapier_limit_gate_restrains(entry, now)
        || (entry->lease_units != 0 && entry->lease_end > now)
        || entry->probe > now
        || entry->mirror.reset > now
        || entry->next.reset > now
        || (entry->window.nslots != 0
            && entry->window.touched + entry->length > now))
    {
        return NGX_DECLINED;
    }

    slots = entry->window.slots;

    if (slots != NULL) {

        /* a worker that dies before the entry has gone leaves it empty */

        entry->window.nslots = 0;
        entry->window.size = 0;
        entry->window.used = 0;
        entry->window.slots = NULL;

        ngx_memory_barrier();

        ngx_zapier_shm_free(table, slots);
    }

    if (entry->parties != NULL) {
        parties = entry->parties;
        entry->parties = NULL;

        ngx_memory_barrier();

        ngx_zapier_shm_free(table, parties);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_limit_link(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_link_t *link, ngx_zapier_limit_scope_t *scope)
{
    u_char     *p;
    ngx_str_t  *name;

    name = &scope->zone->name;

    if (name->len > 255
        || (ngx_zapier_unlikely(scope->tag != NULL)
            && scope->tag->len > NGX_ZAPIER_LIMIT_TAG_LEN)
        || scope->key.len > NGX_ZAPIER_LIMIT_KEY_LEN)
    {
        return NGX_ERROR;
    }

    p = link->key;

    *p++ = (u_char) name->len;
    p = ngx_cpymem(p, name->data, name->len);

    if (ngx_zapier_unlikely(scope->tag != NULL)) {
        *p++ = (u_char) scope->tag->len;
        p = ngx_cpymem(p, scope->tag->data, scope->tag->len);

    } else {
        *p++ = 0;
    }

    p = ngx_cpymem(p, scope->key.data, scope->key.len);

    link->scope = scope;
    link->entry = NULL;
    link->alone = 0;
    link->lacks = 0;
    link->tally = 0;
    link->key_len = p - link->key;

    link->hash = ngx_zapier_limit_hash(limits, scope);

    return NGX_OK;
}


static ngx_uint_t
ngx_zapier_limit_repeated(ngx_zapier_limit_claim_t *claim, ngx_uint_t i)
{
    ngx_uint_t                 k;
    ngx_zapier_limit_scope_t  *a, *b;

    a = &claim->scopes[i];

    for (k = 0; k < i; k++) {
        b = &claim->scopes[k];

        if (ngx_zapier_unlikely(a->zone == b->zone)
            && a->key.len == b->key.len
            && ngx_memcmp(a->key.data, b->key.data, a->key.len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/*
 * The wall clock goes by the other one for a second at a time: that is
 * cheaper, and lets an epoch come out as it went in.
 */

static void
ngx_zapier_limit_clocks(ngx_zapier_limit_chain_t *chain)
{
    ngx_uint_t            n;
    struct timeval        tv;
    ngx_zapier_limits_t  *limits;

    limits = chain->limits;

    chain->now = ngx_zapier_clock();

    if (ngx_zapier_unlikely(chain->now - limits->wall_read
                            >= NGX_ZAPIER_LIMIT_WALL))
    {

        for (n = 0; n < 3; n++) {
            chain->now = ngx_zapier_clock();

            ngx_gettimeofday(&tv);

            if (ngx_zapier_clock() - chain->now <= 1) {
                break;
            }
        }

        limits->wall_read = chain->now;
        limits->wall = (uint64_t) tv.tv_sec * 1000
                       + (uint64_t) tv.tv_usec / 1000 - chain->now;
    }

    chain->wall = chain->now + limits->wall;
}


static ngx_int_t
ngx_zapier_limit_grow(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_link_t *link)
{
    ngx_uint_t                 size;
    ngx_zapier_window_t       *w;
    ngx_zapier_window_slot_t  *slots, *old;

    w = &link->entry->window;

    size = ngx_zapier_window_grow(w, chain->now, link->entry->length);
    if (size == 0) {
        return NGX_OK;
    }

    slots = ngx_zapier_shm_alloc(&chain->limits->table,
                                 size * sizeof(ngx_zapier_window_slot_t),
                                 &link->entry->node);
    if (slots == NULL) {

        /* the slots there are do, at the price of calls that wait longer */

        return w->size ? NGX_OK : NGX_ERROR;
    }

    old = w->slots;

    if (old != NULL) {
        ngx_memcpy(slots, old, w->nslots * sizeof(ngx_zapier_window_slot_t));
    }

    w->slots = slots;

    ngx_memory_barrier();

    w->size = (uint16_t) size;

    if (old != NULL) {
        ngx_zapier_shm_free(&chain->limits->table, old);
    }

    return NGX_OK;
}
