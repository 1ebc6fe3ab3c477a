
/*
 * Actions by name: what callers say, and what the upstream is sent instead.
 *
 * A body is in the upstream's shape already.  It is written anew, with every
 * byte of the caller's inputs as it was.
 */


#ifndef _NGX_ZAPIER_ACTION_H_INCLUDED_
#define _NGX_ZAPIER_ACTION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_schema.h>


#define NGX_ZAPIER_ACTION_INPUTS  64    /* defaults of an action, at most */
#define NGX_ZAPIER_ACTION_ID_LEN  512   /* bytes of an id that is looked up */


/* a member of an object: its name, and its value as JSON text */
typedef struct {
    ngx_str_t                  name;
    ngx_str_t                  text;
} ngx_zapier_member_t;


typedef struct {
    ngx_str_t                  name;
    ngx_str_t                  action;          /* JSON text; empty: to be
                                                   looked up */
    ngx_str_t                  app;             /* by these, as they are */
    ngx_str_t                  key;
    ngx_str_t                  type;            /* empty: any */
    ngx_str_t                  authentication;  /* JSON text, or empty */
    ngx_array_t                tenants;         /* ngx_zapier_member_t, their
                                                   authentications, sorted */
    ngx_array_t                inputs;          /* ngx_zapier_member_t,
                                                   defaults */
    ngx_zapier_schema_t       *schema;          /* of inputs, NULL: any */
} ngx_zapier_action_t;


/* where things stand in a body, values with their quotes */
typedef struct {
    ngx_str_t                  action;
    ngx_str_t                  authentication;
    ngx_str_t                  inputs;
} ngx_zapier_action_body_t;


/*
 * Reads a map: {"NAME":{"action":ID, "authentication":ID,
 * "authentications":{TENANT:ID, ...}, "inputs":{...}, "schema":{...}}, ...},
 * with "app":APP, "key":KEY and perhaps "type":TYPE in the place of "action"
 * for an id that is to be looked up.  All is copied to pool.
 *
 * NGX_OK        actions is a sorted array of ngx_zapier_action_t
 * NGX_DECLINED  it is at fault: where is a JSON pointer (or empty), why a
 *               text; both are in pool
 * NGX_ERROR     no memory
 */
ngx_int_t ngx_zapier_action_map(ngx_pool_t *pool, ngx_str_t *text,
    ngx_array_t *actions, ngx_str_t *where, ngx_str_t *why);

/* The same for one entry; where begins with its name. */
ngx_int_t ngx_zapier_action_entry(ngx_pool_t *pool, ngx_str_t *name,
    ngx_str_t *text, ngx_zapier_action_t *action, ngx_str_t *where,
    ngx_str_t *why);

/*
 * Looks for the action of that key, and of that type unless it is empty, on
 * a page of what GET /v2/actions is answered.
 *
 * NGX_OK        id is its id
 * NGX_AGAIN     it is not there; next is the query that gets the next page
 * NGX_DECLINED  it is not there, and there are no more pages
 * NGX_ABORT     this is no such page, or the key stands for several
 *               actions: why, static
 * NGX_ERROR     no memory
 *
 * id and next are in pool.
 */
ngx_int_t ngx_zapier_action_page(ngx_pool_t *pool, ngx_str_t *text,
    ngx_str_t *key, ngx_str_t *type, ngx_str_t *id, ngx_str_t *next,
    const char **why);

/*
 * The query that gets the first page of the app's actions, from pool.
 * NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_zapier_action_query(ngx_pool_t *pool, ngx_str_t *app,
    ngx_str_t *type, ngx_str_t *query);

/* NGX_OK, or NGX_DECLINED: the body has another shape. */
ngx_int_t ngx_zapier_action_parse(ngx_str_t *body,
    ngx_zapier_action_body_t *parts);

/*
 * The name that the body has for its action: a part of it, or, if it has
 * escapes, in pool.  NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_zapier_action_name(ngx_pool_t *pool,
    ngx_zapier_action_body_t *parts, ngx_str_t *name);

/* The action of that name.  NULL: it is none of the map. */
ngx_zapier_action_t *ngx_zapier_action_find(ngx_array_t *actions,
    ngx_str_t *name);

/*
 * Writes the body anew, in pool: the id (JSON text) for the name, the
 * tenant's authentication if it is null, inputs that are missing.
 *
 * NGX_OK or NGX_ERROR (no memory)
 */
ngx_int_t ngx_zapier_action_write(ngx_pool_t *pool,
    ngx_zapier_action_t *action, ngx_str_t *id, ngx_str_t *tenant,
    ngx_str_t *body, ngx_zapier_action_body_t *parts);

/*
 * Are the inputs as the action's schema says?  NGX_OK, NGX_DECLINED: faults
 * are pushed, see ngx_zapier_schema_check(), or NGX_ERROR.
 */
ngx_int_t ngx_zapier_action_check(ngx_pool_t *pool,
    ngx_zapier_action_t *action, ngx_str_t *inputs, ngx_array_t *faults);


#endif /* _NGX_ZAPIER_ACTION_H_INCLUDED_ */
