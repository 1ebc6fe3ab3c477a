
/*
 * What an operator does to a scope, or asks of it, on all nodes.
 */


#ifndef _NGX_ZAPIER_LIMIT_OPERATE_H_INCLUDED_
#define _NGX_ZAPIER_LIMIT_OPERATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_limit.h>
#include <ngx_zapier_limit_news.h>
#include <ngx_zapier_redis_script.h>


/* of which a node's account of a scope is told */
#define NGX_ZAPIER_LIMIT_HOLDERS  64


typedef struct {
    ngx_str_t                  node;
    int64_t                    used;       /* units in the window */
    int64_t                    leased;     /* those of them on lease */
    ngx_uint_t                 here;       /* it is this node */
} ngx_zapier_limit_holder_t;


typedef struct ngx_zapier_limit_op_s  ngx_zapier_limit_op_t;

/* Memory belongs to the caller; zeroed before first use. */
struct ngx_zapier_limit_op_s {
    ngx_zapier_limits_t       *limits;
    ngx_zapier_limit_zone_t   *zone;
    ngx_str_t                  key;
    ngx_str_t                  tag;
    ngx_zapier_limit_news_e    kind;       /* SHUT, FREE or RESET; VIEW: who
                                              has what */
    uint32_t                   time;       /* SHUT: ms */
    ngx_pool_t                *pool;
    void                     (*handler)(ngx_zapier_limit_op_t *op);
    void                      *data;

    /* results */
    ngx_int_t                  status;     /* NGX_ERROR: Redis was not
                                              reached, others do not know */
    ngx_uint_t                 nholders;
    ngx_zapier_limit_holder_t  holders[NGX_ZAPIER_LIMIT_HOLDERS];

    /* private */
    ngx_uint_t                 busy;
    ngx_zapier_redis_cmd_t     cmd;        /* RESET: the scope's count goes */
    ngx_zapier_redis_eval_t    eval;
};


/*
 * NGX_OK        done, op->status tells
 * NGX_AGAIN     the handler will be called, never from here
 * NGX_DECLINED  the key is too long, or there is no memory for the scope
 */
ngx_int_t ngx_zapier_limit_operate(ngx_zapier_limit_op_t *op);

/* The handler will not be called.  Safe at any time. */
void ngx_zapier_limit_operate_cancel(ngx_zapier_limit_op_t *op);

/* Another node's operator says so.  NGX_OK, or NGX_DECLINED: no memory. */
ngx_int_t ngx_zapier_limit_operated(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_news_e kind, uint32_t time);


#endif /* _NGX_ZAPIER_LIMIT_OPERATE_H_INCLUDED_ */
