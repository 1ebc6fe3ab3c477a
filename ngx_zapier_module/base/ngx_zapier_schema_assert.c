
/*
 * What a schema says of a value by itself.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_schema_private.h>


static ngx_uint_t ngx_zapier_schema_assert_number(
    ngx_zapier_schema_run_t *run, ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path);
static ngx_uint_t ngx_zapier_schema_assert_string(
    ngx_zapier_schema_run_t *run, ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path);
static ngx_uint_t ngx_zapier_schema_assert_array(
    ngx_zapier_schema_run_t *run, ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path);
static ngx_uint_t ngx_zapier_schema_assert_object(
    ngx_zapier_schema_run_t *run, ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path);
static ngx_uint_t ngx_zapier_schema_present(ngx_zapier_schema_run_t *run,
    json_t *names, json_t *value, ngx_zapier_schema_path_t *path,
    const char *keyword);
static ngx_uint_t ngx_zapier_schema_one_of(json_t *values, json_t *value);


ngx_uint_t
ngx_zapier_schema_assert(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path)
{
    ngx_uint_t  good;

    good = 1;

    if (schema->types != 0
        && !(schema->types & ngx_zapier_schema_type(json_typeof(value)))
        && !((schema->types & NGX_ZAPIER_SCHEMA_INTEGER)
             && ngx_zapier_schema_integer(value)))
    {
        good = ngx_zapier_schema_tell(run, path, "type",
                                      "This has the wrong type.");
    }

    if (schema->enumeration != NULL
        && !ngx_zapier_schema_one_of(schema->enumeration, value))
    {
        good = ngx_zapier_schema_tell(run, path, "enum",
                                      "This is none of the values that are "
                                      "allowed.");
    }

    if (schema->constant != NULL
        && !ngx_zapier_schema_equal(schema->constant, value))
    {
        good = ngx_zapier_schema_tell(run, path, "const",
                                      "This is not the value that is "
                                      "allowed.");
    }

    switch (json_typeof(value)) {

    case JSON_INTEGER:
    case JSON_REAL:
        return ngx_zapier_schema_assert_number(run, schema, value, path)
               && good;

    case JSON_STRING:
        return ngx_zapier_schema_assert_string(run, schema, value, path)
               && good;

    case JSON_ARRAY:
        return ngx_zapier_schema_assert_array(run, schema, value, path)
               && good;

    case JSON_OBJECT:
        return ngx_zapier_schema_assert_object(run, schema, value, path)
               && good;

    default:
        return good;
    }
}


static ngx_uint_t
ngx_zapier_schema_assert_number(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path)
{
    ngx_uint_t  good;

    good = 1;

    if (schema->maximum != NULL
        && ngx_zapier_schema_compare(value, schema->maximum) > 0)
    {
        good = ngx_zapier_schema_tell(run, path, "maximum",
                                      "This is too large.");
    }

    if (schema->exclusive_maximum != NULL
        && ngx_zapier_schema_compare(value, schema->exclusive_maximum) >= 0)
    {
        good = ngx_zapier_schema_tell(run, path, "exclusiveMaximum",
                                      "This is too large.");
    }

    if (schema->minimum != NULL
        && ngx_zapier_schema_compare(value, schema->minimum) < 0)
    {
        good = ngx_zapier_schema_tell(run, path, "minimum",
                                      "This is too small.");
    }

    if (schema->exclusive_minimum != NULL
        && ngx_zapier_schema_compare(value, schema->exclusive_minimum) <= 0)
    {
        good = ngx_zapier_schema_tell(run, path, "exclusiveMinimum",
                                      "This is too small.");
    }

    if (schema->multiple_of != NULL
        && !ngx_zapier_schema_multiple(value, schema->multiple_of))
    {
        good = ngx_zapier_schema_tell(run, path, "multipleOf",
                                      "This is not a multiple of what is "
                                      "asked for.");
    }

    return good;
}


static ngx_uint_t
ngx_zapier_schema_assert_string(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path)
{
    ngx_uint_t  good;

    good = 1;

    if (schema->max_length >= 0
        && ngx_zapier_schema_length(value) > schema->max_length)
    {
        good = ngx_zapier_schema_tell(run, path, "maxLength",
                                      "This is too long.");
    }

    if (schema->min_length >= 0
        && ngx_zapier_schema_length(value) < schema->min_length)
    {
        good = ngx_zapier_schema_tell(run, path, "minLength",
                                      "This is too short.");
    }

    if (schema->pattern != NULL
        && !ngx_zapier_schema_match(schema->pattern, json_string_value(value),
                                    json_string_length(value)))
    {
        good = ngx_zapier_schema_tell(run, path, "pattern",
                                      "This has not the form that is asked "
                                      "for.");
    }

    return good;
}


static ngx_uint_t
ngx_zapier_schema_assert_array(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path)
{
    int64_t     n;
    ngx_int_t   unique;
    ngx_uint_t  good;

    good = 1;
    n = (int64_t) json_array_size(value);

    if (schema->max_items >= 0 && n > schema->max_items) {
        good = ngx_zapier_schema_tell(run, path, "maxItems",
                                      "There are too many items.");
    }

    if (schema->min_items >= 0 && n < schema->min_items) {
        good = ngx_zapier_schema_tell(run, path, "minItems",
                                      "There are too few items.");
    }

    if (schema->unique) {
        unique = ngx_zapier_schema_unique(run, value);

        if (unique < 0) {
            return 0;
        }

        if (unique == 0) {
            good = ngx_zapier_schema_tell(run, path, "uniqueItems",
                                          "An item is there twice.");
        }
    }

    return good;
}


static ngx_uint_t
ngx_zapier_schema_assert_object(ngx_zapier_schema_run_t *run,
    ngx_zapier_schema_t *schema, json_t *value,
    ngx_zapier_schema_path_t *path)
{
    int64_t      n;
    json_t      *names;
    ngx_uint_t   good;
    const char  *name;

    good = 1;
    n = (int64_t) json_object_size(value);

    if (schema->max_properties >= 0 && n > schema->max_properties) {
        good = ngx_zapier_schema_tell(run, path, "maxProperties",
                                      "There are too many fields.");
    }

    if (schema->min_properties >= 0 && n < schema->min_properties) {
        good = ngx_zapier_schema_tell(run, path, "minProperties",
                                      "There are too few fields.");
    }

    if (schema->required != NULL
        && !ngx_zapier_schema_present(run, schema->required, value, path,
                                      "required"))
    {
        good = 0;
    }

    json_object_foreach(schema->dependent_required, name, names) {
        if (json_object_get(value, name) != NULL
            && !ngx_zapier_schema_present(run, names, value, path,
                                          "dependentRequired"))
        {
            good = 0;
        }
    }

    return good;
}


/* Each that is missing is told where it would stand. */

static ngx_uint_t
ngx_zapier_schema_present(ngx_zapier_schema_run_t *run, json_t *names,
    json_t *value, ngx_zapier_schema_path_t *path, const char *keyword)
{
    size_t                     i;
    json_t                    *name;
    ngx_uint_t                 good;
    ngx_zapier_schema_path_t   here;

    good = 1;
    here.parent = path;

    json_array_foreach(names, i, name) {
        here.name = json_string_value(name);

        if (json_object_get(value, here.name) == NULL) {
            good = ngx_zapier_schema_tell(run, &here, keyword,
                                          "This field is required.");
        }
    }

    return good;
}


static ngx_uint_t
ngx_zapier_schema_one_of(json_t *values, json_t *value)
{
    size_t   i;
    json_t  *one;

    json_array_foreach(values, i, one) {
        if (ngx_zapier_schema_equal(one, value)) {
            return 1;
        }
    }

    return 0;
}
