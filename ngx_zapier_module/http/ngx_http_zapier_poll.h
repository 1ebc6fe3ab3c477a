
/*
 * Between the files of the gateway's own GETs.
 */


#ifndef _NGX_HTTP_ZAPIER_POLL_H_INCLUDED_
#define _NGX_HTTP_ZAPIER_POLL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>


typedef struct {
    ngx_http_conf_ctx_t       *server;
    void                     **loc_conf;
    ngx_http_handler_pt        content_handler;
    ngx_int_t                  phase_handler;
    uint32_t                   hash;
    ngx_msec_t                 patience;   /* ms that it may wait for quota */
    unsigned                   dry:1;
    unsigned                   elsewhere:1; /* uri is a location's own */
    ngx_str_t                  uri;

    /* of the claim */
    ngx_uint_t                 nscopes;
    ngx_zapier_limit_scope_t  *scopes;
    ngx_str_t                  tag;
    ngx_uint_t                 fallback;
    uint32_t                   open_calls;
    uint32_t                   open_time;
    ngx_uint_t                 patient;
} ngx_http_zapier_origin_t;


/*
 * A claim as the origin's request had it, of one unit of each scope, for
 * which there is memory at scopes.
 */
void ngx_http_zapier_poll_claim(ngx_http_zapier_origin_t *origin,
    ngx_zapier_limit_claim_t *claim, ngx_zapier_limit_scope_t *scopes);


#endif /* _NGX_HTTP_ZAPIER_POLL_H_INCLUDED_ */
