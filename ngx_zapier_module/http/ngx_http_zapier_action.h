
/*
 * zapier_action_map: callers name actions, the upstream is sent their ids.
 *
 *     body -> entry: in the file, or in Redis -> schema
 *          -> id: fixed, or looked up at the upstream -> body
 */


#ifndef _NGX_HTTP_ZAPIER_ACTION_H_INCLUDED_
#define _NGX_HTTP_ZAPIER_ACTION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_zapier_action.h>
#include <ngx_zapier_lookup.h>


/* zapier_action_map */
struct ngx_http_zapier_action_conf_s {
    ngx_array_t                actions;    /* ngx_zapier_action_t, of the
                                              file; elts NULL: there is none */
    ngx_uint_t                 strict;     /* there are no others */
    ngx_uint_t                 redis;      /* but those in Redis */
    ngx_msec_t                 entry_cache;  /* ms that these will do */
    ngx_str_t                  lookup;     /* URI of the location that tells
                                              ids, empty: none does */
    ngx_msec_t                 lookup_cache; /* ms that an id will do */
};


/* a body whose action has a name that stands for something not known yet */
struct ngx_http_zapier_naming_s {
    ngx_http_zapier_action_conf_t  *map;
    ngx_zapier_action_t       *action;     /* NULL: it may be in Redis */
    ngx_str_t                  name;
    ngx_str_t                  body;       /* in the upstream's shape */
    ngx_zapier_action_body_t   parts;
    ngx_zapier_lookup_t        lookup;
};


/* ngx_http_zapier_action_directive.c */

char *ngx_http_zapier_action_map(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
void ngx_http_zapier_action_merge(ngx_conf_t *cf,
    ngx_http_zapier_loc_conf_t *prev, ngx_http_zapier_loc_conf_t *conf);


/* ngx_http_zapier_action.c */

/*
 * Writes the body anew that is there in the upstream's shape, or notes in
 * ctx->naming what has to be found out for it.  NGX_OK, ctx->body_rc tells
 * whether it is valid still, or NGX_ERROR.
 */
ngx_int_t ngx_http_zapier_action_apply(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/*
 * The name of ctx->naming stands for this action: its body is checked, and
 * written if the action has a fixed id.  As above.
 */
ngx_int_t ngx_http_zapier_action_take(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_zapier_action_t *action);

/* The action's id (JSON text) is known: writes the body.  NGX_OK or
 * NGX_ERROR. */
ngx_int_t ngx_http_zapier_action_finish(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_str_t *id);


/*
 * ngx_http_zapier_action_lookup.c: steps of the PRECONTENT phase, with
 * ctx->naming.  NGX_OK: go on; else what the phase handler is to return.
 */

/* Before a token is asked for: the entry that Redis may have. */
ngx_int_t ngx_http_zapier_action_entry(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* With a token: the id. */
ngx_int_t ngx_http_zapier_action_identify(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* What was waited for is there; never NGX_OK. */
ngx_int_t ngx_http_zapier_check_action(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

void ngx_http_zapier_action_cancel(ngx_http_zapier_ctx_t *ctx);


/* ngx_http_zapier_action_entry.c */

/*
 * The action that the text of an entry describes, which is kept as long as
 * the request.
 *
 * NGX_OK        *action tells
 * NGX_DECLINED  it is at fault, which was logged
 * NGX_ERROR     no memory
 */
ngx_int_t ngx_http_zapier_action_parsed(ngx_http_request_t *r,
    ngx_str_t *name, ngx_str_t *text, ngx_zapier_action_t **action);

/* Forgets all of them; in a worker. */
void ngx_http_zapier_action_exit_worker(void);


/* ngx_http_zapier_poll_origin.c: what GETs need to know, for
 * ngx_zapier_lookup_t.origin; lookup->data is the context */

void *ngx_http_zapier_lookup_origin(ngx_zapier_lookup_t *lookup,
    ngx_pool_t *pool);


#endif /* _NGX_HTTP_ZAPIER_ACTION_H_INCLUDED_ */
