
/*
 * Fair shares of a scope: who has had more than others who want units too
 * leaves those that are free to them.  What nobody wants, anybody takes.
 *
 * A scope knows its parties by their hashes, in a table of fixed size.  Use
 * is what the present window has seen, and of the one before it the part
 * that a sliding window still holds.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_likely.h>
#include <ngx_zapier_limit_count.h>
#include <ngx_zapier_limit_entry.h>


#define NGX_ZAPIER_LIMIT_PARTIES      512
#define NGX_ZAPIER_LIMIT_PARTY_PLACES 8

/* ms until somebody who has left units to others may ask again */
#define NGX_ZAPIER_LIMIT_SHARE_WAIT   100

/* who was refused is waited for at most so long after the time told, ms */
#define NGX_ZAPIER_LIMIT_SHARE_GRACE  1000


struct ngx_zapier_limit_party_s {
    uint32_t                   hash;       /* 0: free */
    uint32_t                   weight;
    uint32_t                   epoch;      /* number of the present window */
    uint32_t                   used;       /* in it */
    uint32_t                   past;       /* in the one before */
    uint32_t                   wants;      /* units */
    uint64_t                   until;      /* ... until then */
};


static ngx_zapier_limit_party_t *ngx_zapier_limit_party(
    ngx_zapier_limit_link_t *link, uint64_t now);
static ngx_zapier_limit_party_t *ngx_zapier_limit_party_make(
    ngx_zapier_limit_chain_t *chain, ngx_zapier_limit_link_t *link);
static uint64_t ngx_zapier_limit_party_used(ngx_zapier_limit_party_t *party,
    uint64_t now, uint32_t window);
static void ngx_zapier_limit_party_turn(ngx_zapier_limit_party_t *party,
    uint64_t now, uint32_t window);
static uint64_t ngx_zapier_limit_share_kept(ngx_zapier_limit_link_t *link,
    uint64_t now);
static void ngx_zapier_limit_share_wait(ngx_zapier_limit_entry_t *entry,
    uint64_t now, int64_t units, uint64_t time);


ngx_uint_t
ngx_zapier_limit_share_refuses(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_claim_t *claim, ngx_zapier_limit_state_t *states)
{
    uint64_t                   kept;
    ngx_uint_t                 i, refuses;
    ngx_zapier_limit_link_t   *link;

    if (ngx_zapier_likely(!chain->shared)) {
        return 0;
    }

    refuses = 0;

    for (i = 0; i < chain->n; i++) {
        link = &chain->links[i];

        /* units that Redis has granted for this call are its own */

        if (!ngx_zapier_limit_shared_by(link)
            || link->scope->held != 0
            || link->entry == NULL
            || link->entry->wanted <= chain->now)
        {
            continue;
        }

        kept = ngx_zapier_limit_share_kept(link, chain->now);

        if (kept != 0
            && states[i].remaining < (int64_t) (kept + link->scope->units))
        {
            states[i].wait = NGX_ZAPIER_LIMIT_SHARE_WAIT;
            states[i].remaining = 0;
            refuses = 1;

            if (!claim->patient) {
                link->tally = 1 + NGX_ZAPIER_LIMIT_COUNT_YIELDED;
                chain->tallies = 1;
            }
        }
    }

    return refuses;
}


/* Units that others want who have had less. */

static uint64_t
ngx_zapier_limit_share_kept(ngx_zapier_limit_link_t *link, uint64_t now)
{
    uint32_t                   window;
    uint64_t                   kept, mine, used, due;
    ngx_uint_t                 i;
    ngx_zapier_limit_party_t  *party, *other;

    window = ngx_zapier_limit_window(link->scope->zone);

    party = ngx_zapier_limit_party(link, now);
    mine = party ? ngx_zapier_limit_party_used(party, now, window) : 0;

    if (mine == 0) {
        return 0;
    }

    kept = 0;

    for (i = 0; i < NGX_ZAPIER_LIMIT_PARTIES; i++) {
        other = &link->entry->parties[i];

        if (other == party || other->wants == 0 || other->until <= now) {
            continue;
        }

        due = mine * other->weight / party->weight;
        used = ngx_zapier_limit_party_used(other, now, window);

        if (due > used) {
            kept += ngx_min(due - used, other->wants);
        }
    }

    return kept;
}


void
ngx_zapier_limit_share_take(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_link_t *link, ngx_uint_t patient)
{
    uint32_t                   units;
    ngx_zapier_limit_party_t  *party;

    if (!ngx_zapier_limit_shared_by(link)) {
        return;
    }

    party = ngx_zapier_limit_party_make(chain, link);
    if (party == NULL) {
        return;
    }

    units = link->scope->units;

    party->used += units;

    /* a queue tells itself what it does not want any more */

    if (!patient) {
        party->wants -= ngx_min(party->wants, units);
    }
}


void
ngx_zapier_limit_share_return(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_link_t *link)
{
    ngx_zapier_limit_party_t  *party;

    if (!ngx_zapier_limit_shared_by(link) || link->entry == NULL) {
        return;
    }

    party = ngx_zapier_limit_party(link, chain->now);

    if (party != NULL) {
        party->used -= ngx_min(party->used, link->scope->units);
    }
}


void
ngx_zapier_limit_share_refused(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_claim_t *claim, ngx_zapier_limit_state_t *states)
{
    uint64_t                  wait, grace;
    ngx_uint_t                i, binds;
    ngx_zapier_limit_link_t  *link;

    /* only in the way of who could take units if he left them: the longest */

    binds = 0;

    for (i = 0; i < chain->n; i++) {
        if (states[i].wait > states[binds].wait) {
            binds = i;
        }
    }

    link = &chain->links[binds];

    if (claim->patient
        || link->entry == NULL
        || !ngx_zapier_limit_shared_by(link))
    {
        return;
    }

    /* callers are told whole seconds */

    wait = (states[binds].wait + 999) / 1000 * 1000;

    grace = link->scope->zone->window / 16;
    grace = ngx_min(grace, NGX_ZAPIER_LIMIT_SHARE_GRACE);

    ngx_zapier_limit_share_want(chain, link, link->scope->units,
                                chain->now + wait + grace);
}


void
ngx_zapier_limit_share_want(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_link_t *link, uint64_t units, uint64_t until)
{
    ngx_zapier_limit_party_t  *party;

    party = ngx_zapier_limit_party_make(chain, link);
    if (party == NULL) {
        return;
    }

    if (party->until <= chain->now) {
        party->wants = 0;
    }

    units += party->wants;

    party->wants = (uint32_t) ngx_min(units, link->scope->zone->limit);
    party->until = ngx_max(party->until, until);

    link->entry->wanted = ngx_max(link->entry->wanted, until);
}


void
ngx_zapier_limit_share_queue(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim, uint32_t hash, int64_t units,
    uint64_t time)
{
    ngx_uint_t                 i;
    ngx_zapier_limit_link_t   *link;
    ngx_zapier_limit_chain_t   chain;
    ngx_zapier_limit_party_t  *party;

    if (ngx_zapier_limit_chain_open(&chain, limits, claim) != NGX_OK) {
        return;
    }

    for (i = 0; i < chain.n; i++) {
        link = &chain.links[i];

        if (link->hash != hash || link->entry == NULL) {
            continue;
        }

        ngx_zapier_limit_share_wait(link->entry, chain.now, units, time);

        if (!ngx_zapier_limit_shared_by(link)) {
            continue;
        }

        if (units > 0) {
            ngx_zapier_limit_share_want(&chain, link, units,
                                        chain.now + time);
            continue;
        }

        party = ngx_zapier_limit_party(link, chain.now);

        if (party != NULL) {
            party->wants -= (uint32_t) ngx_min((int64_t) party->wants, -units);
        }
    }

    ngx_zapier_limit_chain_close(&chain);
}


void
ngx_zapier_limit_share_sum(ngx_zapier_limit_link_t *link, uint64_t now)
{
    uint32_t                   window;
    uint64_t                   until, weight, wants, had;
    ngx_uint_t                 i, wanting;
    ngx_zapier_limit_party_t  *party;

    link->weight = 0;
    link->wants = 0;
    link->wants_time = 0;

    if (!ngx_zapier_limit_shared_by(link)) {
        return;
    }

    window = ngx_zapier_limit_window(link->scope->zone);
    weight = 0;
    wants = 0;
    until = now;

    for (i = 0;
         link->entry->parties != NULL && i < NGX_ZAPIER_LIMIT_PARTIES;
         i++)
    {
        party = &link->entry->parties[i];

        if (party->hash == 0) {
            continue;
        }

        had = ngx_zapier_limit_party_used(party, now, window);

        wanting = (party->wants != 0 && party->until > now);

        if (wanting) {
            wants += party->wants;
            until = ngx_max(until, party->until);
        }

        if (wanting || had != 0 || party->hash == link->scope->party) {
            weight += party->weight;
        }
    }

    /*
     * who waits here takes what he gets at once, and is likely to want more;
     * who was refused comes again some time, and units kept for him are idle
     */

    if (wants != 0
        && link->entry->waiting != 0
        && link->entry->waiting_until > now)
    {
        wants = link->scope->zone->limit;
    }

    /* who asks for the first time is none of them yet */

    weight = ngx_max(weight, link->scope->weight);

    link->weight = (uint32_t) ngx_min(weight, NGX_MAX_INT32_VALUE);
    link->wants = (uint32_t) ngx_min(wants, link->scope->zone->limit);
    link->wants_time = (uint32_t) ngx_min(until - now, NGX_MAX_INT32_VALUE);
}


void
ngx_zapier_limit_share_forget(ngx_zapier_limit_entry_t *entry)
{
    entry->wanted = 0;

    if (entry->parties != NULL) {
        ngx_memzero(entry->parties, NGX_ZAPIER_LIMIT_PARTIES
                                    * sizeof(ngx_zapier_limit_party_t));
    }
}


/* A worker that dies does not take its waiters off: they end in time. */

static void
ngx_zapier_limit_share_wait(ngx_zapier_limit_entry_t *entry, uint64_t now,
    int64_t units, uint64_t time)
{
    if (entry->waiting_until <= now) {
        entry->waiting = 0;
    }

    if (units < 0) {
        entry->waiting -= (uint32_t) ngx_min((int64_t) entry->waiting, -units);
        return;
    }

    entry->waiting += (uint32_t) units;
    entry->waiting_until = ngx_max(entry->waiting_until, now + time);
}


static ngx_zapier_limit_party_t *
ngx_zapier_limit_party(ngx_zapier_limit_link_t *link, uint64_t now)
{
    ngx_uint_t                 i, place;
    ngx_zapier_limit_party_t  *party;

    if (link->entry->parties == NULL) {
        return NULL;
    }

    for (i = 0; i < NGX_ZAPIER_LIMIT_PARTY_PLACES; i++) {
        place = (link->scope->party + i) % NGX_ZAPIER_LIMIT_PARTIES;
        party = &link->entry->parties[place];

        if (party->hash == link->scope->party) {
            ngx_zapier_limit_party_turn(party, now,
                                  ngx_zapier_limit_window(link->scope->zone));
            return party;
        }
    }

    return NULL;
}


/*
 * Of those that could make room, the one that was used least goes.  NULL:
 * no memory.
 */

static ngx_zapier_limit_party_t *
ngx_zapier_limit_party_make(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_link_t *link)
{
    size_t                     size;
    uint32_t                   window;
    uint64_t                   used, least;
    ngx_uint_t                 i, place;
    ngx_zapier_limit_party_t  *party, *old;

    if (link->entry->parties == NULL) {
        size = NGX_ZAPIER_LIMIT_PARTIES * sizeof(ngx_zapier_limit_party_t);

        party = ngx_zapier_shm_alloc(&chain->limits->table, size,
                                     &link->entry->node);
        if (party == NULL) {
            return NULL;
        }

        ngx_memzero(party, size);

        ngx_memory_barrier();

        link->entry->parties = party;
    }

    party = ngx_zapier_limit_party(link, chain->now);

    if (party == NULL) {
        window = ngx_zapier_limit_window(link->scope->zone);
        least = (uint64_t) -1;

        for (i = 0; i < NGX_ZAPIER_LIMIT_PARTY_PLACES; i++) {
            place = (link->scope->party + i) % NGX_ZAPIER_LIMIT_PARTIES;
            old = &link->entry->parties[place];

            used = old->hash
                   ? 1 + ngx_zapier_limit_party_used(old, chain->now, window)
                   : 0;

            if (used < least) {
                least = used;
                party = old;
            }
        }

        ngx_memzero(party, sizeof(ngx_zapier_limit_party_t));

        party->hash = link->scope->party;
        party->epoch = (uint32_t) (chain->now / window);
    }

    party->weight = link->scope->weight;

    return party;
}


static uint64_t
ngx_zapier_limit_party_used(ngx_zapier_limit_party_t *party, uint64_t now,
    uint32_t window)
{
    ngx_zapier_limit_party_turn(party, now, window);

    return party->used
           + (uint64_t) party->past * (window - now % window) / window;
}


static void
ngx_zapier_limit_party_turn(ngx_zapier_limit_party_t *party, uint64_t now,
    uint32_t window)
{
    uint32_t  epoch;

    epoch = (uint32_t) (now / window);

    if (party->epoch == epoch) {
        return;
    }

    party->past = (party->epoch + 1 == epoch) ? party->used : 0;
    party->used = 0;
    party->epoch = epoch;
}
