
/*
 * Writing token records and looking at them as an operator does.  Every
 * write raises the record's version by one, seals what is to be sealed and
 * takes away the mark of a dead refresh token.
 */


#ifndef _NGX_ZAPIER_TOKEN_STORE_H_INCLUDED_
#define _NGX_ZAPIER_TOKEN_STORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_token.h>


/* names in one answer of a list; SCAN may give a few more */
#define NGX_ZAPIER_TOKEN_LIST  100


typedef enum {
    NGX_ZAPIER_STORE_PUT = 0,
    NGX_ZAPIER_STORE_SHOW,
    NGX_ZAPIER_STORE_DELETE,
    NGX_ZAPIER_STORE_CLEAR,      /* takes the dead mark and a
                                    pause away */
    NGX_ZAPIER_STORE_LIST
} ngx_zapier_store_verb_e;


typedef enum {
    NGX_ZAPIER_STORE_OK = 0,
    NGX_ZAPIER_STORE_MISSING,      /* there is no such record */
    NGX_ZAPIER_STORE_INVALID,      /* PUT: fault names the field */
    NGX_ZAPIER_STORE_UNAVAILABLE   /* Redis cannot be asked; a write may
                                      have taken effect all the same */
} ngx_zapier_store_result_e;


/* a record without its secrets */
typedef struct {
    ngx_str_t                   tenant;
    const char                 *state;     /* valid, expired, dead, invalid */
    int64_t                     expires;   /* epoch s, 0: never */
    int64_t                     version;
    ngx_str_t                   scope;     /* data NULL: not recorded */
    unsigned                    refreshable:1;
    unsigned                    sealed:1;  /* with the first key */
} ngx_zapier_store_record_t;


typedef struct ngx_zapier_store_op_s  ngx_zapier_store_op_t;

/* Memory belongs to the caller. */
struct ngx_zapier_store_op_s {
    ngx_zapier_store_verb_e     verb;
    ngx_str_t                   tenant;        /* checked before */
    ngx_pool_t                 *pool;          /* for the results */
    void                      (*handler)(ngx_zapier_store_op_t *op);
    void                       *data;

    /* PUT; data NULL: the field is not to be there */
    ngx_str_t                   access_token;
    ngx_str_t                   refresh_token;
    ngx_str_t                   scope;
    ngx_str_t                   token_type;
    int64_t                     expires_at;    /* epoch s, 0: never, unless */
    int64_t                     expires_in;    /* s from now by the clock of
                                                  Redis, -1: expires_at */

    ngx_str_t                   once;          /* a key of Redis that exists:
                                                  with it a PUT that is
                                                  repeated changes nothing */

    /* LIST: where to go on, "0" or empty at the start */
    ngx_str_t                   cursor;

    /* results */
    ngx_zapier_store_result_e   result;
    const char                 *fault;
    ngx_uint_t                  created;       /* PUT: there was no record */
    ngx_array_t                 records;       /* of
                                                  ngx_zapier_store_record_t;
                                                  SHOW, PUT: one */
    ngx_str_t                   next;          /* LIST: "0" at the end */

    /* private */
    void                       *state;
};


/*
 * NGX_OK if a record may have this name: that of a tenant, or "*" and the
 * name of an app token, which no tenant can have; else NGX_DECLINED.
 */
ngx_int_t ngx_zapier_store_check_name(ngx_str_t *name);

/*
 * NGX_AGAIN  the handler will be called, never from here
 * NGX_OK     done, op->result tells (INVALID, UNAVAILABLE)
 * NGX_ERROR  no memory
 */
ngx_int_t ngx_zapier_store_start(ngx_zapier_tokens_t *tokens,
    ngx_zapier_store_op_t *op);

/* The handler will not be called; a write may take effect.  Safe at any
 * time after the start. */
void ngx_zapier_store_cancel(ngx_zapier_store_op_t *op);


#endif /* _NGX_ZAPIER_TOKEN_STORE_H_INCLUDED_ */
