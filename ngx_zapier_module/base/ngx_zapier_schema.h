
/*
 * JSON Schema, draft 2020-12: is a value as it should be?
 *
 * One document, without references to others: its vocabularies are core,
 * applicator, unevaluated and validation; format, content and meta-data say
 * nothing here.  https://json-schema.org/draft/2020-12
 */


#ifndef _NGX_ZAPIER_SCHEMA_H_INCLUDED_
#define _NGX_ZAPIER_SCHEMA_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <jansson.h>


/* faults of one value that are told, others are passed over */
#define NGX_ZAPIER_SCHEMA_FAULTS  16

/* values within values, and references to references */
#define NGX_ZAPIER_SCHEMA_DEPTH   256

/*
 * Times that a schema is applied to a value or a part of it: references can
 * make it any number, and a worker has other things to do
 */
#define NGX_ZAPIER_SCHEMA_STEPS   200000


typedef struct ngx_zapier_schema_s  ngx_zapier_schema_t;


typedef struct {
    ngx_str_t                  pointer;    /* RFC 6901, of what is wrong */
    ngx_str_t                  keyword;    /* that says so */
    ngx_str_t                  detail;     /* a sentence; nothing of the value
                                              is in it */
} ngx_zapier_schema_fault_t;


/*
 * Understands a schema, which is kept as long as pool.  Wrong types of
 * keywords are faults, unknown keywords are not.
 *
 * NULL: it is at fault, *why says where and why; or no memory, *why is empty
 */
ngx_zapier_schema_t *ngx_zapier_schema_compile(ngx_pool_t *pool,
    json_t *document, ngx_str_t *why);

/*
 * NGX_OK        valid
 * NGX_DECLINED  it is not: ngx_zapier_schema_fault_t are pushed to faults,
 *               in pool
 * NGX_ERROR     no memory
 */
ngx_int_t ngx_zapier_schema_check(ngx_zapier_schema_t *schema, json_t *value,
    ngx_pool_t *pool, ngx_array_t *faults);


#endif /* _NGX_ZAPIER_SCHEMA_H_INCLUDED_ */
