
/*
 * How a flight finds out what has become of its run.
 *
 *     timer -> table -> Redis -> poll -> timer ...
 *                                     -> end
 *
 * The time that a run has taken so far says how much longer it is likely to
 * take: the next poll comes after NGX_ZAPIER_RUN_GROWTH of it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_zapier_run_private.h>


/* percent of the time so far until the next poll, and of jitter on top */
#define NGX_ZAPIER_RUN_GROWTH   140
#define NGX_ZAPIER_RUN_JITTER   10

/* times that a poll is put off for the sake of new runs */
#define NGX_ZAPIER_RUN_PUT_OFFS   10

/* refusals in a row that make it useless to go on */
#define NGX_ZAPIER_RUN_REFUSALS   3

/* ms until an urgent flight looks again what another one has got */
#define NGX_ZAPIER_RUN_LOOK       20


static ngx_msec_t ngx_zapier_run_turn(ngx_zapier_run_flight_t *flight,
    uint64_t wait);
static ngx_zapier_run_ask_t *ngx_zapier_run_question(
    ngx_zapier_run_flight_t *flight,
    void (*handler)(ngx_zapier_run_ask_t *ask));
static void ngx_zapier_run_expected(ngx_zapier_run_ask_t *ask);
static void ngx_zapier_run_asked_handler(ngx_zapier_run_ask_t *ask);
static ngx_uint_t ngx_zapier_run_settled(ngx_zapier_run_flight_t *flight);
static void ngx_zapier_run_call(ngx_zapier_run_flight_t *flight);
static void ngx_zapier_run_polled(ngx_zapier_run_poll_t *poll);
static void ngx_zapier_run_answered(ngx_zapier_run_flight_t *flight,
    ngx_zapier_run_answer_t *answer);
static void ngx_zapier_run_refused(ngx_zapier_run_flight_t *flight);
static void ngx_zapier_run_again(ngx_zapier_run_flight_t *flight,
    ngx_str_t *body);


void
ngx_zapier_run_step(ngx_zapier_run_flight_t *flight)
{
    ngx_int_t               rc;
    ngx_uint_t              urgent;
    ngx_zapier_run_look_t   look;

    /* does a caller want to know how things stand now? */

    urgent = !ngx_queue_empty(&flight->askers);

    if (ngx_zapier_run_memory(flight) != NGX_OK) {
        return;
    }

    rc = ngx_zapier_run_claim(flight->runs, &flight->key, flight->owner,
                              flight->interval, urgent, flight->answers,
                              &look);

    if (rc == NGX_OK && look.state == NGX_ZAPIER_RUN_FINISHED) {
        ngx_zapier_run_tell(flight, NGX_ZAPIER_RUN_FINISHED, &look.body, 1);
        return;
    }

    if (rc == NGX_OK) {

        /* somebody has asked just now */

        ngx_zapier_run_arm(flight, ngx_zapier_run_delay(flight));
        ngx_zapier_run_tell(flight, NGX_ZAPIER_RUN_PENDING, &look.body, 0);
        return;
    }

    if (rc == NGX_BUSY) {
        ngx_zapier_run_rest(flight,
                            urgent ? ngx_min(look.wait, NGX_ZAPIER_RUN_LOOK)
                                   : ngx_zapier_run_turn(flight, look.wait));
        return;
    }

    if (ngx_zapier_run_inquire(flight, urgent) != NGX_AGAIN) {
        ngx_zapier_run_call(flight);
    }
}


/*
 * ms until it is seen how the one gets on who may ask for so long: it may
 * be done much sooner, or be killed then.
 */

static ngx_msec_t
ngx_zapier_run_turn(ngx_zapier_run_flight_t *flight, uint64_t wait)
{
    ngx_msec_t  delay;

    delay = ngx_zapier_run_delay(flight);

    return (wait < delay) ? (ngx_msec_t) wait : delay;
}


ngx_uint_t
ngx_zapier_run_look(ngx_zapier_run_flight_t *flight)
{
    ngx_str_t  body;

    if (ngx_zapier_run_known(flight->runs, &flight->key, NULL, NULL)
        != NGX_OK
        || ngx_zapier_run_memory(flight) != NGX_OK
        || ngx_zapier_run_known(flight->runs, &flight->key, flight->answers,
                                &body)
           != NGX_OK)
    {
        return 0;
    }

    ngx_zapier_run_tell(flight, NGX_ZAPIER_RUN_FINISHED, &body, 1);

    return 1;
}


ngx_int_t
ngx_zapier_run_inquire(ngx_zapier_run_flight_t *flight, ngx_uint_t urgent)
{
    ngx_zapier_run_ask_t  *ask;

    flight->poll.urgent = urgent;

    ask = ngx_zapier_run_question(flight, ngx_zapier_run_asked_handler);

    if (ask == NULL
        || ngx_zapier_run_ask(flight->runs, ask, &flight->tenant,
                              &flight->id, flight->owner, flight->interval,
                              urgent)
           != NGX_AGAIN)
    {
        return NGX_ERROR;
    }

    flight->asking = 1;

    return NGX_AGAIN;
}


ngx_int_t
ngx_zapier_run_announce(ngx_zapier_run_flight_t *flight, ngx_str_t *callback,
    ngx_msec_t delay)
{
    u_char                *p;
    ngx_str_t              key;
    ngx_zapier_run_ask_t  *ask;

    ask = ngx_zapier_run_question(flight, ngx_zapier_run_expected);
    if (ask == NULL) {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(flight->answers, NGX_ZAPIER_RUN_STORE_KEY(flight->runs));
    if (p == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_zapier_run_callback_key(p, flight->runs, &flight->tenant,
                                       callback, &key);

    if (ngx_zapier_run_expect(flight->runs, ask, &flight->tenant,
                              &flight->id, &key, delay)
        != NGX_AGAIN)
    {
        return NGX_ERROR;
    }

    flight->asking = 1;

    return NGX_AGAIN;
}


static ngx_zapier_run_ask_t *
ngx_zapier_run_question(ngx_zapier_run_flight_t *flight,
    void (*handler)(ngx_zapier_run_ask_t *ask))
{
    if (flight->ask == NULL) {

        if (ngx_zapier_run_memory(flight) != NGX_OK) {
            return NULL;
        }

        flight->ask = ngx_pcalloc(flight->answers,
                                  sizeof(ngx_zapier_run_ask_t));
        if (flight->ask == NULL) {
            return NULL;
        }
    }

    flight->ask->handler = handler;
    flight->ask->data = flight;

    return flight->ask;
}


static void
ngx_zapier_run_asked_handler(ngx_zapier_run_ask_t *ask)
{
    ngx_msec_t                wait;
    ngx_zapier_run_flight_t  *flight;

    flight = ask->data;

    if (ngx_zapier_run_settled(flight)) {
        return;
    }

    if (ask->rc == NGX_BUSY) {

        /* another node asks; it tells all when the run is finished */

        wait = ngx_zapier_run_turn(flight, ask->wait);

        /* who wants to know at once has come meanwhile */

        if (!ngx_queue_empty(&flight->askers)) {
            wait = ngx_min(wait, NGX_ZAPIER_RUN_LOOK);
        }

        ngx_zapier_run_pending(flight->runs, &flight->key, flight->owner,
                               wait, NULL);
        ngx_zapier_run_rest(flight, wait);
        return;
    }

    /* what Redis does not say is no reason not to ask */

    ngx_zapier_run_call(flight);
}


/* If the callback does not come, polls will find out. */

static void
ngx_zapier_run_expected(ngx_zapier_run_ask_t *ask)
{
    ngx_zapier_run_flight_t  *flight;

    flight = ask->data;

    if (!ngx_zapier_run_settled(flight)) {
        ngx_zapier_run_rest(flight, ngx_zapier_run_delay(flight));
    }
}


/* The flight may be gone then. */

static ngx_uint_t
ngx_zapier_run_settled(ngx_zapier_run_flight_t *flight)
{
    ngx_zapier_run_ask_t  *ask;

    ask = flight->ask;

    flight->asking = 0;

    if (ask->rc == NGX_OK) {
        ngx_zapier_run_finished(flight->runs, &flight->key, flight->keep,
                                &ask->body);
        ngx_zapier_run_tell(flight, NGX_ZAPIER_RUN_FINISHED, &ask->body, 1);
        return 1;
    }

    if (flight->heard && ask->rc == NGX_BUSY) {
        flight->heard = 0;

        return ngx_zapier_run_look(flight)
               || ngx_zapier_run_inquire(flight, 0) == NGX_AGAIN;
    }

    flight->heard = 0;

    return 0;
}


static void
ngx_zapier_run_call(ngx_zapier_run_flight_t *flight)
{
    ngx_int_t               rc;
    ngx_zapier_run_poll_t  *poll;

    if (ngx_zapier_run_memory(flight) != NGX_OK) {
        return;
    }

    poll = &flight->poll;

    poll->tenant = flight->tenant;
    poll->id = flight->id;
    poll->pool = flight->answers;
    poll->max = flight->max;
    poll->handler = ngx_zapier_run_polled;
    poll->data = flight;
    ngx_zapier_run_poll_clear(poll);

    if (flight->put_off >= NGX_ZAPIER_RUN_PUT_OFFS) {
        poll->urgent = 1;
    }

    rc = flight->runs->call(poll);

    if (rc == NGX_AGAIN) {
        flight->put_off = 0;
        flight->polls++;
        flight->polling = 1;
        return;
    }

    if (rc == NGX_DECLINED) {
        flight->put_off++;

        ngx_zapier_run_pending(flight->runs, &flight->key, flight->owner,
                               NGX_ZAPIER_RUN_PUT_OFF, NULL);
        ngx_zapier_run_rest(flight, NGX_ZAPIER_RUN_PUT_OFF);
        return;
    }

    ngx_zapier_run_refused(flight);
}


void
ngx_zapier_run_poll_clear(ngx_zapier_run_poll_t *poll)
{
    poll->status = 0;
    poll->own = 0;
    poll->too_long = 0;
    poll->retry_after = 0;
    ngx_str_null(&poll->body);
    ngx_str_null(&poll->type);
    ngx_str_null(&poll->code);
}


static void
ngx_zapier_run_polled(ngx_zapier_run_poll_t *poll)
{
    ngx_zapier_run_answer_t   answer;
    ngx_zapier_run_flight_t  *flight;

    flight = poll->data;
    flight->polling = 0;

    if (poll->status >= 200 && poll->status < 300) {

        if (poll->too_long) {

            /* only the upstream itself can answer with it, and anybody ask */

            ngx_zapier_run_pending(flight->runs, &flight->key, flight->owner,
                                   0, NULL);
            ngx_zapier_run_tell(flight, NGX_ZAPIER_RUN_FINISHED, NULL, 1);
            return;
        }

        if (ngx_zapier_run_parse(&poll->body, &answer) == NGX_OK) {
            ngx_zapier_run_answered(flight, &answer);
            return;
        }

        /* no answer that anybody could use */

        poll->status = 502;
        ngx_str_null(&poll->body);
    }

    ngx_zapier_run_refused(flight);
}


static void
ngx_zapier_run_answered(ngx_zapier_run_flight_t *flight,
    ngx_zapier_run_answer_t *answer)
{
    ngx_str_t               body;
    ngx_zapier_run_poll_t  *poll;

    poll = &flight->poll;
    body = poll->body;

    flight->refusals = 0;

    if (ngx_zapier_run_complete(poll->pool, &body, answer, &flight->id)
        != NGX_OK)
    {
        ngx_zapier_run_refused(flight);
        return;
    }

    /* 202 is said of what goes on, whatever the body says */

    if (answer->state == NGX_ZAPIER_RUN_PENDING || poll->status == 202) {
        ngx_zapier_run_again(flight, &body);
        return;
    }

    ngx_zapier_run_finished(flight->runs, &flight->key, flight->keep, &body);
    ngx_zapier_run_store_finished(flight->runs, &flight->tenant, &flight->id,
                                  flight->keep, &body);
    ngx_zapier_run_tell(flight, NGX_ZAPIER_RUN_FINISHED, &body, 1);
}


/* Some refusals will not change, others may. */

static void
ngx_zapier_run_refused(ngx_zapier_run_flight_t *flight)
{
    uint64_t                delay;
    ngx_uint_t              all;
    ngx_zapier_run_poll_t  *poll;

    poll = &flight->poll;
    delay = ngx_zapier_run_delay(flight);

    if (poll->retry_after > 0) {
        delay = ngx_max(delay, (uint64_t) poll->retry_after * 1000);
        delay = ngx_min(delay, NGX_ZAPIER_RUN_DELAY_MAX);
    }

    if (poll->status >= 400 && poll->status < 500 && poll->status != 429) {
        flight->refusals++;
    }

    all = (flight->refusals >= NGX_ZAPIER_RUN_REFUSALS);

    ngx_zapier_run_pending(flight->runs, &flight->key, flight->owner,
                           (ngx_msec_t) delay, NULL);
    ngx_zapier_run_arm(flight, delay);
    ngx_zapier_run_tell(flight, NGX_ZAPIER_RUN_FAILED, &poll->body, all);
}


static void
ngx_zapier_run_again(ngx_zapier_run_flight_t *flight, ngx_str_t *body)
{
    ngx_msec_t  delay;

    delay = ngx_zapier_run_delay(flight);

    ngx_zapier_run_pending(flight->runs, &flight->key, flight->owner, delay,
                           body);

    /* this one is a little early, so that no other node steps in */

    ngx_zapier_run_store_pending(flight->runs, &flight->tenant, &flight->id,
                                 flight->owner, delay + delay / 10);

    ngx_zapier_run_arm(flight, delay);
    ngx_zapier_run_tell(flight, NGX_ZAPIER_RUN_PENDING, body, 0);
}


/* A last poll comes just before all who wait give up. */

ngx_msec_t
ngx_zapier_run_delay(ngx_zapier_run_flight_t *flight)
{
    uint64_t        delay;
    ngx_msec_t      margin, least;
    ngx_msec_int_t  left;

    delay = (uint64_t) (ngx_current_msec - flight->started)
            * NGX_ZAPIER_RUN_GROWTH / 100;
    delay = ngx_max(delay, flight->interval);
    delay += delay * (ngx_uint_t) (ngx_random() % 100)
             * NGX_ZAPIER_RUN_JITTER / 10000;
    delay = ngx_max(delay, flight->patience);
    delay = ngx_min(delay, NGX_ZAPIER_RUN_DELAY_MAX);

    left = (ngx_msec_int_t) (flight->until - ngx_current_msec);
    margin = ngx_min(flight->interval / 2, 500);
    least = margin + (flight->polls ? flight->interval : 0);

    if (left > 0
        && delay + margin > (ngx_msec_t) left
        && least < (ngx_msec_t) left)
    {
        delay = (ngx_msec_t) left - margin;
    }

    return (ngx_msec_t) delay;
}
