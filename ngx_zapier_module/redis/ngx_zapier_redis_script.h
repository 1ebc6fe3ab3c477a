
/*
 * Lua scripts: EVALSHA, and EVAL when the server does not know the script
 * (yet, or any more: SCRIPT FLUSH, restart, failover).
 *
 * The texts are redis/scripts/NAME.lua, made into C by the build script.
 */


#ifndef _NGX_ZAPIER_REDIS_SCRIPT_H_INCLUDED_
#define _NGX_ZAPIER_REDIS_SCRIPT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis.h>


#define NGX_ZAPIER_REDIS_SCRIPT_ARGS  24


typedef struct {
    ngx_str_t                   text;
    u_char                      sha[40];   /* set by the first use */
} ngx_zapier_redis_script_t;

#define ngx_zapier_redis_script(text)  { ngx_string(text), { 0 } }


typedef struct ngx_zapier_redis_eval_s  ngx_zapier_redis_eval_t;

/* A call under way, see ngx_zapier_redis_cmd_t. */
struct ngx_zapier_redis_eval_s {
    void                      (*handler)(ngx_zapier_redis_eval_t *eval);
    void                       *data;

    /* for the handler, as in ngx_zapier_redis_cmd_t */
    ngx_int_t                   status;
    ngx_zapier_redis_reply_t   *reply;

    /* private */
    ngx_zapier_redis_t         *redis;
    ngx_zapier_redis_script_t  *script;
    ngx_zapier_redis_cmd_t      cmd;
    ngx_uint_t                  argc;
    ngx_str_t                   argv[3 + NGX_ZAPIER_REDIS_SCRIPT_ARGS];
    u_char                      nkeys[NGX_INT_T_LEN];
};


/*
 * Calls a script with argc arguments, the first nkeys of which are keys.
 * The bytes that argv points to must live until the handler is called; it
 * is called once, never from here, within twice the command timeout.
 *
 * NGX_AGAIN or NGX_ERROR, as ngx_zapier_redis_start()
 */
ngx_int_t ngx_zapier_redis_eval(ngx_zapier_redis_t *redis,
    ngx_zapier_redis_eval_t *eval, ngx_zapier_redis_script_t *script,
    ngx_uint_t nkeys, ngx_uint_t argc, ngx_str_t *argv);

/* The same, as a durable command: ngx_zapier_redis_eval_sync() may follow. */
ngx_int_t ngx_zapier_redis_eval_durable(ngx_zapier_redis_t *redis,
    ngx_zapier_redis_eval_t *eval, ngx_zapier_redis_script_t *script,
    ngx_uint_t nkeys, ngx_uint_t argc, ngx_str_t *argv);

/* Calls it once more as it was, when its handler was called; the same. */
ngx_int_t ngx_zapier_redis_eval_again(ngx_zapier_redis_eval_t *eval);

/* As ngx_zapier_redis_sync(). */
ngx_int_t ngx_zapier_redis_eval_sync(ngx_zapier_redis_eval_t *eval,
    ngx_uint_t n);

/* The handler will not be called.  Safe at any time after a first start. */
void ngx_zapier_redis_eval_cancel(ngx_zapier_redis_eval_t *eval);


#endif /* _NGX_ZAPIER_REDIS_SCRIPT_H_INCLUDED_ */
