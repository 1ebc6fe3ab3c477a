
/*
 * Tenant names and the Redis keys that are built from them.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_tenant.h>


ngx_int_t
ngx_zapier_tenant_check(ngx_str_t *tenant)
{
    u_char   ch;
    size_t   i;

    /* A-Z a-z 0-9 . _ @ : - */

    static const uint32_t  usual[] = {
        0x00000000,
        0x07ff6000,
        0x87ffffff,
        0x07fffffe,
        0x00000000,
        0x00000000,
        0x00000000,
        0x00000000
    };

    if (tenant->len == 0 || tenant->len > NGX_ZAPIER_TENANT_LEN) {
        return NGX_DECLINED;
    }

    for (i = 0; i < tenant->len; i++) {
        ch = tenant->data[i];

        if (!(usual[ch >> 5] & ((uint32_t) 1 << (ch & 0x1f)))) {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


size_t
ngx_zapier_key_len(ngx_str_t *prefix, const char *kind, ngx_str_t *tenant)
{
    return prefix->len + ngx_strlen(kind) + sizeof(":{}") - 1 + tenant->len;
}


u_char *
ngx_zapier_key(u_char *buf, ngx_str_t *prefix, const char *kind,
    ngx_str_t *tenant)
{
    if (prefix->len) {
        buf = ngx_cpymem(buf, prefix->data, prefix->len);
    }

    buf = ngx_cpymem(buf, kind, ngx_strlen(kind));
    *buf++ = ':';
    *buf++ = '{';
    buf = ngx_cpymem(buf, tenant->data, tenant->len);
    *buf++ = '}';

    return buf;
}


ngx_int_t
ngx_zapier_key_tenant(ngx_str_t *key, ngx_str_t *prefix, const char *kind,
    ngx_str_t *tenant)
{
    size_t      len;
    u_char     *p, *last;
    ngx_str_t   name;

    len = ngx_strlen(kind);

    if (key->len < prefix->len + len + sizeof(":{}") - 1) {
        return NGX_DECLINED;
    }

    p = key->data;
    last = p + key->len - 1;

    if (prefix->len && ngx_memcmp(p, prefix->data, prefix->len) != 0) {
        return NGX_DECLINED;
    }

    p += prefix->len;

    if (ngx_memcmp(p, kind, len) != 0) {
        return NGX_DECLINED;
    }

    p += len;

    if (p[0] != ':' || p[1] != '{' || *last != '}') {
        return NGX_DECLINED;
    }

    p += 2;

    tenant->data = p;
    tenant->len = last - p;

    /*
     * what the server sends is not trusted to be a name of ours; app tokens
     * have an asterisk before it
     */

    name = *tenant;

    if (name.len != 0 && name.data[0] == '*') {
        name.data++;
        name.len--;
    }

    return ngx_zapier_tenant_check(&name);
}
