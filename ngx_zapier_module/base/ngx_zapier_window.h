
/*
 * An exact sliding window in bounded memory.
 *
 * Calls are kept in slots, oldest first.  A slot counts calls that were
 * made within about window / NGX_ZAPIER_WINDOW_SLOTS of each other and
 * lives until the last of them is a whole window old.  So no interval of
 * the window's length ever holds more than the limit.  A limit of up to
 * NGX_ZAPIER_WINDOW_SLOTS is used in full, and a greater one under-used by
 * less than 2 %: a slot delays its calls by up to 0.8 % of the window, and
 * then gives them back at once, to be used one by one.
 *
 * Times are milliseconds of one monotonic clock.  Nothing here locks.
 */


#ifndef _NGX_ZAPIER_WINDOW_H_INCLUDED_
#define _NGX_ZAPIER_WINDOW_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_ZAPIER_WINDOW_SLOTS  128


typedef struct {
    uint32_t    first;   /* low 32 bits of the time of the first call */
    uint32_t    last;    /* ... and of the last one */
    uint32_t    count;   /* units, never 0 in use */
} ngx_zapier_window_slot_t;


typedef struct {
    uint64_t                    touched;  /* time of the last charge */
    uint32_t                    used;     /* units in all slots */
    uint16_t                    nslots;   /* slots in use, from slots[0] */
    uint16_t                    size;     /* slots there is memory for */
    ngx_zapier_window_slot_t   *slots;    /* owned by the caller */
} ngx_zapier_window_t;


/*
 * Forgets what is older than the window (ms).  Call it first, with the
 * same now, before the functions below.
 */
void ngx_zapier_window_expire(ngx_zapier_window_t *w, uint64_t now,
    uint32_t window);

/*
 * Milliseconds until units more fit under limit: 0 now, else at least 1;
 * NGX_ZAPIER_WINDOW_NEVER if units > limit.
 */
#define NGX_ZAPIER_WINDOW_NEVER  ((uint32_t) -1)

uint32_t ngx_zapier_window_wait(ngx_zapier_window_t *w, uint64_t now,
    uint32_t window, uint32_t limit, uint32_t units);

/*
 * Adds units at now.  Without room for another slot the last one is
 * stretched, which errs on the safe side.
 */
void ngx_zapier_window_charge(ngx_zapier_window_t *w, uint64_t now,
    uint32_t window, uint32_t units);

/* Takes units back that were charged at the time at and never used. */
void ngx_zapier_window_return(ngx_zapier_window_t *w, uint64_t at,
    uint32_t units);

/* Units in slots that began less than age ms ago. */
uint32_t ngx_zapier_window_recent(ngx_zapier_window_t *w, uint64_t now,
    uint32_t age);

/* Would ngx_zapier_window_charge() like more memory?  The new size or 0. */
ngx_uint_t ngx_zapier_window_grow(ngx_zapier_window_t *w, uint64_t now,
    uint32_t window);


#endif /* _NGX_ZAPIER_WINDOW_H_INCLUDED_ */
