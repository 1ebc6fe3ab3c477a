
/*
 * The answer of Redis to the question for a record.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_sha1.h>
#include <ngx_zapier_token_private.h>
#include <ngx_zapier_wipe.h>


/* bytes of an error reply that are logged */
#define NGX_ZAPIER_TOKEN_COMPLAINT  128


static ngx_uint_t ngx_zapier_token_dead(ngx_str_t *refresh_token,
    ngx_str_t *mark);
static ngx_int_t ngx_zapier_token_unseal(ngx_zapier_tokens_t *tokens,
    ngx_str_t *tenant, ngx_str_t *field, ngx_str_t *stored, u_char *buf,
    ngx_str_t *plain);


ngx_str_t  ngx_zapier_token_fields[NGX_ZAPIER_TOKEN_FIELDS] = {
    ngx_string("access_token"),
    ngx_string("refresh_token"),
    ngx_string("expires_at"),
    ngx_string("scope"),
    ngx_string("token_type"),
    ngx_string("dead")
};


ngx_int_t
ngx_zapier_token_decode(ngx_zapier_token_worker_t *worker, ngx_str_t *tenant,
    ngx_zapier_redis_reply_t *reply, ngx_zapier_token_value_t *value)
{
    ngx_str_t  unexpected;

    ngx_zapier_token_value_init(value);

    if (reply->type == NGX_ZAPIER_REDIS_ERROR) {

        if (reply->str.len >= 9
            && ngx_strncmp(reply->str.data, "WRONGTYPE", 9) == 0)
        {
            value->source = NGX_ZAPIER_TOKEN_MISS;
            value->result = NGX_ZAPIER_TOKEN_INVALID;

            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "token record of tenant \"%V\" is not a hash",
                          tenant);
            return NGX_OK;
        }

        ngx_zapier_token_complain(worker, &reply->str);
        return NGX_DECLINED;
    }

    if (reply->type != NGX_ZAPIER_REDIS_ARRAY
        || reply->nelts != NGX_ZAPIER_TOKEN_FIELDS)
    {
        ngx_str_set(&unexpected, "not the fields of a record");
        ngx_zapier_token_complain(worker, &unexpected);

        return NGX_DECLINED;
    }

    return ngx_zapier_token_decode_fields(worker, tenant, reply->elts, value);
}


ngx_int_t
ngx_zapier_token_decode_fields(ngx_zapier_token_worker_t *worker,
    ngx_str_t *tenant, ngx_zapier_redis_reply_t **fields,
    ngx_zapier_token_value_t *value)
{
    u_char                buf[NGX_ZAPIER_UNSEAL_LEN];
    ngx_int_t             rc;
    ngx_str_t             refresh_token, unexpected;
    ngx_uint_t            i, refreshable;
    ngx_zapier_record_t   record;
    ngx_zapier_tokens_t  *tokens;

    ngx_zapier_token_value_zero(value);
    ngx_zapier_token_value_init(value);

    value->source = NGX_ZAPIER_TOKEN_MISS;
    value->result = NGX_ZAPIER_TOKEN_INVALID;

    for (i = 0; i < NGX_ZAPIER_TOKEN_FIELDS; i++) {

        if (fields[i]->type != NGX_ZAPIER_REDIS_STRING
            && fields[i]->type != NGX_ZAPIER_REDIS_NIL)
        {
            ngx_str_set(&unexpected, "a field is not a string");
            ngx_zapier_token_complain(worker, &unexpected);

            return NGX_DECLINED;
        }
    }

    tokens = worker->tokens;

    ngx_memzero(&record, sizeof(ngx_zapier_record_t));

    refresh_token = fields[1]->str;
    record.expires_at = fields[2]->str;
    record.scope = fields[3]->str;
    record.token_type = fields[4]->str;

    refreshable = ngx_zapier_token_minted(tenant)
                  || (refresh_token.len != 0
                      && !ngx_zapier_token_dead(&refresh_token,
                                                &fields[5]->str));

    rc = ngx_zapier_token_unseal(tokens, tenant, &ngx_zapier_token_fields[0],
                                 &fields[0]->str, buf, &record.access_token);

    if (rc == NGX_OK) {
        ngx_zapier_token_decode_record(tokens, tenant, &record, refreshable,
                                       value);
    }

    ngx_zapier_wipe(buf, sizeof(buf));

    return NGX_OK;
}


/* The mark names the refresh token it is for. */

static ngx_uint_t
ngx_zapier_token_dead(ngx_str_t *refresh_token, ngx_str_t *mark)
{
    u_char      digest[20], text[40];
    ngx_sha1_t  sha1;

    if (mark->len != sizeof(text)) {
        return 0;
    }

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, refresh_token->data, refresh_token->len);
    ngx_sha1_final(digest, &sha1);

    ngx_hex_dump(text, digest, sizeof(digest));

    return ngx_memcmp(mark->data, text, sizeof(text)) == 0;
}


ngx_int_t
ngx_zapier_token_open(ngx_zapier_tokens_t *tokens, ngx_str_t *tenant,
    ngx_str_t *field, ngx_str_t *stored, ngx_pool_t *pool, ngx_str_t *plain)
{
    u_char     *buf;
    ngx_int_t   rc;
    ngx_str_t   opened;

    buf = ngx_zapier_oauth_alloc(pool, NGX_ZAPIER_UNSEAL_LEN);
    if (buf == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_zapier_token_unseal(tokens, tenant, field, stored, buf, &opened);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    *plain = opened;

    return NGX_OK;
}


/* *plain is in buf or what was stored. */

static ngx_int_t
ngx_zapier_token_unseal(ngx_zapier_tokens_t *tokens, ngx_str_t *tenant,
    ngx_str_t *field, ngx_str_t *stored, u_char *buf, ngx_str_t *plain)
{
    ngx_int_t                rc;
    ngx_zapier_seal_fault_e  fault;

    ngx_str_null(plain);

    if (stored->len == 0) {
        return NGX_OK;
    }

    rc = NGX_ERROR;
    fault = NGX_ZAPIER_SEAL_MALFORMED;

    if (stored->len <= NGX_ZAPIER_SEAL_VALUE_LEN) {
        rc = ngx_zapier_unseal(tokens->keyring, tenant, field, stored, buf,
                               plain, &fault);
    }

    if (rc == NGX_OK) {
        return NGX_OK;
    }

    if (rc == NGX_DECLINED) {

        if (!tokens->key_required) {
            return NGX_OK;
        }

        ngx_zapier_token_count(tokens, plain_refused);

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "token record of tenant \"%V\" has a plain \"%V\", but "
                      "\"zapier_token_key\" says \"required\"",
                      tenant, field);
        return NGX_ERROR;
    }

    if (fault == NGX_ZAPIER_SEAL_UNKNOWN_KEY) {
        ngx_zapier_token_count(tokens, unseal_unknown_key);

    } else {
        ngx_zapier_token_count(tokens, unseal_failed);
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "token record of tenant \"%V\": \"%V\" %s",
                  tenant, field, ngx_zapier_seal_reason(fault));

    return NGX_ERROR;
}


void
ngx_zapier_token_decode_record(ngx_zapier_tokens_t *tokens, ngx_str_t *tenant,
    ngx_zapier_record_t *record, ngx_uint_t refreshable,
    ngx_zapier_token_value_t *value)
{
    u_char     *p;
    ngx_int_t   rc;

    value->refreshable = refreshable;

    rc = ngx_zapier_record_check(record);

    if (rc == NGX_DECLINED) {
        value->result = NGX_ZAPIER_TOKEN_MISSING;
        return;
    }

    if (rc == NGX_ERROR) {

        /* the name of the field only, its value may be a secret */

        value->result = NGX_ZAPIER_TOKEN_INVALID;

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "token record of tenant \"%V\" has a wrong \"%s\"",
                      tenant, record->fault);
        return;
    }

    value->expires = record->expires;

    if (record->expires != 0
        && record->expires <= ngx_zapier_token_now(tokens))
    {
        value->result = ngx_zapier_token_expired(tokens, refreshable);
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

void
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
