
/*
 * Script calls that claim units of scopes, or give them back.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_clock.h>
#include <ngx_zapier_limit_ask.h>


static u_char *ngx_zapier_limit_ask_scope(ngx_zapier_limit_ask_t *ask,
    ngx_zapier_limit_link_t *link, u_char *p);


ngx_zapier_limit_ask_t *
ngx_zapier_limit_ask_find(ngx_zapier_limit_chain_t *chain)
{
    ngx_uint_t                i, k;
    ngx_queue_t              *q;
    ngx_zapier_limit_ask_t   *ask;
    ngx_zapier_limit_link_t  *link;

    for (q = ngx_queue_head(&chain->limits->asks);
         q != ngx_queue_sentinel(&chain->limits->asks);
         q = ngx_queue_next(q))
    {
        ask = ngx_queue_data(q, ngx_zapier_limit_ask_t, queue);

        if (!ask->asking) {
            continue;
        }

        for (i = 0; i < ask->n; i++) {
            for (k = 0; k < chain->n; k++) {
                link = &chain->links[k];

                if (link->lacks
                    && link->hash == ask->scopes[i].hash
                    && link->key_len == ask->scopes[i].key.len
                    && ngx_memcmp(link->key, ask->scopes[i].key.data,
                                  link->key_len)
                       == 0)
                {
                    return ask;
                }
            }
        }
    }

    return NULL;
}


ngx_zapier_limit_ask_t *
ngx_zapier_limit_ask_create(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim, ngx_uint_t n,
    ngx_zapier_limit_link_t *links)
{
    size_t                      size, len;
    u_char                     *p;
    ngx_uint_t                  i;
    ngx_zapier_limit_ask_t     *ask;
    ngx_zapier_limit_shared_t  *shared;

    len = limits->prefix.len + sizeof("limit:{}::") - 1 + claim->tag.len;
    size = sizeof(ngx_zapier_limit_ask_t) + len;

    for (i = 0; i < n; i++) {
        if (links[i].lacks) {
            size += len + 2 * links[i].key_len + NGX_ZAPIER_LIMIT_NUMBERS;
        }
    }

    ask = ngx_alloc(size, ngx_cycle->log);
    if (ask == NULL) {
        return NULL;
    }

    ngx_memzero(ask, sizeof(ngx_zapier_limit_ask_t));

    ask->limits = limits;
    ask->sent = ngx_zapier_clock();

    shared = ngx_zapier_shm_data(&limits->table);
    (void) ngx_hex_dump(ask->node, shared->node, sizeof(shared->node));

    ngx_queue_init(&ask->waiting);
    ngx_queue_insert_tail(&limits->asks, &ask->queue);

    p = (u_char *) ask + sizeof(ngx_zapier_limit_ask_t);

    ask->registry.data = p;
    p = ngx_cpymem(p, limits->prefix.data, limits->prefix.len);
    p = ngx_cpymem(p, "limit:{", sizeof("limit:{") - 1);
    p = ngx_cpymem(p, claim->tag.data, claim->tag.len);
    *p++ = '}';
    ask->registry.len = p - ask->registry.data;

    for (i = 0; i < n; i++) {

        if (!links[i].lacks) {
            continue;
        }

        p = ngx_zapier_limit_ask_scope(ask, &links[i], p);
    }

    return ask;
}


/* Strings are written to p; returns their end. */

static u_char *
ngx_zapier_limit_ask_scope(ngx_zapier_limit_ask_t *ask,
    ngx_zapier_limit_link_t *link, u_char *p)
{
    ngx_str_t                 *zone, *key;
    ngx_zapier_limit_asked_t  *asked;

    asked = &ask->scopes[ask->n++];

    asked->scope = link->scope;
    asked->scope->link = link;
    asked->zone = link->scope->zone;
    asked->hash = link->hash;
    asked->units = link->scope->units;

    asked->key.data = p;
    asked->key.len = link->key_len;
    p = ngx_cpymem(p, link->key, link->key_len);

    zone = &asked->zone->name;
    key = &asked->scope->key;

    asked->name.data = p;
    p = ngx_cpymem(p, ask->registry.data, ask->registry.len);
    *p++ = ':';
    p = ngx_cpymem(p, zone->data, zone->len);
    *p++ = ':';
    p = ngx_cpymem(p, key->data, key->len);
    asked->name.len = p - asked->name.data;

    asked->numbers.data = p;

    return p + NGX_ZAPIER_LIMIT_NUMBERS;
}


void
ngx_zapier_limit_ask_free(ngx_zapier_limit_ask_t *ask)
{
    if (ask->timer.timer_set) {
        ngx_del_timer(&ask->timer);
    }

    ngx_queue_remove(&ask->queue);

    ngx_free(ask);
}


void
ngx_zapier_limit_ask_numbers(ngx_zapier_limit_asked_t *asked,
    ngx_zapier_limit_link_t *link, uint32_t own, ngx_uint_t crowd)
{
    u_char                   *p;
    uint32_t                  units, want;
    ngx_zapier_limit_zone_t  *zone;

    zone = asked->zone;
    units = link ? asked->units : 0;
    want = link ? link->want : 0;

    p = ngx_sprintf(asked->numbers.data, "%uD %uD %uD %uD %uD %uD %uD %ui",
                    zone->limit, zone->window, units, want,
                    ngx_zapier_limit_lease_time(zone),
                    ngx_zapier_limit_slack(zone), own, crowd * units);

    p = link ? ngx_sprintf(p, " %uD %uD %uD", link->weight, link->wants,
                           link->wants_time)
             : ngx_cpymem(p, " 0 0 0", sizeof(" 0 0 0") - 1);

    asked->numbers.len = p - asked->numbers.data;
}


ngx_int_t
ngx_zapier_limit_ask_send(ngx_zapier_limit_ask_t *ask,
    ngx_zapier_redis_script_t *script, ngx_uint_t registry,
    void (*handler)(ngx_zapier_redis_eval_t *eval))
{
    ngx_str_t   argv[2 * NGX_ZAPIER_LIMIT_CHAIN + 2];
    ngx_uint_t  i, n, nkeys;

    n = 0;

    if (registry) {
        argv[n++] = ask->registry;
    }

    for (i = 0; i < ask->n; i++) {
        if (ask->scopes[i].numbers.len != 0) {
            argv[n++] = ask->scopes[i].name;
        }
    }

    nkeys = n;

    argv[n].data = ask->node;
    argv[n].len = sizeof(ask->node);

    for (i = 0; i < ask->n; i++) {
        if (ask->scopes[i].numbers.len != 0) {
            argv[++n] = ask->scopes[i].numbers;
        }
    }

    ask->eval.handler = handler;
    ask->eval.data = ask;

    return ngx_zapier_redis_eval(ask->limits->redis, &ask->eval, script,
                                 nkeys, n + 1, argv);
}


ngx_zapier_limit_entry_t *
ngx_zapier_limit_ask_entry(ngx_zapier_limit_ask_t *ask, ngx_uint_t i)
{
    ngx_zapier_limit_asked_t  *asked;

    asked = &ask->scopes[i];

    return (ngx_zapier_limit_entry_t *)
           ngx_zapier_shm_lookup(&ask->limits->table, asked->hash,
                                 asked->key.data, asked->key.len);
}
