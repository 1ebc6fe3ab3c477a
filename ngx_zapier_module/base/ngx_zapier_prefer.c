
/*
 * Prefer: wait=N, respond-async (RFC 7240).
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_prefer.h>


/* more than a day nobody waits */
#define NGX_ZAPIER_PREFER_MAX  86400


static u_char *ngx_zapier_prefer_end(u_char *p, u_char *last);
static u_char *ngx_zapier_prefer_trim(u_char *p, u_char **last);
static void ngx_zapier_prefer_one(ngx_zapier_prefer_t *prefer, u_char *p,
    u_char *last);


void
ngx_zapier_prefer_header(ngx_zapier_prefer_t *prefer, ngx_str_t *value)
{
    u_char  *p, *last, *end;

    p = value->data;
    last = p + value->len;

    while (p < last) {
        end = ngx_zapier_prefer_end(p, last);

        ngx_zapier_prefer_one(prefer, p, end);

        p = end + 1;
    }
}


/* The comma behind a preference, which is not one in a quoted string. */

static u_char *
ngx_zapier_prefer_end(u_char *p, u_char *last)
{
    ngx_uint_t  quoted;

    quoted = 0;

    for ( /* void */ ; p < last; p++) {

        if (*p == '"') {
            quoted = !quoted;

        } else if (*p == '\\' && quoted && p + 1 < last) {
            p++;

        } else if (*p == ',' && !quoted) {
            break;
        }
    }

    return p;
}


static u_char *
ngx_zapier_prefer_trim(u_char *p, u_char **last)
{
    while (p < *last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    while (p < *last && ((*last)[-1] == ' ' || (*last)[-1] == '\t')) {
        (*last)--;
    }

    return p;
}


static void
ngx_zapier_prefer_one(ngx_zapier_prefer_t *prefer, u_char *p, u_char *last)
{
    u_char     *value, *end;
    ngx_int_t   n;

    /* parameters, which neither of the two has */

    end = ngx_strlchr(p, last, ';');
    if (end != NULL) {
        last = end;
    }

    value = ngx_strlchr(p, last, '=');
    end = value ? value : last;

    p = ngx_zapier_prefer_trim(p, &end);

    if (end - p == sizeof("respond-async") - 1
        && ngx_strncasecmp(p, (u_char *) "respond-async", end - p) == 0)
    {
        prefer->respond_async = 1;
        return;
    }

    if (value == NULL
        || prefer->wait != -1
        || end - p != sizeof("wait") - 1
        || ngx_strncasecmp(p, (u_char *) "wait", end - p) != 0)
    {
        return;
    }

    p = ngx_zapier_prefer_trim(value + 1, &last);

    if (last - p >= 2 && *p == '"' && last[-1] == '"') {
        p++;
        last--;
    }

    n = ngx_atoi(p, last - p);

    if (n == NGX_ERROR) {
        return;
    }

    prefer->wait = ngx_min(n, NGX_ZAPIER_PREFER_MAX);
}
