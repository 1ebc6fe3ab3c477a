
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


#define NGX_ZAPIER_LIMIT_NEWS_NODE  32
#define NGX_ZAPIER_LIMIT_NEWS_LEN                                            \
    (sizeof("1 c  -1 -1 -1 -1 -1   ") + NGX_ZAPIER_LIMIT_NEWS_NODE           \
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


/* ngx_zapier_limit_news.c */

#define ngx_zapier_limit_told_to_all(zone)                                   \
    ((zone)->mirror && (zone)->store == NGX_ZAPIER_LIMIT_REDIS)

/*
 * Tells the other nodes.  Waits for nothing; the mutex must not be held.
 * zone and node are filled here.
 */
void ngx_zapier_limit_news_tell(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_scope_t *scope, ngx_zapier_limit_item_t *item);

/* Fills in who tells it, and the channel.  NGX_ERROR: there is none. */
ngx_int_t ngx_zapier_limit_news_sender(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_item_t *item, ngx_str_t *channel);

/* Sends a command whose answer is of no interest; perhaps does not. */
void ngx_zapier_limit_news_post(ngx_zapier_limits_t *limits, ngx_uint_t argc,
    ngx_str_t *argv);


#endif /* _NGX_ZAPIER_LIMIT_NEWS_H_INCLUDED_ */
