
/*
 * The scanner and the envelope against jansson, as a libFuzzer target.
 * The input is the body; where it is cut into pieces follows from it.
 *
 * Where the two parsers may differ, because jansson builds values and we
 * pass text through:
 *
 *   - a number beyond the range of double or of json_int_t is refused by
 *     jansson, RFC 8259 section 6 allows it
 *   - half of a surrogate pair as an escape is refused by jansson, RFC
 *     8259 section 8.2 allows it
 *   - \u0000 in a key is refused by jansson even with JSON_ALLOW_NUL
 *   - our limit of depth is 128, jansson's 2048
 *   - jansson takes a NUL byte after the value for the end of the text
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_json.h>
#include <ngx_zapier_envelope.h>
#include <jansson.h>


#define fuzz_check(cond)                                                     \
    if (!(cond)) {                                                           \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);           \
        abort();                                                             \
    }


typedef struct {
    ngx_int_t    rc;
    ngx_uint_t   nfaults;
    size_t       len;
    u_char      *text;      /* the spliced body or the faults */
    int          parse;     /* a parse_error */
} fuzz_result_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t fuzz_piece(uint32_t *seed, size_t left);
static off_t fuzz_scan(const u_char *text, size_t len, ngx_uint_t level,
    uint32_t seed);
static int fuzz_excused(json_error_t *error);
static size_t fuzz_depth(json_t *json);
static void fuzz_envelope(const u_char *text, size_t len, uint32_t seed,
    const char *action, const char *authentication, fuzz_result_t *r);
static void fuzz_faults(ngx_zapier_envelope_t *e, fuzz_result_t *r);
static void fuzz_compare(json_t *json, int unique, const char *action,
    fuzz_result_t *r);
static int fuzz_valid(json_t *json, const char *action, json_t **inputs);
static int fuzz_members(json_t *object, const char *action);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    off_t          bad;
    json_t        *json, *unique;
    size_t         i;
    uint32_t       seed;
    fuzz_result_t  whole, split;
    json_error_t   error;

    static const char  *defaults[] = { "", "\"core:1\"" };

    seed = 2166136261;

    for (i = 0; i < size; i++) {
        seed = (seed ^ data[i]) * 16777619;
    }

    bad = fuzz_scan(data, size, 0, 0);

    fuzz_check(fuzz_scan(data, size, 0, seed | 1) == bad);
    fuzz_check(fuzz_scan(data, size, seed % 4, 1) == bad);

    json = json_loadb((const char *) data, size,
                      JSON_DECODE_ANY|JSON_ALLOW_NUL, &error);

    if (json == NULL) {
        fuzz_check(bad != -1 || fuzz_excused(&error));

    } else {
        fuzz_check(bad == -1
                   || fuzz_depth(json) > NGX_ZAPIER_JSON_DEPTH
                   || (bad < (off_t) size && data[bad] == '\0'));
    }

    unique = json_loadb((const char *) data, size, JSON_DECODE_ANY
                        |JSON_ALLOW_NUL|JSON_REJECT_DUPLICATES, NULL);

    for (i = 0; i < 2; i++) {
        fuzz_envelope(data, size, 0, defaults[i], "", &whole);
        fuzz_envelope(data, size, seed | 1, defaults[i], "", &split);

        fuzz_check(whole.rc == split.rc && whole.len == split.len
                   && memcmp(whole.text, split.text, whole.len) == 0);
        fuzz_check(whole.parse == (bad != -1));

        if (json && bad == -1) {
            fuzz_compare(json, unique != NULL, defaults[i], &whole);
        }

        free(whole.text);
        free(split.text);
    }

    json_decref(unique);
    json_decref(json);

    return 0;
}


/* the length of the next piece: all with a seed of 0, mostly short ones */

static size_t
fuzz_piece(uint32_t *seed, size_t left)
{
    size_t  n;

    if (*seed == 0) {
        return left;
    }

    *seed = *seed * 1103515245 + 12345;
    n = 1 + (*seed >> 16) % ((*seed & 0x80000000) ? 4 : 60);

    return ngx_min(n, left);
}


/* the offset of the fault or -1 */

static off_t
fuzz_scan(const u_char *text, size_t len, ngx_uint_t level, uint32_t seed)
{
    size_t             n, done;
    u_char            *piece, *p;
    ngx_int_t          rc;
    ngx_zapier_json_t  json;

    ngx_zapier_json_init(&json, level);

    for (done = 0; done < len; done += n) {
        n = fuzz_piece(&seed, len - done);

        /* a block of its own, so that a byte too far is seen */

        piece = malloc(n);
        memcpy(piece, text + done, n);
        p = piece;

        do {
            rc = ngx_zapier_json_feed(&json, &p, piece + n);
        } while (rc == NGX_AGAIN);

        fuzz_check(json.offset == (off_t) done + (p - piece));
        fuzz_check(rc == NGX_DECLINED || p == piece + n);

        free(piece);

        if (rc == NGX_DECLINED) {
            return json.offset;
        }
    }

    return (ngx_zapier_json_finish(&json) == NGX_OK) ? -1 : json.offset;
}


static int
fuzz_excused(json_error_t *error)
{
    return json_error_code(error) == json_error_numeric_overflow
           || json_error_code(error) == json_error_null_byte_in_key
           || strncmp(error->text, "invalid Unicode",
                      sizeof("invalid Unicode") - 1)
              == 0;
}


static size_t
fuzz_depth(json_t *json)
{
    size_t       i, n, max;
    json_t      *value;
    const char  *key;

    max = 0;

    if (json_is_object(json)) {
        json_object_foreach(json, key, value) {
            n = fuzz_depth(value);
            max = ngx_max(max, n);
        }

        return max + 1;
    }

    if (json_is_array(json)) {
        json_array_foreach(json, i, value) {
            n = fuzz_depth(value);
            max = ngx_max(max, n);
        }

        return max + 1;
    }

    return 0;
}


static void
fuzz_envelope(const u_char *text, size_t len, uint32_t seed,
    const char *action, const char *authentication, fuzz_result_t *r)
{
    size_t                  n, done, at;
    u_char                 *piece, *p, *from;
    ngx_int_t               rc;
    ngx_str_t               a, au, insert, before, after;
    ngx_pool_t             *pool;
    ngx_zapier_envelope_t  *e;

    a.data = (u_char *) action;
    a.len = strlen(action);
    au.data = (u_char *) authentication;
    au.len = strlen(authentication);

    pool = ngx_create_pool(1024, NULL);
    e = ngx_zapier_envelope_create(pool, &a, &au);

    /* two insertions at most, and what goes round the text */

    r->text = malloc(len + 256);
    at = 128;
    rc = NGX_OK;

    for (done = 0; done < len && rc == NGX_OK; done += n) {
        n = fuzz_piece(&seed, len - done);

        piece = malloc(n);
        memcpy(piece, text + done, n);
        p = piece;

        for ( ;; ) {
            from = p;
            rc = ngx_zapier_envelope_feed(e, &p, piece + n, &insert);

            if (at + (p - from) < len + 192) {
                memcpy(r->text + at, from, p - from);
                at += p - from;
            }

            if (rc != NGX_AGAIN) {
                break;
            }

            fuzz_check(p < piece + n && insert.len);

            /* faulty texts may have more of them */

            if (at + insert.len < len + 192) {
                memcpy(r->text + at, insert.data, insert.len);
                at += insert.len;
            }
        }

        free(piece);
    }

    r->rc = ngx_zapier_envelope_finish(e, &before, &after);

    if (r->rc == NGX_OK) {
        memmove(r->text + before.len, r->text + 128, at - 128);
        ngx_memcpy(r->text, before.data, before.len);
        r->len = before.len + at - 128;
        ngx_memcpy(r->text + r->len, after.data, after.len);
        r->len += after.len;
        r->parse = 0;

    } else {
        fuzz_faults(e, r);
    }

    ngx_destroy_pool(pool);
}


static void
fuzz_faults(ngx_zapier_envelope_t *e, fuzz_result_t *r)
{
    size_t               len;
    u_char              *p;
    ngx_uint_t           i, n;
    ngx_zapier_fault_t  *fault;

    fault = ngx_zapier_envelope_faults(e, &n);

    fuzz_check(r->rc == NGX_DECLINED && n > 0
               && n <= NGX_ZAPIER_ENVELOPE_FAULTS);

    len = 0;

    for (i = 0; i < n; i++) {
        fuzz_check(fault[i].offset == -1 || i == 0
                   || fault[i].offset >= fault[i - 1].offset);

        len += fault[i].pointer_len + 32;
    }

    free(r->text);
    r->text = malloc(len);
    p = r->text;

    for (i = 0; i < n; i++) {
        *p++ = (u_char) ('0' + fault[i].code);
        p = ngx_cpymem(p, &fault[i].offset, sizeof(off_t));

        if (fault[i].pointer_len) {
            p = ngx_cpymem(p, fault[i].pointer, fault[i].pointer_len);
        }

        fuzz_check(ngx_zapier_json_utf8(fault[i].pointer,
                                        fault[i].pointer_len)
                   == NGX_OK);
    }

    r->len = p - r->text;
    r->parse = (fault[0].code == NGX_ZAPIER_FAULT_PARSE);
}


/* the verdict and the result against what jansson makes of them */

static void
fuzz_compare(json_t *json, int unique, const char *action, fuzz_result_t *r)
{
    int      valid;
    json_t  *inputs, *result, *data;

    inputs = NULL;
    valid = fuzz_valid(json, action, &inputs);

    if (r->rc != NGX_OK) {
        fuzz_check(!valid || !unique);
        return;
    }

    fuzz_check(valid);

    result = json_loadb((char *) r->text, r->len, JSON_ALLOW_NUL
                        |(unique ? JSON_REJECT_DUPLICATES : 0), NULL);

    fuzz_check(json_is_object(result) && json_object_size(result) == 1);

    data = json_object_get(result, "data");

    fuzz_check(fuzz_members(data, ""));
    fuzz_check(json_object_get(data, "authentication") != NULL);
    fuzz_check(json_object_get(data, "input") == NULL);
    fuzz_check(json_equal(json_object_get(data, "inputs"), inputs));

    json_decref(result);
}


static int
fuzz_valid(json_t *json, const char *action, json_t **inputs)
{
    json_t  *object;

    if (!json_is_object(json)) {
        return 0;
    }

    object = json_object_get(json, "data");

    if (object) {

        if (json_object_size(json) != 1 || !json_is_object(object)) {
            return 0;
        }

    } else {
        object = json;

        if (*action
            && json_object_get(json, "action") == NULL
            && json_object_get(json, "authentication") == NULL
            && json_object_get(json, "inputs") == NULL
            && json_object_get(json, "input") == NULL)
        {
            *inputs = json;
            return 1;
        }
    }

    *inputs = json_object_get(object, "inputs");

    if (*inputs == NULL) {
        *inputs = json_object_get(object, "input");
    }

    return fuzz_members(object, action);
}


static int
fuzz_members(json_t *object, const char *action)
{
    int          n, a;
    json_t      *value;
    const char  *key;

    n = 0;
    a = (*action != '\0');

    json_object_foreach(object, key, value) {

        if (strcmp(key, "action") == 0) {
            if (json_string_length(value) == 0) {
                return 0;
            }

            a = 1;

        } else if (strcmp(key, "authentication") == 0) {
            if (!json_is_string(value) && !json_is_null(value)) {
                return 0;
            }

        } else if (strcmp(key, "inputs") == 0 || strcmp(key, "input") == 0) {
            if (!json_is_object(value)) {
                return 0;
            }

            n++;

        } else if (strcmp(key, "callback_url") == 0) {
            if (json_string_length(value) == 0) {
                return 0;
            }

        } else {
            return 0;
        }
    }

    return a && n == 1;
}
