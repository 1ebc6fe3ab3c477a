
/*
 * How the scopes of a chain stand, and which of them binds.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_limit_entry.h>


/*
 * An epoch told by the upstream comes back a few ms off, for two clocks
 * were read and cut.  Resets this little behind a second belong to it, ms.
 */
#define NGX_ZAPIER_LIMIT_SLACK  10


static void ngx_zapier_limit_judge_window(ngx_zapier_limit_link_t *link,
    uint64_t now, uint32_t units, ngx_zapier_limit_state_t *state);
static void ngx_zapier_limit_judge_mirror(ngx_zapier_limit_entry_t *entry,
    uint64_t now, uint32_t units, ngx_zapier_limit_state_t *state);


void
ngx_zapier_limit_judge(ngx_zapier_limit_link_t *link, uint64_t now,
    uint32_t units, ngx_zapier_limit_state_t *state)
{
    ngx_zapier_limit_zone_t  *zone;

    zone = link->scope->zone;

    state->known = 0;
    state->limit = -1;
    state->remaining = NGX_MAX_INT_T_VALUE;
    state->wait = 0;
    state->reset = 0;

    if (ngx_zapier_limit_fleet(link)) {
        ngx_zapier_limit_judge_fleet(link, now, units, state);

    } else if (zone->limit != 0) {
        ngx_zapier_limit_judge_window(link, now, units, state);
    }

    if (zone->mirror && link->entry != NULL) {
        ngx_zapier_limit_judge_mirror(link->entry, now, units, state);
    }

    /* an operator may close any gate, which is not shut by an answer then */

    if (link->entry != NULL && (zone->mirror || link->entry->shut == 0)) {
        ngx_zapier_limit_gate_judge(link, now, state);
    }

    state->reset = ngx_max(state->reset, state->wait);
}


void
ngx_zapier_limit_show(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_state_t *states, ngx_flag_t refusing,
    ngx_zapier_limit_view_t *view)
{
    uint64_t                   wait;
    ngx_uint_t                 i;
    ngx_zapier_limit_state_t  *state, *best;

    best = NULL;

    ngx_zapier_limit_view_init(view);

    for (i = 0; i < chain->n; i++) {
        state = &states[i];

        if (!state->known) {
            continue;
        }

        if (best != NULL) {

            if (refusing && state->wait != best->wait) {
                if (state->wait < best->wait) {
                    continue;
                }

            } else if (state->remaining >= best->remaining) {
                continue;
            }
        }

        best = state;
        view->scope = chain->links[i].scope;
    }

    if (best == NULL) {
        return;
    }

    view->zone = view->scope->zone;
    view->limit = best->limit;
    view->remaining = best->remaining;
    view->reset = (time_t) ((chain->wall + best->reset + 999
                             - NGX_ZAPIER_LIMIT_SLACK) / 1000);

    if (refusing && best->wait != 0) {
        wait = (best->wait + 999) / 1000;
        view->retry_after = (time_t) ngx_max(wait, 1);
    }
}


static void
ngx_zapier_limit_judge_window(ngx_zapier_limit_link_t *link, uint64_t now,
    uint32_t units, ngx_zapier_limit_state_t *state)
{
    uint32_t                  wait;
    ngx_zapier_window_t      *w;
    ngx_zapier_limit_zone_t  *zone;

    zone = link->scope->zone;

    state->known = 1;
    state->limit = zone->limit;
    state->remaining = zone->limit;

    if (link->entry == NULL) {
        state->wait = (units > zone->limit) ? zone->window : 0;
        return;
    }

    w = &link->entry->window;

    state->remaining = (w->used < zone->limit) ? zone->limit - w->used : 0;

    if (w->nslots != 0 && w->touched + zone->window > now) {
        state->reset = w->touched + zone->window - now;
    }

    wait = ngx_zapier_window_wait(w, now, ngx_zapier_limit_window(zone),
                                  zone->limit, units);

    if (wait == NGX_ZAPIER_WINDOW_NEVER) {
        wait = zone->window;

    } else if (wait > 1) {

        /* the ms on the safe side is not worth a second of Retry-After */

        wait--;
    }

    state->wait = wait;
}


static void
ngx_zapier_limit_judge_mirror(ngx_zapier_limit_entry_t *entry, uint64_t now,
    uint32_t units, ngx_zapier_limit_state_t *state)
{
    ngx_zapier_limit_mirror_t  *m;

    m = ngx_zapier_limit_mirror(entry, now);

    if (m == NULL) {
        return;
    }

    if (!state->known || (int64_t) m->remaining < state->remaining) {
        state->remaining = m->remaining;
        state->reset = m->reset - now;

        if (m->limit != NGX_ZAPIER_LIMIT_UNSET) {
            state->limit = m->limit;
        }
    }

    state->known = 1;

    if (m->remaining < units) {
        state->wait = ngx_max(state->wait, m->reset - now);
    }
}
