
/*
 * The token endpoint's language: requests of the grants (RFC 6749 4.1.3,
 * 4.4.2, 6) and the endpoint's answers.  How a request gets there is the
 * business of whoever fills ngx_zapier_oauth_t.call.
 */


#ifndef _NGX_ZAPIER_OAUTH_H_INCLUDED_
#define _NGX_ZAPIER_OAUTH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* bytes of an answer that are looked at, a longer one is not understood */
#define NGX_ZAPIER_OAUTH_ANSWER_LEN  16384

/* longest expires_in that is believed, s */
#define NGX_ZAPIER_OAUTH_EXPIRES_IN  (10 * 365 * 86400)

/* longest ngx_zapier_oauth_answer_t.error */
#define NGX_ZAPIER_OAUTH_ERROR_LEN   64


typedef struct ngx_zapier_oauth_s       ngx_zapier_oauth_t;
typedef struct ngx_zapier_oauth_call_s  ngx_zapier_oauth_call_t;


/* zapier_oauth_client and zapier_oauth_token */
struct ngx_zapier_oauth_s {
    ngx_str_t                   client_id;
    ngx_str_t                   client_secret;
    ngx_flag_t                  in_body;    /* credentials: not by Basic */
    time_t                      margin;     /* s before expiry to refresh */
    ngx_msec_t                  timeout;    /* ms that a caller waits */

    /*
     * Sends a request.  NGX_AGAIN: the handler will be called exactly once,
     * never from here, whatever becomes of the client whose request was the
     * occasion; NGX_ERROR: no memory, it will not be.
     */
    ngx_int_t                 (*call)(ngx_zapier_oauth_t *oauth,
                                      ngx_zapier_oauth_call_t *call);
    void                       *data;       /* for call */
};


/* Memory belongs to the caller and lives until the handler is called. */
struct ngx_zapier_oauth_call_s {
    ngx_str_t                   body;           /* urlencoded; empty: GET */
    ngx_str_t                   authorization;  /* empty: none */
    void                       *origin;         /* op->origin */
    void                      (*handler)(ngx_zapier_oauth_call_t *call);
    void                       *data;

    /* for the handler; answer lives until it returns */
    ngx_uint_t                  status;         /* of the endpoint's answer,
                                                   0: there was none */
    ngx_uint_t                  sent;           /* bytes may have gone out */
    ngx_str_t                   answer;
    time_t                      retry_after;    /* s, 0: not said */
};


typedef enum {
    NGX_ZAPIER_OAUTH_GRANTED = 0,
    NGX_ZAPIER_OAUTH_DEAD,       /* invalid_grant: the grant is void */
    NGX_ZAPIER_OAUTH_REFUSED,    /* a fault, but not of the grant: wrong
                                    client, wrong URL, redirect */
    NGX_ZAPIER_OAUTH_TRANSIENT,  /* nothing was done, it may be later */
    NGX_ZAPIER_OAUTH_UNKNOWN     /* it may have been done, the answer is lost
                                    or cannot be understood */
} ngx_zapier_oauth_result_e;


/* Strings are in the pool given, and zeroed with it. */
typedef struct {
    ngx_zapier_oauth_result_e   result;
    ngx_str_t                   access_token;
    ngx_str_t                   refresh_token;  /* data NULL: not given */
    ngx_str_t                   scope;          /* data NULL: not given */
    ngx_str_t                   token_type;     /* data NULL: not given */
    int64_t                     expires_in;     /* s, -1: not given */
    ngx_str_t                   error;          /* printable code of at most
                                                   64 bytes for the log */
} ngx_zapier_oauth_answer_t;


/* one form parameter */
typedef struct {
    ngx_str_t                   name;
    ngx_str_t                   value;
} ngx_zapier_oauth_param_t;


/*
 * Fills call->body (params and, if in_body, the client's credentials) and
 * call->authorization from pool; both are zeroed with it.  A client without
 * a secret is a public one: client_id goes into the body.
 *
 * NGX_OK or NGX_ERROR (no memory)
 */
ngx_int_t ngx_zapier_oauth_request(ngx_zapier_oauth_t *oauth,
    ngx_pool_t *pool, ngx_zapier_oauth_param_t *params, ngx_uint_t n,
    ngx_zapier_oauth_call_t *call);

/*
 * Understands what a call came back with.  Tolerant where issuers differ:
 * no Content-Type is asked for, expires_in may be a number, a string,
 * absent, zero or negative (at once expired), or huge (cut to ten years);
 * what would not make a valid record (ngx_zapier_record_check()) is
 * NGX_ZAPIER_OAUTH_UNKNOWN.
 *
 * NGX_OK or NGX_ERROR (no memory)
 */
ngx_int_t ngx_zapier_oauth_parse(ngx_zapier_oauth_call_t *call,
    ngx_pool_t *pool, ngx_zapier_oauth_answer_t *answer);

/* Memory that is zeroed with pool.  NULL: no memory. */
u_char *ngx_zapier_oauth_alloc(ngx_pool_t *pool, size_t len);


#endif /* _NGX_ZAPIER_OAUTH_H_INCLUDED_ */
