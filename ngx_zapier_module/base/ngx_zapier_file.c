
/*
 * Secrets that lie in files.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_file.h>
#include <ngx_zapier_wipe.h>


#define NGX_ZAPIER_FILE_LINE_LEN  4096


static ngx_int_t ngx_zapier_file_read(ngx_conf_t *cf, ngx_str_t *name,
    const char *owner, ngx_str_t *text);
static const char *ngx_zapier_file_cut(ngx_str_t *text, size_t size);
static ngx_int_t ngx_zapier_file_keep(ngx_conf_t *cf, ngx_str_t *text,
    ngx_str_t *line);
static void ngx_zapier_file_zero(void *data);


ngx_int_t
ngx_zapier_file_line(ngx_conf_t *cf, ngx_str_t *name, const char *owner,
    const char *content, ngx_str_t *line)
{
    ngx_int_t    rc;
    ngx_str_t    text;
    const char  *fault;

    u_char  buf[NGX_ZAPIER_FILE_LINE_LEN];

    rc = NGX_ERROR;

    if (ngx_conf_full_name(cf->cycle, name, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    text.data = buf;
    text.len = sizeof(buf);

    if (ngx_zapier_file_read(cf, name, owner, &text) != NGX_OK) {
        goto done;
    }

    fault = ngx_zapier_file_cut(&text, sizeof(buf));

    if (fault != NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" of %s is %s, it must hold %s in one line",
                           name, owner, fault, content);
        goto done;
    }

    rc = ngx_zapier_file_keep(cf, &text, line);

done:

    ngx_zapier_wipe(buf, sizeof(buf));

    return rc;
}


/* text comes with the size of its buffer */

static ngx_int_t
ngx_zapier_file_read(ngx_conf_t *cf, ngx_str_t *name, const char *owner,
    ngx_str_t *text)
{
    ssize_t          n;
    ngx_fd_t         fd;
    ngx_file_info_t  fi;

    fd = ngx_open_file(name->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" of %s failed",
                           name, owner);
        return NGX_ERROR;
    }

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_fd_info_n " \"%V\" failed", name);
        (void) ngx_close_file(fd);
        return NGX_ERROR;
    }

    n = ngx_read_fd(fd, text->data, text->len);

    if (n == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_read_fd_n " \"%V\" of %s failed",
                           name, owner);
        (void) ngx_close_file(fd);
        return NGX_ERROR;
    }

    (void) ngx_close_file(fd);

    if (ngx_file_access(&fi) & S_IROTH) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"%V\" of %s may be read by everybody, "
                           "\"chmod o-r\" it", name, owner);
    }

    text->len = n;

    return NGX_OK;
}


/* Cuts the end of the line; NULL, or what is wrong. */

static const char *
ngx_zapier_file_cut(ngx_str_t *text, size_t size)
{
    if (text->len == size) {
        return "too long";
    }

    if (text->len && text->data[text->len - 1] == LF) {
        text->len--;
    }

    if (text->len && text->data[text->len - 1] == CR) {
        text->len--;
    }

    if (text->len == 0) {
        return "empty";
    }

    if (memchr(text->data, LF, text->len) != NULL) {
        return "more than one line";
    }

    return NULL;
}


/* In memory of its own that no core file gets. */

static ngx_int_t
ngx_zapier_file_keep(ngx_conf_t *cf, ngx_str_t *text, ngx_str_t *line)
{
    void                *p;
    ngx_str_t           *kept;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(cf->pool, sizeof(ngx_str_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    p = mmap(NULL, text->len, PROT_READ|PROT_WRITE, MAP_ANON|MAP_PRIVATE, -1,
             0);

    if (p == MAP_FAILED) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "mmap() for a secret failed");
        return NGX_ERROR;
    }

#ifdef MADV_DONTDUMP
    (void) madvise(p, text->len, MADV_DONTDUMP);
#endif

    ngx_memcpy(p, text->data, text->len);

    line->data = p;
    line->len = text->len;

    kept = cln->data;
    *kept = *line;

    cln->handler = ngx_zapier_file_zero;

    return NGX_OK;
}


static void
ngx_zapier_file_zero(void *data)
{
    ngx_str_t *line = data;

    ngx_zapier_wipe(line->data, line->len);

    (void) munmap(line->data, line->len);
}
