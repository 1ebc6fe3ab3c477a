
/*
 * Questions to single values.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <math.h>
#include <ngx_zapier_schema_private.h>


typedef struct {
    uint64_t                   hash;
    json_t                    *value;
} ngx_zapier_schema_item_t;


static uint64_t ngx_zapier_schema_hash(json_t *value, ngx_uint_t depth);
static uint64_t ngx_zapier_schema_hash_text(const char *text, size_t len);
static int ngx_libc_cdecl ngx_zapier_schema_by_hash(const void *one,
    const void *two);


int
ngx_zapier_schema_compare(json_t *one, json_t *two)
{
    double      a, b;
    json_int_t  n, m;

    if (json_is_integer(one) && json_is_integer(two)) {
        n = json_integer_value(one);
        m = json_integer_value(two);

        return (n < m) ? -1 : (n > m);
    }

    a = json_number_value(one);
    b = json_number_value(two);

    return (a < b) ? -1 : (a > b);
}


ngx_uint_t
ngx_zapier_schema_integer(json_t *value)
{
    return json_is_integer(value)
           || (json_is_real(value)
               && floor(json_real_value(value)) == json_real_value(value));
}


/* Decimals have no exact value: 19.99 is a multiple of 0.01 all the same. */

ngx_uint_t
ngx_zapier_schema_multiple(json_t *value, json_t *of)
{
    double  n, nearest;

    if (json_is_integer(value) && json_is_integer(of)) {
        return json_integer_value(value) % json_integer_value(of) == 0;
    }

    n = json_number_value(value) / json_number_value(of);

    if (!isfinite(n)) {
        return fmod(json_number_value(value), json_number_value(of)) == 0;
    }

    nearest = nearbyint(n);

    return fabs(n - nearest) <= 1e-12 * fmax(fabs(n), 1000);
}


/* characters, not bytes */

int64_t
ngx_zapier_schema_length(json_t *value)
{
    size_t       i, len;
    int64_t      n;
    const char  *text;

    text = json_string_value(value);
    len = json_string_length(value);
    n = 0;

    for (i = 0; i < len; i++) {
        n += ((text[i] & 0xc0) != 0x80);
    }

    return n;
}


ngx_uint_t
ngx_zapier_schema_equal(json_t *one, json_t *two)
{
    size_t       i;
    json_t      *value;
    const char  *name;

    if (json_is_number(one) && json_is_number(two)) {
        return ngx_zapier_schema_compare(one, two) == 0;
    }

    if (json_typeof(one) != json_typeof(two)) {
        return 0;
    }

    switch (json_typeof(one)) {

    case JSON_STRING:
        return json_string_length(one) == json_string_length(two)
               && ngx_memcmp(json_string_value(one), json_string_value(two),
                             json_string_length(one))
                  == 0;

    case JSON_ARRAY:

        if (json_array_size(one) != json_array_size(two)) {
            return 0;
        }

        json_array_foreach(one, i, value) {
            if (!ngx_zapier_schema_equal(value, json_array_get(two, i))) {
                return 0;
            }
        }

        return 1;

    case JSON_OBJECT:

        if (json_object_size(one) != json_object_size(two)) {
            return 0;
        }

        json_object_foreach(one, name, value) {
            if (json_object_get(two, name) == NULL
                || !ngx_zapier_schema_equal(value,
                                            json_object_get(two, name)))
            {
                return 0;
            }
        }

        return 1;

    default:
        return 1;
    }
}


/* Those that may be equal are neighbours by their hashes. */

ngx_int_t
ngx_zapier_schema_unique(ngx_zapier_schema_run_t *run, json_t *array)
{
    size_t                     i, k, n;
    json_t                    *value;
    ngx_zapier_schema_item_t  *items;

    n = json_array_size(array);

    if (n < 2) {
        return 1;
    }

    items = ngx_zapier_schema_scratch(run,
                                      n * sizeof(ngx_zapier_schema_item_t));
    if (items == NULL) {
        return -1;
    }

    json_array_foreach(array, i, value) {
        items[i].value = value;
        items[i].hash = ngx_zapier_schema_hash(value, 0);
    }

    ngx_qsort(items, n, sizeof(ngx_zapier_schema_item_t),
              ngx_zapier_schema_by_hash);

    for (i = 0; i < n; i++) {
        for (k = i + 1; k < n && items[k].hash == items[i].hash; k++) {
            if (ngx_zapier_schema_equal(items[i].value, items[k].value)) {
                return 0;
            }
        }
    }

    return 1;
}


static int ngx_libc_cdecl
ngx_zapier_schema_by_hash(const void *one, const void *two)
{
    const ngx_zapier_schema_item_t  *a = one;
    const ngx_zapier_schema_item_t  *b = two;

    return (a->hash < b->hash) ? -1 : (a->hash > b->hash);
}


static uint64_t
ngx_zapier_schema_hash(json_t *value, ngx_uint_t depth)
{
    size_t       i;
    double       n;
    json_t      *member;
    uint64_t     hash;
    const char  *name;

    hash = json_typeof(value) + 1;

    if (depth == 8) {
        return hash;
    }

    switch (json_typeof(value)) {

    case JSON_STRING:
        return ngx_zapier_schema_hash_text(json_string_value(value),
                                           json_string_length(value));

    case JSON_INTEGER:
    case JSON_REAL:
        n = json_number_value(value) + 0.0;
        return ngx_zapier_schema_hash_text((const char *) &n, sizeof(n));

    case JSON_ARRAY:

        json_array_foreach(value, i, member) {
            hash = hash * 31 + ngx_zapier_schema_hash(member, depth + 1);
        }

        return hash;

    case JSON_OBJECT:

        /* in any order */

        json_object_foreach(value, name, member) {
            hash += ngx_zapier_schema_hash_text(name, ngx_strlen(name))
                    * (2 * ngx_zapier_schema_hash(member, depth + 1) + 1);
        }

        return hash;

    default:
        return hash;
    }
}


static uint64_t
ngx_zapier_schema_hash_text(const char *text, size_t len)
{
    uint64_t  hash;

    for (hash = 14695981039346656037ULL; len; len--) {
        hash = (hash ^ (u_char) *text++) * 1099511628211ULL;
    }

    return hash;
}
