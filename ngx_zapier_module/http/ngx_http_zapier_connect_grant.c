
/*
 * The exchange of a code for a pair of tokens, which is then put into Redis.
 *
 * A code serves once, so from the claim on this has memory of its own and
 * goes on when the browser has gone:
 *
 *     claim of the state -> call of the token endpoint -> put, until Redis
 *     has it or its time is over -> end
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_connect.h>
#include <ngx_zapier_clock.h>
#include <ngx_zapier_redis_resp.h>
#include <ngx_zapier_token_store.h>
#include <ngx_zapier_wipe.h>


/* how long to go on trying to put the pair, in timeouts of
 * zapier_oauth_token, and ms between attempts */
#define NGX_HTTP_ZAPIER_GRANT_PATIENCE   3
#define NGX_HTTP_ZAPIER_GRANT_DELAY      100
#define NGX_HTTP_ZAPIER_GRANT_DELAY_MAX  2000

/* ms that a used state is remembered longer than it could be used */
#define NGX_HTTP_ZAPIER_GRANT_MEMORY     60000


struct ngx_http_zapier_grant_s {
    ngx_queue_t                 queue;      /* of the worker's grants */
    ngx_pool_t                 *pool;
    ngx_http_zapier_connect_t  *connect;    /* NULL: the browser has gone */
    ngx_zapier_tokens_t        *tokens;
    ngx_str_t                   tenant;
    ngx_str_t                   key;        /* of Redis: the state is used */
    ngx_zapier_oauth_param_t    params[4];
    ngx_uint_t                  nparams;
    ngx_zapier_redis_cmd_t      cmd;
    ngx_zapier_oauth_call_t     call;
    ngx_zapier_oauth_answer_t   answer;
    ngx_zapier_store_op_t       op;
    ngx_event_t                 timer;
    ngx_msec_t                  delay;
    uint64_t                    deadline;   /* ngx_zapier_clock() */
};


static ngx_http_zapier_grant_t *ngx_http_zapier_grant_create(
    ngx_http_zapier_connect_t *connect);
static ngx_int_t ngx_http_zapier_grant_params(ngx_http_zapier_grant_t *grant);
static ngx_int_t ngx_http_zapier_grant_copy(ngx_http_zapier_grant_t *grant,
    const char *name, ngx_str_t *value);
static ngx_int_t ngx_http_zapier_grant_claim(ngx_http_zapier_grant_t *grant);
static void ngx_http_zapier_grant_claimed(ngx_zapier_redis_cmd_t *cmd);
static void ngx_http_zapier_grant_call(ngx_http_zapier_grant_t *grant);
static void ngx_http_zapier_grant_called(ngx_zapier_oauth_call_t *call);
static void ngx_http_zapier_grant_put(ngx_http_zapier_grant_t *grant);
static void ngx_http_zapier_grant_write(ngx_http_zapier_grant_t *grant);
static void ngx_http_zapier_grant_timer(ngx_event_t *ev);
static void ngx_http_zapier_grant_written(ngx_zapier_store_op_t *op);
static void ngx_http_zapier_grant_end(ngx_http_zapier_grant_t *grant,
    ngx_http_zapier_connect_outcome_e outcome);
static void ngx_http_zapier_grant_destroy(ngx_http_zapier_grant_t *grant);


static ngx_queue_t  ngx_http_zapier_grants;


ngx_int_t
ngx_http_zapier_grant_start(ngx_http_zapier_connect_t *connect,
    ngx_http_zapier_connect_outcome_e *outcome)
{
    ngx_int_t                 rc;
    ngx_http_zapier_grant_t  *grant;

    grant = ngx_http_zapier_grant_create(connect);
    if (grant == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_http_zapier_grant_params(grant);

    if (rc == NGX_OK) {
        rc = ngx_http_zapier_grant_claim(grant);
    }

    if (rc == NGX_AGAIN) {
        connect->grant = grant;
        return NGX_AGAIN;
    }

    ngx_http_zapier_grant_destroy(grant);

    *outcome = NGX_HTTP_ZAPIER_CONNECT_NO_STORE;

    return (rc == NGX_DECLINED) ? NGX_DONE : NGX_ERROR;
}


void
ngx_http_zapier_grant_leave(ngx_http_zapier_connect_t *connect)
{
    connect->grant->connect = NULL;
    connect->grant = NULL;
}


void
ngx_http_zapier_connect_exit_worker(void)
{
    ngx_queue_t              *q;
    ngx_http_zapier_grant_t  *grant;

    while (ngx_http_zapier_grants.next != NULL
           && !ngx_queue_empty(&ngx_http_zapier_grants))
    {
        q = ngx_queue_head(&ngx_http_zapier_grants);
        grant = ngx_queue_data(q, ngx_http_zapier_grant_t, queue);

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "connecting tenant \"%V\" was cut short by the end of "
                      "the worker", &grant->tenant);

        if (grant->connect != NULL) {
            ngx_http_zapier_grant_leave(grant->connect);
        }

        ngx_http_zapier_grant_destroy(grant);
    }
}


static ngx_http_zapier_grant_t *
ngx_http_zapier_grant_create(ngx_http_zapier_connect_t *connect)
{
    ngx_pool_t                   *pool;
    ngx_http_zapier_grant_t      *grant;
    ngx_http_core_srv_conf_t     *cscf;
    ngx_http_zapier_main_conf_t  *zmcf;

    pool = ngx_create_pool(NGX_MIN_POOL_SIZE + sizeof(*grant),
                           ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    grant = ngx_pcalloc(pool, sizeof(ngx_http_zapier_grant_t));
    if (grant == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    zmcf = ngx_http_get_module_main_conf(connect->request,
                                         ngx_http_zapier_module);
    cscf = ngx_http_get_module_srv_conf(connect->request,
                                        ngx_http_core_module);

    grant->pool = pool;
    grant->connect = connect;
    grant->tokens = zmcf->tokens;

    grant->cmd.handler = ngx_http_zapier_grant_claimed;
    grant->cmd.data = grant;

    grant->call.origin = cscf->ctx;
    grant->call.handler = ngx_http_zapier_grant_called;
    grant->call.data = grant;

    grant->timer.handler = ngx_http_zapier_grant_timer;
    grant->timer.data = grant;
    grant->timer.log = ngx_cycle->log;

    if (ngx_http_zapier_grants.next == NULL) {
        ngx_queue_init(&ngx_http_zapier_grants);
    }

    ngx_queue_insert_tail(&ngx_http_zapier_grants, &grant->queue);

    return grant;
}


/* Whatever belongs to the request is copied. */

static ngx_int_t
ngx_http_zapier_grant_params(ngx_http_zapier_grant_t *grant)
{
    ngx_int_t                   rc;
    ngx_str_t                   value;
    ngx_http_zapier_connect_t  *connect;

    u_char  key[NGX_ZAPIER_STATE_KEY_LEN];
    u_char  verifier[NGX_ZAPIER_STATE_PKCE_LEN];

    connect = grant->connect;

    grant->tenant.len = connect->state.tenant.len;
    grant->tenant.data = ngx_pstrdup(grant->pool, &connect->state.tenant);

    ngx_str_set(&value, "authorization_code");

    if (grant->tenant.data == NULL
        || ngx_http_zapier_grant_copy(grant, "grant_type", &value) != NGX_OK
        || ngx_http_zapier_grant_copy(grant, "code", &connect->code) != NGX_OK
        || ngx_http_zapier_grant_copy(grant, "redirect_uri",
                                      &connect->state.redirect_uri)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (!connect->state.pkce) {
        return NGX_OK;
    }

    rc = ngx_http_zapier_connect_key(connect->request, key);

    if (rc == NGX_OK) {
        rc = ngx_zapier_state_verifier(key, connect->state.nonce, verifier);
    }

    if (rc == NGX_OK) {
        value.data = verifier;
        value.len = sizeof(verifier);

        rc = ngx_http_zapier_grant_copy(grant, "code_verifier", &value);
    }

    ngx_zapier_wipe(key, sizeof(key));
    ngx_zapier_wipe(verifier, sizeof(verifier));

    return rc;
}


static ngx_int_t
ngx_http_zapier_grant_copy(ngx_http_zapier_grant_t *grant, const char *name,
    ngx_str_t *value)
{
    ngx_zapier_oauth_param_t  *param;

    param = &grant->params[grant->nparams++];

    param->name.len = ngx_strlen(name);
    param->name.data = (u_char *) name;

    param->value.len = value->len;
    param->value.data = ngx_zapier_oauth_alloc(grant->pool, value->len);

    if (param->value.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(param->value.data, value->data, value->len);

    return NGX_OK;
}


/*
 * The first of the whole fleet to write the key may use the state.
 * NGX_AGAIN; NGX_DECLINED: Redis cannot be asked; NGX_ERROR
 */

static ngx_int_t
ngx_http_zapier_grant_claim(ngx_http_zapier_grant_t *grant)
{
    u_char              *p;
    int64_t              ms;
    ngx_str_t            argv[6], *prefix;
    ngx_zapier_state_t  *state;

    u_char  number[NGX_INT64_LEN];

    state = &grant->connect->state;
    prefix = &grant->tokens->prefix;

    p = ngx_pnalloc(grant->pool,
                    ngx_zapier_key_len(prefix, "connect", &grant->tenant)
                    + 1 + 2 * sizeof(state->nonce));
    if (p == NULL) {
        return NGX_ERROR;
    }

    grant->key.data = p;

    p = ngx_zapier_key(p, prefix, "connect", &grant->tenant);
    *p++ = ':';
    p = ngx_hex_dump(p, state->nonce, sizeof(state->nonce));

    grant->key.len = p - grant->key.data;

    ms = (state->expires - ngx_zapier_token_now(grant->tokens)) * 1000
         + NGX_HTTP_ZAPIER_GRANT_MEMORY;

    ngx_str_set(&argv[0], "SET");
    argv[1] = grant->key;
    ngx_str_set(&argv[2], "1");
    ngx_str_set(&argv[3], "NX");
    ngx_str_set(&argv[4], "PX");
    argv[5].data = number;
    argv[5].len = ngx_sprintf(number, "%L", ms) - number;

    return (ngx_zapier_redis_start(grant->tokens->redis, &grant->cmd, 6, argv)
            == NGX_AGAIN)
           ? NGX_AGAIN : NGX_DECLINED;
}


static void
ngx_http_zapier_grant_claimed(ngx_zapier_redis_cmd_t *cmd)
{
    ngx_http_zapier_grant_t *grant = cmd->data;

    size_t  len;
    u_char  text[NGX_ZAPIER_REDIS_TEXT_LEN];

    if (cmd->status != NGX_OK) {
        ngx_http_zapier_grant_end(grant, NGX_HTTP_ZAPIER_CONNECT_NO_STORE);
        return;
    }

    switch (cmd->reply->type) {

    case NGX_ZAPIER_REDIS_STATUS:
        ngx_http_zapier_grant_call(grant);
        return;

    case NGX_ZAPIER_REDIS_NIL:
        ngx_http_zapier_grant_end(grant, NGX_HTTP_ZAPIER_CONNECT_USED);
        return;

    default: /* NGX_ZAPIER_REDIS_ERROR */
        len = ngx_zapier_redis_reply_text(cmd->reply, text);

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "Redis refused to SET a key of \"zapier_connect\": "
                      "\"%*s\"", len, text);

        ngx_http_zapier_grant_end(grant, NGX_HTTP_ZAPIER_CONNECT_NO_STORE);
    }
}


static void
ngx_http_zapier_grant_call(ngx_http_zapier_grant_t *grant)
{
    ngx_zapier_oauth_t  *oauth;

    oauth = grant->tokens->oauth;

    if (ngx_zapier_oauth_request(oauth, grant->pool, grant->params,
                                 grant->nparams, &grant->call)
        != NGX_OK
        || oauth->call(oauth, &grant->call) != NGX_AGAIN)
    {
        ngx_http_zapier_grant_end(grant, NGX_HTTP_ZAPIER_CONNECT_LATER);
    }
}


static void
ngx_http_zapier_grant_called(ngx_zapier_oauth_call_t *call)
{
    ngx_zapier_oauth_answer_t          *answer;
    ngx_http_zapier_grant_t            *grant;
    ngx_http_zapier_connect_outcome_e   outcome;

    grant = call->data;
    answer = &grant->answer;

    if (ngx_zapier_oauth_parse(call, grant->pool, answer) != NGX_OK) {
        answer->result = NGX_ZAPIER_OAUTH_UNKNOWN;
        ngx_str_set(&answer->error, "no memory");
    }

    switch (answer->result) {

    case NGX_ZAPIER_OAUTH_GRANTED:
        ngx_http_zapier_grant_put(grant);
        return;

    case NGX_ZAPIER_OAUTH_DEAD:
        outcome = NGX_HTTP_ZAPIER_CONNECT_CODE;
        break;

    case NGX_ZAPIER_OAUTH_REFUSED:
        outcome = NGX_HTTP_ZAPIER_CONNECT_REFUSED;
        break;

    case NGX_ZAPIER_OAUTH_TRANSIENT:
        outcome = NGX_HTTP_ZAPIER_CONNECT_LATER;
        break;

    default: /* NGX_ZAPIER_OAUTH_UNKNOWN */

        /* a second attempt would be taken for a stolen code */

        outcome = NGX_HTTP_ZAPIER_CONNECT_UNKNOWN;
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "connecting tenant \"%V\" failed at the token endpoint: "
                  "status %ui, \"%V\"%s", &grant->tenant, call->status,
                  &answer->error,
                  (outcome == NGX_HTTP_ZAPIER_CONNECT_REFUSED)
                  ? "; look at \"zapier_oauth_client\" and "
                    "\"zapier_oauth_token\"" : "");

    ngx_http_zapier_grant_end(grant, outcome);
}


static void
ngx_http_zapier_grant_put(ngx_http_zapier_grant_t *grant)
{
    ngx_zapier_store_op_t      *op;
    ngx_zapier_oauth_answer_t  *answer;

    op = &grant->op;
    answer = &grant->answer;

    op->verb = NGX_ZAPIER_STORE_PUT;
    op->tenant = grant->tenant;
    op->pool = grant->pool;
    op->handler = ngx_http_zapier_grant_written;
    op->data = grant;

    op->access_token = answer->access_token;
    op->refresh_token = answer->refresh_token;
    op->scope = answer->scope;
    op->token_type = answer->token_type;

    /* a refresh may come between two attempts of which the first did it */

    op->once = grant->key;

    /* it counts from now, however long Redis lets us wait */

    op->expires_in = -1;
    op->expires_at = (answer->expires_in < 0)
                     ? 0 : (int64_t) ngx_zapier_token_now(grant->tokens)
                           + answer->expires_in;

    grant->delay = NGX_HTTP_ZAPIER_GRANT_DELAY;
    grant->deadline = ngx_zapier_clock()
                      + NGX_HTTP_ZAPIER_GRANT_PATIENCE
                        * grant->tokens->oauth->timeout;

    ngx_http_zapier_grant_write(grant);
}


static void
ngx_http_zapier_grant_write(ngx_http_zapier_grant_t *grant)
{
    switch (ngx_zapier_store_start(grant->tokens, &grant->op)) {

    case NGX_AGAIN:
        return;

    case NGX_OK:
        break;

    default: /* NGX_ERROR */
        grant->op.result = NGX_ZAPIER_STORE_UNAVAILABLE;
    }

    ngx_http_zapier_grant_written(&grant->op);
}


static void
ngx_http_zapier_grant_timer(ngx_event_t *ev)
{
    ngx_http_zapier_grant_write(ev->data);
}


static void
ngx_http_zapier_grant_written(ngx_zapier_store_op_t *op)
{
    ngx_http_zapier_grant_t  *grant;

    grant = op->data;

    if (op->result == NGX_ZAPIER_STORE_OK) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "zapier: tenant \"%V\" has connected", &grant->tenant);

        ngx_http_zapier_grant_end(grant, NGX_HTTP_ZAPIER_CONNECT_OK);
        return;
    }

    if (op->result == NGX_ZAPIER_STORE_INVALID
        || ngx_zapier_clock() >= grant->deadline)
    {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "Redis has not said that it stored the new tokens of "
                      "tenant \"%V\", the tenant must connect again",
                      &grant->tenant);

        ngx_http_zapier_grant_end(grant, NGX_HTTP_ZAPIER_CONNECT_LOST);
        return;
    }

    ngx_add_timer(&grant->timer, grant->delay);

    grant->delay = ngx_min(grant->delay * 2, NGX_HTTP_ZAPIER_GRANT_DELAY_MAX);
}


static void
ngx_http_zapier_grant_end(ngx_http_zapier_grant_t *grant,
    ngx_http_zapier_connect_outcome_e outcome)
{
    ngx_connection_t           *c;
    ngx_http_zapier_connect_t  *connect;

    connect = grant->connect;

    if (connect == NULL) {
        ngx_http_zapier_grant_destroy(grant);
        return;
    }

    ngx_http_zapier_grant_leave(connect);
    ngx_http_zapier_grant_destroy(grant);

    c = connect->request->connection;

    ngx_http_set_log_request(c->log, connect->request);

    ngx_http_zapier_connect_answer(connect, outcome);

    /* the request may be gone */

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_zapier_grant_destroy(ngx_http_zapier_grant_t *grant)
{
    if (grant->timer.timer_set) {
        ngx_del_timer(&grant->timer);
    }

    ngx_zapier_redis_cancel(&grant->cmd);
    ngx_zapier_store_cancel(&grant->op);

    ngx_queue_remove(&grant->queue);

    ngx_destroy_pool(grant->pool);
}
