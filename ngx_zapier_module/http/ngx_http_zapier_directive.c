
/*
 * Setters of the directives of a location and of zapier_zone, and what all
 * setters share.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_http_zapier_bulk.h>
#include <ngx_http_zapier_directive.h>


/* token and limit tables with room for a few hundred tenants */
#define NGX_HTTP_ZAPIER_ZONE_MIN  (256 * 1024)


/* alone requests and connections of one request of a caller */
#define NGX_HTTP_ZAPIER_BULK_ITEMS_MAX     1000
#define NGX_HTTP_ZAPIER_BULK_PARALLEL_MAX  64
#define NGX_HTTP_ZAPIER_BULK_DEADLINE_MAX  3600000


static char *ngx_http_zapier_body_size(ngx_conf_t *cf,
    ngx_http_zapier_loc_conf_t *zlcf, ngx_str_t *value, ngx_str_t *text);
static char *ngx_http_zapier_bulk_parameter(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_zapier_bulk_conf_t *bulk);
static char *ngx_http_zapier_bulk_number(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *text, ngx_uint_t max, ngx_uint_t *np);
static ngx_int_t ngx_http_zapier_variable_index(ngx_conf_t *cf,
    ngx_str_t *text);
static ngx_uint_t ngx_http_zapier_names_itself(ngx_conf_t *cf,
    ngx_http_complex_value_t *cv, ngx_str_t *name);


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
ngx_http_zapier_tenant(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_loc_conf_t *zlcf = conf;

    ngx_str_t                    *value;
    ngx_http_complex_value_t     *cv;
    ngx_http_zapier_main_conf_t  *zmcf;

    static ngx_str_t  name = ngx_string("zapier_tenant");

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

    if (ngx_http_zapier_complex(cf, &value[1], &cv) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    zlcf->tenant = ngx_palloc(cf->pool, sizeof(ngx_http_zapier_tenant_t));
    if (zlcf->tenant == NULL) {
        return NGX_CONF_ERROR;
    }

    zlcf->tenant->value = cv;
    zlcf->tenant->index = ngx_http_zapier_variable_index(cf, &value[1]);

    if (ngx_http_zapier_names_itself(cf, cv, &name)) {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "$zapier_tenant is what this "
                                       "directive sets, another variable "
                                       "such as $http_x_tenant is needed");
    }

    if (cv->lengths == NULL
        && ngx_zapier_tenant_check(&value[1]) != NGX_OK)
    {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "\"off\", a variable, or a name of 1 "
                                       "to 128 bytes of A-Z a-z 0-9 . _ @ : "
                                       "and - is needed");
    }

    return NGX_CONF_OK;
}


/* The index of the variable that is all of text, or NGX_ERROR. */

static ngx_int_t
ngx_http_zapier_variable_index(ngx_conf_t *cf, ngx_str_t *text)
{
    size_t      i;
    u_char      ch;
    ngx_str_t   name;

    if (text->len < 2 || text->data[0] != '$') {
        return NGX_ERROR;
    }

    name.data = text->data + 1;
    name.len = text->len - 1;

    for (i = 0; i < name.len; i++) {
        ch = name.data[i];

        if ((ch >= 'a' && ch <= 'z')
            || (ch >= 'A' && ch <= 'Z')
            || ch == '_'
            || (ch >= '0' && ch <= '9' && i > 0))
        {
            continue;
        }

        return NGX_ERROR;
    }

    return ngx_http_get_variable_index(cf, &name);
}


static ngx_uint_t
ngx_http_zapier_names_itself(ngx_conf_t *cf, ngx_http_complex_value_t *cv,
    ngx_str_t *name)
{
    ngx_uint_t                 *index;
    ngx_http_variable_t        *v;
    ngx_http_core_main_conf_t  *cmcf;

    if (cv->flushes == NULL) {
        return 0;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    v = cmcf->variables.elts;

    for (index = cv->flushes; *index != (ngx_uint_t) -1; index++) {

        if (v[*index].name.len == name->len
            && ngx_strncmp(v[*index].name.data, name->data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


char *
ngx_http_zapier_body(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_loc_conf_t *zlcf = conf;

    ngx_str_t   *value, rest;
    ngx_uint_t   i;

    if (zlcf->body != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    zlcf->bulk = NULL;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        zlcf->body = NGX_HTTP_ZAPIER_BODY_OFF;

    } else if (ngx_strcmp(value[1].data, "action_run") == 0) {
        zlcf->body = NGX_HTTP_ZAPIER_BODY_ACTION_RUN;

    } else if (ngx_strcmp(value[1].data, "action_runs") == 0) {
        zlcf->body = NGX_HTTP_ZAPIER_BODY_ACTION_RUNS;

        zlcf->bulk = ngx_palloc(cf->pool, sizeof(ngx_http_zapier_bulk_conf_t));
        if (zlcf->bulk == NULL) {
            return NGX_CONF_ERROR;
        }

        zlcf->bulk->items = NGX_HTTP_ZAPIER_BULK_ITEMS;
        zlcf->bulk->parallel = NGX_HTTP_ZAPIER_BULK_PARALLEL;
        zlcf->bulk->deadline = NGX_HTTP_ZAPIER_BULK_DEADLINE;

    } else {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "\"off\", \"action_run\" or "
                                       "\"action_runs\" is needed");
    }

    if (zlcf->body != NGX_HTTP_ZAPIER_BODY_OFF) {
        zlcf->body_max = NGX_HTTP_ZAPIER_BODY_MAX;

        ngx_http_zapier_mention(cf, &zlcf->needs_tenant);
    }

    for (i = 2; i < cf->args->nelts; i++) {

        if (zlcf->body != NGX_HTTP_ZAPIER_BODY_OFF
            && ngx_http_zapier_prefix(&value[i], "max=", &rest))
        {
            if (ngx_http_zapier_body_size(cf, zlcf, &value[i], &rest)
                != NGX_CONF_OK)
            {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (zlcf->bulk == NULL) {
            return ngx_http_zapier_invalid(cf, &value[i],
                                           "only \"max=\" after "
                                           "\"action_run\" is known");
        }

        if (ngx_http_zapier_bulk_parameter(cf, &value[i], zlcf->bulk)
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_zapier_body_size(ngx_conf_t *cf, ngx_http_zapier_loc_conf_t *zlcf,
    ngx_str_t *value, ngx_str_t *text)
{
    ssize_t  size;

    size = ngx_parse_size(text);

    if (size == NGX_ERROR || size == 0) {
        return ngx_http_zapier_invalid(cf, value,
                                       "a size such as 1m is needed");
    }

    zlcf->body_max = size;

    ngx_http_zapier_mention(cf, &zlcf->sized);
    zlcf->sized.value = *value;

    return NGX_CONF_OK;
}


static char *
ngx_http_zapier_bulk_parameter(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_zapier_bulk_conf_t *bulk)
{
    uint32_t   time;
    ngx_str_t  rest;

    if (ngx_http_zapier_prefix(value, "items=", &rest)) {
        return ngx_http_zapier_bulk_number(cf, value, &rest,
                                           NGX_HTTP_ZAPIER_BULK_ITEMS_MAX,
                                           &bulk->items);
    }

    if (ngx_http_zapier_prefix(value, "parallel=", &rest)) {
        return ngx_http_zapier_bulk_number(cf, value, &rest,
                                           NGX_HTTP_ZAPIER_BULK_PARALLEL_MAX,
                                           &bulk->parallel);
    }

    if (!ngx_http_zapier_prefix(value, "deadline=", &rest)) {
        return ngx_http_zapier_invalid(cf, value,
                                       "\"max=\", \"items=\", \"parallel=\" "
                                       "or \"deadline=\" is needed");
    }

    if (ngx_http_zapier_time(&rest, NGX_HTTP_ZAPIER_BULK_DEADLINE_MAX, &time)
        != NGX_OK)
    {
        return ngx_http_zapier_invalid(cf, value,
                                       "a time from 1ms to 1h is needed");
    }

    bulk->deadline = time;

    return NGX_CONF_OK;
}


static char *
ngx_http_zapier_bulk_number(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *text, ngx_uint_t max, ngx_uint_t *np)
{
    ngx_int_t  n;

    n = ngx_atoi(text->data, text->len);

    if (n < 1 || n > (ngx_int_t) max) {
        return ngx_http_zapier_invalid(cf, value,
                                       (max == NGX_HTTP_ZAPIER_BULK_ITEMS_MAX)
                                       ? "a number from 1 to 1000 is needed"
                                       : "a number from 1 to 64 is needed");
    }

    *np = n;

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

    size_t      len;
    ngx_str_t  *value;

    if (zlcf->scope.data != NULL) {
        return "is duplicate";
    }

    value = cf->args->elts;

    len = ngx_http_zapier_scope_name(value[1].data,
                                     value[1].data + value[1].len);

    if (len == 0 || len < value[1].len) {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "one scope name is needed, such as "
                                       "action:run");
    }

    zlcf->scope = value[1];

    ngx_http_zapier_mention(cf, &zlcf->needs_tenant);

    return NGX_CONF_OK;
}


size_t
ngx_http_zapier_scope_name(u_char *p, u_char *last)
{
    u_char  *start;

    for (start = p; p < last; p++) {

        if (*p <= 0x20 || *p > 0x7e || *p == '"' || *p == '\\') {
            break;
        }
    }

    return p - start;
}


ngx_uint_t
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


ngx_int_t
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


char *
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

void
ngx_http_zapier_mention(ngx_conf_t *cf, ngx_http_zapier_mention_t *mention)
{
    ngx_str_t  *value;

    if (mention->name.data != NULL) {
        return;
    }

    value = cf->args->elts;

    mention->name = value[0];

    if (cf->args->nelts > 1) {
        mention->value = value[1];
    }

    mention->file = cf->conf_file->file.name.data;
    mention->line = cf->conf_file->line;
}


char *
ngx_http_zapier_invalid(ngx_conf_t *cf, ngx_str_t *value, const char *right)
{
    ngx_str_t  *directive;

    directive = cf->args->elts;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\": %s",
                       value, directive, right);

    return NGX_CONF_ERROR;
}
