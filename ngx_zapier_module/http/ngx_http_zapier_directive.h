
/*
 * What the setters of directives share; they stand in
 * ngx_http_zapier_*directive.c.
 */


#ifndef _NGX_HTTP_ZAPIER_DIRECTIVE_H_INCLUDED_
#define _NGX_HTTP_ZAPIER_DIRECTIVE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_module.h>


/* Does value begin with name, such as "max="?  Then rest is what follows. */
ngx_uint_t ngx_http_zapier_prefix(ngx_str_t *value, const char *name,
    ngx_str_t *rest);

/* Reads a time from 1ms to max.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_zapier_time(ngx_str_t *text, ngx_int_t max, uint32_t *ms);

/* Bytes from p on that a scope name may have (RFC 6749 3.3), up to last. */
size_t ngx_http_zapier_scope_name(u_char *p, u_char *last);

/* Compiles text with variables.  NGX_CONF_OK or NGX_CONF_ERROR. */
char *ngx_http_zapier_complex(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_complex_value_t **cvp);

/* Notes where the directive stands, unless another is noted already. */
void ngx_http_zapier_mention(ngx_conf_t *cf,
    ngx_http_zapier_mention_t *mention);

/* Tells what is wrong and what would be right; NGX_CONF_ERROR. */
char *ngx_http_zapier_invalid(ngx_conf_t *cf, ngx_str_t *value,
    const char *right);


#endif /* _NGX_HTTP_ZAPIER_DIRECTIVE_H_INCLUDED_ */
