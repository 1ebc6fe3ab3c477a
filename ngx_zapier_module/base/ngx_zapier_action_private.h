
/*
 * Between the files of actions by name.
 */


#ifndef _NGX_ZAPIER_ACTION_PRIVATE_H_INCLUDED_
#define _NGX_ZAPIER_ACTION_PRIVATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_action.h>


#define ngx_zapier_action_key_is(json, name)                                 \
    ((json)->key_len == sizeof(name) - 1                                     \
     && ngx_memcmp((json)->key, name, sizeof(name) - 1) == 0)

/* The action of that name or NULL. */
ngx_zapier_action_t *ngx_zapier_action_search(ngx_array_t *actions,
    ngx_str_t *name);


#endif /* _NGX_ZAPIER_ACTION_PRIVATE_H_INCLUDED_ */
