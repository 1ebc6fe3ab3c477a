
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

    link->entry->taken += scope->units;

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


void
ngx_zapier_limit_lease_put(ngx_zapier_limit_entry_t *entry, uint64_t now,
    uint32_t *units, uint64_t *stamp, uint64_t end)
{
    uint32_t  left;
    uint64_t  left_stamp;

    left = entry->lease_units;
    left_stamp = entry->lease_stamp;

    if (left >= *units && entry->lease_end > now) {
        return;
    }

    entry->lease_units = *units;
    entry->lease_stamp = *stamp;
    entry->lease_end = end;

    *units = left;
    *stamp = left_stamp;
}


/*
 * What is used in the time of a lease, and a quarter more; at first twice
 * what has been used so far.
 */

uint32_t
ngx_zapier_limit_lease_want(ngx_zapier_limit_link_t *link, uint64_t now)
{
    uint64_t                   want, past, lease;
    ngx_zapier_limit_entry_t  *entry;

    entry = link->entry;
    lease = ngx_zapier_limit_lease_time(link->scope->zone);
    past = now - entry->asked;

    if (past > 8 * lease) {
        entry->want = 0;
        entry->taken = 0;
        entry->asked = now;

    } else if (past >= lease) {
        entry->want = (uint32_t) (entry->taken * lease * 5 / past / 4);
        entry->taken = 0;
        entry->asked = now;
    }

    want = ngx_max(entry->want, 2 * (uint64_t) entry->taken);
    want = ngx_min(want,
                   link->scope->zone->limit / NGX_ZAPIER_LIMIT_WANT_PART);

    return (uint32_t) ngx_max(want, link->scope->units);
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

    share = (uint32_t) (zone->limit / link->alone);
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
