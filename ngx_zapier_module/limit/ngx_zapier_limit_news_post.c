
/*
 * Telling the other nodes of gates and views.  A gate is told by a script
 * that keeps it, for those who listen later; all else is only published.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_zapier_clock.h>
#include <ngx_zapier_limit_count.h>
#include <ngx_zapier_limit_news.h>
#include <ngx_zapier_redis.h>
#include <ngx_zapier_redis_scripts.h>


/* of one worker that may be on their way; more are not told */
#define NGX_ZAPIER_LIMIT_NEWS_POSTS  64

/* ms until it is not tried any more to tell of a closed gate */
#define NGX_ZAPIER_LIMIT_NEWS_OLD    30000


typedef struct {
    ngx_queue_t                queue;
    ngx_zapier_limit_news_t   *news;
    ngx_zapier_redis_cmd_t     cmd;
    ngx_zapier_redis_eval_t    eval;
    ngx_uint_t                 late;       /* could not be sent */

    /* what to tell, zone is NULL for other commands */
    ngx_zapier_limit_zone_t   *zone;
    ngx_zapier_limit_item_t    item;
    uint64_t                   since;
    u_char                     key[NGX_ZAPIER_LIMIT_KEY_LEN];
    u_char                     tag[NGX_ZAPIER_LIMIT_TAG_LEN];
    u_char                     text[NGX_ZAPIER_LIMIT_NEWS_LEN];
    u_char                     time[NGX_INT32_LEN];
} ngx_zapier_limit_post_t;


static ngx_zapier_limit_post_t *ngx_zapier_limit_post_create(
    ngx_zapier_limits_t *limits);
static void ngx_zapier_limit_post_free(ngx_zapier_limit_post_t *post);
static void ngx_zapier_limit_post_send(ngx_zapier_limit_post_t *post);
static void ngx_zapier_limit_post_sent(ngx_zapier_redis_cmd_t *cmd);
static void ngx_zapier_limit_post_told(ngx_zapier_redis_eval_t *eval);
static void ngx_zapier_limit_post_done(ngx_zapier_limit_post_t *post,
    ngx_int_t status);


ngx_zapier_redis_script_t  ngx_zapier_limit_tell_script =
    ngx_zapier_redis_script(NGX_ZAPIER_SCRIPT_LIMIT_TELL);


void
ngx_zapier_limit_news_tell(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_scope_t *scope, ngx_zapier_limit_item_t *item)
{
    ngx_zapier_limit_post_t  *post;

    post = ngx_zapier_limit_post_create(limits);
    if (post == NULL) {
        return;
    }

    post->zone = scope->zone;
    post->since = ngx_zapier_clock();
    post->item = *item;

    post->item.zone = scope->zone->name;
    post->item.key.data = post->key;
    post->item.key.len = ngx_min(scope->key.len, sizeof(post->key));

    ngx_memcpy(post->key, scope->key.data, post->item.key.len);

    post->item.tag.data = post->tag;
    post->item.tag.len = 0;

    if (scope->tag != NULL) {
        post->item.tag.len = ngx_min(scope->tag->len, sizeof(post->tag));

        ngx_memcpy(post->tag, scope->tag->data, post->item.tag.len);
    }

    ngx_zapier_limit_post_send(post);

    ngx_zapier_limit_count(limits, scope->zone, NGX_ZAPIER_LIMIT_COUNT_TOLD,
                           1);
}


void
ngx_zapier_limit_news_post(ngx_zapier_limits_t *limits, ngx_uint_t argc,
    ngx_str_t *argv)
{
    ngx_zapier_limit_post_t  *post;

    post = ngx_zapier_limit_post_create(limits);
    if (post == NULL) {
        return;
    }

    if (ngx_zapier_redis_start(limits->redis, &post->cmd, argc, argv)
        != NGX_AGAIN)
    {
        ngx_zapier_limit_post_done(post, NGX_ERROR);
    }
}


static ngx_zapier_limit_post_t *
ngx_zapier_limit_post_create(ngx_zapier_limits_t *limits)
{
    ngx_zapier_limit_news_t  *news;
    ngx_zapier_limit_post_t  *post;

    news = limits->news;

    if (news == NULL || news->nposts == NGX_ZAPIER_LIMIT_NEWS_POSTS) {
        return NULL;
    }

    post = ngx_calloc(sizeof(ngx_zapier_limit_post_t), ngx_cycle->log);
    if (post == NULL) {
        return NULL;
    }

    post->news = news;
    post->cmd.handler = ngx_zapier_limit_post_sent;
    post->cmd.data = post;
    post->eval.handler = ngx_zapier_limit_post_told;
    post->eval.data = post;

    ngx_queue_insert_tail(&news->posts, &post->queue);
    news->nposts++;

    return post;
}


static void
ngx_zapier_limit_post_free(ngx_zapier_limit_post_t *post)
{
    ngx_queue_remove(&post->queue);
    post->news->nposts--;

    ngx_free(post);
}


void
ngx_zapier_limit_news_drop(ngx_zapier_limit_news_t *news)
{
    ngx_queue_t              *q;
    ngx_zapier_limit_post_t  *post;

    while (!ngx_queue_empty(&news->posts)) {
        q = ngx_queue_head(&news->posts);
        post = ngx_queue_data(q, ngx_zapier_limit_post_t, queue);

        ngx_zapier_redis_cancel(&post->cmd);
        ngx_zapier_redis_eval_cancel(&post->eval);

        ngx_zapier_limit_post_free(post);
    }
}


ngx_int_t
ngx_zapier_limit_news_args(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_item_t *item, ngx_str_t *argv, u_char *text,
    u_char *time)
{
    size_t                    len;
    uint32_t                  ms;
    ngx_zapier_limit_news_t  *news;

    news = limits->news;

    if (news == NULL) {
        return NGX_ERROR;
    }

    item->node.data = news->node;
    item->node.len = sizeof(news->node);

    argv[0] = news->gates;
    argv[1] = news->channel;

    argv[2].data = text;
    argv[2].len = ngx_zapier_limit_news_format(text, item);

    /* the scope is what the text ends in */

    len = item->zone.len + 1 + item->key.len;

    if (item->tag.len != 0) {
        len += item->tag.len + sizeof("{} ") - 1;
    }

    argv[3].data = text + argv[2].len - len;
    argv[3].len = len;

    /* the kind is its second word */

    argv[4].data = text + 2;
    argv[4].len = 1;

    ms = (item->kind == NGX_ZAPIER_LIMIT_NEWS_OPEN) ? item->age
                                                    : item->closed;

    argv[5].data = time;
    argv[5].len = ngx_sprintf(time, "%uD", (ms == NGX_ZAPIER_LIMIT_UNSET)
                                           ? 0 : ms)
                  - time;

    return NGX_OK;
}


/* The times are those of now, however long it took to come so far. */

static void
ngx_zapier_limit_post_send(ngx_zapier_limit_post_t *post)
{
    ngx_int_t                 rc;
    ngx_str_t                 argv[NGX_ZAPIER_LIMIT_NEWS_ARGS];
    ngx_zapier_limits_t      *limits;
    ngx_zapier_limit_item_t   item;

    limits = post->news->limits;
    item = post->item;

    ngx_zapier_limit_news_aged(&item, (uint32_t) (ngx_zapier_clock()
                                                  - post->since));

    post->late = 0;

    (void) ngx_zapier_limit_news_args(limits, &item, argv, post->text,
                                      post->time);

    if (item.kind == NGX_ZAPIER_LIMIT_NEWS_VIEW) {
        ngx_str_set(&argv[0], "PUBLISH");

        rc = ngx_zapier_redis_start(limits->redis, &post->cmd, 3, argv);

    } else {
        rc = ngx_zapier_redis_eval(limits->redis, &post->eval,
                                   &ngx_zapier_limit_tell_script, 1,
                                   NGX_ZAPIER_LIMIT_NEWS_ARGS, argv);
    }

    if (rc != NGX_AGAIN) {
        ngx_zapier_limit_post_done(post, NGX_ERROR);
    }
}


static void
ngx_zapier_limit_post_sent(ngx_zapier_redis_cmd_t *cmd)
{
    ngx_zapier_limit_post_done(cmd->data, cmd->status);
}


static void
ngx_zapier_limit_post_told(ngx_zapier_redis_eval_t *eval)
{
    if (eval->status == NGX_OK
        && eval->reply->type == NGX_ZAPIER_REDIS_ERROR)
    {
        ngx_zapier_redis_complain(NGX_LOG_ERR, "tell of a gate", eval->reply);
    }

    ngx_zapier_limit_post_done(eval->data, eval->status);
}


/* A gate that stays closed for a while is worth another attempt. */

static void
ngx_zapier_limit_post_done(ngx_zapier_limit_post_t *post, ngx_int_t status)
{
    uint64_t  passed;

    passed = ngx_zapier_clock() - post->since;

    if (status == NGX_OK
        || post->zone == NULL
        || post->item.kind != NGX_ZAPIER_LIMIT_NEWS_CLOSED
        || post->item.closed <= passed
        || passed > NGX_ZAPIER_LIMIT_NEWS_OLD)
    {
        ngx_zapier_limit_post_free(post);
        return;
    }

    post->late = 1;

    ngx_zapier_limit_news_later(post->news);
}


void
ngx_zapier_limit_news_later(ngx_zapier_limit_news_t *news)
{
    if (!news->timer.timer_set && !ngx_exiting) {
        ngx_add_timer(&news->timer, NGX_ZAPIER_LIMIT_NEWS_AGAIN);
    }
}


void
ngx_zapier_limit_news_again(ngx_zapier_limit_news_t *news)
{
    ngx_queue_t              *q, *next;
    ngx_zapier_limit_post_t  *post;

    for (q = ngx_queue_head(&news->posts);
         q != ngx_queue_sentinel(&news->posts);
         q = next)
    {
        next = ngx_queue_next(q);
        post = ngx_queue_data(q, ngx_zapier_limit_post_t, queue);

        if (post->late) {
            ngx_zapier_limit_post_send(post);
        }
    }
}
