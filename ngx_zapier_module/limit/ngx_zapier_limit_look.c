
/*
 * How a scope stands, for those who only want to look.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_limit_entry.h>


#define ngx_zapier_limit_left(until, now)                                    \
    ((until) > (now) ? (until) - (now) : 0)


ngx_int_t
ngx_zapier_limit_look(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_zone_t *zone, ngx_str_t *key, ngx_str_t *tag,
    ngx_zapier_limit_look_t *look)
{
    uint64_t                    now;
    ngx_zapier_limit_claim_t    claim;
    ngx_zapier_limit_scope_t    scope;
    ngx_zapier_limit_chain_t    chain;
    ngx_zapier_limit_entry_t   *entry;
    ngx_zapier_limit_state_t    state;
    ngx_zapier_limit_mirror_t  *mirror;

    ngx_memzero(&claim, sizeof(ngx_zapier_limit_claim_t));
    ngx_memzero(&scope, sizeof(ngx_zapier_limit_scope_t));
    ngx_memzero(look, sizeof(ngx_zapier_limit_look_t));

    claim.nscopes = 1;
    claim.scopes = &scope;

    scope.zone = zone;
    scope.key = *key;
    scope.units = 1;

    ngx_zapier_limit_tag(&scope, tag);

    if (ngx_zapier_limit_chain_open(&chain, limits, &claim) != NGX_OK) {
        return NGX_ERROR;
    }

    now = chain.now;
    entry = chain.links[0].entry;

    ngx_zapier_limit_judge(&chain.links[0], now, 1, &state);

    look->limit = state.limit;
    look->remaining = state.known ? state.remaining : -1;
    look->wait = state.wait;
    look->reset = state.reset;
    look->mirrored = -1;

    if (entry != NULL) {
        look->used = entry->window.used;
        look->waiting = (entry->waiting_until > now) ? entry->waiting : 0;
        look->closed = ngx_zapier_limit_left(entry->closed, now);
        look->leased = (entry->lease_end > now) ? entry->lease_units : 0;
        look->lease = ngx_zapier_limit_left(entry->lease_end, now);

        mirror = zone->mirror ? ngx_zapier_limit_mirror(entry, now) : NULL;

        if (mirror != NULL) {
            look->mirrored = mirror->remaining;
            look->mirror_reset = ngx_zapier_limit_left(mirror->reset, now);
        }
    }

    ngx_zapier_limit_chain_close(&chain);

    return NGX_OK;
}
