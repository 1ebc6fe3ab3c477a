
/*
 * Records as an operator is shown them: what became of the secrets, never
 * the secrets themselves.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_sha1.h>
#include <ngx_zapier_record.h>
#include <ngx_zapier_redis_resp.h>
#include <ngx_zapier_token_seal.h>
#include <ngx_zapier_token_store_private.h>
#include <ngx_zapier_wipe.h>


/* as they lie in Redis, in the order in which they are asked for */
typedef struct {
    ngx_str_t                   access_token;
    ngx_str_t                   refresh_token;
    ngx_str_t                   expires_at;
    ngx_str_t                   scope;
    ngx_str_t                   token_type;
    ngx_str_t                   version;
    ngx_str_t                   dead;
} ngx_zapier_store_fields_t;


static ngx_int_t ngx_zapier_store_fields(ngx_zapier_store_fields_t *fields,
    ngx_zapier_redis_reply_t *reply);
static ngx_int_t ngx_zapier_store_judge(ngx_zapier_store_state_t *state,
    ngx_zapier_store_record_t *record, ngx_zapier_store_fields_t *fields);
static ngx_int_t ngx_zapier_store_check(ngx_zapier_tokens_t *tokens,
    ngx_str_t *tenant, const char *name, ngx_str_t *value,
    ngx_zapier_record_t *record);
static ngx_uint_t ngx_zapier_store_is_dead(ngx_zapier_store_fields_t *fields);


ngx_int_t
ngx_zapier_store_record(ngx_zapier_store_state_t *state, ngx_str_t *tenant,
    ngx_zapier_redis_reply_t *reply)
{
    ngx_int_t                   rc;
    ngx_zapier_store_op_t      *op;
    ngx_zapier_store_fields_t   fields;
    ngx_zapier_store_record_t  *record;

    op = state->op;

    ngx_memzero(&fields, sizeof(ngx_zapier_store_fields_t));

    rc = ngx_zapier_store_fields(&fields, reply);

    if (rc == NGX_DECLINED) {
        return NGX_DECLINED;
    }

    if (rc == NGX_ERROR
        && !ngx_zapier_redis_reply_is(reply, NGX_ZAPIER_REDIS_ERROR,
                                      "WRONGTYPE"))
    {
        ngx_zapier_store_complain(reply);
        return NGX_ERROR;
    }

    record = ngx_array_push(&op->records);
    if (record == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(record, sizeof(ngx_zapier_store_record_t));

    record->state = "invalid";
    record->tenant.len = tenant->len;
    record->tenant.data = ngx_pstrdup(op->pool, tenant);
    if (record->tenant.data == NULL) {
        return NGX_ERROR;
    }

    if (rc == NGX_ERROR) {
        /* somebody's key that is not a hash */
        return NGX_OK;
    }

    return ngx_zapier_store_judge(state, record, &fields);
}


/* NGX_DECLINED: not one field is there; NGX_ERROR: no list of fields. */

static ngx_int_t
ngx_zapier_store_fields(ngx_zapier_store_fields_t *fields,
    ngx_zapier_redis_reply_t *reply)
{
    ngx_int_t   rc;
    ngx_str_t  *values[NGX_ZAPIER_STORE_FIELDS];
    ngx_uint_t  i;

    values[0] = &fields->access_token;
    values[1] = &fields->refresh_token;
    values[2] = &fields->expires_at;
    values[3] = &fields->scope;
    values[4] = &fields->token_type;
    values[5] = &fields->version;
    values[6] = &fields->dead;

    if (reply->type != NGX_ZAPIER_REDIS_ARRAY
        || reply->nelts != NGX_ZAPIER_STORE_FIELDS)
    {
        return NGX_ERROR;
    }

    rc = NGX_DECLINED;

    for (i = 0; i < NGX_ZAPIER_STORE_FIELDS; i++) {

        if (reply->elts[i]->type == NGX_ZAPIER_REDIS_STRING) {
            *values[i] = reply->elts[i]->str;
            rc = NGX_OK;

        } else if (reply->elts[i]->type != NGX_ZAPIER_REDIS_NIL) {
            return NGX_ERROR;
        }
    }

    return rc;
}


static ngx_int_t
ngx_zapier_store_judge(ngx_zapier_store_state_t *state,
    ngx_zapier_store_record_t *record, ngx_zapier_store_fields_t *fields)
{
    ngx_int_t             rc, refresh;
    ngx_uint_t            dead;
    ngx_zapier_record_t   check;
    ngx_zapier_tokens_t  *tokens;

    tokens = state->tokens;

    if (fields->version.len != 0) {
        record->version = ngx_atoof(fields->version.data, fields->version.len);
        record->version = ngx_max(record->version, 0);
    }

    ngx_memzero(&check, sizeof(ngx_zapier_record_t));

    refresh = ngx_zapier_store_check(tokens, &record->tenant, "refresh_token",
                                     &fields->refresh_token, &check);

    check.expires_at = fields->expires_at;
    check.scope = fields->scope;
    check.token_type = fields->token_type;

    rc = ngx_zapier_store_check(tokens, &record->tenant, "access_token",
                                &fields->access_token, &check);

    dead = ngx_zapier_store_is_dead(fields);

    record->refreshable = (refresh == NGX_OK && !dead);

    record->sealed = (tokens->keyring != NULL
                      && ngx_zapier_seal_is_current(tokens->keyring,
                                                    &fields->access_token)
                      && (refresh == NGX_DECLINED
                          || ngx_zapier_seal_is_current(tokens->keyring,
                                                    &fields->refresh_token)));

    if (rc == NGX_ERROR || refresh == NGX_ERROR) {
        return NGX_OK;
    }

    if (rc == NGX_DECLINED) {

        /* an access token can be had for the other one */

        if (record->refreshable) {
            record->state = "expired";
        }

        return NGX_OK;
    }

    record->expires = check.expires;

    if (dead) {
        record->state = "dead";

    } else if (check.expires != 0
               && check.expires <= ngx_zapier_token_now(tokens))
    {
        record->state = "expired";

    } else {
        record->state = "valid";
    }

    if (check.scope.data != NULL) {
        record->scope.len = check.scope.len;
        record->scope.data = ngx_pstrdup(state->op->pool, &check.scope);

        if (record->scope.data == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * Would the token be used?  As ngx_zapier_record_check(), with the token
 * opened for the while and gone afterwards.
 */

static ngx_int_t
ngx_zapier_store_check(ngx_zapier_tokens_t *tokens, ngx_str_t *tenant,
    const char *name, ngx_str_t *value, ngx_zapier_record_t *record)
{
    u_char                   buf[NGX_ZAPIER_UNSEAL_LEN];
    ngx_int_t                rc;
    ngx_str_t                field;
    ngx_zapier_seal_fault_e  fault;

    if (value->len == 0) {
        return NGX_DECLINED;
    }

    field.len = ngx_strlen(name);
    field.data = (u_char *) name;

    rc = ngx_zapier_unseal(tokens->keyring, tenant, &field, value, buf,
                           &record->access_token, &fault);

    if (rc == NGX_ERROR || (rc == NGX_DECLINED && tokens->key_required)) {
        rc = NGX_ERROR;

    } else {
        rc = ngx_zapier_record_check(record);
    }

    ngx_zapier_wipe(buf, NGX_ZAPIER_UNSEAL_LEN);
    ngx_str_null(&record->access_token);

    return rc;
}


/* The mark holds only for the refresh token that it was made for. */

static ngx_uint_t
ngx_zapier_store_is_dead(ngx_zapier_store_fields_t *fields)
{
    u_char      digest[20], text[40];
    ngx_sha1_t  sha1;

    if (fields->refresh_token.len == 0 || fields->dead.len != sizeof(text)) {
        return 0;
    }

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, fields->refresh_token.data,
                    fields->refresh_token.len);
    ngx_sha1_final(digest, &sha1);

    ngx_hex_dump(text, digest, sizeof(digest));

    return ngx_memcmp(text, fields->dead.data, sizeof(text)) == 0;
}


void
ngx_zapier_store_complain(ngx_zapier_redis_reply_t *reply)
{
    size_t  len;
    u_char  text[NGX_ZAPIER_REDIS_TEXT_LEN];

    if (reply->type != NGX_ZAPIER_REDIS_ERROR) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "Redis gave an answer about token records that is not "
                      "one to the question");
        return;
    }

    len = ngx_zapier_redis_reply_text(reply, text);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "Redis refused to work on token records: \"%*s\"",
                  len, text);
}
