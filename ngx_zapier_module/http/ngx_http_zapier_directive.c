
/*
 * Setters of the directives that nginx's own slots cannot read.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>


/* token and limit tables with room for a few hundred tenants */
#define NGX_HTTP_ZAPIER_ZONE_MIN    (256 * 1024)

#define NGX_HTTP_ZAPIER_LIMIT_MAX   1000000000
#define NGX_HTTP_ZAPIER_WINDOW_MAX  86400000


static ngx_uint_t ngx_http_zapier_prefix(ngx_str_t *value, const char *name,
    ngx_str_t *rest);
static char *ngx_http_zapier_redis_option(ngx_conf_t *cf,
    ngx_http_zapier_main_conf_t *zmcf, ngx_str_t *value);
static char *ngx_http_zapier_limit_option(ngx_conf_t *cf,
    ngx_http_zapier_zone_t *zone, ngx_str_t *value);
static ngx_int_t ngx_http_zapier_time(ngx_str_t *text, ngx_int_t max,
    uint32_t *ms);
static char *ngx_http_zapier_complex(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_complex_value_t **cvp);
static void ngx_http_zapier_mention(ngx_conf_t *cf,
    ngx_http_zapier_mention_t *mention);
static char *ngx_http_zapier_invalid(ngx_conf_t *cf, ngx_str_t *value,
    const char *right);


char *
ngx_http_zapier_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_main_conf_t *zmcf = conf;

    ssize_t     size;
    ngx_str_t  *value;

    if (zmcf->zone_name.data != NULL) {
        return "is duplicate";
    }

    value = cf->args->elts;

    size = ngx_parse_size(&value[2]);

    if (size == NGX_ERROR) {
        return ngx_http_zapier_invalid(cf, &value[2],
                                       "a size such as 16m is needed");
    }

    if (size < (ssize_t) NGX_HTTP_ZAPIER_ZONE_MIN) {
        return ngx_http_zapier_invalid(cf, &value[2],
                                       "at least 256k is needed");
    }

    zmcf->zone_name = value[1];
    zmcf->zone_size = size;

    ngx_http_zapier_mention(cf, &zmcf->zone);

    return NGX_CONF_OK;
}


char *
ngx_http_zapier_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_main_conf_t *zmcf = conf;

    char        *rv;
    ngx_str_t   *value;
    ngx_uint_t   i;

    if (zmcf->redis.url.data != NULL) {
        return "is duplicate";
    }

    value = cf->args->elts;

    zmcf->redis.url = value[1];
    zmcf->redis.timeout = 200;
    zmcf->redis.connections = 1;
    ngx_str_set(&zmcf->prefix, "zapier:");

    ngx_http_zapier_mention(cf, &zmcf->store);

    for (i = 2; i < cf->args->nelts; i++) {
        rv = ngx_http_zapier_redis_option(cf, zmcf, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (zmcf->redis.user.len != 0 && zmcf->redis.password_file.len == 0) {
        return ngx_http_zapier_invalid(cf, &zmcf->redis.user,
                                       "\"user=\" needs \"password_file=\"");
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_zapier_redis_option(ngx_conf_t *cf,
    ngx_http_zapier_main_conf_t *zmcf, ngx_str_t *value)
{
    uint32_t   ms;
    ngx_int_t  n;
    ngx_str_t  rest;

    if (ngx_http_zapier_prefix(value, "timeout=", &rest)) {

        if (ngx_http_zapier_time(&rest, 60000, &ms) != NGX_OK) {
            return ngx_http_zapier_invalid(cf, value,
                                    "a time from 1ms to 60s is needed");
        }

        zmcf->redis.timeout = ms;
        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "connections=", &rest)) {
        n = ngx_atoi(rest.data, rest.len);

        if (n < 1 || n > 64) {
            return ngx_http_zapier_invalid(cf, value,
                                    "a number from 1 to 64 is needed");
        }

        zmcf->redis.connections = n;
        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "prefix=", &rest)) {

        /* a brace would become the hash tag of every key */

        if (rest.len > 64
            || ngx_strlchr(rest.data, rest.data + rest.len, '{') != NULL
            || ngx_strlchr(rest.data, rest.data + rest.len, '}') != NULL)
        {
            return ngx_http_zapier_invalid(cf, value,
                                    "at most 64 bytes without braces");
        }

        zmcf->prefix = rest;
        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "user=", &rest) && rest.len != 0) {
        zmcf->redis.user = rest;
        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "password_file=", &rest)
        && rest.len != 0)
    {
        zmcf->redis.password_file = rest;
        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "password=", &rest)) {

        /* without the value: it would stand in the log */

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"zapier_redis\" knows no \"password=\", write "
                           "\"password_file=FILE\"");
        return NGX_CONF_ERROR;
    }

    return ngx_http_zapier_invalid(cf, value,
                                   "\"timeout=\", \"connections=\", "
                                   "\"prefix=\", \"user=\" or "
                                   "\"password_file=\" is needed");
}


char *
ngx_http_zapier_token_time(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *p = conf;

    ngx_str_t   *value;
    ngx_msec_t  *msp;

    msp = (ngx_msec_t *) (p + cmd->offset);

    if (*msp != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    value = cf->args->elts;

    *msp = ngx_parse_time(&value[1], 0);

    if (*msp == (ngx_msec_t) NGX_ERROR) {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "a time such as 60s is needed");
    }

    return NGX_CONF_OK;
}


char *
ngx_http_zapier_tenant(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_loc_conf_t *zlcf = conf;

    ngx_str_t                    *value;
    ngx_http_zapier_main_conf_t  *zmcf;

    if (zlcf->tenant != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        zlcf->tenant = NULL;
        return NGX_CONF_OK;
    }

    zmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_zapier_module);

    ngx_http_zapier_mention(cf, &zmcf->used);

    return ngx_http_zapier_complex(cf, &value[1], &zlcf->tenant);
}


char *
ngx_http_zapier_body(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_loc_conf_t *zlcf = conf;

    ssize_t     size;
    ngx_str_t  *value, rest;

    if (zlcf->body != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        zlcf->body = NGX_HTTP_ZAPIER_BODY_OFF;

    } else if (ngx_strcmp(value[1].data, "action_run") == 0) {
        zlcf->body = NGX_HTTP_ZAPIER_BODY_ACTION_RUN;
        zlcf->body_max = NGX_HTTP_ZAPIER_BODY_MAX;

        ngx_http_zapier_mention(cf, &zlcf->needs_tenant);

    } else {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "\"off\" or \"action_run\" is needed");
    }

    if (cf->args->nelts == 2) {
        return NGX_CONF_OK;
    }

    if (zlcf->body == NGX_HTTP_ZAPIER_BODY_OFF
        || !ngx_http_zapier_prefix(&value[2], "max=", &rest))
    {
        return ngx_http_zapier_invalid(cf, &value[2],
                                       "only \"max=\" after \"action_run\" "
                                       "is known");
    }

    size = ngx_parse_size(&rest);

    if (size == NGX_ERROR || size == 0) {
        return ngx_http_zapier_invalid(cf, &value[2],
                                       "a size such as 1m is needed");
    }

    zlcf->body_max = size;

    return NGX_CONF_OK;
}


/* zapier_action, zapier_authentication */

char *
ngx_http_zapier_default(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_loc_conf_t *zlcf = conf;

    ngx_http_zapier_mention(cf, &zlcf->needs_body);

    return ngx_http_set_complex_value_slot(cf, cmd, conf);
}


char *
ngx_http_zapier_scope(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_loc_conf_t *zlcf = conf;

    u_char      ch;
    size_t      i;
    ngx_str_t  *value;

    if (zlcf->scope.data != NULL) {
        return "is duplicate";
    }

    value = cf->args->elts;

    /* scope-token of RFC 6749 3.3 */

    for (i = 0; i < value[1].len; i++) {
        ch = value[1].data[i];

        if (ch <= 0x20 || ch > 0x7e || ch == '"' || ch == '\\') {
            break;
        }
    }

    if (i == 0 || i < value[1].len) {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "one scope name is needed, such as "
                                       "action:run");
    }

    zlcf->scope = value[1];

    ngx_http_zapier_mention(cf, &zlcf->needs_tenant);

    return NGX_CONF_OK;
}


char *
ngx_http_zapier_limit_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_main_conf_t *zmcf = conf;

    char                    *rv;
    ngx_str_t               *value;
    ngx_uint_t               i;
    ngx_http_zapier_zone_t  *zone;

    value = cf->args->elts;

    if (value[1].len == 0 || value[1].len > 64) {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "a name of 1 to 64 bytes is needed");
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
    zone->zone.cooldown = 60000;

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

    if ((zone->zone.limit == 0) != (zone->zone.window == 0)) {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "\"limit=\" and \"window=\" go "
                                       "together");
    }

    if (zone->zone.limit == 0 && !zone->zone.mirror) {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "the zone limits nothing, it needs "
                                       "\"limit=\" or \"mirror=on\"");
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_zapier_limit_option(ngx_conf_t *cf, ngx_http_zapier_zone_t *zone,
    ngx_str_t *value)
{
    ngx_int_t  n;
    ngx_str_t  rest;

    if (ngx_http_zapier_prefix(value, "key=", &rest) && rest.len != 0) {
        return ngx_http_zapier_complex(cf, &rest, &zone->key);
    }

    if (ngx_http_zapier_prefix(value, "weight=", &rest) && rest.len != 0) {
        return ngx_http_zapier_complex(cf, &rest, &zone->weight);
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

        if (ngx_http_zapier_time(&rest, NGX_HTTP_ZAPIER_WINDOW_MAX,
                                 &zone->zone.window)
            != NGX_OK)
        {
            return ngx_http_zapier_invalid(cf, value,
                               "a time from 1ms to 1d is needed");
        }

        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "cooldown=", &rest)) {

        if (ngx_http_zapier_time(&rest, NGX_HTTP_ZAPIER_WINDOW_MAX,
                                 &zone->zone.cooldown)
            != NGX_OK)
        {
            return ngx_http_zapier_invalid(cf, value,
                               "a time from 1ms to 1d is needed");
        }

        return NGX_CONF_OK;
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
        return ngx_http_zapier_invalid(cf, value,
                                       "this version counts per node, only "
                                       "\"store=local\" is known");
    }

    return ngx_http_zapier_invalid(cf, value,
                                   "\"key=\", \"limit=\", \"window=\", "
                                   "\"mirror=on|off\", \"cooldown=\", "
                                   "\"weight=\" or \"store=local\" is "
                                   "needed");
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


static ngx_uint_t
ngx_http_zapier_prefix(ngx_str_t *value, const char *name, ngx_str_t *rest)
{
    size_t  len;

    len = ngx_strlen(name);

    if (value->len < len || ngx_strncmp(value->data, name, len) != 0) {
        return 0;
    }

    rest->len = value->len - len;
    rest->data = value->data + len;

    return 1;
}


static ngx_int_t
ngx_http_zapier_time(ngx_str_t *text, ngx_int_t max, uint32_t *ms)
{
    ngx_int_t  n;

    n = ngx_parse_time(text, 0);

    if (n < 1 || n > max) {
        return NGX_ERROR;
    }

    *ms = n;

    return NGX_OK;
}


static char *
ngx_http_zapier_complex(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_complex_value_t **cvp)
{
    ngx_http_compile_complex_value_t   ccv;

    *cvp = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (*cvp == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = text;
    ccv.complex_value = *cvp;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* keeps the first one */

static void
ngx_http_zapier_mention(ngx_conf_t *cf, ngx_http_zapier_mention_t *mention)
{
    ngx_str_t  *value;

    if (mention->name.data != NULL) {
        return;
    }

    value = cf->args->elts;

    mention->name = value[0];
    mention->value = value[1];
    mention->file = cf->conf_file->file.name.data;
    mention->line = cf->conf_file->line;
}


static char *
ngx_http_zapier_invalid(ngx_conf_t *cf, ngx_str_t *value, const char *right)
{
    ngx_str_t  *directive;

    directive = cf->args->elts;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\": %s",
                       value, directive, right);

    return NGX_CONF_ERROR;
}
