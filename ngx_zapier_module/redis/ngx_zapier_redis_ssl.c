
/*
 * TLS to the server: context from the configuration, handshake, and the
 * check whether the peer is the one that was meant.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_link.h>


/* certificates between the server's and a trusted one */
#define NGX_ZAPIER_REDIS_SSL_DEPTH  4


#if (NGX_SSL)

static ngx_int_t ngx_zapier_redis_ssl_trust(ngx_conf_t *cf,
    ngx_zapier_redis_t *redis);
static ngx_int_t ngx_zapier_redis_ssl_client(ngx_conf_t *cf,
    ngx_zapier_redis_t *redis);
static ngx_int_t ngx_zapier_redis_ssl_check_name(ngx_connection_t *c,
    ngx_zapier_redis_t *redis);


ngx_int_t
ngx_zapier_redis_ssl_init(ngx_conf_t *cf, ngx_zapier_redis_t *redis)
{
    ngx_pool_cleanup_t  *cln;

    redis->ssl = ngx_pcalloc(cf->pool, sizeof(ngx_ssl_t));
    if (redis->ssl == NULL) {
        return NGX_ERROR;
    }

    redis->ssl->log = cf->log;

    if (ngx_ssl_create(redis->ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        ngx_ssl_cleanup_ctx(redis->ssl);
        return NGX_ERROR;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = redis->ssl;

#ifdef SSL_OP_CLEANSE_PLAINTEXT
    SSL_CTX_set_options(redis->ssl->ctx, SSL_OP_CLEANSE_PLAINTEXT);
#endif

    if (((redis->topology == NULL || redis->conf.ssl_name.len)
         && ngx_zapier_redis_ssl_name(cf->pool, redis) != NGX_OK)
        || ngx_zapier_redis_ssl_client(cf, redis) != NGX_OK
        || ngx_zapier_redis_ssl_trust(cf, redis) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_redis_ssl_trust(ngx_conf_t *cf, ngx_zapier_redis_t *redis)
{
    ngx_str_t  *cert;

    if (!redis->conf.ssl_verify) {
        return NGX_OK;
    }

    cert = &redis->conf.ssl_trusted_certificate;

    if (ngx_ssl_trusted_certificate(cf, redis->ssl, cert,
                                    NGX_ZAPIER_REDIS_SSL_DEPTH)
        != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" of "
                           "\"zapier_redis_ssl_trusted_certificate\", it must "
                           "be a file of PEM certificates", cert);
        return NGX_ERROR;
    }

    if (cert->len == 0
        && SSL_CTX_set_default_verify_paths(redis->ssl->ctx) != 1)
    {
        ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                      "SSL_CTX_set_default_verify_paths() failed, set "
                      "\"zapier_redis_ssl_trusted_certificate\"");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_redis_ssl_client(ngx_conf_t *cf, ngx_zapier_redis_t *redis)
{
    ngx_str_t  *cert, *key;

    cert = &redis->conf.ssl_certificate;
    key = &redis->conf.ssl_certificate_key;

    if (cert->len == 0 && key->len == 0) {
        return NGX_OK;
    }

    if (cert->len == 0 || key->len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"zapier_redis_ssl_certificate\" and "
                           "\"zapier_redis_ssl_certificate_key\" need each "
                           "other, \"%s\" is missing",
                           cert->len ? "zapier_redis_ssl_certificate_key"
                                     : "zapier_redis_ssl_certificate");
        return NGX_ERROR;
    }

    if (ngx_ssl_certificate(cf, redis->ssl, cert, key, NULL) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid values \"%V\" of "
                           "\"zapier_redis_ssl_certificate\" and \"%V\" of "
                           "\"zapier_redis_ssl_certificate_key\", they must "
                           "be a certificate and its key in PEM files",
                           cert, key);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_zapier_redis_ssl_name(ngx_pool_t *pool, ngx_zapier_redis_t *redis)
{
    ngx_str_t   name;
    ngx_addr_t  addr;

    name = redis->conf.ssl_name.len ? redis->conf.ssl_name : redis->host;

    redis->ssl_name.data = ngx_pnalloc(pool, name.len + 1);
    if (redis->ssl_name.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_cpystrn(redis->ssl_name.data, name.data, name.len + 1);
    redis->ssl_name.len = name.len;

    redis->ssl_name_literal =
                      (ngx_parse_addr(pool, &addr, name.data, name.len)
                       == NGX_OK);

    return NGX_OK;
}


ngx_int_t
ngx_zapier_redis_ssl_start(ngx_zapier_redis_link_t *link,
    void (*handler)(ngx_connection_t *c))
{
    ngx_int_t            rc;
    ngx_connection_t    *c;
    ngx_zapier_redis_t  *redis;

    redis = link->redis;
    c = link->peer.connection;

    if (ngx_ssl_create_connection(redis->ssl, c, NGX_SSL_CLIENT) != NGX_OK) {
        return NGX_ERROR;
    }

    /* as per RFC 6066, literal addresses are not permitted */

    if (!redis->ssl_name_literal
        && SSL_set_tlsext_host_name(c->ssl->connection,
                                    (char *) redis->ssl_name.data)
           == 0)
    {
        ngx_ssl_error(NGX_LOG_ERR, c->log, 0,
                      "SSL_set_tlsext_host_name(\"%s\") failed",
                      redis->ssl_name.data);
        return NGX_ERROR;
    }

    rc = ngx_ssl_handshake(c);

    if (rc == NGX_AGAIN) {
        c->ssl->handler = handler;
    }

    return rc;
}


ngx_int_t
ngx_zapier_redis_ssl_check(ngx_zapier_redis_link_t *link)
{
    long                 rc;
    ngx_connection_t    *c;
    ngx_zapier_redis_t  *redis;

    redis = link->redis;
    c = link->peer.connection;

    if (!c->ssl->handshaked) {

        /* nginx has logged why */

        return NGX_ERROR;
    }

    if (!redis->conf.ssl_verify) {
        return NGX_OK;
    }

    /* nginx lets any handshake finish, the verdict is ours */

    rc = SSL_get_verify_result(c->ssl->connection);

    if (rc != X509_V_OK) {
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "redis SSL certificate verify error: (%l:%s)",
                      rc, X509_verify_cert_error_string(rc));
        return NGX_ERROR;
    }

    if (ngx_zapier_redis_ssl_check_name(c, redis) != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "redis SSL certificate does not match \"%V\"",
                      &redis->ssl_name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_redis_ssl_check_name(ngx_connection_t *c,
    ngx_zapier_redis_t *redis)
{
    int    rc;
    X509  *cert;

    if (!redis->ssl_name_literal) {
        return ngx_ssl_check_host(c, &redis->ssl_name);
    }

    /* ngx_ssl_check_host() knows only DNS names */

    cert = SSL_get_peer_certificate(c->ssl->connection);
    if (cert == NULL) {
        return NGX_ERROR;
    }

    rc = X509_check_ip_asc(cert, (char *) redis->ssl_name.data, 0);

    X509_free(cert);

    return (rc == 1) ? NGX_OK : NGX_ERROR;
}


#else

ngx_int_t
ngx_zapier_redis_ssl_init(ngx_conf_t *cf, ngx_zapier_redis_t *redis)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"zapier_redis %V\" needs nginx built with SSL "
                       "(--with-http_ssl_module), write \"redis://\" to do "
                       "without", &redis->conf.url);

    return NGX_ERROR;
}

#endif
