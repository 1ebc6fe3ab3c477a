
/*
 * The RunActionRequest envelope: the members of the outermost one or two
 * objects are followed while the scanner validates the rest.
 *
 * The shape of a body shows late: "data" or "inputs" may come last, and
 * what is an unknown member beside them is a plain input in a body of
 * bare inputs.  So each fault carries the shapes in which it is one, and
 * is settled at the closing brace of the root.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_envelope_private.h>


static ngx_int_t ngx_zapier_envelope_event(ngx_zapier_envelope_t *e);
static ngx_int_t ngx_zapier_envelope_key(ngx_zapier_envelope_t *e);
static ngx_int_t ngx_zapier_envelope_value(ngx_zapier_envelope_t *e);
static ngx_int_t ngx_zapier_envelope_close(ngx_zapier_envelope_t *e);
static void ngx_zapier_envelope_settle(ngx_zapier_envelope_t *e);
static ngx_int_t ngx_zapier_envelope_complete(ngx_zapier_envelope_t *e);
static u_char *ngx_zapier_envelope_member(u_char *p, const char *name,
    ngx_str_t *value);
static void ngx_zapier_envelope_parse_error(ngx_zapier_envelope_t *e,
    const char *detail);
static ngx_int_t ngx_zapier_envelope_key_fault(ngx_zapier_envelope_t *e,
    ngx_zapier_fault_e code, ngx_uint_t shapes, const char *detail);
static ngx_int_t ngx_zapier_envelope_value_fault(ngx_zapier_envelope_t *e,
    ngx_zapier_fault_e code, const char *detail);
static ngx_int_t ngx_zapier_envelope_make_room(ngx_zapier_envelope_t *e);
static ngx_int_t ngx_zapier_envelope_fault(ngx_zapier_envelope_t *e,
    ngx_zapier_fault_t *fault, ngx_uint_t shapes, u_char *key, size_t len);


static ngx_str_t  ngx_zapier_fault_codes[] = {
    ngx_string("parse_error"),
    ngx_string("required"),
    ngx_string("invalid_type"),
    ngx_string("empty"),
    ngx_string("unknown_field"),
    ngx_string("duplicate"),
    ngx_string("ambiguous"),
    ngx_string("unknown_action"),
    ngx_string("too_many")
};


static ngx_zapier_envelope_key_t  ngx_zapier_envelope_keys[] = {

    { ngx_string("data"), ZE_DATA,
      ze_type(OBJECT), "data must be an object." },

    { ngx_string("action"), ZE_ACTION,
      ze_type(STRING), "action must be a string." },

    { ngx_string("authentication"), ZE_AUTHENTICATION,
      ze_type(STRING) | ze_type(NULL),
      "authentication must be a string or null." },

    { ngx_string("inputs"), ZE_INPUTS,
      ze_type(OBJECT), "inputs must be an object." },

    { ngx_string("input"), ZE_INPUT,
      ze_type(OBJECT), "input must be an object." },

    { ngx_string("callback_url"), ZE_CALLBACK_URL,
      ze_type(STRING), "callback_url must be a string." },

    { ngx_null_string, 0, 0, NULL }
};


static ngx_str_t  ngx_zapier_envelope_null = ngx_string("null");


ngx_zapier_envelope_t *
ngx_zapier_envelope_create(ngx_pool_t *pool, ngx_str_t *action,
    ngx_str_t *authentication)
{
    ngx_zapier_envelope_t  *e;

    e = ngx_palloc(pool, sizeof(ngx_zapier_envelope_t));
    if (e == NULL) {
        return NULL;
    }

    e->pool = pool;
    e->action = action;
    e->authentication = authentication->len ? authentication
                                            : &ngx_zapier_envelope_null;
    e->callback_url = NULL;
    e->called_back = 0;
    e->seen[0] = 0;
    e->seen[1] = 0;
    e->key = NULL;
    e->value = 0;
    e->shape = 0;
    e->nfaults = 0;
    e->failed = 0;

    ngx_zapier_json_init(&e->json, 1);

    return e;
}


void
ngx_zapier_envelope_texts(ngx_zapier_envelope_t *e, ngx_pool_t *pool)
{
    e->pool = pool;
}


void
ngx_zapier_envelope_call_back(ngx_zapier_envelope_t *e, ngx_str_t *url)
{
    e->callback_url = url;
}


ngx_uint_t
ngx_zapier_envelope_called_back(ngx_zapier_envelope_t *e)
{
    return e->called_back;
}


ngx_int_t
ngx_zapier_envelope_feed(ngx_zapier_envelope_t *e, u_char **pos,
    u_char *last, ngx_str_t *insert)
{
    ngx_int_t  rc;

    if (e->failed) {
        return NGX_DECLINED;
    }

    for ( ;; ) {
        *pos = ngx_zapier_envelope_plain(e, *pos, last);

        rc = ngx_zapier_json_feed(&e->json, pos, last);

        if (rc == NGX_OK) {
            return NGX_OK;
        }

        if (rc == NGX_DECLINED) {
            ngx_zapier_envelope_parse_error(e, "The body is not valid JSON"
                                            " or is nested too deeply.");
            return NGX_DECLINED;
        }

        rc = ngx_zapier_envelope_event(e);

        if (rc == NGX_OK) {
            continue;
        }

        if (rc == NGX_AGAIN) {
            *insert = e->insert;
        }

        return rc;
    }
}


ngx_int_t
ngx_zapier_envelope_finish(ngx_zapier_envelope_t *e, ngx_str_t *before,
    ngx_str_t *after)
{
    u_char  *p;

    ngx_str_set(before, "");
    ngx_str_set(after, "");

    if (!e->failed && ngx_zapier_json_finish(&e->json) != NGX_OK) {
        ngx_zapier_envelope_parse_error(e, e->json.offset
                                ? "The body ends within its JSON."
                                : "The body is empty.");
    }

    if (e->nfaults) {
        return NGX_DECLINED;
    }

    if (e->shape == ZE_ENVELOPED) {
        return NGX_OK;
    }

    if (e->shape == ZE_BARE) {
        ngx_str_set(before, "{\"data\":");
        ngx_str_set(after, "}");

        return NGX_OK;
    }

    p = ngx_pnalloc(e->pool, sizeof("{\"data\":{\"action\":"
                                    ",\"authentication\":,\"inputs\":") - 1
                             + e->action->len + e->authentication->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    before->data = p;

    p = ngx_zapier_envelope_member(p, "{\"data\":{\"action\":", e->action);
    p = ngx_zapier_envelope_member(p, ",\"authentication\":",
                                   e->authentication);
    p = ngx_cpymem(p, ",\"inputs\":", sizeof(",\"inputs\":") - 1);

    before->len = p - before->data;

    if (e->callback_url == NULL) {
        ngx_str_set(after, "}}");
        return NGX_OK;
    }

    after->data = ngx_pnalloc(e->pool, sizeof(ZE_CALLBACK_MEMBER "}}") - 1
                                       + e->callback_url->len);
    if (after->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_zapier_envelope_member(after->data, ZE_CALLBACK_MEMBER,
                                   e->callback_url);
    p = ngx_cpymem(p, "}}", sizeof("}}") - 1);

    after->len = p - after->data;

    e->called_back = 1;

    return NGX_OK;
}


ngx_zapier_fault_t *
ngx_zapier_envelope_faults(ngx_zapier_envelope_t *e, ngx_uint_t *n)
{
    *n = e->nfaults;

    return e->faults;
}


ngx_str_t *
ngx_zapier_fault_code(ngx_zapier_fault_e code)
{
    return &ngx_zapier_fault_codes[code];
}


/* NGX_OK, NGX_AGAIN with e->insert set, or NGX_ERROR */

static ngx_int_t
ngx_zapier_envelope_event(ngx_zapier_envelope_t *e)
{
    switch (e->json.event) {

    case NGX_ZAPIER_JSON_KEY:
        return ngx_zapier_envelope_key(e);

    case NGX_ZAPIER_JSON_VALUE:
        return ngx_zapier_envelope_value(e);

    case NGX_ZAPIER_JSON_QUOTE:

        if (e->key && (e->key->key & (ZE_ACTION|ZE_CALLBACK_URL))
            && e->json.offset == e->value + 1)
        {
            return ngx_zapier_envelope_value_fault(e, NGX_ZAPIER_FAULT_EMPTY,
                                              "This must not be empty.");
        }

        return NGX_OK;

    default: /* NGX_ZAPIER_JSON_CLOSE */
        return ngx_zapier_envelope_close(e);
    }
}


static ngx_int_t
ngx_zapier_envelope_key(ngx_zapier_envelope_t *e)
{
    ngx_uint_t                  seen, root;
    ngx_zapier_envelope_key_t  *key;

    root = (e->json.depth == 1);
    key = ngx_zapier_envelope_find(e->json.key, e->json.key_len);

    /* the value is not looked at if the key is at fault */

    e->key = NULL;

    if (key == NULL || (!root && key->key == ZE_DATA)) {
        return ngx_zapier_envelope_key_fault(e, NGX_ZAPIER_FAULT_UNKNOWN,
                                 root ? ZE_ENVELOPED|ZE_BARE : ZE_ANY,
                                 "There is no such field.");
    }

    seen = e->seen[!root];
    e->seen[!root] |= key->key;

    if (seen & key->key) {
        return ngx_zapier_envelope_key_fault(e, NGX_ZAPIER_FAULT_DUPLICATE,
                       (root && key->key == ZE_CALLBACK_URL)
                       ? ZE_ENVELOPED|ZE_BARE : ZE_ANY,
                       "This field stands here twice.");
    }

    if ((key->key == ZE_INPUT && (seen & ZE_INPUTS))
        || (key->key == ZE_INPUTS && (seen & ZE_INPUT)))
    {
        return ngx_zapier_envelope_key_fault(e, NGX_ZAPIER_FAULT_AMBIGUOUS,
                       ZE_ANY, "There are both input and inputs.");
    }

    if (root
        && ((key->key == ZE_DATA && (seen & ZE_BARE_KEYS))
            || ((key->key & ZE_BARE_KEYS) && (seen & ZE_DATA))))
    {
        return ngx_zapier_envelope_key_fault(e, NGX_ZAPIER_FAULT_AMBIGUOUS,
                       ZE_ANY, "There are both data and fields beside it.");
    }

    e->key = key;

    if (root && key->key == ZE_CALLBACK_URL) {
        return ngx_zapier_envelope_key_fault(e, NGX_ZAPIER_FAULT_UNKNOWN,
                       ZE_ENVELOPED, "callback_url belongs into data.");
    }

    if (key->key == ZE_INPUT) {
        ngx_str_set(&e->insert, "s");
        return NGX_AGAIN;
    }

    return NGX_OK;
}


ngx_zapier_envelope_key_t *
ngx_zapier_envelope_find(u_char *name, size_t len)
{
    ngx_zapier_envelope_key_t  *key;

    for (key = ngx_zapier_envelope_keys; key->name.len; key++) {

        if (key->name.len == len
            && ngx_memcmp(key->name.data, name, len) == 0)
        {
            return key;
        }
    }

    return NULL;
}


static ngx_int_t
ngx_zapier_envelope_value(ngx_zapier_envelope_t *e)
{
    e->value = e->json.offset;

    if (e->json.depth == 0) {

        if (e->json.type == NGX_ZAPIER_JSON_OBJECT) {
            return NGX_OK;
        }

        e->json.level = 0;

        return ngx_zapier_envelope_value_fault(e, NGX_ZAPIER_FAULT_TYPE,
                                          "The body must be an object.");
    }

    if (e->key == NULL) {
        return NGX_OK;
    }

    if (!(e->key->types & (1 << e->json.type))) {
        return ngx_zapier_envelope_value_fault(e, NGX_ZAPIER_FAULT_TYPE,
                                               e->key->detail);
    }

    if (e->key->key == ZE_DATA) {
        e->json.level = 2;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_envelope_close(ngx_zapier_envelope_t *e)
{
    if (e->json.depth == 2) {
        e->json.level = 1;
        return ngx_zapier_envelope_complete(e);
    }

    if (e->seen[0] & ZE_DATA) {
        e->shape = ZE_ENVELOPED;

    } else if ((e->seen[0] & ZE_BARE_KEYS) || e->action->len == 0) {
        e->shape = ZE_BARE;

    } else {
        e->shape = ZE_BARE_INPUTS;
    }

    ngx_zapier_envelope_settle(e);

    return (e->shape == ZE_BARE) ? ngx_zapier_envelope_complete(e) : NGX_OK;
}


/* drops the faults that are none in a body of this shape */

static void
ngx_zapier_envelope_settle(ngx_zapier_envelope_t *e)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < e->nfaults; i++) {

        if (e->shapes[i] & e->shape) {
            e->faults[n] = e->faults[i];
            e->shapes[n++] = e->shapes[i];
        }
    }

    e->nfaults = n;
}


/*
 * At the closing brace of the object that carries the action.  Without
 * inputs nothing is inserted, so a comma is always needed.
 */

static ngx_int_t
ngx_zapier_envelope_complete(ngx_zapier_envelope_t *e)
{
    u_char              *p;
    ngx_uint_t           seen;
    ngx_zapier_fault_t   fault;

    seen = e->seen[e->json.depth - 1];

    fault.code = NGX_ZAPIER_FAULT_REQUIRED;
    fault.offset = -1;
    fault.detail = "This field is required.";

    if (!(seen & ZE_ACTION) && e->action->len == 0
        && ngx_zapier_envelope_fault(e, &fault, ZE_ANY, (u_char *) "action",
                                     sizeof("action") - 1)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (!(seen & (ZE_INPUTS|ZE_INPUT))
        && ngx_zapier_envelope_fault(e, &fault, ZE_ANY, (u_char *) "inputs",
                                     sizeof("inputs") - 1)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (e->callback_url == NULL) {
        seen |= ZE_CALLBACK_URL;
    }

    if (e->nfaults || (seen & ZE_INSERTED) == ZE_INSERTED) {
        return NGX_OK;
    }

    p = ngx_pnalloc(e->pool, sizeof(",\"action\":,\"authentication\":"
                                    ZE_CALLBACK_MEMBER) - 1
                             + e->action->len + e->authentication->len
                             + (e->callback_url ? e->callback_url->len : 0));
    if (p == NULL) {
        return NGX_ERROR;
    }

    e->insert.data = p;

    if (!(seen & ZE_ACTION)) {
        p = ngx_zapier_envelope_member(p, ",\"action\":", e->action);
    }

    if (!(seen & ZE_AUTHENTICATION)) {
        p = ngx_zapier_envelope_member(p, ",\"authentication\":",
                                       e->authentication);
    }

    if (!(seen & ZE_CALLBACK_URL)) {
        p = ngx_zapier_envelope_member(p, ZE_CALLBACK_MEMBER,
                                       e->callback_url);
        e->called_back = 1;
    }

    e->insert.len = p - e->insert.data;

    return NGX_AGAIN;
}


static u_char *
ngx_zapier_envelope_member(u_char *p, const char *name, ngx_str_t *value)
{
    p = ngx_cpymem(p, name, ngx_strlen(name));

    return ngx_cpymem(p, value->data, value->len);
}


/* what is not JSON has no fields that could be at fault */

static void
ngx_zapier_envelope_parse_error(ngx_zapier_envelope_t *e, const char *detail)
{
    e->failed = 1;
    e->nfaults = 1;

    e->faults[0].code = NGX_ZAPIER_FAULT_PARSE;
    e->faults[0].offset = e->json.offset;
    e->faults[0].detail = detail;
    e->faults[0].pointer_len = 0;
    e->faults[0].pointer = NULL;
}


static ngx_int_t
ngx_zapier_envelope_key_fault(ngx_zapier_envelope_t *e,
    ngx_zapier_fault_e code, ngx_uint_t shapes, const char *detail)
{
    ngx_zapier_fault_t  fault;

    fault.code = code;
    fault.offset = e->json.key_offset;
    fault.detail = detail;

    return ngx_zapier_envelope_fault(e, &fault, shapes, e->json.key,
                                     e->json.key_len);
}


static ngx_int_t
ngx_zapier_envelope_value_fault(ngx_zapier_envelope_t *e,
    ngx_zapier_fault_e code, const char *detail)
{
    ngx_uint_t          shapes;
    ngx_zapier_fault_t  fault;

    fault.code = code;
    fault.offset = e->value;
    fault.detail = detail;

    if (e->key == NULL) {
        return ngx_zapier_envelope_fault(e, &fault, ZE_ANY, NULL, 0);
    }

    shapes = (e->json.depth == 1 && e->key->key == ZE_CALLBACK_URL)
             ? ZE_BARE : ZE_ANY;

    return ngx_zapier_envelope_fault(e, &fault, shapes, e->key->name.data,
                                     e->key->name.len);
}


/* many unknown fields must not hide what is worse: drops the last of them */

static ngx_int_t
ngx_zapier_envelope_make_room(ngx_zapier_envelope_t *e)
{
    ngx_uint_t  i;

    for (i = e->nfaults; i > 0; i--) {

        if (e->faults[i - 1].code == NGX_ZAPIER_FAULT_UNKNOWN) {
            e->nfaults--;

            for (i--; i < e->nfaults; i++) {
                e->faults[i] = e->faults[i + 1];
                e->shapes[i] = e->shapes[i + 1];
            }

            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/* adds a fault of the member "key" of the object at hand; NULL: the root */

static ngx_int_t
ngx_zapier_envelope_fault(ngx_zapier_envelope_t *e, ngx_zapier_fault_t *fault,
    ngx_uint_t shapes, u_char *key, size_t len)
{
    u_char  *p;

    if (e->nfaults == NGX_ZAPIER_ENVELOPE_FAULTS
        && (fault->code == NGX_ZAPIER_FAULT_UNKNOWN
            || ngx_zapier_envelope_make_room(e) != NGX_OK))
    {
        return NGX_OK;
    }

    if (len > NGX_ZAPIER_JSON_KEY_LEN) {
        /* only a part of it is at hand: the pointer is the parent's */
        key = NULL;
    }

    p = ngx_pnalloc(e->pool, sizeof("/data/") - 1 + (key ? 2 * len : 0));
    if (p == NULL) {
        return NGX_ERROR;
    }

    fault->pointer = p;

    if (e->json.depth == 2) {
        p = ngx_cpymem(p, "/data", sizeof("/data") - 1);
    }

    if (key) {
        p = ngx_zapier_json_pointer(p, key, len);
    }

    fault->pointer_len = p - fault->pointer;

    e->faults[e->nfaults] = *fault;
    e->shapes[e->nfaults++] = (u_char) shapes;

    return NGX_OK;
}
