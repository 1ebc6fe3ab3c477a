
/*
 * Answers of zapier_admin.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_admin.h>


/* one record without its strings, with room to spare */
#define NGX_HTTP_ZAPIER_RECORD_LEN    256

/* all counters with their names */
#define NGX_HTTP_ZAPIER_COUNTERS_LEN  1024


typedef struct {
    const char                *name;
    size_t                     offset;
} ngx_http_zapier_admin_counter_t;


static void ngx_http_zapier_admin_invalid(ngx_http_zapier_admin_t *admin);
static void ngx_http_zapier_admin_log(ngx_http_zapier_admin_t *admin);
static ngx_buf_t *ngx_http_zapier_admin_records(
    ngx_http_zapier_admin_t *admin);
static u_char *ngx_http_zapier_admin_record(u_char *p, time_t now,
    ngx_zapier_store_record_t *record);


#define ngx_http_zapier_admin_count(name)                                    \
    { #name, offsetof(ngx_zapier_token_counters_t, name) }

static ngx_http_zapier_admin_counter_t  ngx_http_zapier_admin_counts[] = {
    ngx_http_zapier_admin_count(refreshed),
    ngx_http_zapier_admin_count(refresh_failed),
    ngx_http_zapier_admin_count(refresh_refused),
    ngx_http_zapier_admin_count(refresh_unknown),
    ngx_http_zapier_admin_count(refresh_resumed),
    ngx_http_zapier_admin_count(refresh_dead),
    ngx_http_zapier_admin_count(refresh_rescued),
    ngx_http_zapier_admin_count(refused),
    ngx_http_zapier_admin_count(unseal_failed),
    ngx_http_zapier_admin_count(unseal_unknown_key),
    ngx_http_zapier_admin_count(plain_refused),
    { NULL, 0 }
};


void
ngx_http_zapier_admin_answer(ngx_http_zapier_admin_t *admin)
{
    ngx_buf_t              *b;
    ngx_uint_t              status;
    ngx_zapier_store_op_t  *op;

    op = &admin->op;

    switch (op->result) {

    case NGX_ZAPIER_STORE_OK:
        break;

    case NGX_ZAPIER_STORE_MISSING:
        ngx_http_zapier_admin_error(admin, NGX_HTTP_NOT_FOUND,
                                    "token_missing",
                                    "There is no token record of this name.");
        return;

    case NGX_ZAPIER_STORE_INVALID:
        ngx_http_zapier_admin_invalid(admin);
        return;

    default: /* NGX_ZAPIER_STORE_UNAVAILABLE */
        ngx_http_zapier_admin_error(admin, NGX_HTTP_SERVICE_UNAVAILABLE,
                                    "store_unavailable",
                                    "The token store cannot be reached, or "
                                    "refused; a change may have been made "
                                    "nevertheless.");
        return;
    }

    if (admin->look != NGX_HTTP_ZAPIER_ADMIN_NONE) {
        ngx_http_zapier_admin_looked(admin);
        return;
    }

    ngx_http_zapier_admin_log(admin);

    if (op->verb == NGX_ZAPIER_STORE_DELETE) {
        ngx_http_zapier_admin_send(admin, NGX_HTTP_NO_CONTENT, NULL);
        return;
    }

    b = ngx_http_zapier_admin_records(admin);

    if (b == NULL) {
        ngx_http_finalize_request(admin->request,
                                  NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    status = op->created ? NGX_HTTP_CREATED : NGX_HTTP_OK;

    ngx_http_zapier_admin_send(admin, status, b);
}


void
ngx_http_zapier_admin_counters(ngx_http_zapier_admin_t *admin)
{
    ngx_buf_t                        *b;
    ngx_atomic_t                     *value;
    ngx_zapier_token_counters_t      *counters;
    ngx_http_zapier_main_conf_t      *zmcf;
    ngx_http_zapier_admin_counter_t  *counter;

    zmcf = ngx_http_get_module_main_conf(admin->request,
                                         ngx_http_zapier_module);

    counters = ngx_zapier_token_counters(zmcf->tokens);

    b = ngx_create_temp_buf(admin->op.pool, NGX_HTTP_ZAPIER_COUNTERS_LEN);
    if (b == NULL) {
        ngx_http_finalize_request(admin->request,
                                  NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    *b->last++ = '{';

    for (counter = ngx_http_zapier_admin_counts; counter->name; counter++) {
        value = (ngx_atomic_t *) ((u_char *) counters + counter->offset);

        b->last = ngx_http_zapier_admin_number(b->last, counter->name,
                                               (int64_t) *value, 1);
    }

    /* instead of the last comma */

    *(b->last - 1) = '}';
    *b->last++ = LF;

    b->last_buf = 1;
    b->last_in_chain = 1;

    ngx_http_zapier_admin_send(admin, NGX_HTTP_OK, b);
}


void
ngx_http_zapier_admin_error(ngx_http_zapier_admin_t *admin, ngx_uint_t status,
    const char *code, const char *detail)
{
    ngx_http_zapier_fault_t  fault;

    ngx_http_zapier_fault_init(&fault, code, detail);

    if (status == NGX_HTTP_SERVICE_UNAVAILABLE) {
        fault.retry_after = ngx_max(admin->token.retry_after, 1);
    }

    (void) ngx_http_zapier_error(admin->request, admin->ctx, status, &fault,
                                 1);
}


/* A field of the body that would not make a valid record. */

static void
ngx_http_zapier_admin_invalid(ngx_http_zapier_admin_t *admin)
{
    u_char                   pointer[32];
    ngx_http_zapier_fault_t  fault;

    ngx_memzero(&fault, sizeof(ngx_http_zapier_fault_t));

    ngx_str_set(&fault.code, "invalid_value");
    ngx_str_set(&fault.detail, "The value cannot be used, its characters, "
                               "length or size are wrong.");
    fault.offset = -1;
    fault.pointer.data = pointer;
    fault.pointer.len = ngx_snprintf(pointer, sizeof(pointer), "/%s",
                                     admin->op.fault)
                        - pointer;

    (void) ngx_http_zapier_error(admin->request, admin->ctx,
                                 NGX_HTTP_BAD_REQUEST, &fault, 1);
}


/* Changes leave a trace. */

static void
ngx_http_zapier_admin_log(ngx_http_zapier_admin_t *admin)
{
    const char  *what;

    switch (admin->op.verb) {

    case NGX_ZAPIER_STORE_PUT:
        what = "put";
        break;

    case NGX_ZAPIER_STORE_DELETE:
        what = "deleted";
        break;

    case NGX_ZAPIER_STORE_CLEAR:
        what = "cleared";
        break;

    default:
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, admin->request->connection->log, 0,
                  "zapier: token record of tenant \"%V\" was %s by an "
                  "operator", &admin->op.tenant, what);
}


/* LIST: a page of them, else the one */

static ngx_buf_t *
ngx_http_zapier_admin_records(ngx_http_zapier_admin_t *admin)
{
    size_t                        len;
    time_t                        now;
    ngx_buf_t                    *b;
    ngx_uint_t                    i;
    ngx_zapier_store_op_t        *op;
    ngx_zapier_store_record_t    *record;
    ngx_http_zapier_main_conf_t  *zmcf;

    zmcf = ngx_http_get_module_main_conf(admin->request,
                                         ngx_http_zapier_module);

    now = ngx_zapier_token_now(zmcf->tokens);

    op = &admin->op;
    record = op->records.elts;

    len = sizeof("{\"data\":[],\"next\":\"\"}\n") + op->next.len;

    for (i = 0; i < op->records.nelts; i++) {
        len += NGX_HTTP_ZAPIER_RECORD_LEN
               + ngx_zapier_json_quote(NULL, record[i].tenant.data,
                                       record[i].tenant.len)
               + ngx_zapier_json_quote(NULL, record[i].scope.data,
                                       record[i].scope.len);
    }

    b = ngx_create_temp_buf(op->pool, len);
    if (b == NULL) {
        return NULL;
    }

    if (op->verb == NGX_ZAPIER_STORE_LIST) {
        b->last = ngx_http_zapier_put(b->last, "{\"data\":[");
    }

    for (i = 0; i < op->records.nelts; i++) {

        if (i != 0) {
            *b->last++ = ',';
        }

        b->last = ngx_http_zapier_admin_record(b->last, now, &record[i]);
    }

    if (op->verb == NGX_ZAPIER_STORE_LIST) {
        b->last = ngx_http_zapier_put(b->last, "],\"next\":");

        if (op->next.len == 1 && op->next.data[0] == '0') {
            b->last = ngx_http_zapier_put(b->last, "null");

        } else {
            b->last = (u_char *) ngx_zapier_json_quote(b->last, op->next.data,
                                                       op->next.len);
        }

        *b->last++ = '}';
    }

    *b->last++ = LF;

    b->last_buf = 1;
    b->last_in_chain = 1;

    return b;
}


static u_char *
ngx_http_zapier_admin_record(u_char *p, time_t now,
    ngx_zapier_store_record_t *record)
{
    ngx_str_t   state;
    ngx_uint_t  ends;

    state.len = ngx_strlen(record->state);
    state.data = (u_char *) record->state;

    ends = (record->expires != 0);

    *p++ = '{';

    p = ngx_http_zapier_admin_string(p, "tenant", &record->tenant);
    p = ngx_http_zapier_admin_string(p, "state", &state);
    p = ngx_http_zapier_admin_number(p, "expires_at", record->expires, ends);
    p = ngx_http_zapier_admin_number(p, "expires_in",
                                     record->expires - now, ends);
    p = ngx_http_zapier_admin_number(p, "version", record->version, 1);
    p = ngx_http_zapier_admin_string(p, "scope", &record->scope);
    p = ngx_http_zapier_admin_flag(p, "refreshable", record->refreshable);
    p = ngx_http_zapier_admin_flag(p, "sealed", record->sealed);

    /* instead of the last comma */

    *(p - 1) = '}';

    return p;
}


u_char *
ngx_http_zapier_admin_string(u_char *p, const char *name, ngx_str_t *value)
{
    p = ngx_sprintf(p, "\"%s\":", name);

    if (value->data == NULL) {
        return ngx_http_zapier_put(p, "null,");
    }

    p = (u_char *) ngx_zapier_json_quote(p, value->data, value->len);
    *p++ = ',';

    return p;
}


u_char *
ngx_http_zapier_admin_number(u_char *p, const char *name, int64_t n,
    ngx_uint_t there)
{
    if (!there) {
        return ngx_sprintf(p, "\"%s\":null,", name);
    }

    return ngx_sprintf(p, "\"%s\":%L,", name, n);
}


u_char *
ngx_http_zapier_admin_flag(u_char *p, const char *name, ngx_uint_t flag)
{
    return ngx_sprintf(p, "\"%s\":%s,", name, flag ? "true" : "false");
}


void
ngx_http_zapier_admin_send(ngx_http_zapier_admin_t *admin, ngx_uint_t status,
    ngx_buf_t *b)
{
    ngx_int_t            rc;
    ngx_chain_t          out;
    ngx_http_request_t  *r;

    r = admin->request;

    r->headers_out.status = status;

    if (b != NULL) {
        r->headers_out.content_length_n = b->last - b->pos;

        ngx_str_set(&r->headers_out.content_type, "application/json");
        r->headers_out.content_type_len = r->headers_out.content_type.len;
        r->headers_out.content_type_lowcase = NULL;

    } else {
        r->header_only = 1;
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_OK && !r->header_only) {
        out.buf = b;
        out.next = NULL;

        rc = ngx_http_output_filter(r, &out);
    }

    ngx_http_finalize_request(r, rc);
}
