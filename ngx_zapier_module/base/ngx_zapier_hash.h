
/*
 * A keyed hash for tables whose keys are chosen by others: who does not
 * know the secret cannot find keys that meet.
 */


#ifndef _NGX_ZAPIER_HASH_H_INCLUDED_
#define _NGX_ZAPIER_HASH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    uint64_t                   k0;
    uint64_t                   k1;
} ngx_zapier_hash_secret_t;


/* SipHash-1-3, the same on every machine */
uint64_t ngx_zapier_hash(const ngx_zapier_hash_secret_t *secret,
    const u_char *data, size_t len);


#endif /* _NGX_ZAPIER_HASH_H_INCLUDED_ */
