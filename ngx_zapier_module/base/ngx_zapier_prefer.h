
/*
 * What a caller prefers, RFC 7240.
 */


#ifndef _NGX_ZAPIER_PREFER_H_INCLUDED_
#define _NGX_ZAPIER_PREFER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    ngx_int_t                  wait;       /* s, -1: not said */
    ngx_uint_t                 respond_async;
} ngx_zapier_prefer_t;


#define ngx_zapier_prefer_init(prefer)                                       \
    (prefer)->wait = -1;                                                     \
    (prefer)->respond_async = 0


/*
 * Adds what one Prefer header says.  Of a preference that is there twice
 * the first one counts; what is not known or malformed is passed over.
 */
void ngx_zapier_prefer_header(ngx_zapier_prefer_t *prefer,
    ngx_str_t *value);


#endif /* _NGX_ZAPIER_PREFER_H_INCLUDED_ */
