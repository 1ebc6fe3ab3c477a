
/*
 * What the files of zapier_admin share.
 */


#ifndef _NGX_HTTP_ZAPIER_ADMIN_H_INCLUDED_
#define _NGX_HTTP_ZAPIER_ADMIN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>
#include <ngx_zapier_limit_operate.h>
#include <ngx_zapier_token_store.h>


/* bytes of a record in JSON: two tokens, escaped, and some blanks */
#define NGX_HTTP_ZAPIER_ADMIN_BODY    65536

/* entries of errors[] for one body */
#define NGX_HTTP_ZAPIER_ADMIN_FAULTS  8


/* which of the two looks at a record that is refreshed is under way */
typedef enum {
    NGX_HTTP_ZAPIER_ADMIN_NONE = 0,
    NGX_HTTP_ZAPIER_ADMIN_BEFORE,
    NGX_HTTP_ZAPIER_ADMIN_AFTER
} ngx_http_zapier_admin_look_e;


/* a request to the location; each of its ways ends in one finalization */
typedef struct {
    ngx_http_request_t        *request;
    ngx_http_zapier_ctx_t     *ctx;
    ngx_zapier_store_op_t      op;
    ngx_str_t                  body;
    size_t                     size;      /* room for it */
    ngx_str_t                  secrets;   /* what op points to */

    ngx_zapier_token_op_t      token;     /* refresh */
    int64_t                    version;   /* of the record before it */
    ngx_http_zapier_admin_look_e  look;

    ngx_zapier_limit_op_t      limit;
} ngx_http_zapier_admin_t;


/* ngx_http_zapier_admin.c */

/* Does op->verb. */
void ngx_http_zapier_admin_start(ngx_http_zapier_admin_t *admin);


/* ngx_http_zapier_admin_body.c */

/* Reads a record into op and puts it. */
void ngx_http_zapier_admin_read(ngx_http_zapier_admin_t *admin);


/* ngx_http_zapier_admin_parse.c */

/* Fills op from the body, which is overwritten.  The number of faults found,
 * at most NGX_HTTP_ZAPIER_ADMIN_FAULTS, or NGX_ERROR: no memory. */
ngx_int_t ngx_http_zapier_admin_parse(ngx_http_zapier_admin_t *admin,
    ngx_http_zapier_fault_t *faults);


/* ngx_http_zapier_admin_refresh.c */

void ngx_http_zapier_admin_refresh(ngx_http_zapier_admin_t *admin);

/* Goes on with the record that op has found. */
void ngx_http_zapier_admin_looked(ngx_http_zapier_admin_t *admin);


/* ngx_http_zapier_admin_answer.c */

/* Answers with op's results. */
void ngx_http_zapier_admin_answer(ngx_http_zapier_admin_t *admin);

void ngx_http_zapier_admin_counters(ngx_http_zapier_admin_t *admin);

/* Write a member of an object and a comma to p, return the end.  A string
 * without data and a number that is not there are null. */
u_char *ngx_http_zapier_admin_string(u_char *p, const char *name,
    ngx_str_t *value);
u_char *ngx_http_zapier_admin_number(u_char *p, const char *name, int64_t n,
    ngx_uint_t there);
u_char *ngx_http_zapier_admin_flag(u_char *p, const char *name,
    ngx_uint_t flag);

/* Answers with JSON, or with nothing (NULL). */
void ngx_http_zapier_admin_send(ngx_http_zapier_admin_t *admin,
    ngx_uint_t status, ngx_buf_t *b);

/* Answers with one fault. */
void ngx_http_zapier_admin_error(ngx_http_zapier_admin_t *admin,
    ngx_uint_t status, const char *code, const char *detail);


/* ngx_http_zapier_admin_limit.c */

/* All zones with their counters. */
void ngx_http_zapier_admin_zones(ngx_http_zapier_admin_t *admin);

/* One scope: op.tenant is the zone, the argument "key" its key. */
void ngx_http_zapier_admin_scope(ngx_http_zapier_admin_t *admin);
void ngx_http_zapier_admin_close(ngx_http_zapier_admin_t *admin);
void ngx_http_zapier_admin_open(ngx_http_zapier_admin_t *admin);
void ngx_http_zapier_admin_reset(ngx_http_zapier_admin_t *admin);

/* The zone of that name or NULL. */
ngx_zapier_limit_zone_t *ngx_http_zapier_admin_zone_find(
    ngx_http_zapier_main_conf_t *zmcf, ngx_str_t *name);

/* An argument of the request, unescaped.  NGX_OK or NGX_DECLINED. */
ngx_int_t ngx_http_zapier_admin_arg(ngx_http_zapier_admin_t *admin,
    const char *name, ngx_str_t *value);

/* The request's tag goes to admin->limit. */
void ngx_http_zapier_admin_tag(ngx_http_zapier_admin_t *admin);

/* Writes how a scope stands here as an object; returns its end. */
size_t ngx_http_zapier_admin_look_size(ngx_zapier_limit_zone_t *zone,
    ngx_str_t *key);
u_char *ngx_http_zapier_admin_look(u_char *p, ngx_zapier_limits_t *limits,
    ngx_zapier_limit_zone_t *zone, ngx_str_t *key, ngx_str_t *tag);

/* Answers 200 with what was written; NULL: there was no memory. */
void ngx_http_zapier_admin_finish(ngx_http_zapier_admin_t *admin,
    ngx_buf_t *b);


/* ngx_http_zapier_admin_explain.c */

/* Would a request of op.tenant pass, and if not, why? */
void ngx_http_zapier_admin_explain(ngx_http_zapier_admin_t *admin);


#endif /* _NGX_HTTP_ZAPIER_ADMIN_H_INCLUDED_ */
