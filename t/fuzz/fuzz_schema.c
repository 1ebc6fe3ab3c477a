
/*
 * JSON Schema: a schema, a line feed, a value.  Whatever they are, there is
 * an end, nothing is read that is not there, and a value is valid if and only
 * if there is no fault.
 */


#include <unit.h>
#include <ngx_zapier_schema.h>


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t               *schema, *value;
    ngx_int_t             rc;
    ngx_str_t             why;
    const char           *text, *end;
    ngx_pool_t           *pool;
    ngx_array_t           faults;
    ngx_zapier_schema_t  *compiled;

    text = (const char *) data;
    end = size ? memchr(text, '\n', size) : NULL;

    if (end == NULL) {
        return 0;
    }

    schema = json_loadb(text, end - text, JSON_DECODE_ANY, NULL);
    value = json_loadb(end + 1, text + size - end - 1, JSON_DECODE_ANY, NULL);

    if (schema != NULL && value != NULL) {
        pool = ngx_create_pool(4096, NULL);

        compiled = ngx_zapier_schema_compile(pool, schema, &why);

        if (compiled == NULL && why.len == 0) {
            abort();
        }

        if (compiled != NULL) {
            (void) ngx_array_init(&faults, pool, 4,
                                  sizeof(ngx_zapier_schema_fault_t));

            rc = ngx_zapier_schema_check(compiled, value, pool, &faults);

            if (rc == NGX_ERROR || (rc == NGX_OK) != (faults.nelts == 0)) {
                abort();
            }
        }

        ngx_destroy_pool(pool);
    }

    json_decref(schema);
    json_decref(value);

    return 0;
}
