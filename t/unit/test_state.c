
#include <unit.h>
#include <ngx_zapier_state.h>


static ngx_str_t  secret = ngx_string("sandbox-secret");
static ngx_str_t  realm = ngx_string("zapier:");

static u_char     key[NGX_ZAPIER_STATE_KEY_LEN];


static void
fill(ngx_zapier_state_t *state)
{
    ngx_uint_t  i;

    ngx_memzero(state, sizeof(ngx_zapier_state_t));

    ngx_str_set(&state->tenant, "acme");
    ngx_str_set(&state->redirect_uri, "https://gw.example/cb?a=b");
    state->expires = 1764018000;
    state->pkce = 1;

    for (i = 0; i < sizeof(state->nonce); i++) {
        state->nonce[i] = (u_char) (i * 17);
    }

    for (i = 0; i < sizeof(state->browser); i++) {
        state->browser[i] = (u_char) (255 - i);
    }
}


/* in memory of the very size */

static ngx_int_t
reads(u_char *k, ngx_str_t *text, ngx_zapier_state_t *state)
{
    ngx_int_t       rc;
    ngx_str_t       copy;
    static u_char  *buf;

    free(buf);
    buf = malloc(NGX_ZAPIER_STATE_LEN);

    copy.len = text->len;
    copy.data = malloc(text->len ? text->len : 1);
    ngx_memcpy(copy.data, text->data, text->len);

    rc = ngx_zapier_state_read(k, &copy, buf, state);

    free(copy.data);

    return rc;
}


static void
round_trip(ngx_zapier_state_t *state, const char *name)
{
    u_char              *buf;
    ngx_str_t            text;
    ngx_zapier_state_t   back;

    buf = malloc(NGX_ZAPIER_STATE_LEN);
    text.data = buf;

    ok(ngx_zapier_state_make(key, state, &text) == NGX_OK
       && text.len <= NGX_ZAPIER_STATE_LEN
       && reads(key, &text, &back) == NGX_OK, name);

    is_mem(back.tenant.data, back.tenant.len, state->tenant.data,
           state->tenant.len, "its tenant");
    is_mem(back.redirect_uri.data, back.redirect_uri.len,
           state->redirect_uri.data, state->redirect_uri.len,
           "its redirect_uri");
    ok(back.expires == state->expires && back.pkce == state->pkce
       && memcmp(back.nonce, state->nonce, sizeof(back.nonce)) == 0
       && memcmp(back.browser, state->browser, sizeof(back.browser)) == 0,
       "and the rest");

    free(buf);
}


static void
round_trips(void)
{
    ngx_str_t           text;
    ngx_zapier_state_t  state;

    u_char  tenant[NGX_ZAPIER_TENANT_LEN], uri[NGX_ZAPIER_STATE_REDIRECT_LEN];
    u_char  buf[NGX_ZAPIER_STATE_LEN];

    fill(&state);
    round_trip(&state, "a state");

    state.pkce = 0;
    state.expires = 0x0102030405060708;
    round_trip(&state, "another one");

    memset(tenant, 'a', sizeof(tenant));
    memset(uri, 'u', sizeof(uri));

    state.tenant.data = tenant;
    state.tenant.len = sizeof(tenant);
    state.redirect_uri.data = uri;
    state.redirect_uri.len = sizeof(uri);
    round_trip(&state, "the longest one");

    /* what is no tenant does not become one by a signature */

    ngx_str_set(&state.tenant, "a b");
    text.data = buf;
    (void) ngx_zapier_state_make(key, &state, &text);
    is_int(reads(key, &text, &state), NGX_DECLINED, "a name of no tenant");

    fill(&state);
    ngx_str_set(&state.redirect_uri, "");
    text.data = buf;
    (void) ngx_zapier_state_make(key, &state, &text);
    is_int(reads(key, &text, &state), NGX_DECLINED, "no redirect_uri");
}


static void
forgeries(void)
{
    int                 bad;
    size_t              i, n;
    u_char              buf[NGX_ZAPIER_STATE_LEN + 8], other[32], ch;
    ngx_str_t           text, cut;
    ngx_zapier_state_t  state;

    fill(&state);
    text.data = buf;
    (void) ngx_zapier_state_make(key, &state, &text);

    /* the last character has bits that do not count */

    for (bad = 0, i = 0; i < text.len - 1; i++) {
        ch = buf[i];
        buf[i] = (ch == 'A') ? 'B' : 'A';

        if (reads(key, &text, &state) != NGX_DECLINED) {
            bad++;
        }

        buf[i] = '%';

        if (reads(key, &text, &state) != NGX_DECLINED) {
            bad++;
        }

        buf[i] = ch;
    }

    is_int(bad, 0, "no character can be changed");

    for (bad = 0, n = 0; n < text.len; n++) {
        cut.data = buf;
        cut.len = n;

        if (reads(key, &cut, &state) != NGX_DECLINED) {
            bad++;
        }
    }

    is_int(bad, 0, "nothing can be left away");

    memset(buf + text.len, 'A', 4);
    cut.data = buf;
    cut.len = text.len + 4;
    is_int(reads(key, &cut, &state), NGX_DECLINED, "nothing can be added");

    (void) ngx_zapier_state_key(&realm, &secret, other);
    is_int(reads(other, &text, &state), NGX_DECLINED, "another key");

    cut.len = 5000;
    cut.data = malloc(cut.len);
    memset(cut.data, 'A', cut.len);
    is_int(reads(key, &cut, &state), NGX_DECLINED, "a long text");
    free(cut.data);
}


static void
keys(void)
{
    u_char     a[32], b[32];
    ngx_str_t  other;

    (void) ngx_zapier_state_key(&secret, &realm, a);
    (void) ngx_zapier_state_key(&secret, &realm, b);
    ok(ngx_zapier_state_same(a, b, 32), "a key depends on nothing else");

    ngx_str_set(&other, "Sandbox-secret");
    (void) ngx_zapier_state_key(&other, &realm, b);
    ok(!ngx_zapier_state_same(a, b, 32), "but on the secret");

    ngx_str_set(&other, "other:");
    (void) ngx_zapier_state_key(&secret, &other, b);
    ok(!ngx_zapier_state_same(a, b, 32), "and on the realm");

    ngx_str_set(&other, "");
    is_int(ngx_zapier_state_key(&secret, &other, b), NGX_OK, "or none");
    ok(!ngx_zapier_state_same(a, b, 32), "which is another one");
}


static void
pkce(void)
{
    u_char  nonce[NGX_ZAPIER_STATE_NONCE_LEN], a[64], b[64];

    /* RFC 7636 appendix B */

    is_int(ngx_zapier_state_challenge(
               (u_char *) "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", a),
           NGX_OK, "a challenge");
    is_mem(a, NGX_ZAPIER_STATE_PKCE_LEN,
           "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", 43,
           "is that of RFC 7636");

    memset(nonce, 1, sizeof(nonce));
    memset(a, 0, sizeof(a));
    (void) ngx_zapier_state_verifier(key, nonce, a);
    (void) ngx_zapier_state_verifier(key, nonce, b);
    ok(ngx_zapier_state_same(a, b, 43), "a verifier can be made again");
    is_int(strspn((char *) a, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "abcdefghijklmnopqrstuvwxyz0123456789-_"),
           43, "it has 43 characters");

    nonce[0] = 2;
    (void) ngx_zapier_state_verifier(key, nonce, b);
    ok(!ngx_zapier_state_same(a, b, 43), "each state has another one");
}


int
main(void)
{
    u_char     a[32], b[32];
    ngx_str_t  abc = ngx_string("abc");

    is_int(ngx_zapier_state_key(&secret, &realm, key), NGX_OK, "a key");

    round_trips();
    forgeries();
    keys();
    pkce();

    (void) ngx_zapier_state_digest(&abc, a);
    is_mem(a, 4, "\xba\x78\x16\xbf", 4, "SHA-256");

    memset(a, 0, sizeof(a));
    memset(b, 0, sizeof(b));
    is_int(ngx_zapier_state_random(a, sizeof(a)), NGX_OK, "random bytes");
    (void) ngx_zapier_state_random(b, sizeof(b));
    ok(!ngx_zapier_state_same(a, b, sizeof(a)), "are never the same");

    return done();
}
