
/*
 * The gate of a scope: closed by refusals of the upstream until a time,
 * then on probation.  One call goes first, and only its answer lets in the
 * others, who have all been told to come back at the same moment.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_likely.h>
#include <ngx_zapier_limit_entry.h>


/* the gate stays closed at least so long, ms */
#define NGX_ZAPIER_LIMIT_MIN_GATE    1000

/* it opens late by up to that part of the time, and at most so late, ms */
#define NGX_ZAPIER_LIMIT_GATE_PART   16
#define NGX_ZAPIER_LIMIT_GATE_LATE   1000

/* ms until somebody who met a probe may ask again */
#define NGX_ZAPIER_LIMIT_PROBE_WAIT  100

/* ms after which other nodes are asked whether they still probe */
#define NGX_ZAPIER_LIMIT_PROBE_ASK   200

/* ms after which nobody comes any more because the gate has opened */
#define NGX_ZAPIER_LIMIT_PROBATION   60000


static ngx_uint_t ngx_zapier_limit_gate_trying(
    ngx_zapier_limit_entry_t *entry, uint64_t now);


#define ngx_zapier_limit_gate_opens(entry)  ((entry)->closed + (entry)->late)


ngx_uint_t
ngx_zapier_limit_gate_close(ngx_zapier_limit_entry_t *entry, uint64_t now,
    uint32_t cooldown, ngx_zapier_limit_told_t *told)
{
    uint64_t    closed, late;
    ngx_uint_t  was_open;

    closed = told->closed ? told->closed : now + cooldown;
    closed = ngx_max(closed, now + NGX_ZAPIER_LIMIT_MIN_GATE);

    was_open = (ngx_zapier_limit_gate_opens(entry) <= now);

    if (was_open) {
        entry->gate_limit = NGX_ZAPIER_LIMIT_UNSET;
        entry->gate_reset = 0;

        late = (closed - now) / NGX_ZAPIER_LIMIT_GATE_PART;
        late = ngx_min(late, NGX_ZAPIER_LIMIT_GATE_LATE);
        entry->late = (uint32_t) ((uint64_t) ngx_random() % (late + 1));
    }

    entry->gate_limit = ngx_min(entry->gate_limit, told->limit);

    if (told->has_reset) {
        entry->gate_reset = ngx_max(entry->gate_reset, told->reset);
    }

    entry->closed = ngx_max(entry->closed, closed);
    entry->shut = now;
    entry->probe = 0;

    return was_open;
}


ngx_uint_t
ngx_zapier_limit_gate_restrains(ngx_zapier_limit_entry_t *entry,
    uint64_t now)
{
    return ngx_zapier_limit_gate_opens(entry) > now
           || ngx_zapier_limit_gate_trying(entry, now);
}


void
ngx_zapier_limit_gate_judge(ngx_zapier_limit_link_t *link, uint64_t now,
    ngx_zapier_limit_state_t *state)
{
    uint64_t                   opens, wait;
    ngx_zapier_limit_entry_t  *entry;

    entry = link->entry;
    opens = ngx_zapier_limit_gate_opens(entry);

    if (ngx_zapier_unlikely(opens > now)) {

        /* who comes at the time told waits for the rest then */

        wait = (entry->closed > now) ? entry->closed - now : opens - now;

    } else if (ngx_zapier_limit_gate_trying(entry, now)
               && entry->probe > now
               && entry->probe != link->scope->probe)
    {
        wait = ngx_min(entry->probe - now, NGX_ZAPIER_LIMIT_PROBE_WAIT);

    } else {
        return;
    }

    state->known = 1;
    state->remaining = 0;
    state->reset = wait;
    state->wait = ngx_max(state->wait, wait);

    if (entry->gate_reset > now) {
        state->reset = ngx_max(wait, entry->gate_reset - now);
    }

    if (entry->gate_limit != NGX_ZAPIER_LIMIT_UNSET
        && (state->limit == -1 || entry->gate_limit < state->limit))
    {
        state->limit = entry->gate_limit;
    }
}


/* Is the time over, and nobody knows yet whether the upstream thinks so? */

static ngx_uint_t
ngx_zapier_limit_gate_trying(ngx_zapier_limit_entry_t *entry, uint64_t now)
{
    uint64_t  opens;

    opens = ngx_zapier_limit_gate_opens(entry);

    return ngx_zapier_unlikely(entry->shut != 0)
           && opens <= now
           && now - opens < NGX_ZAPIER_LIMIT_PROBATION;
}


ngx_uint_t
ngx_zapier_limit_gate_probe(ngx_zapier_limit_link_t *link, uint64_t now)
{
    if (link->entry == NULL
        || !link->scope->zone->mirror
        || !ngx_zapier_limit_gate_trying(link->entry, now))
    {
        return 0;
    }

    if (link->scope->probe != 0
        && link->scope->probe == link->entry->probe)
    {
        return 1;
    }

    link->entry->probe = now + NGX_ZAPIER_LIMIT_PROBE_TIME;
    link->scope->probe = link->entry->probe;

    return 1;
}


/*
 * A gate that was closed after the probe had been sent has not been asked
 * about.  One whose probe took too long has, all the same.
 */

ngx_uint_t
ngx_zapier_limit_gate_answered(ngx_zapier_limit_link_t *link)
{
    ngx_uint_t                 opened;
    ngx_zapier_limit_entry_t  *entry;

    if (link->scope->probe == 0) {
        return 0;
    }

    entry = link->entry;

    opened = (entry != NULL
              && entry->shut != 0
              && entry->shut + NGX_ZAPIER_LIMIT_PROBE_TIME
                 < link->scope->probe);

    if (opened) {
        entry->shut = 0;
        entry->probe = 0;
    }

    link->scope->probe = 0;

    return opened;
}


/* Somebody's probe that was sent at that time has had its answer. */

ngx_uint_t
ngx_zapier_limit_gate_open(ngx_zapier_limit_link_t *link, uint64_t sent)
{
    ngx_zapier_limit_entry_t  *entry;

    entry = link->entry;

    if (entry == NULL || entry->shut == 0 || entry->shut >= sent) {
        return 0;
    }

    entry->shut = 0;
    entry->probe = 0;

    return 1;
}


void
ngx_zapier_limit_gate_yield(ngx_zapier_limit_link_t *link, uint64_t now)
{
    if (link->entry != NULL && link->entry->probe == link->scope->probe) {
        link->entry->probe = now + NGX_ZAPIER_LIMIT_PROBE_ASK;
    }

    link->scope->probe = 0;
}


void
ngx_zapier_limit_gate_release(ngx_zapier_limit_link_t *link)
{
    if (link->scope->probe == 0) {
        return;
    }

    if (link->entry != NULL && link->entry->probe == link->scope->probe) {
        link->entry->probe = 0;
    }

    link->scope->probe = 0;
}


ngx_uint_t
ngx_zapier_limit_probes(ngx_zapier_limit_claim_t *claim)
{
    ngx_uint_t  i;

    for (i = 0; i < claim->nscopes && i < NGX_ZAPIER_LIMIT_CHAIN; i++) {
        if (claim->scopes[i].probe != 0) {
            return 1;
        }
    }

    return 0;
}
