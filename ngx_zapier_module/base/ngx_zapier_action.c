
/*
 * Bodies that name an action, see ngx_zapier_action.h.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <jansson.h>
#include <ngx_zapier_action.h>
#include <ngx_zapier_json.h>


#define ngx_zapier_action_key_is(json, name)                                 \
    ((json)->key_len == sizeof(name) - 1                                     \
     && ngx_memcmp((json)->key, name, sizeof(name) - 1) == 0)


static void ngx_zapier_action_value(ngx_zapier_action_body_t *parts,
    ngx_zapier_json_t *json, u_char *p);
static ngx_str_t *ngx_zapier_action_member(ngx_zapier_action_body_t *parts,
    ngx_zapier_json_t *json);
static void ngx_zapier_action_missing(ngx_zapier_action_t *action,
    ngx_str_t *inputs, u_char *missing);
static ngx_uint_t ngx_zapier_action_empty(ngx_str_t *inputs);
static u_char *ngx_zapier_action_inputs(u_char *p,
    ngx_zapier_action_t *action, ngx_str_t *inputs, u_char *missing);
static ngx_str_t *ngx_zapier_action_authentication(
    ngx_zapier_action_t *action, ngx_str_t *tenant,
    ngx_zapier_action_body_t *parts);


/*
 * The members of "data" are of depth 2, so the end of the inputs, an object,
 * is of depth 3.  What is deeper is passed over.
 */

ngx_int_t
ngx_zapier_action_parse(ngx_str_t *body, ngx_zapier_action_body_t *parts)
{
    u_char             *p, *last;
    ngx_str_t          *open;
    ngx_zapier_json_t   json;

    ngx_memzero(parts, sizeof(ngx_zapier_action_body_t));

    ngx_zapier_json_init(&json, 3);

    p = body->data;
    last = p + body->len;
    open = NULL;

    while (ngx_zapier_json_feed(&json, &p, last) == NGX_AGAIN) {

        switch (json.event) {

        case NGX_ZAPIER_JSON_VALUE:

            if (json.depth == 2) {
                open = ngx_zapier_action_member(parts, &json);
                ngx_zapier_action_value(parts, &json, p);
            }

            break;

        case NGX_ZAPIER_JSON_QUOTE:

            if (json.depth == 2 && open != NULL) {
                open->len = p + 1 - open->data;
                open = NULL;
            }

            break;

        case NGX_ZAPIER_JSON_CLOSE:

            if (json.depth == 3 && open == &parts->inputs) {
                open->len = p + 1 - open->data;
                open = NULL;
            }

            break;

        default: /* NGX_ZAPIER_JSON_KEY */
            break;
        }
    }

    return (parts->action.len != 0
            && parts->authentication.len != 0
            && parts->inputs.len != 0)
           ? NGX_OK : NGX_DECLINED;
}


static void
ngx_zapier_action_value(ngx_zapier_action_body_t *parts,
    ngx_zapier_json_t *json, u_char *p)
{
    ngx_str_t  *part;

    part = ngx_zapier_action_member(parts, json);

    if (part == NULL) {
        return;
    }

    part->data = p;
    part->len = (json->type == NGX_ZAPIER_JSON_NULL) ? sizeof("null") - 1 : 0;
}


static ngx_str_t *
ngx_zapier_action_member(ngx_zapier_action_body_t *parts,
    ngx_zapier_json_t *json)
{
    if (ngx_zapier_action_key_is(json, "action")) {
        return &parts->action;
    }

    if (ngx_zapier_action_key_is(json, "authentication")) {
        return &parts->authentication;
    }

    if (ngx_zapier_action_key_is(json, "inputs")) {
        return &parts->inputs;
    }

    return NULL;
}


/* With escapes, which hardly anybody needs for a name, it is copied. */

ngx_int_t
ngx_zapier_action_name(ngx_pool_t *pool, ngx_zapier_action_body_t *parts,
    ngx_str_t *name)
{
    json_t  *json;

    name->data = parts->action.data + 1;
    name->len = parts->action.len - 2;

    if (ngx_strlchr(name->data, name->data + name->len, '\\') == NULL) {
        return NGX_OK;
    }

    json = json_loadb((char *) parts->action.data, parts->action.len,
                      JSON_DECODE_ANY|JSON_ALLOW_NUL, NULL);
    if (json == NULL) {

        /* a lone surrogate: it is no name */

        return NGX_OK;
    }

    name->len = json_string_length(json);
    name->data = ngx_pnalloc(pool, name->len);

    if (name->data != NULL) {
        ngx_memcpy(name->data, json_string_value(json), name->len);
    }

    json_decref(json);

    return (name->data != NULL) ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_zapier_action_write(ngx_pool_t *pool, ngx_zapier_action_t *action,
    ngx_str_t *id, ngx_str_t *tenant, ngx_str_t *body,
    ngx_zapier_action_body_t *parts)
{
    size_t                size;
    u_char               *p, *start, *from, *next;
    ngx_str_t            *authentication;
    ngx_uint_t            i;
    ngx_zapier_member_t  *inputs;

    u_char  missing[NGX_ZAPIER_ACTION_INPUTS];

    authentication = ngx_zapier_action_authentication(action, tenant, parts);

    ngx_zapier_action_missing(action, &parts->inputs, missing);

    size = body->len + id->len + authentication->len;
    inputs = action->inputs.elts;

    for (i = 0; i < action->inputs.nelts; i++) {
        size += sizeof(",") - 1 + inputs[i].text.len;
    }

    start = ngx_pnalloc(pool, size);
    if (start == NULL) {
        return NGX_ERROR;
    }

    p = start;
    from = body->data;

    /* the parts come in any order */

    for ( ;; ) {
        next = body->data + body->len;

        if (parts->action.data >= from) {
            next = parts->action.data;
        }

        if (parts->authentication.data >= from) {
            next = ngx_min(next, parts->authentication.data);
        }

        if (parts->inputs.data >= from) {
            next = ngx_min(next, parts->inputs.data);
        }

        p = ngx_cpymem(p, from, next - from);

        if (next == parts->action.data) {
            p = ngx_cpymem(p, id->data, id->len);
            from = next + parts->action.len;

        } else if (next == parts->authentication.data) {
            p = ngx_cpymem(p, authentication->data, authentication->len);
            from = next + parts->authentication.len;

        } else if (next == parts->inputs.data) {
            p = ngx_zapier_action_inputs(p, action, &parts->inputs, missing);
            from = next + parts->inputs.len;

        } else {
            break;
        }
    }

    body->data = start;
    body->len = p - start;

    return NGX_OK;
}


/* What jansson cannot hold cannot be judged. */

ngx_int_t
ngx_zapier_action_check(ngx_pool_t *pool, ngx_zapier_action_t *action,
    ngx_str_t *inputs, ngx_array_t *faults)
{
    json_t                     *json;
    ngx_int_t                   rc;
    ngx_zapier_schema_fault_t  *fault;

    json = json_loadb((char *) inputs->data, inputs->len, JSON_ALLOW_NUL,
                      NULL);

    if (json == NULL) {

        /* perhaps for a number of more than 64 bits */

        json = json_loadb((char *) inputs->data, inputs->len,
                          JSON_ALLOW_NUL|JSON_DECODE_INT_AS_REAL, NULL);
    }

    if (json == NULL) {
        fault = ngx_array_push(faults);

        if (fault == NULL) {
            return NGX_ERROR;
        }

        ngx_str_set(&fault->pointer, "");
        ngx_str_set(&fault->keyword, "type");
        ngx_str_set(&fault->detail, "This has a number that is too large, or "
                                    "a field with a zero byte in its name.");

        return NGX_DECLINED;
    }

    rc = ngx_zapier_schema_check(action->schema, json, pool, faults);

    json_decref(json);

    return rc;
}


static void
ngx_zapier_action_missing(ngx_zapier_action_t *action, ngx_str_t *inputs,
    u_char *missing)
{
    u_char               *p;
    ngx_uint_t            i;
    ngx_zapier_json_t     json;
    ngx_zapier_member_t  *member;

    ngx_memset(missing, 1, NGX_ZAPIER_ACTION_INPUTS);

    if (action->inputs.nelts == 0) {
        return;
    }

    ngx_zapier_json_init(&json, 1);

    p = inputs->data;
    member = action->inputs.elts;

    while (ngx_zapier_json_feed(&json, &p, inputs->data + inputs->len)
           == NGX_AGAIN)
    {
        if (json.event != NGX_ZAPIER_JSON_KEY) {
            continue;
        }

        for (i = 0; i < action->inputs.nelts; i++) {
            if (member[i].name.len == json.key_len
                && ngx_memcmp(member[i].name.data, json.key, json.key_len)
                   == 0)
            {
                missing[i] = 0;
            }
        }
    }
}


static u_char *
ngx_zapier_action_inputs(u_char *p, ngx_zapier_action_t *action,
    ngx_str_t *inputs, u_char *missing)
{
    ngx_uint_t            i, comma;
    ngx_zapier_member_t  *member;

    comma = !ngx_zapier_action_empty(inputs);
    member = action->inputs.elts;

    /* all but the closing brace */

    p = ngx_cpymem(p, inputs->data, inputs->len - 1);

    for (i = 0; i < action->inputs.nelts; i++) {

        if (!missing[i]) {
            continue;
        }

        if (comma) {
            *p++ = ',';
        }

        p = ngx_cpymem(p, member[i].text.data, member[i].text.len);
        comma = 1;
    }

    *p++ = '}';

    return p;
}


static ngx_uint_t
ngx_zapier_action_empty(ngx_str_t *inputs)
{
    u_char  *p;

    for (p = inputs->data + 1; p < inputs->data + inputs->len - 1; p++) {
        if (*p != ' ' && *p != '\t' && *p != CR && *p != LF) {
            return 0;
        }
    }

    return 1;
}


/* The caller's own comes first. */

static ngx_str_t *
ngx_zapier_action_authentication(ngx_zapier_action_t *action,
    ngx_str_t *tenant, ngx_zapier_action_body_t *parts)
{
    ngx_uint_t            i;
    ngx_zapier_member_t  *member;

    if (parts->authentication.data[0] != 'n') {
        return &parts->authentication;
    }

    member = action->tenants.elts;

    for (i = 0; i < action->tenants.nelts; i++) {
        if (member[i].name.len == tenant->len
            && ngx_memcmp(member[i].name.data, tenant->data, tenant->len)
               == 0)
        {
            return &member[i].text;
        }
    }

    return action->authentication.len ? &action->authentication
                                      : &parts->authentication;
}
