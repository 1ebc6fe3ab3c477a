
/*
 * The entry of a name: a field of the hash "actions" in Redis.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_lookup_private.h>


static void ngx_zapier_lookup_entry_reply(ngx_zapier_redis_cmd_t *cmd);
static void ngx_zapier_lookup_entry_failed(
    ngx_zapier_lookup_flight_t *flight);


void
ngx_zapier_lookup_entry(ngx_zapier_lookup_flight_t *flight)
{
    u_char             *p;
    ngx_str_t           argv[3];
    ngx_zapier_runs_t  *runs;

    runs = flight->runs;

    p = ngx_pnalloc(flight->pool, runs->prefix.len + sizeof("actions"));

    if (p == NULL) {
        ngx_zapier_lookup_entry_failed(flight);
        return;
    }

    ngx_str_set(&argv[0], "HGET");

    argv[1].data = p;
    argv[1].len = ngx_sprintf(p, "%Vactions", &runs->prefix) - p;

    argv[2] = flight->what.name;

    flight->cmd.handler = ngx_zapier_lookup_entry_reply;
    flight->cmd.data = flight;

    if (ngx_zapier_redis_start(runs->redis, &flight->cmd, 3, argv)
        != NGX_AGAIN)
    {
        ngx_zapier_lookup_entry_failed(flight);
    }
}


static void
ngx_zapier_lookup_entry_reply(ngx_zapier_redis_cmd_t *cmd)
{
    ngx_zapier_redis_reply_t    *reply;
    ngx_zapier_lookup_answer_t   answer;
    ngx_zapier_lookup_flight_t  *flight;

    flight = cmd->data;
    reply = cmd->reply;

    ngx_memzero(&answer, sizeof(ngx_zapier_lookup_answer_t));

    if (cmd->status == NGX_OK && reply->type == NGX_ZAPIER_REDIS_STRING) {
        answer.result = NGX_ZAPIER_LOOKUP_FOUND;
        answer.value = reply->str;

    } else if (cmd->status == NGX_OK && reply->type == NGX_ZAPIER_REDIS_NIL) {
        answer.result = NGX_ZAPIER_LOOKUP_NONE;

    } else {

        if (cmd->status == NGX_OK && reply->type == NGX_ZAPIER_REDIS_ERROR) {
            ngx_zapier_redis_complain(NGX_LOG_ERR,
                                      "read the entry of an action", reply);
        }

        ngx_zapier_lookup_entry_failed(flight);
        return;
    }

    ngx_zapier_lookup_put(flight->runs, &flight->key, ngx_zapier_clock(),
                          &answer);
    ngx_zapier_lookup_tell(flight, &answer);
}


/* What was in Redis when it could still be asked is better than nothing. */

static void
ngx_zapier_lookup_entry_failed(ngx_zapier_lookup_flight_t *flight)
{
    ngx_zapier_lookup_age_t     age;
    ngx_zapier_lookup_answer_t  answer;

    ngx_zapier_lookup_lease(flight->runs, &flight->key, flight->owner, 0);

    age.time = flight->age.time;
    age.cache = NGX_MAX_INT32_VALUE;

    if (ngx_zapier_lookup_claim(flight->runs, &flight->key, 0, &age,
                                flight->pool, &answer)
        != NGX_OK)
    {
        ngx_memzero(&answer, sizeof(ngx_zapier_lookup_answer_t));

        answer.result = NGX_ZAPIER_LOOKUP_FAILED;
    }

    ngx_zapier_lookup_tell(flight, &answer);
}
