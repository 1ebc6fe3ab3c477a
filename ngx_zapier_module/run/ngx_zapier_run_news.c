
/*
 * What nodes tell each other of runs that are finished, by a channel in
 * Redis: the tenant and the id.  The result itself is in Redis by then.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_run_private.h>


/* ms between proofs that the link still works */
#define NGX_ZAPIER_RUN_NEWS_PING  1000


struct ngx_zapier_run_news_s {
    ngx_zapier_runs_t         *runs;
    ngx_str_t                  channel;
    ngx_zapier_redis_watch_t   watch;
};


static void ngx_zapier_run_news_message(ngx_zapier_redis_watch_t *watch,
    ngx_str_t *text);
static void ngx_zapier_run_news_ignore(ngx_zapier_redis_watch_t *watch);
static void ngx_zapier_run_news_alive(ngx_zapier_redis_watch_t *watch,
    uint64_t sent);


ngx_int_t
ngx_zapier_run_news_start(ngx_zapier_runs_t *runs, ngx_cycle_t *cycle)
{
    u_char                 *p;
    ngx_str_t              *db;
    ngx_zapier_run_news_t  *news;

    news = ngx_pcalloc(cycle->pool, sizeof(ngx_zapier_run_news_t));
    if (news == NULL) {
        return NGX_ERROR;
    }

    /* the databases of a server have their channels in common */

    db = ngx_zapier_redis_db(runs->redis);

    p = ngx_pnalloc(cycle->pool,
                    runs->prefix.len + sizeof("run@") - 1 + db->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    news->runs = runs;
    news->channel.data = p;

    p = ngx_cpymem(p, runs->prefix.data, runs->prefix.len);
    p = ngx_cpymem(p, "run", sizeof("run") - 1);

    if (db->len != 0) {
        *p++ = '@';
        p = ngx_cpymem(p, db->data, db->len);
    }

    news->channel.len = p - news->channel.data;

    news->watch.channel = news->channel;
    news->watch.interval = NGX_ZAPIER_RUN_NEWS_PING;
    news->watch.data = news;
    news->watch.up = ngx_zapier_run_news_ignore;
    news->watch.message = ngx_zapier_run_news_message;
    news->watch.alive = ngx_zapier_run_news_alive;
    news->watch.down = ngx_zapier_run_news_ignore;

    if (ngx_zapier_redis_watch_start(runs->redis, &news->watch) != NGX_OK) {
        return NGX_ERROR;
    }

    runs->news = news;

    return NGX_OK;
}


void
ngx_zapier_run_news_stop(ngx_zapier_runs_t *runs)
{
    if (runs->news != NULL) {
        ngx_zapier_redis_watch_stop(&runs->news->watch);
        runs->news = NULL;
    }
}


ngx_str_t *
ngx_zapier_run_news_channel(ngx_zapier_runs_t *runs)
{
    return &runs->news->channel;
}


static void
ngx_zapier_run_news_message(ngx_zapier_redis_watch_t *watch,
    ngx_str_t *text)
{
    u_char                 *p;
    ngx_str_t               tenant, id;
    ngx_zapier_run_news_t  *news;

    news = watch->data;

    p = ngx_strlchr(text->data, text->data + text->len, ' ');
    if (p == NULL) {
        return;
    }

    tenant.data = text->data;
    tenant.len = p - text->data;

    id.data = p + 1;
    id.len = text->data + text->len - id.data;

    if (ngx_zapier_tenant_check(&tenant) == NGX_OK
        && ngx_zapier_run_id(&id) == NGX_OK)
    {
        ngx_zapier_run_heard(news->runs, &tenant, &id);
    }
}


/* Whoever waits asks again by himself, only later. */

static void
ngx_zapier_run_news_ignore(ngx_zapier_redis_watch_t *watch)
{
    (void) watch;
}


static void
ngx_zapier_run_news_alive(ngx_zapier_redis_watch_t *watch, uint64_t sent)
{
    (void) watch;
    (void) sent;
}
