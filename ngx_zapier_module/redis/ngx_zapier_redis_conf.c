
/*
 * What zapier_redis says: URL, password file, first addresses.  Runs while
 * the configuration is read and may block.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_file.h>
#include <ngx_zapier_redis_link.h>
#include <ngx_zapier_redis_topology.h>


#define NGX_ZAPIER_REDIS_PORT    6379
#define NGX_ZAPIER_REDIS_DB_LEN  9


static ngx_int_t ngx_zapier_redis_url(ngx_conf_t *cf,
    ngx_zapier_redis_t *redis);
static ngx_int_t ngx_zapier_redis_url_host(ngx_conf_t *cf,
    ngx_zapier_redis_t *redis, ngx_str_t *rest);
static ngx_int_t ngx_zapier_redis_url_unix(ngx_conf_t *cf,
    ngx_zapier_redis_t *redis, ngx_str_t *rest);
static ngx_int_t ngx_zapier_redis_url_name(ngx_conf_t *cf,
    ngx_zapier_redis_t *redis, ngx_url_t *u);
static ngx_int_t ngx_zapier_redis_url_resolve(ngx_conf_t *cf,
    ngx_zapier_redis_t *redis, ngx_url_t *u);
static ngx_uint_t ngx_zapier_redis_url_scheme(ngx_str_t *rest,
    const char *scheme);
static ngx_int_t ngx_zapier_redis_check(ngx_conf_t *cf,
    ngx_zapier_redis_t *redis);
static ngx_int_t ngx_zapier_redis_password(ngx_conf_t *cf,
    ngx_zapier_redis_t *redis);


ngx_zapier_redis_t *
ngx_zapier_redis_create(ngx_conf_t *cf, ngx_zapier_redis_conf_t *conf)
{
    ngx_zapier_redis_t  *redis;

    redis = ngx_pcalloc(cf->pool, sizeof(ngx_zapier_redis_t));
    if (redis == NULL) {
        return NULL;
    }

    redis->conf = *conf;
    redis->pool = cf->pool;
    redis->caps = &ngx_zapier_redis_caps;

    if (redis->conf.connections == 0) {
        redis->conf.connections = 1;
    }

    if (ngx_zapier_redis_url(cf, redis) != NGX_OK
        || ngx_zapier_redis_check(cf, redis) != NGX_OK
        || ngx_zapier_redis_password(cf, redis) != NGX_OK)
    {
        return NULL;
    }

    if (redis->tls && ngx_zapier_redis_ssl_init(cf, redis) != NGX_OK) {
        return NULL;
    }

    if (redis->topology
        && ngx_zapier_redis_topology_init(cf, redis) != NGX_OK)
    {
        return NULL;
    }

    return redis;
}


static ngx_int_t
ngx_zapier_redis_url(ngx_conf_t *cf, ngx_zapier_redis_t *redis)
{
    ngx_str_t  rest;

    rest = redis->conf.url;

    if (ngx_strlchr(rest.data, rest.data + rest.len, '@') != NULL
        && ngx_strncmp(rest.data, "unix:", 5) != 0)
    {
        /* without the value: there may be a password in it */

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the URL of \"zapier_redis\" must not contain user "
                           "and password, write \"user=NAME\" and "
                           "\"password_file=FILE\" after it");
        return NGX_ERROR;
    }

    if (ngx_zapier_redis_url_scheme(&rest, "redis+sentinel://")) {
        return ngx_zapier_redis_sentinel_url(cf, redis, &rest);
    }

    if (ngx_zapier_redis_url_scheme(&rest, "rediss+sentinel://")) {
        redis->tls = 1;
        return ngx_zapier_redis_sentinel_url(cf, redis, &rest);
    }

    if (ngx_zapier_redis_url_scheme(&rest, "redis+cluster://")) {
        return ngx_zapier_redis_cluster_url(cf, redis, &rest);
    }

    if (ngx_zapier_redis_url_scheme(&rest, "rediss+cluster://")) {
        redis->tls = 1;
        return ngx_zapier_redis_cluster_url(cf, redis, &rest);
    }

    if (ngx_zapier_redis_url_scheme(&rest, "redis://")) {
        return ngx_zapier_redis_url_host(cf, redis, &rest);
    }

    if (ngx_zapier_redis_url_scheme(&rest, "rediss://")) {
        redis->tls = 1;
        return ngx_zapier_redis_url_host(cf, redis, &rest);
    }

    if (ngx_zapier_redis_url_scheme(&rest, "unix:")) {
        return ngx_zapier_redis_url_unix(cf, redis, &rest);
    }

    return ngx_zapier_redis_conf_invalid(cf, redis, "unknown scheme");
}


static ngx_uint_t
ngx_zapier_redis_url_scheme(ngx_str_t *rest, const char *scheme)
{
    size_t  len;

    len = ngx_strlen(scheme);

    if (rest->len < len
        || ngx_strncasecmp(rest->data, (u_char *) scheme, len) != 0)
    {
        return 0;
    }

    rest->data += len;
    rest->len -= len;

    return 1;
}


ngx_int_t
ngx_zapier_redis_conf_invalid(ngx_conf_t *cf, ngx_zapier_redis_t *redis,
    const char *reason)
{
    const char  *form;

    if (redis->topology || redis->member) {
        form = redis->topology ? redis->topology->form : redis->member->form;

    } else {
        form = "\"redis://HOST[:PORT][/DB]\", "
               "\"rediss://HOST[:PORT][/DB]\", \"unix:/PATH[?db=DB]\", "
               "\"redis+sentinel://HOST[:PORT],.../MASTER[/DB]\" or "
               "\"redis+cluster://HOST[:PORT],...\"";
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid URL \"%V\" of \"zapier_redis\": %s, it must "
                       "be %s", &redis->conf.url, reason, form);

    return NGX_ERROR;
}


static ngx_int_t
ngx_zapier_redis_url_host(ngx_conf_t *cf, ngx_zapier_redis_t *redis,
    ngx_str_t *rest)
{
    u_char     *last, *slash;
    ngx_str_t   server;

    last = rest->data + rest->len;

    if (ngx_strlchr(rest->data, last, ',') != NULL) {
        return ngx_zapier_redis_conf_invalid(cf, redis,
                                             "several hosts in the URL of "
                                             "one server");
    }

    slash = ngx_strlchr(rest->data, last, '/');

    if (slash != NULL) {

        if (slash + 1 < last
            && ngx_zapier_redis_conf_db(cf, redis, slash + 1, last) != NGX_OK)
        {
            return NGX_ERROR;
        }

        last = slash;
    }

    server.len = last - rest->data;
    server.data = rest->data;

    return ngx_zapier_redis_conf_server(cf, redis, &server,
                                        NGX_ZAPIER_REDIS_PORT);
}


ngx_int_t
ngx_zapier_redis_conf_server(ngx_conf_t *cf, ngx_zapier_redis_t *redis,
    ngx_str_t *server, in_port_t port)
{
    size_t     i;
    u_char     ch;
    ngx_url_t  u;

    for (i = 0; i < server->len; i++) {
        ch = server->data[i];

        if (ch <= 0x20 || ch == 0x7f || ch == '?' || ch == '#') {
            return ngx_zapier_redis_conf_invalid(cf, redis,
                                                 "unexpected character");
        }
    }

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *server;
    u.default_port = port;

    /* with a resolver it is no error that a name is not known yet */

    u.no_resolve = 1;

    if (u.url.len == 0) {
        return ngx_zapier_redis_conf_invalid(cf, redis, "no host");
    }

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        return ngx_zapier_redis_conf_invalid(cf, redis,
                                            u.err ? u.err : "wrong host");
    }

    if (u.family == AF_UNIX || u.wildcard || u.host.len == 0) {
        return ngx_zapier_redis_conf_invalid(cf, redis, "wrong host or port");
    }

    return ngx_zapier_redis_url_name(cf, redis, &u);
}


ngx_int_t
ngx_zapier_redis_conf_db(ngx_conf_t *cf, ngx_zapier_redis_t *redis, u_char *p,
    u_char *last)
{
    size_t     len;
    ngx_int_t  db;

    len = last - p;
    db = (len <= NGX_ZAPIER_REDIS_DB_LEN) ? ngx_atoi(p, len) : NGX_ERROR;

    if (db == NGX_ERROR) {
        return ngx_zapier_redis_conf_invalid(cf, redis,
                                            "the database is not a number");
    }

    if (db == 0) {

        /* every connection starts with it, SELECT would cost a round trip */

        return NGX_OK;
    }

    redis->db.data = ngx_pnalloc(cf->pool, NGX_INT_T_LEN);
    if (redis->db.data == NULL) {
        return NGX_ERROR;
    }

    redis->db.len = ngx_sprintf(redis->db.data, "%i", db) - redis->db.data;

    return NGX_OK;
}


/* Brackets stay in the name for the log, a certificate has none. */

static ngx_int_t
ngx_zapier_redis_url_name(ngx_conf_t *cf, ngx_zapier_redis_t *redis,
    ngx_url_t *u)
{
    size_t      len;
    ngx_addr_t  addr;

    redis->host = u->host;
    redis->port = u->port;

    if (redis->host.data[0] == '[') {
        redis->host.data++;
        redis->host.len -= 2;
    }

    redis->literal = (ngx_parse_addr(cf->pool, &addr, redis->host.data,
                                     redis->host.len)
                      == NGX_OK);

    len = u->host.len + sizeof(":65535") - 1;

    redis->name.data = ngx_pnalloc(cf->pool, len);
    if (redis->name.data == NULL) {
        return NGX_ERROR;
    }

    redis->name.len = ngx_sprintf(redis->name.data, "%V:%ui", &u->host,
                                  (ngx_uint_t) u->port)
                      - redis->name.data;

    if (redis->literal) {
        ngx_inet_set_port(addr.sockaddr, redis->port);

        return ngx_zapier_redis_add_addr(redis, addr.sockaddr, addr.socklen);
    }

    redis->dynamic = (redis->conf.resolver != NULL
                      && redis->conf.resolver->connections.nelts != 0);

    return ngx_zapier_redis_url_resolve(cf, redis, u);
}


static ngx_int_t
ngx_zapier_redis_url_resolve(ngx_conf_t *cf, ngx_zapier_redis_t *redis,
    ngx_url_t *u)
{
    ngx_uint_t  i;

    if (ngx_inet_resolve_host(cf->pool, u) != NGX_OK) {

        if (!redis->dynamic) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "%s: \"%V\" of \"zapier_redis %V\"; with "
                               "\"resolver\" it may be resolved later",
                               u->err ? u->err : "host not found",
                               &redis->host, &redis->conf.url);
            return NGX_ERROR;
        }

        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "%s: \"%V\" of \"zapier_redis %V\", will be "
                           "resolved when it is used",
                           u->err ? u->err : "host not found",
                           &redis->host, &redis->conf.url);
        return NGX_OK;
    }

    for (i = 0; i < u->naddrs; i++) {
        if (ngx_zapier_redis_add_addr(redis, u->addrs[i].sockaddr,
                                      u->addrs[i].socklen)
            != NGX_OK)
        {
            break;
        }
    }

    return NGX_OK;
}


/* Keeps an address with the server's port; NGX_DECLINED: enough. */

ngx_int_t
ngx_zapier_redis_add_addr(ngx_zapier_redis_t *redis,
    struct sockaddr *sockaddr, socklen_t socklen)
{
    ngx_zapier_redis_addr_t  *addr;

    if (redis->naddrs == NGX_ZAPIER_REDIS_ADDRS) {
        return NGX_DECLINED;
    }

    addr = &redis->addrs[redis->naddrs++];

    ngx_memcpy(&addr->sockaddr, sockaddr, socklen);
    addr->socklen = socklen;

    if (sockaddr->sa_family != AF_UNIX) {
        ngx_inet_set_port(&addr->sockaddr.sockaddr, redis->port);
    }

    addr->name.data = addr->text;
    addr->name.len = ngx_sock_ntop(&addr->sockaddr.sockaddr, socklen,
                                   addr->text, NGX_SOCKADDR_STRLEN, 1);

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_redis_url_unix(ngx_conf_t *cf, ngx_zapier_redis_t *redis,
    ngx_str_t *rest)
{
#if (NGX_HAVE_UNIX_DOMAIN)

    u_char              *p, *last;
    struct sockaddr_un   saun;

    last = rest->data + rest->len;
    p = ngx_strlchr(rest->data, last, '?');

    if (p != NULL) {

        if (last - p < 4 || ngx_strncmp(p, "?db=", 4) != 0) {
            return ngx_zapier_redis_conf_invalid(cf, redis,
                                                "unknown parameter");
        }

        if (ngx_zapier_redis_conf_db(cf, redis, p + 4, last) != NGX_OK) {
            return NGX_ERROR;
        }

        rest->len = p - rest->data;
    }

    if (rest->len < 2 || rest->data[0] != '/') {
        return ngx_zapier_redis_conf_invalid(cf, redis,
                                            "the path is not absolute");
    }

    if (rest->len >= sizeof(saun.sun_path)) {
        return ngx_zapier_redis_conf_invalid(cf, redis, "the path is too long");
    }

    ngx_memzero(&saun, sizeof(struct sockaddr_un));

    saun.sun_family = AF_UNIX;
    ngx_memcpy(saun.sun_path, rest->data, rest->len);

    redis->host = *rest;
    redis->literal = 1;

    redis->name.data = rest->data - (sizeof("unix:") - 1);
    redis->name.len = rest->len + sizeof("unix:") - 1;

    return ngx_zapier_redis_add_addr(redis, (struct sockaddr *) &saun,
                                     sizeof(struct sockaddr_un));

#else

    return ngx_zapier_redis_conf_invalid(cf, redis,
                            "unix sockets do not exist on this platform");

#endif
}


/* TLS options without TLS look like protection that is not there. */

static ngx_int_t
ngx_zapier_redis_check(ngx_conf_t *cf, ngx_zapier_redis_t *redis)
{
    const char  *name;

    if (redis->conf.user.len && redis->conf.password_file.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"user=%V\" of \"zapier_redis\" needs "
                           "\"password_file=FILE\"", &redis->conf.user);
        return NGX_ERROR;
    }

    if (redis->conf.sentinel_password_file.len && !redis->master) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"sentinel_password_file=\" is set but "
                           "\"zapier_redis %V\" names no Sentinels, write "
                           "\"redis+sentinel://\"", &redis->conf.url);
        return NGX_ERROR;
    }

    if (redis->conf.sentinel_user.len
        && redis->conf.sentinel_password_file.len == 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"sentinel_user=%V\" of \"zapier_redis\" needs "
                           "\"sentinel_password_file=FILE\"",
                           &redis->conf.sentinel_user);
        return NGX_ERROR;
    }

    if (redis->tls) {
        return NGX_OK;
    }

    if (redis->conf.ssl_name.len) {
        name = "zapier_redis_ssl_name";

    } else if (redis->conf.ssl_trusted_certificate.len) {
        name = "zapier_redis_ssl_trusted_certificate";

    } else if (redis->conf.ssl_certificate.len) {
        name = "zapier_redis_ssl_certificate";

    } else if (redis->conf.ssl_certificate_key.len) {
        name = "zapier_redis_ssl_certificate_key";

    } else {
        return NGX_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"%s\" is set but \"zapier_redis %V\" does not use "
                       "TLS, write \"rediss://\"", name, &redis->conf.url);

    return NGX_ERROR;
}


/* The password stays in memory for reconnects, and nowhere else. */

static ngx_int_t
ngx_zapier_redis_password(ngx_conf_t *cf, ngx_zapier_redis_t *redis)
{
    if (redis->conf.password_file.len == 0) {
        return NGX_OK;
    }

    return ngx_zapier_file_line(cf, &redis->conf.password_file,
                                "\"password_file=\" of \"zapier_redis\"",
                                "the password", &redis->password);
}
