
/*
 * Between the files of JSON Schema.
 *
 *   compile   documents to schemas
 *   keyword   what stands in a schema
 *   ref       what a reference means
 *   check     values by schemas: what goes down to other schemas
 *   assert    ... and what does not
 *   value     equality, and other questions to single values
 */


#ifndef _NGX_ZAPIER_SCHEMA_PRIVATE_H_INCLUDED_
#define _NGX_ZAPIER_SCHEMA_PRIVATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <jansson.h>
#include <ngx_zapier_schema.h>


#define NGX_ZAPIER_SCHEMA_INTEGER  0x0100

/* so many items or members to look at are worth a step */
#define NGX_ZAPIER_SCHEMA_STEP     64

/* bits of types */
#define ngx_zapier_schema_type(type)  (1 << (type))


/* a way down: of a value, or of a schema in its document */
typedef struct ngx_zapier_schema_path_s  ngx_zapier_schema_path_t;

struct ngx_zapier_schema_path_s {
    ngx_zapier_schema_path_t  *parent;
    const char                *name;       /* NULL: index */
    size_t                     index;
};


/* a named schema: of a property, or of those that match a pattern */
typedef struct {
    ngx_str_t                  name;
    ngx_zapier_schema_t       *schema;
    void                      *regex;      /* of a pattern */
} ngx_zapier_schema_member_t;


struct ngx_zapier_schema_s {
    ngx_zapier_schema_t       *next;       /* of the document */
    json_t                    *json;       /* that it stands for */

    ngx_uint_t                 types;      /* 0: any */
    unsigned                   never:1;    /* false */
    unsigned                   unique:1;

    json_t                    *enumeration;
    json_t                    *constant;

    json_t                    *maximum;    /* NULL: none */
    json_t                    *minimum;
    json_t                    *exclusive_maximum;
    json_t                    *exclusive_minimum;
    json_t                    *multiple_of;

    int64_t                    max_length; /* -1: none */
    int64_t                    min_length;
    int64_t                    max_items;
    int64_t                    min_items;
    int64_t                    max_contains;
    int64_t                    min_contains;
    int64_t                    max_properties;
    int64_t                    min_properties;
    void                      *pattern;

    json_t                    *required;
    json_t                    *dependent_required;

    ngx_zapier_schema_t       *ref;
    ngx_zapier_schema_t       *negated;    /* not */
    ngx_zapier_schema_t       *if_schema;
    ngx_zapier_schema_t       *then_schema;
    ngx_zapier_schema_t       *else_schema;
    ngx_zapier_schema_t       *items;
    ngx_zapier_schema_t       *contains;
    ngx_zapier_schema_t       *additional;
    ngx_zapier_schema_t       *names;      /* propertyNames */
    ngx_zapier_schema_t       *unevaluated_items;
    ngx_zapier_schema_t       *unevaluated_properties;

    /* of ngx_zapier_schema_t * */
    ngx_array_t               *all_of;
    ngx_array_t               *any_of;
    ngx_array_t               *one_of;
    ngx_array_t               *prefix_items;

    /* of ngx_zapier_schema_member_t */
    ngx_array_t               *properties;
    ngx_array_t               *patterns;
    ngx_array_t               *dependents;
};


/* a document that is being understood */
typedef struct {
    ngx_pool_t                *pool;
    json_t                    *document;
    ngx_zapier_schema_t       *schemas;
    ngx_str_t                 *why;
    ngx_uint_t                 depth;
} ngx_zapier_schema_compile_t;


/* The schema of a JSON value, made once.  NULL: a fault, or no memory. */
ngx_zapier_schema_t *ngx_zapier_schema_get(ngx_zapier_schema_compile_t *c,
    json_t *json, ngx_zapier_schema_path_t *path);

/* One that says nothing.  NULL: no memory. */
ngx_zapier_schema_t *ngx_zapier_schema_create(ngx_zapier_schema_compile_t *c,
    json_t *json);

/* Reads the keywords of an object.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_zapier_schema_read(ngx_zapier_schema_compile_t *c,
    ngx_zapier_schema_t *schema, json_t *json,
    ngx_zapier_schema_path_t *path);

/* Notes a fault; NGX_ERROR. */
ngx_int_t ngx_zapier_schema_wrong(ngx_zapier_schema_compile_t *c,
    ngx_zapier_schema_path_t *path, const char *why);

/* What a reference means.  NULL: nothing in the document. */
json_t *ngx_zapier_schema_resolve(json_t *document, const char *text);

/* A regular expression of ECMA-262 for ngx_zapier_schema_match().  NULL. */
void *ngx_zapier_schema_regex(ngx_pool_t *pool, const char *text, size_t len);

/* 1: it matches somewhere. */
ngx_uint_t ngx_zapier_schema_match(void *regex, const char *text, size_t len);

/* The path as a JSON pointer.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_zapier_schema_pointer(ngx_pool_t *pool,
    ngx_zapier_schema_path_t *path, ngx_str_t *pointer);


/* a value that is being checked */
typedef struct {
    ngx_pool_t                *pool;
    ngx_array_t               *faults;
    ngx_uint_t                 quiet;      /* faults are not told */
    ngx_uint_t                 depth;
    ngx_uint_t                 steps;
    ngx_str_t                  scratch[NGX_ZAPIER_SCHEMA_DEPTH + 1];
    unsigned                   exhausted:1;  /* not all was looked at */
    unsigned                   failed:1;   /* no memory */
} ngx_zapier_schema_run_t;

/* Tells a fault, unless that is not wanted; 0. */
ngx_uint_t ngx_zapier_schema_tell(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_path_t *path, const char *keyword, const char *detail);

/*
 * Memory until the next schema is applied at this depth, one piece for each
 * depth: a check takes many steps, and the pool takes nothing back.
 * NULL: no memory, which is noted.
 */
void *ngx_zapier_schema_scratch(ngx_zapier_schema_run_t *run, size_t size);

/* What the schema itself says of the value; 1: nothing against it. */
ngx_uint_t ngx_zapier_schema_assert(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path);


/* numbers are compared by their values, 1 is 1.0 */

ngx_uint_t ngx_zapier_schema_equal(json_t *one, json_t *two);
int ngx_zapier_schema_compare(json_t *one, json_t *two);
ngx_uint_t ngx_zapier_schema_integer(json_t *value);
ngx_uint_t ngx_zapier_schema_multiple(json_t *value, json_t *of);
int64_t ngx_zapier_schema_length(json_t *value);

/* 1, 0, or -1: no memory */
ngx_int_t ngx_zapier_schema_unique(ngx_zapier_schema_run_t *run,
    json_t *array);


#endif /* _NGX_ZAPIER_SCHEMA_PRIVATE_H_INCLUDED_ */
