
/*
 * The answer of Redis to the question for a record.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_token_private.h>


/* bytes of an error reply that are logged */
#define NGX_ZAPIER_TOKEN_COMPLAINT  128


static void ngx_zapier_token_decode_record(ngx_str_t *tenant,
    ngx_zapier_record_t *record, ngx_zapier_token_value_t *value);
static void ngx_zapier_token_complain(ngx_zapier_token_worker_t *worker,
    ngx_str_t *error);


ngx_int_t
ngx_zapier_token_decode(ngx_zapier_token_worker_t *worker, ngx_str_t *tenant,
    ngx_zapier_redis_reply_t *reply, ngx_zapier_token_value_t *value)
{
    ngx_str_t            *fields[4], unexpected;
    ngx_uint_t            i;
    ngx_zapier_record_t   record;

    value->source = NGX_ZAPIER_TOKEN_MISS;
    value->result = NGX_ZAPIER_TOKEN_INVALID;
    value->expires = 0;
    value->authorization_len = 0;
    value->scope_len = 0;

    if (reply->type == NGX_ZAPIER_REDIS_ERROR) {

        if (reply->str.len >= 9
            && ngx_strncmp(reply->str.data, "WRONGTYPE", 9) == 0)
        {
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "token record of tenant \"%V\" is not a hash",
                          tenant);
            return NGX_OK;
        }

        ngx_zapier_token_complain(worker, &reply->str);
        return NGX_DECLINED;
    }

    ngx_memzero(&record, sizeof(ngx_zapier_record_t));

    fields[0] = &record.access_token;
    fields[1] = &record.expires_at;
    fields[2] = &record.scope;
    fields[3] = &record.token_type;

    if (reply->type != NGX_ZAPIER_REDIS_ARRAY || reply->nelts != 4) {
        goto unexpected;
    }

    for (i = 0; i < 4; i++) {

        if (reply->elts[i]->type == NGX_ZAPIER_REDIS_STRING) {
            *fields[i] = reply->elts[i]->str;

        } else if (reply->elts[i]->type != NGX_ZAPIER_REDIS_NIL) {
            goto unexpected;
        }
    }

    ngx_zapier_token_decode_record(tenant, &record, value);

    return NGX_OK;

unexpected:

    ngx_str_set(&unexpected, "not four strings");
    ngx_zapier_token_complain(worker, &unexpected);

    return NGX_DECLINED;
}


static void
ngx_zapier_token_decode_record(ngx_str_t *tenant,
    ngx_zapier_record_t *record, ngx_zapier_token_value_t *value)
{
    u_char     *p;
    ngx_int_t   rc;

    rc = ngx_zapier_record_check(record);

    if (rc == NGX_DECLINED) {
        value->result = NGX_ZAPIER_TOKEN_MISSING;
        return;
    }

    if (rc == NGX_ERROR) {

        /* the name of the field only, its value may be a secret */

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "token record of tenant \"%V\" has a wrong \"%s\"",
                      tenant, record->fault);
        return;
    }

    value->expires = record->expires;

    if (record->expires != 0 && record->expires <= ngx_time()) {
        value->result = NGX_ZAPIER_TOKEN_EXPIRED;
        return;
    }

    value->result = NGX_ZAPIER_TOKEN_OK;

    p = ngx_zapier_record_authorization(value->data, record);
    value->authorization_len = p - value->data;

    if (record->scope.data) {
        ngx_memcpy(p, record->scope.data, record->scope.len);
        value->scope_len = record->scope.len;
    }
}


/* Once for each kind of error in a row; its first word is the kind. */

static void
ngx_zapier_token_complain(ngx_zapier_token_worker_t *worker,
    ngx_str_t *error)
{
    size_t      i, len;
    u_char      text[NGX_ZAPIER_TOKEN_COMPLAINT];
    uint32_t    crc;

    len = ngx_min(error->len, NGX_ZAPIER_TOKEN_COMPLAINT);

    for (i = 0; i < len && error->data[i] != ' '; i++) { /* void */ }

    crc = ngx_crc32_short(error->data, i);

    if (crc == worker->complaint) {
        return;
    }

    worker->complaint = crc;

    for (i = 0; i < len; i++) {
        text[i] = error->data[i];

        if (text[i] < ' ' || text[i] >= 0x7f) {
            text[i] = '?';
        }
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "Redis refused to read token records: \"%*s\"", len, text);
}
