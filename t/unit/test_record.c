
#include <unit.h>
#include <ngx_zapier_record.h>


#define LONGEST  (NGX_ZAPIER_RECORD_TOKEN_LEN + 1)


static ngx_zapier_record_t  record;


/* of the very size, so that the sanitizer sees an overrun */

static void
field(ngx_str_t *s, const char *value)
{
    free(s->data);
    ngx_str_null(s);

    if (value) {
        s->len = ngx_strlen(value);
        s->data = malloc(s->len ? s->len : 1);
        ngx_memcpy(s->data, value, s->len);
    }
}


static ngx_int_t
check(const char *token, const char *expires, const char *scope,
    const char *type)
{
    static ngx_zapier_record_t  own;

    field(&own.access_token, token);
    field(&own.expires_at, expires);
    field(&own.scope, scope);
    field(&own.token_type, type);

    record = own;

    return ngx_zapier_record_check(&record);
}


static void
authorization(const char *type, const char *expected)
{
    u_char  buf[NGX_ZAPIER_RECORD_AUTHORIZATION_LEN], *p;

    is_int(check("tok-1", NULL, NULL, type), NGX_OK, expected);
    p = ngx_zapier_record_authorization(buf, &record);
    is_mem(buf, p - buf, expected, ngx_strlen(expected), "authorization");
}


static void
fault(const char *token, const char *expires, const char *scope,
    const char *type, const char *name)
{
    is_int(check(token, expires, scope, type), NGX_ERROR, name);
    ok(record.fault && ngx_strcmp(record.fault, name) == 0, "fault");
}


static void
tokens(void)
{
    int   ch;
    char  buf[LONGEST + 1];

    is_int(check(NULL, "1", "a", "bearer"), NGX_DECLINED, "no token");
    is_int(check("", NULL, NULL, NULL), NGX_DECLINED, "empty token");
    is_int(check("a", NULL, NULL, NULL), NGX_OK, "one character");

    memset(buf, 'x', LONGEST);
    buf[LONGEST] = '\0';
    fault(buf, NULL, NULL, NULL, "access_token");
    buf[LONGEST - 1] = '\0';
    is_int(check(buf, NULL, NULL, NULL), NGX_OK, "longest token");

    for (ch = 1; ch < 256; ch++) {
        ngx_sprintf((u_char *) buf, "a%cb%Z", ch);

        if (ch > ' ' && ch < 127 && ch != '"' && ch != '\'') {
            is_int(check(buf, NULL, NULL, NULL), NGX_OK, "good character");

        } else {
            fault(buf, NULL, NULL, NULL, "access_token");
        }
    }

    fault("enc:v1:k1:AAAA", NULL, NULL, NULL, "access_token");
    is_int(check("encore", NULL, NULL, NULL), NGX_OK, "not ciphertext");
    fault("tok\r\nX-Evil: 1", NULL, NULL, NULL, "access_token");
}


static void
types(void)
{
    authorization(NULL, "Bearer tok-1");
    authorization("", "Bearer tok-1");
    authorization("bearer", "Bearer tok-1");
    authorization("BEARER", "Bearer tok-1");
    authorization("JWT", "JWT tok-1");
    authorization("x!#$%&'*+-.^_`|~9", "x!#$%&'*+-.^_`|~9 tok-1");
    authorization("12345678901234567890123456789012",
                  "12345678901234567890123456789012 tok-1");

    fault("t", NULL, NULL, "123456789012345678901234567890123",
          "token_type");
    fault("t", NULL, NULL, "Bearer ", "token_type");
    fault("t", NULL, NULL, "a\nb", "token_type");
    fault("t", NULL, NULL, "a\x80", "token_type");
    fault("t", NULL, NULL, "a:b", "token_type");
}


static void
expiry(const char *value, int64_t expected)
{
    is_int(check("t", value, NULL, NULL), NGX_OK, value ? value : "absent");
    is_int(record.expires, expected, "expires");
}


static void
times(void)
{
    expiry(NULL, 0);
    expiry("", 0);
    expiry("0", 1);
    expiry("0.7", 1);
    expiry("1700000000", 1700000000);
    expiry("1700000000.999", 1700000000);
    expiry("0001700000000", 1700000000);
    expiry("9007199254740992", 9007199254740992);

    fault("t", "9007199254740993", NULL, NULL, "expires_at");
    fault("t", "99999999999999999999999999", NULL, NULL, "expires_at");
    fault("t", "-1", NULL, NULL, "expires_at");
    fault("t", "+1", NULL, NULL, "expires_at");
    fault("t", " 1", NULL, NULL, "expires_at");
    fault("t", "1 ", NULL, NULL, "expires_at");
    fault("t", "1.", NULL, NULL, "expires_at");
    fault("t", ".5", NULL, NULL, "expires_at");
    fault("t", "1.5.", NULL, NULL, "expires_at");
    fault("t", "1e9", NULL, NULL, "expires_at");
    fault("t", "0x10", NULL, NULL, "expires_at");
    fault("t", "never", NULL, NULL, "expires_at");
}


static void
has(const char *scope, const char *name, ngx_int_t expected)
{
    ngx_str_t  s, n;

    s.data = (u_char *) scope;
    s.len = ngx_strlen(scope);
    n.data = (u_char *) name;
    n.len = ngx_strlen(name);

    is_int(ngx_zapier_record_has_scope(&s, &n), expected, name);
}


static void
scopes(void)
{
    char  buf[NGX_ZAPIER_RECORD_SCOPE_LEN + 2];

    is_int(check("t", NULL, "", NULL), NGX_OK, "empty scope");
    ok(record.scope.data == NULL, "is not recorded");
    is_int(check("t", NULL, "zap action:run", NULL), NGX_OK, "two scopes");
    is_str(&record.scope, "zap action:run", "verbatim");

    memset(buf, 's', sizeof(buf));
    buf[sizeof(buf) - 1] = '\0';
    fault("t", NULL, buf, NULL, "scope");
    buf[sizeof(buf) - 2] = '\0';
    is_int(check("t", NULL, buf, NULL), NGX_OK, "longest scope");

    fault("t", NULL, "a\tb", NULL, "scope");
    fault("t", NULL, "a\"b", NULL, "scope");
    fault("t", NULL, "a\\b", NULL, "scope");
    fault("t", NULL, "\xc3\xa9", NULL, "scope");

    has("action:run", "action:run", NGX_OK);
    has("zap action:run", "action:run", NGX_OK);
    has("action:run zap", "action:run", NGX_OK);
    has("  zap   action:run ", "action:run", NGX_OK);
    has("action:runner", "action:run", NGX_DECLINED);
    has("xaction:run", "action:run", NGX_DECLINED);
    has("action: run", "action:run", NGX_DECLINED);
    has("Action:run", "action:run", NGX_DECLINED);
    has("", "action:run", NGX_DECLINED);
    has("a b", "", NGX_DECLINED);
    has("a b", "a b", NGX_DECLINED);
}


int
main(void)
{
    tokens();
    types();
    times();
    scopes();

    return done();
}
