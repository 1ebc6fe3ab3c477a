
/*
 * The language of the token endpoint, as a libFuzzer target.  The first
 * byte of the input chooses a status, the rest is
 *
 *   - an answer: whatever is made of it, it fits status, record and log
 *   - the value of a parameter, the client's id and secret: they come out
 *     of the encoding as they went in
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_oauth.h>
#include <ngx_zapier_record.h>


#define fuzz_check(cond)                                                     \
    if (!(cond)) {                                                           \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);           \
        abort();                                                             \
    }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_parse(ngx_uint_t status, ngx_str_t *text);
static void fuzz_granted(ngx_zapier_oauth_answer_t *answer);
static void fuzz_request(ngx_str_t *text);
static void fuzz_decoded(u_char *p, size_t len, ngx_str_t *text);


static ngx_log_t  silent;


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_str_t  text;

    static const ngx_uint_t  statuses[] = { 200, 400, 401, 403, 429, 500, 0,
                                            302 };

    if (size == 0) {
        return 0;
    }

    text.len = size - 1;
    text.data = malloc(size);
    ngx_memcpy(text.data, data + 1, text.len);

    fuzz_parse(statuses[data[0] % 8], &text);
    fuzz_request(&text);

    free(text.data);

    return 0;
}


static void
fuzz_parse(ngx_uint_t status, ngx_str_t *text)
{
    size_t                      i;
    ngx_pool_t                 *pool;
    ngx_zapier_oauth_call_t     call;
    ngx_zapier_oauth_answer_t   answer;

    pool = ngx_create_pool(4096, &silent);

    ngx_memzero(&call, sizeof(ngx_zapier_oauth_call_t));
    call.status = status;
    call.answer = *text;

    fuzz_check(ngx_zapier_oauth_parse(&call, pool, &answer) == NGX_OK);

    fuzz_check(answer.error.len <= NGX_ZAPIER_OAUTH_ERROR_LEN);

    for (i = 0; i < answer.error.len; i++) {
        fuzz_check(answer.error.data[i] >= ' ' && answer.error.data[i] < 0x7f);
    }

    switch (answer.result) {

    case NGX_ZAPIER_OAUTH_GRANTED:
        fuzz_check(status == 200);
        fuzz_granted(&answer);
        break;

    case NGX_ZAPIER_OAUTH_DEAD:
        fuzz_check(status == 400 || status == 401);
        break;

    case NGX_ZAPIER_OAUTH_REFUSED:
        fuzz_check(status >= 300 && status < 500 && status != 429);
        break;

    case NGX_ZAPIER_OAUTH_TRANSIENT:
        fuzz_check(status == 429 || status == 500 || status == 0);
        break;

    case NGX_ZAPIER_OAUTH_UNKNOWN:
        fuzz_check(status == 200);
        break;
    }

    ngx_destroy_pool(pool);
}


static void
fuzz_granted(ngx_zapier_oauth_answer_t *answer)
{
    size_t                i;
    ngx_zapier_record_t   record;

    ngx_memzero(&record, sizeof(ngx_zapier_record_t));

    record.access_token = answer->access_token;
    record.scope = answer->scope;
    record.token_type = answer->token_type;

    fuzz_check(ngx_zapier_record_check(&record) == NGX_OK);

    for (i = 0; i < answer->refresh_token.len; i++) {
        fuzz_check(answer->refresh_token.data[i] >= ' '
                   && answer->refresh_token.data[i] < 0x7f);
    }

    fuzz_check(answer->expires_in >= -1
               && answer->expires_in <= NGX_ZAPIER_OAUTH_EXPIRES_IN);
}


static void
fuzz_request(ngx_str_t *text)
{
    size_t                     half;
    u_char                    *p, *end;
    ngx_pool_t                *pool;
    ngx_zapier_oauth_t         oauth;
    ngx_zapier_oauth_call_t    call;
    ngx_zapier_oauth_param_t   param;

    pool = ngx_create_pool(4096, &silent);

    half = text->len / 2;

    ngx_memzero(&oauth, sizeof(ngx_zapier_oauth_t));
    oauth.in_body = 1;
    oauth.client_id.data = text->data;
    oauth.client_id.len = half;
    oauth.client_secret.data = text->data + half;
    oauth.client_secret.len = text->len - half;

    ngx_str_set(&param.name, "code");
    param.value = *text;

    fuzz_check(ngx_zapier_oauth_request(&oauth, pool, &param, 1, &call)
               == NGX_OK);

    p = call.body.data;
    end = p + call.body.len;

#define fuzz_param(name, value)                                              \
    fuzz_check((size_t) (end - p) >= sizeof(name) - 1                        \
               && ngx_memcmp(p, name, sizeof(name) - 1) == 0);               \
    p += sizeof(name) - 1;                                                   \
                                                                             \
    {                                                                        \
    u_char  *next = memchr(p, '&', end - p);                                 \
                                                                             \
    fuzz_decoded(p, (next ? next : end) - p, value);                         \
    p = next ? next + 1 : end;                                               \
    }

    fuzz_param("code=", text);
    fuzz_param("client_id=", &oauth.client_id);

    if (oauth.client_secret.len) {
        fuzz_param("client_secret=", &oauth.client_secret);
    }

    fuzz_check(p == end);

    ngx_destroy_pool(pool);
}


static void
fuzz_decoded(u_char *p, size_t len, ngx_str_t *text)
{
    size_t   i;
    u_char   ch, *last;

    last = p + len;

    for (i = 0; i < text->len; i++) {
        fuzz_check(p < last);

        ch = *p++;

        if (ch == '+') {
            ch = ' ';

        } else if (ch == '%') {
            fuzz_check(last - p >= 2);
            ch = (u_char) ngx_hextoi(p, 2);
            p += 2;
        }

        fuzz_check(ch == text->data[i]);
    }

    fuzz_check(p == last);
}
