
/*
 * The keywords of a schema, one reader for each kind.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_schema_private.h>


typedef struct {
    const char                *name;
    ngx_int_t                (*read)(ngx_zapier_schema_compile_t *c,
                                     ngx_zapier_schema_t *schema,
                                     json_t *value,
                                     ngx_zapier_schema_path_t *path,
                                     size_t offset);
    size_t                     offset;
} ngx_zapier_schema_keyword_t;


#define ngx_zapier_schema_reader(name)                                       \
    static ngx_int_t ngx_zapier_schema_read_##name(                          \
        ngx_zapier_schema_compile_t *c, ngx_zapier_schema_t *schema,         \
        json_t *value, ngx_zapier_schema_path_t *path, size_t offset)

static ngx_uint_t ngx_zapier_schema_strings(json_t *value);

ngx_zapier_schema_reader(dialect);
ngx_zapier_schema_reader(id);
ngx_zapier_schema_reader(ref);
ngx_zapier_schema_reader(type);
ngx_zapier_schema_reader(json);
ngx_zapier_schema_reader(array);
ngx_zapier_schema_reader(number);
ngx_zapier_schema_reader(positive);
ngx_zapier_schema_reader(count);
ngx_zapier_schema_reader(unique);
ngx_zapier_schema_reader(pattern);
ngx_zapier_schema_reader(names);
ngx_zapier_schema_reader(dependent);
ngx_zapier_schema_reader(schema);
ngx_zapier_schema_reader(schemas);
ngx_zapier_schema_reader(members);
ngx_zapier_schema_reader(patterns);
ngx_zapier_schema_reader(definitions);


#define ngx_zapier_schema_at(member)  offsetof(ngx_zapier_schema_t, member)
#define ngx_zapier_schema_field(schema, offset, type)                        \
    (*(type *) ((u_char *) (schema) + (offset)))


static ngx_zapier_schema_keyword_t  ngx_zapier_schema_keywords[] = {

    { "$schema", ngx_zapier_schema_read_dialect, 0 },
    { "$id", ngx_zapier_schema_read_id, 0 },
    { "$ref", ngx_zapier_schema_read_ref, 0 },
    { "$dynamicRef", ngx_zapier_schema_read_ref, 0 },
    { "$defs", ngx_zapier_schema_read_definitions, 0 },

    { "type", ngx_zapier_schema_read_type, 0 },
    { "enum", ngx_zapier_schema_read_array,
      ngx_zapier_schema_at(enumeration) },
    { "const", ngx_zapier_schema_read_json, ngx_zapier_schema_at(constant) },

    { "maximum", ngx_zapier_schema_read_number,
      ngx_zapier_schema_at(maximum) },
    { "minimum", ngx_zapier_schema_read_number,
      ngx_zapier_schema_at(minimum) },
    { "exclusiveMaximum", ngx_zapier_schema_read_number,
      ngx_zapier_schema_at(exclusive_maximum) },
    { "exclusiveMinimum", ngx_zapier_schema_read_number,
      ngx_zapier_schema_at(exclusive_minimum) },
    { "multipleOf", ngx_zapier_schema_read_positive,
      ngx_zapier_schema_at(multiple_of) },

    { "maxLength", ngx_zapier_schema_read_count,
      ngx_zapier_schema_at(max_length) },
    { "minLength", ngx_zapier_schema_read_count,
      ngx_zapier_schema_at(min_length) },
    { "pattern", ngx_zapier_schema_read_pattern, 0 },

    { "maxItems", ngx_zapier_schema_read_count,
      ngx_zapier_schema_at(max_items) },
    { "minItems", ngx_zapier_schema_read_count,
      ngx_zapier_schema_at(min_items) },
    { "uniqueItems", ngx_zapier_schema_read_unique, 0 },
    { "maxContains", ngx_zapier_schema_read_count,
      ngx_zapier_schema_at(max_contains) },
    { "minContains", ngx_zapier_schema_read_count,
      ngx_zapier_schema_at(min_contains) },

    { "maxProperties", ngx_zapier_schema_read_count,
      ngx_zapier_schema_at(max_properties) },
    { "minProperties", ngx_zapier_schema_read_count,
      ngx_zapier_schema_at(min_properties) },
    { "required", ngx_zapier_schema_read_names, 0 },
    { "dependentRequired", ngx_zapier_schema_read_dependent, 0 },

    { "allOf", ngx_zapier_schema_read_schemas, ngx_zapier_schema_at(all_of) },
    { "anyOf", ngx_zapier_schema_read_schemas, ngx_zapier_schema_at(any_of) },
    { "oneOf", ngx_zapier_schema_read_schemas, ngx_zapier_schema_at(one_of) },
    { "prefixItems", ngx_zapier_schema_read_schemas,
      ngx_zapier_schema_at(prefix_items) },

    { "not", ngx_zapier_schema_read_schema, ngx_zapier_schema_at(negated) },
    { "if", ngx_zapier_schema_read_schema, ngx_zapier_schema_at(if_schema) },
    { "then", ngx_zapier_schema_read_schema,
      ngx_zapier_schema_at(then_schema) },
    { "else", ngx_zapier_schema_read_schema,
      ngx_zapier_schema_at(else_schema) },
    { "items", ngx_zapier_schema_read_schema, ngx_zapier_schema_at(items) },
    { "contains", ngx_zapier_schema_read_schema,
      ngx_zapier_schema_at(contains) },
    { "additionalProperties", ngx_zapier_schema_read_schema,
      ngx_zapier_schema_at(additional) },
    { "propertyNames", ngx_zapier_schema_read_schema,
      ngx_zapier_schema_at(names) },
    { "unevaluatedItems", ngx_zapier_schema_read_schema,
      ngx_zapier_schema_at(unevaluated_items) },
    { "unevaluatedProperties", ngx_zapier_schema_read_schema,
      ngx_zapier_schema_at(unevaluated_properties) },

    { "properties", ngx_zapier_schema_read_members,
      ngx_zapier_schema_at(properties) },
    { "dependentSchemas", ngx_zapier_schema_read_members,
      ngx_zapier_schema_at(dependents) },
    { "patternProperties", ngx_zapier_schema_read_patterns, 0 },

    { NULL, NULL, 0 }
};


ngx_int_t
ngx_zapier_schema_read(ngx_zapier_schema_compile_t *c,
    ngx_zapier_schema_t *schema, json_t *json, ngx_zapier_schema_path_t *path)
{
    json_t                       *value;
    ngx_int_t                     rc;
    ngx_zapier_schema_path_t      here;
    ngx_zapier_schema_keyword_t  *keyword;

    here.parent = path;

    for (keyword = ngx_zapier_schema_keywords; keyword->name; keyword++) {
        value = json_object_get(json, keyword->name);

        if (value == NULL) {
            continue;
        }

        here.name = keyword->name;

        rc = keyword->read(c, schema, value, &here, keyword->offset);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


ngx_zapier_schema_reader(dialect)
{
    static const char  *known = "https://json-schema.org/draft/2020-12/schema";

    (void) schema;
    (void) offset;

    if (json_is_string(value)
        && ngx_strncmp(json_string_value(value), known, ngx_strlen(known))
           == 0)
    {
        return NGX_OK;
    }

    return ngx_zapier_schema_wrong(c, path, "the only dialect is "
                                   "https://json-schema.org/draft/2020-12/"
                                   "schema");
}


/* A name in the middle would change what references below it mean. */

ngx_zapier_schema_reader(id)
{
    (void) offset;

    if (!json_is_string(value)) {
        return ngx_zapier_schema_wrong(c, path, "a string is needed");
    }

    return (schema->json == c->document)
           ? NGX_OK
           : ngx_zapier_schema_wrong(c, path, "only the whole document can "
                                     "have one");
}


ngx_zapier_schema_reader(ref)
{
    json_t               *target;
    ngx_zapier_schema_t  *ref, **place;
    ngx_array_t          *all;

    (void) offset;

    if (!json_is_string(value)) {
        return ngx_zapier_schema_wrong(c, path, "a string is needed");
    }

    target = ngx_zapier_schema_resolve(c->document, json_string_value(value));

    if (target == NULL) {
        return ngx_zapier_schema_wrong(c, path, "it leads nowhere in this "
                                       "document");
    }

    ref = ngx_zapier_schema_get(c, target, path);

    if (ref == NULL) {
        return NGX_ERROR;
    }

    if (schema->ref == NULL) {
        schema->ref = ref;
        return NGX_OK;
    }

    /* $ref and $dynamicRef: both hold */

    all = ngx_array_create(c->pool, 2, sizeof(ngx_zapier_schema_t *));
    place = all ? ngx_array_push_n(all, 2) : NULL;

    if (place == NULL) {
        return NGX_ERROR;
    }

    place[0] = schema->ref;
    place[1] = ref;

    schema->ref = ngx_zapier_schema_create(c, NULL);
    if (schema->ref == NULL) {
        return NGX_ERROR;
    }

    schema->ref->all_of = all;

    return NGX_OK;
}


ngx_zapier_schema_reader(type)
{
    static const struct {
        const char  *name;
        ngx_uint_t   types;
    } types[] = {
        { "null", ngx_zapier_schema_type(JSON_NULL) },
        { "boolean", ngx_zapier_schema_type(JSON_TRUE)
                     | ngx_zapier_schema_type(JSON_FALSE) },
        { "object", ngx_zapier_schema_type(JSON_OBJECT) },
        { "array", ngx_zapier_schema_type(JSON_ARRAY) },
        { "number", ngx_zapier_schema_type(JSON_INTEGER)
                    | ngx_zapier_schema_type(JSON_REAL) },
        { "string", ngx_zapier_schema_type(JSON_STRING) },
        { "integer", NGX_ZAPIER_SCHEMA_INTEGER },
        { NULL, 0 }
    };

    size_t       i, n;
    json_t      *type;
    ngx_uint_t   k;

    (void) offset;

    n = json_is_array(value) ? json_array_size(value) : 1;

    for (i = 0; i < n; i++) {
        type = json_is_array(value) ? json_array_get(value, i) : value;

        for (k = 0; types[k].name != NULL; k++) {
            if (json_is_string(type)
                && ngx_strcmp(json_string_value(type), types[k].name) == 0)
            {
                schema->types |= types[k].types;
                break;
            }
        }

        if (types[k].name == NULL) {
            break;
        }
    }

    return (i == n && n != 0)
           ? NGX_OK
           : ngx_zapier_schema_wrong(c, path, "a type or an array of types "
                                     "is needed");
}


ngx_zapier_schema_reader(json)
{
    (void) c;
    (void) path;

    ngx_zapier_schema_field(schema, offset, json_t *) = value;

    return NGX_OK;
}


ngx_zapier_schema_reader(array)
{
    ngx_zapier_schema_field(schema, offset, json_t *) = value;

    return json_is_array(value)
           ? NGX_OK : ngx_zapier_schema_wrong(c, path, "an array is needed");
}


ngx_zapier_schema_reader(number)
{
    ngx_zapier_schema_field(schema, offset, json_t *) = value;

    return json_is_number(value)
           ? NGX_OK : ngx_zapier_schema_wrong(c, path, "a number is needed");
}


ngx_zapier_schema_reader(positive)
{
    ngx_zapier_schema_field(schema, offset, json_t *) = value;

    return (json_is_number(value) && json_number_value(value) > 0)
           ? NGX_OK
           : ngx_zapier_schema_wrong(c, path, "a number greater than 0 is "
                                     "needed");
}


ngx_zapier_schema_reader(count)
{
    if (!json_is_number(value)
        || !ngx_zapier_schema_integer(value)
        || json_number_value(value) < 0
        || json_number_value(value) > 9007199254740992.0)
    {
        return ngx_zapier_schema_wrong(c, path, "a whole number of at least 0 "
                                       "is needed");
    }

    ngx_zapier_schema_field(schema, offset, int64_t) =
                                            (int64_t) json_number_value(value);

    return NGX_OK;
}


ngx_zapier_schema_reader(unique)
{
    (void) offset;

    schema->unique = json_is_true(value);

    return json_is_boolean(value)
           ? NGX_OK
           : ngx_zapier_schema_wrong(c, path, "true or false is needed");
}


ngx_zapier_schema_reader(pattern)
{
    (void) offset;

    if (json_is_string(value)) {
        schema->pattern = ngx_zapier_schema_regex(c->pool,
                                                  json_string_value(value),
                                                  json_string_length(value));
    }

    return schema->pattern
           ? NGX_OK
           : ngx_zapier_schema_wrong(c, path, "a regular expression is "
                                     "needed");
}


static ngx_uint_t
ngx_zapier_schema_strings(json_t *value)
{
    size_t   i;
    json_t  *name;

    if (!json_is_array(value)) {
        return 0;
    }

    json_array_foreach(value, i, name) {
        if (!json_is_string(name)) {
            return 0;
        }
    }

    return 1;
}


ngx_zapier_schema_reader(names)
{
    (void) offset;

    schema->required = value;

    return ngx_zapier_schema_strings(value)
           ? NGX_OK
           : ngx_zapier_schema_wrong(c, path, "an array of strings is needed");
}


ngx_zapier_schema_reader(dependent)
{
    json_t      *names;
    ngx_uint_t   good;
    const char  *name;

    (void) offset;

    schema->dependent_required = value;

    good = json_is_object(value);

    json_object_foreach(value, name, names) {
        good &= ngx_zapier_schema_strings(names);
    }

    return good ? NGX_OK
                : ngx_zapier_schema_wrong(c, path, "an object of arrays of "
                                          "strings is needed");
}


ngx_zapier_schema_reader(schema)
{
    ngx_zapier_schema_t  *sub;

    sub = ngx_zapier_schema_get(c, value, path);

    ngx_zapier_schema_field(schema, offset, ngx_zapier_schema_t *) = sub;

    return sub ? NGX_OK : NGX_ERROR;
}


ngx_zapier_schema_reader(schemas)
{
    json_t                    *item;
    ngx_array_t               *array;
    ngx_zapier_schema_t      **sub;
    ngx_zapier_schema_path_t   here;

    if (!json_is_array(value) || json_array_size(value) == 0) {
        return ngx_zapier_schema_wrong(c, path, "an array of schemas is "
                                       "needed");
    }

    array = ngx_array_create(c->pool, json_array_size(value),
                             sizeof(ngx_zapier_schema_t *));
    if (array == NULL) {
        return NGX_ERROR;
    }

    here.parent = path;
    here.name = NULL;

    json_array_foreach(value, here.index, item) {
        sub = ngx_array_push(array);
        if (sub == NULL) {
            return NGX_ERROR;
        }

        *sub = ngx_zapier_schema_get(c, item, &here);

        if (*sub == NULL) {
            return NGX_ERROR;
        }
    }

    ngx_zapier_schema_field(schema, offset, ngx_array_t *) = array;

    return NGX_OK;
}


ngx_zapier_schema_reader(members)
{
    json_t                      *item;
    ngx_array_t                 *array;
    ngx_zapier_schema_path_t     here;
    ngx_zapier_schema_member_t  *member;

    if (!json_is_object(value)) {
        return ngx_zapier_schema_wrong(c, path, "an object of schemas is "
                                       "needed");
    }

    array = ngx_array_create(c->pool, json_object_size(value) + 1,
                             sizeof(ngx_zapier_schema_member_t));
    if (array == NULL) {
        return NGX_ERROR;
    }

    here.parent = path;

    json_object_foreach(value, here.name, item) {
        member = ngx_array_push(array);
        if (member == NULL) {
            return NGX_ERROR;
        }

        member->name.data = (u_char *) here.name;
        member->name.len = ngx_strlen(here.name);
        member->regex = NULL;
        member->schema = ngx_zapier_schema_get(c, item, &here);

        if (member->schema == NULL) {
            return NGX_ERROR;
        }
    }

    ngx_zapier_schema_field(schema, offset, ngx_array_t *) = array;

    return NGX_OK;
}


ngx_zapier_schema_reader(patterns)
{
    ngx_int_t                    rc;
    ngx_uint_t                   i;
    ngx_zapier_schema_member_t  *member;

    (void) offset;

    rc = ngx_zapier_schema_read_members(c, schema, value, path,
                                        ngx_zapier_schema_at(patterns));

    if (rc != NGX_OK) {
        return rc;
    }

    member = schema->patterns->elts;

    for (i = 0; i < schema->patterns->nelts; i++) {
        member[i].regex = ngx_zapier_schema_regex(c->pool,
                                            (const char *) member[i].name.data,
                                            member[i].name.len);

        if (member[i].regex == NULL) {
            return ngx_zapier_schema_wrong(c, path, "regular expressions are "
                                           "needed");
        }
    }

    return NGX_OK;
}


/* They must be right, though perhaps nothing refers to them. */

ngx_zapier_schema_reader(definitions)
{
    ngx_zapier_schema_t  unused;

    (void) schema;
    (void) offset;

    return ngx_zapier_schema_read_members(c, &unused, value, path,
                                          ngx_zapier_schema_at(properties));
}
