
/*
 * Throughput of the JSON scanner and of the envelope beside jansson.
 *
 *   scanner [MILLISECONDS]    time spent on each number
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_json.h>
#include <ngx_zapier_envelope.h>
#include <jansson.h>


#define BENCH_PIECE  16384     /* as the body arrives, client_body_buffer */


typedef int (*bench_pt)(u_char *text, size_t len);


static u_char *bench_small(size_t *len);
static u_char *bench_records(size_t size, const char *eol, size_t *len);
static u_char *bench_text(size_t size, const char *word, size_t *len);
static int bench_scanner(u_char *text, size_t len);
static int bench_envelope(u_char *text, size_t len);
static int bench_jansson(u_char *text, size_t len);
static double bench_run(bench_pt run, u_char *text, size_t len);
static double bench_now(void);


static double  bench_time = 0.3;


int
main(int argc, char **argv)
{
    size_t      i, len[6];
    double      t[3];
    u_char     *text[6];
    const char *name[] = {
        "400 B", "16 kB records", "256 kB records",
        "256 kB records, indented", "256 kB text", "256 kB text, Cyrillic"
    };

    if (argc > 1) {
        bench_time = atoi(argv[1]) / 1000.0;
    }

    text[0] = bench_small(&len[0]);
    text[1] = bench_records(16384, "", &len[1]);
    text[2] = bench_records(262144, "", &len[2]);
    text[3] = bench_records(262144, "\n        ", &len[3]);
    text[4] = bench_text(262144, "lorem ipsum dolor sit amet, ", &len[4]);
    text[5] = bench_text(262144, "\xd0\xbb\xd0\xbe\xd1\x80\xd0\xb5\xd0\xbc "
                         "\xd0\xb8\xd0\xbf\xd1\x81\xd1\x83\xd0\xbc, ",
                         &len[5]);

    printf("%-26s %8s %22s %22s %22s\n", "", "bytes", "scanner", "envelope",
           "jansson");

    for (i = 0; i < 6; i++) {
        t[0] = bench_run(bench_scanner, text[i], len[i]);
        t[1] = bench_run(bench_envelope, text[i], len[i]);
        t[2] = bench_run(bench_jansson, text[i], len[i]);

        printf("%-26s %8zu %7.0f MB/s %7.2f us %7.0f MB/s %7.2f us"
               " %7.0f MB/s %7.2f us\n", name[i], len[i],
               len[i] / t[0] / 1e6, t[0] * 1e6,
               len[i] / t[1] / 1e6, t[1] * 1e6,
               len[i] / t[2] / 1e6, t[2] * 1e6);

        free(text[i]);
    }

    return 0;
}


static u_char *
bench_small(size_t *len)
{
    static const char  body[] =
        "{\"data\":{\"action\":\"core:Vn7xbE60aQ3\",\"authentication\":"
        "\"QVaAreV1\",\"inputs\":{\"channel\":\"C024BE91L\",\"text\":"
        "\"Deal \\\"Acme renewal\\\" moved to Closed Won\",\"amount\":"
        "48250.75,\"currency\":\"EUR\",\"owner\":{\"id\":10482,\"name\":"
        "\"Zo\xc3\xab Kr\xc3\xa4mer\",\"email\":\"zoe@example.com\"},"
        "\"tags\":[\"renewal\",\"emea\",\"q3\"],\"as_bot\":true,"
        "\"thread\":null,\"link\":\"https://crm.example.com/deals/48250\"}}}";

    *len = sizeof(body) - 1;

    return (u_char *) strdup(body);
}


static u_char *
bench_records(size_t size, const char *eol, size_t *len)
{
    int        i;
    char      *text, *p;
    unsigned   n;

    text = malloc(size + 1024);
    n = 0;

    p = text + sprintf(text, "{\"data\":{\"action\":\"core:1\",\"authentication"
                       "\":null,\"inputs\":{\"rows\":[");

    for (i = 1; p - text < (ptrdiff_t) size - 160; i++) {
        n = (n * 1103515245 + 12345) & 0x7fffffff;

        p += sprintf(p, "%s%s{%s\"id\":%d,%s\"name\":\"%.*s\",%s\"email\":"
                     "\"user%u@example.com\",%s\"score\":%u.%02u,%s"
                     "\"active\":%s,%s\"note\":%s}", i == 1 ? "" : ",", eol,
                     eol, 1000 + i, eol, (int) (4 + n % 20),
                     "Josephine Winterbottom-Smythe", eol, n % 10000, eol,
                     n % 500, n % 100, eol, (n & 64) ? "true" : "false", eol,
                     (n & 1024) ? "null" : "\"call back on Monday\"");
    }

    p += sprintf(p, "]}}}");
    *len = p - text;

    return (u_char *) text;
}


static u_char *
bench_text(size_t size, const char *word, size_t *len)
{
    char    *text, *p;
    size_t   paragraph;

    text = malloc(size + 1024);

    p = text + sprintf(text, "{\"data\":{\"action\":\"core:1\",\"authentication"
                       "\":null,\"inputs\":{\"text\":\"");

    for (paragraph = 0; p - text < (ptrdiff_t) size - 40; paragraph++) {
        p += sprintf(p, "%s", word);

        if (paragraph % 20 == 19) {
            p += sprintf(p, "\\n\\n");
        }
    }

    p += sprintf(p, "\"}}}");
    *len = p - text;

    return (u_char *) text;
}


static int
bench_scanner(u_char *text, size_t len)
{
    u_char             *p, *end, *last;
    ngx_zapier_json_t   json;

    ngx_zapier_json_init(&json, 0);

    p = text;
    end = text + len;

    while (p < end) {
        last = (end - p > BENCH_PIECE) ? p + BENCH_PIECE : end;

        while (p < last) {
            if (ngx_zapier_json_feed(&json, &p, last) == NGX_DECLINED) {
                return 0;
            }
        }
    }

    return ngx_zapier_json_finish(&json) == NGX_OK;
}


static int
bench_envelope(u_char *text, size_t len)
{
    int                     ok;
    u_char                 *p, *end, *last;
    ngx_str_t               none, insert, before, after;
    ngx_pool_t             *pool;
    ngx_zapier_envelope_t  *e;

    pool = ngx_create_pool(1024, NULL);
    ngx_str_null(&none);

    e = ngx_zapier_envelope_create(pool, &none, &none);

    p = text;
    end = text + len;
    ok = 1;

    while (ok && p < end) {
        last = (end - p > BENCH_PIECE) ? p + BENCH_PIECE : end;

        while (ok && p < last) {
            ok = (ngx_zapier_envelope_feed(e, &p, last, &insert) == NGX_OK);
        }
    }

    ok = ok && ngx_zapier_envelope_finish(e, &before, &after) == NGX_OK;

    ngx_destroy_pool(pool);

    return ok;
}


static int
bench_jansson(u_char *text, size_t len)
{
    json_t  *json;

    json = json_loadb((char *) text, len, 0, NULL);
    json_decref(json);

    return json != NULL;
}


/* seconds a run, the best of five series */

static double
bench_run(bench_pt run, u_char *text, size_t len)
{
    int      i, j, n;
    double   t, best;

    if (!run(text, len)) {
        fprintf(stderr, "scanner: valid text was refused\n");
        exit(1);
    }

    n = 1;

    for ( ;; ) {
        t = bench_now();

        for (j = 0; j < n; j++) {
            run(text, len);
        }

        t = bench_now() - t;

        if (t > bench_time / 10) {
            break;
        }

        n *= 2;
    }

    best = t / n;

    for (i = 0; i < 5; i++) {
        t = bench_now();

        for (j = 0; j < n; j++) {
            run(text, len);
        }

        t = (bench_now() - t) / n;
        best = ngx_min(best, t);
    }

    return best;
}


static double
bench_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);

    return ts.tv_sec + ts.tv_nsec / 1e9;
}
