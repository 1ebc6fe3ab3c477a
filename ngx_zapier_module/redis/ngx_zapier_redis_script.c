
/*
 * Lua scripts by their SHA1 digest.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_sha1.h>
#include <ngx_zapier_redis_script.h>


static void ngx_zapier_redis_script_digest(ngx_zapier_redis_script_t *script);
static ngx_int_t ngx_zapier_redis_eval_init(ngx_zapier_redis_t *redis,
    ngx_zapier_redis_eval_t *eval, ngx_zapier_redis_script_t *script,
    ngx_uint_t nkeys, ngx_uint_t argc, ngx_str_t *argv);
static ngx_int_t ngx_zapier_redis_eval_send(ngx_zapier_redis_eval_t *eval,
    const char *command, u_char *script, size_t len);
static void ngx_zapier_redis_eval_handler(ngx_zapier_redis_cmd_t *cmd);


ngx_int_t
ngx_zapier_redis_eval(ngx_zapier_redis_t *redis, ngx_zapier_redis_eval_t *eval,
    ngx_zapier_redis_script_t *script, ngx_uint_t nkeys, ngx_uint_t argc,
    ngx_str_t *argv)
{
    if (ngx_zapier_redis_eval_init(redis, eval, script, nkeys, argc, argv)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_zapier_redis_eval_again(eval);
}


ngx_int_t
ngx_zapier_redis_eval_durable(ngx_zapier_redis_t *redis,
    ngx_zapier_redis_eval_t *eval, ngx_zapier_redis_script_t *script,
    ngx_uint_t nkeys, ngx_uint_t argc, ngx_str_t *argv)
{
    if (ngx_zapier_redis_eval_init(redis, eval, script, nkeys, argc, argv)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    eval->cmd.durable = 1;

    return ngx_zapier_redis_eval_again(eval);
}


static ngx_int_t
ngx_zapier_redis_eval_init(ngx_zapier_redis_t *redis,
    ngx_zapier_redis_eval_t *eval, ngx_zapier_redis_script_t *script,
    ngx_uint_t nkeys, ngx_uint_t argc, ngx_str_t *argv)
{
    if (argc > NGX_ZAPIER_REDIS_SCRIPT_ARGS) {
        return NGX_ERROR;
    }

    if (script->sha[0] == '\0') {
        ngx_zapier_redis_script_digest(script);
    }

    eval->redis = redis;
    eval->script = script;
    eval->argc = argc + 3;
    eval->argv[2].data = eval->nkeys;
    eval->argv[2].len = ngx_sprintf(eval->nkeys, "%ui", nkeys) - eval->nkeys;

    ngx_memcpy(&eval->argv[3], argv, argc * sizeof(ngx_str_t));

    ngx_memzero(&eval->cmd, sizeof(ngx_zapier_redis_cmd_t));

    return NGX_OK;
}


ngx_int_t
ngx_zapier_redis_eval_again(ngx_zapier_redis_eval_t *eval)
{
    return ngx_zapier_redis_eval_send(eval, "EVALSHA", eval->script->sha,
                                      sizeof(eval->script->sha));
}


ngx_int_t
ngx_zapier_redis_eval_sync(ngx_zapier_redis_eval_t *eval, ngx_uint_t n)
{
    return ngx_zapier_redis_sync(&eval->cmd, n);
}


void
ngx_zapier_redis_eval_cancel(ngx_zapier_redis_eval_t *eval)
{
    ngx_zapier_redis_cancel(&eval->cmd);
}


static void
ngx_zapier_redis_script_digest(ngx_zapier_redis_script_t *script)
{
    u_char      digest[20];
    ngx_sha1_t  sha1;

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, script->text.data, script->text.len);
    ngx_sha1_final(digest, &sha1);

    ngx_hex_dump(script->sha, digest, sizeof(digest));
}


static ngx_int_t
ngx_zapier_redis_eval_send(ngx_zapier_redis_eval_t *eval, const char *command,
    u_char *script, size_t len)
{
    eval->argv[0].len = ngx_strlen(command);
    eval->argv[0].data = (u_char *) command;
    eval->argv[1].len = len;
    eval->argv[1].data = script;

    eval->cmd.handler = ngx_zapier_redis_eval_handler;
    eval->cmd.data = eval;

    return ngx_zapier_redis_start(eval->redis, &eval->cmd, eval->argc,
                                  eval->argv);
}


static void
ngx_zapier_redis_eval_handler(ngx_zapier_redis_cmd_t *cmd)
{
    ngx_zapier_redis_eval_t   *eval;
    ngx_zapier_redis_reply_t  *reply;

    eval = cmd->data;
    reply = cmd->reply;

    if (cmd->status == NGX_OK
        && reply->type == NGX_ZAPIER_REDIS_ERROR
        && reply->str.len >= 8
        && ngx_strncmp(reply->str.data, "NOSCRIPT", 8) == 0
        && eval->argv[1].data == eval->script->sha)
    {
        /* EVAL makes the server know it, so this happens once */

        if (ngx_zapier_redis_eval_send(eval, "EVAL", eval->script->text.data,
                                       eval->script->text.len)
            == NGX_AGAIN)
        {
            return;
        }

        eval->status = NGX_ERROR;
        eval->reply = NULL;

    } else {
        eval->status = cmd->status;
        eval->reply = reply;
    }

    eval->handler(eval);
}
