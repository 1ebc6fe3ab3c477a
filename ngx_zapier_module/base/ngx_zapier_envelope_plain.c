
/*
 * The fast lane of the envelope.  Bodies are mostly small, and the scanner's
 * events cost more than what happens between them; so members as programs
 * write them are taken without any.  Nothing is refused here: what is not
 * plain is left to the scanner from the beginning of its member.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_envelope_private.h>
#include <ngx_zapier_json_private.h>
#include <ngx_zapier_json_span.h>


static u_char *ngx_zapier_envelope_plain_root(ngx_zapier_envelope_t *e,
    u_char *p, u_char *last);
static u_char *ngx_zapier_envelope_plain_member(ngx_zapier_envelope_t *e,
    u_char *p, u_char *last);
static u_char *ngx_zapier_envelope_plain_key(u_char *p, u_char *last,
    ngx_zapier_envelope_key_t **key);
static ngx_uint_t ngx_zapier_envelope_plain_expected(
    ngx_zapier_envelope_t *e, ngx_uint_t key);
static u_char *ngx_zapier_envelope_plain_object(ngx_zapier_envelope_t *e,
    ngx_uint_t key, u_char *p, u_char *last);
static u_char *ngx_zapier_envelope_plain_scalar(
    ngx_zapier_envelope_key_t *key, u_char *p, u_char *last);
static u_char *ngx_zapier_envelope_plain_string(u_char *p, u_char *last);


u_char *
ngx_zapier_envelope_plain(ngx_zapier_envelope_t *e, u_char *p, u_char *last)
{
    u_char             *start, *next;
    ngx_zapier_json_t  *json;

    json = &e->json;

    if (json->token != tk_none || json->reported) {
        return p;
    }

    start = p;

    if (json->depth == 0 && json->state == sw_value) {
        p = ngx_zapier_envelope_plain_root(e, p, last);
    }

    while (json->depth == json->level
           && json->token == tk_none
           && (json->state == sw_key || json->state == sw_first_key))
    {
        next = ngx_zapier_envelope_plain_member(e, p, last);

        if (next == NULL) {
            break;
        }

        p = next;
    }

    json->offset += p - start;

    return p;
}


static u_char *
ngx_zapier_envelope_plain_root(ngx_zapier_envelope_t *e, u_char *p,
    u_char *last)
{
    u_char  *start;

    start = p;
    p = ngx_zapier_json_space(p, last);

    if (p == last || *p != '{') {
        return start;
    }

    e->json.depth = 1;
    e->json.stack[1] = sw_next_member;
    e->json.state = sw_first_key;

    return p + 1;
}


/* to what follows the member and its comma; NULL: it is not plain */

static u_char *
ngx_zapier_envelope_plain_member(ngx_zapier_envelope_t *e, u_char *p,
    u_char *last)
{
    ngx_zapier_envelope_key_t  *key;

    p = ngx_zapier_envelope_plain_key(p, last, &key);

    if (p == NULL || !ngx_zapier_envelope_plain_expected(e, key->key)) {
        return NULL;
    }

    if (*p == '{') {
        return (key->types & ze_type(OBJECT))
               ? ngx_zapier_envelope_plain_object(e, key->key, p, last)
               : NULL;
    }

    p = ngx_zapier_envelope_plain_scalar(key, p, last);

    if (p == NULL) {
        return NULL;
    }

    p = ngx_zapier_json_space(p, last);

    if (p == last || (*p != ',' && *p != '}')) {
        return NULL;
    }

    e->seen[e->json.depth - 1] |= key->key;
    e->json.state = (*p == ',') ? sw_key : sw_next_member;

    return (*p == ',') ? p + 1 : p;
}


/* to the first byte of the value, which is there; or NULL */

static u_char *
ngx_zapier_envelope_plain_key(u_char *p, u_char *last,
    ngx_zapier_envelope_key_t **key)
{
    u_char  *name;

    p = ngx_zapier_json_space(p, last);

    if (p == last || *p != '"') {
        return NULL;
    }

    name = p + 1;
    p = ngx_zapier_envelope_plain_string(p, last);

    if (p == NULL) {
        return NULL;
    }

    *key = ngx_zapier_envelope_find(name, p - 1 - name);

    if (*key == NULL) {
        return NULL;
    }

    p = ngx_zapier_json_space(p, last);

    if (p == last || *p != ':') {
        return NULL;
    }

    p = ngx_zapier_json_space(p + 1, last);

    return (p == last) ? NULL : p;
}


/* Is there nothing to be said or inserted because of the key alone? */

static ngx_uint_t
ngx_zapier_envelope_plain_expected(ngx_zapier_envelope_t *e, ngx_uint_t key)
{
    ngx_uint_t  seen;

    seen = e->seen[e->json.depth - 1];

    switch (key) {

    case ZE_DATA:
        return e->json.depth == 1 && !(seen & (ZE_DATA|ZE_BARE_KEYS));

    case ZE_ACTION:
    case ZE_AUTHENTICATION:
        return !(seen & (ZE_DATA|key));

    case ZE_INPUTS:
        return !(seen & (ZE_DATA|ZE_INPUTS|ZE_INPUT));

    default: /* ZE_INPUT, ZE_CALLBACK_URL */
        return 0;
    }
}


/* data is gone into; inputs are passed over, or to where the piece ends */

static u_char *
ngx_zapier_envelope_plain_object(ngx_zapier_envelope_t *e, ngx_uint_t key,
    u_char *p, u_char *last)
{
    ngx_zapier_json_t  *json;

    json = &e->json;

    e->seen[json->depth - 1] |= key;

    json->depth++;
    json->stack[json->depth] = sw_next_member;
    json->state = sw_first_key;

    p = ngx_zapier_json_space(p + 1, last);

    if (key == ZE_DATA) {
        json->level = 2;
        return p;
    }

    if (p == last || *p != '"') {
        return p;
    }

    json->state = sw_key;

    p = ngx_zapier_json_skip(json, p, last);

    if (json->depth > json->level || json->token != tk_none) {
        return p;
    }

    p = ngx_zapier_json_space(p, last);

    if (p < last && *p == ',') {
        json->state = sw_key;
        return p + 1;
    }

    return p;
}


static u_char *
ngx_zapier_envelope_plain_scalar(ngx_zapier_envelope_key_t *key, u_char *p,
    u_char *last)
{
    u_char  *end;

    if (*p == '"' && (key->types & ze_type(STRING))) {
        end = ngx_zapier_envelope_plain_string(p, last);

        /* an empty action is a fault */

        return (end == p + 2) ? NULL : end;
    }

    if (last - p >= 4
        && (key->types & ze_type(NULL))
        && ngx_memcmp(p, "null", 4) == 0)
    {
        return p + 4;
    }

    return NULL;
}


/* from the opening quote to behind the closing one, or NULL */

static u_char *
ngx_zapier_envelope_plain_string(u_char *p, u_char *last)
{
    p = ngx_zapier_json_span(p + 1, last);

    return (p == last || *p != '"') ? NULL : p + 1;
}
