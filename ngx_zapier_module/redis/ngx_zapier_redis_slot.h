
/*
 * Hash slots of a Cluster.  Private to redis/.
 *
 * https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
 */


#ifndef _NGX_ZAPIER_REDIS_SLOT_H_INCLUDED_
#define _NGX_ZAPIER_REDIS_SLOT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_ZAPIER_REDIS_SLOTS  16384


/* The slot of a key, by its hash tag if it has one. */
ngx_uint_t ngx_zapier_redis_key_slot(ngx_str_t *key);

/*
 * The key that tells where a command of ours goes: NULL, it may go to any
 * server.
 */
ngx_str_t *ngx_zapier_redis_command_key(ngx_uint_t argc, ngx_str_t *argv);


#endif /* _NGX_ZAPIER_REDIS_SLOT_H_INCLUDED_ */
