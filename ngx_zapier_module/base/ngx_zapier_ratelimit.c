
/*
 * Values of rate limit headers, see ngx_zapier_ratelimit.h.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_ratelimit.h>


/* a time from here on is no delta but an epoch, in seconds or in ms */
#define NGX_ZAPIER_RATELIMIT_EPOCH     1000000000LL
#define NGX_ZAPIER_RATELIMIT_EPOCH_MS  100000000000LL

#define NGX_ZAPIER_RATELIMIT_MAX       0x7fffffffffffffffLL


static ngx_int_t ngx_zapier_ratelimit_count(int64_t *field,
    ngx_str_t *value);
static ngx_int_t ngx_zapier_ratelimit_reset(ngx_zapier_ratelimit_t *rl,
    ngx_str_t *value, time_t now);
static ngx_int_t ngx_zapier_ratelimit_retry(ngx_zapier_ratelimit_t *rl,
    ngx_str_t *value, time_t now);
static ngx_int_t ngx_zapier_ratelimit_time(ngx_str_t *value, time_t now,
    int64_t *delta, int64_t *epoch);
static ngx_int_t ngx_zapier_ratelimit_date(ngx_str_t *value,
    int64_t *epoch);
static ngx_int_t ngx_zapier_ratelimit_number(ngx_str_t *value, int64_t *n);
static ngx_str_t ngx_zapier_ratelimit_trim(u_char *p, u_char *last);


void
ngx_zapier_ratelimit_init(ngx_zapier_ratelimit_t *rl)
{
    rl->limit = NGX_ZAPIER_RATELIMIT_UNSET;
    rl->remaining = NGX_ZAPIER_RATELIMIT_UNSET;
    rl->reset = NGX_ZAPIER_RATELIMIT_UNSET;
    rl->reset_at = NGX_ZAPIER_RATELIMIT_UNSET;
    rl->retry_after = NGX_ZAPIER_RATELIMIT_UNSET;
}


ngx_int_t
ngx_zapier_ratelimit_header(ngx_zapier_ratelimit_t *rl, ngx_str_t *name,
    ngx_str_t *value, time_t now)
{
    ngx_str_t  v;

    if (!ngx_zapier_ratelimit_likely(name)) {
        return NGX_DECLINED;
    }

    v = ngx_zapier_ratelimit_trim(value->data, value->data + value->len);

#define ngx_zapier_ratelimit_is(text)                                        \
    (name->len == sizeof(text) - 1                                           \
     && ngx_strncasecmp(name->data, (u_char *) text, sizeof(text) - 1) == 0)

    if (ngx_zapier_ratelimit_is("X-RateLimit-Limit")) {
        return ngx_zapier_ratelimit_count(&rl->limit, &v);
    }

    if (ngx_zapier_ratelimit_is("X-RateLimit-Remaining")) {
        return ngx_zapier_ratelimit_count(&rl->remaining, &v);
    }

    if (ngx_zapier_ratelimit_is("X-RateLimit-Reset")) {
        return ngx_zapier_ratelimit_reset(rl, &v, now);
    }

    if (ngx_zapier_ratelimit_is("Retry-After")) {
        return ngx_zapier_ratelimit_retry(rl, &v, now);
    }

#undef ngx_zapier_ratelimit_is

    return NGX_DECLINED;
}


/* A number, or a list that a proxy made of several headers. */

static ngx_int_t
ngx_zapier_ratelimit_count(int64_t *field, ngx_str_t *value)
{
    u_char     *p, *comma, *last;
    int64_t     n, least;
    ngx_str_t   v;

    least = NGX_ZAPIER_RATELIMIT_MAX;

    p = value->data;
    last = p + value->len;

    for ( ;; ) {
        comma = ngx_strlchr(p, last, ',');

        v = ngx_zapier_ratelimit_trim(p, comma ? comma : last);

        if (ngx_zapier_ratelimit_number(&v, &n) != NGX_OK) {
            return NGX_ERROR;
        }

        least = ngx_min(least, n);

        if (comma == NULL) {
            break;
        }

        p = comma + 1;
    }

    if (*field == NGX_ZAPIER_RATELIMIT_UNSET || least < *field) {
        *field = least;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_ratelimit_reset(ngx_zapier_ratelimit_t *rl, ngx_str_t *value,
    time_t now)
{
    int64_t  delta, epoch;

    if (ngx_zapier_ratelimit_time(value, now, &delta, &epoch) != NGX_OK) {
        return NGX_ERROR;
    }

    if (delta > rl->reset) {
        rl->reset = delta;
        rl->reset_at = epoch;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_ratelimit_retry(ngx_zapier_ratelimit_t *rl, ngx_str_t *value,
    time_t now)
{
    int64_t  delta, epoch;

    if (ngx_zapier_ratelimit_time(value, now, &delta, &epoch) != NGX_OK) {
        return NGX_ERROR;
    }

    rl->retry_after = ngx_max(rl->retry_after, delta);

    return NGX_OK;
}


/*
 * Seconds from now; *epoch is the time itself if it was an absolute one
 * that could be believed.
 */

static ngx_int_t
ngx_zapier_ratelimit_time(ngx_str_t *value, time_t now, int64_t *delta,
    int64_t *epoch)
{
    int64_t  n;

    *epoch = NGX_ZAPIER_RATELIMIT_UNSET;

    if (ngx_zapier_ratelimit_number(value, &n) == NGX_OK) {

        if (n >= NGX_ZAPIER_RATELIMIT_EPOCH_MS) {
            n = n / 1000 + (n % 1000 != 0);
        }

        if (n < NGX_ZAPIER_RATELIMIT_EPOCH) {
            *delta = ngx_min(n, NGX_ZAPIER_RATELIMIT_AHEAD);
            return NGX_OK;
        }

    } else if (ngx_zapier_ratelimit_date(value, &n) != NGX_OK) {
        return NGX_ERROR;
    }

    if (n <= (int64_t) now) {
        *delta = 0;
        return NGX_OK;
    }

    if (n - (int64_t) now > NGX_ZAPIER_RATELIMIT_AHEAD) {
        *delta = NGX_ZAPIER_RATELIMIT_AHEAD;
        return NGX_OK;
    }

    *delta = n - (int64_t) now;
    *epoch = n;

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_ratelimit_date(ngx_str_t *value, int64_t *epoch)
{
    u_char  *last;
    time_t   t;

    last = value->data + value->len;

    /* ngx_parse_http_time() takes any zone for GMT */

    if (ngx_strlchr(value->data, last, ',')
        && (value->len < 4 || ngx_memcmp(last - 4, " GMT", 4) != 0))
    {
        return NGX_ERROR;
    }

    t = ngx_parse_http_time(value->data, value->len);
    if (t == (time_t) NGX_ERROR) {
        return NGX_ERROR;
    }

    *epoch = t;

    return NGX_OK;
}


/* Digits only.  What is too great for 64 bits is the greatest number. */

static ngx_int_t
ngx_zapier_ratelimit_number(ngx_str_t *value, int64_t *n)
{
    u_char   *p, *last;
    int64_t   digit;

    if (value->len == 0) {
        return NGX_ERROR;
    }

    *n = 0;
    last = value->data + value->len;

    for (p = value->data; p < last; p++) {

        if (*p < '0' || *p > '9') {
            return NGX_ERROR;
        }

        digit = *p - '0';

        if (*n > (NGX_ZAPIER_RATELIMIT_MAX - digit) / 10) {
            *n = NGX_ZAPIER_RATELIMIT_MAX;
            continue;
        }

        *n = *n * 10 + digit;
    }

    return NGX_OK;
}


static ngx_str_t
ngx_zapier_ratelimit_trim(u_char *p, u_char *last)
{
    ngx_str_t  v;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    while (p < last && (last[-1] == ' ' || last[-1] == '\t')) {
        last--;
    }

    v.data = p;
    v.len = last - p;

    return v;
}
