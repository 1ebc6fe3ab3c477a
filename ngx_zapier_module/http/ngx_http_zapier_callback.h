
/*
 * zapier_callback: the upstream tells what has come of a run.
 *
 * The URL that it calls has a name in it that is made for one run, with the
 * tenant and a signature of ours; what it sends is signed by the upstream.
 */


#ifndef _NGX_HTTP_ZAPIER_CALLBACK_H_INCLUDED_
#define _NGX_HTTP_ZAPIER_CALLBACK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_zapier_jwks.h>


/* zapier_callback */
struct ngx_http_zapier_callback_conf_s {
    ngx_str_t                  url;        /* without a slash at its end */
    ngx_msec_t                 patience;   /* ms between polls all the same */
    ngx_uint_t                 receive;    /* instead: they come here */
};


/* ngx_http_zapier_callback_directive.c */

char *ngx_http_zapier_callback(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_zapier_callback_secret(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_zapier_callback_keys(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
void ngx_http_zapier_callback_merge(ngx_conf_t *cf,
    ngx_http_zapier_loc_conf_t *prev, ngx_http_zapier_loc_conf_t *conf);

/* What only the whole configuration can tell.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_zapier_callback_check(ngx_conf_t *cf,
    ngx_http_zapier_main_conf_t *zmcf);


/* ngx_http_zapier_callback.c */

/*
 * Makes a callback for the run that ctx is about to start, and gives it to
 * the envelope.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_http_zapier_callback_make(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* The content handler of "zapier_callback receive". */
ngx_int_t ngx_http_zapier_callback_handler(ngx_http_request_t *r);


/* ngx_http_zapier_keys.c: the upstream's public keys, for a worker */

typedef struct {
    ngx_queue_t                queue;
    void                     (*handler)(void *data);
    void                      *data;
    ngx_uint_t                 waiting;
} ngx_http_zapier_keys_wait_t;

/*
 * The keys that the location uri of the server origin has told; newer: those
 * that are known do not do.
 *
 * NGX_OK        *set is valid until the next turn of the event loop
 * NGX_AGAIN     the handler will be called, never from here: try again
 * NGX_DECLINED  there are none, or no newer ones, and it is too early to ask
 *               again
 */
ngx_int_t ngx_http_zapier_keys(ngx_http_zapier_keys_wait_t *wait,
    ngx_str_t *uri, ngx_http_conf_ctx_t *origin, ngx_uint_t newer,
    const ngx_zapier_jwks_t **set);

/* The handler will not be called.  Safe at any time. */
void ngx_http_zapier_keys_cancel(ngx_http_zapier_keys_wait_t *wait);

/* In a worker, after ngx_http_zapier_oauth_exit_worker(). */
void ngx_http_zapier_keys_exit_worker(void);


#endif /* _NGX_HTTP_ZAPIER_CALLBACK_H_INCLUDED_ */
