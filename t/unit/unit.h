
/*
 * A test program in TAP: ok(), is_int() and is_str() in main(), then
 * return done().
 */


#ifndef _UNIT_H_INCLUDED_
#define _UNIT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define ok(cond, name)                                                       \
    unit_ok((cond) ? 1 : 0, name, __FILE__, __LINE__)

#define is_int(got, expected, name)                                          \
    unit_is_int((int64_t) (got), (int64_t) (expected), name,                 \
                __FILE__, __LINE__)

/* ngx_str_t * against a C string */
#define is_str(got, expected, name)                                          \
    unit_is_mem((got)->data, (got)->len, expected, ngx_strlen(expected),     \
                name, __FILE__, __LINE__)

/* any two stretches of memory */
#define is_mem(got, len, expected, expected_len, name)                       \
    unit_is_mem(got, len, expected, expected_len, name, __FILE__, __LINE__)

/* all return whether the check passed */

int unit_ok(int cond, const char *name, const char *file, int line);
int unit_is_int(int64_t got, int64_t expected, const char *name,
    const char *file, int line);
int unit_is_mem(const void *got, size_t len, const void *expected,
    size_t expected_len, const char *name, const char *file, int line);

/* a "# ..." line */
void diag(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

/* prints the plan, returns the exit code */
int done(void);

/* the next allocation but n fails, -1: none */
void unit_fail_alloc(int n);

/* what ngx_conf_log_error() was told last, and how often */
typedef struct {
    ngx_uint_t   count;
    ngx_uint_t   level;
    char         message[1024];
} unit_conf_log_t;

extern unit_conf_log_t  unit_conf_log;


#endif /* _UNIT_H_INCLUDED_ */
