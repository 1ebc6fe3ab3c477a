
/*
 * When will it be somebody's turn?
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_limit_entry.h>
#include <ngx_zapier_limit_queue.h>


static uint64_t ngx_zapier_limit_forecast_link(ngx_zapier_limit_link_t *link,
    uint64_t now, uint64_t units);
static uint64_t ngx_zapier_limit_forecast_fleet(
    ngx_zapier_limit_link_t *link, uint64_t now, uint32_t units);


uint64_t
ngx_zapier_limit_forecast(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim, uint64_t ahead)
{
    uint64_t                   wait, longest;
    ngx_uint_t                 i;
    ngx_zapier_limit_chain_t   chain;
    ngx_zapier_limit_scope_t  *scope;

    if (ngx_zapier_limit_chain_open(&chain, limits, claim) != NGX_OK) {
        return 0;
    }

    longest = 0;

    for (i = 0; i < chain.n; i++) {
        scope = chain.links[i].scope;

        wait = ngx_zapier_limit_forecast_link(&chain.links[i], chain.now,
                          scope->units
                          + (scope == claim->view.scope ? ahead : 0));

        longest = ngx_max(longest, wait);
    }

    ngx_zapier_limit_chain_close(&chain);

    return longest;
}


static uint64_t
ngx_zapier_limit_forecast_link(ngx_zapier_limit_link_t *link, uint64_t now,
    uint64_t units)
{
    uint64_t                  windows, wait, known;
    ngx_zapier_limit_zone_t  *zone;
    ngx_zapier_limit_state_t  state;

    zone = link->scope->zone;
    windows = 0;

    if (zone->limit != 0) {
        windows = (units - 1) / zone->limit;
        units = (units - 1) % zone->limit + 1;
    }

    units = ngx_min(units, NGX_ZAPIER_LIMIT_UNSET);

    ngx_zapier_limit_judge(link, now, (uint32_t) units, &state);

    wait = state.wait;

    if (ngx_zapier_limit_fleet(link)) {
        known = ngx_zapier_limit_forecast_fleet(link, now, (uint32_t) units);
        wait = ngx_max(wait, known);
    }

    return wait + windows * zone->window;
}


/*
 * Redis has told how much is left, and this node knows when what it has
 * spent itself comes back: so do the units of others, it supposes.
 */

static uint64_t
ngx_zapier_limit_forecast_fleet(ngx_zapier_limit_link_t *link, uint64_t now,
    uint32_t units)
{
    uint64_t                   spent, own;
    ngx_zapier_window_t       *w;
    ngx_zapier_limit_zone_t   *zone;
    ngx_zapier_limit_entry_t  *entry;

    zone = link->scope->zone;
    entry = link->entry;

    if (entry == NULL || entry->left_reset <= now || entry->left >= units) {
        return 0;
    }

    w = &entry->window;
    spent = zone->limit - ngx_min(entry->left, zone->limit);

    if (w->used == 0 || spent == 0) {
        return 0;
    }

    own = ((units - entry->left) * (uint64_t) w->used + spent - 1) / spent;
    own = ngx_min(own, w->used);

    return ngx_zapier_window_wait(w, now, ngx_zapier_limit_window(zone),
                                  w->used, (uint32_t) own);
}
