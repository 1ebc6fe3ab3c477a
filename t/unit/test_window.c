
/*
 * The sliding window, by example and against a log of all calls that was
 * kept the plain way.
 */

#include <unit.h>
#include <ngx_zapier_window.h>


#define LOG_SIZE  400000
#define DAY       86400000


/* each admitted call that was not returned */
typedef struct {
    uint64_t              at;
    uint32_t              units;
} call_t;


typedef struct {
    call_t               *calls;
    size_t                n;
    size_t                first;      /* the oldest one in the window */
    uint64_t              used;
    uint64_t              admitted;
} log_t;


typedef struct {
    ngx_zapier_window_t   w;
    uint32_t              window;
    uint32_t              limit;
    uint64_t              now;
    log_t                 log;        /* what the window admitted */
    log_t                 ideal;      /* what a plain log would have */
    uint64_t              overruns;
    uint64_t              differ;
    uint64_t              liars;      /* waits that were not the truth */
} sim_t;


static uint64_t  seed = 20261123;


static uint32_t
rnd(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return (uint32_t) ((seed >> 11) % n);
}


static void
log_expire(log_t *log, uint64_t now, uint32_t window)
{
    while (log->first < log->n
           && now - log->calls[log->first].at >= window)
    {
        log->used -= log->calls[log->first++].units;
    }
}


static void
log_add(log_t *log, uint64_t now, uint32_t units)
{
    log->calls[log->n].at = now;
    log->calls[log->n++].units = units;
    log->used += units;
    log->admitted += units;
}


static void
window_init(ngx_zapier_window_t *w)
{
    ngx_memzero(w, sizeof(ngx_zapier_window_t));
}


static void
window_free(ngx_zapier_window_t *w)
{
    free(w->slots);
    window_init(w);
}


/* what the layer above does: expire, wait, grow, charge */

static uint32_t
claim(ngx_zapier_window_t *w, uint64_t now, uint32_t window, uint32_t limit,
    uint32_t units)
{
    uint32_t    wait;
    ngx_uint_t  size;

    ngx_zapier_window_expire(w, now, window);

    wait = ngx_zapier_window_wait(w, now, window, limit, units);
    if (wait) {
        return wait;
    }

    size = ngx_zapier_window_grow(w, now, window);
    if (size) {
        w->slots = realloc(w->slots,
                           size * sizeof(ngx_zapier_window_slot_t));
        w->size = size;
    }

    ngx_zapier_window_charge(w, now, window, units);

    return 0;
}


static void
sim_init(sim_t *s, uint32_t limit, uint32_t window, uint64_t now)
{
    ngx_memzero(s, sizeof(sim_t));

    s->window = window;
    s->limit = limit;
    s->now = now;
    s->log.calls = malloc(LOG_SIZE * sizeof(call_t));
    s->ideal.calls = malloc(LOG_SIZE * sizeof(call_t));
}


static void
sim_free(sim_t *s)
{
    free(s->log.calls);
    free(s->ideal.calls);
    window_free(&s->w);
}


static uint32_t
sim_try(sim_t *s, uint32_t units)
{
    uint32_t  wait;

    log_expire(&s->log, s->now, s->window);
    log_expire(&s->ideal, s->now, s->window);

    wait = claim(&s->w, s->now, s->window, s->limit, units);

    if (wait == 0) {
        log_add(&s->log, s->now, units);
    }

    if (s->log.used > s->limit) {
        s->overruns++;
    }

    if (s->ideal.used + units <= s->limit) {
        log_add(&s->ideal, s->now, units);
        s->differ += (wait != 0);

    } else {
        s->differ += (wait == 0);
    }

    return wait;
}


/* half of the time the last call never reached the upstream */

static void
sim_return(sim_t *s)
{
    call_t  *last;

    if (s->log.n == s->log.first || rnd(2)) {
        return;
    }

    last = &s->log.calls[s->log.n - 1];

    ngx_zapier_window_return(&s->w, last->at, last->units);

    s->log.used -= last->units;
    s->log.admitted -= last->units;
    s->log.n--;
}


static void
examples(void)
{
    uint64_t             now;
    ngx_zapier_window_t  w;

    window_init(&w);
    now = 5000;

    is_int(claim(&w, now, 1000, 2, 1), 0, "first of two");
    is_int(claim(&w, now + 400, 1000, 2, 1), 0, "second of two");
    is_int(claim(&w, now + 500, 1000, 2, 1), 500, "third waits for first");
    is_int(w.used, 2, "a refused call is not counted");
    is_int(claim(&w, now + 999, 1000, 2, 1), 1, "one ms early");
    is_int(claim(&w, now + 1000, 1000, 2, 1), 0, "a window later");
    is_int(claim(&w, now + 1000, 1000, 2, 2), 1000, "two wait for both");
    is_int(claim(&w, now + 1000, 1000, 2, 3), NGX_ZAPIER_WINDOW_NEVER,
           "three never fit");
    is_int(claim(&w, now + 1000, 1000, 4, 2), 0, "a raised limit");
    is_int(claim(&w, now + 1001, 1000, 1, 1), 999, "a lowered limit");

    ngx_zapier_window_return(&w, now + 1000, 1);
    is_int(w.used, 3, "a unit is given back");
    ngx_zapier_window_return(&w, now + 1000, 100);
    is_int(w.used, 1, "never more than was charged then");
    ngx_zapier_window_return(&w, now, 1);
    ngx_zapier_window_return(&w, now + 700, 1);
    ngx_zapier_window_return(&w, now + 5000, 1);
    ngx_zapier_window_return(&w, 0, 1);
    is_int(w.used, 1, "nothing for a time at which nothing was charged");

    ngx_zapier_window_expire(&w, now + 1000000, 1000);
    is_int(w.used, 0, "all is forgotten");
    is_int(w.nslots, 0, "all slots too");

    window_free(&w);
}


/* what a worker leaves that dies in the middle */

static void
broken_off(void)
{
    ngx_zapier_window_t  w;

    window_init(&w);

    (void) claim(&w, 5000, 1000, 60, 30);
    (void) claim(&w, 5400, 1000, 60, 30);

    /* it has taken old units from the sum, but not their slot away */

    w.used = 30;
    is_int(claim(&w, 6000, 1000, 60, 31), 400, "none is forgotten twice");
    is_int(w.used, 30, "those of the slots are counted");

    /* it has counted units, but written no slot */

    w.used = 60;
    is_int(claim(&w, 6400, 1000, 60, 60), 0, "none is counted for ever");
    is_int(w.used, 60, "all are free");

    window_free(&w);
}


static void
clock_edges(void)
{
    uint64_t             now;
    ngx_zapier_window_t  w;

    window_init(&w);
    now = 0xffffff00;

    claim(&w, now, DAY, 2, 1);
    claim(&w, now + 0x200, DAY, 2, 1);
    is_int(claim(&w, now + 0x300, DAY, 2, 1), DAY - 0x300,
           "low 32 bits wrap within the window");
    is_int(claim(&w, now + DAY, DAY, 2, 1), 0, "a day later");

    now += DAY + ((uint64_t) 1 << 32);
    is_int(claim(&w, now, DAY, 1, 1), 0, "the same low bits 49 days later");

    is_int(claim(&w, now - 10, DAY, 1, 1), DAY, "a clock that went back");
    is_int(claim(&w, now - 10, DAY, 2, 1), 0, "charges all the same");
    is_int(w.touched == now, 1, "and turns nothing back");

    window_free(&w);
}


/* no memory for more than the first slots */

static void
stretched(void)
{
    uint64_t                  now;
    uint32_t                  overruns, n;
    ngx_zapier_window_t       w;
    ngx_zapier_window_slot_t  slots[4];
    log_t                     log;

    window_init(&w);
    ngx_memzero(&log, sizeof(log_t));

    ngx_zapier_window_charge(&w, 1, 1000, 1);
    is_int(w.used, 0, "no slots at all");

    w.slots = slots;
    w.size = 4;
    log.calls = malloc(LOG_SIZE * sizeof(call_t));
    overruns = 0;
    now = 1;

    for (n = 0; n < 20000; n++) {
        now += rnd(60);
        log_expire(&log, now, 1000);
        ngx_zapier_window_expire(&w, now, 1000);

        if (ngx_zapier_window_wait(&w, now, 1000, 20, 1) == 0) {
            ngx_zapier_window_charge(&w, now, 1000, 1);
            log_add(&log, now, 1);
        }

        overruns += (log.used > 20);
    }

    is_int(overruns, 0, "four slots for a limit of 20 err on the safe side");
    ok(log.admitted > 4000, "but still admit");

    ngx_zapier_window_charge(&w, now, 1000, (uint32_t) -1);
    is_int(w.used, (uint32_t) -1, "units do not overflow");

    free(log.calls);
}


/* random demand of about three times the limit, some calls returned */

static void
random_demand(uint32_t limit, uint32_t window, uint64_t now)
{
    sim_t     s;
    char      buf[100];
    uint32_t  n, gap, units;

    sim_init(&s, limit, window, now);

    gap = (uint32_t) ((uint64_t) window * 2 / limit / 3);

    for (n = 0; n < 30000; n++) {
        units = (limit > 4 && rnd(10) == 0) ? 1 + rnd(3) : 1;

        if (sim_try(&s, units) == 0 && rnd(4) == 0) {
            sim_return(&s);
        }

        s.now += gap ? rnd(gap + 1) : rnd(3) == 0;

        if (rnd(5000) == 0) {
            s.now += rnd(window * 2);
        }
    }

    snprintf(buf, sizeof(buf), "%u per %u ms: no overrun", limit, window);
    is_int(s.overruns, 0, buf);

    sim_free(&s);
}


/*
 * The same demand without returns, compared with a plain log.  What counts
 * is the time until ten times the limit is admitted: calls come in bursts,
 * so that at any one time one of the two may be ahead by a burst.
 */

static void
saturated(uint32_t limit, uint32_t window)
{
    sim_t     s;
    char      buf[100];
    uint32_t  gap, units;
    uint64_t  target, start, took, best;

    sim_init(&s, limit, window, rnd(1000000000));

    /* the log holds so many calls and no more */

    units = 1 + limit / 30000;

    gap = (uint32_t) ((uint64_t) window * units / limit);
    target = (uint64_t) limit * 10;
    start = s.now;
    best = 0;

    while (s.log.admitted < target) {
        (void) sim_try(&s, units);

        if (best == 0 && s.ideal.admitted >= target) {
            best = s.now - start;
        }

        s.now += gap ? rnd(gap + 1) : rnd(4) == 0;
    }

    took = s.now - start;

    snprintf(buf, sizeof(buf), "%u per %u ms: no overrun", limit, window);
    is_int(s.overruns, 0, buf);

    snprintf(buf, sizeof(buf), "%u per %u ms: memory is bounded", limit,
             window);
    ok(s.w.size <= NGX_ZAPIER_WINDOW_SLOTS, buf);

    if (limit <= NGX_ZAPIER_WINDOW_SLOTS) {
        snprintf(buf, sizeof(buf), "%u per %u ms: exact", limit, window);
        is_int(s.differ, 0, buf);

    } else {
        snprintf(buf, sizeof(buf), "%u per %u ms: at least 98 %% used",
                 limit, window);
        if (!ok(best * 100 >= took * 98, buf)) {
            diag("%llu ms instead of %llu ms", (unsigned long long) took,
                 (unsigned long long) best);
        }
    }

    sim_free(&s);
}


/* wait() is the least time after which a call passes */

static void
honest_wait(uint32_t limit, uint32_t window)
{
    sim_t     s;
    char      buf[100];
    uint32_t  n, wait;

    sim_init(&s, limit, window, rnd(1000000000));

    for (n = 0; n < 20000; n++) {
        wait = sim_try(&s, 1);

        if (wait == 0) {
            s.now += rnd(window / limit + 2);
            continue;
        }

        if (wait > 1) {
            s.now += wait - 1;
            s.liars += (sim_try(&s, 1) != 1);
            wait = 1;
        }

        s.now += wait;
        s.liars += (sim_try(&s, 1) != 0);
    }

    snprintf(buf, sizeof(buf), "%u per %u ms: wait is true", limit, window);
    is_int(s.liars, 0, buf);

    sim_free(&s);
}


int
main(void)
{
    uint32_t  n;

    examples();
    broken_off();
    clock_edges();
    stretched();

    random_demand(60, 60000, 0xffff0000);
    random_demand(150, 60000, 0xffff0000);
    random_demand(1000000, 60000, 1);
    random_demand(1, 1000, 1);
    random_demand(100, DAY, 0xfff00000);

    for (n = 0; n < 40; n++) {
        random_demand(1 + rnd(n % 2 ? 64 : 5000), 1000 + rnd(120000),
                      rnd(1000000000));
    }

    for (n = 0; n < 20; n++) {
        saturated(1 + rnd(NGX_ZAPIER_WINDOW_SLOTS), 1000 + rnd(120000));
    }

    saturated(NGX_ZAPIER_WINDOW_SLOTS, 60000);
    saturated(NGX_ZAPIER_WINDOW_SLOTS + 1, 60000);
    saturated(150, 60000);
    saturated(1000, 1000);
    saturated(20000, 1000);
    saturated(1, 1000);
    saturated(1000000, 60000);
    saturated(100, DAY);

    for (n = 0; n < 20; n++) {
        saturated(129 + rnd(3000), 1000 + rnd(120000));
    }

    honest_wait(1, 1000);
    honest_wait(60, 60000);
    honest_wait(64, 2000);
    honest_wait(500, 60000);
    honest_wait(3000, 60000);

    return done();
}
