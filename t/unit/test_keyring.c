
#include <unit.h>
#include <ngx_zapier_token_keyring.h>


#define B64_1  "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define B64_2  "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA="
#define HEX_2  "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0"                       \
               "EFEEEDECEBEAE9E8E7E6E5E4E3E2E1E0"


static void
parses(const char *text, ngx_uint_t n, const char *name)
{
    ngx_str_t                   s;
    ngx_zapier_keyring_t        ring;
    ngx_zapier_keyring_fault_t  fault;

    s.len = ngx_strlen(text);
    s.data = malloc(s.len ? s.len : 1);
    ngx_memcpy(s.data, text, s.len);

    is_int(ngx_zapier_keyring_parse(&ring, &s, &fault), NGX_OK, name);
    is_int(ring.nkeys, n, "keys");

    free(s.data);
}


static void
refused(const char *text, ngx_uint_t line, const char *reason)
{
    ngx_str_t                   s;
    ngx_zapier_keyring_t        ring;
    ngx_zapier_keyring_fault_t  fault;

    s.len = ngx_strlen(text);
    s.data = malloc(s.len ? s.len : 1);
    ngx_memcpy(s.data, text, s.len);

    is_int(ngx_zapier_keyring_parse(&ring, &s, &fault), NGX_DECLINED,
           reason);
    is_int(fault.line, line, "line");
    ok(strstr(fault.reason, reason) != NULL, fault.reason);

    free(s.data);
}


static void
rings(void)
{
    parses("a " B64_1, 1, "one key, no line break");
    parses("a " B64_1 "\n", 1, "one key");
    parses("a " B64_1 "\r\nb " HEX_2 "\r\n", 2, "CRLF, hexadecimal");
    parses("# a ring\n\n  \t\n\t a \t " B64_1 " \t\n#\n", 1,
           "comments, blanks");
    parses("a " B64_1 " # since 2026\nb " B64_2 " #\n", 2,
           "comments after a key");
    parses("2026-11_x.y " B64_1 "\n", 1, "all kinds of characters");
    parses("a1234567890123456789012345678901 " B64_1 "\n", 1,
           "longest key id");

    refused("", 0, "no key");
    refused("\n# a " B64_1 "\n", 0, "no key");

    refused("a1234567890123456789012345678901x " B64_1, 1, "the key id");
    refused("a:b " B64_1, 1, "the key id");
    refused("a\xc3\xa4 " B64_1, 1, "the key id");
    refused("\xef\xbb\xbf" "a " B64_1, 1, "the key id");
    refused("\n\n" B64_1 "\n", 3, "the key id");
    refused(B64_1 " a\n", 1, "the key id");
    refused(HEX_2 "\n", 1, "the key id");

    refused("a\n", 1, "without a key");
    refused("a #\n", 1, "not 32 bytes");
    refused("a " B64_1 "\nb", 2, "without a key");
    refused("a " B64_1 " x\n", 1, "unexpected text");
    refused("a AAEC AwQF\n", 1, "unexpected text");

    refused("a AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n", 1,
            "not 32 bytes");
    refused("a AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==\n", 1,
            "not 32 bytes");
    refused("a AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g\n", 1,
            "not 32 bytes");
    refused("a AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=\n", 1,
            "not 32 bytes");
    refused("a __79_Pv6-fj39vX08_Lx8O_u7ezr6uno5-bl5OPi4eA=\n", 1,
            "not 32 bytes");
    refused("a 00\n", 1, "not 32 bytes");
    refused("a " HEX_2 "00\n", 1, "not 32 bytes");
    refused("a g0000000000000000000000000000000"
            "00000000000000000000000000000000\n", 1, "not 32 bytes");

    refused("a " B64_1 "\n\na " B64_2 "\n", 3, "a key id that was given");
    refused("a " B64_2 "\n#\nb " HEX_2 "\n", 3, "a key that was given");
}


static void
order(void)
{
    u_char                            i;
    ngx_str_t                         s, id;
    ngx_zapier_keyring_t              ring;
    ngx_zapier_keyring_fault_t        fault;
    const ngx_zapier_keyring_key_t   *key;

    ngx_str_set(&s, "new " B64_1 "\nold " HEX_2 "\n");
    ngx_zapier_keyring_parse(&ring, &s, &fault);

    ngx_str_set(&id, "new");
    ok(ngx_zapier_keyring_find(&ring, &id) == &ring.keys[0], "first");

    for (i = 0; i < 32 && ring.keys[0].key[i] == i; i++) { /* void */ }
    is_int(i, 32, "key of base64");

    ngx_str_set(&id, "old");
    key = ngx_zapier_keyring_find(&ring, &id);
    ok(key == &ring.keys[1], "second");

    for (i = 0; i < 32 && key->key[i] == 255 - i; i++) { /* void */ }
    is_int(i, 32, "key of hexadecimal");

    ngx_str_set(&id, "ol");
    ok(ngx_zapier_keyring_find(&ring, &id) == NULL, "shorter");
    ngx_str_set(&id, "older");
    ok(ngx_zapier_keyring_find(&ring, &id) == NULL, "longer");
    ngx_str_set(&id, "OLD");
    ok(ngx_zapier_keyring_find(&ring, &id) == NULL, "other case");
    ngx_str_set(&id, "");
    ok(ngx_zapier_keyring_find(&ring, &id) == NULL, "empty");
}


static void
many(void)
{
    int    i, n;
    char   text[8192], *p;

    for (n = 32; n <= 33; n++) {
        for (p = text, i = 0; i < n; i++) {
            p += sprintf(p, "k%d %064x\n", i, i);
        }

        if (n == 32) {
            parses(text, 32, "as many as possible");

        } else {
            refused(text, 33, "too many keys");
        }
    }
}


static ngx_zapier_keyring_t *
create(ngx_pool_t *pool, const char *name, const char *text, int mode)
{
    FILE        *f;
    ngx_str_t    file;
    ngx_conf_t   cf;

    if (text) {
        f = fopen(name, "w");
        fputs(text, f);
        fclose(f);
        chmod(name, mode);
    }

    ngx_memzero(&cf, sizeof(ngx_conf_t));
    cf.pool = pool;

    file.data = (u_char *) name;
    file.len = ngx_strlen(name);

    unit_conf_log.count = 0;

    return ngx_zapier_keyring_create(&cf, &file);
}


static void
unreadable(ngx_pool_t *pool, const char *name, const char *text,
    const char *expected)
{
    ok(create(pool, name, text, 0600) == NULL, expected);
    is_int(unit_conf_log.level, NGX_LOG_EMERG, "level");
    is_int(unit_conf_log.count, 1, "one message");

    if (!ok(strstr(unit_conf_log.message, expected) != NULL, "message")) {
        diag("%s", unit_conf_log.message);
    }

    ok(strstr(unit_conf_log.message, "AAECAw") == NULL,
       "no key in the message");
}


static void
mode(ngx_pool_t *pool, const char *name, int mode, ngx_uint_t warned)
{
    ok(create(pool, name, "a " B64_1 "\n", mode) != NULL, "mode");
    is_int(unit_conf_log.count, warned, "warned");

    if (warned) {
        is_int(unit_conf_log.level, NGX_LOG_WARN, "level");
        ok(strstr(unit_conf_log.message, "chmod 600") != NULL, "message");
    }
}


/* the line of /proc/self/smaps that begins so for the pages at p */

static int
smaps(void *p, const char *field, char *line, size_t size)
{
    int             in, found;
    FILE           *f;
    char            rights[8];
    unsigned long   from, to;

    f = fopen("/proc/self/smaps", "r");
    if (f == NULL) {
        return -1;
    }

    found = 0;

    for (in = 0; !found && fgets(line, size, f); /* void */ ) {

        if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) == 3) {
            in = (from <= (uintptr_t) p && (uintptr_t) p < to);
        }

        found = in && (field == NULL
                       || strncmp(line, field, strlen(field)) == 0);
    }

    fclose(f);

    return found;
}


static void
memory(const char *name)
{
    char                   line[512];
    ngx_pool_t            *pool;
    ngx_zapier_keyring_t  *ring;

    pool = ngx_create_pool(1024, NULL);
    ring = create(pool, name, "a " B64_1 "\nb " B64_2 "\n", 0600);

    is_int(unit_conf_log.count, 0, "nothing to say");
    is_int(ring->nkeys, 2, "read from a file");

    ngx_zapier_keyring_init_worker(ring);
    ngx_zapier_keyring_init_worker(NULL);

    if (smaps(ring, NULL, line, sizeof(line)) != -1) {
        ok(strstr(line, " r--p ") != NULL, "read-only");

        smaps(ring, "VmFlags:", line, sizeof(line));
        ok(strstr(line, " dd") != NULL, "not in core dumps");

        ngx_destroy_pool(pool);
        is_int(smaps(ring, NULL, line, sizeof(line)), 0, "gone");

    } else {
        ngx_destroy_pool(pool);
    }
}


static void
files(void)
{
    char        *big, name[64];
    ngx_pool_t  *pool;

    snprintf(name, sizeof(name), "/tmp/test_keyring.%d", (int) getpid());

    memory(name);

    pool = ngx_create_pool(1024, NULL);

    unreadable(pool, name, "a " B64_1 "\n\nb AAECAwQF\n", ":3 of \"zapier_");
    unreadable(pool, name, B64_1 "\n", ":1 of \"zapier_token_key\"");
    unreadable(pool, name, "", "no key in /tmp/");
    unreadable(pool, "/tmp/no/such/file", NULL, "failed");
    unreadable(pool, "/tmp", NULL, "failed");

    big = malloc(20000);
    memset(big, '#', 19999);
    big[19999] = '\0';
    unreadable(pool, name, big, "is too long");
    big[16383] = '\0';
    unreadable(pool, name, big, "no key");
    free(big);

    mode(pool, name, 0600, 0);
    mode(pool, name, 0640, 0);
    mode(pool, name, 0644, 1);
    mode(pool, name, 0660, 1);
    mode(pool, name, 0602, 1);

    unit_fail_alloc(0);
    ok(create(pool, name, NULL, 0) == NULL, "no memory");
    unit_fail_alloc(-1);

    ngx_destroy_pool(pool);
    unlink(name);
}


int
main(void)
{
    rings();
    order();
    many();
    files();

    return done();
}
