
/*
 * Memory that has held a secret.
 */


#ifndef _NGX_ZAPIER_WIPE_H_INCLUDED_
#define _NGX_ZAPIER_WIPE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Zeroes len bytes at p, and what copying them has left in registers.  The
 * last copy of a secret must be wiped after the last look at it: nothing is
 * left in a core file then.  Costs some ns, whatever len is.
 */
void ngx_zapier_wipe(void *p, size_t len);


#endif /* _NGX_ZAPIER_WIPE_H_INCLUDED_ */
