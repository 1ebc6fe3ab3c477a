
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_jansson.h>
#include <ngx_zapier_wipe.h>


/* before each block, its length; as aligned as blocks are */
#define NGX_ZAPIER_JANSSON_HEADER  16


static void ngx_zapier_jansson_begin(void);
static void ngx_zapier_jansson_end(void);
static void *ngx_zapier_jansson_malloc(size_t size);
static void ngx_zapier_jansson_release(void *p);


/* everybody else's, between begin() and end() */
static json_malloc_t  ngx_zapier_jansson_m;
static json_free_t    ngx_zapier_jansson_f;


json_t *
ngx_zapier_jansson_load(ngx_str_t *text, size_t flags, json_error_t *error)
{
    json_t  *json;

    ngx_zapier_jansson_begin();

    json = json_loadb((char *) text->data, text->len, flags, error);

    ngx_zapier_jansson_end();

    return json;
}


void
ngx_zapier_jansson_free(json_t *json)
{
    ngx_zapier_jansson_begin();

    json_decref(json);

    ngx_zapier_jansson_end();
}


static void
ngx_zapier_jansson_begin(void)
{
    json_get_alloc_funcs(&ngx_zapier_jansson_m, &ngx_zapier_jansson_f);

    json_set_alloc_funcs(ngx_zapier_jansson_malloc,
                         ngx_zapier_jansson_release);
}


static void
ngx_zapier_jansson_end(void)
{
    json_set_alloc_funcs(ngx_zapier_jansson_m, ngx_zapier_jansson_f);
}


static void *
ngx_zapier_jansson_malloc(size_t size)
{
    u_char  *p;

    if (size > NGX_MAX_SIZE_T_VALUE - NGX_ZAPIER_JANSSON_HEADER) {
        return NULL;
    }

    p = ngx_zapier_jansson_m(NGX_ZAPIER_JANSSON_HEADER + size);
    if (p == NULL) {
        return NULL;
    }

    *(size_t *) p = size;

    return p + NGX_ZAPIER_JANSSON_HEADER;
}


static void
ngx_zapier_jansson_release(void *p)
{
    u_char  *start;

    if (p == NULL) {
        return;
    }

    start = (u_char *) p - NGX_ZAPIER_JANSSON_HEADER;

    ngx_zapier_wipe(p, *(size_t *) start);

    ngx_zapier_jansson_f(start);
}
