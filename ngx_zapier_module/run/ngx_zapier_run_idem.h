
/*
 * Idempotency keys: what became of a call that was made with one.
 *
 * The record is in Redis, idem:{TENANT}:HASH, and written before the call
 * is sent, to replicas too if so many are asked for.  It says that the call
 * is under way, what was answered, or that nobody knows: then it is never
 * sent again.
 */


#ifndef _NGX_ZAPIER_RUN_IDEM_H_INCLUDED_
#define _NGX_ZAPIER_RUN_IDEM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_sha1.h>
#include <ngx_zapier_run.h>
#include <ngx_zapier_tenant.h>
#include <ngx_zapier_redis_script.h>


#define NGX_ZAPIER_IDEM_DIGEST  40

/* bytes of an answer that is kept */
#define NGX_ZAPIER_IDEM_MAX     (256 * 1024)


typedef struct ngx_zapier_idem_s  ngx_zapier_idem_t;


typedef enum {
    NGX_ZAPIER_IDEM_NEW = 1,       /* there is no record; or there is one
                                      now, which is the caller's */
    NGX_ZAPIER_IDEM_MISMATCH,
    NGX_ZAPIER_IDEM_BUSY,
    NGX_ZAPIER_IDEM_ANSWER,
    NGX_ZAPIER_IDEM_UNKNOWN,
    NGX_ZAPIER_IDEM_UNAVAILABLE    /* Redis does not say */
} ngx_zapier_idem_result_e;


/* One request with a key; zeroed before use, memory is the caller's. */
struct ngx_zapier_idem_s {
    ngx_zapier_runs_t         *runs;
    ngx_str_t                  tenant;
    u_char                     key[NGX_ZAPIER_IDEM_DIGEST];
    u_char                     call[NGX_ZAPIER_IDEM_DIGEST];
    ngx_msec_t                 ttl;
    ngx_uint_t                 replicas;   /* that must have the record, too,
                                              before it counts */
    ngx_pool_t                *pool;       /* for the answer */
    void                     (*handler)(ngx_zapier_idem_t *idem);
    void                      *data;

    /* for the handler */
    ngx_zapier_idem_result_e   result;
    ngx_uint_t                 status;     /* of the answer */
    ngx_str_t                  type;
    ngx_str_t                  body;

    /* private */
    uint64_t                   owner;
    ngx_zapier_redis_eval_t    eval;
    u_char                     record[NGX_ZAPIER_TENANT_LEN + 160];
    u_char                     numbers[3 * NGX_INT64_LEN];
    unsigned                   confirm:1;  /* replicas are waited for */
};


/* Sets key or call to the digest that sha1 comes to. */
void ngx_zapier_idem_digest(ngx_sha1_t *sha1, u_char *digest);

/*
 * Looks for a record; if begin is 1, writes it unless there is one.
 *
 * NGX_AGAIN  the handler will be called, never from here
 * NGX_ERROR  as if the result were UNAVAILABLE
 */
ngx_int_t ngx_zapier_idem_look(ngx_zapier_idem_t *idem, ngx_uint_t begin);

/* The same for an answer to be kept, busy ms of which somebody waits for
 * more; the result is NEW, or UNAVAILABLE if it may be lost. */
ngx_int_t ngx_zapier_idem_store(ngx_zapier_idem_t *idem, ngx_uint_t status,
    ngx_str_t *type, ngx_str_t *body, ngx_msec_t busy);

void ngx_zapier_idem_cancel(ngx_zapier_idem_t *idem);

/*
 * Notes "free", "unknown", "idle" or "answer", without waiting for it; it is
 * tried again for a minute, until replicas have it too.
 */
void ngx_zapier_idem_note(ngx_zapier_idem_t *idem, const char *what,
    ngx_uint_t status, ngx_str_t *type, ngx_str_t *body);


#endif /* _NGX_ZAPIER_RUN_IDEM_H_INCLUDED_ */
