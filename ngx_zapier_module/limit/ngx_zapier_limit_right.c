
/*
 * The right to probe a gate for a whole fleet: a key in Redis that one node
 * can set.  Where Redis cannot be asked, each node probes for itself.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_clock.h>
#include <ngx_zapier_limit_news.h>
#include <ngx_zapier_redis.h>


/* asked for, but not got */
#define NGX_ZAPIER_LIMIT_RIGHT_NONE  1

#define NGX_ZAPIER_LIMIT_RIGHT_KEY                                           \
    (sizeof("limit:{}#probe::") + NGX_ZAPIER_LIMIT_ENTRY_KEY)


typedef struct {
    ngx_zapier_redis_cmd_t     cmd;
    ngx_zapier_limits_t       *limits;
    ngx_zapier_limit_claim_t  *claim;      /* NULL: it has been cancelled */
    ngx_zapier_limit_scope_t  *scope;
    uint64_t                   sent;
    ngx_str_t                  key;
} ngx_zapier_limit_right_t;


static void ngx_zapier_limit_right_key(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim, ngx_zapier_limit_scope_t *scope,
    ngx_str_t *key);
static void ngx_zapier_limit_right_reply(ngx_zapier_redis_cmd_t *cmd);
static void ngx_zapier_limit_right_yield(ngx_zapier_limit_right_t *right);
static void ngx_zapier_limit_right_delete(ngx_zapier_limits_t *limits,
    ngx_str_t *key);


ngx_zapier_limit_scope_t *
ngx_zapier_limit_right_due(ngx_zapier_limit_chain_t *chain)
{
    ngx_uint_t                i;
    ngx_zapier_limit_link_t  *link;

    for (i = 0; i < chain->n; i++) {
        link = &chain->links[i];

        if (link->scope->right == 0
            && ngx_zapier_limit_told_to_all(link->scope->zone)
            && ngx_zapier_limit_gate_probe(link, chain->now))
        {
            return link->scope;
        }
    }

    return NULL;
}


ngx_int_t
ngx_zapier_limit_right_ask(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim, ngx_zapier_limit_scope_t *scope)
{
    size_t                     size;
    u_char                     time[NGX_INT_T_LEN];
    ngx_str_t                  argv[6];
    ngx_zapier_limit_right_t  *right;

    scope->right = NGX_ZAPIER_LIMIT_RIGHT_NONE;

    size = sizeof(ngx_zapier_limit_right_t) + limits->prefix.len
           + claim->tag.len + NGX_ZAPIER_LIMIT_RIGHT_KEY;

    right = ngx_alloc(size, claim->log);
    if (right == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(right, sizeof(ngx_zapier_limit_right_t));

    right->cmd.handler = ngx_zapier_limit_right_reply;
    right->cmd.data = right;
    right->limits = limits;
    right->claim = claim;
    right->scope = scope;
    right->sent = ngx_zapier_clock();
    right->key.data = (u_char *) right + sizeof(ngx_zapier_limit_right_t);

    ngx_zapier_limit_right_key(limits, claim, scope, &right->key);

    ngx_str_set(&argv[0], "SET");
    argv[1] = right->key;
    ngx_str_set(&argv[2], "1");
    ngx_str_set(&argv[3], "NX");
    ngx_str_set(&argv[4], "PX");
    argv[5].data = time;
    argv[5].len = ngx_sprintf(time, "%i", NGX_ZAPIER_LIMIT_PROBE_TIME) - time;

    if (ngx_zapier_redis_start(limits->redis, &right->cmd, 6, argv)
        != NGX_AGAIN)
    {
        ngx_free(right);
        return NGX_ERROR;
    }

    claim->right = right;

    return NGX_AGAIN;
}


/* In one slot with what the scope's units are counted in. */

static void
ngx_zapier_limit_right_key(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim, ngx_zapier_limit_scope_t *scope,
    ngx_str_t *key)
{
    u_char  *p;

    p = ngx_cpymem(key->data, limits->prefix.data, limits->prefix.len);
    p = ngx_cpymem(p, "limit:{", sizeof("limit:{") - 1);
    p = ngx_cpymem(p, claim->tag.data, claim->tag.len);
    p = ngx_cpymem(p, "}#probe:", sizeof("}#probe:") - 1);
    p = ngx_cpymem(p, scope->zone->name.data, scope->zone->name.len);
    *p++ = ':';
    p = ngx_cpymem(p, scope->key.data, scope->key.len);

    key->len = p - key->data;
}


static void
ngx_zapier_limit_right_reply(ngx_zapier_redis_cmd_t *cmd)
{
    ngx_uint_t                 got, lost;
    ngx_zapier_limits_t       *limits;
    ngx_zapier_limit_claim_t  *claim;
    ngx_zapier_limit_right_t  *right;

    right = cmd->data;
    claim = right->claim;
    limits = right->limits;

    got = (cmd->status == NGX_OK
           && cmd->reply->type == NGX_ZAPIER_REDIS_STATUS);
    lost = (cmd->status == NGX_OK
            && cmd->reply->type == NGX_ZAPIER_REDIS_NIL);

    if (claim == NULL) {

        if (got) {
            ngx_zapier_limit_right_delete(limits, &right->key);
        }

        ngx_free(right);
        return;
    }

    claim->right = NULL;

    if (got) {
        right->scope->right = right->sent + NGX_ZAPIER_LIMIT_PROBE_TIME;
    }

    if (lost) {
        ngx_zapier_limit_right_yield(right);
    }

    ngx_free(right);

    ngx_zapier_limit_ask_finish(limits, claim);
}


/* Another node probes; what it finds will be told. */

static void
ngx_zapier_limit_right_yield(ngx_zapier_limit_right_t *right)
{
    ngx_uint_t                i;
    ngx_zapier_limit_chain_t  chain;

    if (ngx_zapier_limit_chain_open(&chain, right->limits, right->claim)
        != NGX_OK)
    {
        return;
    }

    for (i = 0; i < chain.n; i++) {
        if (chain.links[i].scope == right->scope) {
            ngx_zapier_limit_gate_yield(&chain.links[i], chain.now);
        }
    }

    ngx_zapier_limit_chain_close(&chain);
}


void
ngx_zapier_limit_right_cancel(ngx_zapier_limit_claim_t *claim)
{
    if (claim->right != NULL) {
        ((ngx_zapier_limit_right_t *) claim->right)->claim = NULL;
        claim->right = NULL;
    }
}


void
ngx_zapier_limit_right_drop(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim)
{
    u_char                     buf[1024];
    ngx_str_t                  key;
    ngx_uint_t                 i;
    ngx_zapier_limit_scope_t  *scope;

    for (i = 0; i < claim->nscopes && i < NGX_ZAPIER_LIMIT_CHAIN; i++) {
        scope = &claim->scopes[i];

        if (scope->right == 0 || scope->probe != 0) {
            continue;
        }

        /* afterwards it may be another node's */

        if (scope->right > ngx_zapier_clock()
            && limits->prefix.len + claim->tag.len
               + NGX_ZAPIER_LIMIT_RIGHT_KEY <= sizeof(buf))
        {
            key.data = buf;
            ngx_zapier_limit_right_key(limits, claim, scope, &key);
            ngx_zapier_limit_right_delete(limits, &key);
        }

        scope->right = 0;
    }
}


static void
ngx_zapier_limit_right_delete(ngx_zapier_limits_t *limits, ngx_str_t *key)
{
    ngx_str_t  argv[2];

    ngx_str_set(&argv[0], "DEL");
    argv[1] = *key;

    ngx_zapier_limit_news_post(limits, 2, argv);
}
