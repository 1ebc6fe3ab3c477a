
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_resp.h>
#include <ngx_zapier_wipe.h>

#include <hiredis/hiredis.h>


/* arguments of a command for which no memory is allocated */
#define NGX_ZAPIER_REDIS_ARGC  16


struct ngx_zapier_redis_reader_s {
    redisReader                    *hiredis;
    const ngx_zapier_redis_caps_t  *caps;
    ngx_log_t                      *log;

    size_t                          bytes;   /* fed since the last reply */
    ngx_uint_t                      total;   /* elements of this reply */
    const char                     *error;
};


/* 0.x passes the length of an array as an int, 1.x as a size_t */

#if (HIREDIS_MAJOR == 0)
typedef int     ngx_zapier_redis_nelts_t;
#else
typedef size_t  ngx_zapier_redis_nelts_t;
#endif


static ngx_int_t ngx_zapier_redis_reader_room(
    ngx_zapier_redis_reader_t *reader, size_t len);
static void *ngx_zapier_redis_create_string(const redisReadTask *task,
    char *str, size_t len);
static void *ngx_zapier_redis_create_array(const redisReadTask *task,
    ngx_zapier_redis_nelts_t nelts);
static void *ngx_zapier_redis_create_integer(const redisReadTask *task,
    long long value);
static void *ngx_zapier_redis_create_nil(const redisReadTask *task);
static ngx_zapier_redis_reply_t *ngx_zapier_redis_create_reply(
    const redisReadTask *task, ngx_zapier_redis_type_e type, size_t size);
static void *ngx_zapier_redis_refuse(const redisReadTask *task,
    const char *error);
static void ngx_zapier_redis_free_object(void *object);
static size_t ngx_zapier_redis_reply_size(ngx_zapier_redis_reply_t *reply);

#if (HIREDIS_MAJOR > 0)
static void *ngx_zapier_redis_create_double(const redisReadTask *task,
    double value, char *str, size_t len);
static void *ngx_zapier_redis_create_bool(const redisReadTask *task,
    int value);
#endif


/* 1.x has members in between that 0.x has not */

static redisReplyObjectFunctions  ngx_zapier_redis_functions = {
    .createString = ngx_zapier_redis_create_string,
    .createArray = ngx_zapier_redis_create_array,
    .createInteger = ngx_zapier_redis_create_integer,
#if (HIREDIS_MAJOR > 0)
    .createDouble = ngx_zapier_redis_create_double,
    .createBool = ngx_zapier_redis_create_bool,
#endif
    .createNil = ngx_zapier_redis_create_nil,
    .freeObject = ngx_zapier_redis_free_object
};


ngx_int_t
ngx_zapier_redis_format(ngx_uint_t argc, ngx_str_t *argv, ngx_str_t *text,
    ngx_log_t *log)
{
    char         *cmd;
    size_t       *lens, lens_buf[NGX_ZAPIER_REDIS_ARGC];
    long long     len;
    ngx_uint_t    i;
    const char  **args, *args_buf[NGX_ZAPIER_REDIS_ARGC];

    if (argc == 0) {
        return NGX_ERROR;
    }

    args = args_buf;
    lens = lens_buf;

    if (argc > NGX_ZAPIER_REDIS_ARGC) {
        args = ngx_alloc(argc * (sizeof(char *) + sizeof(size_t)), log);
        if (args == NULL) {
            return NGX_ERROR;
        }

        lens = (size_t *) (args + argc);
    }

    for (i = 0; i < argc; i++) {

        /* data of an empty string may be NULL, memcpy() must not see it */

        args[i] = argv[i].len ? (const char *) argv[i].data : "";
        lens[i] = argv[i].len;
    }

    len = redisFormatCommandArgv(&cmd, (int) argc, args, lens);

    if (args != args_buf) {
        ngx_free(args);
    }

    if (len < 0) {
        return NGX_ERROR;
    }

    text->data = (u_char *) cmd;
    text->len = (size_t) len;

    return NGX_OK;
}


void
ngx_zapier_redis_format_free(ngx_str_t *text)
{
    if (text->data == NULL) {
        return;
    }

    ngx_zapier_wipe(text->data, text->len);
    redisFreeCommand((char *) text->data);

    ngx_str_null(text);
}


ngx_zapier_redis_reader_t *
ngx_zapier_redis_reader_create(const ngx_zapier_redis_caps_t *caps,
    ngx_log_t *log)
{
    ngx_zapier_redis_reader_t  *reader;

    reader = ngx_calloc(sizeof(ngx_zapier_redis_reader_t), log);
    if (reader == NULL) {
        return NULL;
    }

    reader->hiredis =
                    redisReaderCreateWithFunctions(&ngx_zapier_redis_functions);

    if (reader->hiredis == NULL) {
        ngx_free(reader);
        return NULL;
    }

    reader->hiredis->privdata = reader;
    reader->caps = caps;
    reader->log = log;

    return reader;
}


void
ngx_zapier_redis_reader_free(ngx_zapier_redis_reader_t *reader)
{
    redisReader  *r;

    r = reader->hiredis;

    if (r->buf) {
        ngx_zapier_wipe(r->buf, r->len);
    }

    redisReaderFree(r);
    ngx_free(reader);
}


ngx_int_t
ngx_zapier_redis_reader_feed(ngx_zapier_redis_reader_t *reader, u_char *buf,
    size_t len)
{
    if (ngx_zapier_redis_reader_room(reader, len) != NGX_OK
        || redisReaderFeed(reader->hiredis, (char *) buf, len) != REDIS_OK)
    {
        reader->error = "no memory";
        return NGX_ERROR;
    }

    reader->bytes += len;

    return NGX_OK;
}


/*
 * hiredis would grow its buffer by realloc(), which leaves a copy of half
 * a reply behind in freed memory.
 */

static ngx_int_t
ngx_zapier_redis_reader_room(ngx_zapier_redis_reader_t *reader, size_t len)
{
    sds           empty, buf;
    redisReader  *r;

    r = reader->hiredis;

    if (r->buf == NULL || r->len == 0 || sdsavail(r->buf) >= len) {
        return NGX_OK;
    }

    empty = sdsempty();
    if (empty == NULL) {
        return NGX_ERROR;
    }

    /* makes twice the room that is asked for, as long as that is little */

    buf = sdsMakeRoomFor(empty, r->len + len);
    if (buf == NULL) {
        sdsfree(empty);
        return NGX_ERROR;
    }

    buf = sdscatlen(buf, r->buf, r->len);

    ngx_zapier_wipe(r->buf, r->len);
    sdsfree(r->buf);
    r->buf = buf;

    return NGX_OK;
}


ngx_int_t
ngx_zapier_redis_reader_reply(ngx_zapier_redis_reader_t *reader,
    ngx_zapier_redis_reply_t **reply)
{
    void         *object;
    size_t        len;
    redisReader  *r;

    r = reader->hiredis;
    len = r->len;

    if (redisReaderGetReply(r, &object) != REDIS_OK) {

        if (reader->error == NULL) {
            reader->error = r->errstr;
        }

        return NGX_ERROR;
    }

    if (r->len < len) {

        /* consumed bytes were dropped, the rest was moved to the front */

        ngx_zapier_wipe(r->buf + r->len, len - r->len);
    }

    if (object == NULL) {

        if (reader->bytes > reader->caps->bytes) {
            reader->error = "reply too large";
            return NGX_ERROR;
        }

        return NGX_AGAIN;
    }

    reader->bytes = r->len - r->pos;
    *reply = object;

    return NGX_OK;
}


const char *
ngx_zapier_redis_reader_error(ngx_zapier_redis_reader_t *reader)
{
    return reader->error ? reader->error : "no error";
}


static void *
ngx_zapier_redis_create_string(const redisReadTask *task, char *str,
    size_t len)
{
    ngx_zapier_redis_type_e     type;
    ngx_zapier_redis_reader_t  *reader;
    ngx_zapier_redis_reply_t   *reply;

    reader = task->privdata;

    switch (task->type) {

    case REDIS_REPLY_STRING:
        type = NGX_ZAPIER_REDIS_STRING;
        break;

    case REDIS_REPLY_STATUS:
        type = NGX_ZAPIER_REDIS_STATUS;
        break;

    case REDIS_REPLY_ERROR:
        type = NGX_ZAPIER_REDIS_ERROR;
        break;

    default:
        return ngx_zapier_redis_refuse(task, "RESP3 reply");
    }

    if (len > reader->caps->string) {
        return ngx_zapier_redis_refuse(task, "string too long");
    }

    reply = ngx_zapier_redis_create_reply(task, type, len + 1);
    if (reply == NULL) {
        return NULL;
    }

    reply->str.len = len;
    reply->str.data = (u_char *) reply + sizeof(ngx_zapier_redis_reply_t);

    ngx_memcpy(reply->str.data, str, len);
    reply->str.data[len] = '\0';

    /* hiredis is done with these bytes but keeps them in its buffer */

    ngx_zapier_wipe(str, len);

    return reply;
}


static void *
ngx_zapier_redis_create_array(const redisReadTask *task,
    ngx_zapier_redis_nelts_t nelts)
{
    ngx_uint_t                  depth;
    const redisReadTask        *parent;
    ngx_zapier_redis_reply_t   *reply;
    ngx_zapier_redis_reader_t  *reader;

    reader = task->privdata;

    if (task->type != REDIS_REPLY_ARRAY) {
        return ngx_zapier_redis_refuse(task, "RESP3 reply");
    }

    depth = 0;

    for (parent = task->parent; parent; parent = parent->parent) {
        depth++;
    }

    if (depth == 0) {
        reader->total = 0;
    }

    if (depth >= reader->caps->depth) {
        return ngx_zapier_redis_refuse(task, "arrays nested too deep");
    }

    /* a few bytes may announce an array of any length */

    if ((ngx_uint_t) nelts > reader->caps->nelts) {
        return ngx_zapier_redis_refuse(task, "array too long");
    }

    reader->total += (ngx_uint_t) nelts;

    if (reader->total > reader->caps->total) {
        return ngx_zapier_redis_refuse(task, "too many elements");
    }

    reply = ngx_zapier_redis_create_reply(task, NGX_ZAPIER_REDIS_ARRAY,
                                          nelts * sizeof(void *));
    if (reply == NULL) {
        return NULL;
    }

    reply->nelts = (ngx_uint_t) nelts;
    reply->elts = (ngx_zapier_redis_reply_t **) (reply + 1);

    return reply;
}


static void *
ngx_zapier_redis_create_integer(const redisReadTask *task, long long value)
{
    ngx_zapier_redis_reply_t  *reply;

    reply = ngx_zapier_redis_create_reply(task, NGX_ZAPIER_REDIS_INTEGER, 0);

    if (reply) {
        reply->integer = value;
    }

    return reply;
}


static void *
ngx_zapier_redis_create_nil(const redisReadTask *task)
{
    if (task->type != REDIS_REPLY_STRING && task->type != REDIS_REPLY_ARRAY) {
        return ngx_zapier_redis_refuse(task, "RESP3 reply");
    }

    return ngx_zapier_redis_create_reply(task, NGX_ZAPIER_REDIS_NIL, 0);
}


#if (HIREDIS_MAJOR > 0)

static void *
ngx_zapier_redis_create_double(const redisReadTask *task, double value,
    char *str, size_t len)
{
    (void) value;
    (void) str;
    (void) len;

    return ngx_zapier_redis_refuse(task, "RESP3 reply");
}


static void *
ngx_zapier_redis_create_bool(const redisReadTask *task, int value)
{
    (void) value;

    return ngx_zapier_redis_refuse(task, "RESP3 reply");
}

#endif


static ngx_zapier_redis_reply_t *
ngx_zapier_redis_create_reply(const redisReadTask *task,
    ngx_zapier_redis_type_e type, size_t size)
{
    ngx_zapier_redis_reply_t   *reply, *parent;
    ngx_zapier_redis_reader_t  *reader;

    reader = task->privdata;

    reply = ngx_calloc(sizeof(ngx_zapier_redis_reply_t) + size, reader->log);
    if (reply == NULL) {
        return ngx_zapier_redis_refuse(task, "no memory");
    }

    reply->type = type;

    if (task->parent) {
        parent = task->parent->obj;
        parent->elts[task->idx] = reply;
    }

    return reply;
}


/*
 * Makes hiredis stop; it would say "Out of memory".  It gives its buffer
 * back then, with the replies behind this one.
 */

static void *
ngx_zapier_redis_refuse(const redisReadTask *task, const char *error)
{
    ngx_zapier_redis_reader_t  *reader;

    reader = task->privdata;
    reader->error = error;

    ngx_zapier_wipe(reader->hiredis->buf, reader->hiredis->len);

    return NULL;
}


static void
ngx_zapier_redis_free_object(void *object)
{
    ngx_zapier_redis_reply_free(object);
}


void
ngx_zapier_redis_reply_free(ngx_zapier_redis_reply_t *reply)
{
    ngx_uint_t  i;

    if (reply == NULL) {
        return;
    }

    /* the depth is capped, the elements of half an array are NULL */

    for (i = 0; i < reply->nelts; i++) {
        ngx_zapier_redis_reply_free(reply->elts[i]);
    }

    ngx_zapier_wipe(reply, ngx_zapier_redis_reply_size(reply));
    ngx_free(reply);
}


static size_t
ngx_zapier_redis_reply_size(ngx_zapier_redis_reply_t *reply)
{
    return sizeof(ngx_zapier_redis_reply_t) + reply->str.len
           + reply->nelts * sizeof(void *);
}


ngx_uint_t
ngx_zapier_redis_reply_is(ngx_zapier_redis_reply_t *reply,
    ngx_zapier_redis_type_e type, const char *word)
{
    size_t  len;

    len = ngx_strlen(word);

    return reply->type == type
           && reply->str.len >= len
           && ngx_strncmp(reply->str.data, word, len) == 0
           && (reply->str.len == len || reply->str.data[len] == ' ');
}


ngx_uint_t
ngx_zapier_redis_refused(ngx_zapier_redis_reply_t *reply)
{
    ngx_uint_t  i;

    static const char  *words[] = {
        "LOADING", "MASTERDOWN", "READONLY", "CLUSTERDOWN", "TRYAGAIN",
        "NOAUTH", "DENIED", "ERR max number of clients reached", NULL
    };

    if (reply->type != NGX_ZAPIER_REDIS_ERROR) {
        return 0;
    }

    for (i = 0; words[i]; i++) {
        if (ngx_zapier_redis_reply_is(reply, NGX_ZAPIER_REDIS_ERROR,
                                      words[i]))
        {
            return 1;
        }
    }

    /* before 7.0 a script that may not write says so in its own words */

    return ngx_zapier_redis_reply_is(reply, NGX_ZAPIER_REDIS_ERROR,
                                     "ERR Error running script")
           && ngx_strstr(reply->str.data, "-READONLY ") != NULL;
}


size_t
ngx_zapier_redis_reply_text(ngx_zapier_redis_reply_t *reply, u_char *buf)
{
    u_char     *p;
    size_t      i, len;
    ngx_str_t  *str;

    static const char  quoted[] = ", with args";

    str = &reply->str;
    len = ngx_min(str->len, NGX_ZAPIER_REDIS_TEXT_LEN);

    /* "ERR unknown command 'AUTH', with args beginning with: 'secret'" */

    for (i = 0; i + sizeof(quoted) - 1 <= str->len && i < len; i++) {
        if (ngx_memcmp(str->data + i, quoted, sizeof(quoted) - 1) == 0) {
            len = i;
        }
    }

    p = buf;

    for (i = 0; i < len; i++) {
        *p++ = (str->data[i] < 0x20 || str->data[i] > 0x7e) ? '.'
                                                            : str->data[i];
    }

    return len;
}
