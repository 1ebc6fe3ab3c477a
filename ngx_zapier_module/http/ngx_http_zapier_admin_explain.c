
/*
 * zapier_admin: would a request of a tenant pass now, and if not, why?
 * Nothing is charged, and no token is refreshed.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_admin.h>


/* the answer without its scopes */
#define NGX_HTTP_ZAPIER_ADMIN_WHY  1024


typedef struct {
    ngx_zapier_limit_zone_t   *zone;
    ngx_str_t                  key;
} ngx_http_zapier_admin_link_t;


static void ngx_http_zapier_admin_explained(ngx_zapier_store_op_t *op);
static void ngx_http_zapier_admin_explain_send(
    ngx_http_zapier_admin_t *admin);
static ngx_array_t *ngx_http_zapier_admin_links(
    ngx_http_zapier_admin_t *admin, ngx_str_t *unknown);
static ngx_int_t ngx_http_zapier_admin_link(ngx_http_zapier_admin_t *admin,
    ngx_http_zapier_zone_t *zone, ngx_array_t *links);
static const char *ngx_http_zapier_admin_why(ngx_zapier_store_op_t *op);
static u_char *ngx_http_zapier_admin_explain_put(u_char *p,
    ngx_http_zapier_admin_t *admin, ngx_array_t *links, uint64_t wait);


void
ngx_http_zapier_admin_explain(ngx_http_zapier_admin_t *admin)
{
    ngx_int_t                     rc;
    ngx_http_zapier_main_conf_t  *zmcf;

    zmcf = ngx_http_get_module_main_conf(admin->request,
                                         ngx_http_zapier_module);

    admin->op.handler = ngx_http_zapier_admin_explained;

    rc = ngx_zapier_store_start(zmcf->tokens, &admin->op);

    if (rc == NGX_OK) {
        ngx_http_zapier_admin_explain_send(admin);

    } else if (rc != NGX_AGAIN) {
        ngx_http_finalize_request(admin->request,
                                  NGX_HTTP_INTERNAL_SERVER_ERROR);
    }
}


static void
ngx_http_zapier_admin_explained(ngx_zapier_store_op_t *op)
{
    ngx_connection_t         *c;
    ngx_http_zapier_admin_t  *admin;

    admin = op->data;
    c = admin->request->connection;

    ngx_http_set_log_request(c->log, admin->request);

    ngx_http_zapier_admin_explain_send(admin);

    /* the request may be gone */

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_zapier_admin_explain_send(ngx_http_zapier_admin_t *admin)
{
    size_t                         len;
    uint64_t                       wait;
    ngx_buf_t                     *b;
    ngx_str_t                      unknown;
    ngx_uint_t                     i;
    ngx_array_t                   *links;
    ngx_zapier_limit_look_t        look;
    ngx_http_zapier_main_conf_t   *zmcf;
    ngx_http_zapier_admin_link_t  *link;

    zmcf = ngx_http_get_module_main_conf(admin->request,
                                         ngx_http_zapier_module);

    ngx_str_null(&unknown);

    links = ngx_http_zapier_admin_links(admin, &unknown);

    if (links == NULL) {

        if (unknown.data != NULL) {
            ngx_http_zapier_admin_error(admin, NGX_HTTP_BAD_REQUEST,
                                        "invalid_value",
                                        "The argument zones names a "
                                        "zapier_limit_zone that there is "
                                        "not.");
            return;
        }

        ngx_http_zapier_admin_finish(admin, NULL);
        return;
    }

    ngx_http_zapier_admin_tag(admin);

    len = NGX_HTTP_ZAPIER_ADMIN_WHY + admin->op.tenant.len;
    wait = 0;

    link = links->elts;

    for (i = 0; i < links->nelts; i++) {
        len += ngx_http_zapier_admin_look_size(link[i].zone, &link[i].key);

        if (link[i].key.len != 0
            && ngx_zapier_limit_look(&zmcf->limits, link[i].zone,
                                     &link[i].key, &admin->limit.tag, &look)
               == NGX_OK)
        {
            wait = ngx_max(wait, look.wait);
        }
    }

    b = ngx_create_temp_buf(admin->op.pool, len);

    if (b != NULL) {
        b->last = ngx_http_zapier_admin_explain_put(b->last, admin, links,
                                                    wait);
    }

    ngx_http_zapier_admin_finish(admin, b);
}


static u_char *
ngx_http_zapier_admin_explain_put(u_char *p, ngx_http_zapier_admin_t *admin,
    ngx_array_t *links, uint64_t wait)
{
    ngx_str_t                      why, state;
    ngx_uint_t                     i, there;
    const char                    *reason;
    ngx_zapier_store_record_t     *record;
    ngx_http_zapier_main_conf_t   *zmcf;
    ngx_http_zapier_admin_link_t  *link;

    zmcf = ngx_http_get_module_main_conf(admin->request,
                                         ngx_http_zapier_module);

    reason = ngx_http_zapier_admin_why(&admin->op);

    if (reason == NULL && wait != 0) {
        reason = "rate_limited";
    }

    why.data = (u_char *) reason;
    why.len = reason ? ngx_strlen(reason) : 0;

    record = admin->op.records.elts;
    there = (admin->op.result == NGX_ZAPIER_STORE_OK);
    state.data = there ? (u_char *) record->state : NULL;
    state.len = there ? ngx_strlen(state.data) : 0;

    *p++ = '{';

    p = ngx_http_zapier_admin_string(p, "tenant", &admin->op.tenant);
    p = ngx_http_zapier_admin_flag(p, "passes", reason == NULL);
    p = ngx_http_zapier_admin_string(p, "why", &why);
    p = ngx_http_zapier_admin_number(p, "wait_ms", wait, 1);
    p = ngx_http_zapier_admin_string(p, "token", &state);
    p = ngx_http_zapier_put(p, "\"scopes\":[");

    link = links->elts;

    for (i = 0; i < links->nelts; i++) {

        if (i != 0) {
            *p++ = ',';
        }

        if (link[i].key.len != 0) {
            p = ngx_http_zapier_admin_look(p, &zmcf->limits, link[i].zone,
                                           &link[i].key, &admin->limit.tag);
            continue;
        }

        *p++ = '{';
        p = ngx_http_zapier_admin_string(p, "zone", &link[i].zone->name);
        p = ngx_http_zapier_put(p, "\"key\":null}");
    }

    return ngx_http_zapier_put(p, "]}");
}


/* NULL: as far as the token goes, it passes. */

static const char *
ngx_http_zapier_admin_why(ngx_zapier_store_op_t *op)
{
    ngx_zapier_store_record_t  *record;

    if (op->result == NGX_ZAPIER_STORE_MISSING) {
        return "token_missing";
    }

    if (op->result != NGX_ZAPIER_STORE_OK) {
        return "store_unavailable";
    }

    record = op->records.elts;

    if (ngx_strcmp(record->state, "dead") == 0) {
        return "reauthorization_required";
    }

    if (ngx_strcmp(record->state, "invalid") == 0) {
        return "store_unavailable";
    }

    /* who can be refreshed is so by the first request */

    if (ngx_strcmp(record->state, "expired") == 0 && !record->refreshable) {
        return "token_expired";
    }

    return NULL;
}


/* NULL: no memory, or unknown is no zone. */

static ngx_array_t *
ngx_http_zapier_admin_links(ngx_http_zapier_admin_t *admin,
    ngx_str_t *unknown)
{
    u_char                       *p, *last;
    ngx_str_t                     names, name;
    ngx_uint_t                    i;
    ngx_array_t                  *links;
    ngx_http_zapier_zone_t      **zones;
    ngx_http_zapier_main_conf_t  *zmcf;

    zmcf = ngx_http_get_module_main_conf(admin->request,
                                         ngx_http_zapier_module);
    zones = zmcf->zones.elts;

    links = ngx_array_create(admin->op.pool, zmcf->zones.nelts,
                             sizeof(ngx_http_zapier_admin_link_t));
    if (links == NULL) {
        return NULL;
    }

    if (ngx_http_zapier_admin_arg(admin, "zones", &names) != NGX_OK) {

        for (i = 0; i < zmcf->zones.nelts; i++) {
            if (ngx_http_zapier_admin_link(admin, zones[i], links) != NGX_OK) {
                return NULL;
            }
        }

        return links;
    }

    last = names.data + names.len;

    for (name.data = names.data; name.data < last; name.data = p + 1) {
        p = ngx_strlchr(name.data, last, ',');
        p = p ? p : last;
        name.len = p - name.data;

        for (i = 0; i < zmcf->zones.nelts; i++) {
            if (&zones[i]->zone
                == ngx_http_zapier_admin_zone_find(zmcf, &name))
            {
                break;
            }
        }

        if (i == zmcf->zones.nelts) {
            *unknown = name;
            return NULL;
        }

        if (ngx_http_zapier_admin_link(admin, zones[i], links) != NGX_OK) {
            return NULL;
        }
    }

    return links;
}


/*
 * A key is the tenant, a fixed text, or what the argument with the zone's
 * name says: other variables are of a request that there is none of.
 */

static ngx_int_t
ngx_http_zapier_admin_link(ngx_http_zapier_admin_t *admin,
    ngx_http_zapier_zone_t *zone, ngx_array_t *links)
{
    char                          *name;
    ngx_http_zapier_admin_link_t  *link;

    link = ngx_array_push(links);
    name = ngx_pnalloc(admin->op.pool, zone->zone.name.len + 1);

    if (link == NULL || name == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_cpystrn((u_char *) name, zone->zone.name.data,
                       zone->zone.name.len + 1);

    link->zone = &zone->zone;
    ngx_str_null(&link->key);

    if (zone->by_tenant) {
        link->key = admin->op.tenant;

    } else if (zone->key->lengths == NULL) {
        link->key = zone->key->value;

    } else if (ngx_http_zapier_admin_arg(admin, name, &link->key) != NGX_OK) {
        ngx_str_null(&link->key);
    }

    return NGX_OK;
}
