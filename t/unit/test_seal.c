
#include <unit.h>
#include <openssl/err.h>
#include <ngx_zapier_tenant.h>
#include <ngx_zapier_token_seal.h>


#define K1  "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define K2  "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA="

/*
 * Calculated without the module, the first one without OpenSSL too, from
 * the format in docs/tokens.md: K1 or K2, nonce a0a1a2..ab
 */

#define V_ACCESS                                                             \
    "enc:v1:2026-11:oKGio6Slpqeoqaqr13MsVRGkaYwMS0VJAh/4+4teFCckrm7phA=="
#define V_REFRESH                                                            \
    "enc:v1:old:oKGio6Slpqeoqaqr"                                            \
    "oPkSkGDlHcDGknt6AUH9O+w3FhpgigdCaDLjkk1qwUV1kT5SxXoaaQhWn22EInfH"       \
    "eKfEJdkHK1G9k4xKfXrajrrLvo921ZvUecl9RqpBjqVD1Y4HU7U="
#define V_EMPTY                                                              \
    "enc:v1:2026-11:oKGio6SlpqeoqaqrfONY0kBLG3y2qPlgQnukEg=="


static ngx_zapier_keyring_t  ring;
static ngx_cycle_t           cycle;
static ngx_log_t             log;

static int  rand_fails;
static int  rand_fixed;


/* that of OpenSSL, unless told otherwise */

int
RAND_bytes(unsigned char *buf, int n)
{
    int          i;
    FILE        *f;
    size_t       got;

    if (rand_fails) {
        return 0;
    }

    if (rand_fixed) {
        for (i = 0; i < n; i++) {
            buf[i] = (u_char) (0xa0 + i);
        }

        return 1;
    }

    f = fopen("/dev/urandom", "r");
    got = fread(buf, 1, n, f);
    fclose(f);

    return got == (size_t) n;
}


static void
load(const char *text)
{
    ngx_str_t                   s;
    ngx_zapier_keyring_fault_t  fault;

    s.data = (u_char *) text;
    s.len = ngx_strlen(text);

    if (ngx_zapier_keyring_parse(&ring, &s, &fault) != NGX_OK) {
        ok(0, fault.reason);
    }
}


static ngx_str_t
str(const char *text)
{
    ngx_str_t  s;

    s.data = (u_char *) text;
    s.len = ngx_strlen(text);

    return s;
}


/* returns -1 (sealed and opened), -2 (not sealed) or the fault */

static int
unseal(ngx_zapier_keyring_t *r, const char *tenant, const char *field,
    ngx_str_t *value, ngx_str_t *plain)
{
    u_char                   *in, *buf;
    size_t                    i, len;
    ngx_str_t                 t, f, v;
    ngx_int_t                 rc;
    ngx_zapier_seal_fault_e   fault;

    static u_char  result[NGX_ZAPIER_UNSEAL_LEN];

    t = str(tenant);
    f = str(field);

    /* of the very size, so that the sanitizer sees an overrun */

    len = ngx_min(ngx_zapier_unseal_len(value->len), NGX_ZAPIER_UNSEAL_LEN);
    in = malloc(value->len ? value->len : 1);
    buf = malloc(len ? len : 1);
    ngx_memzero(buf, len);
    ngx_memcpy(in, value->data, value->len);
    v.data = in;
    v.len = value->len;

    fault = (ngx_zapier_seal_fault_e) 99;
    rc = ngx_zapier_unseal(r, &t, &f, &v, buf, plain, &fault);

    if (rc == NGX_OK) {
        ngx_memcpy(result, plain->data, plain->len);
        plain->data = result;

    } else if (rc == NGX_DECLINED) {

        if (plain->data != in || plain->len != v.len) {
            ok(0, "a plain value is handed on");
        }

        *plain = *value;

    } else {

        if (plain->data != NULL || plain->len != 0) {
            ok(0, "nothing is handed on");
        }

        if (fault == NGX_ZAPIER_SEAL_FORGED) {
            for (i = 0; i < len && buf[i] == 0; i++) { /* void */ }

            if (i < len) {
                ok(0, "nothing is left in the buffer");
            }
        }
    }

    if (ERR_peek_error() != 0) {
        ok(0, "no error is left in OpenSSL's queue");
    }

    free(in);
    free(buf);

    return (rc == NGX_OK) ? -1 : (rc == NGX_DECLINED) ? -2 : (int) fault;
}


/* the result lives until the next call */

static ngx_str_t
seal(const char *tenant, const char *field, ngx_str_t *plain)
{
    size_t           len;
    ngx_int_t        rc;
    ngx_str_t        t, f, value;
    static u_char   *buf;

    t = str(tenant);
    f = str(field);

    free(buf);
    len = ngx_zapier_seal_len(plain->len);
    buf = malloc(len);

    rc = ngx_zapier_seal(&ring, &t, &f, plain, buf, &value);

    if (rc != NGX_OK && (value.data != NULL || value.len != 0)) {
        ok(0, "no value but NGX_OK");
    }

    return value;
}


static void
known_answers(void)
{
    ngx_str_t  plain, value;

    load("2026-11 " K1 "\nold " K2 "\n");

    value = str(V_ACCESS);
    is_int(unseal(&ring, "acme", "access_token", &value, &plain), -1,
           "known answer");
    is_str(&plain, "1kPxTok3n", "plain");

    value = str(V_REFRESH);
    is_int(unseal(&ring, "big.co@eu:7", "refresh_token", &value, &plain), -1,
           "known answer, second key");
    is_str(&plain, "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr"
                   "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr", "plain");

    value = str(V_EMPTY);
    is_int(unseal(&ring, "acme", "scope", &value, &plain), -1,
           "known answer, empty");
    is_int(plain.len, 0, "plain");

    rand_fixed = 1;

    plain = str("1kPxTok3n");
    value = seal("acme", "access_token", &plain);
    is_str(&value, V_ACCESS, "sealed");

    plain.len = 0;
    plain.data = NULL;
    value = seal("acme", "scope", &plain);
    is_str(&value, V_EMPTY, "sealed empty");

    rand_fixed = 0;
}


static void
round_trips(void)
{
    int         bad;
    size_t      n;
    u_char      data[NGX_ZAPIER_SEAL_PLAIN_LEN + 1];
    ngx_str_t   plain, value, back;

    for (n = 0; n < sizeof(data); n++) {
        data[n] = (u_char) (n * 31 + n / 256);
    }

    plain.data = data;

    for (bad = 0, n = 0; n <= NGX_ZAPIER_SEAL_PLAIN_LEN; n++) {

        if (n == 300) {
            n = NGX_ZAPIER_SEAL_PLAIN_LEN - 3;
        }

        plain.len = n;
        value = seal("acme", "access_token", &plain);

        if (value.len == 0
            || value.len > ngx_zapier_seal_len(n)
            || unseal(&ring, "acme", "access_token", &value, &back) != -1
            || back.len != n || memcmp(back.data, data, n) != 0)
        {
            bad++;
        }
    }

    is_int(bad, 0, "round trips");

    plain.len = NGX_ZAPIER_SEAL_PLAIN_LEN + 1;
    value = seal("acme", "access_token", &plain);
    is_int(value.len, 0, "too long to be sealed");
}


static void
bounds(void)
{
    char        tenant[NGX_ZAPIER_TENANT_LEN + 2];
    char        field[NGX_ZAPIER_SEAL_FIELD_LEN + 2];
    u_char     *text;
    ngx_str_t   plain, value, back;

    load("a1234567890123456789012345678901 " K1 "\n");

    memset(tenant, 't', sizeof(tenant));
    memset(field, 'f', sizeof(field));
    tenant[NGX_ZAPIER_TENANT_LEN] = '\0';
    field[NGX_ZAPIER_SEAL_FIELD_LEN] = '\0';

    plain = str("secret");
    value = seal(tenant, field, &plain);
    is_int(value.len, ngx_zapier_seal_len(6), "longest of all");
    is_int(unseal(&ring, tenant, field, &value, &back), -1, "opens");

    tenant[NGX_ZAPIER_TENANT_LEN] = 't';
    tenant[NGX_ZAPIER_TENANT_LEN + 1] = '\0';
    is_int(unseal(&ring, tenant, "f", &value, &back),
           NGX_ZAPIER_SEAL_MALFORMED, "tenant too long to open");
    value = seal(tenant, "f", &plain);
    is_int(value.len, 0, "tenant too long to seal");

    field[NGX_ZAPIER_SEAL_FIELD_LEN] = 'f';
    field[NGX_ZAPIER_SEAL_FIELD_LEN + 1] = '\0';
    value = seal("t", field, &plain);
    is_int(value.len, 0, "field too long to seal");

    /* longer than anything that is ever written */

    text = malloc(100000);
    memset(text, 'A', 100000);
    value.data = text;
    value.len = 100000;
    ngx_memcpy(text, "enc:v1:a:", 9);
    is_int(unseal(&ring, "t", "f", &value, &back), NGX_ZAPIER_SEAL_MALFORMED,
           "value too long");
    free(text);
}


static void
plain_values(void)
{
    ngx_uint_t   i;
    ngx_str_t    value, plain;

    static const char  *plains[] = {
        "", "e", "enc", "1kPxTok3n", "Enc:v1:a:b", "encrypted", " enc:v1:"
    };

    static const char  *malformed[] = {
        "enc:", "enc:v", "enc:v1", "enc:v1:", "enc:v1::", "enc:v1:2026-11",
        "enc:v1:2026-11:", "enc:v2:2026-11:AAAA", "enc:v1:2026/11:AAAA",
        "enc:v1::AAAA", "enc:V1:2026-11:AAAA", "enc:v1:2026-11:AAAA:",
        "enc:v1:a1234567890123456789012345678901x:AAAA",

        /* 27 bytes; url alphabet; no padding; line break; bits set */
        "enc:v1:2026-11:oKGio6SlpqeoqaqrfONY0kBLG3y2qPlgQnuk",
        "enc:v1:2026-11:oKGio6Slpqeoqaqr13MsVRGkaYwMS0VJAh_4-4teFCckrm7phA==",
        "enc:v1:2026-11:oKGio6Slpqeoqaqr13MsVRGkaYwMS0VJAh/4+4teFCckrm7phA",
        V_ACCESS "\n", V_ACCESS "AAAA",
        "enc:v1:2026-11:oKGio6Slpqeoqaqr13MsVRGkaYwMS0VJAh/4+4teFCckrm7phB=="
    };

    load("2026-11 " K1 "\n");

    for (i = 0; i < sizeof(plains) / sizeof(plains[0]); i++) {
        value = str(plains[i]);
        is_int(unseal(&ring, "acme", "access_token", &value, &plain), -2,
               plains[i]);
        is_int(unseal(NULL, "acme", "access_token", &value, &plain), -2,
               plains[i]);
    }

    for (i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        value = str(malformed[i]);
        is_int(unseal(&ring, "acme", "access_token", &value, &plain),
               NGX_ZAPIER_SEAL_MALFORMED, malformed[i]);
    }
}


static void
copies(void)
{
    ngx_str_t  plain, value, id;

    load("2026-11 " K1 "\nold " K2 "\n");

    value = str(V_ACCESS);

    is_int(unseal(&ring, "acme2", "access_token", &value, &plain),
           NGX_ZAPIER_SEAL_FORGED, "another tenant");
    is_int(unseal(&ring, "Acme", "access_token", &value, &plain),
           NGX_ZAPIER_SEAL_FORGED, "another case");
    is_int(unseal(&ring, "acme", "refresh_token", &value, &plain),
           NGX_ZAPIER_SEAL_FORGED, "another field");
    is_int(unseal(&ring, "acmea", "ccess_token", &value, &plain),
           NGX_ZAPIER_SEAL_FORGED, "another boundary");
    is_int(unseal(&ring, "", "access_token", &value, &plain),
           NGX_ZAPIER_SEAL_FORGED, "no tenant");
    is_int(unseal(NULL, "acme", "access_token", &value, &plain),
           NGX_ZAPIER_SEAL_UNKNOWN_KEY, "no ring");

    value = str("enc:v1:old:oKGio6Slpqeoqaqr13MsVRGkaYwMS0VJAh/"
                "4+4teFCckrm7phA==");
    is_int(unseal(&ring, "acme", "access_token", &value, &plain),
           NGX_ZAPIER_SEAL_FORGED, "id of another key");

    /* the id counts though the key is the same */

    ngx_memcpy(ring.keys[1].key, ring.keys[0].key,
               NGX_ZAPIER_KEYRING_KEY_LEN);
    is_int(unseal(&ring, "acme", "access_token", &value, &plain),
           NGX_ZAPIER_SEAL_FORGED, "another id of the key");

    load("2026-11 " K2 "\n");
    value = str(V_ACCESS);
    is_int(unseal(&ring, "acme", "access_token", &value, &plain),
           NGX_ZAPIER_SEAL_FORGED, "another key of the id");

    load("2026-12 " K1 "\n");
    is_int(unseal(&ring, "acme", "access_token", &value, &plain),
           NGX_ZAPIER_SEAL_UNKNOWN_KEY, "unknown key");

    is_int(ngx_zapier_seal_key_id(&value, &id), NGX_OK, "id");
    is_str(&id, "2026-11", "id");
    value = str("1kPxTok3n");
    is_int(ngx_zapier_seal_key_id(&value, &id), NGX_DECLINED, "no id");
    value = str("enc:v1:");
    is_int(ngx_zapier_seal_key_id(&value, &id), NGX_ERROR, "wrong id");
}


static void
damage(const char *tenant, const char *field, const char *text)
{
    int        bad, bit, rc, ch;
    size_t     i, len;
    u_char     copy[512];
    ngx_str_t  value, plain;

    len = ngx_strlen(text);
    value.data = copy;
    ngx_memcpy(copy, text, len);

    for (bad = 0, i = 0; i < len; i++) {
        value.len = i;
        rc = unseal(&ring, tenant, field, &value, &plain);
        bad += (i < 4) ? rc != -2 : rc < 0;
    }

    is_int(bad, 0, "cut at every length");

    value.len = len;

    for (bad = 0, i = 0; i < len; i++) {
        for (bit = 0; bit < 8; bit++) {
            copy[i] ^= 1 << bit;
            rc = unseal(&ring, tenant, field, &value, &plain);
            bad += (i < 4) ? rc != -2 : rc < 0;
            copy[i] ^= 1 << bit;
        }
    }

    is_int(bad, 0, "every bit flipped");

    for (bad = 0, i = 4; i < len; i++) {
        for (ch = 0; ch < 256; ch++) {
            if (ch == (u_char) text[i]) {
                continue;
            }

            copy[i] = (u_char) ch;
            bad += unseal(&ring, tenant, field, &value, &plain) < 0;
        }

        copy[i] = text[i];
    }

    is_int(bad, 0, "every other byte in every place");

    is_int(unseal(&ring, tenant, field, &value, &plain), -1, "as it was");
}


static void
rotation(void)
{
    u_char     copy[256];
    ngx_str_t  plain, value, back;

    load("old " K2 "\n");

    plain = str("1kPxTok3n");
    back = seal("acme", "access_token", &plain);
    ngx_memcpy(copy, back.data, back.len);
    value.data = copy;
    value.len = back.len;

    ok(ngx_zapier_seal_is_current(&ring, &value), "current");
    ok(!ngx_zapier_seal_is_current(NULL, &value), "sealed without a ring");
    ok(!ngx_zapier_seal_is_current(&ring, &plain), "plain with a ring");
    ok(ngx_zapier_seal_is_current(NULL, &plain), "plain without a ring");

    load("old " K2 "\nnew " K1 "\n");
    ok(ngx_zapier_seal_is_current(&ring, &value), "known to all nodes");

    load("new " K1 "\nold " K2 "\n");
    ok(!ngx_zapier_seal_is_current(&ring, &value), "rotated");
    is_int(unseal(&ring, "acme", "access_token", &value, &back), -1,
           "the old key reads");
    is_str(&back, "1kPxTok3n", "plain");

    value = seal("acme", "access_token", &plain);
    ok(ngx_strncmp(value.data, "enc:v1:new:", 11) == 0,
       "the new key writes");
    ok(ngx_zapier_seal_is_current(&ring, &value), "current again");

    load("new " K1 "\n");
    is_int(unseal(&ring, "acme", "access_token", &value, &back), -1,
           "the old key is retired");

    value.data = copy;
    is_int(unseal(&ring, "acme", "access_token", &value, &back),
           NGX_ZAPIER_SEAL_UNKNOWN_KEY, "too early for some");
}


static void
nonces(void)
{
    u_char     first[256];
    size_t     len;
    ngx_str_t  plain, value;

    plain = str("1kPxTok3n");

    value = seal("acme", "access_token", &plain);
    ngx_memcpy(first, value.data, value.len);
    len = value.len;

    value = seal("acme", "access_token", &plain);
    is_int(value.len, len, "same length");
    ok(ngx_memcmp(first, value.data, len) != 0, "another nonce");

    rand_fails = 1;
    value = seal("acme", "access_token", &plain);
    is_int(value.len, 0, "nothing without random bytes");
    ok(ERR_peek_error() == 0, "no error is left");
    rand_fails = 0;
}


static void
reasons(void)
{
    int  i;

    for (i = NGX_ZAPIER_SEAL_MALFORMED; i <= NGX_ZAPIER_SEAL_FAILED; i++) {
        ok(ngx_strlen(ngx_zapier_seal_reason(i)) > 10, "reason");
    }
}


int
main(void)
{
    cycle.log = &log;
    ngx_cycle = &cycle;

    known_answers();
    round_trips();
    bounds();
    plain_values();
    copies();

    load("2026-11 " K1 "\nold " K2 "\n");
    damage("acme", "access_token", V_ACCESS);
    damage("big.co@eu:7", "refresh_token", V_REFRESH);
    damage("acme", "scope", V_EMPTY);

    rotation();
    nonces();
    reasons();

    return done();
}
