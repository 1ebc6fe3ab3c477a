
/*
 * The time that tokens expire by.  Clocks of nodes differ; all of them take
 * the clock of Redis, as a distance from a clock that is never set.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_token_private.h>


/* ms between two questions */
#define NGX_ZAPIER_TOKEN_CLOCK  10000


static void ngx_zapier_token_clock_reply(ngx_zapier_redis_cmd_t *cmd);


time_t
ngx_zapier_token_now(ngx_zapier_tokens_t *tokens)
{
    return ngx_zapier_token_time(tokens, ngx_zapier_clock_coarse());
}


time_t
ngx_zapier_token_time(ngx_zapier_tokens_t *tokens, uint64_t now)
{
    int64_t                    clock;
    ngx_zapier_token_state_t  *state;

    state = ngx_zapier_shm_data(&tokens->table);
    clock = state->clock;

    if (clock == 0) {
        return ngx_time();
    }

    return (time_t) (((int64_t) now + clock) / 1000);
}


void
ngx_zapier_token_clock_set(ngx_zapier_tokens_t *tokens, int64_t now)
{
    ngx_zapier_token_state_t  *state;

    ngx_zapier_shm_lock(tokens->shm);

    state = ngx_zapier_shm_data(&tokens->table);
    state->clock = now - (int64_t) ngx_zapier_clock();

    ngx_zapier_shm_unlock(tokens->shm);
}


void
ngx_zapier_token_clock_ask(ngx_zapier_token_worker_t *worker)
{
    uint64_t   now;
    ngx_str_t  argv[1];

    now = ngx_zapier_clock();

    if (worker->clocking
        || (worker->clocked && now - worker->clocked < NGX_ZAPIER_TOKEN_CLOCK))
    {
        return;
    }

    ngx_str_set(&argv[0], "TIME");

    worker->clock.handler = ngx_zapier_token_clock_reply;
    worker->clock.data = worker;

    if (ngx_zapier_redis_start(worker->tokens->redis, &worker->clock, 1, argv)
        == NGX_AGAIN)
    {
        worker->clocking = 1;
        worker->clocked = now;
    }
}


void
ngx_zapier_token_clock_done(ngx_zapier_token_worker_t *worker)
{
    if (worker->clocking) {
        ngx_zapier_redis_cancel(&worker->clock);
        worker->clocking = 0;
    }
}


static void
ngx_zapier_token_clock_reply(ngx_zapier_redis_cmd_t *cmd)
{
    ngx_int_t                    s, us;
    ngx_zapier_redis_reply_t   **elts;
    ngx_zapier_token_worker_t   *worker;

    worker = cmd->data;
    worker->clocking = 0;

    if (cmd->status != NGX_OK
        || cmd->reply->type != NGX_ZAPIER_REDIS_ARRAY
        || cmd->reply->nelts != 2)
    {
        return;
    }

    elts = cmd->reply->elts;

    s = ngx_atoi(elts[0]->str.data, elts[0]->str.len);
    us = ngx_atoi(elts[1]->str.data, elts[1]->str.len);

    if (s == NGX_ERROR || us == NGX_ERROR) {
        return;
    }

    ngx_zapier_token_clock_set(worker->tokens,
                               (int64_t) s * 1000 + us / 1000);
}


/* Spread, so that tokens that were made together do not expire together. */

time_t
ngx_zapier_token_margin(ngx_zapier_tokens_t *tokens,
    ngx_zapier_token_key_t *key)
{
    time_t  margin;

    margin = tokens->oauth->margin;

    return margin - (time_t) (key->hash % (uint32_t) (margin / 4 + 1));
}
