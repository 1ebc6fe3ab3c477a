
/*
 * Values by schemas: the keywords that apply other schemas.
 *
 * What was evaluated of an array or object is noted as a byte for each item
 * or member: unevaluatedItems and unevaluatedProperties are for the rest.  A
 * schema that does not hold has evaluated nothing.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_schema_private.h>


static ngx_uint_t ngx_zapier_schema_apply(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path, u_char *seen);
static ngx_uint_t ngx_zapier_schema_holds(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path, u_char *seen, ngx_uint_t quiet);
static ngx_uint_t ngx_zapier_schema_in_place(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path, u_char *seen);
static ngx_uint_t ngx_zapier_schema_some(ngx_zapier_schema_run_t *run,
    ngx_array_t *schemas, json_t *value, ngx_zapier_schema_path_t *path,
    u_char *seen);
static ngx_uint_t ngx_zapier_schema_array(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path, u_char *seen);
static ngx_uint_t ngx_zapier_schema_contains(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path, u_char *seen);
static ngx_uint_t ngx_zapier_schema_object(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path, u_char *seen);
static ngx_uint_t ngx_zapier_schema_property(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path, u_char *seen);
static ngx_uint_t ngx_zapier_schema_rest(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path, u_char *seen);
static size_t ngx_zapier_schema_size(json_t *value);


ngx_int_t
ngx_zapier_schema_check(ngx_zapier_schema_t *schema, json_t *value,
    ngx_pool_t *pool, ngx_array_t *faults)
{
    ngx_uint_t               good;
    ngx_zapier_schema_run_t  run;

    ngx_memzero(&run, sizeof(ngx_zapier_schema_run_t));

    run.pool = pool;
    run.faults = faults;

    good = ngx_zapier_schema_holds(&run, schema, value, NULL, NULL, 0);

    if (run.exhausted && !run.failed) {

        /* whatever else was found, it may be for that */

        run.quiet = 0;
        faults->nelts = 0;

        good = ngx_zapier_schema_tell(&run, NULL, "$ref",
                                      "This is nested too deeply, or takes "
                                      "too long to be checked.");
    }

    if (run.failed) {
        return NGX_ERROR;
    }

    return good ? NGX_OK : NGX_DECLINED;
}


ngx_uint_t
ngx_zapier_schema_tell(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_path_t *path, const char *keyword, const char *detail)
{
    ngx_zapier_schema_fault_t  *fault;

    if (run->quiet || run->faults->nelts == NGX_ZAPIER_SCHEMA_FAULTS) {
        return 0;
    }

    fault = ngx_array_push(run->faults);

    if (fault == NULL
        || ngx_zapier_schema_pointer(run->pool, path, &fault->pointer)
           != NGX_OK)
    {
        run->failed = 1;
        return 0;
    }

    fault->keyword.data = (u_char *) keyword;
    fault->keyword.len = ngx_strlen(keyword);
    fault->detail.data = (u_char *) detail;
    fault->detail.len = ngx_strlen(detail);

    return 0;
}


ngx_int_t
ngx_zapier_schema_pointer(ngx_pool_t *pool, ngx_zapier_schema_path_t *path,
    ngx_str_t *pointer)
{
    size_t                     size;
    u_char                    *p, *end, number[NGX_SIZE_T_LEN];
    const char                *name, *c;
    ngx_zapier_schema_path_t  *step;

    size = 1;

    for (step = path; step; step = step->parent) {
        size += 1 + (step->name ? 2 * ngx_strlen(step->name)
                                : NGX_SIZE_T_LEN);
    }

    p = ngx_pnalloc(pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    /* from the end to the beginning */

    end = p + size;
    p = end;

    for (step = path; step; step = step->parent) {

        if (step->name == NULL) {
            size = ngx_sprintf(number, "%uz", step->index) - number;
            p -= size;
            ngx_memcpy(p, number, size);
            *--p = '/';
            continue;
        }

        name = step->name;

        for (c = name + ngx_strlen(name); c > name; /* void */) {
            c--;

            if (*c == '~' || *c == '/') {
                *--p = (*c == '~') ? '0' : '1';
                *--p = '~';
                continue;
            }

            *--p = *c;
        }

        *--p = '/';
    }

    pointer->data = p;
    pointer->len = end - p;

    return NGX_OK;
}


/* On its own account: what it has evaluated counts if it holds. */

static ngx_uint_t
ngx_zapier_schema_holds(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path, u_char *seen, ngx_uint_t quiet)
{
    size_t       i, n;
    u_char      *own;
    ngx_uint_t   good;

    if (run->failed) {
        return 0;
    }

    if (run->depth == NGX_ZAPIER_SCHEMA_DEPTH
        || run->steps >= NGX_ZAPIER_SCHEMA_STEPS)
    {
        run->exhausted = 1;
        return 0;
    }

    n = ngx_zapier_schema_size(value);

    run->steps += 1 + n / NGX_ZAPIER_SCHEMA_STEP;

    own = ngx_zapier_schema_scratch(run, n);

    if (own == NULL) {
        return 0;
    }

    ngx_memzero(own, n);

    run->depth++;
    run->quiet += quiet;

    good = ngx_zapier_schema_apply(run, schema, value, path, own);

    run->quiet -= quiet;
    run->depth--;

    for (i = 0; good && seen != NULL && i < n; i++) {
        seen[i] |= own[i];
    }

    return good;
}


static ngx_uint_t
ngx_zapier_schema_apply(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path, u_char *seen)
{
    ngx_uint_t  good;

    if (schema->never) {
        return ngx_zapier_schema_tell(run, path, "false",
                                      "This must not be there.");
    }

    good = ngx_zapier_schema_assert(run, schema, value, path);

    if (!ngx_zapier_schema_in_place(run, schema, value, path, seen)) {
        good = 0;
    }

    if (json_is_array(value)
        && !ngx_zapier_schema_array(run, schema, value, path, seen))
    {
        good = 0;
    }

    if (json_is_object(value)
        && !ngx_zapier_schema_object(run, schema, value, path, seen))
    {
        good = 0;
    }

    return ngx_zapier_schema_rest(run, schema, value, path, seen) && good;
}


/* The keywords that are about the value itself. */

static ngx_uint_t
ngx_zapier_schema_in_place(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path, u_char *seen)
{
    ngx_uint_t             i, good;
    ngx_zapier_schema_t  **all, *branch;

    good = 1;

    if (schema->ref != NULL
        && !ngx_zapier_schema_holds(run, schema->ref, value, path, seen, 0))
    {
        good = 0;
    }

    all = schema->all_of ? schema->all_of->elts : NULL;

    for (i = 0; all != NULL && i < schema->all_of->nelts; i++) {
        if (!ngx_zapier_schema_holds(run, all[i], value, path, seen, 0)) {
            good = 0;
        }
    }

    if (schema->any_of != NULL
        && ngx_zapier_schema_some(run, schema->any_of, value, path, seen) == 0)
    {
        good = ngx_zapier_schema_tell(run, path, "anyOf",
                                      "This has none of the forms that are "
                                      "allowed.");
    }

    if (schema->one_of != NULL
        && ngx_zapier_schema_some(run, schema->one_of, value, path, seen) != 1)
    {
        good = ngx_zapier_schema_tell(run, path, "oneOf",
                                      "This has not exactly one of the forms "
                                      "that are allowed.");
    }

    if (schema->negated != NULL
        && ngx_zapier_schema_holds(run, schema->negated, value, path, NULL, 1))
    {
        good = ngx_zapier_schema_tell(run, path, "not",
                                      "This has a form that is not allowed.");
    }

    if (schema->if_schema != NULL) {
        branch = ngx_zapier_schema_holds(run, schema->if_schema, value, path,
                                         seen, 1)
                 ? schema->then_schema : schema->else_schema;

        if (branch != NULL
            && !ngx_zapier_schema_holds(run, branch, value, path, seen, 0))
        {
            good = 0;
        }
    }

    return good;
}


/* How many of them hold. */

static ngx_uint_t
ngx_zapier_schema_some(ngx_zapier_schema_run_t *run, ngx_array_t *schemas,
    json_t *value, ngx_zapier_schema_path_t *path, u_char *seen)
{
    ngx_uint_t             i, n;
    ngx_zapier_schema_t  **schema;

    n = 0;
    schema = schemas->elts;

    for (i = 0; i < schemas->nelts; i++) {
        n += ngx_zapier_schema_holds(run, schema[i], value, path, seen, 1);
    }

    return n;
}


static ngx_uint_t
ngx_zapier_schema_array(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path, u_char *seen)
{
    size_t                     prefix;
    json_t                    *item;
    ngx_uint_t                 good;
    ngx_zapier_schema_t       *by;
    ngx_zapier_schema_path_t   here;

    good = 1;
    prefix = schema->prefix_items ? schema->prefix_items->nelts : 0;

    here.parent = path;
    here.name = NULL;

    json_array_foreach(value, here.index, item) {

        by = (here.index < prefix)
             ? ((ngx_zapier_schema_t **)
                schema->prefix_items->elts)[here.index]
             : schema->items;

        if (by == NULL) {
            break;
        }

        seen[here.index] = 1;

        if (!ngx_zapier_schema_holds(run, by, item, &here, NULL, 0)) {
            good = 0;
        }
    }

    if (schema->contains != NULL
        && !ngx_zapier_schema_contains(run, schema, value, path, seen))
    {
        good = 0;
    }

    return good;
}


static ngx_uint_t
ngx_zapier_schema_contains(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path, u_char *seen)
{
    json_t                    *item;
    int64_t                    n, least;
    ngx_zapier_schema_path_t   here;

    n = 0;
    least = (schema->min_contains >= 0) ? schema->min_contains : 1;

    here.parent = path;
    here.name = NULL;

    json_array_foreach(value, here.index, item) {
        if (ngx_zapier_schema_holds(run, schema->contains, item, &here, NULL,
                                    1))
        {
            seen[here.index] = 1;
            n++;
        }
    }

    if (n < least) {
        return ngx_zapier_schema_tell(run, path, "contains",
                                      "An item is missing that is asked for.");
    }

    if (schema->max_contains >= 0 && n > schema->max_contains) {
        return ngx_zapier_schema_tell(run, path, "maxContains",
                                      "There are too many items of a kind.");
    }

    return 1;
}


static ngx_uint_t
ngx_zapier_schema_object(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path, u_char *seen)
{
    json_t                      *item, *name;
    ngx_uint_t                   i, n, good;
    ngx_zapier_schema_path_t     here;
    ngx_zapier_schema_member_t  *member;

    n = 0;
    good = 1;
    here.parent = path;

    json_object_foreach(value, here.name, item) {

        if (!ngx_zapier_schema_property(run, schema, item, &here, &seen[n++]))
        {
            good = 0;
        }

        if (schema->names == NULL) {
            continue;
        }

        name = json_string(here.name);

        if (name == NULL) {
            run->failed = 1;
            return 0;
        }

        if (!ngx_zapier_schema_holds(run, schema->names, name, &here, NULL, 1))
        {
            good = ngx_zapier_schema_tell(run, &here, "propertyNames",
                                          "There must be no field of this "
                                          "name.");
        }

        json_decref(name);
    }

    member = schema->dependents ? schema->dependents->elts : NULL;

    for (i = 0; member != NULL && i < schema->dependents->nelts; i++) {
        if (json_object_get(value, (const char *) member[i].name.data) != NULL
            && !ngx_zapier_schema_holds(run, member[i].schema, value, path,
                                        seen, 0))
        {
            good = 0;
        }
    }

    return good;
}


static ngx_uint_t
ngx_zapier_schema_property(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path, u_char *seen)
{
    size_t                       len;
    ngx_uint_t                   i, good, known;
    ngx_zapier_schema_member_t  *member;

    good = 1;
    known = 0;
    len = ngx_strlen(path->name);

    member = schema->properties ? schema->properties->elts : NULL;

    for (i = 0; member != NULL && i < schema->properties->nelts; i++) {

        if (member[i].name.len != len
            || ngx_memcmp(member[i].name.data, path->name, len) != 0)
        {
            continue;
        }

        known = 1;

        if (!ngx_zapier_schema_holds(run, member[i].schema, value, path, NULL,
                                     0))
        {
            good = 0;
        }
    }

    member = schema->patterns ? schema->patterns->elts : NULL;

    for (i = 0; member != NULL && i < schema->patterns->nelts; i++) {

        if (!ngx_zapier_schema_match(member[i].regex, path->name, len)) {
            continue;
        }

        known = 1;

        if (!ngx_zapier_schema_holds(run, member[i].schema, value, path, NULL,
                                     0))
        {
            good = 0;
        }
    }

    if (!known && schema->additional != NULL) {
        known = 1;

        if (!ngx_zapier_schema_holds(run, schema->additional, value, path,
                                     NULL, 0))
        {
            good = 0;
        }
    }

    *seen |= known;

    return good;
}


/* What no other keyword has evaluated. */

static ngx_uint_t
ngx_zapier_schema_rest(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path, u_char *seen)
{
    json_t                    *item;
    ngx_uint_t                 good;
    ngx_zapier_schema_path_t   here;

    good = 1;
    here.parent = path;

    if (json_is_array(value) && schema->unevaluated_items != NULL) {
        here.name = NULL;

        json_array_foreach(value, here.index, item) {
            if (!*seen
                && !ngx_zapier_schema_holds(run, schema->unevaluated_items,
                                            item, &here, NULL, 0))
            {
                good = 0;
            }

            *seen++ = 1;
        }
    }

    if (json_is_object(value) && schema->unevaluated_properties != NULL) {

        json_object_foreach(value, here.name, item) {
            if (!*seen
                && !ngx_zapier_schema_holds(run,
                                            schema->unevaluated_properties,
                                            item, &here, NULL, 0))
            {
                good = 0;
            }

            *seen++ = 1;
        }
    }

    return good;
}


void *
ngx_zapier_schema_scratch(ngx_zapier_schema_run_t *run, size_t size)
{
    ngx_str_t  *scratch;

    scratch = &run->scratch[run->depth];

    if (scratch->data == NULL || scratch->len < size) {
        scratch->len = ngx_max(2 * size, NGX_ZAPIER_SCHEMA_STEP);
        scratch->data = ngx_palloc(run->pool, scratch->len);

        if (scratch->data == NULL) {
            run->failed = 1;
            return NULL;
        }
    }

    return scratch->data;
}


static size_t
ngx_zapier_schema_size(json_t *value)
{
    return json_is_array(value) ? json_array_size(value)
                                : json_object_size(value);
}
