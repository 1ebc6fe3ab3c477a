
/*
 * Calls that wait for quota: in weighted fair order between parties, as a
 * rule the tenants, and each in the order of arrival within its own.
 *
 * A queue is of one worker and in its own memory.  Whose turn it is to ask
 * for units is decided here; who gets them, by the claim as ever.
 */


#ifndef _NGX_ZAPIER_LIMIT_QUEUE_H_INCLUDED_
#define _NGX_ZAPIER_LIMIT_QUEUE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_zapier_limit.h>


#define NGX_ZAPIER_LIMIT_QUEUE_WEIGHT  1000


/* how many may wait at a time, in a worker */
typedef struct {
    ngx_uint_t                 max;
    ngx_uint_t                 n;          /* private */
} ngx_zapier_limit_room_t;


typedef struct ngx_zapier_limit_waiter_s  ngx_zapier_limit_waiter_t;

/* Memory belongs to the caller; zeroed before first use. */
struct ngx_zapier_limit_waiter_s {
    ngx_zapier_limits_t       *limits;
    ngx_zapier_limit_claim_t  *claim;      /* its handler and data are ours */
    ngx_zapier_limit_room_t   *room;
    ngx_str_t                  party;
    ngx_uint_t                 weight;     /* of the party, 1 to 1000 */
    ngx_msec_t                 time;       /* ms, at most */
    void                     (*handler)(ngx_zapier_limit_waiter_t *waiter);
    void                      *data;

    ngx_uint_t                 full;       /* refused for want of room */
    ngx_msec_t                 waited;     /* ms; 0: not at all */

    /* private */
    void                      *flow;       /* NULL: not in a queue */
    ngx_zapier_limit_scope_t  *scope;      /* that it waits for */
    ngx_queue_t                queue;
    ngx_msec_t                 since;
    uint32_t                   units;
    ngx_event_t                event;
};


/*
 * Claims the chain as ngx_zapier_limit_start() does, but not before others
 * who wait for one of its scopes, and waits as well if it has to, unless
 * that is sure to take too long.
 *
 * NGX_OK     done, claim->verdict and claim->view tell, and waiter->full
 * NGX_AGAIN  the handler will be called, never from here
 */
ngx_int_t ngx_zapier_limit_queue(ngx_zapier_limit_waiter_t *waiter);

/* The handler will not be called; what was charged is returned. */
void ngx_zapier_limit_queue_cancel(ngx_zapier_limit_waiter_t *waiter);

/*
 * ms until a claim that was just refused would pass, as far as is known,
 * if so many units went before it.
 */
uint64_t ngx_zapier_limit_forecast(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim, uint64_t ahead);


#endif /* _NGX_ZAPIER_LIMIT_QUEUE_H_INCLUDED_ */
