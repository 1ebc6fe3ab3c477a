
/*
 * Throughput of the JSON scanner and of the envelope beside jansson.
 *
 *   scanner [MILLISECONDS [FILE]...]    time spent on each number; other
 *                                       bodies than the built-in ones
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_json.h>
#include <ngx_zapier_envelope.h>
#include <jansson.h>


#define BENCH_PIECE  16384     /* as the body arrives, client_body_buffer */


typedef int (*bench_pt)(u_char *text, size_t len);


static void bench_report(const char *name, u_char *text, size_t len);
static u_char *bench_file(const char *name, size_t *len);
static u_char *bench_small(size_t *len);
static u_char *bench_records(size_t size, const char *eol, size_t *len);
static u_char *bench_text(size_t size, const char *word, size_t *len);
static int bench_scanner(u_char *text, size_t len);
static int bench_envelope(u_char *text, size_t len);
static int bench_jansson(u_char *text, size_t len);
static double bench_run(bench_pt run, u_char *text, size_t len);
static double bench_now(void);


static size_t  bench_used;
static u_char  bench_pool[8192];
static double  bench_time = 0.3;


int
main(int argc, char **argv)
{
    int      i;
    size_t   len;
    u_char  *text;

    if (argc > 1) {
        bench_time = atoi(argv[1]) / 1000.0;
    }

    printf("%-26s %8s %22s %22s %22s\n", "", "bytes", "scanner", "envelope",
           "jansson");

    for (i = 2; i < argc; i++) {
        text = bench_file(argv[i], &len);
        bench_report(argv[i], text, len);
    }

    if (argc > 2) {
        return 0;
    }

    text = bench_small(&len);
    bench_report("400 B", text, len);

    text = bench_records(16384, "", &len);
    bench_report("16 kB records", text, len);

    text = bench_records(262144, "", &len);
    bench_report("256 kB records", text, len);

    text = bench_records(262144, "\n        ", &len);
    bench_report("256 kB records, indented", text, len);

    text = bench_text(262144, "lorem ipsum dolor sit amet, ", &len);
    bench_report("256 kB text", text, len);

    text = bench_text(262144, "\xd0\xbb\xd0\xbe\xd1\x80\xd0\xb5\xd0\xbc "
                      "\xd0\xb8\xd0\xbf\xd1\x81\xd1\x83\xd0\xbc, ", &len);
    bench_report("256 kB text, Cyrillic", text, len);

    return 0;
}


static void
bench_report(const char *name, u_char *text, size_t len)
{
    int       i;
    double    t;
    bench_pt  run[] = { bench_scanner, bench_envelope, bench_jansson };

    printf("%-26s %8zu", name, len);

    for (i = 0; i < 3; i++) {
        t = bench_run(run[i], text, len);
        printf(" %7.0f MB/s %7.2f us", len / t / 1e6, t * 1e6);
    }

    printf("\n");
    free(text);
}


static u_char *
bench_file(const char *name, size_t *len)
{
    FILE    *f;
    u_char  *text;

    f = fopen(name, "rb");
    if (f == NULL) {
        perror(name);
        exit(1);
    }

    text = malloc(4 * 1024 * 1024);
    *len = fread(text, 1, 4 * 1024 * 1024, f);
    fclose(f);

    return text;
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
    ngx_zapier_envelope_t  *e;

    bench_used = 0;
    ngx_str_null(&none);

    e = ngx_zapier_envelope_create(NULL, &none, &none);

    p = text;
    end = text + len;
    ok = 1;

    while (ok && p < end) {
        last = (end - p > BENCH_PIECE) ? p + BENCH_PIECE : end;

        while (ok && p < last) {
            ok = (ngx_zapier_envelope_feed(e, &p, last, &insert) == NGX_OK);
        }
    }

    return ok && ngx_zapier_envelope_finish(e, &before, &after) == NGX_OK;
}


/* as cheap as nginx's pool */

void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    void  *p;

    (void) pool;

    p = bench_pool + bench_used;
    bench_used += ngx_align(size, NGX_ALIGNMENT);

    return (bench_used <= sizeof(bench_pool)) ? p : NULL;
}


void *
ngx_pnalloc(ngx_pool_t *pool, size_t size)
{
    return ngx_palloc(pool, size);
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
