
/*
 * An answer of the upstream: what it says is put in terms of our clock and
 * taken into the entries of the claim's chain, then counted and logged.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_limit_count.h>
#include <ngx_zapier_limit_entry.h>
#include <ngx_zapier_limit_news.h>


#define NGX_ZAPIER_LIMIT_TOO_MANY      429
#define NGX_ZAPIER_LIMIT_UNAVAILABLE   503

/* s until the log says again that the upstream counts otherwise */
#define NGX_ZAPIER_LIMIT_SAY_REFUSED   60
#define NGX_ZAPIER_LIMIT_SAY_LIMIT     600

/*
 * Other nodes are told of a gate that closes, or stays closed for so much
 * longer, and of a view that has become stricter, not more often than that,
 * ms.  Whole seconds of the upstream's differ by as much.
 */
#define NGX_ZAPIER_LIMIT_TELL_LONGER   1000
#define NGX_ZAPIER_LIMIT_TELL_VIEW     200


/* bits of scopes of the chain: what is to be said once the mutex is free */
typedef struct {
    ngx_uint_t                 status;
    ngx_uint_t                 closed;
    ngx_uint_t                 opened;
    ngx_uint_t                 lost;
    ngx_uint_t                 refused;    /* though something was left */
    ngx_uint_t                 other;      /* another limit than ours */
    uint32_t                   limit;      /* which */
    int64_t                    left[NGX_ZAPIER_LIMIT_CHAIN];
    ngx_uint_t                 news;       /* for other nodes */
    ngx_zapier_limit_item_t    items[NGX_ZAPIER_LIMIT_CHAIN];
} ngx_zapier_limit_heard_t;


/* an entry before the answer */
typedef struct {
    uint64_t                   closed;
    uint32_t                   limit;
    uint32_t                   remaining;
} ngx_zapier_limit_before_t;


static ngx_uint_t ngx_zapier_limit_silent(ngx_zapier_limit_claim_t *claim,
    ngx_uint_t status, ngx_zapier_ratelimit_t *rl);
static void ngx_zapier_limit_tell(ngx_zapier_limit_chain_t *chain,
    ngx_uint_t status, ngx_zapier_ratelimit_t *rl,
    ngx_zapier_limit_told_t *told);
static uint32_t ngx_zapier_limit_clamp(int64_t n);
static void ngx_zapier_limit_hear(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_told_t *told, ngx_zapier_limit_heard_t *heard);
static void ngx_zapier_limit_snap(ngx_zapier_limit_entry_t *entry,
    uint64_t now, ngx_zapier_limit_before_t *before);
static ngx_uint_t ngx_zapier_limit_note(ngx_zapier_limit_link_t *link,
    uint64_t now, ngx_zapier_limit_told_t *told,
    ngx_zapier_limit_before_t *before, ngx_uint_t opened,
    ngx_zapier_limit_item_t *item);
static void ngx_zapier_limit_drift(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_told_t *told, ngx_zapier_limit_heard_t *heard);
static void ngx_zapier_limit_say(ngx_zapier_limit_claim_t *claim,
    ngx_zapier_limit_chain_t *chain, ngx_zapier_limit_heard_t *heard);
static void ngx_zapier_limit_say_drift(ngx_zapier_limit_claim_t *claim,
    ngx_zapier_limit_chain_t *chain, ngx_zapier_limit_heard_t *heard,
    ngx_uint_t i);


void
ngx_zapier_limit_observe(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim, ngx_uint_t status,
    ngx_zapier_ratelimit_t *rl)
{
    ngx_uint_t                i, refused;
    ngx_zapier_limit_told_t   told;
    ngx_zapier_limit_chain_t  chain;
    ngx_zapier_limit_heard_t  heard;
    ngx_zapier_limit_state_t  states[NGX_ZAPIER_LIMIT_CHAIN];

    if (ngx_zapier_limit_silent(claim, status, rl)
        || ngx_zapier_limit_chain_open(&chain, limits, claim) != NGX_OK)
    {
        return;
    }

    ngx_memzero(&heard, offsetof(ngx_zapier_limit_heard_t, items));

    heard.status = status;

    ngx_zapier_limit_tell(&chain, status, rl, &told);

    ngx_zapier_limit_drift(&chain, &told, &heard);

    ngx_zapier_limit_hear(&chain, &told, &heard);

    (void) ngx_zapier_limit_judge_all(&chain, 1, states);

    ngx_zapier_limit_remember(&chain, states);

    ngx_zapier_limit_chain_close(&chain);

    refused = (status == NGX_ZAPIER_LIMIT_TOO_MANY
               || status == NGX_ZAPIER_LIMIT_UNAVAILABLE);

    ngx_zapier_limit_show(&chain, states, refused, &claim->view);

    if (heard.closed | heard.opened | heard.lost | heard.refused
        | heard.other)
    {
        ngx_zapier_limit_say(claim, &chain, &heard);
    }

    for (i = 0; heard.news >> i; i++) {
        if ((heard.news >> i) & 1) {
            ngx_zapier_limit_news_tell(limits, chain.links[i].scope,
                                       &heard.items[i]);
        }
    }

    ngx_zapier_limit_right_drop(limits, claim);
}


/*
 * Most answers say nothing of limits and cost no lock; the view that was
 * got with the claim does, unless the answer took longer than its reset.
 */

static ngx_uint_t
ngx_zapier_limit_silent(ngx_zapier_limit_claim_t *claim, ngx_uint_t status,
    ngx_zapier_ratelimit_t *rl)
{
    return status != NGX_ZAPIER_LIMIT_TOO_MANY
           && status != NGX_ZAPIER_LIMIT_UNAVAILABLE
           && rl->limit == NGX_ZAPIER_RATELIMIT_UNSET
           && rl->remaining == NGX_ZAPIER_RATELIMIT_UNSET
           && !ngx_zapier_limit_probes(claim)
           && (claim->view.zone == NULL || claim->view.reset >= ngx_time());
}


/* Puts an answer in terms of our clock. */

static void
ngx_zapier_limit_tell(ngx_zapier_limit_chain_t *chain, ngx_uint_t status,
    ngx_zapier_ratelimit_t *rl, ngx_zapier_limit_told_t *told)
{
    uint64_t  at;

    told->limit = ngx_zapier_limit_clamp(rl->limit);
    told->remaining = ngx_zapier_limit_clamp(rl->remaining);
    told->has_reset = (rl->reset != NGX_ZAPIER_RATELIMIT_UNSET);
    told->reset = 0;
    told->closed = 0;

    if (rl->reset_at != NGX_ZAPIER_RATELIMIT_UNSET) {
        at = (uint64_t) rl->reset_at * 1000;

        if (at > chain->wall) {
            told->reset = chain->now + (at - chain->wall);
        }

    } else if (rl->reset > 0) {
        told->reset = chain->now + (uint64_t) rl->reset * 1000;
    }

    told->closes = (status == NGX_ZAPIER_LIMIT_TOO_MANY
                    || (status == NGX_ZAPIER_LIMIT_UNAVAILABLE
                        && rl->retry_after != NGX_ZAPIER_RATELIMIT_UNSET));

    if (!told->closes) {
        return;
    }

    /* a Reset that is past says nothing about the time to come */

    if (rl->retry_after != NGX_ZAPIER_RATELIMIT_UNSET) {
        told->closed = chain->now + (uint64_t) rl->retry_after * 1000;

    } else if (told->reset != 0) {
        told->closed = told->reset;
    }
}


static uint32_t
ngx_zapier_limit_clamp(int64_t n)
{
    if (n == NGX_ZAPIER_RATELIMIT_UNSET) {
        return NGX_ZAPIER_LIMIT_UNSET;
    }

    return (uint32_t) ngx_min(n, (int64_t) NGX_ZAPIER_LIMIT_UNSET - 1);
}


static void
ngx_zapier_limit_hear(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_told_t *told, ngx_zapier_limit_heard_t *heard)
{
    ngx_uint_t                 i, bit;
    ngx_zapier_limit_link_t   *link;
    ngx_zapier_limit_before_t  before;

    for (i = 0; i < chain->n; i++) {
        link = &chain->links[i];
        bit = (ngx_uint_t) 1 << i;

        if (!link->scope->zone->mirror
            || (link->entry == NULL
                && !ngx_zapier_limit_mirror_matters(told, chain->now)))
        {
            continue;
        }

        if (ngx_zapier_limit_provide(chain, link) != NGX_OK
            && link->entry == NULL)
        {
            heard->lost |= bit;
            continue;
        }

        ngx_zapier_limit_snap(link->entry, chain->now, &before);

        if (ngx_zapier_limit_mirror_observe(link->entry, chain->now,
                                            link->scope->zone->cooldown,
                                            told))
        {
            heard->closed |= bit;
        }

        if (ngx_zapier_limit_gate_answered(link)) {
            heard->opened |= bit;
        }

        if (ngx_zapier_limit_told_to_all(link->scope->zone)
            && ngx_zapier_limit_note(link, chain->now, told, &before,
                                     heard->opened & bit, &heard->items[i]))
        {
            heard->news |= bit;
        }
    }
}


static void
ngx_zapier_limit_snap(ngx_zapier_limit_entry_t *entry, uint64_t now,
    ngx_zapier_limit_before_t *before)
{
    ngx_zapier_limit_mirror_t  *m;

    m = ngx_zapier_limit_mirror(entry, now);

    before->closed = ngx_max(entry->closed, now);
    before->limit = (m != NULL) ? m->limit : NGX_ZAPIER_LIMIT_UNSET;
    before->remaining = (m != NULL) ? m->remaining : NGX_ZAPIER_LIMIT_UNSET;
}


/* Is there news for other nodes?  They do not hear of what they know. */

static ngx_uint_t
ngx_zapier_limit_note(ngx_zapier_limit_link_t *link, uint64_t now,
    ngx_zapier_limit_told_t *told, ngx_zapier_limit_before_t *before,
    ngx_uint_t opened, ngx_zapier_limit_item_t *item)
{
    ngx_zapier_limit_entry_t   *entry;
    ngx_zapier_limit_mirror_t  *m;

    entry = link->entry;

    item->limit = told->limit;
    item->remaining = told->remaining;
    item->reset = (told->has_reset && told->reset > now)
                  ? (uint32_t) (told->reset - now) : NGX_ZAPIER_LIMIT_UNSET;
    item->closed = NGX_ZAPIER_LIMIT_UNSET;
    item->age = NGX_ZAPIER_LIMIT_UNSET;

    if (opened) {
        item->kind = NGX_ZAPIER_LIMIT_NEWS_OPEN;
        item->age = (uint32_t) (now - link->scope->charged);
        return 1;
    }

    if (entry->closed >= before->closed + NGX_ZAPIER_LIMIT_TELL_LONGER) {
        item->kind = NGX_ZAPIER_LIMIT_NEWS_CLOSED;
        item->closed = (uint32_t) (entry->closed - now);
        return 1;
    }

    m = ngx_zapier_limit_mirror(entry, now);

    if (m == NULL
        || item->reset == NGX_ZAPIER_LIMIT_UNSET
        || (m->remaining >= before->remaining && m->limit >= before->limit)
        || now - entry->told < NGX_ZAPIER_LIMIT_TELL_VIEW)
    {
        return 0;
    }

    entry->told = now;
    item->kind = NGX_ZAPIER_LIMIT_NEWS_VIEW;

    return 1;
}


/*
 * Does the upstream count otherwise?  A call that was admitted and refused
 * there says so, unless it was a probe.  A limit that is not ours says so
 * if it is that of no zone, for it does not tell which one it is.
 */

static void
ngx_zapier_limit_drift(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_told_t *told, ngx_zapier_limit_heard_t *heard)
{
    ngx_uint_t                i, bit;
    ngx_zapier_limit_link_t  *link;
    ngx_zapier_limit_zone_t  *zone;
    ngx_zapier_limit_state_t  state;

    heard->limit = told->limit;

    for (i = 0; i < chain->n; i++) {
        link = &chain->links[i];
        zone = link->scope->zone;
        bit = (ngx_uint_t) 1 << i;

        if (!zone->mirror) {
            continue;
        }

        if (heard->status == NGX_ZAPIER_LIMIT_TOO_MANY
            && link->scope->charged != 0
            && link->scope->probe == 0)
        {
            ngx_zapier_limit_judge(link, chain->now, 0, &state);

            if (state.known) {
                heard->refused |= bit;
                heard->left[i] = state.remaining;
            }
        }

        if (zone->limit == 0 || heard->limit == NGX_ZAPIER_LIMIT_UNSET) {
            continue;
        }

        if (zone->limit == told->limit) {
            heard->limit = NGX_ZAPIER_LIMIT_UNSET;
            heard->other = 0;
            continue;
        }

        heard->other |= bit;
    }
}


/* Keys are not logged, an operator may have made them of anything. */

static void
ngx_zapier_limit_say(ngx_zapier_limit_claim_t *claim,
    ngx_zapier_limit_chain_t *chain, ngx_zapier_limit_heard_t *heard)
{
    ngx_uint_t                i, bit;
    ngx_zapier_limits_t      *limits;
    ngx_zapier_limit_zone_t  *zone;

    limits = chain->limits;

    for (i = 0; i < chain->n; i++) {
        zone = chain->links[i].scope->zone;
        bit = (ngx_uint_t) 1 << i;

        if (heard->closed & bit) {
            ngx_zapier_limit_count(limits, zone,
                                   NGX_ZAPIER_LIMIT_COUNT_CLOSED, 1);

            ngx_log_error(NGX_LOG_WARN, claim->log, 0,
                          "upstream answered %ui, a scope of limit zone "
                          "\"%V\" is closed", heard->status, &zone->name);
        }

        if (heard->opened & bit) {
            ngx_zapier_limit_count(limits, zone,
                                   NGX_ZAPIER_LIMIT_COUNT_REOPENED, 1);

            ngx_log_error(NGX_LOG_NOTICE, claim->log, 0,
                          "upstream answered %ui to a probe, a scope of limit "
                          "zone \"%V\" is open again", heard->status,
                          &zone->name);
        }

        if (heard->lost & bit) {
            ngx_log_error(NGX_LOG_ERR, claim->log, 0,
                          "no memory to keep what upstream says of a scope "
                          "of limit zone \"%V\"", &zone->name);
        }

        if ((heard->refused | heard->other) & bit) {
            ngx_zapier_limit_say_drift(claim, chain, heard, i);
        }
    }
}


static void
ngx_zapier_limit_say_drift(ngx_zapier_limit_claim_t *claim,
    ngx_zapier_limit_chain_t *chain, ngx_zapier_limit_heard_t *heard,
    ngx_uint_t i)
{
    ngx_zapier_limits_t      *limits;
    ngx_zapier_limit_zone_t  *zone;

    limits = chain->limits;
    zone = chain->links[i].scope->zone;

    if (heard->refused & ((ngx_uint_t) 1 << i)) {
        ngx_zapier_limit_count(limits, zone,
                               NGX_ZAPIER_LIMIT_COUNT_DRIFT_REFUSED, 1);

        if (ngx_zapier_limit_may_warn(limits, zone,
                                      NGX_ZAPIER_LIMIT_WARN_REFUSED,
                                      NGX_ZAPIER_LIMIT_SAY_REFUSED))
        {
            ngx_log_error(NGX_LOG_WARN, claim->log, 0,
                          "upstream refused a call that limit zone \"%V\" had "
                          "quota for, with %L left after it: others may use "
                          "it as well", &zone->name, heard->left[i]);
        }
    }

    if (heard->other & ((ngx_uint_t) 1 << i)) {
        ngx_zapier_limit_count(limits, zone,
                               NGX_ZAPIER_LIMIT_COUNT_DRIFT_LIMIT, 1);

        if (ngx_zapier_limit_may_warn(limits, zone,
                                      NGX_ZAPIER_LIMIT_WARN_LIMIT,
                                      NGX_ZAPIER_LIMIT_SAY_LIMIT))
        {
            ngx_log_error(NGX_LOG_WARN, claim->log, 0,
                          "upstream tells a limit of %uD, that of limit zone "
                          "\"%V\" is %uD", heard->limit, &zone->name,
                          zone->limit);
        }
    }
}
