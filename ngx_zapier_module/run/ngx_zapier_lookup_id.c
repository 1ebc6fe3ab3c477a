
/*
 * The id of an action: as another node has found it in the last time, or as
 * the upstream tells it, page by page.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_action.h>
#include <ngx_zapier_redis_scripts.h>
#include <ngx_zapier_lookup_private.h>


/* pages of one app, at most, and bytes of one */
#define NGX_ZAPIER_LOOKUP_PAGES     20
#define NGX_ZAPIER_LOOKUP_PAGE_MAX  (512 * 1024)


static ngx_int_t ngx_zapier_lookup_stored(ngx_zapier_lookup_flight_t *flight);
static size_t ngx_zapier_lookup_store_len(ngx_zapier_lookup_flight_t *flight);
static u_char *ngx_zapier_lookup_store_key(
    ngx_zapier_lookup_flight_t *flight, u_char *p, ngx_str_t *key);
static void ngx_zapier_lookup_reply(ngx_zapier_redis_eval_t *eval);
static void ngx_zapier_lookup_store(ngx_zapier_lookup_flight_t *flight,
    ngx_str_t *id);
static void ngx_zapier_lookup_ask(ngx_zapier_lookup_flight_t *flight);
static void ngx_zapier_lookup_get(ngx_zapier_lookup_flight_t *flight);
static void ngx_zapier_lookup_got(ngx_zapier_run_poll_t *poll);
static void ngx_zapier_lookup_page(ngx_zapier_lookup_flight_t *flight);
static void ngx_zapier_lookup_invalid(ngx_zapier_lookup_flight_t *flight,
    const char *why);
static void ngx_zapier_lookup_failed(ngx_zapier_lookup_flight_t *flight,
    ngx_uint_t status);


static ngx_zapier_redis_script_t  ngx_zapier_action_get_script =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_ACTION_GET);

static ngx_zapier_redis_script_t  ngx_zapier_action_put_script =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_ACTION_PUT);


void
ngx_zapier_lookup_id(ngx_zapier_lookup_flight_t *flight)
{
    if (flight->what.cache != 0
        && ngx_zapier_lookup_stored(flight) == NGX_AGAIN)
    {
        return;
    }

    ngx_zapier_lookup_ask(flight);
}


/* NGX_AGAIN, or NGX_ERROR: Redis cannot be asked. */

static ngx_int_t
ngx_zapier_lookup_stored(ngx_zapier_lookup_flight_t *flight)
{
    ngx_str_t  key;

    key.data = ngx_pnalloc(flight->pool,
                           ngx_zapier_lookup_store_len(flight));
    if (key.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_zapier_lookup_store_key(flight, key.data, &key);

    flight->eval.handler = ngx_zapier_lookup_reply;
    flight->eval.data = flight;

    return ngx_zapier_redis_eval(flight->runs->redis, &flight->eval,
                                 &ngx_zapier_action_get_script, 1, 1, &key);
}


static size_t
ngx_zapier_lookup_store_len(ngx_zapier_lookup_flight_t *flight)
{
    return ngx_zapier_key_len(&flight->runs->prefix, "action",
                              &flight->what.tenant)
           + 1 + NGX_ZAPIER_LOOKUP_DIGEST;
}


/* action:{TENANT}:DIGEST, with that of the flight's own key */

static u_char *
ngx_zapier_lookup_store_key(ngx_zapier_lookup_flight_t *flight, u_char *p,
    ngx_str_t *key)
{
    key->data = p;

    p = ngx_zapier_key(p, &flight->runs->prefix, "action",
                       &flight->what.tenant);
    *p++ = ':';
    p = ngx_cpymem(p, flight->key.data + flight->key.len
                      - NGX_ZAPIER_LOOKUP_DIGEST,
                   NGX_ZAPIER_LOOKUP_DIGEST);

    key->len = p - key->data;

    return p;
}


static void
ngx_zapier_lookup_reply(ngx_zapier_redis_eval_t *eval)
{
    int64_t                       left;
    uint64_t                      then;
    ngx_zapier_redis_reply_t     *reply;
    ngx_zapier_lookup_answer_t    answer;
    ngx_zapier_lookup_flight_t   *flight;

    flight = eval->data;
    reply = eval->reply;

    if (eval->status != NGX_OK
        || reply->type != NGX_ZAPIER_REDIS_ARRAY
        || reply->nelts != 2
        || reply->elts[0]->type != NGX_ZAPIER_REDIS_STRING
        || reply->elts[0]->str.len == 0
        || reply->elts[0]->str.len > NGX_ZAPIER_ACTION_ID_LEN
        || reply->elts[1]->type != NGX_ZAPIER_REDIS_INTEGER
        || reply->elts[1]->integer <= 0)
    {
        ngx_zapier_lookup_ask(flight);
        return;
    }

    ngx_memzero(&answer, sizeof(ngx_zapier_lookup_answer_t));

    answer.result = NGX_ZAPIER_LOOKUP_FOUND;
    answer.value = reply->elts[0]->str;

    left = ngx_min(reply->elts[1]->integer, (int64_t) flight->what.cache);
    then = ngx_zapier_clock() + left - flight->what.cache;

    ngx_zapier_lookup_put(flight->runs, &flight->key, then, &answer);
    ngx_zapier_lookup_tell(flight, &answer);
}


/* For the other nodes; nobody waits for it. */

static void
ngx_zapier_lookup_store(ngx_zapier_lookup_flight_t *flight, ngx_str_t *id)
{
    u_char                 *p;
    ngx_str_t               argv[3];
    ngx_zapier_run_note_t  *note;

    note = ngx_zapier_run_note(ngx_zapier_lookup_store_len(flight) + id->len);
    if (note == NULL) {
        return;
    }

    p = ngx_zapier_lookup_store_key(flight, (u_char *) (note + 1), &argv[0]);

    argv[1].data = p;
    argv[1].len = id->len;

    ngx_memcpy(p, id->data, id->len);

    (void) ngx_zapier_run_number(note->ask.numbers, flight->what.cache,
                                 &argv[2]);

    ngx_zapier_run_note_send(flight->runs, note,
                             &ngx_zapier_action_put_script, 1, 3, argv);
}


static void
ngx_zapier_lookup_ask(ngx_zapier_lookup_flight_t *flight)
{
    if (ngx_zapier_action_query(flight->pool, &flight->what.app,
                                &flight->what.type, &flight->poll.args)
        != NGX_OK)
    {
        ngx_zapier_lookup_failed(flight, 0);
        return;
    }

    ngx_zapier_lookup_get(flight);
}


/* Gets the page of poll->args. */

static void
ngx_zapier_lookup_get(ngx_zapier_lookup_flight_t *flight)
{
    ngx_zapier_run_poll_t  *poll;

    if (flight->page != NULL) {
        ngx_destroy_pool(flight->page);
    }

    flight->page = ngx_create_pool(4096, ngx_cycle->log);

    poll = &flight->poll;

    poll->tenant = flight->what.tenant;
    poll->pool = flight->page;
    poll->max = NGX_ZAPIER_LOOKUP_PAGE_MAX;
    poll->urgent = 1;
    poll->handler = ngx_zapier_lookup_got;
    poll->data = flight;

    ngx_zapier_run_poll_clear(poll);

    ngx_zapier_lookup_lease(flight->runs, &flight->key, flight->owner,
                            NGX_ZAPIER_LOOKUP_LEASE);

    if (poll->pool == NULL || flight->runs->call(poll) != NGX_AGAIN) {
        ngx_zapier_lookup_failed(flight, 0);
    }
}


static void
ngx_zapier_lookup_got(ngx_zapier_run_poll_t *poll)
{
    ngx_zapier_lookup_flight_t  *flight;

    flight = poll->data;

    if (!poll->own && poll->status == 401 && flight->what.again) {
        flight->what.again = 0;
        ngx_zapier_lookup_get(flight);
        return;
    }

    if (poll->own || poll->status != 200) {
        ngx_zapier_lookup_failed(flight, poll->status);
        return;
    }

    if (poll->body.data == NULL) {
        ngx_zapier_lookup_invalid(flight, "is too long, or not whole");
        return;
    }

    ngx_zapier_lookup_page(flight);
}


static void
ngx_zapier_lookup_page(ngx_zapier_lookup_flight_t *flight)
{
    const char                  *why;
    ngx_str_t                    next;
    ngx_zapier_lookup_t         *what;
    ngx_zapier_lookup_answer_t   answer;

    what = &flight->what;

    ngx_memzero(&answer, sizeof(ngx_zapier_lookup_answer_t));

    switch (ngx_zapier_action_page(flight->pool, &flight->poll.body,
                                   &what->key, &what->type, &answer.value,
                                   &next, &why))
    {
    case NGX_OK:
        answer.result = NGX_ZAPIER_LOOKUP_FOUND;

        if (what->cache != 0) {
            ngx_zapier_lookup_store(flight, &answer.value);
        }

        break;

    case NGX_AGAIN:

        if (++flight->pages == NGX_ZAPIER_LOOKUP_PAGES) {
            ngx_zapier_lookup_invalid(flight, "is not the last one of 20");
            return;
        }

        flight->poll.args = next;

        ngx_zapier_lookup_get(flight);
        return;

    case NGX_DECLINED:
        answer.result = NGX_ZAPIER_LOOKUP_NONE;

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "app \"%V\" has no action with the key \"%V\", "
                      "tenant \"%V\"", &what->app, &what->key, &what->tenant);
        break;

    case NGX_ABORT:
        ngx_zapier_lookup_invalid(flight, why);
        return;

    default: /* NGX_ERROR */
        ngx_zapier_lookup_failed(flight, 0);
        return;
    }

    ngx_zapier_lookup_put(flight->runs, &flight->key, ngx_zapier_clock(),
                          &answer);
    ngx_zapier_lookup_tell(flight, &answer);
}


static void
ngx_zapier_lookup_invalid(ngx_zapier_lookup_flight_t *flight,
    const char *why)
{
    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "a page of the actions of app \"%V\" %s", &flight->what.app,
                  why);

    ngx_zapier_lookup_failed(flight, 502);
}


static void
ngx_zapier_lookup_failed(ngx_zapier_lookup_flight_t *flight,
    ngx_uint_t status)
{
    ngx_zapier_lookup_answer_t  answer;

    ngx_memzero(&answer, sizeof(ngx_zapier_lookup_answer_t));

    answer.result = NGX_ZAPIER_LOOKUP_FAILED;
    answer.status = status;
    answer.retry_after = flight->poll.retry_after;

    if (flight->poll.own) {
        answer.value = flight->poll.code;
    }

    ngx_zapier_lookup_put(flight->runs, &flight->key, ngx_zapier_clock(),
                          &answer);
    ngx_zapier_lookup_tell(flight, &answer);
}
