
/* The tests of the scanner again, for processors without AVX2. */


#define NGX_ZAPIER_JSON_NO_AVX2  1

#include <ngx_zapier_json.c>
#include <ngx_zapier_json_skip.c>
#include <ngx_zapier_json_text.c>
#include <ngx_zapier_json_token.c>

#include "test_json.c"
