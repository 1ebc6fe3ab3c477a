
/*
 * What the parts of the HTTP layer share.  The layer knows phases, headers
 * and bodies; tokens, limits and Redis are below it.
 */


#ifndef _NGX_HTTP_ZAPIER_MODULE_H_INCLUDED_
#define _NGX_HTTP_ZAPIER_MODULE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_zapier_likely.h>
#include <ngx_zapier_state.h>
#include <ngx_zapier_envelope.h>
#include <ngx_zapier_tenant.h>
#include <ngx_zapier_oauth.h>
#include <ngx_zapier_token.h>
#include <ngx_zapier_token_keyring.h>
#include <ngx_zapier_limit.h>
#include <ngx_zapier_limit_queue.h>
#include <ngx_zapier_prefer.h>
#include <ngx_zapier_run.h>


#define NGX_HTTP_ZAPIER_BODY_OFF         0
#define NGX_HTTP_ZAPIER_BODY_ACTION_RUN  1
#define NGX_HTTP_ZAPIER_BODY_ACTION_RUNS 2

#define NGX_HTTP_ZAPIER_BODY_MAX         (1024 * 1024)

#define NGX_HTTP_ZAPIER_COOLDOWN         60000

/* zapier_retry */
#define NGX_HTTP_ZAPIER_RETRY_401        0x0001
#define NGX_HTTP_ZAPIER_RETRY_429        0x0002
#define NGX_HTTP_ZAPIER_RETRY_503        0x0004
#define NGX_HTTP_ZAPIER_RETRY_CONNECT    0x0008
#define NGX_HTTP_ZAPIER_RETRY_500        0x0010
#define NGX_HTTP_ZAPIER_RETRY_502        0x0020
#define NGX_HTTP_ZAPIER_RETRY_504        0x0040

/* after which nobody knows what has been done */
#define NGX_HTTP_ZAPIER_RETRY_UNKNOWN    0x0070

/* zapier_auth */
#define NGX_HTTP_ZAPIER_AUTH_USER        0
#define NGX_HTTP_ZAPIER_AUTH_APP         1
#define NGX_HTTP_ZAPIER_AUTH_CLIENT_ID   2


/* where a directive stands, for what only the whole configuration tells */
typedef struct {
    ngx_str_t                  name;       /* data NULL: nowhere */
    ngx_str_t                  value;
    u_char                    *file;
    ngx_uint_t                 line;
} ngx_http_zapier_mention_t;


/* zapier_limit_zone */
typedef struct {
    ngx_zapier_limit_zone_t    zone;
    ngx_http_complex_value_t  *key;        /* NULL: named, never defined */
    ngx_uint_t                 by_tenant;  /* the key is $zapier_tenant */
    ngx_http_complex_value_t  *weight;     /* NULL: one unit a call */
    ngx_http_complex_value_t  *share;      /* by whom, NULL: not shared */
    ngx_http_complex_value_t  *share_weight; /* NULL: 1 */
    u_char                    *file;       /* where it was first named */
    ngx_uint_t                 line;
} ngx_http_zapier_zone_t;


/* a token of the app itself that some "zapier_auth app" needs */
typedef struct {
    ngx_str_t                  name;       /* of its record */
    ngx_str_t                  scope;      /* sorted; empty: not said */
} ngx_http_zapier_app_t;


/* zapier_callback_secret, zapier_callback_keys */
typedef struct {
    u_char                     key[NGX_ZAPIER_STATE_KEY_LEN];
    ngx_uint_t                 ready;      /* there is a secret */
    ngx_str_t                  keys;       /* URI of a location */
    ngx_str_t                  issuer;     /* empty: any */
    ngx_str_t                  audience;
    ngx_http_zapier_mention_t  sent;       /* the first "zapier_callback URL" */
    ngx_http_zapier_mention_t  received;
} ngx_http_zapier_callbacks_t;


typedef struct {
    ngx_str_t                  zone_name;
    size_t                     zone_size;
    ngx_zapier_redis_conf_t    redis;
    ngx_str_t                  prefix;
    ngx_msec_t                 token_cache;
    ngx_msec_t                 token_missing_cache;
    ngx_array_t                zones;      /* ngx_http_zapier_zone_t * */
    ngx_array_t               *tenant_zone; /* the default zapier_limit */
    ngx_http_zapier_mention_t  zone;
    ngx_http_zapier_mention_t  store;      /* zapier_redis */
    ngx_http_zapier_mention_t  used;       /* what first needs Redis */
    ngx_http_zapier_mention_t  oauth_client;
    ngx_http_zapier_mention_t  oauth_token;
    ngx_http_zapier_mention_t  connect;    /* the first zapier_connect */
    ngx_http_zapier_mention_t  waited;     /* the first zapier_wait or
                                              zapier_idempotency */
    ngx_http_zapier_mention_t  auth_app;
    ngx_http_zapier_mention_t  auth_client_id;
    ngx_array_t                apps;       /* ngx_http_zapier_app_t * */
    ngx_str_t                  client_id_arg; /* of zapier_auth client_id */
    ngx_int_t                  request_uri; /* index of the variable */
    ngx_zapier_oauth_t        *oauth;      /* NULL: not configured */
    ngx_zapier_keyring_t      *keyring;    /* zapier_token_key */
    ngx_flag_t                 key_required;
    ngx_zapier_tokens_t       *tokens;
    ngx_zapier_limits_t        limits;
    ngx_zapier_runs_t          runs;
    ngx_http_zapier_callbacks_t  callbacks;
} ngx_http_zapier_main_conf_t;


/* zapier_tenant */
typedef struct {
    ngx_http_complex_value_t  *value;
    ngx_int_t                  index;      /* of the variable that is all of
                                              it, NGX_ERROR: it is more */
} ngx_http_zapier_tenant_t;


typedef struct ngx_http_zapier_connect_conf_s  ngx_http_zapier_connect_conf_t;
typedef struct ngx_http_zapier_queue_conf_s    ngx_http_zapier_queue_conf_t;
typedef struct ngx_http_zapier_wait_conf_s     ngx_http_zapier_wait_conf_t;
typedef struct ngx_http_zapier_action_conf_s   ngx_http_zapier_action_conf_t;
typedef struct ngx_http_zapier_naming_s        ngx_http_zapier_naming_t;
typedef struct ngx_http_zapier_callback_conf_s
    ngx_http_zapier_callback_conf_t;
typedef struct ngx_http_zapier_callback_s      ngx_http_zapier_callback_t;
typedef struct ngx_http_zapier_run_s           ngx_http_zapier_run_t;
typedef struct ngx_http_zapier_poll_s          ngx_http_zapier_poll_t;
typedef struct ngx_http_zapier_idem_conf_s     ngx_http_zapier_idem_conf_t;
typedef struct ngx_http_zapier_idem_s          ngx_http_zapier_idem_t;
typedef struct ngx_http_zapier_bulk_conf_s     ngx_http_zapier_bulk_conf_t;
typedef struct ngx_http_zapier_bulk_s          ngx_http_zapier_bulk_t;
typedef struct ngx_http_zapier_item_s          ngx_http_zapier_item_t;


typedef struct {
    ngx_http_zapier_tenant_t  *tenant;     /* NULL: the module is off */
    ngx_uint_t                 body;
    size_t                     body_max;
    ngx_http_zapier_bulk_conf_t  *bulk;    /* of action_runs, else NULL */
    ngx_http_complex_value_t  *action;
    ngx_http_complex_value_t  *authentication;
    ngx_http_zapier_action_conf_t  *action_map;  /* NULL: off */
    ngx_str_t                  scope;
    ngx_uint_t                 auth;
    ngx_http_zapier_app_t     *app;        /* of zapier_auth app */
    ngx_array_t               *limits;     /* ngx_http_zapier_zone_t *,
                                              empty: zapier_limit off */
    ngx_http_complex_value_t  *limit_tag;  /* NULL: "all" */
    ngx_uint_t                 fallback;   /* ngx_zapier_limit_fall_e */
    uint32_t                   open_calls;
    uint32_t                   open_time;  /* ms */
    ngx_uint_t                 dry_run;    /* percent */
    ngx_http_zapier_queue_conf_t  *queue;  /* zapier_queue, NULL: off */
    ngx_uint_t                 retry;      /* mask of what is called again */
    ngx_msec_t                 retry_time; /* ms in which it is */
    ngx_http_zapier_wait_conf_t  *wait;    /* zapier_wait, NULL: off */
    ngx_http_zapier_idem_conf_t  *idem;    /* zapier_idempotency, NULL: off */

    ngx_http_zapier_callback_conf_t  *callback;  /* zapier_callback, NULL:
                                                     off */

    ngx_http_zapier_connect_conf_t  *connect;  /* zapier_connect */

    /* the first directive here that does nothing without ... */
    ngx_http_zapier_mention_t  needs_tenant;
    ngx_http_zapier_mention_t  needs_body;
    ngx_http_zapier_mention_t  needs_refresh;
    ngx_http_zapier_mention_t  needs_wait;

    /* the zapier_body whose max= is in force, if it has one */
    ngx_http_zapier_mention_t  sized;

    ngx_http_zapier_mention_t  auth_by;    /* the zapier_auth in force */
} ngx_http_zapier_loc_conf_t;


typedef enum {
    NGX_HTTP_ZAPIER_START = 0,
    NGX_HTTP_ZAPIER_BODY,          /* being read */
    NGX_HTTP_ZAPIER_TOKEN,
    NGX_HTTP_ZAPIER_TOKEN_WAIT,
    NGX_HTTP_ZAPIER_TOKEN_DONE,
    NGX_HTTP_ZAPIER_ACTION_WAIT,   /* for what its name stands for */
    NGX_HTTP_ZAPIER_ACTION_DONE,
    NGX_HTTP_ZAPIER_LIMIT_WAIT,
    NGX_HTTP_ZAPIER_LIMIT_DONE,
    NGX_HTTP_ZAPIER_PASSED,        /* the upstream may see the request */
    NGX_HTTP_ZAPIER_CALL_WAIT,     /* the same by a subrequest */
    NGX_HTTP_ZAPIER_RUN_WAIT,      /* for the end of a run */
    NGX_HTTP_ZAPIER_RUN_DONE,
    NGX_HTTP_ZAPIER_IDEM_WAIT,     /* for Redis */
    NGX_HTTP_ZAPIER_IDEM_DONE,
    NGX_HTTP_ZAPIER_RETRY_WAIT,
    NGX_HTTP_ZAPIER_BULK_WAIT,     /* for items */
    NGX_HTTP_ZAPIER_BULK_DONE,
    NGX_HTTP_ZAPIER_REFUSED
} ngx_http_zapier_state_e;


/* a body that is kept from the client */
typedef struct {
    ngx_pool_t                *pool;
    size_t                     max;
    u_char                    *start;
    u_char                    *last;
    u_char                    *end;
    ngx_uint_t                 too_long;
    ngx_uint_t                 complete;   /* its end was seen */
} ngx_http_zapier_text_t;


/*
 * One request.  Found by its pool cleanup when an internal redirect has
 * wiped r->ctx, see ngx_http_zapier_ctx.c.
 */
typedef struct {
    ngx_http_request_t        *request;
    ngx_http_zapier_state_e    state;

    ngx_str_t                  tenant;
    uint32_t                   hash;       /* ngx_zapier_shm_hash() of it */
    ngx_str_t                  error;      /* code of our own answer */

    ngx_zapier_envelope_t     *envelope;
    ngx_str_t                  action;     /* defaults as JSON text */
    ngx_str_t                  authentication;
    off_t                      received;   /* bytes of the caller's body */
    off_t                      body_length; /* with what was inserted */
    ngx_int_t                  body_rc;    /* of the scan so far */
    ngx_array_t               *faults;     /* ngx_http_zapier_fault_t, of what
                                              an action's schema says */

    ngx_zapier_token_op_t      token;
    ngx_zapier_limit_claim_t   claim;
    ngx_zapier_ratelimit_t     ratelimit;  /* of the answer, if observed */
    ngx_uint_t                 states;     /* r->upstream_states before the
                                              claim */
    ngx_http_upstream_t       *upstream;   /* r->upstream before it */

    ngx_zapier_limit_waiter_t *waiter;     /* of zapier_queue */
    ngx_msec_t                 queue_until; /* ngx_current_msec */
    ngx_uint_t                 preferred_wait; /* s */

    ngx_http_request_t        *call;       /* the runner's subrequest */
    ngx_pool_t                *call_pool;  /* its memory */
    ngx_http_variable_value_t *call_variables; /* r->variables before it */
    ngx_int_t                  call_rc;    /* what became of it */
    ngx_uint_t                 attempts;   /* calls that were made again */
    ngx_uint_t                 call_states; /* upstream states before it */
    ngx_msec_t                 since;      /* ngx_current_msec */
    ngx_msec_t                 retry_delay; /* ms */
    ngx_event_t                retry_event;
    ngx_str_t                  refused;    /* Authorization of the one before */

    ngx_http_zapier_run_t     *run;        /* that it is about, with
                                              zapier_wait */
    ngx_http_zapier_poll_t    *poll;       /* that it is made for */
    ngx_http_zapier_naming_t  *naming;     /* its action's name stands for
                                              something not known yet */
    ngx_http_zapier_idem_t    *idem;       /* its Idempotency-Key */
    ngx_http_zapier_bulk_t    *bulk;       /* it has several runs */
    ngx_http_zapier_item_t    *item;       /* it is one of those */
    ngx_http_zapier_text_t    *text;       /* the call's answer, if kept */

    void                      *admin;      /* of zapier_admin */
    ngx_http_zapier_callback_t  *callback; /* that it brings */
    ngx_http_request_t        *bearer;     /* that has sent the token */

    unsigned                   reading:1;  /* inside the body reader */
    unsigned                   body_too_large:1;
    unsigned                   body_done:1;
    unsigned                   claimed:1;  /* the claim is not settled */
    unsigned                   observed:1; /* the final answer was seen */
    unsigned                   limited:1;  /* the quota was asked */
    unsigned                   logged:1;   /* no token is given out */
    unsigned                   call_done:1;
    unsigned                   again:1;    /* the call's answer is withheld */
    unsigned                   entered:1;  /* the call has passed our phase */
    unsigned                   complete:1; /* the answer's end was seen */
    unsigned                   dry:1;      /* limits do not stop it */
    unsigned                   let_pass:1; /* they would have */
    unsigned                   queued:1;   /* it has waited for quota */
    unsigned                   preferred:1; /* Prefer: wait=N was heeded */
    unsigned                   identified:1; /* by a client_id argument */
} ngx_http_zapier_ctx_t;


/* What our own answer says, one entry of errors[]. */
typedef struct {
    ngx_str_t                  code;
    ngx_str_t                  detail;
    ngx_str_t                  pointer;    /* data NULL: source is null */
    off_t                      offset;     /* -1: none */
    ngx_str_t                  scope;      /* len 0: none */
    time_t                     retry_after; /* 0: none */
    ngx_uint_t                 unsent;     /* although one might think so */
} ngx_http_zapier_fault_t;


/* ngx_http_zapier_conf.c */

void *ngx_http_zapier_create_main_conf(ngx_conf_t *cf);
char *ngx_http_zapier_init_main_conf(ngx_conf_t *cf, void *conf);
void *ngx_http_zapier_create_loc_conf(ngx_conf_t *cf);
char *ngx_http_zapier_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);

/* Checks what only the whole configuration can tell and makes the zone,
 * the Redis client, the token and limit tables.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_zapier_conf_finish(ngx_conf_t *cf);


/* ngx_http_zapier_*directive.c: setters of the commands table */

char *ngx_http_zapier_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_zapier_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_zapier_token_time(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_zapier_tenant(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_zapier_body(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_zapier_default(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_zapier_scope(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_zapier_retry(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_zapier_idempotency(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_zapier_wait(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_zapier_limit_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_zapier_limit(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_zapier_dry_run(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_zapier_queue(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_zapier_limit_fallback(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_zapier_oauth_client(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_zapier_oauth_token(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_zapier_token_key(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* The zone of that name, made undefined at its first mention.  NULL: no
 * memory. */
ngx_http_zapier_zone_t *ngx_http_zapier_zone_get(ngx_conf_t *cf,
    ngx_http_zapier_main_conf_t *zmcf, ngx_str_t *name);

/* Hands all zones to limit/. */
ngx_int_t ngx_http_zapier_limit_zones(ngx_conf_t *cf,
    ngx_http_zapier_main_conf_t *zmcf);


/* ngx_http_zapier_ctx.c */

/* The request's context, also after an internal redirect; NULL: none. */
ngx_http_zapier_ctx_t *ngx_http_zapier_get_ctx(ngx_http_request_t *r);

/* Makes one, with the cleanup that cancels what is under way.  NULL: no
 * memory. */
ngx_http_zapier_ctx_t *ngx_http_zapier_create_ctx(ngx_http_request_t *r);

/* r was redirected to another location.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_zapier_redirected(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* Waits for something; NGX_AGAIN, or a status to finalize r with. */
ngx_int_t ngx_http_zapier_hold(ngx_http_request_t *r);

/* Goes on with a request that has waited; r may be gone then. */
void ngx_http_zapier_resume(ngx_http_request_t *r);

/* What r sends upstream has the token in it, and is zeroed in the end. */
void ngx_http_zapier_bearer(ngx_http_zapier_ctx_t *ctx,
    ngx_http_request_t *r);


/* ngx_http_zapier_handler.c: the PRECONTENT phase */

ngx_int_t ngx_http_zapier_handler(ngx_http_request_t *r);


/* ngx_http_zapier_body_check.c */

/* May a body of this media type and length be read?  NGX_OK, or the status
 * of the answer that was decided on, with the fault filled. */
ngx_int_t ngx_http_zapier_body_check(ngx_http_request_t *r,
    ngx_http_zapier_fault_t *fault);


/* ngx_http_zapier_body.c */

/*
 * Reads the body; validates and rewrites it if the location says so.
 *
 * NGX_OK     done, ctx->body_rc tells
 * NGX_DONE   the reader owns the request, phases are run again at the end
 * other      status to finalize the request with
 */
ngx_int_t ngx_http_zapier_body_read(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* The request body filter. */
ngx_int_t ngx_http_zapier_body_filter_init(ngx_conf_t *cf);


/* ngx_http_zapier_request.c: headers, and edits of what is sent on */

/*
 * The tenant that the request is for, not checked, empty if it does not say.
 * Lives as long as the request.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_http_zapier_tenant_value(ngx_http_request_t *r,
    ngx_http_zapier_tenant_t *tenant, ngx_str_t *value);

/* a walk through a list of headers; starts with { &list.part, 0 } */
typedef struct {
    ngx_list_part_t           *part;
    ngx_uint_t                 i;
} ngx_http_zapier_walk_t;

/* The next header or NULL. */
static ngx_inline ngx_table_elt_t *
ngx_http_zapier_next_header(ngx_http_zapier_walk_t *walk)
{
    ngx_table_elt_t  *h;

    while (ngx_zapier_unlikely(walk->i >= walk->part->nelts)) {

        if (walk->part->next == NULL) {
            return NULL;
        }

        walk->part = walk->part->next;
        walk->i = 0;
    }

    h = walk->part->elts;

    return &h[walk->i++];
}


/* Is it of that name, in any case? */
#define ngx_http_zapier_header_is(h, name)                                   \
    ((h)->key.len == sizeof(name) - 1                                        \
     && ngx_strncasecmp((h)->key.data, (u_char *) name, sizeof(name) - 1)    \
        == 0)

/* Sets Content-Type and Content-Length of the rewritten body. */
ngx_int_t ngx_http_zapier_set_body_headers(ngx_http_request_t *r,
    off_t length);

/* What the caller's Prefer headers say. */
void ngx_http_zapier_prefer(ngx_http_request_t *r,
    ngx_zapier_prefer_t *prefer);

/* Takes every client_id argument out of the query.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_zapier_strip_client_id(ngx_http_request_t *r);


/* ngx_http_zapier_auth.c: zapier_auth */

char *ngx_http_zapier_auth(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_zapier_auth_merge(ngx_conf_t *cf,
    ngx_http_zapier_loc_conf_t *prev, ngx_http_zapier_loc_conf_t *conf);

/* What only the whole configuration can tell.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_zapier_auth_init(ngx_conf_t *cf,
    ngx_http_zapier_main_conf_t *zmcf);

/* The app token whose record has this name; NULL: no location needs it. */
ngx_http_zapier_app_t *ngx_http_zapier_app_find(
    ngx_http_zapier_main_conf_t *zmcf, ngx_str_t *name);

/* Replaces a client_id in the query by ours, or by none, as the location
 * wants.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_zapier_auth_identify(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);


/* ngx_http_zapier_limit.c */

/* Is a refused call let through all the same?  Counts and logs it. */
ngx_uint_t ngx_http_zapier_limit_dry(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* Evaluates the keys of the location's zones.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_zapier_limit_chain(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* Takes note of the upstream's answer once; harmless without one. */
void ngx_http_zapier_limit_observe(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* Compares what was claimed with the calls that were made. */
void ngx_http_zapier_limit_settle(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* Adds X-RateLimit-* and Retry-After of ctx->claim.view to the answer. */
ngx_int_t ngx_http_zapier_limit_headers(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);


/* ngx_http_zapier_oauth.c: ngx_zapier_oauth_t.call by oauth->data, the URI
 * (ngx_str_t *) of an internal location */

ngx_int_t ngx_http_zapier_oauth_call(ngx_zapier_oauth_t *oauth,
    ngx_zapier_oauth_call_t *call);


/* ngx_http_zapier_filter.c: the filters of answers and the LOG phase */

ngx_int_t ngx_http_zapier_filter_init(ngx_conf_t *cf);

/*
 * If the upstream has answered 401 to r, notes that the token is of no use.
 * NGX_OK: the next look-up may bring another one; NGX_DECLINED otherwise.
 */
ngx_int_t ngx_http_zapier_refused(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

ngx_int_t ngx_http_zapier_log_handler(ngx_http_request_t *r);


/* ngx_http_zapier_error.c */

/*
 * Answers with the errors[] envelope and finalizes the request; the caller
 * returns what this returns (NGX_DONE) and touches r no more.
 */
ngx_int_t ngx_http_zapier_error(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx, ngx_uint_t status,
    ngx_http_zapier_fault_t *faults, ngx_uint_t n);

/* Of no place in the body; code and detail must live as long as it. */
void ngx_http_zapier_fault_init(ngx_http_zapier_fault_t *fault,
    const char *code, const char *detail);

/* The body of such an answer, in pool.  NULL: no memory. */
ngx_buf_t *ngx_http_zapier_error_body(ngx_pool_t *pool, ngx_uint_t status,
    ngx_http_zapier_fault_t *faults, ngx_uint_t n);

/* Faults of a body as such of an answer, up to NGX_ZAPIER_ENVELOPE_FAULTS;
 * returns how many. */
ngx_uint_t ngx_http_zapier_faults(ngx_zapier_fault_t *found, ngx_uint_t n,
    ngx_http_zapier_fault_t *faults);

/* The same for the faults that the envelope has found. */
ngx_int_t ngx_http_zapier_body_error(ngx_http_request_t *r,
    ngx_http_zapier_ctx_t *ctx);

/* Adds a response header; value must live as long as the request. */
ngx_int_t ngx_http_zapier_add_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);


/* The same with a number for a value. */
ngx_int_t ngx_http_zapier_add_number(ngx_http_request_t *r, const char *name,
    int64_t number);

/* Writes a decimal number, at most NGX_INT64_LEN bytes; returns the end. */
u_char *ngx_http_zapier_put_number(u_char *p, int64_t n);

#define ngx_http_zapier_put(p, literal)                                      \
    ngx_cpymem(p, literal, sizeof(literal) - 1)


/* ngx_http_zapier_admin.c: the setter and all that follows of it */

char *ngx_http_zapier_admin(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* For the merging of any location, after that of ngx_http_ssl_module. */
void ngx_http_zapier_admin_merge(ngx_conf_t *cf);


/* ngx_http_zapier_connect*.c: the setter, what conf.c does with it, and the
 * content handler */

char *ngx_http_zapier_connect(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_zapier_connect_merge(ngx_conf_t *cf,
    ngx_http_zapier_loc_conf_t *prev, ngx_http_zapier_loc_conf_t *conf);
ngx_int_t ngx_http_zapier_connect_check(ngx_conf_t *cf,
    ngx_http_zapier_main_conf_t *zmcf);
ngx_int_t ngx_http_zapier_connect_handler(ngx_http_request_t *r);

/* Ends what is under way; in a worker. */
void ngx_http_zapier_connect_exit_worker(void);


/* ngx_http_zapier_variable.c */

ngx_int_t ngx_http_zapier_add_variables(ngx_conf_t *cf);


extern ngx_module_t  ngx_http_zapier_module;


#endif /* _NGX_HTTP_ZAPIER_MODULE_H_INCLUDED_ */
