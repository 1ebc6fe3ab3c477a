
/*
 * Servers that another server has named.  What is said of them is not
 * trusted: it must be a plausible address, and there is an end to their
 * number.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_topology.h>


static ngx_uint_t ngx_zapier_redis_node_host(ngx_str_t *host);
static ngx_zapier_redis_node_t *ngx_zapier_redis_node_find(
    ngx_zapier_redis_topology_t *topology, ngx_str_t *host, ngx_int_t port);
static ngx_zapier_redis_node_t *ngx_zapier_redis_node_new(
    ngx_zapier_redis_topology_t *topology);
static ngx_uint_t ngx_zapier_redis_node_idle(ngx_zapier_redis_t *redis);
static void ngx_zapier_redis_node_init(ngx_zapier_redis_topology_t *topology,
    ngx_zapier_redis_node_t *node, ngx_str_t *host, ngx_int_t port,
    ngx_addr_t *addr);


ngx_zapier_redis_t *
ngx_zapier_redis_node(ngx_zapier_redis_topology_t *topology, ngx_str_t *host,
    ngx_int_t port)
{
    ngx_addr_t                addr;
    ngx_pool_t               *pool;
    ngx_zapier_redis_t       *front;
    ngx_zapier_redis_node_t  *node;

    if (port < 1 || port > 65535 || !ngx_zapier_redis_node_host(host)) {
        ngx_log_error(NGX_LOG_ERR, &topology->log, 0,
                      "redis %V named a server that cannot be",
                      &topology->redis->name);
        return NULL;
    }

    node = ngx_zapier_redis_node_find(topology, host, port);
    if (node) {
        return &node->redis;
    }

    front = topology->redis;

    pool = ngx_create_pool(512, &topology->log);
    if (pool == NULL) {
        return NULL;
    }

    if (ngx_parse_addr(pool, &addr, host->data, host->len) != NGX_OK) {
        addr.sockaddr = NULL;
    }

    if (addr.sockaddr == NULL
        && (front->conf.resolver == NULL
            || front->conf.resolver->connections.nelts == 0))
    {
        ngx_log_error(NGX_LOG_ERR, &topology->log, 0,
                      "redis %V named the server \"%V\", which needs "
                      "\"resolver\"", &front->name, host);
        goto done;
    }

    node = ngx_zapier_redis_node_new(topology);
    if (node == NULL) {
        goto done;
    }

    ngx_zapier_redis_node_init(topology, node, host, port, &addr);

done:

    ngx_destroy_pool(pool);

    return node ? &node->redis : NULL;
}


static ngx_uint_t
ngx_zapier_redis_node_host(ngx_str_t *host)
{
    size_t  i;
    u_char  ch;

    if (host->len == 0 || host->len > NGX_ZAPIER_REDIS_HOST_LEN) {
        return 0;
    }

    for (i = 0; i < host->len; i++) {
        ch = host->data[i];

        if ((ch < 'a' || ch > 'z') && (ch < 'A' || ch > 'Z')
            && (ch < '0' || ch > '9')
            && ch != '.' && ch != '-' && ch != '_' && ch != ':')
        {
            return 0;
        }
    }

    return 1;
}


static ngx_zapier_redis_node_t *
ngx_zapier_redis_node_find(ngx_zapier_redis_topology_t *topology,
    ngx_str_t *host, ngx_int_t port)
{
    ngx_queue_t              *q;
    ngx_zapier_redis_node_t  *node;

    for (q = ngx_queue_head(&topology->nodes);
         q != ngx_queue_sentinel(&topology->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_zapier_redis_node_t, queue);

        if (node->redis.port == (in_port_t) port
            && node->redis.host.len == host->len
            && ngx_memcmp(node->redis.host.data, host->data, host->len) == 0)
        {
            return node;
        }
    }

    return NULL;
}


/* Memory of the cycle's pool, so the oldest that nobody needs serves again. */

static ngx_zapier_redis_node_t *
ngx_zapier_redis_node_new(ngx_zapier_redis_topology_t *topology)
{
    ngx_queue_t              *q;
    ngx_zapier_redis_node_t  *node;

    if (topology->nnodes < topology->max) {
        node = ngx_pcalloc(topology->redis->pool,
                           sizeof(ngx_zapier_redis_node_t));

        if (node) {
            topology->nnodes++;
            ngx_queue_insert_tail(&topology->nodes, &node->queue);
        }

        return node;
    }

    for (q = ngx_queue_head(&topology->nodes);
         q != ngx_queue_sentinel(&topology->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_zapier_redis_node_t, queue);

        if (topology->unused(topology, &node->redis)
            && ngx_zapier_redis_node_idle(&node->redis))
        {
            ngx_queue_remove(q);
            ngx_queue_insert_tail(&topology->nodes, q);

            return node;
        }
    }

    ngx_log_error(NGX_LOG_ERR, &topology->log, 0,
                  "redis %V named more than %ui servers",
                  &topology->redis->name, topology->max);

    return NULL;
}


static ngx_uint_t
ngx_zapier_redis_node_idle(ngx_zapier_redis_t *redis)
{
    ngx_uint_t  i;

    for (i = 0; redis->links && i < ngx_zapier_redis_nlinks(redis); i++) {
        if (redis->links[i].state != NGX_ZAPIER_REDIS_DOWN) {
            return 0;
        }
    }

    return 1;
}


/* Links and slots of a node that serves again are kept. */

static void
ngx_zapier_redis_node_init(ngx_zapier_redis_topology_t *topology,
    ngx_zapier_redis_node_t *node, ngx_str_t *host, ngx_int_t port,
    ngx_addr_t *addr)
{
    ngx_zapier_redis_t  *front, *redis;

    front = topology->redis;
    redis = &node->redis;

    redis->conf = front->conf;
    redis->pool = front->pool;
    redis->db = front->db;
    redis->password = front->password;
    redis->member = topology;
    redis->caps = front->caps;
    redis->tls = front->tls;
    redis->master = front->master;
    redis->literal = (addr->sockaddr != NULL);
    redis->dynamic = !redis->literal;
    redis->naddrs = 0;
    redis->addr = 0;
    redis->backoff = 0;

    (void) ngx_cpystrn(node->host, host->data, host->len + 1);

    redis->host.len = host->len;
    redis->host.data = node->host;
    redis->port = (in_port_t) port;

    redis->name.data = node->name;

    if (ngx_strlchr(node->host, node->host + host->len, ':') != NULL) {
        redis->name.len = ngx_sprintf(node->name, "[%V]:%i", host, port)
                          - node->name;

    } else {
        redis->name.len = ngx_sprintf(node->name, "%V:%i", host, port)
                          - node->name;
    }

#if (NGX_SSL)

    redis->ssl = front->ssl;
    redis->ssl_name = front->conf.ssl_name.len ? front->ssl_name
                                               : redis->host;
    redis->ssl_name_literal = front->conf.ssl_name.len
                              ? front->ssl_name_literal : redis->literal;

#endif

    if (addr->sockaddr) {
        (void) ngx_zapier_redis_add_addr(redis, addr->sockaddr, addr->socklen);
    }
}


void
ngx_zapier_redis_node_drain(ngx_zapier_redis_t *redis)
{
    ngx_uint_t                i;
    ngx_zapier_redis_link_t  *link;

    for (i = 0; redis->links && i < ngx_zapier_redis_nlinks(redis); i++) {
        link = &redis->links[i];

        if (link->state == NGX_ZAPIER_REDIS_DOWN) {
            continue;
        }

        link->draining = 1;

        if (link->state == NGX_ZAPIER_REDIS_READY) {
            ngx_zapier_redis_link_post(link);
        }
    }
}
