
/*
 * Which way a branch goes for nearly every call, where a compiler would guess
 * otherwise: it takes pointers to be there, and loops to go round.  A call
 * passes so much code but once that each jump is felt; to be used only where
 * that was measured.
 */


#ifndef _NGX_ZAPIER_LIKELY_H_INCLUDED_
#define _NGX_ZAPIER_LIKELY_H_INCLUDED_


#define ngx_zapier_likely(x)    __builtin_expect((x) != 0, 1)
#define ngx_zapier_unlikely(x)  __builtin_expect((x) != 0, 0)


#endif /* _NGX_ZAPIER_LIKELY_H_INCLUDED_ */
