
/*
 * zapier_action_map: callers name actions, the upstream is sent their ids.
 */


#ifndef _NGX_HTTP_ZAPIER_ACTION_H_INCLUDED_
#define _NGX_HTTP_ZAPIER_ACTION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_zapier_action.h>


/* zapier_action_map */
struct ngx_http_zapier_action_conf_s {
    ngx_array_t                actions;    /* ngx_zapier_action_t */
    ngx_uint_t                 strict;     /* there are no others */
};


char *ngx_http_zapier_action_map(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
void ngx_http_zapier_action_merge(ngx_conf_t *cf,
    ngx_http_zapier_loc_conf_t *prev, ngx_http_zapier_loc_conf_t *conf);

/*
 * Writes the body anew that is there in the upstream's shape.  NGX_OK,
 * ctx->body_rc tells whether it is valid still, or NGX_ERROR.
 */
ngx_int_t ngx_http_zapier_action_apply(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);


#endif /* _NGX_HTTP_ZAPIER_ACTION_H_INCLUDED_ */
