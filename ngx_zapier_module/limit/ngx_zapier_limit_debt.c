
/*
 * What this node has spent while Redis could not be asked: told as soon as
 * it can be, also for scopes that nobody here claims any more.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_zapier_clock.h>
#include <ngx_zapier_limit_ask.h>
#include <ngx_zapier_redis_scripts.h>


/* ms between attempts, and scopes' chains that a worker keeps in mind */
#define NGX_ZAPIER_LIMIT_DEBT_PAUSE  250
#define NGX_ZAPIER_LIMIT_DEBTS       1024


static ngx_uint_t ngx_zapier_limit_debt_known(ngx_zapier_limit_ask_t *ask);
static void ngx_zapier_limit_debt_timer(ngx_event_t *ev);
static void ngx_zapier_limit_debt_reply(ngx_zapier_redis_eval_t *eval);


static ngx_zapier_redis_script_t  ngx_zapier_limit_debt_script =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_LIMIT_CLAIM);


void
ngx_zapier_limit_debt(ngx_zapier_limit_ask_t *ask)
{
    if (ngx_zapier_limit_debt_known(ask)) {
        ngx_zapier_limit_ask_free(ask);
        return;
    }

    ask->claim = NULL;
    ask->debt = 1;
    ask->limits->debts++;

    ask->timer.handler = ngx_zapier_limit_debt_timer;
    ask->timer.data = ask;
    ask->timer.log = ngx_cycle->log;
    ask->timer.cancelable = 1;

    ngx_add_timer(&ask->timer, NGX_ZAPIER_LIMIT_DEBT_PAUSE);
}


/* The same chain is told once; one of many is as good as forgotten. */

static ngx_uint_t
ngx_zapier_limit_debt_known(ngx_zapier_limit_ask_t *ask)
{
    ngx_uint_t               i;
    ngx_queue_t             *q;
    ngx_zapier_limit_ask_t  *other;

    if (ask->limits->debts == NGX_ZAPIER_LIMIT_DEBTS) {
        return 1;
    }

    for (q = ngx_queue_head(&ask->limits->asks);
         q != ngx_queue_sentinel(&ask->limits->asks);
         q = ngx_queue_next(q))
    {
        other = ngx_queue_data(q, ngx_zapier_limit_ask_t, queue);

        if (!other->debt || other->n != ask->n) {
            continue;
        }

        for (i = 0; i < ask->n; i++) {
            if (other->scopes[i].name.len != ask->scopes[i].name.len
                || ngx_memcmp(other->scopes[i].name.data,
                              ask->scopes[i].name.data,
                              ask->scopes[i].name.len)
                   != 0)
            {
                break;
            }
        }

        if (i == ask->n) {
            return 1;
        }
    }

    return 0;
}


/* A claim of nothing, which tells what was spent. */

static void
ngx_zapier_limit_debt_timer(ngx_event_t *ev)
{
    uint32_t                   own;
    uint64_t                   now;
    ngx_uint_t                 i, owed;
    ngx_zapier_limit_ask_t    *ask;
    ngx_zapier_limit_entry_t  *entry;
    ngx_zapier_limit_asked_t  *asked;

    ask = ev->data;
    owed = 0;

    ngx_zapier_shm_lock(ask->limits->shm);

    now = ngx_zapier_clock();

    for (i = 0; i < ask->n; i++) {
        asked = &ask->scopes[i];
        entry = ngx_zapier_limit_ask_entry(ask, i);

        own = 0;

        if (entry != NULL) {
            own = ngx_zapier_window_recent(&entry->window, now,
                                           ngx_zapier_limit_own(asked->zone));
        }

        ngx_zapier_limit_ask_numbers(asked, NULL, own, 0);

        owed |= (own != 0);
    }

    ngx_zapier_shm_unlock(ask->limits->shm);

    if (!owed) {
        ask->limits->debts--;
        ngx_zapier_limit_ask_free(ask);
        return;
    }

    if (ngx_zapier_limit_ask_send(ask, &ngx_zapier_limit_debt_script, 1,
                                  ngx_zapier_limit_debt_reply)
        != NGX_AGAIN)
    {
        ngx_add_timer(&ask->timer, NGX_ZAPIER_LIMIT_DEBT_PAUSE);
    }
}


static void
ngx_zapier_limit_debt_reply(ngx_zapier_redis_eval_t *eval)
{
    ngx_zapier_limit_ask_t *ask = eval->data;

    if (eval->status == NGX_OK) {
        ask->limits->debts--;
        ngx_zapier_limit_ask_free(ask);
        return;
    }

    ngx_add_timer(&ask->timer, NGX_ZAPIER_LIMIT_DEBT_PAUSE);
}
