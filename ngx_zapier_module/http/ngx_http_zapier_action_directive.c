
/*
 * zapier_action_map: the directive.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_action.h>
#include <ngx_http_zapier_directive.h>


/* bytes of a map, at most */
#define NGX_HTTP_ZAPIER_ACTION_MAP  (4 * 1024 * 1024)

#define NGX_HTTP_ZAPIER_ACTION_ENTRY_TIME  10000
#define NGX_HTTP_ZAPIER_ACTION_ENTRY_MAX   3600000
#define NGX_HTTP_ZAPIER_ACTION_ID_MAX      (24 * 3600 * 1000)


static char *ngx_http_zapier_action_parameter(ngx_conf_t *cf,
    ngx_str_t *value, ngx_http_zapier_action_conf_t *map);
static char *ngx_http_zapier_action_load(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_zapier_action_conf_t *map);
static ngx_int_t ngx_http_zapier_action_file(ngx_conf_t *cf, ngx_str_t *name,
    ngx_str_t *text);


char *
ngx_http_zapier_action_map(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_zapier_loc_conf_t *zlcf = conf;

    ngx_str_t                      *value;
    ngx_uint_t                      i;
    ngx_http_zapier_action_conf_t  *map;

    if (zlcf->action_map != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        zlcf->action_map = NULL;

        return (cf->args->nelts == 2)
               ? NGX_CONF_OK
               : ngx_http_zapier_invalid(cf, &value[2],
                                         "\"off\" stands alone");
    }

    map = ngx_pcalloc(cf->pool, sizeof(ngx_http_zapier_action_conf_t));
    if (map == NULL) {
        return NGX_CONF_ERROR;
    }

    map->redis = (ngx_strcmp(value[1].data, "redis") == 0);

    for (i = 2; i < cf->args->nelts; i++) {
        if (ngx_http_zapier_action_parameter(cf, &value[i], map)
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    if (cf->cmd_type & NGX_HTTP_LOC_CONF) {
        ngx_http_zapier_mention(cf, &zlcf->needs_body);
    }

    zlcf->action_map = map;

    if (map->lookup_cache != 0 && map->lookup.len == 0) {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "\"lookup_cache=\" has no effect "
                                       "without \"lookup=\"");
    }

    if (map->entry_cache != 0 && !map->redis) {
        return ngx_http_zapier_invalid(cf, &value[1],
                                       "\"entry_cache=\" has no effect "
                                       "without \"redis\"");
    }

    if (map->entry_cache == 0) {
        map->entry_cache = NGX_HTTP_ZAPIER_ACTION_ENTRY_TIME;
    }

    return (ngx_strcmp(value[1].data, "redis") == 0)
           ? NGX_CONF_OK : ngx_http_zapier_action_load(cf, &value[1], map);
}


static char *
ngx_http_zapier_action_parameter(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_zapier_action_conf_t *map)
{
    uint32_t   time;
    ngx_str_t  rest;

    if (ngx_strcmp(value->data, "strict") == 0) {
        map->strict = 1;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value->data, "redis") == 0) {
        map->redis = 1;
        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "entry_cache=", &rest)) {

        if (ngx_http_zapier_time(&rest, NGX_HTTP_ZAPIER_ACTION_ENTRY_MAX,
                                 &time)
            != NGX_OK)
        {
            return ngx_http_zapier_invalid(cf, value,
                                           "a time from 1ms to 1h is needed");
        }

        map->entry_cache = time;
        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "lookup_cache=", &rest)) {

        if (ngx_http_zapier_time(&rest, NGX_HTTP_ZAPIER_ACTION_ID_MAX, &time)
            != NGX_OK)
        {
            return ngx_http_zapier_invalid(cf, value,
                                           "a time from 1ms to 1d is needed");
        }

        map->lookup_cache = time;
        return NGX_CONF_OK;
    }

    if (ngx_http_zapier_prefix(value, "lookup=", &rest)) {

        if (rest.len == 0
            || rest.data[0] != '/'
            || ngx_strlchr(rest.data, rest.data + rest.len, '?') != NULL)
        {
            return ngx_http_zapier_invalid(cf, value,
                                           "the URI of an internal location "
                                           "is needed, such as "
                                           "lookup=/zapier-actions");
        }

        map->lookup = rest;
        return NGX_CONF_OK;
    }

    return ngx_http_zapier_invalid(cf, value,
                                   "\"strict\", \"redis\", "
                                   "\"entry_cache=\", \"lookup=\" or "
                                   "\"lookup_cache=\" is needed");
}


static char *
ngx_http_zapier_action_load(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_zapier_action_conf_t *map)
{
    ngx_int_t             rc;
    ngx_str_t             name, text, where, why;
    ngx_uint_t            i;
    ngx_zapier_action_t  *action;

    name = *value;

    if (ngx_conf_full_name(cf->cycle, &name, 1) != NGX_OK
        || ngx_http_zapier_action_file(cf, &name, &text) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    rc = ngx_zapier_action_map(cf->pool, &text, &map->actions, &where, &why);

    if (rc == NGX_DECLINED) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" of \"zapier_action_map\" is no map of "
                           "actions: %V%s%V", &name, &where,
                           where.len ? ": " : "", &why);
    }

    if (rc != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    action = map->actions.elts;

    for (i = 0; i < map->actions.nelts && map->lookup.len == 0; i++) {

        if (action[i].app.len != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" of \"zapier_action_map\" has \"%V\" "
                               "to be looked up, which needs \"lookup=URI\"",
                               &name, &action[i].name);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_zapier_action_file(ngx_conf_t *cf, ngx_str_t *name, ngx_str_t *text)
{
    size_t           size;
    ssize_t          n;
    ngx_int_t        rc;
    ngx_file_t       file;
    ngx_file_info_t  fi;

    rc = NGX_ERROR;

    ngx_memzero(&file, sizeof(ngx_file_t));

    file.name = *name;
    file.log = cf->log;

    file.fd = ngx_open_file(name->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (file.fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" of \"zapier_action_map\" "
                           "failed", name);
        return NGX_ERROR;
    }

    if (ngx_fd_info(file.fd, &fi) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_fd_info_n " \"%V\" failed", name);
        goto done;
    }

    if (!ngx_is_file(&fi) || ngx_file_size(&fi) > NGX_HTTP_ZAPIER_ACTION_MAP)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" of \"zapier_action_map\" is no file of at "
                           "most 4m", name);
        goto done;
    }

    size = (size_t) ngx_file_size(&fi);

    text->data = ngx_pnalloc(cf->temp_pool, size + 1);
    if (text->data == NULL) {
        goto done;
    }

    n = ngx_read_file(&file, text->data, size, 0);

    if (n == NGX_ERROR) {
        goto done;
    }

    text->len = n;
    rc = NGX_OK;

done:

    if (ngx_close_file(file.fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", name);
    }

    return rc;
}


void
ngx_http_zapier_action_merge(ngx_conf_t *cf,
    ngx_http_zapier_loc_conf_t *prev, ngx_http_zapier_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    ngx_conf_merge_ptr_value(conf->action_map, prev->action_map, NULL);

    if (conf->action_map == NULL
        || conf->body != NGX_HTTP_ZAPIER_BODY_ACTION_RUN)
    {
        return;
    }

    /* a body is never read back from a file */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    clcf->client_body_buffer_size = ngx_max(clcf->client_body_buffer_size,
                                            conf->body_max);
}
