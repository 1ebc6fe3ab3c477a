
/*
 * JSON Schema: our own cases, and those of the suite that Debian has.  Its
 * newest draft is 7, so what 2020-12 has changed is in our own cases only.
 *
 * JSON_SCHEMA_TESTS is a directory with other tests of that form.
 */


#include <unit.h>
#include <dirent.h>
#include <ngx_zapier_schema.h>


#define SUITE  "/usr/share/json-schema-test-suite/tests/draft7"


/* what says nothing of 2020-12, or needs more than one document */

static const char *const  other_files[] = {
    "additionalItems.json",     /* is called items now */
    "definitions.json",         /* the meta-schema is another document */
    "dependencies.json",        /* is dependentRequired, dependentSchemas */
    "refRemote.json",
    "dynamicRef.json",          /* needs several documents, mostly */
    "vocabulary.json",
    "anchor.json",
    "infinite-loop-detection.json",
    "format.json",
    NULL
};

static const char *const  other_cases[] = {
    "an array of schemas for items",
    "items and subitems",
    "array-form items",
    "uniqueItems with an array of items",
    "uniqueItems with an array of items and additionalItems=false",
    "uniqueItems=false with an array of items",
    "uniqueItems=false with an array of items and additionalItems=false",
    "items with boolean schemas",
    "items with boolean schema (false)",

    /* a reference alone has said all in draft 7 */
    "ref overrides any sibling keywords",
    "$ref prevents a sibling $id from changing the base uri",
    "refs with quote",

    /* references to other documents */
    "remote ref, containing refs itself",
    "Recursive references between schemas",
    "Location-independent identifier",
    "Location-independent identifier with base URI change in subschema",
    "Location-independent identifier with absolute URI",
    "Reference an anchor with a non-relative URI",
    "refs with relative uris and defs",
    "relative refs with absolute uris and defs",
    "$id must be resolved against nearest parent, not just immediate parent",
    "order of evaluation: $id and $ref",
    "order of evaluation: $id and $anchor and $ref",
    "simple URN base URI with $ref via the URN",
    "ref to if",
    "ref to then",
    "ref to else",
    "ref with absolute-path-reference",
    "unevaluatedItems with $dynamicRef",
    "unevaluatedProperties with $dynamicRef",
    "relative pointer ref to array",
    "order of evaluation: $id and $ref on nested schema",
    "URN ref with nested pointer ref",
    "validate definition against metaschema",

    /* \\p{Letter}: PCRE has the short names only */
    "patternProperties with Unicode property escape",
    "pattern with Unicode property escape requires unicode mode",

    "strict-tree schema, guards against misspelled properties",
    "tests for implementation dynamic anchor and reference link",
    "$ref and $dynamicAnchor are independent of order - $defs first",
    "$ref and $dynamicAnchor are independent of order - $ref first",
    "$ref to $dynamicRef finds detached $dynamicAnchor",
    NULL
};


static ngx_uint_t  ncases, npassed_over;


static int
listed(const char *const *list, const char *name)
{
    for ( /* void */ ; *list; list++) {
        if (ngx_strcmp(*list, name) == 0) {
            return 1;
        }
    }

    return 0;
}


static void
suite_case(const char *file, json_t *test)
{
    size_t                i;
    json_t               *one, *schema;
    ngx_int_t             rc;
    ngx_str_t             why;
    ngx_pool_t           *pool;
    const char           *name;
    ngx_array_t           faults;
    ngx_zapier_schema_t  *compiled;

    char  text[512];

    name = json_string_value(json_object_get(test, "description"));

    if (listed(other_cases, name)) {
        npassed_over++;
        return;
    }

    pool = ngx_create_pool(4096, NULL);

    schema = json_object_get(test, "schema");
    compiled = ngx_zapier_schema_compile(pool, schema, &why);

    if (compiled == NULL) {
        snprintf(text, sizeof(text), "%s: %s: %.*s", file, name,
                 (int) why.len, (char *) why.data);
        ok(0, text);
        ngx_destroy_pool(pool);
        return;
    }

    json_array_foreach(json_object_get(test, "tests"), i, one) {
        snprintf(text, sizeof(text), "%s: %s: %s", file, name,
                 json_string_value(json_object_get(one, "description")));

        (void) ngx_array_init(&faults, pool, 4,
                              sizeof(ngx_zapier_schema_fault_t));

        rc = ngx_zapier_schema_check(compiled, json_object_get(one, "data"),
                                     pool, &faults);

        is_int(rc, json_is_true(json_object_get(one, "valid"))
                   ? NGX_OK : NGX_DECLINED, text);

        if ((rc == NGX_OK) != (faults.nelts == 0)) {
            ok(0, "faults of what is not valid");
        }

        ncases++;
    }

    ngx_destroy_pool(pool);
}


static void
suite(const char *dir)
{
    DIR            *d;
    size_t          i;
    json_t         *tests, *test;
    struct dirent  *entry;

    char  path[1024];

    d = opendir(dir);

    if (d == NULL) {
        ok(0, "the suite is installed (json-schema-test-suite)");
        return;
    }

    while ((entry = readdir(d)) != NULL) {

        if (strstr(entry->d_name, ".json") == NULL
            || listed(other_files, entry->d_name))
        {
            continue;
        }

        snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);

        tests = json_load_file(path, 0, NULL);

        if (!json_is_array(tests)) {
            diag("%s is not for jansson", path);
            json_decref(tests);
            continue;
        }

        json_array_foreach(tests, i, test) {

            /* the suite tells the dialect by the directory */

            if (json_is_object(json_object_get(test, "schema"))) {
                json_object_del(json_object_get(test, "schema"), "$schema");
            }

            suite_case(entry->d_name, test);
        }

        json_decref(tests);
    }

    closedir(d);
}


/* the first fault as "POINTER KEYWORD", "" if it is valid, or the schema's */

static ngx_str_t *
first(ngx_pool_t *pool, const char *schema, const char *value)
{
    size_t                      len;
    json_t                     *s, *v;
    ngx_str_t                   why;
    ngx_array_t                 faults;
    ngx_zapier_schema_t        *compiled;
    ngx_zapier_schema_fault_t  *fault;

    static u_char     text[256];
    static ngx_str_t  result;

    result.data = text;
    result.len = 0;

    s = json_loads(schema, JSON_DECODE_ANY, NULL);
    v = json_loads(value, JSON_DECODE_ANY, NULL);

    compiled = ngx_zapier_schema_compile(pool, s, &why);

    if (compiled == NULL) {
        len = ngx_min(why.len, sizeof(text));
        ngx_memcpy(text, why.data, len);
        result.len = len;

    } else {
        (void) ngx_array_init(&faults, pool, 4,
                              sizeof(ngx_zapier_schema_fault_t));

        if (ngx_zapier_schema_check(compiled, v, pool, &faults) != NGX_OK) {
            fault = faults.elts;
            result.len = ngx_sprintf(text, "%V %V", &fault[0].pointer,
                                     &fault[0].keyword)
                         - text;
        }
    }

    json_decref(s);
    json_decref(v);

    return &result;
}


static void
own_cases(void)
{
    ngx_uint_t   i;
    ngx_pool_t  *pool;

    static const char *const  cases[][3] = {

        /* faults tell where and why */

        { "{\"properties\":{\"a/b\":{\"items\":{\"type\":\"string\"}}}}",
          "{\"a/b\":[\"x\",1]}", "/a~1b/1 type" },
        { "{\"required\":[\"to\"]}", "{}", "/to required" },
        { "{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"a\":1}",
          "/b dependentRequired" },
        { "{\"propertyNames\":{\"maxLength\":2}}", "{\"abc\":1}",
          "/abc propertyNames" },
        { "{\"additionalProperties\":false}", "{\"x\":1}", "/x false" },
        { "{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"array\"}]}", "1",
          " anyOf" },
        { "{\"if\":{\"required\":[\"a\"]},\"then\":{\"required\":[\"b\"]}}",
          "{\"a\":1}", "/b required" },

        /* what is new since draft 7 */

        { "{\"prefixItems\":[{\"type\":\"string\"}],\"items\":false}",
          "[\"a\"]", "" },
        { "{\"prefixItems\":[{\"type\":\"string\"}],\"items\":false}",
          "[\"a\",1]", "/1 false" },
        { "{\"prefixItems\":[{\"type\":\"string\"}]}", "[1]", "/0 type" },
        { "{\"contains\":{\"const\":1},\"minContains\":2}", "[1,2]",
          " contains" },
        { "{\"contains\":{\"const\":1},\"maxContains\":1}", "[1,1]",
          " maxContains" },
        { "{\"contains\":{\"const\":1},\"minContains\":0}", "[]", "" },
        { "{\"dependentSchemas\":{\"a\":{\"required\":[\"b\"]}}}",
          "{\"a\":1}", "/b required" },
        { "{\"allOf\":[{\"properties\":{\"a\":true}}],"
          "\"unevaluatedProperties\":false}", "{\"a\":1}", "" },
        { "{\"allOf\":[{\"properties\":{\"a\":true}}],"
          "\"unevaluatedProperties\":false}", "{\"a\":1,\"b\":1}",
          "/b false" },
        { "{\"anyOf\":[{\"properties\":{\"a\":{\"const\":1}},"
          "\"required\":[\"a\"]},true],\"unevaluatedProperties\":false}",
          "{\"a\":2}", "/a false" },
        { "{\"prefixItems\":[true],\"unevaluatedItems\":{\"type\":\"null\"}}",
          "[1,2]", "/1 type" },
        { "{\"contains\":{\"const\":1},\"unevaluatedItems\":false}", "[1,2]",
          "/1 false" },
        { "{\"$defs\":{\"n\":{\"$anchor\":\"here\",\"type\":\"null\"}},"
          "\"$ref\":\"#here\"}", "1", " type" },
        { "{\"$defs\":{\"n\":{\"type\":\"null\"}},\"$ref\":\"#/$defs/n\","
          "\"minimum\":2}", "null", "" },
        { "{\"$id\":\"http://x/y\",\"$ref\":\"http://x/y#/$defs/n\","
          "\"$defs\":{\"n\":{\"type\":\"null\"}}}", "1", " type" },
        { "{\"$dynamicAnchor\":\"n\",\"properties\":{\"c\":{\"$dynamicRef\":"
          "\"#n\"}},\"additionalProperties\":false}",
          "{\"c\":{\"c\":{\"d\":1}}}", "/c/c/d false" },

        /* numbers */

        { "{\"multipleOf\":0.01}", "19.99", "" },
        { "{\"multipleOf\":0.01}", "19.995", " multipleOf" },
        { "{\"type\":\"integer\"}", "1.0", "" },
        { "{\"const\":1}", "1.0", "" },
        { "{\"uniqueItems\":true}", "[1,1.0]", " uniqueItems" },
        { "{\"uniqueItems\":true}", "[{\"a\":1,\"b\":2},{\"b\":2,\"a\":1}]",
          " uniqueItems" },
        { "{\"maximum\":9007199254740993}", "9007199254740994", " maximum" },

        /* patterns are not anchored, "$" is the end, \u is known */

        { "{\"pattern\":\"b\"}", "\"abc\"", "" },
        { "{\"pattern\":\"^a$\"}", "\"a\\n\"", " pattern" },
        { "{\"pattern\":\"^[$a]$\"}", "\"$\"", "" },
        { "{\"pattern\":\"^\\\\u00e9$\"}", "\"\\u00e9\"", "" },
        { "{\"pattern\":\"^(a+)+$\"}",
          "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"",
          " pattern" },
        { "{\"maxLength\":1}", "\"\\u00e9\"", "" },

        /* schemas that are none */

        { "[]", "1", "a schema is needed, an object or true or false" },
        { "{\"properties\":{\"a/b\":1}}", "1", "/properties/a~1b: a schema is "
          "needed, an object or true or false" },
        { "{\"maxLength\":\"3\"}", "1", "/maxLength: a whole number of at "
          "least 0 is needed" },
        { "{\"$defs\":{\"a\":{\"type\":\"strin\"}}}", "1", "/$defs/a/type: a "
          "type or an array of types is needed" },
        { "{\"allOf\":[true,{\"pattern\":\"(\"}]}", "1",
          "/allOf/1/pattern: a regular expression is needed" },
        { "{\"$ref\":\"#/$defs/none\"}", "1", "/$ref: it leads nowhere in "
          "this document" },
        { "{\"$ref\":\"http://x/other\"}", "1", "/$ref: it leads nowhere in "
          "this document" },
        { "{\"$schema\":\"http://json-schema.org/draft-07/schema#\"}", "1",
          "/$schema: the only dialect is https://json-schema.org/draft/"
          "2020-12/schema" },
        { "{\"multipleOf\":0}", "1", "/multipleOf: a number greater than 0 is "
          "needed" },
        { "{\"required\":[1]}", "1", "/required: an array of strings is "
          "needed" },
        { "{\"unknown\":1,\"title\":1}", "1", "" },

        /* who never comes to an end */

        { "{\"$ref\":\"#\"}", "1", " $ref" },
        { "{\"allOf\":[{\"$ref\":\"#\"}]}", "1", " $ref" },
        { "{\"allOf\":[{\"$ref\":\"#\"},{\"$ref\":\"#\"}]}", "1", " $ref" },
        { "{\"not\":{\"$ref\":\"#\"}}", "1", " $ref" },

        { NULL, NULL, NULL }
    };

    pool = ngx_create_pool(4096, NULL);

    for (i = 0; cases[i][0] != NULL; i++) {
        is_str(first(pool, cases[i][0], cases[i][1]), cases[i][2],
               cases[i][0]);
    }

    ngx_destroy_pool(pool);
}


/*
 * A check takes 200 000 steps at most; its memory is that of the deepest
 * one, not of all of them.
 */

static void
memory(void)
{
    json_t               *schema, *value;
    ngx_str_t             why;
    ngx_uint_t            i;
    ngx_pool_t           *pool;
    ngx_array_t           faults;
    ngx_zapier_schema_t  *compiled;

    static const char *const  cases[][2] = {
        { "{\"allOf\":[{\"$ref\":\"#\"},{\"$ref\":\"#\"}]}", "{\"a\":1}" },
        { "{\"uniqueItems\":true,\"anyOf\":[{\"$ref\":\"#\"},"
          "{\"$ref\":\"#\"}]}", "[1,2,3]" }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        schema = json_loads(cases[i][0], 0, NULL);
        value = json_loads(cases[i][1], 0, NULL);
        pool = ngx_create_pool(4096, NULL);

        compiled = ngx_zapier_schema_compile(pool, schema, &why);

        (void) ngx_array_init(&faults, pool, 1,
                              sizeof(ngx_zapier_schema_fault_t));

        unit_fail_alloc(2000);

        is_int(ngx_zapier_schema_check(compiled, value, pool, &faults),
               NGX_DECLINED, cases[i][0]);

        unit_fail_alloc(-1);

        ngx_destroy_pool(pool);
        json_decref(value);
        json_decref(schema);
    }
}


int
main(void)
{
    own_cases();
    memory();

    suite(getenv("JSON_SCHEMA_TESTS") ? getenv("JSON_SCHEMA_TESTS") : SUITE);

    diag("%d cases of the suite, %d groups passed over", (int) ncases,
         (int) npassed_over);

    ok(ncases > 300, "the suite was there");

    return done();
}
