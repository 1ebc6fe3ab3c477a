
/*
 * What the files of the record store share with each other.
 */


#ifndef _NGX_ZAPIER_TOKEN_STORE_PRIVATE_H_INCLUDED_
#define _NGX_ZAPIER_TOKEN_STORE_PRIVATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_script.h>
#include <ngx_zapier_token_store.h>


/* fields of a record that tell what an operator is shown */
#define NGX_ZAPIER_STORE_FIELDS  7


typedef struct ngx_zapier_store_state_s  ngx_zapier_store_state_t;


/* one record of a list, being read */
typedef struct {
    ngx_zapier_store_state_t   *state;
    ngx_str_t                   tenant;
    ngx_zapier_redis_cmd_t      cmd;
} ngx_zapier_store_look_t;


/* an operation under way; in op's pool */
struct ngx_zapier_store_state_s {
    ngx_zapier_tokens_t        *tokens;
    ngx_zapier_store_op_t      *op;
    ngx_str_t                   key;        /* of Redis; LIST: the pattern */
    ngx_zapier_redis_eval_t     eval;
    ngx_zapier_redis_cmd_t      cmd;
    u_char                      expires_at[NGX_INT64_LEN];
    u_char                      expires_in[NGX_INT64_LEN];

    ngx_zapier_store_look_t    *looks;      /* LIST */
    ngx_uint_t                  nlooks;
    ngx_uint_t                  left;       /* looks without an answer */
    ngx_uint_t                  rounds;     /* SCANs that may follow */
};


/* ngx_zapier_token_store.c */

/* Calls op's handler; op and state are not touched any more. */
void ngx_zapier_store_done(ngx_zapier_store_state_t *state,
    ngx_zapier_store_result_e result);

/* NGX_AGAIN, or NGX_ERROR: not sent. */
ngx_int_t ngx_zapier_store_ask(ngx_zapier_tokens_t *tokens,
    ngx_zapier_redis_cmd_t *cmd, ngx_str_t *key);


/* ngx_zapier_token_store_list.c */

/* as ngx_zapier_store_start() */
ngx_int_t ngx_zapier_store_list(ngx_zapier_store_state_t *state);
void ngx_zapier_store_list_cancel(ngx_zapier_store_state_t *state);


/* ngx_zapier_token_store_record.c */

/*
 * Makes the answer to ngx_zapier_store_ask() one more of op->records.
 *
 * NGX_OK
 * NGX_DECLINED  there is no record
 * NGX_ERROR     no answer to the question, or no memory; logged
 */
ngx_int_t ngx_zapier_store_record(ngx_zapier_store_state_t *state,
    ngx_str_t *tenant, ngx_zapier_redis_reply_t *reply);

/* Logs an answer that cannot be used. */
void ngx_zapier_store_complain(ngx_zapier_redis_reply_t *reply);


#endif /* _NGX_ZAPIER_TOKEN_STORE_PRIVATE_H_INCLUDED_ */
