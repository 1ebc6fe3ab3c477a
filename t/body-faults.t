# Bodies that are refused: every fault is told at once, with its pointer and
# its place, and no call is made.
#
# In "faults" a line is a body, and the indented lines after it are what must
# be said of it: code, pointer and offset, "-" for none.

use strict;
use warnings;

use lib 't/lib';
use Zapier 'no_plan';

use JSON::PP qw(decode_json);

add_block_preprocessor(sub {
    my ($block) = @_;
    my $cases = $block->faults // return;
    my (@requests, @answers);

    for (ref $cases ? @$cases : split /^(?=\S)/m, $cases) {
        my ($body, @faults) = ref $_ ? @$_ : split /\n\s*/;

        push @requests, "POST /v2/action-runs\n$body";
        push @answers, join '', map { "$_\n" } @faults;
    }

    $block->set_value(request => \@requests);
    $block->set_value(response_body => \@answers);
    $block->set_value(response_body_filters => [\&faults]);
    $block->set_value(error_code => [map { 400 } @requests]);
    $block->set_value(more_headers => 'X-Tenant: acme');
    $block->set_value(sandbox_count => 0);
});


sub faults {
    my $errors = decode_json($_[0])->{errors};

    return join '', map {
        join(' ', $_->{code}, $_->{source}{pointer} // '-',
             $_->{meta}{offset} // '-') . "\n"
    } @$errors;
}


run_tests();

__DATA__

=== TEST 1: a missing field, with the place where it would stand
--- faults
{"action":"core:a"}
    required /inputs -
{"inputs":{}}
    required /action -
{}
    required /action -
    required /inputs -
{"data":{}}
    required /data/action -
    required /data/inputs -
{"data":{"action":"core:a"}}
    required /data/inputs -
{"data":{"input":{}}}
    required /data/action -
{"authentication":null}
    required /action -
    required /inputs -



=== TEST 2: a wrong type
--- faults
{"action":1,"inputs":{}}
    invalid_type /action 10
{"action":null,"inputs":{}}
    invalid_type /action 10
{"action":["core:a"],"inputs":{}}
    invalid_type /action 10
{"action":"core:a","inputs":[]}
    invalid_type /inputs 28
{"action":"core:a","inputs":null}
    invalid_type /inputs 28
{"action":"core:a","input":"{}"}
    invalid_type /input 27
{"action":"core:a","inputs":{},"authentication":true}
    invalid_type /authentication 48
{"action":"core:a","inputs":{},"callback_url":null}
    invalid_type /callback_url 46
{"data":{"action":{},"inputs":{}}}
    invalid_type /data/action 18
{"data":[]}
    invalid_type /data 8
{"data":null}
    invalid_type /data 8



=== TEST 3: a body that is no object
--- faults
[]
    invalid_type  0
"core:a"
    invalid_type  0
null
    invalid_type  0
1
    invalid_type  0
[{"action":"core:a","inputs":{}}]
    invalid_type  0



=== TEST 4: an empty string
--- faults
{"action":"","inputs":{}}
    empty /action 10
{"data":{"action":"core:a","inputs":{},"callback_url":""}}
    empty /data/callback_url 54



=== TEST 5: an unknown field
--- faults
{"action":"core:a","inputs":{},"inptus":{"data":1}}
    unknown_field /inptus 31
{"data":{"action":"core:a","inputs":{},"data":{}}}
    unknown_field /data/data 39
{"data":{"action":"core:a","inputs":{}},"meta":{}}
    unknown_field /meta 40
{"action":"core:a","inputs":{},"Action":"core:b"}
    unknown_field /Action 31
{"action":"core:a","inputs":{},"":1}
    unknown_field / 31
{"action":"core:a","inputs":{},"a/b~c":1}
    unknown_field /a~1b~0c 31
{"data":{"action":"core:a","inputs":{}},"callback_url":"x"}
    unknown_field /callback_url 40



=== TEST 6: a field twice (APISIX: duplicate JSON keys)
--- faults
{"action":"core:a","inputs":{},"action":"core:b"}
    duplicate /action 31
{"data":{"action":"core:a","inputs":{},"inputs":{}}}
    duplicate /data/inputs 39
{"data":{"action":"core:a","inputs":{}},"data":{}}
    duplicate /data 40
{"action":"core:a","inputs":{},"\u0061ction":"core:b"}
    duplicate /action 31
{"action":"core:a","input":{},"authentication":null,"authentication":"x"}
    duplicate /authentication 52



=== TEST 7: two that exclude each other
--- faults
{"action":"core:a","inputs":{},"input":{}}
    ambiguous /input 31
{"data":{"action":"core:a","input":{},"inputs":{}}}
    ambiguous /data/inputs 38
{"data":{"action":"core:a","inputs":{}},"action":"core:b"}
    ambiguous /action 40
{"inputs":{},"data":{"action":"core:a","inputs":{}}}
    ambiguous /data 13



=== TEST 8: all faults in one answer, in the order of the text
--- faults
{"action":"","inputs":[],"colour":1,"colour":2}
    empty /action 10
    invalid_type /inputs 22
    unknown_field /colour 25
    unknown_field /colour 36
{"data":{"action":1,"authentication":2,"callback_url":3},"x":0}
    invalid_type /data/action 18
    invalid_type /data/authentication 37
    invalid_type /data/callback_url 54
    required /data/inputs -
    unknown_field /x 57



=== TEST 9: many unknown fields do not hide what is worse
--- faults eval
[['{' . CORE::join(',', map { sprintf '"k%02d":0', $_ } 0 .. 19)
  . ',"action":0}',
  (map { sprintf 'unknown_field /k%02d %d', $_, 1 + 8 * $_ } 0 .. 13),
  'invalid_type /action 170',
  'required /inputs -']]



=== TEST 10: what is no JSON has one fault, with the byte that cannot stand
--- faults
{"action": tru}
    parse_error - 14
{"action":"core:a",}
    parse_error - 19
{"action":"core:a" "inputs":{}}
    parse_error - 19
{'action':'core:a'}
    parse_error - 1
{"action":"core:a","inputs":{"n":01}}
    parse_error - 34
{"action":"core:a","inputs":{"n":+1}}
    parse_error - 33
{"action":"core:a","inputs":{"n":.5}}
    parse_error - 33
{"action":"core:a","inputs":{"n":NaN}}
    parse_error - 33
{"action":"core:a","inputs":{"n":"\x41"}}
    parse_error - 35
{"action":"core:a","inputs":{}}}
    parse_error - 31
{"action":"core:a","inputs":{}} // no
    parse_error - 32
{"action":"core:a","inputs":{}
    parse_error - 30
{"action":
    parse_error - 10
{
    parse_error - 1
{"x":[1,2}
    parse_error - 9
action=core:a
    parse_error - 0



=== TEST 11: faults of fields are not told of what is no JSON
--- faults
{"action":1,"action":2,"x":
    parse_error - 27



=== TEST 12: bytes that are no text
--- faults eval
[["\xef\xbb\xbf{\"action\":\"core:a\",\"inputs\":{}}", 'parse_error - 0'],
 ["{\"action\":\"core:\xff\",\"inputs\":{}}", 'parse_error - 16'],
 ["{\"action\":\"core:\xc0\x80\",\"inputs\":{}}", 'parse_error - 16'],
 ["{\"action\":\"core:\xed\xa0\x80\",\"inputs\":{}}", 'parse_error - 17'],
 ["{\"action\":\"core:\xe2\x82\",\"inputs\":{}}", 'parse_error - 18'],
 ["{\"action\":\"core:\x00\",\"inputs\":{}}", 'parse_error - 16'],
 ["{\"action\":\"core:\n\",\"inputs\":{}}", 'parse_error - 16'],
 ["{\"action\":\"core:a\",\x00\"inputs\":{}}", 'parse_error - 19'],
 ["{\"action\":\"core:a\",\xc2\xa0\"inputs\":{}}", 'parse_error - 19'],
 ["\x00", 'parse_error - 0']]



=== TEST 13: nested too deeply, counted from the root
--- faults eval
[['{"action":"core:a","inputs":{"n":' . '[' x 127 . ']' x 127 . '}}',
  'parse_error - ' . (33 + 126)],
 ['[' x 129, 'parse_error - 128']]



=== TEST 14: no body at all
--- config
    location = /v2/action-runs {
        zapier_tenant  acme;
        zapier_body    action_run;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- raw_request eval
"POST /v2/action-runs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
. "Content-Length: 0\r\n\r\n"
--- error_code: 400
--- response_body_like: "code":"parse_error".*"detail":"The body is empty\.".*"offset":0
--- sandbox_count: 0



=== TEST 15: no body and no length
--- raw_request eval
"POST /v2/action-runs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
. "X-Tenant: acme\r\n\r\n"
--- error_code: 400
--- response_body_like: "code":"parse_error".*"detail":"The body is empty\.".*"offset":0
--- sandbox_count: 0



=== TEST 16: a location that names the action still wants whole shapes
--- config
    location = /v2/action-runs {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        zapier_action  core:z;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- faults
{"action":"core:a"}
    required /inputs -
{"data":{}}
    required /data/inputs -
{"inputs":{},"to":"a@b.example"}
    unknown_field /to 13
{"to":"a@b.example","data":{"inputs":{}}}
    unknown_field /to 1
{"to":1,"inputs":[]}
    unknown_field /to 1
    invalid_type /inputs 17
[]
    invalid_type  0



=== TEST 17: the answer as it stands
--- request
POST /v2/action-runs
{"action":"","inputs":{},"a\"b\u0000\n":1}
--- more_headers
X-Tenant: acme
--- error_code: 400
--- response_headers
Content-Type: application/json
Proxy-Status: ngx_zapier; error=http_request_error; details="empty"
!WWW-Authenticate
!Retry-After
--- response_body
{"errors":[{"status":400,"code":"empty","title":"Empty","detail":"This must not be empty.","source":{"pointer":"/action"},"meta":{"source":"GATEWAY","offset":10}},{"status":400,"code":"unknown_field","title":"UnknownField","detail":"There is no such field.","source":{"pointer":"/a\"b\u0000\n"},"meta":{"source":"GATEWAY","offset":25}}]}
--- sandbox_count: 0



=== TEST 18: a faulty body costs neither a read of Redis nor quota
--- http_config
    zapier_limit_zone  z  key=k  limit=1  window=60s;
--- config
    location = /v2/action-runs {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        zapier_limit   z;
        add_header     X-Decision  $zapier_token_status,$zapier_limit_status always;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- more_headers
X-Tenant: acme
--- request eval
["POST /v2/action-runs\n{}", "POST /v2/action-runs\n{",
 "POST /v2/action-runs\n{\"action\":\"core:a\",\"inputs\":{}}"]
--- error_code eval
[400, 400, 200]
--- response_headers eval
["X-Decision: NONE,BYPASS", "X-Decision: NONE,BYPASS",
 "X-Decision: MISS,PASSED"]
--- sandbox_count: 1
