
/*
 * zapier_limit_zone, zapier_limit and the zones that they name.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_directive.h>


#define NGX_HTTP_ZAPIER_LIMIT_MAX   1000000000
#define NGX_HTTP_ZAPIER_WINDOW_MAX  86400000
#define NGX_HTTP_ZAPIER_SLACK_MAX   60000
#define NGX_HTTP_ZAPIER_SLACK_UNSET ((uint32_t) -1)

/* of zapier_limit_fallback open */
#define NGX_HTTP_ZAPIER_OPEN_CALLS  1000
#define NGX_HTTP_ZAPIER_OPEN_TIME   10000


static ngx_uint_t ngx_http_zapier_limit_name(ngx_str_t *name);
static char *ngx_http_zapier_limit_check(ngx_conf_t *cf,
    ngx_http_zapier_zone_t *zone, ngx_str_t *name);
static char *ngx_http_zapier_limit_time(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *text, uint32_t *time);
static ngx_http_complex_value_t **ngx_http_zapier_limit_value(
    ngx_http_zapier_zone_t *zone, ngx_str_t *value, ngx_str_t *rest);
static char *ngx_http_zapier_limit_option(ngx_conf_t *cf,
    ngx_http_zapier_zone_t *zone, ngx_str_t *value);


char *
ngx_http_zapier_limit_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_main_conf_t *zmcf = conf;

    char                    *rv;
    ngx_str_t               *value;
    ngx_uint_t               i;
    ngx_http_zapier_zone_t  *zone;

    value = cf->args->elts;

    if (!ngx_http_zapier_limit_name(&value[1])) {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "a name of 1 to 64 letters, digits, "
                                       "\"_\", \"-\" or \".\" is needed");
    }

    if (ngx_strcmp(value[1].data, "off") == 0) {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "\"zapier_limit off\" has a meaning, "
                                       "another name is needed");
    }

    zone = ngx_http_zapier_zone_get(cf, zmcf, &value[1]);
    if (zone == NULL) {
        return NGX_CONF_ERROR;
    }

    if (zone->key != NULL) {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "the zone is defined already");
    }

    zone->zone.mirror = NGX_CONF_UNSET;
    zone->zone.slack = NGX_HTTP_ZAPIER_SLACK_UNSET;

    for (i = 2; i < cf->args->nelts; i++) {
        rv = ngx_http_zapier_limit_option(cf, zone, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    ngx_conf_init_value(zone->zone.mirror, 1);

    if (zone->key == NULL) {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "the zone needs \"key=\"");
    }

    zone->by_tenant = (zone->key->value.len == sizeof("$zapier_tenant") - 1
                       && ngx_strncmp(zone->key->value.data, "$zapier_tenant",
                                      sizeof("$zapier_tenant") - 1)
                          == 0);

    zone->zone.share = (zone->share != NULL);

    rv = ngx_http_zapier_limit_check(cf, zone, &value[1]);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    /* one part of 200 costs little and is more than calls differ by */

    if (zone->zone.slack == NGX_HTTP_ZAPIER_SLACK_UNSET) {
        zone->zone.slack = (zone->zone.store == NGX_ZAPIER_LIMIT_REDIS)
                           ? ngx_min(zone->zone.window / 200, 1000) : 0;
    }

    if (zone->zone.cooldown == 0) {
        zone->zone.cooldown = NGX_HTTP_ZAPIER_COOLDOWN;
    }

    return NGX_CONF_OK;
}


/* It stands before a key in Redis, and has to be told apart from it. */

static ngx_uint_t
ngx_http_zapier_limit_name(ngx_str_t *name)
{
    u_char      ch;
    ngx_uint_t  i;

    for (i = 0; i < name->len; i++) {
        ch = name->data[i];

        if ((ch < 'a' || ch > 'z') && (ch < 'A' || ch > 'Z')
            && (ch < '0' || ch > '9')
            && ch != '_' && ch != '-' && ch != '.')
        {
            return 0;
        }
    }

    return name->len >= 1 && name->len <= 64;
}


static char *
ngx_http_zapier_limit_check(ngx_conf_t *cf, ngx_http_zapier_zone_t *zone,
    ngx_str_t *name)
{
    if ((zone->zone.limit == 0) != (zone->zone.window == 0)) {
        return ngx_http_zapier_invalid(cf, name,
                                       "\"limit=\" and \"window=\" go "
                                       "together");
    }

    if (zone->share != NULL && zone->zone.limit == 0) {
        return ngx_http_zapier_invalid(cf, name,
                                       "\"share=\" has no effect without "
                                       "\"limit=\"");
    }

    if (zone->share_weight != NULL && zone->share == NULL) {
        return ngx_http_zapier_invalid(cf, name,
                                       "\"share_weight=\" has no effect "
                                       "without \"share=\"");
    }

    if (zone->zone.limit == 0 && !zone->zone.mirror) {
        return ngx_http_zapier_invalid(cf, name,
                                       "the zone limits nothing, it needs "
                                       "\"limit=\" or \"mirror=on\"");
    }

    if (zone->zone.cooldown != 0 && !zone->zone.mirror) {
        return ngx_http_zapier_invalid(cf, name,
                                       "\"cooldown=\" has no effect with "
                                       "\"mirror=off\"");
    }

    if (zone->zone.limit == 0
        && zone->zone.slack != NGX_HTTP_ZAPIER_SLACK_UNSET)
    {
        return ngx_http_zapier_invalid(cf, name,
                                       "\"slack=\" has no effect without "
                                       "\"limit=\"");
    }

    return NGX_CONF_OK;
}


/* Where an option goes that may have variables; NULL: it may not. */

static ngx_http_complex_value_t **
ngx_http_zapier_limit_value(ngx_http_zapier_zone_t *zone, ngx_str_t *value,
    ngx_str_t *rest)
{
    if (ngx_http_zapier_prefix(value, "key=", rest)) {
        return &zone->key;
    }

    if (ngx_http_zapier_prefix(value, "weight=", rest)) {
        return &zone->weight;
    }

    if (ngx_http_zapier_prefix(value, "share=", rest)) {
        return &zone->share;
    }

    if (ngx_http_zapier_prefix(value, "share_weight=", rest)) {
        return &zone->share_weight;
    }

    return NULL;
}


static char *
ngx_http_zapier_limit_option(ngx_conf_t *cf, ngx_http_zapier_zone_t *zone,
    ngx_str_t *value)
{
    ngx_int_t                   n;
    ngx_str_t                   rest;
    ngx_http_complex_value_t  **cvp;

    cvp = ngx_http_zapier_limit_value(zone, value, &rest);

    if (cvp != NULL && rest.len != 0) {
        return ngx_http_zapier_complex(cf, &rest, cvp);
    }

    if (ngx_http_zapier_prefix(value, "limit=", &rest)) {
        n = ngx_atoi(rest.data, rest.len);

        if (n < 1 || n > NGX_HTTP_ZAPIER_LIMIT_MAX) {
            return ngx_http_zapier_invalid(cf, value,
                               "a number from 1 to 1000000000 is needed");
        }

        zone->zone.limit = n;
        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "window=", &rest)) {
        return ngx_http_zapier_limit_time(cf, value, &rest,
                                          &zone->zone.window);
    }

    if (ngx_http_zapier_prefix(value, "cooldown=", &rest)) {
        return ngx_http_zapier_limit_time(cf, value, &rest,
                                          &zone->zone.cooldown);
    }

    if (ngx_strcmp(value->data, "mirror=on") == 0) {
        zone->zone.mirror = 1;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value->data, "mirror=off") == 0) {
        zone->zone.mirror = 0;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value->data, "store=local") == 0) {
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value->data, "store=redis") == 0) {
        zone->zone.store = NGX_ZAPIER_LIMIT_REDIS;
        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "slack=", &rest)) {

        if (ngx_strcmp(rest.data, "0") == 0) {
            zone->zone.slack = 0;
            return NGX_CONF_OK;
        }

        if (ngx_http_zapier_time(&rest, NGX_HTTP_ZAPIER_SLACK_MAX,
                                 &zone->zone.slack)
            != NGX_OK)
        {
            return ngx_http_zapier_invalid(cf, value,
                               "0 or a time from 1ms to 1m is needed");
        }

        return NGX_CONF_OK;
    }

    return ngx_http_zapier_invalid(cf, value,
                                   "\"key=\", \"limit=\", \"window=\", "
                                   "\"mirror=on|off\", \"cooldown=\", "
                                   "\"weight=\", \"share=\", "
                                   "\"share_weight=\", \"slack=\" or "
                                   "\"store=local|redis\" is needed");
}


static char *
ngx_http_zapier_limit_time(ngx_conf_t *cf, ngx_str_t *value, ngx_str_t *text,
    uint32_t *time)
{
    if (ngx_http_zapier_time(text, NGX_HTTP_ZAPIER_WINDOW_MAX, time)
        != NGX_OK)
    {
        return ngx_http_zapier_invalid(cf, value,
                                       "a time from 1ms to 1d is needed");
    }

    return NGX_CONF_OK;
}


char *
ngx_http_zapier_limit(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_loc_conf_t *zlcf = conf;

    ngx_str_t                    *value;
    ngx_uint_t                    i, k;
    ngx_http_zapier_zone_t       *zone, **zp;
    ngx_http_zapier_main_conf_t  *zmcf;

    if (zlcf->limits != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    zmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_zapier_module);

    value = cf->args->elts;

    zlcf->limits = ngx_array_create(cf->pool, cf->args->nelts,
                                    sizeof(ngx_http_zapier_zone_t *));
    if (zlcf->limits == NULL) {
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        return NGX_CONF_OK;
    }

    ngx_http_zapier_mention(cf, &zlcf->needs_tenant);

    if (cf->args->nelts - 1 > NGX_ZAPIER_LIMIT_CHAIN) {
        return ngx_http_zapier_invalid(cf, &value[cf->args->nelts - 1],
                                       "at most 8 zones make a chain");
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strcmp(value[i].data, "off") == 0) {
            return ngx_http_zapier_invalid(cf, &value[i],
                                           "\"off\" stands alone");
        }

        zone = ngx_http_zapier_zone_get(cf, zmcf, &value[i]);
        if (zone == NULL) {
            return NGX_CONF_ERROR;
        }

        zp = zlcf->limits->elts;

        for (k = 0; k < zlcf->limits->nelts; k++) {
            if (zp[k] == zone) {
                return ngx_http_zapier_invalid(cf, &value[i],
                                               "the zone is in the chain "
                                               "twice");
            }
        }

        zp = ngx_array_push(zlcf->limits);
        if (zp == NULL) {
            return NGX_CONF_ERROR;
        }

        *zp = zone;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_zapier_dry_run(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_loc_conf_t *zlcf = conf;

    ngx_int_t   n;
    ngx_str_t  *value;

    if (zlcf->dry_run != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "on") == 0) {
        zlcf->dry_run = 100;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value[1].data, "off") == 0) {
        zlcf->dry_run = 0;
        return NGX_CONF_OK;
    }

    n = NGX_ERROR;

    if (value[1].len > 1 && value[1].data[value[1].len - 1] == '%') {
        n = ngx_atoi(value[1].data, value[1].len - 1);
    }

    if (n < 0 || n > 100) {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "\"on\", \"off\" or a percentage from "
                                       "0% to 100% is needed");
    }

    zlcf->dry_run = n;

    return NGX_CONF_OK;
}


char *
ngx_http_zapier_limit_fallback(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_zapier_loc_conf_t *zlcf = conf;

    ngx_int_t   n;
    ngx_str_t  *value, rest;
    ngx_uint_t  i, open;

    if (zlcf->fallback != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;
    open = 0;

    if (ngx_strcmp(value[1].data, "local") == 0) {
        zlcf->fallback = NGX_ZAPIER_LIMIT_FALL_LOCAL;

    } else if (ngx_strcmp(value[1].data, "closed") == 0) {
        zlcf->fallback = NGX_ZAPIER_LIMIT_FALL_CLOSED;

    } else if (ngx_strcmp(value[1].data, "open") == 0) {
        zlcf->fallback = NGX_ZAPIER_LIMIT_FALL_OPEN;
        zlcf->open_calls = NGX_HTTP_ZAPIER_OPEN_CALLS;
        zlcf->open_time = NGX_HTTP_ZAPIER_OPEN_TIME;
        open = 1;

    } else {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "\"local\", \"open\" or \"closed\" "
                                       "is needed");
    }

    for (i = 2; i < cf->args->nelts; i++) {

        if (open && ngx_http_zapier_prefix(&value[i], "calls=", &rest)) {
            n = ngx_atoi(rest.data, rest.len);

            if (n >= 1 && n <= NGX_HTTP_ZAPIER_LIMIT_MAX) {
                zlcf->open_calls = n;
                continue;
            }
        }

        if (open
            && ngx_http_zapier_prefix(&value[i], "time=", &rest)
            && ngx_http_zapier_time(&rest, NGX_HTTP_ZAPIER_WINDOW_MAX,
                                    &zlcf->open_time)
               == NGX_OK)
        {
            continue;
        }

        return ngx_http_zapier_invalid(cf, &value[i],
                                       "only \"open\" has parameters: "
                                       "\"calls=\" from 1 to 1000000000 and "
                                       "\"time=\" from 1ms to 1d");
    }

    return NGX_CONF_OK;
}


ngx_http_zapier_zone_t *
ngx_http_zapier_zone_get(ngx_conf_t *cf, ngx_http_zapier_main_conf_t *zmcf,
    ngx_str_t *name)
{
    ngx_uint_t                i;
    ngx_http_zapier_zone_t   *zone, **zp;

    zp = zmcf->zones.elts;

    for (i = 0; i < zmcf->zones.nelts; i++) {

        if (zp[i]->zone.name.len == name->len
            && ngx_strncmp(zp[i]->zone.name.data, name->data, name->len) == 0)
        {
            return zp[i];
        }
    }

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_http_zapier_zone_t));
    if (zone == NULL) {
        return NULL;
    }

    zone->zone.name = *name;
    zone->zone.seed = ngx_murmur_hash2(name->data, name->len);

    /* no file while $zapier_... of the built-in zone is made */

    if (cf->conf_file != NULL) {
        zone->file = cf->conf_file->file.name.data;
        zone->line = cf->conf_file->line;
    }

    zp = ngx_array_push(&zmcf->zones);
    if (zp == NULL) {
        return NULL;
    }

    *zp = zone;

    return zone;
}


ngx_int_t
ngx_http_zapier_limit_zones(ngx_conf_t *cf, ngx_http_zapier_main_conf_t *zmcf)
{
    ngx_uint_t                 i;
    ngx_http_zapier_zone_t   **zp;
    ngx_zapier_limit_zone_t  **zone;

    zmcf->limits.zones = ngx_array_create(cf->pool, zmcf->zones.nelts,
                                          sizeof(ngx_zapier_limit_zone_t *));
    if (zmcf->limits.zones == NULL) {
        return NGX_ERROR;
    }

    zp = zmcf->zones.elts;

    for (i = 0; i < zmcf->zones.nelts; i++) {
        zone = ngx_array_push(zmcf->limits.zones);
        if (zone == NULL) {
            return NGX_ERROR;
        }

        *zone = &zp[i]->zone;
    }

    return NGX_OK;
}
