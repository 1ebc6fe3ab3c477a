
/*
 * Claims on chains of scopes, counted in shared memory.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_likely.h>
#include <ngx_zapier_clock.h>
#include <ngx_zapier_limit_count.h>
#include <ngx_zapier_limit_entry.h>


static void ngx_zapier_limit_charge_link(ngx_zapier_limit_link_t *link,
    uint64_t now, ngx_uint_t times);
static ngx_int_t ngx_zapier_limit_get(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_claim_t *claim, ngx_zapier_limit_state_t *states);
static void ngx_zapier_limit_prepare(ngx_zapier_limit_chain_t *chain);
static void ngx_zapier_limit_tally(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_counter_e counter);
static void ngx_zapier_limit_count_all(ngx_zapier_limit_chain_t *chain);
static void ngx_zapier_limit_commit(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_claim_t *claim);
static ngx_int_t ngx_zapier_limit_provide_all(
    ngx_zapier_limit_chain_t *chain);
static void ngx_zapier_limit_verdict(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_claim_t *claim, ngx_zapier_limit_state_t *states,
    ngx_uint_t refused);
static ngx_int_t ngx_zapier_limit_attempt(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim);
static void ngx_zapier_limit_unknown(ngx_zapier_limit_claim_t *claim);


ngx_int_t
ngx_zapier_limits_init(ngx_conf_t *cf, ngx_zapier_limits_t *limits)
{
    (void) cf;

    limits->chain = NULL;
    limits->wall_read = 0;
    ngx_queue_init(&limits->asks);
    limits->crowd = 0;
    limits->debts = 0;
    limits->queues = NULL;

    limits->table.name = "limits";
    limits->table.evict = ngx_zapier_limit_evict;
    limits->table.data = limits;
    limits->table.data_size = sizeof(ngx_zapier_limit_shared_t);

    return ngx_zapier_shm_table_add(limits->shm, &limits->table);
}


ngx_uint_t
ngx_zapier_limit_suspect(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim)
{
    uint32_t                      hash, until;
    ngx_uint_t                    i;
    ngx_zapier_limit_shared_t  *shared;

    shared = ngx_zapier_shm_data(&limits->table);

    for (i = 0; i < claim->nscopes && i < NGX_ZAPIER_LIMIT_CHAIN; i++) {
        hash = ngx_zapier_limit_hash(limits, &claim->scopes[i]);
        until = shared->until[hash % NGX_ZAPIER_LIMIT_PLACES];

        if (ngx_zapier_unlikely(until != 0)
            && until >= ngx_zapier_clock() / 1000)
        {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_zapier_limit_peek(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim)
{
    ngx_uint_t                refused;
    ngx_zapier_limit_chain_t  chain;
    ngx_zapier_limit_state_t  states[NGX_ZAPIER_LIMIT_CHAIN];

    if (ngx_zapier_limit_chain_open(&chain, limits, claim) != NGX_OK) {
        ngx_zapier_limit_unknown(claim);
        return NGX_DECLINED;
    }

    refused = ngx_zapier_limit_judge_all(&chain, 0, states);

    ngx_zapier_limit_verdict(&chain, claim, states, refused);

    return refused ? NGX_DECLINED : NGX_OK;
}


ngx_int_t
ngx_zapier_limit_start(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim)
{
    ngx_uint_t  i;

    for (i = 0; i < claim->nscopes && i < NGX_ZAPIER_LIMIT_CHAIN; i++) {
        ngx_zapier_limit_scope_init(&claim->scopes[i]);
    }

    claim->ask = NULL;
    claim->right = NULL;
    claim->rounds = 0;
    claim->alone = 0;

    return ngx_zapier_limit_try(limits, claim);
}


ngx_int_t
ngx_zapier_limit_try(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim)
{
    ngx_int_t  rc;

    rc = ngx_zapier_limit_attempt(limits, claim);

    if (rc == NGX_OK && claim->verdict != NGX_ZAPIER_LIMIT_PASSED) {

        /* it might have been a probe, had another scope let it pass */

        ngx_zapier_limit_done(limits, claim);
    }

    return rc;
}


static ngx_int_t
ngx_zapier_limit_attempt(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim)
{
    ngx_uint_t                 refused;
    ngx_zapier_limit_scope_t  *scope;
    ngx_zapier_limit_chain_t   chain;
    ngx_zapier_limit_state_t   states[NGX_ZAPIER_LIMIT_CHAIN];

    if (ngx_zapier_limit_chain_open(&chain, limits, claim) != NGX_OK) {
        ngx_zapier_limit_unknown(claim);
        return NGX_OK;
    }

    refused = ngx_zapier_limit_judge_all(&chain, 0, states);

    claim->yields = !refused
                    && ngx_zapier_limit_share_refuses(&chain, claim, states);
    refused |= claim->yields;

    if (!refused) {
        scope = ngx_zapier_limit_right_due(&chain);

        if (scope != NULL) {
            ngx_zapier_limit_chain_close(&chain);

            if (ngx_zapier_limit_right_ask(limits, claim, scope)
                == NGX_AGAIN)
            {
                return NGX_AGAIN;
            }

            return ngx_zapier_limit_attempt(limits, claim);
        }

        if (ngx_zapier_limit_provide_all(&chain) != NGX_OK) {
            ngx_zapier_limit_chain_close(&chain);
            ngx_zapier_limit_unknown(claim);
            return NGX_OK;
        }

        switch (ngx_zapier_limit_get(&chain, claim, states)) {

        case NGX_AGAIN:
            ngx_zapier_limit_chain_close(&chain);
            ngx_zapier_limit_count_all(&chain);

            if (ngx_zapier_limit_ask(&chain, claim) == NGX_AGAIN) {
                return NGX_AGAIN;
            }

            claim->alone = 1;

            return ngx_zapier_limit_attempt(limits, claim);

        case NGX_DECLINED:
            refused = 1;
            break;

        case NGX_ERROR:
            ngx_zapier_limit_chain_close(&chain);
            ngx_zapier_limit_count_all(&chain);
            ngx_zapier_limit_unknown(claim);
            return NGX_OK;

        default: /* NGX_OK */
            ngx_zapier_limit_commit(&chain, claim);
            (void) ngx_zapier_limit_judge_all(&chain, 1, states);
        }
    }

    ngx_zapier_limit_verdict(&chain, claim, states, refused);

    return NGX_OK;
}


static void
ngx_zapier_limit_verdict(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_claim_t *claim, ngx_zapier_limit_state_t *states,
    ngx_uint_t refused)
{
    claim->wait = ngx_zapier_limit_remember(chain, states);

    if (refused) {
        ngx_zapier_limit_share_refused(chain, claim, states);
    }

    ngx_zapier_limit_chain_close(chain);
    ngx_zapier_limit_count_all(chain);

    claim->verdict = refused ? NGX_ZAPIER_LIMIT_REJECTED
                             : NGX_ZAPIER_LIMIT_PASSED;

    ngx_zapier_limit_show(chain, states, refused, &claim->view);
}


/*
 * Sees that there are units for the scopes that Redis counts.  NGX_AGAIN:
 * Redis is to be asked.  NGX_ERROR: the count is not known.
 */

static ngx_int_t
ngx_zapier_limit_get(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_claim_t *claim, ngx_zapier_limit_state_t *states)
{
    ngx_uint_t                  i, lacking, open;
    ngx_zapier_limit_link_t    *link;
    ngx_zapier_limit_shared_t  *shared;

    if (!chain->fleet) {
        return NGX_OK;
    }

    lacking = 0;
    open = 1;

    for (i = 0; i < chain->n; i++) {
        link = &chain->links[i];

        if (ngx_zapier_limit_fleet(link)
            && ngx_zapier_limit_lease_lacks(link, chain->now))
        {
            lacking = 1;
            link->lacks = 1;

            if (claim->alone) {
                open &= ngx_zapier_limit_lease_open(link, claim, chain->now);
            }
        }
    }

    if (!lacking) {
        return NGX_OK;
    }

    if (!claim->alone) {
        ngx_zapier_limit_tally(chain, NGX_ZAPIER_LIMIT_COUNT_ASKED);
        ngx_zapier_limit_prepare(chain);
        return NGX_AGAIN;
    }

    if (claim->fallback == NGX_ZAPIER_LIMIT_FALL_CLOSED) {
        ngx_zapier_limit_tally(chain, NGX_ZAPIER_LIMIT_COUNT_FALL_CLOSED);
        return NGX_ERROR;
    }

    if (open) {
        ngx_zapier_limit_tally(chain, NGX_ZAPIER_LIMIT_COUNT_FALL_OPEN);
        return NGX_OK;
    }

    ngx_zapier_limit_tally(chain, NGX_ZAPIER_LIMIT_COUNT_FALL_LOCAL);

    shared = ngx_zapier_shm_data(&chain->limits->table);

    for (i = 0; i < chain->n; i++) {
        chain->links[i].alone = ngx_max(shared->nodes, 1);
    }

    return ngx_zapier_limit_judge_all(chain, 0, states) ? NGX_DECLINED
                                                         : NGX_OK;
}


/* What Redis does not know of, it shall count. */

static void
ngx_zapier_limit_prepare(ngx_zapier_limit_chain_t *chain)
{
    ngx_uint_t                i;
    ngx_zapier_limit_link_t  *link;

    for (i = 0; i < chain->n; i++) {
        link = &chain->links[i];

        if (link->lacks) {
            link->want = ngx_zapier_limit_lease_want(link, chain->now);
            link->own = ngx_zapier_window_recent(&link->entry->window,
                                                 chain->now,
                                    ngx_zapier_limit_own(link->scope->zone));

            ngx_zapier_limit_share_sum(link, chain->now);
        }
    }
}


static void
ngx_zapier_limit_commit(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_claim_t *claim)
{
    ngx_uint_t                i;
    ngx_zapier_limit_link_t  *link;

    for (i = 0; i < chain->n; i++) {
        link = &chain->links[i];

        ngx_zapier_limit_charge_link(link, chain->now, 1);

        link->scope->charged = chain->now;

        if (ngx_zapier_unlikely(chain->shared)) {
            ngx_zapier_limit_share_take(chain, link, claim->patient);
        }

        if (ngx_zapier_limit_fleet(link)
            && !ngx_zapier_limit_lease_lacks(link, chain->now))
        {
            ngx_zapier_limit_lease_take(link);
        }

        if (ngx_zapier_unlikely(ngx_zapier_limit_gate_probe(link,
                                                            chain->now)))
        {
            link->tally = 1 + NGX_ZAPIER_LIMIT_COUNT_PROBES;
            chain->tallies = 1;
        }
    }
}


/* Counted when the mutex is released; a probe outdoes the rest. */

static void
ngx_zapier_limit_tally(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_counter_e counter)
{
    ngx_uint_t  i;

    for (i = 0; i < chain->n; i++) {
        if (chain->links[i].lacks) {
            chain->links[i].tally = 1 + counter;
            chain->tallies = 1;
        }
    }
}


static void
ngx_zapier_limit_count_all(ngx_zapier_limit_chain_t *chain)
{
    ngx_uint_t                i;
    ngx_zapier_limit_link_t  *link;

    if (ngx_zapier_likely(!chain->tallies)) {
        return;
    }

    for (i = 0; i < chain->n; i++) {
        link = &chain->links[i];

        if (link->tally) {
            ngx_zapier_limit_count(chain->limits, link->scope->zone,
                                   link->tally - 1, 1);
        }
    }
}


void
ngx_zapier_limit_cancel(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim)
{
    ngx_zapier_limit_ask_cancel(claim);
    ngx_zapier_limit_right_cancel(claim);
    ngx_zapier_limit_give_held(limits, claim);
    ngx_zapier_limit_return(limits, claim);
    ngx_zapier_limit_done(limits, claim);
}


void
ngx_zapier_limit_give_held(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim)
{
    ngx_uint_t  i, mask;

    mask = 0;

    for (i = 0; i < claim->nscopes; i++) {

        if (claim->scopes[i].held != 0) {
            claim->scopes[i].held = 0;
            mask |= (ngx_uint_t) 1 << i;
        }
    }

    if (mask) {
        ngx_zapier_limit_give_back(limits, claim, mask);
    }
}


void
ngx_zapier_limit_return(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim)
{
    ngx_uint_t                 i, mask;
    ngx_zapier_limit_link_t   *link;
    ngx_zapier_limit_scope_t  *scope;
    ngx_zapier_limit_chain_t   chain;

    if (claim->nscopes == 0
        || claim->scopes[0].charged == 0
        || ngx_zapier_limit_chain_open(&chain, limits, claim) != NGX_OK)
    {
        return;
    }

    mask = 0;

    for (i = 0; i < chain.n; i++) {
        link = &chain.links[i];
        scope = link->scope;

        if (scope->stamp != 0
            && !ngx_zapier_limit_lease_again(link, chain.now))
        {
            mask |= (ngx_uint_t) 1 << (scope - claim->scopes);
        }

        if (link->entry != NULL && scope->charged != 0) {

            if (scope->zone->limit != 0) {
                ngx_zapier_window_return(&link->entry->window, scope->charged,
                                         scope->units);
                ngx_zapier_limit_share_return(&chain, link);
            }

            if (scope->zone->mirror) {
                ngx_zapier_limit_mirror_return(link->entry, chain.now,
                                               scope->units, scope->charged);
            }
        }

        scope->charged = 0;

        ngx_zapier_limit_gate_release(link);
    }

    ngx_zapier_limit_chain_close(&chain);

    ngx_zapier_limit_right_drop(limits, claim);

    if (mask) {
        ngx_zapier_limit_give_back(limits, claim, mask);
    }
}


void
ngx_zapier_limit_done(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim)
{
    ngx_uint_t                i;
    ngx_zapier_limit_chain_t  chain;

    if (!ngx_zapier_limit_probes(claim)
        || ngx_zapier_limit_chain_open(&chain, limits, claim) != NGX_OK)
    {
        return;
    }

    for (i = 0; i < chain.n; i++) {
        ngx_zapier_limit_gate_release(&chain.links[i]);
    }

    ngx_zapier_limit_chain_close(&chain);

    ngx_zapier_limit_right_drop(limits, claim);
}


void
ngx_zapier_limit_charge(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim, ngx_uint_t times)
{
    ngx_int_t                 rc;
    ngx_uint_t                i;
    ngx_zapier_limit_chain_t  chain;
    ngx_zapier_limit_state_t  states[NGX_ZAPIER_LIMIT_CHAIN];

    if (times == 0
        || ngx_zapier_limit_chain_open(&chain, limits, claim) != NGX_OK)
    {
        return;
    }

    rc = ngx_zapier_limit_provide_all(&chain);

    for (i = 0; i < chain.n; i++) {
        ngx_zapier_limit_charge_link(&chain.links[i], chain.now, times);
    }

    (void) ngx_zapier_limit_judge_all(&chain, 1, states);

    ngx_zapier_limit_remember(&chain, states);

    ngx_zapier_limit_chain_close(&chain);

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, claim->log, 0,
                      "no memory to count %ui more calls", times);
    }
}


ngx_uint_t
ngx_zapier_limit_judge_all(ngx_zapier_limit_chain_t *chain,
    ngx_flag_t charged, ngx_zapier_limit_state_t *states)
{
    ngx_uint_t                i, refused;
    ngx_zapier_limit_link_t  *link;

    refused = 0;

    for (i = 0; i < chain->n; i++) {
        link = &chain->links[i];

        ngx_zapier_limit_judge(link, chain->now,
                               charged ? 0 : link->scope->units, &states[i]);

        if (states[i].wait != 0) {
            refused = 1;
        }
    }

    return refused;
}


static ngx_int_t
ngx_zapier_limit_provide_all(ngx_zapier_limit_chain_t *chain)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    rc = NGX_OK;

    for (i = 0; i < chain->n; i++) {

        if (chain->links[i].scope->zone->limit != 0
            && ngx_zapier_limit_provide(chain, &chain->links[i]) != NGX_OK)
        {
            rc = NGX_ERROR;
        }
    }

    return rc;
}


static void
ngx_zapier_limit_charge_link(ngx_zapier_limit_link_t *link, uint64_t now,
    ngx_uint_t times)
{
    uint64_t                   units;
    ngx_zapier_limit_scope_t  *scope;

    scope = link->scope;

    if (link->entry == NULL) {
        return;
    }

    units = (uint64_t) scope->units * times;
    units = ngx_min(units, NGX_ZAPIER_LIMIT_UNSET);

    if (scope->zone->limit != 0) {
        ngx_zapier_window_charge(&link->entry->window, now,
                                 ngx_zapier_limit_window(scope->zone),
                                 (uint32_t) units);
    }

    if (scope->zone->mirror) {
        ngx_zapier_limit_mirror_charge(link->entry, now, (uint32_t) units);
    }
}


uint64_t
ngx_zapier_limit_remember(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_state_t *states)
{
    uint32_t                      until;
    uint64_t                      wait;
    ngx_uint_t                    i;
    volatile uint32_t            *place;
    ngx_zapier_limit_link_t      *link;
    ngx_zapier_limit_state_t     *state;
    ngx_zapier_limit_shared_t    *shared;

    shared = ngx_zapier_shm_data(&chain->limits->table);

    wait = 0;

    for (i = 0; i < chain->n; i++) {
        link = &chain->links[i];
        state = &states[i];

        wait = ngx_max(wait, state->wait);

        if (ngx_zapier_likely(state->wait == 0
                              && state->remaining >= link->scope->units))
        {
            continue;
        }

        until = (uint32_t) ((chain->now + state->reset) / 1000);
        place = &shared->until[link->hash % NGX_ZAPIER_LIMIT_PLACES];

        *place = ngx_max(*place, until);
    }

    return wait;
}


static void
ngx_zapier_limit_unknown(ngx_zapier_limit_claim_t *claim)
{
    ngx_zapier_limit_view_init(&claim->view);

    claim->view.retry_after = 1;
    claim->verdict = NGX_ZAPIER_LIMIT_UNKNOWN;
}
