
/*
 * A line of news: "1 KIND NODE LIMIT REMAINING RESET CLOSED AGE LENGTH ZONE
 * KEY" with a "-" for what is not known, and the length of the zone's name.
 * The key is the rest, whatever bytes it has.  With a tag it is "2 ... LENGTH
 * {TAG} ZONE KEY".
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_limit_news.h>


/* longer times are cut, ms */
#define NGX_ZAPIER_LIMIT_NEWS_MAX  86400000


static u_char *ngx_zapier_limit_news_put(u_char *p, uint32_t n);
static ngx_int_t ngx_zapier_limit_news_numbers(u_char **pos, u_char *last,
    ngx_zapier_limit_item_t *item, uint32_t *len);
static ngx_int_t ngx_zapier_limit_news_tag(u_char **pos, u_char *last,
    ngx_str_t *tag);
static ngx_int_t ngx_zapier_limit_news_word(u_char **pos, u_char *last,
    ngx_str_t *word);
static ngx_int_t ngx_zapier_limit_news_number(u_char **pos, u_char *last,
    uint32_t max, uint32_t *n);


size_t
ngx_zapier_limit_news_format(u_char *buf, ngx_zapier_limit_item_t *item)
{
    u_char  *p;

    p = ngx_cpymem(buf, item->tag.len ? "2 " : "1 ", 2);
    *p++ = (u_char) item->kind;
    *p++ = ' ';
    p = ngx_cpymem(p, item->node.data,
                   ngx_min(item->node.len, NGX_ZAPIER_LIMIT_NEWS_NODE));

    p = ngx_zapier_limit_news_put(p, item->limit);
    p = ngx_zapier_limit_news_put(p, item->remaining);
    p = ngx_zapier_limit_news_put(p, item->reset);
    p = ngx_zapier_limit_news_put(p, item->closed);
    p = ngx_zapier_limit_news_put(p, item->age);
    p = ngx_zapier_limit_news_put(p, (uint32_t) item->zone.len);

    if (item->tag.len) {
        p = ngx_cpymem(p, " {", 2);
        p = ngx_cpymem(p, item->tag.data, item->tag.len);
        *p++ = '}';
    }

    *p++ = ' ';
    p = ngx_cpymem(p, item->zone.data, item->zone.len);
    *p++ = ' ';
    p = ngx_cpymem(p, item->key.data, item->key.len);

    return p - buf;
}


static u_char *
ngx_zapier_limit_news_put(u_char *p, uint32_t n)
{
    *p++ = ' ';

    if (n == NGX_ZAPIER_LIMIT_UNSET) {
        *p++ = '-';
        return p;
    }

    return ngx_sprintf(p, "%uD", n);
}


ngx_int_t
ngx_zapier_limit_news_parse(ngx_str_t *text, ngx_zapier_limit_item_t *item)
{
    u_char     *p, *last;
    uint32_t    len;
    ngx_str_t   word;
    ngx_uint_t  tagged;

    if (text->len > NGX_ZAPIER_LIMIT_NEWS_LEN) {
        return NGX_DECLINED;
    }

    p = text->data;
    last = p + text->len;

    if (ngx_zapier_limit_news_word(&p, last, &word) != NGX_OK
        || word.len != 1 || (word.data[0] != '1' && word.data[0] != '2'))
    {
        return NGX_DECLINED;
    }

    tagged = (word.data[0] == '2');

    if (ngx_zapier_limit_news_word(&p, last, &word) != NGX_OK
        || word.len != 1
        || ngx_zapier_limit_news_word(&p, last, &item->node) != NGX_OK
        || item->node.len > NGX_ZAPIER_LIMIT_NEWS_NODE)
    {
        return NGX_DECLINED;
    }

    switch (word.data[0]) {

    case NGX_ZAPIER_LIMIT_NEWS_CLOSED:
    case NGX_ZAPIER_LIMIT_NEWS_VIEW:
    case NGX_ZAPIER_LIMIT_NEWS_OPEN:
    case NGX_ZAPIER_LIMIT_NEWS_SHUT:
    case NGX_ZAPIER_LIMIT_NEWS_FREE:
    case NGX_ZAPIER_LIMIT_NEWS_RESET:
        item->kind = word.data[0];
        break;

    default:
        return NGX_DECLINED;
    }

    if (ngx_zapier_limit_news_numbers(&p, last, item, &len) != NGX_OK) {
        return NGX_DECLINED;
    }

    item->tag.len = 0;

    if (tagged && ngx_zapier_limit_news_tag(&p, last, &item->tag) != NGX_OK) {
        return NGX_DECLINED;
    }

    if ((size_t) (last - p) < (size_t) len + 2 || p[len] != ' ') {
        return NGX_DECLINED;
    }

    item->zone.data = p;
    item->zone.len = len;
    item->key.data = p + len + 1;
    item->key.len = last - item->key.data;

    return (len == 0 || item->key.len > NGX_ZAPIER_LIMIT_KEY_LEN)
           ? NGX_DECLINED : NGX_OK;
}


void
ngx_zapier_limit_news_aged(ngx_zapier_limit_item_t *item, uint32_t ms)
{
    if (item->closed != NGX_ZAPIER_LIMIT_UNSET) {
        item->closed -= ngx_min(ms, item->closed);
    }

    if (item->reset != NGX_ZAPIER_LIMIT_UNSET) {
        item->reset -= ngx_min(ms, item->reset);
    }

    if (item->age != NGX_ZAPIER_LIMIT_UNSET) {
        item->age += ngx_min(ms, NGX_ZAPIER_LIMIT_UNSET - 1 - item->age);
    }
}


static ngx_int_t
ngx_zapier_limit_news_numbers(u_char **pos, u_char *last,
    ngx_zapier_limit_item_t *item, uint32_t *len)
{
    ngx_uint_t  i;

    struct {
        uint32_t  *n;
        uint32_t   max;
    } numbers[] = {
        { &item->limit, NGX_ZAPIER_LIMIT_UNSET - 1 },
        { &item->remaining, NGX_ZAPIER_LIMIT_UNSET - 1 },
        { &item->reset, NGX_ZAPIER_LIMIT_NEWS_MAX },
        { &item->closed, NGX_ZAPIER_LIMIT_NEWS_MAX },
        { &item->age, NGX_ZAPIER_LIMIT_NEWS_MAX },
        { len, NGX_ZAPIER_LIMIT_UNSET - 1 }
    };

    for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (ngx_zapier_limit_news_number(pos, last, numbers[i].max,
                                         numbers[i].n)
            != NGX_OK)
        {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_limit_news_tag(u_char **pos, u_char *last, ngx_str_t *tag)
{
    u_char  *p;

    p = ngx_strlchr(*pos, last, '}');

    if (p == NULL || **pos != '{' || last - p < 2 || p[1] != ' ') {
        return NGX_DECLINED;
    }

    tag->data = *pos + 1;
    tag->len = p - tag->data;

    *pos = p + 2;

    return (tag->len == 0 || tag->len > NGX_ZAPIER_LIMIT_TAG_LEN)
           ? NGX_DECLINED : NGX_OK;
}


/* A word that is not empty, and the space behind it. */

static ngx_int_t
ngx_zapier_limit_news_word(u_char **pos, u_char *last, ngx_str_t *word)
{
    u_char  *p;

    p = ngx_strlchr(*pos, last, ' ');

    if (p == NULL || p == *pos) {
        return NGX_DECLINED;
    }

    word->data = *pos;
    word->len = p - *pos;

    *pos = p + 1;

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_limit_news_number(u_char **pos, u_char *last, uint32_t max,
    uint32_t *n)
{
    u_char     *p;
    uint64_t    value;
    ngx_str_t   word;

    if (ngx_zapier_limit_news_word(pos, last, &word) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (word.len == 1 && word.data[0] == '-') {
        *n = NGX_ZAPIER_LIMIT_UNSET;
        return NGX_OK;
    }

    if (word.len > NGX_INT32_LEN) {
        return NGX_DECLINED;
    }

    value = 0;

    for (p = word.data; p < word.data + word.len; p++) {

        if (*p < '0' || *p > '9') {
            return NGX_DECLINED;
        }

        value = value * 10 + (*p - '0');
    }

    *n = (uint32_t) ngx_min(value, max);

    return NGX_OK;
}
