
/*
 * An operator closes and opens gates, resets scopes and asks who has what.
 * He may do what no header can: open a gate before its time.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_limit_entry.h>
#include <ngx_zapier_limit_operate.h>
#include <ngx_zapier_redis_scripts.h>


static ngx_int_t ngx_zapier_limit_operate_here(ngx_zapier_limit_op_t *op);
static ngx_int_t ngx_zapier_limit_operate_send(ngx_zapier_limit_op_t *op);
static ngx_int_t ngx_zapier_limit_operate_key(ngx_zapier_limit_op_t *op,
    ngx_str_t *key);
static ngx_int_t ngx_zapier_limit_operate_tell(ngx_zapier_limit_op_t *op);
static ngx_int_t ngx_zapier_limit_operate_ask(ngx_zapier_limit_op_t *op,
    ngx_str_t *key);
static void ngx_zapier_limit_operate_deleted(ngx_zapier_redis_cmd_t *cmd);
static void ngx_zapier_limit_operate_reply(ngx_zapier_redis_eval_t *eval);
static void ngx_zapier_limit_operate_holders(ngx_zapier_limit_op_t *op,
    ngx_zapier_redis_reply_t *reply);
static void ngx_zapier_limit_operate_reset(ngx_zapier_limit_entry_t *entry);


static ngx_zapier_redis_script_t  ngx_zapier_limit_nodes_script =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_LIMIT_NODES);


ngx_int_t
ngx_zapier_limit_operate(ngx_zapier_limit_op_t *op)
{
    op->status = NGX_OK;
    op->nholders = 0;

    if (op->key.len > NGX_ZAPIER_LIMIT_KEY_LEN) {
        return NGX_DECLINED;
    }

    if (op->kind != NGX_ZAPIER_LIMIT_NEWS_VIEW
        && ngx_zapier_limit_operate_here(op) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    if (op->zone->store != NGX_ZAPIER_LIMIT_REDIS
        || (op->kind == NGX_ZAPIER_LIMIT_NEWS_VIEW && op->zone->limit == 0))
    {
        return NGX_OK;
    }

    if (ngx_zapier_limit_operate_send(op) == NGX_AGAIN) {
        op->busy = 1;
        return NGX_AGAIN;
    }

    op->status = NGX_ERROR;

    return NGX_OK;
}


void
ngx_zapier_limit_operate_cancel(ngx_zapier_limit_op_t *op)
{
    if (op->busy) {
        op->busy = 0;
        ngx_zapier_redis_cancel(&op->cmd);
        ngx_zapier_redis_eval_cancel(&op->eval);
    }
}


static ngx_int_t
ngx_zapier_limit_operate_here(ngx_zapier_limit_op_t *op)
{
    ngx_int_t                 rc;
    ngx_zapier_limit_claim_t  claim;
    ngx_zapier_limit_scope_t  scope;
    ngx_zapier_limit_chain_t  chain;

    ngx_memzero(&claim, sizeof(ngx_zapier_limit_claim_t));
    ngx_memzero(&scope, sizeof(ngx_zapier_limit_scope_t));

    claim.nscopes = 1;
    claim.scopes = &scope;

    scope.zone = op->zone;
    scope.key = op->key;

    ngx_zapier_limit_tag(&scope, &op->tag);

    if (ngx_zapier_limit_chain_open(&chain, op->limits, &claim) != NGX_OK) {
        return NGX_DECLINED;
    }

    rc = ngx_zapier_limit_operated(&chain, op->kind, op->time);

    ngx_zapier_limit_chain_close(&chain);

    return rc;
}


ngx_int_t
ngx_zapier_limit_operated(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_news_e kind, uint32_t time)
{
    ngx_zapier_limit_link_t   *link;
    ngx_zapier_limit_entry_t  *entry;
    ngx_zapier_limit_state_t   state;

    link = &chain->links[0];

    if (kind == NGX_ZAPIER_LIMIT_NEWS_SHUT
        && ngx_zapier_limit_provide(chain, link) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    entry = link->entry;

    if (entry == NULL) {
        return NGX_OK;
    }

    /* nobody is told to come back at one moment: no probe is needed then */

    entry->closed = (kind == NGX_ZAPIER_LIMIT_NEWS_SHUT) ? chain->now + time
                                                         : 0;
    entry->late = 0;
    entry->shut = 0;
    entry->probe = 0;
    entry->gate_reset = 0;
    entry->gate_limit = NGX_ZAPIER_LIMIT_UNSET;

    if (kind == NGX_ZAPIER_LIMIT_NEWS_RESET) {
        ngx_zapier_limit_operate_reset(entry);
    }

    ngx_zapier_limit_judge(link, chain->now, 0, &state);

    (void) ngx_zapier_limit_remember(chain, &state);

    return NGX_OK;
}


static void
ngx_zapier_limit_operate_reset(ngx_zapier_limit_entry_t *entry)
{
    entry->window.nslots = 0;
    entry->window.used = 0;

    ngx_memzero(&entry->mirror, sizeof(ngx_zapier_limit_mirror_t));
    ngx_memzero(&entry->next, sizeof(ngx_zapier_limit_mirror_t));

    entry->lease_units = 0;
    entry->lease_end = 0;
    entry->full_until = 0;
    entry->left_reset = 0;
    entry->want = 0;
    entry->taken = 0;

    ngx_zapier_limit_share_forget(entry);
}


static ngx_int_t
ngx_zapier_limit_operate_send(ngx_zapier_limit_op_t *op)
{
    ngx_str_t  argv[3];

    op->eval.handler = ngx_zapier_limit_operate_reply;
    op->eval.data = op;

    if (op->kind == NGX_ZAPIER_LIMIT_NEWS_SHUT
        || op->kind == NGX_ZAPIER_LIMIT_NEWS_FREE)
    {
        return ngx_zapier_limit_operate_tell(op);
    }

    if (ngx_zapier_limit_operate_key(op, &argv[1]) != NGX_OK) {
        return NGX_ERROR;
    }

    if (op->kind == NGX_ZAPIER_LIMIT_NEWS_VIEW) {
        return ngx_zapier_limit_operate_ask(op, &argv[1]);
    }

    /* first the count: nodes that hear of it claim anew */

    op->cmd.handler = ngx_zapier_limit_operate_deleted;
    op->cmd.data = op;

    ngx_str_set(&argv[0], "DEL");

    return ngx_zapier_redis_start(op->limits->redis, &op->cmd, 2, argv);
}


static void
ngx_zapier_limit_operate_deleted(ngx_zapier_redis_cmd_t *cmd)
{
    ngx_zapier_limit_op_t *op = cmd->data;

    if (cmd->status == NGX_OK
        && cmd->reply->type == NGX_ZAPIER_REDIS_INTEGER
        && ngx_zapier_limit_operate_tell(op) == NGX_AGAIN)
    {
        return;
    }

    op->busy = 0;
    op->status = NGX_ERROR;

    op->handler(op);
}


static ngx_int_t
ngx_zapier_limit_operate_key(ngx_zapier_limit_op_t *op, ngx_str_t *key)
{
    u_char               *p;
    ngx_zapier_limits_t  *limits;

    limits = op->limits;

    p = ngx_pnalloc(op->pool, limits->prefix.len + sizeof("limit:{}::")
                              + op->tag.len + op->zone->name.len
                              + op->key.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    key->data = p;
    key->len = ngx_sprintf(p, "%Vlimit:{%V}:%V:%V", &limits->prefix, &op->tag,
                           &op->zone->name, &op->key)
               - p;

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_limit_operate_tell(ngx_zapier_limit_op_t *op)
{
    u_char                   *text;
    ngx_str_t                 argv[NGX_ZAPIER_LIMIT_NEWS_ARGS];
    ngx_zapier_limit_item_t   item;
    ngx_zapier_limit_scope_t  scope;

    scope.zone = op->zone;
    ngx_zapier_limit_tag(&scope, &op->tag);

    text = ngx_pnalloc(op->pool, NGX_ZAPIER_LIMIT_NEWS_LEN + NGX_INT32_LEN);
    if (text == NULL) {
        return NGX_ERROR;
    }

    item.kind = op->kind;
    item.limit = NGX_ZAPIER_LIMIT_UNSET;
    item.remaining = NGX_ZAPIER_LIMIT_UNSET;
    item.reset = NGX_ZAPIER_LIMIT_UNSET;
    item.closed = op->time;
    item.age = NGX_ZAPIER_LIMIT_UNSET;
    item.zone = op->zone->name;
    item.key = op->key;
    item.tag.len = 0;

    if (scope.tag != NULL) {
        item.tag = op->tag;
    }

    if (ngx_zapier_limit_news_args(op->limits, &item, argv, text,
                                   text + NGX_ZAPIER_LIMIT_NEWS_LEN)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_zapier_redis_eval(op->limits->redis, &op->eval,
                                 &ngx_zapier_limit_tell_script, 1,
                                 NGX_ZAPIER_LIMIT_NEWS_ARGS, argv);
}


static ngx_int_t
ngx_zapier_limit_operate_ask(ngx_zapier_limit_op_t *op, ngx_str_t *key)
{
    u_char     *p;
    ngx_str_t   argv[3];

    p = ngx_pnalloc(op->pool, 2 * NGX_INT32_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    argv[0] = *key;

    argv[1].data = p;
    p = ngx_sprintf(p, "%uD", op->zone->window);
    argv[1].len = p - argv[1].data;

    argv[2].data = p;
    argv[2].len = ngx_sprintf(p, "%uD", ngx_zapier_limit_slack(op->zone)) - p;

    return ngx_zapier_redis_eval(op->limits->redis, &op->eval,
                                 &ngx_zapier_limit_nodes_script, 1, 3, argv);
}


static void
ngx_zapier_limit_operate_reply(ngx_zapier_redis_eval_t *eval)
{
    ngx_zapier_limit_op_t *op = eval->data;

    op->busy = 0;
    op->status = eval->status;

    if (op->status == NGX_OK
        && eval->reply->type == NGX_ZAPIER_REDIS_ERROR)
    {
        ngx_zapier_redis_complain(NGX_LOG_ERR,
                                  "take an operator's word on limits",
                                  eval->reply);

        op->status = NGX_ERROR;
    }

    if (op->status == NGX_OK && op->kind == NGX_ZAPIER_LIMIT_NEWS_VIEW) {
        ngx_zapier_limit_operate_holders(op, eval->reply);
    }

    op->handler(op);
}


static void
ngx_zapier_limit_operate_holders(ngx_zapier_limit_op_t *op,
    ngx_zapier_redis_reply_t *reply)
{
    u_char                      name[NGX_ZAPIER_LIMIT_NEWS_NODE];
    ngx_uint_t                  i;
    ngx_zapier_redis_reply_t  **elts;
    ngx_zapier_limit_holder_t  *holder;
    ngx_zapier_limit_shared_t  *shared;

    if (reply->type != NGX_ZAPIER_REDIS_ARRAY || reply->nelts % 3 != 0) {
        op->status = NGX_ERROR;
        return;
    }

    shared = ngx_zapier_shm_data(&op->limits->table);
    (void) ngx_hex_dump(name, shared->node, sizeof(shared->node));

    for (i = 0;
         i < reply->nelts && op->nholders < NGX_ZAPIER_LIMIT_HOLDERS;
         i += 3)
    {
        elts = &reply->elts[i];
        holder = &op->holders[op->nholders];

        if (elts[0]->type != NGX_ZAPIER_REDIS_STRING
            || elts[1]->type != NGX_ZAPIER_REDIS_INTEGER
            || elts[2]->type != NGX_ZAPIER_REDIS_INTEGER)
        {
            op->status = NGX_ERROR;
            return;
        }

        holder->node.len = elts[0]->str.len;
        holder->node.data = ngx_pstrdup(op->pool, &elts[0]->str);

        if (holder->node.data == NULL) {
            op->status = NGX_ERROR;
            return;
        }

        holder->used = elts[1]->integer;
        holder->leased = elts[2]->integer;
        holder->here = (holder->node.len == sizeof(name)
                        && ngx_memcmp(holder->node.data, name, sizeof(name))
                           == 0);

        op->nholders++;
    }
}
