
/*
 * Script calls that claim units of scopes, or give them back.  Private to
 * limit/.
 */


#ifndef _NGX_ZAPIER_LIMIT_ASK_H_INCLUDED_
#define _NGX_ZAPIER_LIMIT_ASK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_zapier_limit_entry.h>
#include <ngx_zapier_redis_script.h>


/* of a scope in redis/scripts/limit_claim.lua */
#define NGX_ZAPIER_LIMIT_NUMBERS    (11 * (NGX_INT64_LEN + 1))
#define NGX_ZAPIER_LIMIT_ANSWERS    7

/* where among them, from 1, there is a time of Redis */
#define NGX_ZAPIER_LIMIT_STAMP      6


typedef struct {
    ngx_zapier_limit_zone_t   *zone;
    ngx_zapier_limit_scope_t  *scope;      /* of the claim, while it lives */
    uint32_t                   hash;
    ngx_str_t                  key;        /* of the entry */
    ngx_str_t                  name;       /* in Redis */
    ngx_str_t                  numbers;
    uint32_t                   units;
    uint64_t                   stamp;      /* 0: nothing in store */
    uint32_t                   back;       /* units that there was no room
                                              for in store */
    uint64_t                   back_stamp;
} ngx_zapier_limit_asked_t;


/*
 * A call under way: first to get units, later perhaps to give back what is
 * left when the lease ends.
 */
typedef struct {
    ngx_queue_t                queue;
    ngx_zapier_limits_t       *limits;
    ngx_zapier_limit_claim_t  *claim;      /* NULL: it has been cancelled */
    ngx_queue_t                waiting;    /* other claims */
    ngx_zapier_redis_eval_t    eval;
    ngx_event_t                timer;
    uint64_t                   sent;       /* ngx_zapier_clock() ms */
    uint64_t                   end;        /* of the longest lease */
    ngx_uint_t                 asking;
    ngx_uint_t                 debt;       /* Redis is to be told of calls */
    ngx_uint_t                 n;
    uint32_t                   nodes;      /* that are alive */
    ngx_str_t                  registry;   /* of them, in Redis */
    ngx_zapier_limit_asked_t   scopes[NGX_ZAPIER_LIMIT_CHAIN];
    u_char                     node[2 * 16];
} ngx_zapier_limit_ask_t;


/* Who asks for something that the chain lacks?  NULL: nobody. */
ngx_zapier_limit_ask_t *ngx_zapier_limit_ask_find(
    ngx_zapier_limit_chain_t *chain);

/*
 * For the links that are marked as lacking; keys and names are copied.
 * NULL: no memory.
 */
ngx_zapier_limit_ask_t *ngx_zapier_limit_ask_create(
    ngx_zapier_limits_t *limits, ngx_zapier_limit_claim_t *claim,
    ngx_uint_t n, ngx_zapier_limit_link_t *links);
void ngx_zapier_limit_ask_free(ngx_zapier_limit_ask_t *ask);

/*
 * Numbers for redis/scripts/limit_claim.lua; link: has those of a claim,
 * NULL: nothing is claimed.
 */
void ngx_zapier_limit_ask_numbers(ngx_zapier_limit_asked_t *asked,
    ngx_zapier_limit_link_t *link, uint32_t own, ngx_uint_t crowd);

/*
 * Calls a script for the scopes that have numbers; registry: with the key
 * of the nodes that are alive.  Returns as ngx_zapier_redis_eval() does.
 */
ngx_int_t ngx_zapier_limit_ask_send(ngx_zapier_limit_ask_t *ask,
    ngx_zapier_redis_script_t *script, ngx_uint_t registry,
    void (*handler)(ngx_zapier_redis_eval_t *eval));

/* ngx_zapier_limit_debt.c: takes the ask over, to tell Redis of it later */
void ngx_zapier_limit_debt(ngx_zapier_limit_ask_t *ask);

/* The entry of a scope or NULL; with the mutex held. */
ngx_zapier_limit_entry_t *ngx_zapier_limit_ask_entry(
    ngx_zapier_limit_ask_t *ask, ngx_uint_t i);


#endif /* _NGX_ZAPIER_LIMIT_ASK_H_INCLUDED_ */
