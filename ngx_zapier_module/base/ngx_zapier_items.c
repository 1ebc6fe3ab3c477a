
/*
 * The items of a bulk request.
 *
 * The scanner tells where a value begins.  It has ended before the comma
 * that precedes the next one, or before the bracket of the array.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_items.h>
#include <ngx_zapier_json.h>


typedef struct {
    ngx_zapier_items_t        *items;
    ngx_pool_t                *pool;
    ngx_uint_t                 max;
    ngx_uint_t                 n;
    ngx_uint_t                 depth;      /* of the array, 0: not seen */
    off_t                      begin;      /* of the array */
    ngx_zapier_json_t          json;
    unsigned                   data:1;     /* the key was seen */
    unsigned                   at_data:1;  /* its value comes next */
    unsigned                   inside:1;   /* of the array */
    unsigned                   faulty:1;
} ngx_zapier_items_scan_t;


static ngx_int_t ngx_zapier_items_event(ngx_zapier_items_scan_t *scan,
    u_char *p);
static ngx_int_t ngx_zapier_items_key(ngx_zapier_items_scan_t *scan);
static ngx_int_t ngx_zapier_items_value(ngx_zapier_items_scan_t *scan,
    u_char *p);
static ngx_int_t ngx_zapier_items_add(ngx_zapier_items_scan_t *scan,
    u_char *p);
static void ngx_zapier_items_end(ngx_zapier_items_scan_t *scan, u_char *p);
static ngx_int_t ngx_zapier_items_close(ngx_zapier_items_scan_t *scan,
    u_char *p);
static void ngx_zapier_items_open(ngx_zapier_items_scan_t *scan);
static void ngx_zapier_items_fault(ngx_zapier_items_scan_t *scan,
    ngx_zapier_fault_e code, off_t offset, const char *detail);
static ngx_int_t ngx_zapier_items_pointer(ngx_zapier_items_scan_t *scan,
    u_char *key, size_t len);


ngx_int_t
ngx_zapier_items(ngx_zapier_items_t *items, ngx_pool_t *pool,
    ngx_str_t *text, ngx_uint_t max)
{
    u_char                   *p, *last;
    ngx_int_t                 rc;
    ngx_zapier_items_scan_t   scan;

    ngx_memzero(items, sizeof(ngx_zapier_items_t));
    ngx_memzero(&scan, sizeof(ngx_zapier_items_scan_t));

    items->items = ngx_palloc(pool, max * sizeof(ngx_str_t));
    if (items->items == NULL) {
        return NGX_ERROR;
    }

    scan.items = items;
    scan.pool = pool;
    scan.max = max;

    ngx_zapier_json_init(&scan.json, 1);

    p = text->data;
    last = p + text->len;

    for ( ;; ) {
        rc = ngx_zapier_json_feed(&scan.json, &p, last);

        if (rc != NGX_AGAIN) {
            break;
        }

        if (ngx_zapier_items_event(&scan, p) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (rc == NGX_DECLINED || ngx_zapier_json_finish(&scan.json) != NGX_OK) {

        /* what is not JSON has no fields that could be at fault */

        scan.faulty = 0;
        ngx_zapier_items_fault(&scan, NGX_ZAPIER_FAULT_PARSE,
                               scan.json.offset,
                               (rc == NGX_DECLINED)
                               ? "The body is not valid JSON or is nested "
                                 "too deeply."
                               : scan.json.offset
                                 ? "The body ends within its JSON."
                                 : "The body is empty.");
        items->fault.pointer = NULL;
        items->fault.pointer_len = 0;
    }

    return scan.faulty ? NGX_DECLINED : NGX_OK;
}


static ngx_int_t
ngx_zapier_items_event(ngx_zapier_items_scan_t *scan, u_char *p)
{
    switch (scan->json.event) {

    case NGX_ZAPIER_JSON_KEY:
        return ngx_zapier_items_key(scan);

    case NGX_ZAPIER_JSON_VALUE:
        return ngx_zapier_items_value(scan, p);

    case NGX_ZAPIER_JSON_CLOSE:
        return ngx_zapier_items_close(scan, p);

    default: /* NGX_ZAPIER_JSON_QUOTE */
        return NGX_OK;
    }
}


static ngx_int_t
ngx_zapier_items_key(ngx_zapier_items_scan_t *scan)
{
    ngx_zapier_json_t  *json;

    json = &scan->json;

    scan->at_data = (json->key_len == 4
                     && ngx_memcmp(json->key, "data", 4) == 0);

    if (scan->faulty || (scan->at_data && !scan->data)) {
        scan->data |= scan->at_data;
        return NGX_OK;
    }

    if (scan->at_data) {
        scan->at_data = 0;
        ngx_zapier_items_fault(scan, NGX_ZAPIER_FAULT_DUPLICATE,
                               json->key_offset,
                               "This field stands here twice.");

    } else {
        ngx_zapier_items_fault(scan, NGX_ZAPIER_FAULT_UNKNOWN,
                               json->key_offset, "There is no such field.");
    }

    return ngx_zapier_items_pointer(scan, json->key, json->key_len);
}


static ngx_int_t
ngx_zapier_items_value(ngx_zapier_items_scan_t *scan, u_char *p)
{
    ngx_zapier_json_t  *json;

    json = &scan->json;

    if (scan->inside) {
        return ngx_zapier_items_add(scan, p);
    }

    if (json->depth == 0) {

        if (json->type == NGX_ZAPIER_JSON_ARRAY) {
            ngx_zapier_items_open(scan);

        } else if (json->type != NGX_ZAPIER_JSON_OBJECT) {
            json->level = 0;
            ngx_zapier_items_fault(scan, NGX_ZAPIER_FAULT_TYPE, json->offset,
                                   "The body must be an array of runs.");
            return ngx_zapier_items_pointer(scan, NULL, 0);
        }

        return NGX_OK;
    }

    if (!scan->at_data) {
        return NGX_OK;
    }

    scan->at_data = 0;

    if (json->type == NGX_ZAPIER_JSON_ARRAY) {
        scan->items->enveloped = 1;
        ngx_zapier_items_open(scan);
        return NGX_OK;
    }

    if (scan->faulty) {
        return NGX_OK;
    }

    ngx_zapier_items_fault(scan, NGX_ZAPIER_FAULT_TYPE, json->offset,
                           "data must be an array of runs.");

    return ngx_zapier_items_pointer(scan, (u_char *) "data", 4);
}


static void
ngx_zapier_items_open(ngx_zapier_items_scan_t *scan)
{
    scan->depth = scan->json.depth + 1;
    scan->json.level = scan->depth;
    scan->begin = scan->json.offset;
    scan->inside = 1;
}


static ngx_int_t
ngx_zapier_items_add(ngx_zapier_items_scan_t *scan, u_char *p)
{
    ngx_str_t  *item;

    ngx_zapier_items_end(scan, p);

    if (++scan->n > scan->max) {

        if (scan->n > scan->max + 1 || scan->faulty) {
            return NGX_OK;
        }

        ngx_zapier_items_fault(scan, NGX_ZAPIER_FAULT_TOO_MANY,
                               scan->json.offset,
                               "There are more runs than this gateway takes "
                               "at a time.");

        return ngx_zapier_items_pointer(scan, NULL, 0);
    }

    item = &scan->items->items[scan->items->n++];

    item->data = p;
    item->len = 0;

    return NGX_OK;
}


/* The last item has ended somewhere before p. */

static void
ngx_zapier_items_end(ngx_zapier_items_scan_t *scan, u_char *p)
{
    ngx_str_t  *item;

    if (scan->n == 0 || scan->n > scan->max) {
        return;
    }

    item = &scan->items->items[scan->n - 1];

    /* nothing that is a value ends in one of these */

    while (p[-1] == ' ' || p[-1] == '\t' || p[-1] == '\r' || p[-1] == '\n'
           || p[-1] == ',')
    {
        p--;
    }

    item->len = p - item->data;
}


static ngx_int_t
ngx_zapier_items_close(ngx_zapier_items_scan_t *scan, u_char *p)
{
    ngx_uint_t  inside;

    inside = scan->inside;

    if (inside) {
        ngx_zapier_items_end(scan, p);

        scan->inside = 0;
        scan->json.level = 1;

        if (scan->n != 0 || scan->faulty) {
            return NGX_OK;
        }

        ngx_zapier_items_fault(scan, NGX_ZAPIER_FAULT_EMPTY, scan->begin,
                               "There must be one run at least.");

        return ngx_zapier_items_pointer(scan, (u_char *) "data",
                                        scan->items->enveloped ? 4 : 0);
    }

    if (scan->data) {
        return NGX_OK;
    }

    /* a single run, mostly: more is not to be said of it */

    scan->faulty = 0;
    ngx_zapier_items_fault(scan, NGX_ZAPIER_FAULT_REQUIRED, -1,
                           "An array of runs is needed, bare or as data.");

    return ngx_zapier_items_pointer(scan, (u_char *) "data", 4);
}


static void
ngx_zapier_items_fault(ngx_zapier_items_scan_t *scan, ngx_zapier_fault_e code,
    off_t offset, const char *detail)
{
    ngx_zapier_fault_t  *fault;

    scan->faulty = 1;

    fault = &scan->items->fault;

    fault->code = code;
    fault->offset = offset;
    fault->detail = detail;
}


/* To that member of the root, to the root, or to the item too many. */

static ngx_int_t
ngx_zapier_items_pointer(ngx_zapier_items_scan_t *scan, u_char *key,
    size_t len)
{
    u_char              *p;
    ngx_zapier_fault_t  *fault;

    fault = &scan->items->fault;

    if (len > NGX_ZAPIER_JSON_KEY_LEN) {
        /* only a part of it is at hand: the pointer is the parent's */
        len = 0;
    }

    p = ngx_pnalloc(scan->pool,
                    sizeof("/data/") + NGX_INT_T_LEN + 2 * len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    fault->pointer = p;

    if (fault->code == NGX_ZAPIER_FAULT_TOO_MANY) {
        p = ngx_sprintf(p, "%s/%ui", scan->items->enveloped ? "/data" : "",
                        scan->max);

    } else if (len != 0) {
        p = ngx_zapier_json_pointer(p, key, len);
    }

    fault->pointer_len = p - fault->pointer;

    return NGX_OK;
}
