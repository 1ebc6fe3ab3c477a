
/*
 * What the upstream says of a run: {"data":{"type":"run",...}}, or the same
 * without the envelope, as its guides have it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_json.h>
#include <ngx_zapier_run.h>


typedef struct {
    ngx_zapier_json_t          json;
    ngx_zapier_run_answer_t   *answer;
    ngx_uint_t                 envelope;   /* there is a "data" */
    ngx_uint_t                 data;       /* inside of it */
    u_char                    *string;     /* that is being read */
} ngx_zapier_run_scan_t;


static void ngx_zapier_run_event(ngx_zapier_run_scan_t *scan, u_char *p);
static void ngx_zapier_run_object(ngx_zapier_run_scan_t *scan, u_char *p);
static void ngx_zapier_run_string(ngx_zapier_run_scan_t *scan, u_char *p);
static ngx_uint_t ngx_zapier_run_key(ngx_zapier_json_t *json,
    const char *name);


#define ngx_zapier_run_is(text, name)                                        \
    ((text)->len == sizeof(name) - 1                                         \
     && ngx_strncasecmp((text)->data, (u_char *) name, sizeof(name) - 1)     \
        == 0)


ngx_int_t
ngx_zapier_run_id(ngx_str_t *text)
{
    size_t  i;
    u_char  ch;

    if (text->len == 0 || text->len > NGX_ZAPIER_RUN_ID_LEN) {
        return NGX_DECLINED;
    }

    for (i = 0; i < text->len; i++) {
        ch = text->data[i];

        if ((ch >= 'a' && ch <= 'z')
            || (ch >= 'A' && ch <= 'Z')
            || (ch >= '0' && ch <= '9')
            || ch == '-' || ch == '_' || ch == ':' || ch == '~')
        {
            continue;
        }

        /* but neither "." nor ".." */

        if (ch == '.' && i != 0) {
            continue;
        }

        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_zapier_run_parse(ngx_str_t *text, ngx_zapier_run_answer_t *answer)
{
    u_char                 *p, *last;
    ngx_int_t               rc;
    ngx_zapier_run_scan_t   scan;

    ngx_memzero(answer, sizeof(ngx_zapier_run_answer_t));

    answer->state = NGX_ZAPIER_RUN_PENDING;

    scan.answer = answer;
    scan.envelope = 0;
    scan.data = 0;
    scan.string = NULL;

    ngx_zapier_json_init(&scan.json, 2);

    p = text->data;
    last = text->data + text->len;

    for ( ;; ) {
        rc = ngx_zapier_json_feed(&scan.json, &p, last);

        if (rc != NGX_AGAIN) {
            break;
        }

        ngx_zapier_run_event(&scan, p);
    }

    if (rc != NGX_OK
        || ngx_zapier_json_finish(&scan.json) != NGX_OK
        || answer->members == NULL)
    {
        return NGX_DECLINED;
    }

    /* what is not known to be the end is none: nobody is told of success */

    if (ngx_zapier_run_is(&answer->status, "success")
        || ngx_zapier_run_is(&answer->status, "error"))
    {
        answer->state = NGX_ZAPIER_RUN_FINISHED;
    }

    return NGX_OK;
}


static void
ngx_zapier_run_event(ngx_zapier_run_scan_t *scan, u_char *p)
{
    ngx_zapier_json_t  *json;

    json = &scan->json;

    switch (json->event) {

    case NGX_ZAPIER_JSON_VALUE:

        if (json->type == NGX_ZAPIER_JSON_OBJECT) {
            ngx_zapier_run_object(scan, p);

        } else if (json->type == NGX_ZAPIER_JSON_STRING
                   && json->depth == 1 + scan->data
                   && scan->data == scan->envelope)
        {
            scan->string = p + 1;
        }

        return;

    case NGX_ZAPIER_JSON_QUOTE:

        if (scan->string != NULL) {
            ngx_zapier_run_string(scan, p);
            scan->string = NULL;
        }

        return;

    case NGX_ZAPIER_JSON_CLOSE:

        if (json->depth == 2) {
            scan->data = 0;
        }

        return;

    default: /* NGX_ZAPIER_JSON_KEY */
        return;
    }
}


static void
ngx_zapier_run_object(ngx_zapier_run_scan_t *scan, u_char *p)
{
    ngx_zapier_run_answer_t  *answer;

    answer = scan->answer;

    if (scan->json.depth == 0) {
        answer->members = p + 1;
        return;
    }

    if (scan->json.depth == 1 && ngx_zapier_run_key(&scan->json, "data")) {

        /* what stood before it is not of the run */

        ngx_str_null(&answer->id);
        ngx_str_null(&answer->status);

        answer->members = p + 1;
        scan->envelope = 1;
        scan->data = 1;
    }
}


static void
ngx_zapier_run_string(ngx_zapier_run_scan_t *scan, u_char *p)
{
    ngx_str_t  *text;

    if (ngx_zapier_run_key(&scan->json, "id")) {
        text = &scan->answer->id;

    } else if (ngx_zapier_run_key(&scan->json, "status")) {
        text = &scan->answer->status;

    } else {
        return;
    }

    text->data = scan->string;
    text->len = p - scan->string;
}


static ngx_uint_t
ngx_zapier_run_key(ngx_zapier_json_t *json, const char *name)
{
    return json->key_len == ngx_strlen(name)
           && ngx_memcmp(json->key, name, json->key_len) == 0;
}


ngx_int_t
ngx_zapier_run_complete(ngx_pool_t *pool, ngx_str_t *text,
    ngx_zapier_run_answer_t *answer, ngx_str_t *id)
{
    size_t   before;
    u_char  *p, *next, *start;

    if (answer->id.len != 0) {
        return NGX_OK;
    }

    start = ngx_pnalloc(pool, text->len + sizeof("\"id\":\"\",") + id->len);
    if (start == NULL) {
        return NGX_ERROR;
    }

    before = answer->members - text->data;

    p = ngx_cpymem(start, text->data, before);
    p = ngx_cpymem(p, "\"id\":\"", sizeof("\"id\":\"") - 1);
    p = ngx_cpymem(p, id->data, id->len);
    *p++ = '"';

    for (next = answer->members;
         *next == ' ' || *next == '\t' || *next == CR || *next == LF;
         next++)
    {
        /* void */
    }

    if (*next != '}') {
        *p++ = ',';
    }

    p = ngx_cpymem(p, answer->members, text->len - before);

    text->data = start;
    text->len = p - start;

    return NGX_OK;
}
