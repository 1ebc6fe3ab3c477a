
/*
 * The body of a bulk request: an array of runs, bare or as the "data" of an
 * object.  It is validated as a whole; what an item means is the matter of
 * the envelope.
 */


#ifndef _NGX_ZAPIER_ITEMS_H_INCLUDED_
#define _NGX_ZAPIER_ITEMS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_envelope.h>


typedef struct {
    ngx_str_t                 *items;      /* inside of the text */
    ngx_uint_t                 n;
    ngx_uint_t                 enveloped;  /* they are in "data" */
    ngx_zapier_fault_t         fault;
} ngx_zapier_items_t;


/*
 * Finds where the items of text begin and end.
 *
 * NGX_OK        there are 1 to max of them
 * NGX_DECLINED  there are not, see the fault
 * NGX_ERROR     no memory
 */
ngx_int_t ngx_zapier_items(ngx_zapier_items_t *items, ngx_pool_t *pool,
    ngx_str_t *text, ngx_uint_t max);


#endif /* _NGX_ZAPIER_ITEMS_H_INCLUDED_ */
