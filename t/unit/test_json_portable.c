
/*
 * The tests of the scanner again, for processors without SSE2: its files
 * are compiled in here, so that the library's are not linked.
 */


#define NGX_ZAPIER_JSON_PORTABLE  1

#include <ngx_zapier_json.c>
#include <ngx_zapier_json_skip.c>
#include <ngx_zapier_json_text.c>
#include <ngx_zapier_json_token.c>

#include "test_json.c"
