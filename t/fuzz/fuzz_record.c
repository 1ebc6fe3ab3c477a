
/*
 * Token records, as a libFuzzer target.  The input is the fields, each with
 * a byte for its length before it, and then the name of a scope.  What is
 * accepted must be good for a header, and mean what it says.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_record.h>


#define fuzz_check(cond)                                                     \
    if (!(cond)) {                                                           \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);           \
        abort();                                                             \
    }


#define FUZZ_FIELDS  5


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_split(const uint8_t *data, size_t size, ngx_str_t *fields);
static void fuzz_record(ngx_str_t *fields);
static void fuzz_accepted(ngx_zapier_record_t *record, ngx_str_t *fields);
static void fuzz_expires(int64_t expires, ngx_str_t *text);
static void fuzz_scope(ngx_str_t *scope, ngx_str_t *name);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t     i;
    ngx_str_t  fields[FUZZ_FIELDS];

    fuzz_split(data, size, fields);

    fuzz_record(fields);
    fuzz_scope(&fields[2], &fields[4]);

    for (i = 0; i < FUZZ_FIELDS; i++) {
        free(fields[i].data);
    }

    return 0;
}


/* Each has memory of its own, so that a byte too far is found. */

static void
fuzz_split(const uint8_t *data, size_t size, ngx_str_t *fields)
{
    size_t  i, len;

    for (i = 0; i < FUZZ_FIELDS; i++) {
        len = 0;

        if (size != 0) {

            /* short lengths in ones, long ones in steps */

            len = (*data < 128) ? *data : *data * 16;
            data++;
            size--;

            len = ngx_min(len, size);
        }

        fields[i].len = len;
        fields[i].data = malloc(len ? len : 1);

        ngx_memcpy(fields[i].data, data, len);

        data += len;
        size -= len;
    }
}


static void
fuzz_record(ngx_str_t *fields)
{
    ngx_int_t             rc;
    ngx_zapier_record_t   record;

    ngx_memzero(&record, sizeof(ngx_zapier_record_t));

    record.access_token = fields[0];
    record.expires_at = fields[1];
    record.scope = fields[2];
    record.token_type = fields[3];

    rc = ngx_zapier_record_check(&record);

    fuzz_check((rc == NGX_DECLINED) == (fields[0].len == 0));
    fuzz_check((rc == NGX_ERROR) == (record.fault != NULL));

    if (rc == NGX_OK) {
        fuzz_accepted(&record, fields);
    }
}


static void
fuzz_accepted(ngx_zapier_record_t *record, ngx_str_t *fields)
{
    size_t   i, len;
    u_char  *buf;

    len = record->token_type.len + 1 + record->access_token.len;

    fuzz_check(len <= NGX_ZAPIER_RECORD_AUTHORIZATION_LEN);

    buf = malloc(len);

    fuzz_check(ngx_zapier_record_authorization(buf, record) == buf + len);

    /* one blank, between scheme and token, and nothing that ends a header */

    for (i = 0; i < len; i++) {
        fuzz_check(buf[i] > ' ' || i == record->token_type.len);
        fuzz_check(buf[i] < 0x7f);
    }

    fuzz_check(record->token_type.len != 0);
    fuzz_check(ngx_memcmp(buf + record->token_type.len + 1, fields[0].data,
                          fields[0].len)
               == 0);
    fuzz_check(fields[0].len < 4
               || ngx_memcmp(fields[0].data, "enc:", 4) != 0);

    fuzz_check((record->scope.data == NULL) == (fields[2].len == 0));

    fuzz_expires(record->expires, &fields[1]);

    free(buf);
}


static void
fuzz_expires(int64_t expires, ngx_str_t *text)
{
    char       *end, copy[4096];
    long long   n;

    if (text->len == 0) {
        fuzz_check(expires == 0);
        return;
    }

    fuzz_check(text->len < sizeof(copy));

    ngx_memcpy(copy, text->data, text->len);
    copy[text->len] = '\0';

    (void) strtold(copy, &end);
    fuzz_check(end == copy + text->len);

    /* a fraction is cut off, the epoch is not "never" */

    n = strtoll(copy, &end, 10);
    fuzz_check(*end == '\0' || *end == '.');
    fuzz_check(expires == (n ? n : 1));
}


/* " scope " holds " name " */

static void
fuzz_scope(ngx_str_t *scope, ngx_str_t *name)
{
    size_t      i;
    ngx_uint_t  found;

    if (name->len == 0 || memchr(name->data, ' ', name->len) != NULL) {
        return;
    }

    found = 0;

    for (i = 0; i + name->len <= scope->len; i++) {

        if ((i == 0 || scope->data[i - 1] == ' ')
            && ngx_memcmp(scope->data + i, name->data, name->len) == 0
            && (i + name->len == scope->len
                || scope->data[i + name->len] == ' '))
        {
            found = 1;
        }
    }

    fuzz_check((ngx_zapier_record_has_scope(scope, name) == NGX_OK) == found);
}
