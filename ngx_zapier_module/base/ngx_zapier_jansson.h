
/*
 * JSON with secrets in it, as a jansson tree.
 */


#ifndef _NGX_ZAPIER_JANSSON_H_INCLUDED_
#define _NGX_ZAPIER_JANSSON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <jansson.h>


/*
 * json_loadb() in memory that is wiped whenever jansson gives it back; error
 * may be NULL, it can quote the text.  The tree is the caller's, who must
 * not change it and gives it back by ngx_zapier_jansson_free() only.
 *
 * NULL: no JSON, or no memory
 */
json_t *ngx_zapier_jansson_load(ngx_str_t *text, size_t flags,
    json_error_t *error);

/* json may be NULL */
void ngx_zapier_jansson_free(json_t *json);


#endif /* _NGX_ZAPIER_JANSSON_H_INCLUDED_ */
