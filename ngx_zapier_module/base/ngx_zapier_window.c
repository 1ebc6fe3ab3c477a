
/*
 * An exact sliding window in bounded memory, see ngx_zapier_window.h.
 *
 * As long as there is room, each millisecond with calls has a slot of its
 * own.  So a limit of up to NGX_ZAPIER_WINDOW_SLOTS is never delayed.  When
 * the slots are full, neighbours are joined.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_window.h>


#define NGX_ZAPIER_WINDOW_FIRST_SIZE  4

/*
 * The longest time that calls of one slot may be apart.  Starts of joined
 * slots are further apart than this, and all lie within a window and a
 * step.  So with window / (SLOTS - 2) at least one slot is left free.
 */
#define ngx_zapier_window_step(window)                                       \
    (((window) + NGX_ZAPIER_WINDOW_SLOTS - 3)                                \
     / (NGX_ZAPIER_WINDOW_SLOTS - 2))

/* slots never reach back two windows, so 32 bits tell what is later */
#define ngx_zapier_window_since(a, b)                                        \
    ((int32_t) ((uint32_t) (a) - (uint32_t) (b)))


static void ngx_zapier_window_join(ngx_zapier_window_t *w, uint32_t step);
static void ngx_zapier_window_remove(ngx_zapier_window_t *w, ngx_uint_t i,
    ngx_uint_t n);


void
ngx_zapier_window_expire(ngx_zapier_window_t *w, uint64_t now,
    uint32_t window)
{
    uint64_t    used;
    ngx_uint_t  n;

    if (w->nslots == 0
        || (now > w->touched && now - w->touched >= window))
    {
        w->nslots = 0;
        w->used = 0;
        return;
    }

    for (n = 0; n < w->nslots; n++) {

        if (ngx_zapier_window_since(now, w->slots[n].last)
            < (int32_t) window)
        {
            break;
        }
    }

    if (n == 0) {
        return;
    }

    ngx_zapier_window_remove(w, 0, n);

    /* counted anew: a worker may have died between a slot and the sum */

    used = 0;

    for (n = 0; n < w->nslots; n++) {
        used += w->slots[n].count;
    }

    w->used = (uint32_t) ngx_min(used, (uint32_t) -1);
}


uint32_t
ngx_zapier_window_wait(ngx_zapier_window_t *w, uint64_t now,
    uint32_t window, uint32_t limit, uint32_t units)
{
    int32_t                    age;
    uint64_t                   need, freed;
    ngx_uint_t                 n;
    ngx_zapier_window_slot_t  *slot;

    if (units > limit) {
        return NGX_ZAPIER_WINDOW_NEVER;
    }

    if ((uint64_t) w->used + units <= limit) {
        return 0;
    }

    need = (uint64_t) w->used + units - limit;
    freed = 0;
    age = 0;

    for (n = 0; n < w->nslots && freed < need; n++) {
        slot = &w->slots[n];
        freed += slot->count;
        age = ngx_zapier_window_since(now, slot->last);
    }

    if (age < 0) {
        return window;
    }

    return (uint32_t) age < window ? window - (uint32_t) age : 1;
}


void
ngx_zapier_window_charge(ngx_zapier_window_t *w, uint64_t now,
    uint32_t window, uint32_t units)
{
    uint32_t                   low, step;
    ngx_zapier_window_slot_t  *slot;

    if (units == 0 || w->size == 0) {
        return;
    }

    if (w->nslots && now < w->touched) {
        now = w->touched;
    }

    low = (uint32_t) now;
    step = ngx_zapier_window_step(window);

    /* a worker that dies in between leaves too much used, never too little */

    w->touched = now;
    w->used = (w->used > (uint32_t) -1 - units) ? (uint32_t) -1
                                                : w->used + units;

    if (w->nslots == w->size) {
        slot = &w->slots[w->nslots - 1];

        if (slot->last != low && low - slot->first > step) {
            ngx_zapier_window_join(w, step);
        }
    }

    if (w->nslots) {
        slot = &w->slots[w->nslots - 1];

        if (w->nslots == w->size || slot->last == low) {
            slot->last = low;
            slot->count += units;
            return;
        }
    }

    slot = &w->slots[w->nslots];

    slot->first = low;
    slot->last = low;
    slot->count = units;

    ngx_memory_barrier();

    w->nslots++;
}


void
ngx_zapier_window_return(ngx_zapier_window_t *w, uint64_t at,
    uint32_t units)
{
    ngx_uint_t                 n;
    ngx_zapier_window_slot_t  *slot;

    if (at > w->touched || w->touched - at > 0x7fffffff) {
        return;
    }

    for (n = w->nslots; n-- > 0; /* void */) {
        slot = &w->slots[n];

        if (ngx_zapier_window_since(at, slot->first) < 0) {
            continue;
        }

        if (ngx_zapier_window_since(at, slot->last) > 0) {
            return;
        }

        units = ngx_min(units, slot->count);

        if (units == slot->count) {
            ngx_zapier_window_remove(w, n, 1);

        } else {
            slot->count -= units;
        }

        w->used -= ngx_min(units, w->used);

        return;
    }
}


uint32_t
ngx_zapier_window_recent(ngx_zapier_window_t *w, uint64_t now, uint32_t age)
{
    uint32_t    units;
    ngx_uint_t  n;

    units = 0;

    for (n = w->nslots; n-- > 0; /* void */) {

        if (ngx_zapier_window_since(now, w->slots[n].first) >= (int32_t) age) {
            break;
        }

        units += w->slots[n].count;
    }

    return units;
}


ngx_uint_t
ngx_zapier_window_grow(ngx_zapier_window_t *w, uint64_t now,
    uint32_t window)
{
    (void) window;

    if (w->nslots < w->size || w->size >= NGX_ZAPIER_WINDOW_SLOTS) {
        return 0;
    }

    if (w->nslots && w->slots[w->nslots - 1].last == (uint32_t) now) {
        return 0;
    }

    return w->size ? w->size * 2 : NGX_ZAPIER_WINDOW_FIRST_SIZE;
}


/* Joins neighbours as long as the slot spans no more than a step. */

static void
ngx_zapier_window_join(ngx_zapier_window_t *w, uint32_t step)
{
    ngx_uint_t                 n;
    ngx_zapier_window_slot_t  *to, *slot;

    to = &w->slots[0];

    for (n = 1; n < w->nslots; n++) {
        slot = &w->slots[n];

        if (slot->last - to->first <= step) {
            to->last = slot->last;
            to->count += slot->count;
            continue;
        }

        *++to = *slot;
    }

    w->nslots = (uint16_t) (to - w->slots + 1);
}


static void
ngx_zapier_window_remove(ngx_zapier_window_t *w, ngx_uint_t i, ngx_uint_t n)
{
    /* who dies in between leaves the last slots twice, not too few */

    ngx_memmove(&w->slots[i], &w->slots[i + n],
                (w->nslots - n - i) * sizeof(ngx_zapier_window_slot_t));

    ngx_memory_barrier();

    w->nslots -= (uint16_t) n;

    if (w->nslots == 0) {
        w->used = 0;
    }
}
