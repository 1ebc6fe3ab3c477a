
/*
 * What is found out about a body when it is read again, and where that stands
 * in what the caller has sent.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_envelope_private.h>


void
ngx_zapier_envelope_unknown_action(ngx_zapier_envelope_t *e)
{
    static ngx_str_t  pointers[] = { ngx_string("/action"),
                                     ngx_string("/data/action") };

    ngx_uint_t           inside;
    ngx_zapier_fault_t  *fault;

    inside = (e->shape == ZE_ENVELOPED);

    fault = &e->faults[0];
    e->nfaults = 1;

    fault->code = NGX_ZAPIER_FAULT_ACTION;
    fault->offset = -1;
    fault->detail = "There is no such action.";
    fault->pointer = NULL;
    fault->pointer_len = 0;

    /* it may be the location's */

    if (e->shape != ZE_BARE_INPUTS && (e->seen[inside] & ZE_ACTION)) {
        fault->pointer = pointers[inside].data;
        fault->pointer_len = pointers[inside].len;
    }
}


ngx_str_t *
ngx_zapier_envelope_inputs(ngx_zapier_envelope_t *e)
{
    ngx_uint_t  inside;

    /* by shape, then by name */

    static ngx_str_t  pointers[2][2] = {
        { ngx_string("/inputs"), ngx_string("/input") },
        { ngx_string("/data/inputs"), ngx_string("/data/input") }
    };

    static ngx_str_t  root = ngx_string("");

    if (e->shape == ZE_BARE_INPUTS) {
        return &root;
    }

    inside = (e->shape == ZE_ENVELOPED);

    return &pointers[inside][(e->seen[inside] & ZE_INPUT) != 0];
}
