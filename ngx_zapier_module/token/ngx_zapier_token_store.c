
/*
 * An operator's work on one record: put, show, delete, clear.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_record.h>
#include <ngx_zapier_redis_resp.h>
#include <ngx_zapier_redis_scripts.h>
#include <ngx_zapier_tenant.h>
#include <ngx_zapier_token_private.h>
#include <ngx_zapier_token_seal.h>
#include <ngx_zapier_token_store_private.h>


/* s; nobody means a token that lives longer than ten years */
#define NGX_ZAPIER_STORE_EXPIRES_IN  (10 * 365 * 86400)

/* as far as a writer goes that counts in doubles, 2^53 */
#define NGX_ZAPIER_STORE_EXPIRES_AT  9007199254740992LL


static const char *ngx_zapier_store_fault(ngx_zapier_store_op_t *op);
static ngx_int_t ngx_zapier_store_put(ngx_zapier_store_state_t *state);
static ngx_int_t ngx_zapier_store_seal(ngx_zapier_store_state_t *state,
    const char *name, ngx_str_t *plain, ngx_str_t *value);
static void ngx_zapier_store_number(u_char *buf, int64_t n,
    ngx_str_t *value);
static ngx_int_t ngx_zapier_store_clear(ngx_zapier_store_state_t *state);
static void ngx_zapier_store_eval_handler(ngx_zapier_redis_eval_t *eval);
static ngx_int_t ngx_zapier_store_show(ngx_zapier_store_state_t *state);
static void ngx_zapier_store_show_handler(ngx_zapier_redis_cmd_t *cmd);
static ngx_int_t ngx_zapier_store_delete(ngx_zapier_store_state_t *state);
static void ngx_zapier_store_delete_handler(ngx_zapier_redis_cmd_t *cmd);


static ngx_zapier_redis_script_t  ngx_zapier_store_put_script =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_TOKEN_PUT);

static ngx_zapier_redis_script_t  ngx_zapier_store_clear_script =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_TOKEN_CLEAR);


ngx_int_t
ngx_zapier_store_check_name(ngx_str_t *name)
{
    ngx_str_t  rest;

    if (name->len < 2 || name->data[0] != '*') {
        return ngx_zapier_tenant_check(name);
    }

    rest.len = name->len - 1;
    rest.data = name->data + 1;

    return ngx_zapier_tenant_check(&rest);
}


ngx_int_t
ngx_zapier_store_start(ngx_zapier_tokens_t *tokens, ngx_zapier_store_op_t *op)
{
    ngx_int_t                  rc;
    ngx_zapier_store_state_t  *state;

    op->state = NULL;
    op->result = NGX_ZAPIER_STORE_UNAVAILABLE;
    op->fault = NULL;
    op->created = 0;
    ngx_str_set(&op->next, "0");

    if (ngx_array_init(&op->records, op->pool, 1,
                       sizeof(ngx_zapier_store_record_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (op->verb == NGX_ZAPIER_STORE_PUT) {
        op->fault = ngx_zapier_store_fault(op);

        if (op->fault != NULL) {
            op->result = NGX_ZAPIER_STORE_INVALID;
            return NGX_OK;
        }
    }

    state = ngx_pcalloc(op->pool, sizeof(ngx_zapier_store_state_t));
    if (state == NULL) {
        return NGX_ERROR;
    }

    state->tokens = tokens;
    state->op = op;

    if (op->verb == NGX_ZAPIER_STORE_LIST) {
        rc = ngx_zapier_store_list(state);
        goto done;
    }

    state->key.data = ngx_pnalloc(op->pool,
                                  ngx_zapier_key_len(&tokens->prefix, "token",
                                                     &op->tenant));
    if (state->key.data == NULL) {
        return NGX_ERROR;
    }

    state->key.len = ngx_zapier_key(state->key.data, &tokens->prefix, "token",
                                    &op->tenant)
                     - state->key.data;

    switch (op->verb) {

    case NGX_ZAPIER_STORE_PUT:
        rc = ngx_zapier_store_put(state);
        break;

    case NGX_ZAPIER_STORE_DELETE:
        rc = ngx_zapier_store_delete(state);
        break;

    case NGX_ZAPIER_STORE_CLEAR:
        rc = ngx_zapier_store_clear(state);
        break;

    default: /* NGX_ZAPIER_STORE_SHOW */
        rc = ngx_zapier_store_show(state);
    }

done:

    if (rc == NGX_AGAIN) {
        op->state = state;
    }

    return rc;
}


void
ngx_zapier_store_cancel(ngx_zapier_store_op_t *op)
{
    ngx_zapier_store_state_t  *state;

    state = op->state;

    if (state == NULL) {
        return;
    }

    op->state = NULL;

    ngx_zapier_redis_eval_cancel(&state->eval);
    ngx_zapier_redis_cancel(&state->cmd);
    ngx_zapier_store_list_cancel(state);
}


void
ngx_zapier_store_done(ngx_zapier_store_state_t *state,
    ngx_zapier_store_result_e result)
{
    ngx_zapier_store_op_t  *op;

    op = state->op;

    op->state = NULL;
    op->result = result;

    op->handler(op);
}


/* The name of the field that is wrong, or NULL. */

static const char *
ngx_zapier_store_fault(ngx_zapier_store_op_t *op)
{
    ngx_zapier_record_t  record;

    ngx_memzero(&record, sizeof(ngx_zapier_record_t));

    record.access_token = op->refresh_token;

    if (ngx_zapier_record_check(&record) == NGX_ERROR) {
        return "refresh_token";
    }

    record.access_token = op->access_token;
    record.scope = op->scope;
    record.token_type = op->token_type;

    switch (ngx_zapier_record_check(&record)) {

    case NGX_OK:
        break;

    case NGX_ERROR:
        return record.fault;

    default: /* NGX_DECLINED */
        return "access_token";
    }

    if (op->expires_in < -1 || op->expires_in > NGX_ZAPIER_STORE_EXPIRES_IN) {
        return "expires_in";
    }

    if (op->expires_at < 0 || op->expires_at > NGX_ZAPIER_STORE_EXPIRES_AT) {
        return "expires_at";
    }

    return NULL;
}


static ngx_int_t
ngx_zapier_store_put(ngx_zapier_store_state_t *state)
{
    ngx_str_t               argv[8], *args;
    ngx_zapier_store_op_t  *op;

    op = state->op;
    args = argv;

    *args++ = state->key;

    if (op->once.len != 0) {
        *args++ = op->once;
    }

    if (ngx_zapier_store_seal(state, "access_token", &op->access_token,
                              &args[0])
        != NGX_OK
        || ngx_zapier_store_seal(state, "refresh_token", &op->refresh_token,
                                 &args[1])
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    args[2] = op->scope;
    args[3] = op->token_type;

    ngx_zapier_store_number(state->expires_at,
                            op->expires_at ? op->expires_at : -1, &args[4]);
    ngx_zapier_store_number(state->expires_in, op->expires_in, &args[5]);

    state->eval.handler = ngx_zapier_store_eval_handler;
    state->eval.data = state;

    if (ngx_zapier_redis_eval(state->tokens->redis, &state->eval,
                              &ngx_zapier_store_put_script, args - argv,
                              args - argv + 6, argv)
        != NGX_AGAIN)
    {
        return NGX_OK;
    }

    return NGX_AGAIN;
}


static ngx_int_t
ngx_zapier_store_seal(ngx_zapier_store_state_t *state, const char *name,
    ngx_str_t *plain, ngx_str_t *value)
{
    u_char                 *buf;
    ngx_str_t               field;
    ngx_zapier_store_op_t  *op;

    op = state->op;

    if (plain->len == 0 || state->tokens->keyring == NULL) {
        *value = *plain;
        return NGX_OK;
    }

    buf = ngx_pnalloc(op->pool, ngx_zapier_seal_len(plain->len));
    if (buf == NULL) {
        return NGX_ERROR;
    }

    field.len = ngx_strlen(name);
    field.data = (u_char *) name;

    return ngx_zapier_seal(state->tokens->keyring, &op->tenant, &field, plain,
                           buf, value);
}


/* Nothing for -1. */

static void
ngx_zapier_store_number(u_char *buf, int64_t n, ngx_str_t *value)
{
    value->data = buf;
    value->len = (n == -1) ? 0 : ngx_sprintf(buf, "%L", n) - buf;
}


static ngx_int_t
ngx_zapier_store_clear(ngx_zapier_store_state_t *state)
{
    ngx_str_t             keys[2];
    ngx_zapier_tokens_t  *tokens;

    tokens = state->tokens;

    keys[0] = state->key;

    keys[1].data = ngx_pnalloc(state->op->pool,
                               ngx_zapier_key_len(&tokens->prefix, "lock",
                                                  &state->op->tenant));
    if (keys[1].data == NULL) {
        return NGX_ERROR;
    }

    keys[1].len = ngx_zapier_key(keys[1].data, &tokens->prefix, "lock",
                                 &state->op->tenant)
                  - keys[1].data;

    state->eval.handler = ngx_zapier_store_eval_handler;
    state->eval.data = state;

    if (ngx_zapier_redis_eval(tokens->redis, &state->eval,
                              &ngx_zapier_store_clear_script, 2, 2, keys)
        != NGX_AGAIN)
    {
        return NGX_OK;
    }

    return NGX_AGAIN;
}


static void
ngx_zapier_store_eval_handler(ngx_zapier_redis_eval_t *eval)
{
    ngx_int_t                  rc;
    ngx_zapier_store_op_t     *op;
    ngx_zapier_store_state_t  *state;
    ngx_zapier_redis_reply_t  *reply;

    state = eval->data;
    reply = eval->reply;
    op = state->op;

    if (eval->status != NGX_OK) {
        ngx_zapier_store_done(state, NGX_ZAPIER_STORE_UNAVAILABLE);
        return;
    }

    if (op->verb == NGX_ZAPIER_STORE_CLEAR) {
        ngx_zapier_token_lease_resume(state->tokens, &op->tenant);
    }

    if (reply->type == NGX_ZAPIER_REDIS_NIL) {
        ngx_zapier_store_done(state, NGX_ZAPIER_STORE_MISSING);
        return;
    }

    if (reply->type == NGX_ZAPIER_REDIS_ARRAY && reply->nelts == 2) {
        op->created = (reply->elts[0]->integer == 1);
        reply = reply->elts[1];
    }

    rc = ngx_zapier_store_record(state, &op->tenant, reply);

    /* this node need not wait for the watch to report it */

    ngx_zapier_token_cache_drop(state->tokens, &op->tenant);

    ngx_zapier_store_done(state, (rc == NGX_OK) ? NGX_ZAPIER_STORE_OK
                                                : NGX_ZAPIER_STORE_UNAVAILABLE);
}


static ngx_int_t
ngx_zapier_store_show(ngx_zapier_store_state_t *state)
{
    state->cmd.handler = ngx_zapier_store_show_handler;
    state->cmd.data = state;

    if (ngx_zapier_store_ask(state->tokens, &state->cmd, &state->key)
        != NGX_AGAIN)
    {
        return NGX_OK;
    }

    return NGX_AGAIN;
}


ngx_int_t
ngx_zapier_store_ask(ngx_zapier_tokens_t *tokens, ngx_zapier_redis_cmd_t *cmd,
    ngx_str_t *key)
{
    ngx_str_t  argv[2 + NGX_ZAPIER_STORE_FIELDS];

    ngx_str_set(&argv[0], "HMGET");
    argv[1] = *key;
    ngx_str_set(&argv[2], "access_token");
    ngx_str_set(&argv[3], "refresh_token");
    ngx_str_set(&argv[4], "expires_at");
    ngx_str_set(&argv[5], "scope");
    ngx_str_set(&argv[6], "token_type");
    ngx_str_set(&argv[7], "version");
    ngx_str_set(&argv[8], "dead");

    return ngx_zapier_redis_start(tokens->redis, cmd,
                                  2 + NGX_ZAPIER_STORE_FIELDS, argv);
}


static void
ngx_zapier_store_show_handler(ngx_zapier_redis_cmd_t *cmd)
{
    ngx_zapier_store_state_t   *state;
    ngx_zapier_store_result_e   result;

    state = cmd->data;

    if (cmd->status != NGX_OK) {
        ngx_zapier_store_done(state, NGX_ZAPIER_STORE_UNAVAILABLE);
        return;
    }

    switch (ngx_zapier_store_record(state, &state->op->tenant, cmd->reply)) {

    case NGX_OK:
        result = NGX_ZAPIER_STORE_OK;
        break;

    case NGX_DECLINED:
        result = NGX_ZAPIER_STORE_MISSING;
        break;

    default: /* NGX_ERROR */
        result = NGX_ZAPIER_STORE_UNAVAILABLE;
    }

    ngx_zapier_store_done(state, result);
}


static ngx_int_t
ngx_zapier_store_delete(ngx_zapier_store_state_t *state)
{
    ngx_str_t  argv[2];

    ngx_str_set(&argv[0], "DEL");
    argv[1] = state->key;

    state->cmd.handler = ngx_zapier_store_delete_handler;
    state->cmd.data = state;

    if (ngx_zapier_redis_start(state->tokens->redis, &state->cmd, 2, argv)
        != NGX_AGAIN)
    {
        return NGX_OK;
    }

    return NGX_AGAIN;
}


static void
ngx_zapier_store_delete_handler(ngx_zapier_redis_cmd_t *cmd)
{
    ngx_zapier_store_state_t   *state;
    ngx_zapier_store_result_e   result;

    state = cmd->data;
    result = NGX_ZAPIER_STORE_UNAVAILABLE;

    if (cmd->status == NGX_OK) {

        if (cmd->reply->type == NGX_ZAPIER_REDIS_INTEGER) {
            ngx_zapier_token_cache_drop(state->tokens, &state->op->tenant);

            result = (cmd->reply->integer != 0) ? NGX_ZAPIER_STORE_OK
                                                : NGX_ZAPIER_STORE_MISSING;

        } else {
            ngx_zapier_store_complain(cmd->reply);
        }
    }

    ngx_zapier_store_done(state, result);
}
