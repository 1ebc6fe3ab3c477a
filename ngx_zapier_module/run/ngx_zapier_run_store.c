
/*
 * Runs in Redis: run:{TENANT}:ID is the result of one that is finished,
 * poll:{TENANT}:ID says who asks for one that is not.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_scripts.h>
#include <ngx_zapier_run_callback.h>
#include <ngx_zapier_run_private.h>
#include <ngx_zapier_state.h>


static u_char *ngx_zapier_run_store_key(u_char *p, ngx_zapier_runs_t *runs,
    const char *kind, ngx_str_t *tenant, ngx_str_t *id, ngx_str_t *key);
static void ngx_zapier_run_asked(ngx_zapier_redis_eval_t *eval);
static void ngx_zapier_run_noted(ngx_zapier_redis_eval_t *eval);
static void ngx_zapier_run_note_failed(ngx_zapier_run_note_t *note);
static void ngx_zapier_run_note_again(ngx_event_t *ev);
static void ngx_zapier_run_note_free(ngx_zapier_run_note_t *note);


/* ms until a note is sent again, and bytes of notes for which that is done */
#define NGX_ZAPIER_RUN_NOTE_DELAY  250
#define NGX_ZAPIER_RUN_NOTES_MAX   (16 * 1024 * 1024)


static ngx_queue_t  ngx_zapier_run_notes;
static size_t       ngx_zapier_run_notes_size;


static ngx_zapier_redis_script_t  ngx_zapier_run_ask_script =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_RUN_ASK);

static ngx_zapier_redis_script_t  ngx_zapier_run_expect_script =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_RUN_EXPECT);

static ngx_zapier_redis_script_t  ngx_zapier_run_pending_script =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_RUN_PENDING);

static ngx_zapier_redis_script_t  ngx_zapier_run_finished_script =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_RUN_FINISHED);


ngx_int_t
ngx_zapier_run_ask(ngx_zapier_runs_t *runs, ngx_zapier_run_ask_t *ask,
    ngx_str_t *tenant, ngx_str_t *id, uint64_t owner, ngx_msec_t interval,
    ngx_uint_t urgent)
{
    u_char     *p;
    ngx_str_t   argv[6];

    (void) ngx_zapier_run_keys(runs, ask->keys, tenant, id, argv);

    p = ngx_zapier_run_number(ask->numbers, owner, &argv[2]);
    p = ngx_zapier_run_number(p, interval, &argv[3]);
    p = ngx_zapier_run_number(p, urgent, &argv[4]);
    (void) ngx_zapier_run_number(p, NGX_ZAPIER_RUN_LEASE, &argv[5]);

    ask->eval.handler = ngx_zapier_run_asked;
    ask->eval.data = ask;

    return ngx_zapier_redis_eval(runs->redis, &ask->eval,
                                 &ngx_zapier_run_ask_script, 2, 6, argv);
}


ngx_int_t
ngx_zapier_run_expect(ngx_zapier_runs_t *runs, ngx_zapier_run_ask_t *ask,
    ngx_str_t *tenant, ngx_str_t *id, ngx_str_t *key, ngx_msec_t delay)
{
    u_char     *p;
    ngx_str_t   argv[5];

    (void) ngx_zapier_run_keys(runs, ask->keys, tenant, id, argv);

    argv[1] = *key;
    argv[2] = *id;
    p = ngx_zapier_run_number(ask->numbers, NGX_ZAPIER_CALLBACK_TIME,
                              &argv[3]);
    (void) ngx_zapier_run_number(p, delay, &argv[4]);

    ask->eval.handler = ngx_zapier_run_asked;
    ask->eval.data = ask;

    return ngx_zapier_redis_eval(runs->redis, &ask->eval,
                                 &ngx_zapier_run_expect_script, 2, 5, argv);
}


u_char *
ngx_zapier_run_callback_key(u_char *p, ngx_zapier_runs_t *runs,
    ngx_str_t *tenant, ngx_str_t *name, ngx_str_t *key)
{
    return ngx_zapier_run_store_key(p, runs, "callback", tenant, name, key);
}


void
ngx_zapier_run_ask_cancel(ngx_zapier_run_ask_t *ask)
{
    ngx_zapier_redis_eval_cancel(&ask->eval);
}


u_char *
ngx_zapier_run_keys(ngx_zapier_runs_t *runs, u_char *p, ngx_str_t *tenant,
    ngx_str_t *id, ngx_str_t *argv)
{
    p = ngx_zapier_run_store_key(p, runs, "run", tenant, id, &argv[0]);

    return ngx_zapier_run_store_key(p, runs, "poll", tenant, id, &argv[1]);
}


static u_char *
ngx_zapier_run_store_key(u_char *p, ngx_zapier_runs_t *runs,
    const char *kind, ngx_str_t *tenant, ngx_str_t *id, ngx_str_t *key)
{
    key->data = p;

    p = ngx_zapier_key(p, &runs->prefix, kind, tenant);
    *p++ = ':';
    p = ngx_cpymem(p, id->data, id->len);

    key->len = p - key->data;

    return p;
}


u_char *
ngx_zapier_run_number(u_char *p, uint64_t n, ngx_str_t *text)
{
    text->data = p;
    p = ngx_sprintf(p, "%uL", n);
    text->len = p - text->data;

    return p;
}


static void
ngx_zapier_run_asked(ngx_zapier_redis_eval_t *eval)
{
    ngx_zapier_run_ask_t      *ask;
    ngx_zapier_redis_reply_t  *reply, **elts;

    ask = eval->data;
    reply = eval->reply;

    ask->rc = NGX_ERROR;
    ask->wait = 0;
    ngx_str_null(&ask->body);

    if (eval->status == NGX_OK
        && reply->type == NGX_ZAPIER_REDIS_ARRAY
        && reply->nelts >= 1
        && reply->elts[0]->type == NGX_ZAPIER_REDIS_INTEGER)
    {
        elts = reply->elts;

        if (elts[0]->integer == 1) {
            ask->rc = NGX_DECLINED;

        } else if (reply->nelts == 2
                   && elts[1]->type == NGX_ZAPIER_REDIS_STRING)
        {
            ask->rc = NGX_OK;
            ask->body = elts[1]->str;

        } else if (reply->nelts == 2
                   && elts[1]->type == NGX_ZAPIER_REDIS_INTEGER)
        {
            ask->rc = NGX_BUSY;
            ask->wait = (uint64_t) ngx_max(elts[1]->integer, 1);
        }
    }

    ask->handler(ask);
}


/* ngx_random() may be seeded alike on nodes that start together. */

uint64_t
ngx_zapier_run_owner(void)
{
    uint64_t  owner;

    owner = (uint64_t) ngx_random() << 32 ^ (uint64_t) ngx_random();

    (void) ngx_zapier_state_random((u_char *) &owner, sizeof(owner));

    return (owner & 0x1fffffffffffff) | 1;
}


void
ngx_zapier_run_store_pending(ngx_zapier_runs_t *runs, ngx_str_t *tenant,
    ngx_str_t *id, uint64_t owner, ngx_msec_t delay)
{
    u_char                 *p;
    ngx_str_t               argv[4];
    ngx_zapier_run_note_t  *note;

    note = ngx_zapier_run_note(0);
    if (note == NULL) {
        return;
    }

    (void) ngx_zapier_run_keys(runs, note->ask.keys, tenant, id, argv);

    argv[0] = argv[1];
    p = ngx_zapier_run_number(note->ask.numbers, owner, &argv[1]);
    (void) ngx_zapier_run_number(p, delay, &argv[2]);

    ngx_zapier_run_note_send(runs, note, &ngx_zapier_run_pending_script, 1, 3,
                             argv);
}


void
ngx_zapier_run_store_finished(ngx_zapier_runs_t *runs, ngx_str_t *tenant,
    ngx_str_t *id, ngx_msec_t keep, ngx_str_t *body)
{
    u_char                 *p;
    ngx_str_t               argv[6];
    ngx_zapier_run_note_t  *note;

    note = ngx_zapier_run_note(body->len + NGX_ZAPIER_RUN_KEY_LEN);
    if (note == NULL) {
        return;
    }

    (void) ngx_zapier_run_keys(runs, note->ask.keys, tenant, id, argv);

    /* it is sent once more, if the script was not known */

    p = (u_char *) (note + 1);

    argv[2].data = p;
    argv[2].len = body->len;
    p = ngx_cpymem(p, body->data, body->len);

    (void) ngx_zapier_run_number(note->ask.numbers, keep, &argv[3]);

    argv[4] = *ngx_zapier_run_news_channel(runs);

    argv[5].data = p;
    p = ngx_cpymem(p, tenant->data, tenant->len);
    *p++ = ' ';
    p = ngx_cpymem(p, id->data, id->len);
    argv[5].len = p - argv[5].data;

    ngx_zapier_run_note_send(runs, note, &ngx_zapier_run_finished_script, 2,
                             6, argv);
}


ngx_zapier_run_note_t *
ngx_zapier_run_note(size_t size)
{
    ngx_pool_t             *pool;
    ngx_zapier_run_note_t  *note;

    pool = ngx_create_pool(512, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    note = ngx_palloc(pool, sizeof(ngx_zapier_run_note_t) + size);
    if (note == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    ngx_memzero(note, sizeof(ngx_zapier_run_note_t));

    if (ngx_zapier_run_notes.next == NULL) {
        ngx_queue_init(&ngx_zapier_run_notes);
    }

    ngx_queue_insert_tail(&ngx_zapier_run_notes, &note->queue);
    ngx_zapier_run_notes_size += sizeof(ngx_zapier_run_note_t) + size;

    note->pool = pool;
    note->size = sizeof(ngx_zapier_run_note_t) + size;
    note->ask.eval.handler = ngx_zapier_run_noted;
    note->ask.eval.data = note;

    return note;
}


void
ngx_zapier_run_note_send(ngx_zapier_runs_t *runs,
    ngx_zapier_run_note_t *note, ngx_zapier_redis_script_t *script,
    ngx_uint_t nkeys, ngx_uint_t argc, ngx_str_t *argv)
{
    ngx_int_t                 rc;
    ngx_zapier_redis_eval_t  *eval;

    eval = &note->ask.eval;

    if (note->replicas) {
        rc = ngx_zapier_redis_eval_durable(runs->redis, eval, script, nkeys,
                                           argc, argv);

    } else {
        rc = ngx_zapier_redis_eval(runs->redis, eval, script, nkeys, argc,
                                   argv);
    }

    if (rc != NGX_AGAIN) {
        ngx_zapier_run_note_failed(note);
    }
}


void
ngx_zapier_run_note_insist(ngx_zapier_run_note_t *note, ngx_msec_t ms,
    ngx_uint_t replicas)
{
    note->insist = 1;
    note->until = ngx_current_msec + ms;
    note->replicas = replicas;

    note->timer.handler = ngx_zapier_run_note_again;
    note->timer.data = note;
    note->timer.log = ngx_cycle->log;
    note->timer.cancelable = 1;
}


static void
ngx_zapier_run_noted(ngx_zapier_redis_eval_t *eval)
{
    ngx_zapier_run_note_t     *note;
    ngx_zapier_redis_reply_t  *reply;

    note = eval->data;
    reply = eval->reply;

    if (eval->status != NGX_OK || reply->type == NGX_ZAPIER_REDIS_ERROR) {
        ngx_zapier_run_note_failed(note);
        return;
    }

    if (note->syncing) {

        if (reply->type == NGX_ZAPIER_REDIS_INTEGER
            && reply->integer >= (int64_t) note->replicas)
        {
            ngx_zapier_run_note_free(note);

        } else {
            ngx_zapier_run_note_failed(note);
        }

        return;
    }

    /* 0: there is nothing to be noted */

    if (note->replicas == 0
        || reply->type != NGX_ZAPIER_REDIS_INTEGER
        || reply->integer == 0)
    {
        ngx_zapier_run_note_free(note);
        return;
    }

    note->syncing = 1;

    if (ngx_zapier_redis_eval_sync(eval, note->replicas) != NGX_AGAIN) {
        ngx_zapier_run_note_failed(note);
    }
}


/* What is not insisted on can be asked of the upstream again. */

static void
ngx_zapier_run_note_failed(ngx_zapier_run_note_t *note)
{
    note->syncing = 0;

    if (!note->insist
        || (ngx_msec_int_t) (note->until - ngx_current_msec) <= 0
        || ngx_zapier_run_notes_size > NGX_ZAPIER_RUN_NOTES_MAX)
    {
        ngx_zapier_run_note_free(note);
        return;
    }

    ngx_add_timer(&note->timer, NGX_ZAPIER_RUN_NOTE_DELAY
                                + (ngx_msec_t) ngx_random()
                                  % NGX_ZAPIER_RUN_NOTE_DELAY);
}


static void
ngx_zapier_run_note_again(ngx_event_t *ev)
{
    ngx_zapier_run_note_t *note = ev->data;

    if (ngx_zapier_redis_eval_again(&note->ask.eval) != NGX_AGAIN) {
        ngx_zapier_run_note_failed(note);
    }
}


static void
ngx_zapier_run_note_free(ngx_zapier_run_note_t *note)
{
    if (note->timer.timer_set) {
        ngx_del_timer(&note->timer);
    }

    ngx_zapier_run_notes_size -= note->size;

    ngx_queue_remove(&note->queue);
    ngx_destroy_pool(note->pool);
}


void
ngx_zapier_run_store_exit(void)
{
    ngx_queue_t            *q;
    ngx_zapier_run_note_t  *note;

    while (ngx_zapier_run_notes.next != NULL
           && !ngx_queue_empty(&ngx_zapier_run_notes))
    {
        q = ngx_queue_head(&ngx_zapier_run_notes);
        note = ngx_queue_data(q, ngx_zapier_run_note_t, queue);

        ngx_zapier_redis_eval_cancel(&note->ask.eval);
        ngx_zapier_run_note_free(note);
    }
}
