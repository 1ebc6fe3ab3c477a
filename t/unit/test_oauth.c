
#include <unit.h>
#include <ngx_zapier_oauth.h>
#include <ngx_zapier_record.h>


#define GOOD  "{\"access_token\":\"at-1\",\"refresh_token\":\"rt-1\"," \
              "\"expires_in\":36000,\"scope\":\"zap action:run\"," \
              "\"token_type\":\"Bearer\"}"


static ngx_log_t                  unit_log;
static ngx_pool_t                *pool;
static ngx_zapier_oauth_call_t    call;
static ngx_zapier_oauth_answer_t  answer;


static void
renew(void)
{
    if (pool) {
        ngx_destroy_pool(pool);
    }

    pool = ngx_create_pool(4096, &unit_log);
}


static ngx_str_t
str(const char *s)
{
    ngx_str_t  v;

    v.len = ngx_strlen(s);
    v.data = (u_char *) s;

    return v;
}


/* the text is copied to its very size, so that the sanitizer sees overruns */

static ngx_int_t
parse_n(ngx_uint_t status, const char *text, size_t len)
{
    ngx_int_t   rc;
    u_char     *copy;

    renew();

    copy = malloc(len ? len : 1);
    ngx_memcpy(copy, text, len);

    call.status = status;
    call.sent = 1;
    call.answer.data = copy;
    call.answer.len = len;

    rc = ngx_zapier_oauth_parse(&call, pool, &answer);

    free(copy);

    return rc;
}


static void
parse(ngx_uint_t status, const char *text, ngx_zapier_oauth_result_e result)
{
    is_int(parse_n(status, text, ngx_strlen(text)), NGX_OK, text);
    is_int(answer.result, result, text);

    ok(answer.error.len <= NGX_ZAPIER_OAUTH_ERROR_LEN, "error is short");
}


static void
granted(const char *text)
{
    parse(200, text, NGX_ZAPIER_OAUTH_GRANTED);
}


static void
unknown(const char *text)
{
    parse(200, text, NGX_ZAPIER_OAUTH_UNKNOWN);
    ok(answer.access_token.data == NULL, "no token");
    ok(answer.error.len != 0, "a reason");
}


static void
expires(const char *value, int64_t expected)
{
    char  text[1024];

    snprintf(text, sizeof(text),
             "{\"access_token\":\"a\",\"expires_in\":%s}", value);

    granted(text);
    is_int(answer.expires_in, expected, value);
}


static void
error(ngx_uint_t status, const char *text, ngx_zapier_oauth_result_e result,
    const char *code)
{
    parse(status, text, result);
    is_str(&answer.error, code, "error code");
}


static void
grants(void)
{
    granted(GOOD);
    is_str(&answer.access_token, "at-1", "access token");
    is_str(&answer.refresh_token, "rt-1", "refresh token");
    is_str(&answer.scope, "zap action:run", "scope");
    is_str(&answer.token_type, "Bearer", "token type");
    is_int(answer.expires_in, 36000, "expires_in");
    is_int(answer.error.len, 0, "no error");

    granted("{\"access_token\":\"a\"}");
    ok(answer.refresh_token.data == NULL, "no refresh token");
    ok(answer.scope.data == NULL, "no scope");
    ok(answer.token_type.data == NULL, "no token type");
    is_int(answer.expires_in, -1, "no expires_in");

    granted("{\"access_token\":\"a\",\"refresh_token\":null,\"scope\":null,"
            "\"token_type\":null,\"expires_in\":null}");
    ok(answer.refresh_token.data == NULL, "null refresh token");
    ok(answer.scope.data == NULL, "null scope");
    is_int(answer.expires_in, -1, "null expires_in");

    granted("{\"access_token\":\"a\",\"refresh_token\":\"\",\"scope\":\"\"}");
    ok(answer.refresh_token.data == NULL, "empty refresh token");
    ok(answer.scope.data == NULL, "empty scope");

    granted(" \r\n\t{\"access_token\":\"a\",\"id\":{\"b\":[\"c\",{}]},"
            "\"scope\":[\"x\"],\"token_type\":7} \n");
    ok(answer.scope.data == NULL, "scope that is no string");
    ok(answer.token_type.data == NULL, "token_type that is no string");

    granted("{\"access_token\":\"a\\u002fb\\/c\"}");
    is_str(&answer.access_token, "a/b/c", "escapes");

    granted("{\"access_token\":\"a\",\"error\":\"none\"}");

    parse(201, GOOD, NGX_ZAPIER_OAUTH_GRANTED);
}


static void
lifetimes(void)
{
    expires("1", 1);
    expires("36000.9", 36000);
    expires("3.6e4", 36000);
    expires("0", 0);
    expires("-1", 0);
    expires("-1.5", 0);
    expires("0.5", 0);
    expires("315360000", 315360000);
    expires("315360001", 315360000);
    expires("9223372036854775807", 315360000);
    expires("9223372036854775808", 315360000);
    expires("99999999999999999999999999", 315360000);
    expires("-99999999999999999999999999", 0);
    expires("1e300", 315360000);
    expires("\"36000\"", 36000);
    expires("\"36000.75\"", 36000);
    expires("\"0\"", 0);
    expires("\"-36000\"", 0);
    expires("\"99999999999999999999999999\"", 315360000);
    expires("\"\"", -1);
    expires("\"-\"", -1);
    expires("\"10h\"", -1);
    expires("\" 1\"", -1);
    expires("true", -1);
    expires("[1]", -1);
    expires("{}", -1);
}


static void
misunderstood(void)
{
    char    *text;
    size_t   n;

    unknown("");
    unknown(" ");
    unknown("OK");
    unknown("<html></html>");
    unknown("null");
    unknown("[]");
    unknown("{}");
    unknown("\"access_token\"");
    unknown("[" GOOD "]");
    unknown(GOOD ",");
    unknown(GOOD "," GOOD);
    unknown("{}],[" GOOD);
    unknown("0,\"x\"]");
    unknown("access_token=a&expires_in=1");
    unknown("{\"access_token\":null}");
    unknown("{\"access_token\":\"\"}");
    unknown("{\"access_token\":7}");
    unknown("{\"access_token\":\"a b\"}");
    unknown("{\"access_token\":\"a\\r\\nX: y\"}");
    unknown("{\"access_token\":\"a\\u0000b\"}");
    unknown("{\"access_token\":\"\xc3\xa9\"}");
    unknown("{\"access_token\":\"a\xff\"}");
    unknown("{\"access_token\":\"enc:v1:k:x\"}");
    unknown("{\"access_token\":\"a\",\"access_token\":\"b\"}");
    unknown("{\"access_token\":\"a\",\"scope\":\"x\\ny\"}");
    unknown("{\"access_token\":\"a\",\"token_type\":\"be arer\"}");
    unknown("{\"access_token\":\"a\",\"refresh_token\":7}");
    is_str(&answer.error, "malformed refresh_token", "says so");
    unknown("{\"access_token\":\"a\",\"refresh_token\":\"r\\n\"}");
    unknown("{\"access_token\":\"a\",\"refresh_token\":\"enc:v1:k:x\"}");

    for (n = 1; n < sizeof(GOOD) - 1; n++) {
        is_int(parse_n(200, GOOD, n), NGX_OK, "a part of it");
        is_int(answer.result, NGX_ZAPIER_OAUTH_UNKNOWN, "unknown");
    }

    error(200, "{\"error\":\"invalid_grant\"}", NGX_ZAPIER_OAUTH_UNKNOWN,
          "invalid_grant");
    error(200, "", NGX_ZAPIER_OAUTH_UNKNOWN, "no access_token");
    error(101, GOOD, NGX_ZAPIER_OAUTH_UNKNOWN, "no access_token");

    /* longest tokens, longest answer */

    n = NGX_ZAPIER_OAUTH_ANSWER_LEN;
    text = malloc(n + 2);
    memset(text, ' ', n + 2);
    ngx_memcpy(text, GOOD, sizeof(GOOD) - 1);

    is_int(parse_n(200, text, n), NGX_OK, "longest answer");
    is_int(answer.result, NGX_ZAPIER_OAUTH_GRANTED, "granted");
    is_int(parse_n(200, text, n + 1), NGX_OK, "too long an answer");
    is_int(answer.result, NGX_ZAPIER_OAUTH_UNKNOWN, "unknown");

    memset(text, '[', n);
    is_int(parse_n(200, text, n), NGX_OK, "deep");
    is_int(answer.result, NGX_ZAPIER_OAUTH_UNKNOWN, "unknown");

    ngx_memcpy(text, "{\"access_token\":\"", 17);
    memset(text + 17, 'a', NGX_ZAPIER_RECORD_TOKEN_LEN + 1);
    n = 17 + NGX_ZAPIER_RECORD_TOKEN_LEN;
    ngx_memcpy(text + n, "\"}", 2);
    is_int(parse_n(200, text, n + 2), NGX_OK, "longest token");
    is_int(answer.result, NGX_ZAPIER_OAUTH_GRANTED, "granted");
    is_int(answer.access_token.len, NGX_ZAPIER_RECORD_TOKEN_LEN, "all of it");

    ngx_memcpy(text + n, "a\"}", 3);
    is_int(parse_n(200, text, n + 3), NGX_OK, "too long a token");
    is_int(answer.result, NGX_ZAPIER_OAUTH_UNKNOWN, "unknown");

    free(text);
}


static void
statuses(void)
{
    size_t      i;
    ngx_uint_t  status;

    static ngx_uint_t  transient[] = { 408, 409, 423, 425, 429, 500, 502,
                                       503, 504, 529, 599 };

    for (i = 0; i < sizeof(transient) / sizeof(transient[0]); i++) {
        parse(transient[i], "{\"error\":\"invalid_grant\"}",
              NGX_ZAPIER_OAUTH_TRANSIENT);
    }

    for (status = 300; status < 500; status++) {

        for (i = 0; i < 5 && status != transient[i]; i++) { /* void */ }

        if (i == 5) {
            parse(status, GOOD, NGX_ZAPIER_OAUTH_REFUSED);
            parse(status, "{\"error\":\"invalid_grant\"}",
                  (status == 400 || status == 401)
                  ? NGX_ZAPIER_OAUTH_DEAD : NGX_ZAPIER_OAUTH_REFUSED);
        }
    }

    renew();

    call.status = 0;
    call.sent = 0;
    call.answer = str(GOOD);
    is_int(ngx_zapier_oauth_parse(&call, pool, &answer), NGX_OK, "no answer");
    is_int(answer.result, NGX_ZAPIER_OAUTH_TRANSIENT, "not sent");

    call.sent = 1;
    is_int(ngx_zapier_oauth_parse(&call, pool, &answer), NGX_OK, "no answer");
    is_int(answer.result, NGX_ZAPIER_OAUTH_UNKNOWN, "sent");
    ok(answer.access_token.data == NULL, "an old answer is no answer");
}


static void
codes(void)
{
    char  text[256];

    static const char  *dead[] = {
        "{\"error\":\"invalid_grant\",\"error_description\":\"x\"}",
        "{\"error\": \"invalid grant\"}",
        "{\"error\":\"Invalid_Grant\"}",
        "{\"error\":{\"code\":\"invalid_grant\"}}",
        "{\"error\":{\"type\":\"invalid_grant\"}}",
        "{\"error\":{\"error\":\"invalid_grant\",\"code\":400}}",
        "{\"errors\":[{\"status\":400,\"code\":\"invalid_grant\"}]}",
        "{\"errors\":[\"invalid_grant\"]}",
        NULL
    }, *alive[] = {
        "", "invalid_grant", "\"invalid_grant\"", "[\"invalid_grant\"]",
        "{\"error\":\"invalid_client\"}",
        "{\"error\":\"invalid_grants\"}",
        "{\"error\":\"invalid_gran\"}",
        "{\"error\":\"invalid-grant\"}",
        "{\"error\":\"unsupported_grant_type\"}",
        "{\"error\":true,\"error_description\":\"invalid_grant\"}",
        "{\"message\":\"invalid_grant\"}",
        "{\"error\":null}", "{\"errors\":[]}", "{\"errors\":{}}",
        "{\"errors\":[[\"invalid_grant\"]]}",
        "{\"error\":\"invalid_grant\"",
        NULL
    };

    const char  **p;

    for (p = dead; *p; p++) {
        parse(400, *p, NGX_ZAPIER_OAUTH_DEAD);
        parse(401, *p, NGX_ZAPIER_OAUTH_DEAD);
        parse(403, *p, NGX_ZAPIER_OAUTH_REFUSED);
    }

    for (p = alive; *p; p++) {
        parse(400, *p, NGX_ZAPIER_OAUTH_REFUSED);
    }

    error(401, "{\"error\":\"invalid_client\"}", NGX_ZAPIER_OAUTH_REFUSED,
          "invalid_client");
    error(429, "{\"errors\":[{\"code\":\"throttled\",\"detail\":\"wait\"}]}",
          NGX_ZAPIER_OAUTH_TRANSIENT, "throttled");
    error(400, "{\"error\":\"a\\nb\\u0007\\\"\\\\\\u00e9\"}",
          NGX_ZAPIER_OAUTH_REFUSED, "a?b?????");

    snprintf(text, sizeof(text), "{\"error\":\"%0200d\"}", 7);
    parse(400, text, NGX_ZAPIER_OAUTH_REFUSED);
    is_int(answer.error.len, NGX_ZAPIER_OAUTH_ERROR_LEN, "cut");

    /* an issuer that quotes the token */

    call.body = str("grant_type=refresh_token&refresh_token=0123456789abcdef");

    error(400, "{\"error\":\"no token 0123456789abcdef here\"}",
          NGX_ZAPIER_OAUTH_REFUSED, "(holds a part of the request)");
    error(400, "{\"error\":\"unsupported_grant_type refresh_token\"}",
          NGX_ZAPIER_OAUTH_REFUSED, "unsupported_grant_type refresh_token");

    ngx_str_null(&call.body);
}


static void
request(ngx_zapier_oauth_t *oauth, const char *body,
    const char *authorization)
{
    ngx_zapier_oauth_call_t   c;
    ngx_zapier_oauth_param_t  params[2];

    renew();

    params[0].name = str("grant_type");
    params[0].value = str("refresh_token");
    params[1].name = str("refresh_token");
    params[1].value = str("a b+c/d=&%~*-._\xc3\xa9");

    ngx_memset(&c, 0xff, sizeof(c));

    is_int(ngx_zapier_oauth_request(oauth, pool, params, 2, &c), NGX_OK,
           "request");
    is_str(&c.body, body, "body");
    is_str(&c.authorization, authorization, "authorization");
}


static void
requests(void)
{
    int                      n;
    ngx_zapier_oauth_t       oauth;
    ngx_zapier_oauth_call_t  c;

#define BODY  "grant_type=refresh_token"                                      \
              "&refresh_token=a+b%2Bc%2Fd%3D%26%25~*-._%C3%A9"

    ngx_memzero(&oauth, sizeof(oauth));

    /* RFC 6749 2.3.1 and RFC 7617 2 */

    oauth.client_id = str("Aladdin");
    oauth.client_secret = str("open sesame");
    request(&oauth, BODY, "Basic QWxhZGRpbjpvcGVuK3Nlc2FtZQ==");

    oauth.client_id = str("a:b");
    oauth.client_secret = str("c:%");
    request(&oauth, BODY, "Basic YSUzQWI6YyUzQSUyNQ==");

    oauth.in_body = 1;
    request(&oauth, BODY "&client_id=a%3Ab&client_secret=c%3A%25", "");

    oauth.client_secret = str("");
    request(&oauth, BODY "&client_id=a%3Ab", "");

    oauth.in_body = 0;
    request(&oauth, BODY "&client_id=a%3Ab", "");

    renew();
    is_int(ngx_zapier_oauth_request(&oauth, pool, NULL, 0, &c), NGX_OK,
           "no parameters");
    is_str(&c.body, "client_id=a%3Ab", "no parameters");

    oauth.client_secret = str("s");

    for (n = 0; n < 6; n++) {
        renew();
        unit_fail_alloc(n);
        is_int(ngx_zapier_oauth_request(&oauth, pool, NULL, 0, &c), NGX_ERROR,
               "no memory");
        unit_fail_alloc(-1);
    }

    for (n = 0; n < 3; n++) {
        renew();
        call.status = 200;
        call.answer = str(GOOD);
        unit_fail_alloc(n);
        is_int(ngx_zapier_oauth_parse(&call, pool, &answer), NGX_ERROR,
               "no memory");
        unit_fail_alloc(-1);
    }
}


/* What is freed holds no token: seen by a hook in front of free(). */

static u_char  secret[] = "S3cr3tAccessTokenOfThisVeryTest";

static ngx_uint_t  leaks;


static void
inspect(void *block, size_t size)
{
    u_char  *p, *last;

    last = (u_char *) block + size;

    for (p = block; p + 8 <= last; p++) {
        if (ngx_memcmp(p, secret, 8) == 0) {
            leaks++;
            return;
        }
    }
}


typedef void *(*unit_malloc_pt)(size_t size);
typedef void (*unit_free_pt)(void *block);

/* jansson's, declared here to leave its header to the file under test */
void json_set_alloc_funcs(unit_malloc_pt alloc, unit_free_pt release);


static void *
sized_malloc(size_t size)
{
    size_t  *block;

    block = malloc(size + 2 * sizeof(size_t));
    block[0] = size;

    return block + 2;
}


static void
sized_free(void *block)
{
    size_t  *start;

    if (block) {
        start = (size_t *) block - 2;
        inspect(block, start[0]);
        free(start);
    }
}


static void
secrets(void)
{
    size_t  n;
    char    text[8192], filler[1024];

    json_set_alloc_funcs(sized_malloc, sized_free);

    for (n = 0; n < 1000; n += 37) {
        memset(filler, 'f', n);
        filler[n] = '\0';

        snprintf(text, sizeof(text),
                 "{\"%sa\":1,\"access_token\":\"%s\",\"%sb\":[\"%s\"],"
                 "\"refresh_token\":\"%s\\u0041%s\",\"c\":\"%s\"}",
                 filler, secret, filler, secret, secret, filler, filler);

        granted(text);
        is_int(leaks, 0, "nothing is left in freed memory");

        /* neither if it is cut off, or no JSON at its end */

        text[ngx_strlen(text) - 1] = '\0';
        unknown(text);
        is_int(leaks, 0, "nothing is left of it in freed memory");
    }

    json_set_alloc_funcs(malloc, free);
}


int
main(void)
{
    grants();
    lifetimes();
    misunderstood();
    statuses();
    codes();
    requests();
    secrets();

    ngx_destroy_pool(pool);

    return done();
}
