
/*
 * zapier_admin: zones of limits with their counters, how a scope stands, and
 * what an operator does to it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_admin.h>
#include <ngx_http_zapier_directive.h>
#include <ngx_zapier_limit_count.h>


/* a zone or scope in JSON, without its name */
#define NGX_HTTP_ZAPIER_ADMIN_ZONE    1024

/* who has what of a scope, in JSON */
#define NGX_HTTP_ZAPIER_ADMIN_HOLDER  160

/* ms that a gate may be closed for */
#define NGX_HTTP_ZAPIER_ADMIN_CLOSE   86400000


static u_char *ngx_http_zapier_admin_zone(u_char *p,
    ngx_zapier_limits_t *limits, ngx_zapier_limit_zone_t *zone);
static void ngx_http_zapier_admin_operate(ngx_http_zapier_admin_t *admin,
    ngx_zapier_limit_news_e kind);
static void ngx_http_zapier_admin_operated(ngx_zapier_limit_op_t *op);
static void ngx_http_zapier_admin_scope_send(ngx_http_zapier_admin_t *admin);
static u_char *ngx_http_zapier_admin_holder(u_char *p,
    ngx_zapier_limit_holder_t *holder, ngx_uint_t last);


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
    ngx_http_zapier_admin_operate(admin, NGX_ZAPIER_LIMIT_NEWS_VIEW);
}


void
ngx_http_zapier_admin_close(ngx_http_zapier_admin_t *admin)
{
    ngx_str_t  text;

    if (ngx_http_arg(admin->request, (u_char *) "time", sizeof("time") - 1,
                     &text)
        != NGX_OK
        || ngx_http_zapier_time(&text, NGX_HTTP_ZAPIER_ADMIN_CLOSE,
                                &admin->limit.time)
           != NGX_OK)
    {
        ngx_http_zapier_admin_error(admin, NGX_HTTP_BAD_REQUEST,
                                    "invalid_value",
                                    "The argument time is needed, from 1ms "
                                    "to 1d.");
        return;
    }

    ngx_http_zapier_admin_operate(admin, NGX_ZAPIER_LIMIT_NEWS_SHUT);
}


void
ngx_http_zapier_admin_open(ngx_http_zapier_admin_t *admin)
{
    ngx_http_zapier_admin_operate(admin, NGX_ZAPIER_LIMIT_NEWS_FREE);
}


void
ngx_http_zapier_admin_reset(ngx_http_zapier_admin_t *admin)
{
    ngx_http_zapier_admin_operate(admin, NGX_ZAPIER_LIMIT_NEWS_RESET);
}


static void
ngx_http_zapier_admin_operate(ngx_http_zapier_admin_t *admin,
    ngx_zapier_limit_news_e kind)
{
    ngx_int_t                     rc;
    ngx_zapier_limit_op_t        *op;
    ngx_http_zapier_main_conf_t  *zmcf;

    zmcf = ngx_http_get_module_main_conf(admin->request,
                                         ngx_http_zapier_module);
    op = &admin->limit;

    op->limits = &zmcf->limits;
    op->kind = kind;
    op->pool = admin->op.pool;
    op->handler = ngx_http_zapier_admin_operated;
    op->data = admin;

    op->zone = ngx_http_zapier_admin_zone_find(zmcf, &admin->op.tenant);

    if (op->zone == NULL) {
        ngx_http_zapier_admin_error(admin, NGX_HTTP_NOT_FOUND, "not_found",
                                    "There is no zapier_limit_zone of this "
                                    "name.");
        return;
    }

    if (ngx_http_zapier_admin_arg(admin, "key", &op->key) != NGX_OK
        || op->key.len == 0)
    {
        ngx_http_zapier_admin_error(admin, NGX_HTTP_BAD_REQUEST, "required",
                                    "The argument key is needed: the value "
                                    "that the zone counts by.");
        return;
    }

    ngx_http_zapier_admin_tag(admin);

    rc = ngx_zapier_limit_operate(op);

    if (rc == NGX_DECLINED) {
        ngx_http_zapier_admin_error(admin, NGX_HTTP_BAD_REQUEST,
                                    "invalid_value",
                                    "The key is longer than 255 bytes (such "
                                    "keys are counted by their digest), its "
                                    "tag than 128, or there is no memory for "
                                    "its scope.");
        return;
    }

    if (kind != NGX_ZAPIER_LIMIT_NEWS_VIEW) {
        ngx_log_error(NGX_LOG_NOTICE, admin->request->connection->log, 0,
                      "zapier: an operator %s a scope of limit zone \"%V\"",
                      (kind == NGX_ZAPIER_LIMIT_NEWS_SHUT) ? "closes"
                      : (kind == NGX_ZAPIER_LIMIT_NEWS_FREE) ? "opens"
                                                             : "resets",
                      &op->zone->name);
    }

    if (rc == NGX_OK) {
        ngx_http_zapier_admin_scope_send(admin);
    }
}


static void
ngx_http_zapier_admin_operated(ngx_zapier_limit_op_t *op)
{
    ngx_connection_t         *c;
    ngx_http_zapier_admin_t  *admin;

    admin = op->data;
    c = admin->request->connection;

    ngx_http_set_log_request(c->log, admin->request);

    ngx_http_zapier_admin_scope_send(admin);

    /* the request may be gone */

    ngx_http_run_posted_requests(c);
}


ngx_int_t
ngx_http_zapier_admin_arg(ngx_http_zapier_admin_t *admin, const char *name,
    ngx_str_t *value)
{
    u_char     *src, *dst;
    ngx_str_t   text;

    if (ngx_http_arg(admin->request, (u_char *) name, ngx_strlen(name), &text)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    dst = ngx_pnalloc(admin->op.pool, text.len + 1);
    if (dst == NULL) {
        return NGX_DECLINED;
    }

    src = text.data;
    value->data = dst;

    ngx_unescape_uri(&dst, &src, text.len, 0);

    value->len = dst - value->data;

    return NGX_OK;
}


ngx_zapier_limit_zone_t *
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
ngx_http_zapier_admin_scope_send(ngx_http_zapier_admin_t *admin)
{
    u_char                  *p;
    ngx_buf_t               *b;
    ngx_uint_t               i;
    ngx_zapier_limit_op_t   *op;

    op = &admin->limit;

    if (op->status != NGX_OK && op->kind != NGX_ZAPIER_LIMIT_NEWS_VIEW) {
        ngx_http_zapier_admin_error(admin, NGX_HTTP_SERVICE_UNAVAILABLE,
                                    "store_unavailable",
                                    "It is done on this node, but Redis "
                                    "could not be told, nor the other "
                                    "nodes.");
        return;
    }

    b = ngx_create_temp_buf(admin->op.pool,
                            ngx_http_zapier_admin_look_size(op->zone, &op->key)
                            + (1 + op->nholders)
                              * NGX_HTTP_ZAPIER_ADMIN_HOLDER);

    if (b != NULL) {
        p = ngx_http_zapier_admin_look(b->last, op->limits, op->zone,
                                       &op->key, &op->tag);

        if (op->zone->store == NGX_ZAPIER_LIMIT_REDIS
            && op->kind == NGX_ZAPIER_LIMIT_NEWS_VIEW)
        {
            p = ngx_http_zapier_put(p - 1, ",\"nodes\":");

            if (op->status != NGX_OK) {
                p = ngx_http_zapier_put(p, "null}");

            } else {
                *p++ = '[';

                for (i = 0; i < op->nholders; i++) {
                    p = ngx_http_zapier_admin_holder(p, &op->holders[i],
                                                     i + 1 == op->nholders);
                }

                p = ngx_http_zapier_put(p, "]}");
            }
        }

        b->last = p;
    }

    ngx_http_zapier_admin_finish(admin, b);
}


static u_char *
ngx_http_zapier_admin_holder(u_char *p, ngx_zapier_limit_holder_t *holder,
    ngx_uint_t last)
{
    ngx_str_t  name;

    name = holder->node;
    name.len = ngx_min(name.len, NGX_ZAPIER_LIMIT_NEWS_NODE);

    *p++ = '{';

    p = ngx_http_zapier_admin_string(p, "node", &name);
    p = ngx_http_zapier_admin_flag(p, "here", holder->here);
    p = ngx_http_zapier_admin_number(p, "used", holder->used, 1);
    p = ngx_http_zapier_admin_number(p, "leased", holder->leased, 1);

    *(p - 1) = '}';

    if (!last) {
        *p++ = ',';
    }

    return p;
}


size_t
ngx_http_zapier_admin_look_size(ngx_zapier_limit_zone_t *zone, ngx_str_t *key)
{
    return NGX_HTTP_ZAPIER_ADMIN_ZONE
           + ngx_zapier_json_quote(NULL, zone->name.data, zone->name.len)
           + ngx_zapier_json_quote(NULL, key->data, key->len);
}


void
ngx_http_zapier_admin_tag(ngx_http_zapier_admin_t *admin)
{
    ngx_str_t  *tag;

    tag = &admin->limit.tag;

    if (ngx_http_zapier_admin_arg(admin, "tag", tag) != NGX_OK
        || tag->len == 0)
    {
        ngx_zapier_limit_tag_default(tag);
    }
}


u_char *
ngx_http_zapier_admin_look(u_char *p, ngx_zapier_limits_t *limits,
    ngx_zapier_limit_zone_t *zone, ngx_str_t *key, ngx_str_t *tag)
{
    ngx_zapier_limit_look_t  look;

    ngx_memzero(&look, sizeof(ngx_zapier_limit_look_t));

    (void) ngx_zapier_limit_look(limits, zone, key, tag, &look);

    *p++ = '{';

    p = ngx_http_zapier_admin_string(p, "zone", &zone->name);
    p = ngx_http_zapier_admin_string(p, "key", key);
    p = ngx_http_zapier_admin_flag(p, "passes", look.wait == 0);
    p = ngx_http_zapier_admin_number(p, "wait_ms", look.wait, 1);
    p = ngx_http_zapier_admin_number(p, "limit", look.limit, look.limit >= 0);
    p = ngx_http_zapier_admin_number(p, "remaining", look.remaining,
                                     look.remaining >= 0);
    p = ngx_http_zapier_admin_number(p, "reset_ms", look.reset, 1);
    p = ngx_http_zapier_admin_number(p, "used_here", look.used, 1);
    p = ngx_http_zapier_admin_number(p, "leased", look.leased, 1);
    p = ngx_http_zapier_admin_number(p, "lease_ms", look.lease, 1);
    p = ngx_http_zapier_admin_number(p, "closed_ms", look.closed, 1);
    p = ngx_http_zapier_admin_number(p, "waiting", look.waiting, 1);
    p = ngx_http_zapier_admin_number(p, "mirrored", look.mirrored,
                                     look.mirrored >= 0);
    p = ngx_http_zapier_admin_number(p, "mirrored_ms", look.mirror_reset,
                                     look.mirrored >= 0);

    *(p - 1) = '}';

    return p;
}


void
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
