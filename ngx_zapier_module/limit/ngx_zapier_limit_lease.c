
/*
 * Units that Redis has granted to this node: kept in shared memory for all
 * its workers, used within the lease or given back.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_limit_entry.h>


/* a lease's part of the window, and its bounds in ms */
#define NGX_ZAPIER_LIMIT_LEASE_PART  100
#define NGX_ZAPIER_LIMIT_LEASE_MAX   500

/* one claim's part of the limit at most */
#define NGX_ZAPIER_LIMIT_WANT_PART   4


static void ngx_zapier_limit_judge_alone(ngx_zapier_limit_link_t *link,
    uint64_t now, uint32_t units, ngx_zapier_limit_state_t *state);


uint32_t
ngx_zapier_limit_lease_time(ngx_zapier_limit_zone_t *zone)
{
    uint32_t  time;

    time = zone->window / NGX_ZAPIER_LIMIT_LEASE_PART;

    return ngx_min(ngx_max(time, 1), NGX_ZAPIER_LIMIT_LEASE_MAX);
}


ngx_uint_t
ngx_zapier_limit_lease_lacks(ngx_zapier_limit_link_t *link, uint64_t now)
{
    ngx_zapier_limit_entry_t  *entry;

    if (link->scope->held >= link->scope->units) {
        return 0;
    }

    entry = link->entry;

    return entry == NULL
           || entry->lease_end <= now
           || entry->lease_units < link->scope->units;
}


void
ngx_zapier_limit_lease_take(ngx_zapier_limit_link_t *link)
{
    ngx_zapier_limit_scope_t  *scope;

    scope = link->scope;

    if (scope->held >= scope->units) {
        scope->held = 0;
        return;
    }

    link->entry->lease_units -= scope->units;
    scope->stamp = link->entry->lease_stamp;
}


ngx_uint_t
ngx_zapier_limit_lease_again(ngx_zapier_limit_link_t *link, uint64_t now)
{
    ngx_zapier_limit_entry_t  *entry;

    entry = link->entry;

    if (entry == NULL
        || entry->lease_end <= now
        || entry->lease_stamp != link->scope->stamp)
    {
        return 0;
    }

    entry->lease_units += link->scope->units;

    return 1;
}


/*
 * Units of two leases are used until the first of them ends and go by the
 * later name: each is then used before its own end.
 */

void
ngx_zapier_limit_lease_put(ngx_zapier_limit_entry_t *entry, uint64_t now,
    uint32_t units, uint64_t stamp, uint64_t end)
{
    if (entry->lease_units != 0 && entry->lease_end > now) {
        entry->lease_units += units;
        entry->lease_end = ngx_min(entry->lease_end, end);
        entry->lease_stamp = ngx_max(entry->lease_stamp, stamp);
        return;
    }

    entry->lease_units = units;
    entry->lease_end = end;
    entry->lease_stamp = stamp;
}


/* Doubles what is asked for until a lease lasts. */

uint32_t
ngx_zapier_limit_lease_want(ngx_zapier_limit_link_t *link, uint64_t now)
{
    uint32_t                   lease, most, units;
    ngx_zapier_limit_entry_t  *entry;

    entry = link->entry;
    units = link->scope->units;

    lease = ngx_zapier_limit_lease_time(link->scope->zone);
    most = ngx_max(link->scope->zone->limit / NGX_ZAPIER_LIMIT_WANT_PART,
                   units);

    if (entry->asked != 0 && now - entry->asked < lease) {
        entry->want = (entry->want > most / 2) ? most : 2 * entry->want;

    } else if (now - entry->asked > 4 * lease) {
        entry->want = units;
    }

    entry->want = ngx_max(entry->want, units);
    entry->asked = now;

    return entry->want;
}


ngx_uint_t
ngx_zapier_limit_lease_open(ngx_zapier_limit_link_t *link,
    ngx_zapier_limit_claim_t *claim, uint64_t now)
{
    ngx_zapier_limit_entry_t  *entry;

    if (claim->fallback != NGX_ZAPIER_LIMIT_FALL_OPEN) {
        return 0;
    }

    entry = link->entry;

    if (entry->open_since == 0) {
        entry->open_since = now;
        entry->open_calls = 0;
    }

    if (now - entry->open_since >= claim->open_time
        || entry->open_calls >= claim->open_calls)
    {
        return 0;
    }

    entry->open_calls++;

    return 1;
}


void
ngx_zapier_limit_judge_fleet(ngx_zapier_limit_link_t *link, uint64_t now,
    uint32_t units, ngx_zapier_limit_state_t *state)
{
    uint32_t                   lease, left;
    ngx_zapier_limit_zone_t   *zone;
    ngx_zapier_limit_entry_t  *entry;

    zone = link->scope->zone;
    entry = link->entry;

    state->known = 1;
    state->limit = zone->limit;
    state->remaining = zone->limit;

    if (units > zone->limit) {
        state->wait = zone->window;
    }

    if (entry == NULL) {
        return;
    }

    if (link->alone) {
        ngx_zapier_limit_judge_alone(link, now, units, state);
        return;
    }

    lease = (entry->lease_end > now) ? entry->lease_units : 0;
    left = zone->limit;

    if (entry->left_reset > now) {
        left = entry->left;
        state->reset = entry->left_reset - now;
    }

    state->remaining = ngx_min((int64_t) left + lease, state->limit);

    if (units != 0
        && entry->full_until > now
        && units >= entry->full_units
        && ngx_zapier_limit_lease_lacks(link, now))
    {
        state->remaining = 0;
        state->wait = ngx_max(state->wait, entry->full_until - now);
    }
}


/* Each node that was alive has an equal share, however small. */

static void
ngx_zapier_limit_judge_alone(ngx_zapier_limit_link_t *link, uint64_t now,
    uint32_t units, ngx_zapier_limit_state_t *state)
{
    uint32_t                   share, wait;
    ngx_zapier_window_t       *w;
    ngx_zapier_limit_zone_t   *zone;
    ngx_zapier_limit_entry_t  *entry;

    zone = link->scope->zone;
    entry = link->entry;
    w = &entry->window;

    share = zone->limit / ngx_max(entry->nodes, 1);
    share = ngx_max(share, 1);

    state->remaining = (w->used < share) ? share - w->used : 0;

    if (w->nslots != 0 && w->touched + entry->length > now) {
        state->reset = w->touched + entry->length - now;
    }

    wait = ngx_zapier_window_wait(w, now, ngx_zapier_limit_window(zone),
                                  share, units);

    if (wait == NGX_ZAPIER_WINDOW_NEVER) {
        wait = zone->window;
    }

    state->wait = ngx_max(state->wait, wait);
}
