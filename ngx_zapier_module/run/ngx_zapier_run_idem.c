
/*
 * Idempotency keys, see ngx_zapier_run_idem.h.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_scripts.h>
#include <ngx_zapier_run_idem.h>
#include <ngx_zapier_run_private.h>


/*
 * ms that a call may be under way; after that nobody knows what has become
 * of it, unless its answer comes all the same.
 */
#define NGX_ZAPIER_IDEM_LEASE  120000


/* ms that what has become of a call is worth telling to Redis */
#define NGX_ZAPIER_IDEM_PATIENCE  60000


static void ngx_zapier_idem_record(ngx_zapier_idem_t *idem, u_char *buf,
    ngx_str_t *key);
static ngx_int_t ngx_zapier_idem_eval(ngx_zapier_idem_t *idem,
    ngx_uint_t durable, ngx_zapier_redis_script_t *script, ngx_uint_t argc,
    ngx_str_t *argv);
static void ngx_zapier_idem_looked(ngx_zapier_redis_eval_t *eval);
static void ngx_zapier_idem_read(ngx_zapier_idem_t *idem,
    ngx_zapier_redis_reply_t *reply);
static ngx_int_t ngx_zapier_idem_copy(ngx_pool_t *pool, ngx_str_t *to,
    ngx_zapier_redis_reply_t *from);
static void ngx_zapier_idem_stored(ngx_zapier_redis_eval_t *eval);
static void ngx_zapier_idem_done(ngx_zapier_idem_t *idem);
static void ngx_zapier_idem_confirmed(ngx_zapier_redis_eval_t *eval);


static ngx_zapier_redis_script_t  ngx_zapier_idem_look_script =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_IDEM_LOOK);

static ngx_zapier_redis_script_t  ngx_zapier_idem_note_script =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_IDEM_NOTE);


void
ngx_zapier_idem_digest(ngx_sha1_t *sha1, u_char *digest)
{
    u_char  bytes[NGX_ZAPIER_IDEM_DIGEST / 2];

    ngx_sha1_final(bytes, sha1);
    (void) ngx_hex_dump(digest, bytes, sizeof(bytes));
}


static void
ngx_zapier_idem_record(ngx_zapier_idem_t *idem, u_char *buf, ngx_str_t *key)
{
    u_char  *p;

    key->data = buf;

    p = ngx_zapier_key(buf, &idem->runs->prefix, "idem", &idem->tenant);
    *p++ = ':';
    p = ngx_cpymem(p, idem->key, sizeof(idem->key));

    key->len = p - buf;
}


ngx_int_t
ngx_zapier_idem_look(ngx_zapier_idem_t *idem, ngx_uint_t begin)
{
    u_char     *p;
    ngx_str_t   argv[6];

    if (idem->owner == 0) {
        idem->owner = ngx_zapier_run_owner();
    }

    ngx_zapier_idem_record(idem, idem->record, &argv[0]);

    argv[1].data = idem->call;
    argv[1].len = sizeof(idem->call);

    argv[2].data = (u_char *) (begin ? "1" : "0");
    argv[2].len = 1;

    p = ngx_zapier_run_number(idem->numbers, idem->owner, &argv[3]);
    p = ngx_zapier_run_number(p, NGX_ZAPIER_IDEM_LEASE, &argv[4]);
    (void) ngx_zapier_run_number(p, idem->ttl, &argv[5]);

    idem->eval.handler = ngx_zapier_idem_looked;

    return ngx_zapier_idem_eval(idem, begin, &ngx_zapier_idem_look_script, 6,
                                argv);
}


static ngx_int_t
ngx_zapier_idem_eval(ngx_zapier_idem_t *idem, ngx_uint_t durable,
    ngx_zapier_redis_script_t *script, ngx_uint_t argc, ngx_str_t *argv)
{
    idem->result = NGX_ZAPIER_IDEM_UNAVAILABLE;
    idem->eval.data = idem;
    idem->confirm = (durable && idem->replicas != 0);

    if (idem->confirm) {
        return ngx_zapier_redis_eval_durable(idem->runs->redis, &idem->eval,
                                             script, 1, argc, argv);
    }

    return ngx_zapier_redis_eval(idem->runs->redis, &idem->eval, script, 1,
                                 argc, argv);
}


static void
ngx_zapier_idem_looked(ngx_zapier_redis_eval_t *eval)
{
    ngx_zapier_idem_t         *idem;
    ngx_zapier_redis_reply_t  *reply;

    idem = eval->data;
    reply = eval->reply;

    if (eval->status == NGX_OK
        && reply->type == NGX_ZAPIER_REDIS_ARRAY
        && reply->nelts >= 1
        && reply->elts[0]->type == NGX_ZAPIER_REDIS_INTEGER)
    {
        ngx_zapier_idem_read(idem, reply);

    } else {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "Redis does not tell what is known of an idempotency "
                      "key of tenant \"%V\"", &idem->tenant);
    }

    ngx_zapier_idem_done(idem);
}


static void
ngx_zapier_idem_read(ngx_zapier_idem_t *idem,
    ngx_zapier_redis_reply_t *reply)
{
    int64_t                     n;
    ngx_zapier_redis_reply_t  **elts;

    elts = reply->elts;
    n = elts[0]->integer;

    if (n == NGX_ZAPIER_IDEM_ANSWER) {

        if (reply->nelts != 4
            || elts[1]->type != NGX_ZAPIER_REDIS_INTEGER
            || ngx_zapier_idem_copy(idem->pool, &idem->type, elts[2])
               != NGX_OK
            || ngx_zapier_idem_copy(idem->pool, &idem->body, elts[3])
               != NGX_OK)
        {
            return;
        }

        idem->status = (ngx_uint_t) elts[1]->integer;
    }

    if (n >= NGX_ZAPIER_IDEM_NEW && n < NGX_ZAPIER_IDEM_UNAVAILABLE) {
        idem->result = (ngx_zapier_idem_result_e) n;
    }
}


static ngx_int_t
ngx_zapier_idem_copy(ngx_pool_t *pool, ngx_str_t *to,
    ngx_zapier_redis_reply_t *from)
{
    if (from->type != NGX_ZAPIER_REDIS_STRING) {
        return NGX_ERROR;
    }

    to->len = from->str.len;
    to->data = ngx_pnalloc(pool, to->len + 1);

    if (to->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(to->data, from->str.data, to->len);

    return NGX_OK;
}


ngx_int_t
ngx_zapier_idem_store(ngx_zapier_idem_t *idem, ngx_uint_t status,
    ngx_str_t *type, ngx_str_t *body, ngx_msec_t busy)
{
    u_char     *p;
    ngx_str_t   argv[7];

    ngx_zapier_idem_record(idem, idem->record, &argv[0]);

    p = ngx_zapier_run_number(idem->numbers, idem->owner, &argv[1]);
    ngx_str_set(&argv[2], "answer");
    p = ngx_zapier_run_number(p, busy, &argv[3]);
    (void) ngx_zapier_run_number(p, status, &argv[4]);
    argv[5] = *type;
    argv[6] = *body;

    idem->eval.handler = ngx_zapier_idem_stored;

    return ngx_zapier_idem_eval(idem, 1, &ngx_zapier_idem_note_script, 7,
                                argv);
}


static void
ngx_zapier_idem_stored(ngx_zapier_redis_eval_t *eval)
{
    ngx_zapier_idem_t  *idem;

    idem = eval->data;

    if (eval->status == NGX_OK
        && eval->reply->type == NGX_ZAPIER_REDIS_INTEGER
        && eval->reply->integer == 1)
    {
        idem->result = NGX_ZAPIER_IDEM_NEW;

    } else {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "an answer that belongs to an idempotency key of "
                      "tenant \"%V\" could not be stored", &idem->tenant);
    }

    ngx_zapier_idem_done(idem);
}


/* What was written counts when replicas have got it. */

static void
ngx_zapier_idem_done(ngx_zapier_idem_t *idem)
{
    if (idem->confirm && idem->result == NGX_ZAPIER_IDEM_NEW) {

        idem->result = NGX_ZAPIER_IDEM_UNAVAILABLE;
        idem->eval.handler = ngx_zapier_idem_confirmed;

        if (ngx_zapier_redis_eval_sync(&idem->eval, idem->replicas)
            != NGX_AGAIN)
        {
            idem->eval.status = NGX_ERROR;
            ngx_zapier_idem_confirmed(&idem->eval);
        }

        return;
    }

    idem->handler(idem);
}


static void
ngx_zapier_idem_confirmed(ngx_zapier_redis_eval_t *eval)
{
    int64_t             n;
    ngx_zapier_idem_t  *idem;

    idem = eval->data;

    n = (eval->status == NGX_OK
         && eval->reply->type == NGX_ZAPIER_REDIS_INTEGER)
        ? eval->reply->integer : -1;

    if (n >= (int64_t) idem->replicas) {
        idem->result = NGX_ZAPIER_IDEM_NEW;

    } else if (n < 0) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "Redis does not tell whether replicas have what is "
                      "known of an idempotency key of tenant \"%V\"",
                      &idem->tenant);

    } else {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "%L of %ui replicas of Redis have what is known of an "
                      "idempotency key of tenant \"%V\"",
                      n, idem->replicas, &idem->tenant);
    }

    idem->handler(idem);
}


void
ngx_zapier_idem_cancel(ngx_zapier_idem_t *idem)
{
    ngx_zapier_redis_eval_cancel(&idem->eval);
}


void
ngx_zapier_idem_note(ngx_zapier_idem_t *idem, const char *what,
    ngx_uint_t status, ngx_str_t *type, ngx_str_t *body)
{
    u_char                 *p;
    ngx_str_t               argv[7];
    ngx_zapier_run_note_t  *note;

    note = ngx_zapier_run_note(type->len + body->len);
    if (note == NULL) {
        return;
    }

    ngx_zapier_idem_record(idem, note->ask.keys, &argv[0]);
    p = ngx_zapier_run_number(note->ask.numbers, idem->owner, &argv[1]);

    argv[2].len = ngx_strlen(what);
    argv[2].data = (u_char *) what;

    ngx_str_set(&argv[3], "0");
    (void) ngx_zapier_run_number(p, status, &argv[4]);

    argv[5].len = type->len;
    argv[5].data = (u_char *) (note + 1);
    argv[6].len = body->len;
    argv[6].data = ngx_cpymem(argv[5].data, type->data, type->len);

    ngx_memcpy(argv[6].data, body->data, body->len);

    ngx_zapier_run_note_insist(note, NGX_ZAPIER_IDEM_PATIENCE, idem->replicas);

    ngx_zapier_run_note_send(idem->runs, note, &ngx_zapier_idem_note_script,
                             1, 7, argv);
}
