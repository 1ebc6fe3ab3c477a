
/*
 * Secrets that lie in files, read while the configuration is.
 */


#ifndef _NGX_ZAPIER_FILE_H_INCLUDED_
#define _NGX_ZAPIER_FILE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Reads the one line of a file, without its end, into memory that lives as
 * long as cf->pool, is zeroed then, and comes into no core file.  The name is
 * made a full one.  For messages: owner says whose file it is
 * (\"password_file=\" of \"zapier_redis\"), content what must be in it (the
 * password).
 *
 * NGX_OK or NGX_ERROR, with an [emerg] message
 */
ngx_int_t ngx_zapier_file_line(ngx_conf_t *cf, ngx_str_t *name,
    const char *owner, const char *content, ngx_str_t *line);


#endif /* _NGX_ZAPIER_FILE_H_INCLUDED_ */
