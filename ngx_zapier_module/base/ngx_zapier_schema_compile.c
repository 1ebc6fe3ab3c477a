
/*
 * Documents to schemas.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_schema_private.h>


static void ngx_zapier_schema_release(void *data);


ngx_zapier_schema_t *
ngx_zapier_schema_compile(ngx_pool_t *pool, json_t *document, ngx_str_t *why)
{
    ngx_pool_cleanup_t           *cln;
    ngx_zapier_schema_compile_t   c;

    ngx_str_null(why);

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_zapier_schema_release;
    cln->data = json_incref(document);

    ngx_memzero(&c, sizeof(ngx_zapier_schema_compile_t));

    c.pool = pool;
    c.document = document;
    c.why = why;

    return ngx_zapier_schema_get(&c, document, NULL);
}


static void
ngx_zapier_schema_release(void *data)
{
    json_decref(data);
}


/* Made before it is read, for it may refer to itself. */

ngx_zapier_schema_t *
ngx_zapier_schema_get(ngx_zapier_schema_compile_t *c, json_t *json,
    ngx_zapier_schema_path_t *path)
{
    ngx_int_t             rc;
    ngx_zapier_schema_t  *schema;

    for (schema = c->schemas; schema; schema = schema->next) {
        if (schema->json == json && !json_is_boolean(json)) {
            return schema;
        }
    }

    if (!json_is_object(json) && !json_is_boolean(json)) {
        (void) ngx_zapier_schema_wrong(c, path, "a schema is needed, an "
                                       "object or true or false");
        return NULL;
    }

    schema = ngx_zapier_schema_create(c, json);
    if (schema == NULL) {
        return NULL;
    }

    if (!json_is_object(json)) {
        return schema;
    }

    if (c->depth == NGX_ZAPIER_SCHEMA_DEPTH) {
        (void) ngx_zapier_schema_wrong(c, path, "it is nested too deeply");
        return NULL;
    }

    c->depth++;

    rc = ngx_zapier_schema_read(c, schema, json, path);

    c->depth--;

    return (rc == NGX_OK) ? schema : NULL;
}


/* One that says nothing. */

ngx_zapier_schema_t *
ngx_zapier_schema_create(ngx_zapier_schema_compile_t *c, json_t *json)
{
    ngx_zapier_schema_t  *schema;

    schema = ngx_pcalloc(c->pool, sizeof(ngx_zapier_schema_t));
    if (schema == NULL) {
        return NULL;
    }

    schema->json = json;
    schema->never = json_is_false(json);
    schema->next = c->schemas;
    c->schemas = schema;

    schema->max_length = -1;
    schema->min_length = -1;
    schema->max_items = -1;
    schema->min_items = -1;
    schema->max_contains = -1;
    schema->min_contains = -1;
    schema->max_properties = -1;
    schema->min_properties = -1;

    return schema;
}


ngx_int_t
ngx_zapier_schema_wrong(ngx_zapier_schema_compile_t *c,
    ngx_zapier_schema_path_t *path, const char *why)
{
    u_char     *p;
    ngx_str_t   pointer;

    if (c->why->len != 0
        || ngx_zapier_schema_pointer(c->pool, path, &pointer) != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(c->pool, pointer.len + 2 + ngx_strlen(why));

    if (p != NULL) {
        c->why->data = p;
        p = ngx_cpymem(p, pointer.data, pointer.len);

        if (pointer.len != 0) {
            p = ngx_cpymem(p, ": ", 2);
        }

        p = ngx_cpymem(p, why, ngx_strlen(why));
        c->why->len = p - c->why->data;
    }

    return NGX_ERROR;
}
