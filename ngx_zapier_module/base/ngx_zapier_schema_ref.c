
/*
 * References, and regular expressions of JSON Schema.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_schema_private.h>


/* steps of one match, so that no pattern takes a worker's time */
#define NGX_ZAPIER_SCHEMA_LIMIT  "(*LIMIT_MATCH=100000)(*UTF)"


static json_t *ngx_zapier_schema_walk(json_t *json, const char *pointer);
static json_t *ngx_zapier_schema_step(json_t *json, const char *token,
    size_t len);
static json_t *ngx_zapier_schema_anchor(json_t *json, const char *name,
    ngx_uint_t depth);


json_t *
ngx_zapier_schema_resolve(json_t *document, const char *text)
{
    size_t       len;
    json_t      *id;
    const char  *hash;

    hash = strchr(text, '#');
    len = hash ? (size_t) (hash - text) : ngx_strlen(text);

    if (len != 0) {

        /* of another document, unless it is this one's name */

        id = json_object_get(document, "$id");

        if (!json_is_string(id)
            || json_string_length(id) < len
            || ngx_strncmp(json_string_value(id), text, len) != 0
            || (json_string_value(id)[len] != '\0'
                && json_string_value(id)[len] != '#'))
        {
            return NULL;
        }
    }

    if (hash == NULL || hash[1] == '\0') {
        return document;
    }

    if (hash[1] == '/') {
        return ngx_zapier_schema_walk(document, hash + 1);
    }

    return ngx_zapier_schema_anchor(document, hash + 1, 0);
}


static json_t *
ngx_zapier_schema_walk(json_t *json, const char *pointer)
{
    size_t       len;
    const char  *p;

    for (p = pointer; json != NULL && *p == '/'; p += len) {
        p++;
        len = strcspn(p, "/");
        json = ngx_zapier_schema_step(json, p, len);
    }

    return json;
}


/* The token is escaped twice: as part of a URI, and as a pointer's. */

static json_t *
ngx_zapier_schema_step(json_t *json, const char *token, size_t len)
{
    u_char     *dst, *src;
    char        name[512];
    ngx_int_t   n;

    if (len >= sizeof(name)) {
        return NULL;
    }

    dst = (u_char *) name;
    src = (u_char *) token;

    ngx_unescape_uri(&dst, &src, len, 0);

    len = dst - (u_char *) name;
    src = (u_char *) name;

    for (dst = src; src < (u_char *) name + len; src++) {

        if (src[0] == '~' && (src[1] == '0' || src[1] == '1')) {
            src++;
            *dst++ = (*src == '0') ? '~' : '/';
            continue;
        }

        *dst++ = *src;
    }

    *dst = '\0';

    if (json_is_array(json)) {
        n = ngx_atoi((u_char *) name, dst - (u_char *) name);

        return (n == NGX_ERROR) ? NULL : json_array_get(json, n);
    }

    return json_object_get(json, name);
}


static json_t *
ngx_zapier_schema_anchor(json_t *json, const char *name, ngx_uint_t depth)
{
    size_t       i;
    json_t      *value, *found;
    const char  *key;

    if (depth == NGX_ZAPIER_SCHEMA_DEPTH) {
        return NULL;
    }

    if (json_is_array(json)) {

        json_array_foreach(json, i, value) {
            found = ngx_zapier_schema_anchor(value, name, depth + 1);

            if (found != NULL) {
                return found;
            }
        }

        return NULL;
    }

    if (!json_is_object(json)) {
        return NULL;
    }

    json_object_foreach(json, key, value) {

        if ((ngx_strcmp(key, "$anchor") == 0
             || ngx_strcmp(key, "$dynamicAnchor") == 0)
            && json_is_string(value)
            && ngx_strcmp(json_string_value(value), name) == 0)
        {
            return json;
        }

        /* data is no schema, whatever it looks like */

        if (ngx_strcmp(key, "enum") == 0 || ngx_strcmp(key, "const") == 0) {
            continue;
        }

        found = ngx_zapier_schema_anchor(value, name, depth + 1);

        if (found != NULL) {
            return found;
        }
    }

    return NULL;
}


#if (NGX_PCRE)

/*
 * ECMA-262 knows \uXXXX, and its "$" is the end and nothing else; all else
 * that people write means the same to PCRE.
 */

void *
ngx_zapier_schema_regex(ngx_pool_t *pool, const char *text, size_t len)
{
    size_t                i;
    u_char               *p;
    ngx_uint_t            set;
    ngx_regex_compile_t   rc;

    u_char  errstr[NGX_MAX_CONF_ERRSTR];

    ngx_memzero(&rc, sizeof(ngx_regex_compile_t));

    p = ngx_pnalloc(pool, sizeof(NGX_ZAPIER_SCHEMA_LIMIT) + 2 * len);
    if (p == NULL) {
        return NULL;
    }

    rc.pattern.data = p;
    p = ngx_cpymem(p, NGX_ZAPIER_SCHEMA_LIMIT,
                   sizeof(NGX_ZAPIER_SCHEMA_LIMIT) - 1);
    set = 0;

    for (i = 0; i < len; i++) {

        if (text[i] == '\\' && i + 1 < len) {

            if (text[i + 1] == 'u' && i + 5 < len && text[i + 2] != '{') {
                p = ngx_sprintf(p, "\\x{%*s}", (size_t) 4, &text[i + 2]);
                i += 5;
                continue;
            }

            *p++ = text[i++];
            *p++ = text[i];
            continue;
        }

        if (text[i] == '[') {
            set = 1;

        } else if (text[i] == ']') {
            set = 0;
        }

        if (text[i] == '$' && !set) {
            *p++ = '\\';
            *p++ = 'z';
            continue;
        }

        *p++ = text[i];
    }

    *p = '\0';

    rc.pattern.len = p - rc.pattern.data;
    rc.pool = pool;
    rc.err.len = NGX_MAX_CONF_ERRSTR;
    rc.err.data = errstr;

    return (ngx_regex_compile(&rc) == NGX_OK) ? rc.regex : NULL;
}


/* What takes too long does not match. */

ngx_uint_t
ngx_zapier_schema_match(void *regex, const char *text, size_t len)
{
    ngx_str_t  subject;

    subject.data = (u_char *) text;
    subject.len = len;

    return ngx_regex_exec(regex, &subject, NULL, 0) >= 0;
}

#else

void *
ngx_zapier_schema_regex(ngx_pool_t *pool, const char *text, size_t len)
{
    (void) pool;
    (void) text;
    (void) len;

    return NULL;
}


ngx_uint_t
ngx_zapier_schema_match(void *regex, const char *text, size_t len)
{
    (void) regex;
    (void) text;
    (void) len;

    return 0;
}

#endif
