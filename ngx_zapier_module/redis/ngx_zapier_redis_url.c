
/*
 * URLs of several servers, and a topology's state in a worker.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_file.h>
#include <ngx_zapier_redis_topology.h>


#define NGX_ZAPIER_REDIS_SENTINEL_PORT  26379
#define NGX_ZAPIER_REDIS_CLUSTER_PORT   6379


static ngx_int_t ngx_zapier_redis_url_servers(ngx_conf_t *cf,
    ngx_zapier_redis_t *redis, ngx_str_t *list, in_port_t port);
static ngx_int_t ngx_zapier_redis_url_master(ngx_conf_t *cf,
    ngx_zapier_redis_t *redis, ngx_str_t *name);


ngx_int_t
ngx_zapier_redis_sentinel_url(ngx_conf_t *cf, ngx_zapier_redis_t *redis,
    ngx_str_t *rest)
{
    u_char     *p, *last;
    ngx_str_t   list, name;

    redis->topology = ngx_zapier_redis_sentinel_create(cf);
    if (redis->topology == NULL) {
        return NGX_ERROR;
    }

    redis->master = 1;

    last = rest->data + rest->len;
    p = ngx_strlchr(rest->data, last, '/');

    list.len = ((p != NULL) ? p : last) - rest->data;
    list.data = rest->data;

    ngx_str_null(&name);

    if (p != NULL) {
        name.data = p + 1;
        p = ngx_strlchr(name.data, last, '/');
        name.len = ((p != NULL) ? p : last) - name.data;
    }

    if (ngx_zapier_redis_url_master(cf, redis, &name) != NGX_OK) {
        return NGX_ERROR;
    }

    if (p != NULL && p + 1 < last
        && ngx_zapier_redis_conf_db(cf, redis, p + 1, last) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_zapier_redis_url_servers(cf, redis, &list,
                                        NGX_ZAPIER_REDIS_SENTINEL_PORT);
}


ngx_int_t
ngx_zapier_redis_cluster_url(ngx_conf_t *cf, ngx_zapier_redis_t *redis,
    ngx_str_t *rest)
{
    ngx_str_t  list;

    redis->topology = ngx_zapier_redis_cluster_create(cf, redis);
    if (redis->topology == NULL) {
        return NGX_ERROR;
    }

    redis->topology->redis = redis;

    list = *rest;

    if (list.len && list.data[list.len - 1] == '/') {
        list.len--;
    }

    if (ngx_strlchr(list.data, list.data + list.len, '/') != NULL) {
        return ngx_zapier_redis_conf_invalid(cf, redis,
                                             "a cluster has no databases");
    }

    return ngx_zapier_redis_url_servers(cf, redis, &list,
                                        NGX_ZAPIER_REDIS_CLUSTER_PORT);
}


/* Sentinel takes no other names. */

static ngx_int_t
ngx_zapier_redis_url_master(ngx_conf_t *cf, ngx_zapier_redis_t *redis,
    ngx_str_t *name)
{
    size_t  i;
    u_char  ch;

    if (name->len == 0) {
        return ngx_zapier_redis_conf_invalid(cf, redis,
                                             "no name of the master");
    }

    for (i = 0; i < name->len; i++) {
        ch = name->data[i];

        if ((ch < 'a' || ch > 'z') && (ch < 'A' || ch > 'Z')
            && (ch < '0' || ch > '9')
            && ch != '.' && ch != '-' && ch != '_')
        {
            return ngx_zapier_redis_conf_invalid(cf, redis,
                                                 "the name of the master is "
                                                 "not of \"A-Za-z0-9.-_\"");
        }
    }

    ngx_zapier_redis_sentinel_master(redis->topology, name);

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_redis_url_servers(ngx_conf_t *cf, ngx_zapier_redis_t *redis,
    ngx_str_t *list, in_port_t port)
{
    u_char                       *p, *last;
    ngx_str_t                     host;
    ngx_zapier_redis_t           *server;
    ngx_zapier_redis_topology_t  *topology;

    topology = redis->topology;
    topology->redis = redis;

    redis->name = *list;
    redis->host = *list;

    topology->servers = ngx_pcalloc(cf->pool, NGX_ZAPIER_REDIS_SERVERS
                                              * sizeof(ngx_zapier_redis_t));
    if (topology->servers == NULL) {
        return NGX_ERROR;
    }

    last = list->data + list->len;

    for (host.data = list->data; host.data <= last; host.data = p + 1) {

        p = ngx_strlchr(host.data, last, ',');

        if (p == NULL) {
            p = last;
        }

        host.len = p - host.data;

        if (topology->nservers == NGX_ZAPIER_REDIS_SERVERS) {
            return ngx_zapier_redis_conf_invalid(cf, redis,
                                                 "more than 16 hosts");
        }

        server = &topology->servers[topology->nservers++];

        server->conf = redis->conf;
        server->pool = cf->pool;
        server->member = topology;

        if (ngx_zapier_redis_conf_server(cf, server, &host, port) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_zapier_redis_topology_init(ngx_conf_t *cf, ngx_zapier_redis_t *redis)
{
    ngx_uint_t                    i;
    ngx_zapier_redis_t           *server;
    ngx_zapier_redis_topology_t  *topology;

    topology = redis->topology;

    if (topology->conf && topology->conf(cf, topology) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = 0; i < topology->nservers; i++) {
        server = &topology->servers[i];

        server->caps = redis->caps;
        server->tls = redis->tls;

        topology->setup(topology, server);

#if (NGX_SSL)

        server->ssl = redis->ssl;

        if (server->tls
            && ngx_zapier_redis_ssl_name(cf->pool, server) != NGX_OK)
        {
            return NGX_ERROR;
        }

#endif
    }

    return NGX_OK;
}


void
ngx_zapier_redis_topology_init_worker(ngx_zapier_redis_topology_t *topology)
{
    if (topology->started) {
        return;
    }

    topology->started = 1;
    topology->log = *ngx_cycle->log;

    ngx_queue_init(&topology->redis->watchers);
    ngx_queue_init(&topology->calls);
    ngx_queue_init(&topology->waiting);
    ngx_queue_init(&topology->nodes);
    ngx_queue_init(&topology->spread);

    topology->timer.handler = ngx_zapier_redis_call_timer;
    topology->timer.data = topology;
    topology->timer.log = &topology->log;

    topology->init(topology);
}


void
ngx_zapier_redis_topology_exit_worker(ngx_zapier_redis_topology_t *topology)
{
    ngx_uint_t                i;
    ngx_queue_t              *q;
    ngx_zapier_redis_call_t  *call;
    ngx_zapier_redis_node_t  *node;

    if (!topology->started) {
        return;
    }

    while (!ngx_queue_empty(&topology->calls)) {
        q = ngx_queue_head(&topology->calls);
        call = ngx_queue_data(q, ngx_zapier_redis_call_t, queue);

        ngx_zapier_redis_call_cancel(call);
    }

    topology->exit(topology);

    for (i = 0; i < topology->nservers; i++) {
        ngx_zapier_redis_exit_links(&topology->servers[i]);
    }

    for (q = ngx_queue_head(&topology->nodes);
         q != ngx_queue_sentinel(&topology->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_zapier_redis_node_t, queue);

        ngx_zapier_redis_exit_links(&node->redis);
    }
}
