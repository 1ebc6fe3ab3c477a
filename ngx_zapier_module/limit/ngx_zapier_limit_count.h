
/*
 * Counters of a zone, of all workers of the node.  They live as long as
 * the shared memory does, also when the zone is not configured any more.
 */


#ifndef _NGX_ZAPIER_LIMIT_COUNT_H_INCLUDED_
#define _NGX_ZAPIER_LIMIT_COUNT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_limit.h>


/* new ones at the end, with a name in ngx_zapier_limit_count.c */
typedef enum {
    NGX_ZAPIER_LIMIT_COUNT_CLOSED = 0,     /* gates that were open */
    NGX_ZAPIER_LIMIT_COUNT_PROBES,
    NGX_ZAPIER_LIMIT_COUNT_REOPENED,       /* by the answer to a probe */
    NGX_ZAPIER_LIMIT_COUNT_DRIFT_REFUSED,
    NGX_ZAPIER_LIMIT_COUNT_DRIFT_LIMIT,
    NGX_ZAPIER_LIMIT_COUNT_ASKED,          /* Redis, for units */
    NGX_ZAPIER_LIMIT_COUNT_FALL_LOCAL,     /* calls without its count */
    NGX_ZAPIER_LIMIT_COUNT_FALL_OPEN,
    NGX_ZAPIER_LIMIT_COUNT_FALL_CLOSED,
    NGX_ZAPIER_LIMIT_COUNT_TOLD,           /* news to other nodes */
    NGX_ZAPIER_LIMIT_COUNT_DRY_RUN,        /* refused, but let through */
    NGX_ZAPIER_LIMIT_COUNT_QUEUED,         /* calls that had to wait */
    NGX_ZAPIER_LIMIT_COUNT_QUEUE_LATE,     /* ... in vain */
    NGX_ZAPIER_LIMIT_COUNT_QUEUE_FULL,     /* refused for want of room */
    NGX_ZAPIER_LIMIT_COUNT_YIELDED,        /* refused in favour of others */
    NGX_ZAPIER_LIMIT_COUNTERS
} ngx_zapier_limit_counter_e;


/* what is said again only after a while, see ngx_zapier_limit_may_warn() */
typedef enum {
    NGX_ZAPIER_LIMIT_WARN_REFUSED = 0,
    NGX_ZAPIER_LIMIT_WARN_LIMIT,
    NGX_ZAPIER_LIMIT_WARNINGS
} ngx_zapier_limit_warning_e;


/* in shared memory, never removed */
struct ngx_zapier_limit_counts_s {
    ngx_zapier_limit_counts_t *next;
    ngx_atomic_t               counters[NGX_ZAPIER_LIMIT_COUNTERS];
    ngx_atomic_t               warned[NGX_ZAPIER_LIMIT_WARNINGS];
    size_t                     len;
    u_char                     name[1];    /* and more */
};


extern const char  *ngx_zapier_limit_counters[];


/*
 * Counts n more.  The mutex must not be held; it is taken once per worker
 * and zone only.
 */
void ngx_zapier_limit_count(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_zone_t *zone, ngx_zapier_limit_counter_e counter,
    ngx_uint_t n);

/* How many were counted; the same with the mutex. */
ngx_uint_t ngx_zapier_limit_counted(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_zone_t *zone, ngx_zapier_limit_counter_e counter);

/* 1 to one caller of the node within so many seconds. */
ngx_uint_t ngx_zapier_limit_may_warn(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_zone_t *zone, ngx_zapier_limit_warning_e warning,
    ngx_uint_t seconds);


#endif /* _NGX_ZAPIER_LIMIT_COUNT_H_INCLUDED_ */
