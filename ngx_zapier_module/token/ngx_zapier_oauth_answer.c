
/*
 * Answers of the token endpoint, see ngx_zapier_oauth.h.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_jansson.h>
#include <ngx_zapier_oauth.h>
#include <ngx_zapier_record.h>


/*
 * An error code is not logged if it has so many bytes in common with the
 * request; the names of OAuth parameters have fewer
 */
#define NGX_ZAPIER_OAUTH_ECHO_LEN  16


static json_t *ngx_zapier_oauth_load(ngx_str_t *text);
static ngx_int_t ngx_zapier_oauth_granted(json_t *object, ngx_pool_t *pool,
    ngx_zapier_oauth_answer_t *answer);
static ngx_int_t ngx_zapier_oauth_check(ngx_zapier_oauth_answer_t *answer,
    const char **fault);
static ngx_int_t ngx_zapier_oauth_keep(ngx_pool_t *pool,
    ngx_zapier_oauth_answer_t *answer);
static u_char *ngx_zapier_oauth_copy(u_char *p, ngx_str_t *text);
static ngx_int_t ngx_zapier_oauth_text(json_t *value, ngx_str_t *text);
static int64_t ngx_zapier_oauth_expires_in(json_t *value);
static int64_t ngx_zapier_oauth_seconds(ngx_str_t *text);

static ngx_zapier_oauth_result_e ngx_zapier_oauth_refusal(
    ngx_zapier_oauth_call_t *call, ngx_str_t *code);
static ngx_uint_t ngx_zapier_oauth_invalid_grant(ngx_str_t *code);
static void ngx_zapier_oauth_code(json_t *object, ngx_str_t *code);
static ngx_uint_t ngx_zapier_oauth_echo(ngx_str_t *code, ngx_str_t *body);
static ngx_int_t ngx_zapier_oauth_error(ngx_pool_t *pool, ngx_str_t *text,
    ngx_str_t *error);


ngx_int_t
ngx_zapier_oauth_parse(ngx_zapier_oauth_call_t *call, ngx_pool_t *pool,
    ngx_zapier_oauth_answer_t *answer)
{
    json_t     *json;
    ngx_int_t   rc;
    ngx_str_t   code;

    ngx_memzero(answer, sizeof(ngx_zapier_oauth_answer_t));
    answer->expires_in = -1;

    if (call->status == 0) {
        answer->result = call->sent ? NGX_ZAPIER_OAUTH_UNKNOWN
                                    : NGX_ZAPIER_OAUTH_TRANSIENT;
        ngx_str_set(&answer->error, "no answer");
        return NGX_OK;
    }

    json = ngx_zapier_oauth_load(&call->answer);

    ngx_zapier_oauth_code(json, &code);

    if (call->status < 300) {

        /* "no access_token", unless the answer knows better */

        answer->result = NGX_ZAPIER_OAUTH_UNKNOWN;
        rc = NGX_DECLINED;

        if (call->status >= 200) {
            rc = ngx_zapier_oauth_granted(json, pool, answer);
        }

        if (rc == NGX_DECLINED && code.len == 0) {
            ngx_str_set(&code, "no access_token");
        }

    } else {
        answer->result = ngx_zapier_oauth_refusal(call, &code);
        rc = NGX_DECLINED;
    }

    if (rc == NGX_DECLINED) {
        code.len = ngx_min(code.len, NGX_ZAPIER_OAUTH_ERROR_LEN);

        if (ngx_zapier_oauth_echo(&code, &call->body)) {
            ngx_str_set(&code, "(holds a part of the request)");
        }

        rc = ngx_zapier_oauth_error(pool, &code, &answer->error);
    }

    ngx_zapier_jansson_free(json);

    return rc;
}


/* NULL: no JSON */

static json_t *
ngx_zapier_oauth_load(ngx_str_t *text)
{
    if (text->len == 0 || text->len > NGX_ZAPIER_OAUTH_ANSWER_LEN) {
        return NULL;
    }

    /* integers as doubles: a huge expires_in is no reason to lose a token */

    return ngx_zapier_jansson_load(text, JSON_REJECT_DUPLICATES
                                         |JSON_DECODE_INT_AS_REAL, NULL);
}


/*
 * NGX_OK        answer is filled, or its error says why it is not
 * NGX_DECLINED  there is no access token
 * NGX_ERROR     no memory
 */

static ngx_int_t
ngx_zapier_oauth_granted(json_t *object, ngx_pool_t *pool,
    ngx_zapier_oauth_answer_t *answer)
{
    ngx_str_t                   text;
    const char                 *fault;
    ngx_zapier_oauth_answer_t   found;
    u_char                      buf[NGX_ZAPIER_OAUTH_ERROR_LEN];

    found = *answer;

    switch (ngx_zapier_oauth_text(json_object_get(object, "access_token"),
                                  &found.access_token))
    {
    case NGX_DECLINED:
        return NGX_DECLINED;

    case NGX_ERROR:
        fault = "access_token";
        goto malformed;
    }

    if (ngx_zapier_oauth_text(json_object_get(object, "refresh_token"),
                              &found.refresh_token)
        == NGX_ERROR)
    {
        fault = "refresh_token";
        goto malformed;
    }

    /* what is no string here is as good as absent */

    (void) ngx_zapier_oauth_text(json_object_get(object, "scope"),
                                 &found.scope);

    (void) ngx_zapier_oauth_text(json_object_get(object, "token_type"),
                                 &found.token_type);

    found.expires_in = ngx_zapier_oauth_expires_in(
                           json_object_get(object, "expires_in"));

    if (ngx_zapier_oauth_check(&found, &fault) == NGX_OK) {

        found.result = NGX_ZAPIER_OAUTH_GRANTED;
        *answer = found;

        return ngx_zapier_oauth_keep(pool, answer);
    }

malformed:

    text.data = buf;
    text.len = ngx_snprintf(buf, sizeof(buf), "malformed %s", fault) - buf;

    return ngx_zapier_oauth_error(pool, &text, &answer->error);
}


/* Will the record be one that can be read again? */

static ngx_int_t
ngx_zapier_oauth_check(ngx_zapier_oauth_answer_t *answer, const char **fault)
{
    size_t                i;
    ngx_str_t            *token;
    ngx_zapier_record_t   record;

    ngx_memzero(&record, sizeof(ngx_zapier_record_t));

    record.access_token = answer->access_token;
    record.scope = answer->scope;
    record.token_type = answer->token_type;

    if (ngx_zapier_record_check(&record) != NGX_OK) {
        *fault = record.fault;
        return NGX_ERROR;
    }

    /* VSCHAR of RFC 6749 A.17, and nothing that looks encrypted */

    token = &answer->refresh_token;
    *fault = "refresh_token";

    if (token->len > NGX_ZAPIER_RECORD_TOKEN_LEN
        || (token->len >= 4 && ngx_strncmp(token->data, "enc:", 4) == 0))
    {
        return NGX_ERROR;
    }

    for (i = 0; i < token->len; i++) {
        if (token->data[i] < 0x20 || token->data[i] > 0x7e) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* Moves the strings from jansson's memory to the pool's. */

static ngx_int_t
ngx_zapier_oauth_keep(ngx_pool_t *pool, ngx_zapier_oauth_answer_t *answer)
{
    u_char  *p;

    p = ngx_zapier_oauth_alloc(pool, answer->access_token.len
                                     + answer->refresh_token.len
                                     + answer->scope.len
                                     + answer->token_type.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p = ngx_zapier_oauth_copy(p, &answer->access_token);
    p = ngx_zapier_oauth_copy(p, &answer->refresh_token);
    p = ngx_zapier_oauth_copy(p, &answer->scope);
    ngx_zapier_oauth_copy(p, &answer->token_type);

    return NGX_OK;
}


static u_char *
ngx_zapier_oauth_copy(u_char *p, ngx_str_t *text)
{
    if (text->data == NULL) {
        return p;
    }

    ngx_memcpy(p, text->data, text->len);
    text->data = p;

    return p + text->len;
}


/* NGX_DECLINED: absent, null or empty; NGX_ERROR: another type */

static ngx_int_t
ngx_zapier_oauth_text(json_t *value, ngx_str_t *text)
{
    ngx_str_null(text);

    if (value == NULL || json_is_null(value)) {
        return NGX_DECLINED;
    }

    if (!json_is_string(value)) {
        return NGX_ERROR;
    }

    if (json_string_length(value) == 0) {
        return NGX_DECLINED;
    }

    text->data = (u_char *) json_string_value(value);
    text->len = json_string_length(value);

    return NGX_OK;
}


static int64_t
ngx_zapier_oauth_expires_in(json_t *value)
{
    double     n;
    ngx_str_t  text;

    if (ngx_zapier_oauth_text(value, &text) == NGX_OK) {
        return ngx_zapier_oauth_seconds(&text);
    }

    if (!json_is_number(value)) {
        return -1;
    }

    n = json_number_value(value);

    if (n <= 0) {
        return 0;
    }

    return (n < NGX_ZAPIER_OAUTH_EXPIRES_IN) ? (int64_t) n
                                             : NGX_ZAPIER_OAUTH_EXPIRES_IN;
}


/* Decimal seconds, a fraction is cut off; -1: something else */

static int64_t
ngx_zapier_oauth_seconds(ngx_str_t *text)
{
    u_char      *p, *start, *last;
    int64_t      n;
    ngx_uint_t   negative;

    p = text->data;
    last = p + text->len;

    negative = (*p == '-');
    p += negative;

    start = p;

    for (n = 0; p < last && *p >= '0' && *p <= '9'; p++) {
        n = ngx_min(n * 10 + (*p - '0'), NGX_ZAPIER_OAUTH_EXPIRES_IN);
    }

    if (p == start) {
        return -1;
    }

    if (p < last && *p == '.') {
        do { p++; } while (p < last && *p >= '0' && *p <= '9');
    }

    if (p < last) {
        return -1;
    }

    return negative ? 0 : n;
}


static ngx_zapier_oauth_result_e
ngx_zapier_oauth_refusal(ngx_zapier_oauth_call_t *call, ngx_str_t *code)
{
    switch (call->status) {

    case 400:
    case 401:
        if (ngx_zapier_oauth_invalid_grant(code)) {
            return NGX_ZAPIER_OAUTH_DEAD;
        }

        return NGX_ZAPIER_OAUTH_REFUSED;

    case 408:
    case 409:
    case 423:
    case 425:
    case 429:
        return NGX_ZAPIER_OAUTH_TRANSIENT;

    default:
        return (call->status < 500) ? NGX_ZAPIER_OAUTH_REFUSED
                                    : NGX_ZAPIER_OAUTH_TRANSIENT;
    }
}


/* Zapier has been seen to write "invalid grant". */

static ngx_uint_t
ngx_zapier_oauth_invalid_grant(ngx_str_t *code)
{
    return code->len == sizeof("invalid_grant") - 1
           && ngx_strncasecmp(code->data, (u_char *) "invalid", 7) == 0
           && (code->data[7] == '_' || code->data[7] == ' ')
           && ngx_strncasecmp(code->data + 8, (u_char *) "grant", 5) == 0;
}


/*
 * "error" is a code or an object that has one; "errors" is a list of
 * these.  Texts for people are left alone: they may quote a token.
 */

static void
ngx_zapier_oauth_code(json_t *object, ngx_str_t *code)
{
    json_t      *error;
    ngx_uint_t   i;

    static const char  *names[] = { "code", "error", "type" };

    error = json_object_get(object, "error");

    if (error == NULL) {
        error = json_array_get(json_object_get(object, "errors"), 0);
    }

    if (ngx_zapier_oauth_text(error, code) == NGX_OK) {
        return;
    }

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {

        if (ngx_zapier_oauth_text(json_object_get(error, names[i]), code)
            == NGX_OK)
        {
            return;
        }
    }
}


static ngx_uint_t
ngx_zapier_oauth_echo(ngx_str_t *code, ngx_str_t *body)
{
    size_t  i, j;

    for (i = 0; i + NGX_ZAPIER_OAUTH_ECHO_LEN <= code->len; i++) {

        for (j = 0; j + NGX_ZAPIER_OAUTH_ECHO_LEN <= body->len; j++) {

            if (ngx_memcmp(code->data + i, body->data + j,
                           NGX_ZAPIER_OAUTH_ECHO_LEN)
                == 0)
            {
                return 1;
            }
        }
    }

    return 0;
}


static ngx_int_t
ngx_zapier_oauth_error(ngx_pool_t *pool, ngx_str_t *text, ngx_str_t *error)
{
    u_char  ch;
    size_t  i;

    error->len = ngx_min(text->len, NGX_ZAPIER_OAUTH_ERROR_LEN);

    if (error->len == 0) {
        return NGX_OK;
    }

    error->data = ngx_pnalloc(pool, error->len);
    if (error->data == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < error->len; i++) {
        ch = text->data[i];

        error->data[i] = (ch < 0x20 || ch > 0x7e || ch == '"' || ch == '\\')
                         ? '?' : ch;
    }

    return NGX_OK;
}
