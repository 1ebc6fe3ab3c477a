
/*
 * What the files of the envelope share.
 */


#ifndef _NGX_ZAPIER_ENVELOPE_PRIVATE_H_INCLUDED_
#define _NGX_ZAPIER_ENVELOPE_PRIVATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_json.h>
#include <ngx_zapier_envelope.h>


/* shapes */

#define ZE_ENVELOPED       1      /* {"data":{"action":..}} */
#define ZE_BARE            2      /* {"action":..} */
#define ZE_BARE_INPUTS     4      /* anything else, action by location */
#define ZE_ANY             7


/* keys: bits, and the order of the table below */

#define ZE_DATA            0x01
#define ZE_ACTION          0x02
#define ZE_AUTHENTICATION  0x04
#define ZE_INPUTS          0x08
#define ZE_INPUT           0x10
#define ZE_CALLBACK_URL    0x20

#define ZE_BARE_KEYS                                                         \
    (ZE_ACTION|ZE_AUTHENTICATION|ZE_INPUTS|ZE_INPUT)


/* what is inserted if it is not there */
#define ZE_INSERTED  (ZE_ACTION|ZE_AUTHENTICATION|ZE_CALLBACK_URL)

#define ZE_CALLBACK_MEMBER  ",\"callback_url\":"


#define ze_type(type)      (1 << NGX_ZAPIER_JSON_##type)


typedef struct {
    ngx_str_t                      name;
    ngx_uint_t                     key;
    ngx_uint_t                     types;
    const char                    *detail;
} ngx_zapier_envelope_key_t;


struct ngx_zapier_envelope_s {
    ngx_pool_t                    *pool;
    ngx_str_t                     *action;
    ngx_str_t                     *authentication;
    ngx_str_t                     *callback_url; /* NULL: none */

    ngx_uint_t                     seen[2];  /* keys of root and data */
    ngx_zapier_envelope_key_t     *key;      /* of the value to come */
    off_t                          value;    /* where it began */
    ngx_uint_t                     shape;
    ngx_str_t                      insert;

    ngx_uint_t                     nfaults;
    ngx_zapier_fault_t             faults[NGX_ZAPIER_ENVELOPE_FAULTS];
    u_char                         shapes[NGX_ZAPIER_ENVELOPE_FAULTS];

    ngx_zapier_json_t              json;

    unsigned                       failed:1; /* the text is not JSON */
    unsigned                       called_back:1; /* ours is in it */
};


/* The key of that name or NULL. */
ngx_zapier_envelope_key_t *ngx_zapier_envelope_find(u_char *name, size_t len);

/*
 * Takes the members that are plain and whole, from where a text or a member
 * may begin; stops before the first one that is not, with the scanner in
 * the state in which it would have come there.  Returns where that is.
 */
u_char *ngx_zapier_envelope_plain(ngx_zapier_envelope_t *e, u_char *p,
    u_char *last);


#endif /* _NGX_ZAPIER_ENVELOPE_PRIVATE_H_INCLUDED_ */
