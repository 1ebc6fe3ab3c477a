
/*
 * zapier_admin: zones of limits with their counters, and how a scope stands
 * on this node.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_admin.h>
#include <ngx_zapier_limit_count.h>


/* a zone or scope in JSON, without its name */
#define NGX_HTTP_ZAPIER_ADMIN_ZONE  1024


static u_char *ngx_http_zapier_admin_zone(u_char *p,
    ngx_zapier_limits_t *limits, ngx_zapier_limit_zone_t *zone);
static ngx_zapier_limit_zone_t *ngx_http_zapier_admin_zone_find(
    ngx_http_zapier_main_conf_t *zmcf, ngx_str_t *name);
static void ngx_http_zapier_admin_scope_send(ngx_http_zapier_admin_t *admin,
    ngx_zapier_limit_zone_t *zone, ngx_str_t *key,
    ngx_zapier_limit_look_t *look);
static void ngx_http_zapier_admin_finish(ngx_http_zapier_admin_t *admin,
    ngx_buf_t *b);


void
ngx_http_zapier_admin_zones(ngx_http_zapier_admin_t *admin)
{
    size_t                        len;
    ngx_buf_t                    *b;
    ngx_uint_t                    i;
    ngx_http_zapier_zone_t      **zones;
    ngx_http_zapier_main_conf_t  *zmcf;

    zmcf = ngx_http_get_module_main_conf(admin->request,
                                         ngx_http_zapier_module);

    zones = zmcf->zones.elts;
    len = sizeof("{\"data\":[]}\n");

    for (i = 0; i < zmcf->zones.nelts; i++) {
        len += NGX_HTTP_ZAPIER_ADMIN_ZONE
               + ngx_zapier_json_quote(NULL, zones[i]->zone.name.data,
                                       zones[i]->zone.name.len);
    }

    b = ngx_create_temp_buf(admin->op.pool, len);

    if (b != NULL) {
        b->last = ngx_http_zapier_put(b->last, "{\"data\":[");

        for (i = 0; i < zmcf->zones.nelts; i++) {

            if (i != 0) {
                *b->last++ = ',';
            }

            b->last = ngx_http_zapier_admin_zone(b->last, &zmcf->limits,
                                                 &zones[i]->zone);
        }

        b->last = ngx_http_zapier_put(b->last, "]}");
    }

    ngx_http_zapier_admin_finish(admin, b);
}


static u_char *
ngx_http_zapier_admin_zone(u_char *p, ngx_zapier_limits_t *limits,
    ngx_zapier_limit_zone_t *zone)
{
    ngx_str_t   local, redis;
    ngx_uint_t  i;

    ngx_str_set(&local, "local");
    ngx_str_set(&redis, "redis");

    *p++ = '{';

    p = ngx_http_zapier_admin_string(p, "zone", &zone->name);
    p = ngx_http_zapier_admin_number(p, "limit", zone->limit,
                                     zone->limit != 0);
    p = ngx_http_zapier_admin_number(p, "window_ms", zone->window,
                                     zone->limit != 0);
    p = ngx_http_zapier_admin_string(p, "store",
                                     (zone->store == NGX_ZAPIER_LIMIT_REDIS)
                                     ? &redis : &local);
    p = ngx_http_zapier_admin_flag(p, "mirror", zone->mirror);

    for (i = 0; i < NGX_ZAPIER_LIMIT_COUNTERS; i++) {
        p = ngx_http_zapier_admin_number(p, ngx_zapier_limit_counters[i],
                       (int64_t) ngx_zapier_limit_counted(limits, zone, i), 1);
    }

    /* instead of the last comma */

    *(p - 1) = '}';

    return p;
}


void
ngx_http_zapier_admin_scope(ngx_http_zapier_admin_t *admin)
{
    u_char                       *src, *dst;
    ngx_str_t                     key;
    ngx_zapier_limit_look_t       look;
    ngx_zapier_limit_zone_t      *zone;
    ngx_http_zapier_main_conf_t  *zmcf;

    zmcf = ngx_http_get_module_main_conf(admin->request,
                                         ngx_http_zapier_module);

    zone = ngx_http_zapier_admin_zone_find(zmcf, &admin->op.tenant);

    if (zone == NULL) {
        ngx_http_zapier_admin_error(admin, NGX_HTTP_NOT_FOUND, "not_found",
                                    "There is no zapier_limit_zone of this "
                                    "name.");
        return;
    }

    if (ngx_http_arg(admin->request, (u_char *) "key", sizeof("key") - 1,
                     &key)
        != NGX_OK
        || key.len == 0)
    {
        ngx_http_zapier_admin_error(admin, NGX_HTTP_BAD_REQUEST, "required",
                                    "The argument key is needed: the value "
                                    "that the zone counts by.");
        return;
    }

    src = key.data;
    dst = ngx_pnalloc(admin->op.pool, key.len);
    if (dst == NULL) {
        ngx_http_zapier_admin_finish(admin, NULL);
        return;
    }

    key.data = dst;
    ngx_unescape_uri(&dst, &src, key.len, 0);
    key.len = dst - key.data;

    if (ngx_zapier_limit_look(&zmcf->limits, zone, &key, &look) != NGX_OK) {
        ngx_http_zapier_admin_error(admin, NGX_HTTP_BAD_REQUEST,
                                    "invalid_value",
                                    "The key is longer than 255 bytes: such "
                                    "keys are counted by their digest.");
        return;
    }

    ngx_http_zapier_admin_scope_send(admin, zone, &key, &look);
}


static ngx_zapier_limit_zone_t *
ngx_http_zapier_admin_zone_find(ngx_http_zapier_main_conf_t *zmcf,
    ngx_str_t *name)
{
    ngx_uint_t                i;
    ngx_http_zapier_zone_t  **zones;

    zones = zmcf->zones.elts;

    for (i = 0; i < zmcf->zones.nelts; i++) {
        if (zones[i]->zone.name.len == name->len
            && ngx_memcmp(zones[i]->zone.name.data, name->data, name->len)
               == 0)
        {
            return &zones[i]->zone;
        }
    }

    return NULL;
}


static void
ngx_http_zapier_admin_scope_send(ngx_http_zapier_admin_t *admin,
    ngx_zapier_limit_zone_t *zone, ngx_str_t *key,
    ngx_zapier_limit_look_t *look)
{
    u_char     *p;
    ngx_buf_t  *b;

    b = ngx_create_temp_buf(admin->op.pool, NGX_HTTP_ZAPIER_ADMIN_ZONE
                  + ngx_zapier_json_quote(NULL, zone->name.data,
                                          zone->name.len)
                  + ngx_zapier_json_quote(NULL, key->data, key->len));

    if (b != NULL) {
        p = b->last;
        *p++ = '{';

        p = ngx_http_zapier_admin_string(p, "zone", &zone->name);
        p = ngx_http_zapier_admin_string(p, "key", key);
        p = ngx_http_zapier_admin_flag(p, "passes", look->wait == 0);
        p = ngx_http_zapier_admin_number(p, "wait_ms", look->wait, 1);
        p = ngx_http_zapier_admin_number(p, "limit", look->limit,
                                         look->limit >= 0);
        p = ngx_http_zapier_admin_number(p, "remaining", look->remaining,
                                         look->remaining >= 0);
        p = ngx_http_zapier_admin_number(p, "reset_ms", look->reset, 1);
        p = ngx_http_zapier_admin_number(p, "used_here", look->used, 1);
        p = ngx_http_zapier_admin_number(p, "leased", look->leased, 1);
        p = ngx_http_zapier_admin_number(p, "lease_ms", look->lease, 1);
        p = ngx_http_zapier_admin_number(p, "closed_ms", look->closed, 1);
        p = ngx_http_zapier_admin_number(p, "mirrored", look->mirrored,
                                         look->mirrored >= 0);
        p = ngx_http_zapier_admin_number(p, "mirrored_ms",
                                         look->mirror_reset,
                                         look->mirrored >= 0);
        *(p - 1) = '}';

        b->last = p;
    }

    ngx_http_zapier_admin_finish(admin, b);
}


static void
ngx_http_zapier_admin_finish(ngx_http_zapier_admin_t *admin, ngx_buf_t *b)
{
    if (b == NULL) {
        ngx_http_finalize_request(admin->request,
                                  NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    *b->last++ = LF;

    b->last_buf = 1;
    b->last_in_chain = 1;

    ngx_http_zapier_admin_send(admin, NGX_HTTP_OK, b);
}
