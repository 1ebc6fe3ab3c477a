
/*
 * What is found out about actions: the entry that Redis has for a name, and
 * the id that an app has for one of its actions by now.
 *
 * One flight in a worker, and one at a time on a node, finds it out for all
 * who want to know.  It is kept in shared memory, ids in Redis as well, as
 * long as the configuration says.
 */


#ifndef _NGX_ZAPIER_LOOKUP_H_INCLUDED_
#define _NGX_ZAPIER_LOOKUP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_run.h>


#define NGX_ZAPIER_LOOKUP_NAME_LEN  255


typedef struct ngx_zapier_lookup_s  ngx_zapier_lookup_t;


typedef enum {
    NGX_ZAPIER_LOOKUP_FOUND = 0,
    NGX_ZAPIER_LOOKUP_NONE,        /* there is none */
    NGX_ZAPIER_LOOKUP_FAILED       /* it could not be found out */
} ngx_zapier_lookup_result_e;


typedef struct {
    ngx_zapier_lookup_result_e   result;
    ngx_str_t                    value;    /* FOUND: the id or the entry;
                                              FAILED: the code of an answer
                                              of the gateway, or empty */
    ngx_uint_t                   status;   /* FAILED: of HTTP, 0: none */
    time_t                       retry_after;  /* s, 0: not said */
} ngx_zapier_lookup_answer_t;


/* Somebody who wants to know; zeroed before use, memory is the caller's. */
struct ngx_zapier_lookup_s {
    ngx_zapier_runs_t           *runs;
    ngx_str_t                    name;     /* of an entry, 1 to 255 bytes;
                                              empty: for an id */
    ngx_str_t                    tenant;
    ngx_str_t                    app;
    ngx_str_t                    key;
    ngx_str_t                    type;     /* empty: any */
    ngx_str_t                    uri;      /* of the location that asks */
    ngx_msec_t                   cache;    /* ms that what was found out will
                                              do; 0: it is asked each time */
    ngx_msec_t                   before;   /* ms before now that count as
                                              now all the same */
    ngx_uint_t                   again;    /* a 401 may be due to a token that
                                              will be refreshed */
    ngx_pool_t                  *pool;     /* for the answer */

    /* what GETs need to know, from the pool given; NULL: no memory */
    void                      *(*origin)(ngx_zapier_lookup_t *lookup,
                                         ngx_pool_t *pool);
    void                       (*handler)(ngx_zapier_lookup_t *lookup);
    void                        *data;

    /* for the handler */
    ngx_zapier_lookup_answer_t   answer;

    /* private */
    ngx_uint_t                   waiting;
    ngx_queue_t                  queue;
};


/* Adds the table to the zone; at configuration time. */
ngx_int_t ngx_zapier_lookups_init(ngx_conf_t *cf, ngx_zapier_runs_t *runs);

/* Ends what is under way without calling handlers; in a worker. */
void ngx_zapier_lookups_exit_worker(void);

/*
 * NGX_OK     done, lookup->answer tells
 * NGX_AGAIN  the handler will be called, never from here
 * NGX_ERROR  no memory
 */
ngx_int_t ngx_zapier_lookup(ngx_zapier_lookup_t *lookup);

/* The handler will not be called.  Safe at any time. */
void ngx_zapier_lookup_cancel(ngx_zapier_lookup_t *lookup);


#endif /* _NGX_ZAPIER_LOOKUP_H_INCLUDED_ */
