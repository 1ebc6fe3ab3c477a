
/*
 * A page of records: names by SCAN, then a look at each of them, all at
 * once.  What is written meanwhile may be missing or come twice, as SCAN
 * has it; what is there all the time comes.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_resp.h>
#include <ngx_zapier_token_store_private.h>


/*
 * SCANs for one page: most keys of a busy store are of limits and runs, and
 * nobody likes pages without a record
 */
#define NGX_ZAPIER_STORE_ROUNDS  50

static ngx_int_t ngx_zapier_store_scan(ngx_zapier_store_state_t *state);
static void ngx_zapier_store_scan_handler(ngx_zapier_redis_cmd_t *cmd);
static ngx_int_t ngx_zapier_store_names(ngx_zapier_store_state_t *state,
    ngx_zapier_redis_reply_t *names);
static ngx_int_t ngx_zapier_store_name(ngx_zapier_store_state_t *state,
    ngx_str_t *key, ngx_str_t *name);
static void ngx_zapier_store_look_handler(ngx_zapier_redis_cmd_t *cmd);
static void ngx_zapier_store_list_fail(ngx_zapier_store_state_t *state);


ngx_int_t
ngx_zapier_store_list(ngx_zapier_store_state_t *state)
{
    u_char     *p;
    size_t      i;
    ngx_str_t  *prefix;

    prefix = &state->tokens->prefix;

    p = ngx_pnalloc(state->op->pool, 2 * prefix->len + sizeof("token:{*}"));
    if (p == NULL) {
        return NGX_ERROR;
    }

    state->key.data = p;

    for (i = 0; i < prefix->len; i++) {

        if (ngx_strchr("*?[]^-\\", prefix->data[i]) != NULL) {
            *p++ = '\\';
        }

        *p++ = prefix->data[i];
    }

    p = ngx_cpymem(p, "token:{*}", sizeof("token:{*}") - 1);

    state->key.len = p - state->key.data;

    state->rounds = NGX_ZAPIER_STORE_ROUNDS;

    if (state->op->cursor.len != 0) {
        state->op->next = state->op->cursor;
    }

    return ngx_zapier_store_scan(state);
}


void
ngx_zapier_store_list_cancel(ngx_zapier_store_state_t *state)
{
    ngx_uint_t  i;

    for (i = 0; i < state->nlooks; i++) {
        ngx_zapier_redis_cancel(&state->looks[i].cmd);
    }

    state->nlooks = 0;
}


/* NGX_AGAIN, or NGX_OK: Redis cannot be asked. */

static ngx_int_t
ngx_zapier_store_scan(ngx_zapier_store_state_t *state)
{
    u_char     count[NGX_INT_T_LEN];
    ngx_str_t  argv[6];

    ngx_str_set(&argv[0], "SCAN");
    argv[1] = state->op->next;
    ngx_str_set(&argv[2], "MATCH");
    argv[3] = state->key;
    ngx_str_set(&argv[4], "COUNT");
    argv[5].data = count;
    argv[5].len = ngx_sprintf(count, "%d", NGX_ZAPIER_TOKEN_LIST) - count;

    state->cmd.handler = ngx_zapier_store_scan_handler;
    state->cmd.data = state;

    if (ngx_zapier_redis_start(state->tokens->redis, &state->cmd, 6, argv)
        != NGX_AGAIN)
    {
        return NGX_OK;
    }

    return NGX_AGAIN;
}


static void
ngx_zapier_store_scan_handler(ngx_zapier_redis_cmd_t *cmd)
{
    ngx_str_t                 *next;
    ngx_zapier_store_op_t     *op;
    ngx_zapier_redis_reply_t  *reply;
    ngx_zapier_store_state_t  *state;

    state = cmd->data;
    reply = cmd->reply;
    op = state->op;

    if (cmd->status != NGX_OK) {
        goto failed;
    }

    if (reply->type != NGX_ZAPIER_REDIS_ARRAY
        || reply->nelts != 2
        || reply->elts[0]->type != NGX_ZAPIER_REDIS_STRING
        || reply->elts[1]->type != NGX_ZAPIER_REDIS_ARRAY)
    {
        ngx_zapier_store_complain(reply);
        goto failed;
    }

    next = &reply->elts[0]->str;

    op->next.data = ngx_pstrdup(op->pool, next);
    if (op->next.data == NULL) {
        goto failed;
    }

    op->next.len = next->len;

    switch (ngx_zapier_store_names(state, reply->elts[1])) {

    case NGX_AGAIN:
        return;

    case NGX_OK:
        break;

    default: /* NGX_ERROR */
        goto failed;
    }

    if (--state->rounds == 0
        || (op->next.len == 1 && op->next.data[0] == '0'))
    {
        ngx_zapier_store_done(state, NGX_ZAPIER_STORE_OK);
        return;
    }

    if (ngx_zapier_store_scan(state) == NGX_AGAIN) {
        return;
    }

failed:

    ngx_zapier_store_list_fail(state);
}


/* NGX_AGAIN: they are looked at; NGX_OK: there are none. */

static ngx_int_t
ngx_zapier_store_names(ngx_zapier_store_state_t *state,
    ngx_zapier_redis_reply_t *names)
{
    ngx_str_t                 *key, name;
    ngx_uint_t                 i, n;
    ngx_zapier_store_look_t   *look;

    n = names->nelts;

    if (n == 0) {
        return NGX_OK;
    }

    state->looks = ngx_pcalloc(state->op->pool,
                               n * sizeof(ngx_zapier_store_look_t));
    if (state->looks == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {

        if (names->elts[i]->type != NGX_ZAPIER_REDIS_STRING) {
            continue;
        }

        key = &names->elts[i]->str;

        if (ngx_zapier_store_name(state, key, &name) != NGX_OK) {
            continue;
        }

        look = &state->looks[state->nlooks];

        look->state = state;
        look->tenant.len = name.len;
        look->tenant.data = ngx_pstrdup(state->op->pool, &name);
        if (look->tenant.data == NULL) {
            return NGX_ERROR;
        }

        look->cmd.handler = ngx_zapier_store_look_handler;
        look->cmd.data = look;

        if (ngx_zapier_store_ask(state->tokens, &look->cmd, key) != NGX_AGAIN)
        {
            return NGX_ERROR;
        }

        state->nlooks++;
        state->left++;
    }

    return state->left ? NGX_AGAIN : NGX_OK;
}


/* The name of a record in its key; what the server sends is not trusted. */

static ngx_int_t
ngx_zapier_store_name(ngx_zapier_store_state_t *state, ngx_str_t *key,
    ngx_str_t *name)
{
    size_t      len;
    ngx_str_t  *prefix;

    prefix = &state->tokens->prefix;

    len = prefix->len + sizeof("token:{") - 1;

    if (key->len < len + 2
        || (prefix->len
            && ngx_memcmp(key->data, prefix->data, prefix->len) != 0)
        || ngx_memcmp(key->data + prefix->len, "token:{",
                      sizeof("token:{") - 1)
           != 0
        || key->data[key->len - 1] != '}')
    {
        return NGX_DECLINED;
    }

    name->data = key->data + len;
    name->len = key->len - len - 1;

    return ngx_zapier_store_check_name(name);
}


static void
ngx_zapier_store_look_handler(ngx_zapier_redis_cmd_t *cmd)
{
    ngx_zapier_store_look_t   *look;
    ngx_zapier_store_state_t  *state;

    look = cmd->data;
    state = look->state;

    /* NGX_DECLINED: deleted since its name was read */

    if (cmd->status != NGX_OK
        || ngx_zapier_store_record(state, &look->tenant, cmd->reply)
           == NGX_ERROR)
    {
        ngx_zapier_store_list_fail(state);
        return;
    }

    if (--state->left == 0) {
        ngx_zapier_store_done(state, NGX_ZAPIER_STORE_OK);
    }
}


static void
ngx_zapier_store_list_fail(ngx_zapier_store_state_t *state)
{
    ngx_zapier_store_list_cancel(state);
    ngx_zapier_store_done(state, NGX_ZAPIER_STORE_UNAVAILABLE);
}
