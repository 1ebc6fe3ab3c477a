
/*
 * The RunActionRequest envelope: recognises the shapes of a body that
 * callers send, finds every fault, and says what to insert where so that
 * the upstream receives {"data":{"action":..,"authentication":..,
 * "inputs":{..}}} with every byte of the caller's values untouched.
 *
 * All edits are insertions: some inside the text while it streams by, one
 * before it and one after it.  So a body may be spooled to disk as it
 * comes and is never read back.
 *
 * Contract: POST /v2/action-runs of the Zapier Workflow API.
 */


#ifndef _NGX_ZAPIER_ENVELOPE_H_INCLUDED_
#define _NGX_ZAPIER_ENVELOPE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_json.h>


/* faults kept for one body, later ones are only counted */
#define NGX_ZAPIER_ENVELOPE_FAULTS  16


typedef enum {
    NGX_ZAPIER_FAULT_PARSE = 0,     /* parse_error */
    NGX_ZAPIER_FAULT_REQUIRED,      /* required */
    NGX_ZAPIER_FAULT_TYPE,          /* invalid_type */
    NGX_ZAPIER_FAULT_EMPTY,         /* empty */
    NGX_ZAPIER_FAULT_UNKNOWN,       /* unknown_field */
    NGX_ZAPIER_FAULT_DUPLICATE,     /* duplicate */
    NGX_ZAPIER_FAULT_AMBIGUOUS,     /* ambiguous */
    NGX_ZAPIER_FAULT_ACTION,        /* unknown_action */
    NGX_ZAPIER_FAULT_TOO_MANY       /* too_many */
} ngx_zapier_fault_e;


typedef struct {
    ngx_zapier_fault_e         code;
    off_t                      offset;   /* 0-based byte in the caller's
                                            body, -1: no place in it */
    const char                *detail;   /* a sentence, static */
    size_t                     pointer_len;
    u_char                    *pointer;  /* RFC 6901, not JSON-escaped */
} ngx_zapier_fault_t;


/* see ngx_zapier_envelope.c for the private part */
typedef struct ngx_zapier_envelope_s  ngx_zapier_envelope_t;


/*
 * Starts a body.  "action" and "authentication" are the location's
 * defaults as JSON text (quoted and escaped, ngx_zapier_json_quote());
 * an empty "action" means there is none, an empty "authentication" means
 * null.  They must live as long as the envelope.
 *
 * The envelope and all it keeps are allocated from pool; NULL: no memory.
 */
ngx_zapier_envelope_t *ngx_zapier_envelope_create(ngx_pool_t *pool,
    ngx_str_t *action, ngx_str_t *authentication);

/* What it inserts is allocated from pool from now on, and may outlive it. */
void ngx_zapier_envelope_texts(ngx_zapier_envelope_t *e, ngx_pool_t *pool);

/*
 * A callback_url, as JSON text, for bodies that have none; to be given before
 * the first bytes, and to live as long as the envelope.
 */
void ngx_zapier_envelope_call_back(ngx_zapier_envelope_t *e, ngx_str_t *url);

/* After NGX_OK of finish: has it been made use of? */
ngx_uint_t ngx_zapier_envelope_called_back(ngx_zapier_envelope_t *e);

/*
 * Validates the bytes from *pos to last.
 *
 * NGX_OK        all consumed, *pos == last
 * NGX_AGAIN     *insert must be written before the byte *pos, then call
 *               again; *pos < last.  *insert lives as long as the envelope
 * NGX_DECLINED  the text is not JSON, the fault is recorded, feed no more
 * NGX_ERROR     no memory
 */
ngx_int_t ngx_zapier_envelope_feed(ngx_zapier_envelope_t *e, u_char **pos,
    u_char *last, ngx_str_t *insert);

/*
 * Ends the body.
 *
 * NGX_OK        valid; *before and *after (either may be empty) go round
 *               the text, they live as long as the envelope
 * NGX_DECLINED  there are faults
 * NGX_ERROR     no memory
 */
ngx_int_t ngx_zapier_envelope_finish(ngx_zapier_envelope_t *e,
    ngx_str_t *before, ngx_str_t *after);

/* After NGX_OK of finish: there is no such action, which is its fault. */
void ngx_zapier_envelope_unknown_action(ngx_zapier_envelope_t *e);

/* After NGX_OK of finish: the pointer of the inputs in the caller's body. */
ngx_str_t *ngx_zapier_envelope_inputs(ngx_zapier_envelope_t *e);

/*
 * The faults in the order of the text, *n of them; the array belongs to
 * the envelope.
 */
ngx_zapier_fault_t *ngx_zapier_envelope_faults(ngx_zapier_envelope_t *e,
    ngx_uint_t *n);

/* The error code of DESIGN section 8 as it stands in errors[0].code. */
ngx_str_t *ngx_zapier_fault_code(ngx_zapier_fault_e code);


#endif /* _NGX_ZAPIER_ENVELOPE_H_INCLUDED_ */
