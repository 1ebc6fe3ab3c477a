
/*
 * What nodes tell one another of the upstream's limits: one line a scope,
 * published in Redis.  Times are relative, for clocks differ.
 */


#ifndef _NGX_ZAPIER_LIMIT_NEWS_H_INCLUDED_
#define _NGX_ZAPIER_LIMIT_NEWS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_limit.h>
#include <ngx_zapier_limit_entry.h>
#include <ngx_zapier_redis_script.h>


#define NGX_ZAPIER_LIMIT_NEWS_NODE  32
#define NGX_ZAPIER_LIMIT_NEWS_LEN                                            \
    (sizeof("1 c  -1 -1 -1 -1 -1 {}   ") + NGX_ZAPIER_LIMIT_NEWS_NODE        \
     + 6 * NGX_INT32_LEN + NGX_ZAPIER_LIMIT_ENTRY_KEY)


typedef enum {
    NGX_ZAPIER_LIMIT_NEWS_CLOSED = 'c',
    NGX_ZAPIER_LIMIT_NEWS_VIEW = 'v',
    NGX_ZAPIER_LIMIT_NEWS_OPEN = 'o',

    /* an operator's, see ngx_zapier_limit_operate.h */
    NGX_ZAPIER_LIMIT_NEWS_SHUT = 'C',
    NGX_ZAPIER_LIMIT_NEWS_FREE = 'O',
    NGX_ZAPIER_LIMIT_NEWS_RESET = 'R'
} ngx_zapier_limit_news_e;


/* numbers: NGX_ZAPIER_LIMIT_UNSET if not known */
typedef struct {
    ngx_zapier_limit_news_e    kind;
    ngx_str_t                  node;       /* who tells it */
    ngx_str_t                  tag;        /* empty: the default */
    ngx_str_t                  zone;
    ngx_str_t                  key;
    uint32_t                   limit;
    uint32_t                   remaining;
    uint32_t                   reset;      /* ms from now */
    uint32_t                   closed;     /* ms from now */
    uint32_t                   age;        /* ms since a probe was sent */
} ngx_zapier_limit_item_t;


/* ngx_zapier_limit_news_text.c */

/* Writes at most NGX_ZAPIER_LIMIT_NEWS_LEN bytes; returns their number. */
size_t ngx_zapier_limit_news_format(u_char *buf,
    ngx_zapier_limit_item_t *item);

/*
 * NGX_OK, the strings point into the text; NGX_DECLINED: it is nothing that
 * this version could make use of.
 */
ngx_int_t ngx_zapier_limit_news_parse(ngx_str_t *text,
    ngx_zapier_limit_item_t *item);


/* That was so long ago, ms: the times of the item are those of now. */
void ngx_zapier_limit_news_aged(ngx_zapier_limit_item_t *item, uint32_t ms);


/* ngx_zapier_limit_news_post.c: telling */

#define ngx_zapier_limit_told_to_all(zone)                                   \
    ((zone)->mirror && (zone)->store == NGX_ZAPIER_LIMIT_REDIS)

/*
 * Tells the other nodes.  Waits for nothing; the mutex must not be held.
 * node, tag, zone and key are filled here.
 */
void ngx_zapier_limit_news_tell(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_scope_t *scope, ngx_zapier_limit_item_t *item);

/* Sends a command whose answer is of no interest; perhaps does not. */
void ngx_zapier_limit_news_post(ngx_zapier_limits_t *limits, ngx_uint_t argc,
    ngx_str_t *argv);

/* arguments of redis/scripts/limit_tell.lua */
#define NGX_ZAPIER_LIMIT_NEWS_ARGS  6

/*
 * Writes them for an item, the node's name being filled in; text has
 * NGX_ZAPIER_LIMIT_NEWS_LEN bytes, time NGX_INT32_LEN, and both live as
 * long as the call.  NGX_ERROR: this node tells nobody anything.
 */
ngx_int_t ngx_zapier_limit_news_args(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_item_t *item, ngx_str_t *argv, u_char *text,
    u_char *time);

extern ngx_zapier_redis_script_t  ngx_zapier_limit_tell_script;

/* A worker's; commands that are under way are given up. */
void ngx_zapier_limit_news_drop(ngx_zapier_limit_news_t *news);

/* ngx_zapier_limit_news_again() is called in a moment. */
void ngx_zapier_limit_news_later(ngx_zapier_limit_news_t *news);

/* Tries again what could not be told. */
void ngx_zapier_limit_news_again(ngx_zapier_limit_news_t *news);


/* ngx_zapier_limit_news.c: hearing; private to both */

struct ngx_zapier_limit_news_s {
    ngx_zapier_limits_t       *limits;
    ngx_str_t                  channel;
    ngx_str_t                  gates;      /* key of those that are closed */
    ngx_zapier_redis_watch_t   watch;
    ngx_event_t                timer;
    u_char                     node[NGX_ZAPIER_LIMIT_NEWS_NODE];
    ngx_queue_t                posts;
    ngx_uint_t                 nposts;

    ngx_zapier_redis_eval_t    read;       /* of the gates */
    unsigned                   reading:1;
    unsigned                   unread:1;   /* to be read (again) */
};

/* ms until it is tried again to tell of a closed gate, or to read them */
#define NGX_ZAPIER_LIMIT_NEWS_AGAIN  250


#endif /* _NGX_ZAPIER_LIMIT_NEWS_H_INCLUDED_ */
