
/*
 * What the upstream says of its limits: a view that its headers tighten
 * until it resets.  Its refusals go on to the gate.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_likely.h>
#include <ngx_zapier_limit_entry.h>


/* resets of one window may differ so much when told as whole seconds, ms */
#define NGX_ZAPIER_LIMIT_JITTER  1000


static void ngx_zapier_limit_mirror_set(ngx_zapier_limit_mirror_t *m,
    ngx_zapier_limit_told_t *told);
static void ngx_zapier_limit_mirror_tighten(ngx_zapier_limit_mirror_t *m,
    ngx_zapier_limit_told_t *told);
static void ngx_zapier_limit_mirror_view(ngx_zapier_limit_entry_t *entry,
    uint64_t now, ngx_zapier_limit_told_t *told);
static void ngx_zapier_limit_mirror_next(ngx_zapier_limit_entry_t *entry,
    ngx_zapier_limit_told_t *told);


ngx_zapier_limit_mirror_t *
ngx_zapier_limit_mirror(ngx_zapier_limit_entry_t *entry, uint64_t now)
{
    if (ngx_zapier_unlikely(entry->mirror.reset > now)) {
        return &entry->mirror;
    }

    if (ngx_zapier_unlikely(entry->next.reset > now)) {
        entry->mirror = entry->next;
        entry->next.reset = 0;
        entry->heard = now;

        return &entry->mirror;
    }

    return NULL;
}


void
ngx_zapier_limit_mirror_charge(ngx_zapier_limit_entry_t *entry, uint64_t now,
    uint32_t units)
{
    ngx_zapier_limit_mirror_t  *m;

    m = ngx_zapier_limit_mirror(entry, now);

    if (m != NULL) {
        m->remaining -= ngx_min(units, m->remaining);

        /* the upstream may count this call there already */

        m = &entry->next;
        m->remaining -= ngx_min(units, m->remaining);
    }
}


/*
 * What the upstream told later did not count the unit, so that giving it
 * back would loosen the view.
 */

void
ngx_zapier_limit_mirror_return(ngx_zapier_limit_entry_t *entry, uint64_t now,
    uint32_t units, uint64_t charged)
{
    ngx_zapier_limit_mirror_t  *m;

    m = ngx_zapier_limit_mirror(entry, now);

    if (m != NULL && charged > entry->heard) {
        m->remaining += ngx_min(units, m->limit - m->remaining);
    }
}


ngx_uint_t
ngx_zapier_limit_mirror_matters(ngx_zapier_limit_told_t *told, uint64_t now)
{
    if (told->closes) {
        return 1;
    }

    if (told->remaining == NGX_ZAPIER_LIMIT_UNSET) {
        return 0;
    }

    return told->has_reset ? told->reset > now : told->remaining == 0;
}


ngx_uint_t
ngx_zapier_limit_mirror_observe(ngx_zapier_limit_entry_t *entry, uint64_t now,
    uint32_t cooldown, ngx_zapier_limit_told_t *told)
{
    /*
     * A refusal says by itself when to come back, a Remaining of 0 only
     * together with Reset.
     */

    if (told->closes || (told->remaining == 0 && !told->has_reset)) {
        return ngx_zapier_limit_gate_close(entry, now, cooldown, told);
    }

    if (!told->has_reset || told->reset > now) {
        ngx_zapier_limit_mirror_view(entry, now, told);
    }

    return 0;
}


static void
ngx_zapier_limit_mirror_view(ngx_zapier_limit_entry_t *entry, uint64_t now,
    ngx_zapier_limit_told_t *told)
{
    ngx_zapier_limit_mirror_t  *m;

    m = ngx_zapier_limit_mirror(entry, now);

    if (m == NULL) {

        if (told->remaining != NGX_ZAPIER_LIMIT_UNSET && told->has_reset) {
            ngx_zapier_limit_mirror_set(&entry->mirror, told);
            entry->heard = now;
        }

        return;
    }

    if (told->remaining == NGX_ZAPIER_LIMIT_UNSET) {
        ngx_zapier_limit_mirror_tighten(m, told);
        return;
    }

    if (told->remaining > m->remaining
        && told->has_reset
        && told->reset > m->reset)
    {
        ngx_zapier_limit_mirror_next(entry, told);
        return;
    }

    ngx_zapier_limit_mirror_tighten(m, told);

    if (told->has_reset) {
        m->reset = ngx_max(m->reset, told->reset);
    }

    entry->heard = now;
}


/*
 * More is left, but until later: it speaks of the window after ours.  That
 * one is not in force yet, and the latest word on it counts.
 */

static void
ngx_zapier_limit_mirror_next(ngx_zapier_limit_entry_t *entry,
    ngx_zapier_limit_told_t *told)
{
    ngx_zapier_limit_mirror_t  *next;

    next = &entry->next;

    if (next->reset <= entry->mirror.reset
        || told->reset > next->reset + NGX_ZAPIER_LIMIT_JITTER)
    {
        ngx_zapier_limit_mirror_set(next, told);
        return;
    }

    ngx_zapier_limit_mirror_tighten(next, told);
}


static void
ngx_zapier_limit_mirror_set(ngx_zapier_limit_mirror_t *m,
    ngx_zapier_limit_told_t *told)
{
    m->limit = told->limit;
    m->remaining = ngx_min(told->remaining, told->limit);

    ngx_memory_barrier();

    m->reset = told->reset;
}


static void
ngx_zapier_limit_mirror_tighten(ngx_zapier_limit_mirror_t *m,
    ngx_zapier_limit_told_t *told)
{
    m->limit = ngx_min(m->limit, told->limit);
    m->remaining = ngx_min(m->remaining, told->remaining);
    m->remaining = ngx_min(m->remaining, m->limit);
}
