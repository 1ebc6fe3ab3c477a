
/*
 * What a server may send, as a libFuzzer target: the input is its bytes.
 *
 *   - in pieces they are the same replies as in one, and fail as they do
 *   - no reply is beyond the caps, and none is waited for beyond them
 *   - what may be logged of a reply is short and printable
 *   - a command made of the input is read back as it was
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_resp.h>


#define FUZZ_ARGS  20

#define fuzz_check(cond)                                                     \
    if (!(cond)) {                                                           \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);           \
        abort();                                                             \
    }


/* all replies as text, and the error that ended them */
typedef struct {
    u_char      *text;
    size_t       len;
    size_t       size;
    const char  *error;
    size_t       fed;       /* since the last reply, at most */
} fuzz_result_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_feed(const uint8_t *data, size_t size, uint32_t seed,
    const ngx_zapier_redis_caps_t *caps, fuzz_result_t *r);
static ngx_int_t fuzz_replies(ngx_zapier_redis_reader_t *reader,
    const ngx_zapier_redis_caps_t *caps, fuzz_result_t *r);
static ngx_uint_t fuzz_reply(ngx_zapier_redis_reply_t *reply,
    const ngx_zapier_redis_caps_t *caps, ngx_uint_t depth, fuzz_result_t *r);
static void fuzz_text(ngx_zapier_redis_reply_t *reply);
static void fuzz_put(fuzz_result_t *r, const void *data, size_t len);
static void fuzz_command(const uint8_t *data, size_t size, uint32_t seed);


static ngx_log_t  fuzz_log;

static const ngx_zapier_redis_caps_t  fuzz_wide = {
    7, 1024, 4096, 1024 * 1024, 2 * 1024 * 1024
};

static const ngx_zapier_redis_caps_t  fuzz_tight = { 2, 4, 6, 16, 64 };


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t         i;
    uint32_t       seed;
    fuzz_result_t  whole, split;

    seed = 2166136261;

    for (i = 0; i < size; i++) {
        seed = (seed ^ data[i]) * 16777619;
    }

    fuzz_feed(data, size, 0, &fuzz_wide, &whole);
    fuzz_feed(data, size, seed | 1, &fuzz_wide, &split);

    fuzz_check(whole.len == split.len);
    fuzz_check(memcmp(whole.text, split.text, whole.len) == 0);
    fuzz_check((whole.error == NULL) == (split.error == NULL));

    free(whole.text);
    free(split.text);

    fuzz_feed(data, size, seed | 1, &fuzz_tight, &split);
    free(split.text);

    fuzz_command(data, size, seed);

    return 0;
}


/* In one piece, or with a seed in pieces that follow from it. */

static void
fuzz_feed(const uint8_t *data, size_t size, uint32_t seed,
    const ngx_zapier_redis_caps_t *caps, fuzz_result_t *r)
{
    u_char                     *piece;
    size_t                      i, n;
    ngx_int_t                   rc;
    ngx_zapier_redis_reader_t  *reader;

    memset(r, 0, sizeof(fuzz_result_t));
    fuzz_put(r, "", 0);

    reader = ngx_zapier_redis_reader_create(caps, &fuzz_log);
    fuzz_check(reader != NULL);

    rc = NGX_AGAIN;

    for (i = 0; i < size && rc == NGX_AGAIN; i += n) {
        n = size - i;

        if (seed) {
            seed = seed * 1664525 + 1013904223;
            n = ngx_min(n, 1 + (seed >> 16) % ((seed >> 29) ? 7 : 200));
        }

        /* of the very size, and gone before the replies are looked at */

        piece = malloc(n);
        fuzz_check(piece != NULL);
        memcpy(piece, data + i, n);

        rc = ngx_zapier_redis_reader_feed(reader, piece, n);
        free(piece);
        fuzz_check(rc == NGX_OK);

        r->fed += n;

        rc = fuzz_replies(reader, caps, r);
    }

    if (rc != NGX_AGAIN) {
        r->error = ngx_zapier_redis_reader_error(reader);
        fuzz_put(r, r->error, strlen(r->error));
    }

    ngx_zapier_redis_reader_free(reader);
}


/* NGX_AGAIN or NGX_ERROR */

static ngx_int_t
fuzz_replies(ngx_zapier_redis_reader_t *reader,
    const ngx_zapier_redis_caps_t *caps, fuzz_result_t *r)
{
    ngx_int_t                  rc;
    ngx_uint_t                 total;
    ngx_zapier_redis_reply_t  *reply;

    for ( ;; ) {
        reply = NULL;
        rc = ngx_zapier_redis_reader_reply(reader, &reply);

        if (rc == NGX_AGAIN) {
            fuzz_check(r->fed <= caps->bytes);
            return rc;
        }

        if (rc != NGX_OK) {
            return rc;
        }

        fuzz_check(reply != NULL);

        total = fuzz_reply(reply, caps, 0, r);
        fuzz_check(total <= caps->total);

        ngx_zapier_redis_reply_free(reply);

        r->fed = 0;
    }
}


/* The number of elements in it. */

static ngx_uint_t
fuzz_reply(ngx_zapier_redis_reply_t *reply,
    const ngx_zapier_redis_caps_t *caps, ngx_uint_t depth, fuzz_result_t *r)
{
    char        head[64];
    ngx_uint_t  i, total;

    fuzz_put(r, head, snprintf(head, sizeof(head), "(%d %lld %zu ",
                               (int) reply->type, (long long) reply->integer,
                               reply->str.len));

    total = 0;

    switch (reply->type) {

    case NGX_ZAPIER_REDIS_ARRAY:
        fuzz_check(depth < caps->depth);
        fuzz_check(reply->nelts <= caps->nelts);

        total = reply->nelts;

        for (i = 0; i < reply->nelts; i++) {
            fuzz_check(reply->elts[i] != NULL);
            total += fuzz_reply(reply->elts[i], caps, depth + 1, r);
        }

        break;

    case NGX_ZAPIER_REDIS_STRING:
    case NGX_ZAPIER_REDIS_STATUS:
    case NGX_ZAPIER_REDIS_ERROR:
        fuzz_check(reply->str.len <= caps->string);
        fuzz_check(reply->str.data[reply->str.len] == '\0');
        fuzz_put(r, reply->str.data, reply->str.len);
        fuzz_text(reply);
        break;

    default:
        fuzz_check(reply->nelts == 0 && reply->str.len == 0);
    }

    fuzz_put(r, ")", 1);

    return total;
}


static void
fuzz_text(ngx_zapier_redis_reply_t *reply)
{
    size_t       i, len;
    u_char      *text;
    ngx_uint_t   is;

    text = malloc(NGX_ZAPIER_REDIS_TEXT_LEN);
    fuzz_check(text != NULL);

    len = ngx_zapier_redis_reply_text(reply, text);
    fuzz_check(len <= NGX_ZAPIER_REDIS_TEXT_LEN && len <= reply->str.len);

    for (i = 0; i < len; i++) {
        fuzz_check(text[i] >= ' ' && text[i] <= '~');
    }

    is = ngx_zapier_redis_reply_is(reply, NGX_ZAPIER_REDIS_ERROR, "ERR");
    fuzz_check(!is || (reply->type == NGX_ZAPIER_REDIS_ERROR
                       && memcmp(reply->str.data, "ERR", 3) == 0));

    free(text);
}


static void
fuzz_put(fuzz_result_t *r, const void *data, size_t len)
{
    if (r->size - r->len <= len) {
        r->size = 2 * (r->size + len) + 64;
        r->text = realloc(r->text, r->size);
        fuzz_check(r->text != NULL);
    }

    memcpy(r->text + r->len, data, len);
    r->len += len;
}


/* The input cut into arguments. */

static void
fuzz_command(const uint8_t *data, size_t size, uint32_t seed)
{
    ngx_str_t                   argv[FUZZ_ARGS], text;
    ngx_uint_t                  i, argc;
    ngx_zapier_redis_reply_t   *reply;
    ngx_zapier_redis_reader_t  *reader;

    argc = 1 + seed % FUZZ_ARGS;

    for (i = 0; i < argc; i++) {
        argv[i].len = (i + 1 == argc) ? size : ngx_min(size, seed >> 27);
        argv[i].data = argv[i].len ? (u_char *) data : NULL;

        data += argv[i].len;
        size -= argv[i].len;
    }

    fuzz_check(ngx_zapier_redis_format(argc, argv, &text, &fuzz_log)
               == NGX_OK);

    reader = ngx_zapier_redis_reader_create(&fuzz_wide, &fuzz_log);
    fuzz_check(reader != NULL);

    fuzz_check(ngx_zapier_redis_reader_feed(reader, text.data, text.len)
               == NGX_OK);
    fuzz_check(ngx_zapier_redis_reader_reply(reader, &reply) == NGX_OK);

    fuzz_check(reply->type == NGX_ZAPIER_REDIS_ARRAY && reply->nelts == argc);

    for (i = 0; i < argc; i++) {
        fuzz_check(reply->elts[i]->type == NGX_ZAPIER_REDIS_STRING);
        fuzz_check(reply->elts[i]->str.len == argv[i].len);
        fuzz_check(argv[i].len == 0
                   || memcmp(reply->elts[i]->str.data, argv[i].data,
                             argv[i].len) == 0);
    }

    ngx_zapier_redis_reply_free(reply);

    fuzz_check(ngx_zapier_redis_reader_reply(reader, &reply) == NGX_AGAIN);

    ngx_zapier_redis_reader_free(reader);
    ngx_zapier_redis_format_free(&text);
}
