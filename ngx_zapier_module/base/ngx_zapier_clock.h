
/*
 * The clock of everything that lives in shared memory: CLOCK_MONOTONIC in
 * milliseconds, the same in all processes of the machine.  Unlike
 * ngx_current_msec it is not cached per event loop turn, so that two
 * workers never disagree on the order of two events.
 */


#ifndef _NGX_ZAPIER_CLOCK_H_INCLUDED_
#define _NGX_ZAPIER_CLOCK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


static ngx_inline uint64_t
ngx_zapier_clock(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}


/* The same, some ms behind, for less than half of what the other costs. */

static ngx_inline uint64_t
ngx_zapier_clock_coarse(void)
{
#ifdef CLOCK_MONOTONIC_COARSE

    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);

    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;

#else

    return ngx_zapier_clock();

#endif
}


#endif /* _NGX_ZAPIER_CLOCK_H_INCLUDED_ */
