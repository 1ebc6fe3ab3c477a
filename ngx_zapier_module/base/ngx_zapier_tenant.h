
/*
 * Tenant names and the Redis keys that are built from them.
 */


#ifndef _NGX_ZAPIER_TENANT_H_INCLUDED_
#define _NGX_ZAPIER_TENANT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_ZAPIER_TENANT_LEN  128


/*
 * A tenant name is 1 to 128 bytes of [A-Za-z0-9._@:-].
 *
 * NGX_OK or NGX_DECLINED.
 */
ngx_int_t ngx_zapier_tenant_check(ngx_str_t *tenant);

/*
 * Writes PREFIX KIND ":{" TENANT "}" (for example zapier:token:{acme}) to
 * buf, which must hold ngx_zapier_key_len() bytes; returns the end.  The
 * braces make the tenant the hash tag of Redis Cluster.
 */
u_char *ngx_zapier_key(u_char *buf, ngx_str_t *prefix, const char *kind,
    ngx_str_t *tenant);
size_t ngx_zapier_key_len(ngx_str_t *prefix, const char *kind,
    ngx_str_t *tenant);

/*
 * The reverse: finds the tenant in such a key; *tenant points into key.
 *
 * NGX_OK, or NGX_DECLINED if the key is not of this prefix and kind.
 */
ngx_int_t ngx_zapier_key_tenant(ngx_str_t *key, ngx_str_t *prefix,
    const char *kind, ngx_str_t *tenant);


#endif /* _NGX_ZAPIER_TENANT_H_INCLUDED_ */
