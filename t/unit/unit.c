
#include <unit.h>
#include <stdarg.h>


static void unit_where(const char *file, int line);
static void unit_dump(const char *what, const void *data, size_t len);


static int  unit_tests;
static int  unit_failed;


int
unit_ok(int cond, const char *name, const char *file, int line)
{
    const char  *p;

    printf("%s %d - ", cond ? "ok" : "not ok", ++unit_tests);

    /* a name is often the text under test: keep it one TAP line */

    for (p = name; *p && p - name < 100; p++) {
        if (*p < 0x20 || *p == 0x7f || *p == '#') {
            printf("\\x%02x", (u_char) *p);

        } else {
            fputc(*p, stdout);
        }
    }

    fputc('\n', stdout);

    if (!cond) {
        unit_failed++;
        unit_where(file, line);
    }

    return cond;
}


int
unit_is_int(int64_t got, int64_t expected, const char *name,
    const char *file, int line)
{
    if (unit_ok(got == expected, name, file, line)) {
        return 1;
    }

    diag("     got: %lld", (long long) got);
    diag("expected: %lld", (long long) expected);

    return 0;
}


int
unit_is_mem(const void *got, size_t len, const void *expected,
    size_t expected_len, const char *name, const char *file, int line)
{
    int  same;

    same = (len == expected_len
            && (len == 0 || memcmp(got, expected, len) == 0));

    if (unit_ok(same, name, file, line)) {
        return 1;
    }

    unit_dump("     got", got, len);
    unit_dump("expected", expected, expected_len);

    return 0;
}


void
diag(const char *fmt, ...)
{
    va_list  args;

    fputs("# ", stdout);

    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);

    fputc('\n', stdout);
}


int
done(void)
{
    printf("1..%d\n", unit_tests);

    return unit_failed ? 1 : 0;
}


static void
unit_where(const char *file, int line)
{
    diag("failed at %s line %d", file, line);
}


static void
unit_dump(const char *what, const void *data, size_t len)
{
    size_t         i;
    const u_char  *p;

    p = data;

    printf("# %s: \"", what);

    for (i = 0; i < len; i++) {

        if (i == 512) {
            fputs("...", stdout);
            break;
        }

        if (p[i] < 0x20 || p[i] >= 0x7f) {
            printf("\\x%02x", p[i]);

        } else {
            fputc(p[i], stdout);
        }
    }

    printf("\" (%zu)\n", len);
}
