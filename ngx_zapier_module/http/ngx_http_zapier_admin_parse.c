
/*
 * A token record in JSON, as it is put.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_admin.h>
#include <ngx_zapier_jansson.h>
#include <ngx_zapier_wipe.h>


typedef struct {
    const char                *name;
    size_t                     offset;    /* in ngx_zapier_store_op_t */
    json_type                  type;
} ngx_http_zapier_admin_field_t;


/* what a walk over the members has found */
typedef struct {
    ngx_http_zapier_admin_t   *admin;
    ngx_http_zapier_fault_t   *faults;
    ngx_int_t                  n;
} ngx_http_zapier_admin_walk_t;


static ngx_int_t ngx_http_zapier_admin_members(
    ngx_http_zapier_admin_walk_t *walk, json_t *root);
static ngx_int_t ngx_http_zapier_admin_member(
    ngx_http_zapier_admin_walk_t *walk, const char *key, json_t *value);
static ngx_int_t ngx_http_zapier_admin_check(
    ngx_http_zapier_admin_walk_t *walk);
static void ngx_http_zapier_admin_syntax(ngx_http_zapier_admin_walk_t *walk,
    json_error_t *error);
static ngx_int_t ngx_http_zapier_admin_fault(
    ngx_http_zapier_admin_walk_t *walk, const char *code, const char *detail,
    const char *key);


static ngx_http_zapier_admin_field_t  ngx_http_zapier_admin_fields[] = {

    { "access_token", offsetof(ngx_zapier_store_op_t, access_token),
      JSON_STRING },

    { "refresh_token", offsetof(ngx_zapier_store_op_t, refresh_token),
      JSON_STRING },

    { "scope", offsetof(ngx_zapier_store_op_t, scope), JSON_STRING },

    { "token_type", offsetof(ngx_zapier_store_op_t, token_type),
      JSON_STRING },

    { "expires_at", offsetof(ngx_zapier_store_op_t, expires_at),
      JSON_INTEGER },

    { "expires_in", offsetof(ngx_zapier_store_op_t, expires_in),
      JSON_INTEGER },

    { NULL, 0, JSON_NULL }
};


ngx_int_t
ngx_http_zapier_admin_parse(ngx_http_zapier_admin_t *admin,
    ngx_http_zapier_fault_t *faults)
{
    json_t                        *root;
    ngx_int_t                      rc;
    json_error_t                   error;
    ngx_http_zapier_admin_walk_t   walk;

    walk.admin = admin;
    walk.faults = faults;
    walk.n = 0;

    /* no string holds more than all of them */

    admin->secrets.data = ngx_pnalloc(admin->op.pool, admin->body.len + 1);
    if (admin->secrets.data == NULL) {
        return NGX_ERROR;
    }

    root = ngx_zapier_jansson_load(&admin->body, JSON_REJECT_DUPLICATES,
                                   &error);

    if (root == NULL) {
        ngx_http_zapier_admin_syntax(&walk, &error);
        rc = NGX_OK;

    } else {
        rc = ngx_http_zapier_admin_members(&walk, root);
        ngx_zapier_jansson_free(root);
    }

    ngx_zapier_wipe(admin->body.data, admin->body.len);

    return (rc == NGX_ERROR) ? NGX_ERROR : walk.n;
}


static ngx_int_t
ngx_http_zapier_admin_members(ngx_http_zapier_admin_walk_t *walk,
    json_t *root)
{
    void                   *iter;
    ngx_zapier_store_op_t  *op;

    op = &walk->admin->op;

    op->expires_at = -1;
    op->expires_in = -1;

    if (!json_is_object(root)) {
        return ngx_http_zapier_admin_fault(walk, "invalid_type",
                                           "The body must be an object.", "");
    }

    for (iter = json_object_iter(root);
         iter;
         iter = json_object_iter_next(root, iter))
    {
        if (ngx_http_zapier_admin_member(walk, json_object_iter_key(iter),
                                         json_object_iter_value(iter))
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_zapier_admin_check(walk);
}


static ngx_int_t
ngx_http_zapier_admin_member(ngx_http_zapier_admin_walk_t *walk,
    const char *key, json_t *value)
{
    u_char                         *p;
    ngx_str_t                      *string, *secrets;
    ngx_http_zapier_admin_field_t  *field;

    secrets = &walk->admin->secrets;

    for (field = ngx_http_zapier_admin_fields; field->name; field++) {
        if (ngx_strcmp(field->name, key) == 0) {
            break;
        }
    }

    if (field->name == NULL) {
        return ngx_http_zapier_admin_fault(walk, "unknown_field",
                                           "A token record has no such "
                                           "field.", key);
    }

    if (json_is_null(value)) {
        return NGX_OK;
    }

    if (json_typeof(value) != field->type) {
        return ngx_http_zapier_admin_fault(walk, "invalid_type",
                                           (field->type == JSON_STRING)
                                           ? "The field must be a string."
                                           : "The field must be a whole "
                                             "number of seconds.", key);
    }

    p = (u_char *) &walk->admin->op + field->offset;

    if (field->type == JSON_INTEGER) {

        if (json_integer_value(value) < 0) {
            return ngx_http_zapier_admin_fault(walk, "invalid_value",
                                               "The number must not be "
                                               "negative.", key);
        }

        *(int64_t *) p = json_integer_value(value);
        return NGX_OK;
    }

    string = (ngx_str_t *) p;

    string->len = json_string_length(value);
    string->data = secrets->data + secrets->len;

    ngx_memcpy(string->data, json_string_value(value), string->len);
    secrets->len += string->len;

    return NGX_OK;
}


/* What no single member can tell. */

static ngx_int_t
ngx_http_zapier_admin_check(ngx_http_zapier_admin_walk_t *walk)
{
    ngx_zapier_store_op_t  *op;

    op = &walk->admin->op;

    if (walk->n == 0 && op->access_token.len == 0) {

        if (op->access_token.data != NULL) {
            return ngx_http_zapier_admin_fault(walk, "empty",
                                               "The field must not be empty.",
                                               "access_token");
        }

        return ngx_http_zapier_admin_fault(walk, "required",
                                           "The field is missing.",
                                           "access_token");
    }

    if (op->expires_at != -1 && op->expires_in != -1) {
        return ngx_http_zapier_admin_fault(walk, "ambiguous",
                                           "Only one of expires_at and "
                                           "expires_in can be said.",
                                           "expires_in");
    }

    /* 0 is long ago in the one place and means never in the other */

    if (op->expires_at == 0) {
        op->expires_at = 1;

    } else if (op->expires_at == -1) {
        op->expires_at = 0;
    }

    return NGX_OK;
}


/* The error's text stays here, it quotes the body. */

static void
ngx_http_zapier_admin_syntax(ngx_http_zapier_admin_walk_t *walk,
    json_error_t *error)
{
    ngx_http_zapier_fault_t  *fault;

    fault = &walk->faults[0];
    walk->n = 1;

    if (json_error_code(error) == json_error_duplicate_key) {
        ngx_str_set(&fault->code, "duplicate");
        ngx_str_set(&fault->detail, "A field is there twice.");

    } else {
        ngx_str_set(&fault->code, "parse_error");
        ngx_str_set(&fault->detail, "The body is not JSON.");
    }

    fault->offset = ngx_max(error->position, 0);

    ngx_zapier_wipe(error, sizeof(json_error_t));
}


static ngx_int_t
ngx_http_zapier_admin_fault(ngx_http_zapier_admin_walk_t *walk,
    const char *code, const char *detail, const char *key)
{
    u_char                   *p;
    ngx_http_zapier_fault_t  *fault;

    if (walk->n == NGX_HTTP_ZAPIER_ADMIN_FAULTS) {
        return NGX_OK;
    }

    fault = &walk->faults[walk->n++];

    fault->code.len = ngx_strlen(code);
    fault->code.data = (u_char *) code;
    fault->detail.len = ngx_strlen(detail);
    fault->detail.data = (u_char *) detail;
    fault->offset = -1;

    p = ngx_pnalloc(walk->admin->op.pool, 2 * ngx_strlen(key) + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    fault->pointer.data = p;

    /* RFC 6901: the empty one is the whole body */

    if (*key != '\0') {
        *p++ = '/';
    }

    for ( /* void */ ; *key; key++) {

        if (*key == '~' || *key == '/') {
            *p++ = '~';
            *p++ = (*key == '~') ? '0' : '1';

        } else {
            *p++ = *key;
        }
    }

    fault->pointer.len = p - fault->pointer.data;

    return NGX_OK;
}
