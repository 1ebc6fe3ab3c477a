
/*
 * What base/ needs of nginx's regular expressions.
 */


#include <ngx_config.h>
#include <ngx_core.h>


static void
release(void *data)
{
    pcre2_code_free(data);
}


ngx_int_t
ngx_regex_compile(ngx_regex_compile_t *rc)
{
    int                  error;
    size_t               offset;
    ngx_pool_cleanup_t  *cln;

    rc->regex = pcre2_compile(rc->pattern.data, rc->pattern.len, 0, &error,
                              &offset, NULL);
    if (rc->regex == NULL) {
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(rc->pool, 0);
    cln->handler = release;
    cln->data = rc->regex;

    return NGX_OK;
}


ngx_int_t
ngx_regex_exec(ngx_regex_t *re, ngx_str_t *s, int *captures, ngx_uint_t size)
{
    int                n;
    pcre2_match_data  *data;

    (void) captures;
    (void) size;

    data = pcre2_match_data_create(1, NULL);
    n = pcre2_match(re, s->data, s->len, 0, 0, data, NULL);
    pcre2_match_data_free(data);

    return n;
}
