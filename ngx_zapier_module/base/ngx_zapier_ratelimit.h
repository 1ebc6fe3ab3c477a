
/*
 * Values of X-RateLimit-Limit, -Remaining, -Reset and Retry-After in the
 * dialects that Zapier's documents and clients know: Reset as epoch
 * seconds or as a delta, Retry-After as seconds or as an HTTP-date
 * (RFC 9110 10.2.3).  What is malformed is as good as absent.
 */


#ifndef _NGX_ZAPIER_RATELIMIT_H_INCLUDED_
#define _NGX_ZAPIER_RATELIMIT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* no header is believed further ahead than this, seconds */
#define NGX_ZAPIER_RATELIMIT_AHEAD  86400

#define NGX_ZAPIER_RATELIMIT_UNSET  (-1)


/* all NGX_ZAPIER_RATELIMIT_UNSET when absent */
typedef struct {
    int64_t     limit;
    int64_t     remaining;
    int64_t     reset;         /* seconds from now, 0 .. AHEAD */
    int64_t     reset_at;      /* the same in epoch seconds, if it was
                                  given so and is not past */
    int64_t     retry_after;   /* seconds from now, 0 .. AHEAD */
} ngx_zapier_ratelimit_t;


/* May a header of that name be one of the four? */
#define ngx_zapier_ratelimit_likely(name)                                    \
    ((name)->len == sizeof("Retry-After") - 1                                \
     || (name)->len == sizeof("X-RateLimit-Limit") - 1                       \
     || (name)->len == sizeof("X-RateLimit-Remaining") - 1)


void ngx_zapier_ratelimit_init(ngx_zapier_ratelimit_t *rl);

/*
 * Takes one response header; others are ignored, names are compared
 * without case.  now is the wall clock in epoch seconds.  Of several
 * headers of one name the stricter value wins.
 *
 * NGX_OK        it was one of the four and well formed
 * NGX_DECLINED  another header
 * NGX_ERROR     one of the four but malformed: ignored
 */
ngx_int_t ngx_zapier_ratelimit_header(ngx_zapier_ratelimit_t *rl,
    ngx_str_t *name, ngx_str_t *value, time_t now);


#endif /* _NGX_ZAPIER_RATELIMIT_H_INCLUDED_ */
