# Bytes in, bytes out: what stands inside of inputs reaches the upstream as
# the caller wrote it.
#
# In "inputs" each line (or, with eval, each string) is sent as the value of
# "inputs" in all shapes; the sandbox sends back what it received.

use strict;
use warnings;

use lib 't/lib';
use Zapier 'no_plan';

add_block_preprocessor(sub {
    my ($block) = @_;
    my $cases = $block->inputs // return;
    my (@requests, @answers);

    for (ref $cases ? @$cases : split /\n/, $cases) {
        my $rest = qq("action":"core:a","authentication":null);

        push @requests, map { "POST /v2/action-runs\n$_" }
            qq({"data":{$rest,"inputs":$_}}), qq({$rest,"input":$_}),
            qq({"inputs":$_,$rest});
        push @answers,
            qq({"data":{$rest,"inputs":$_}}), qq({"data":{$rest,"inputs":$_}}),
            qq({"data":{"inputs":$_,$rest}});
    }

    $block->set_value(request => \@requests);
    $block->set_value(response_body => \@answers);
    $block->set_value(error_code => [map { 200 } @requests]);
    $block->set_value(more_headers =>
                      qq(X-Tenant: acme\nX-Sandbox: {"echo":"body"}));
    $block->set_value(sandbox_count => scalar @requests);
});

run_tests();

__DATA__

=== TEST 1: empty arrays stay arrays (Kong #1208, #3166, APISIX #6383)
--- inputs
{"a":[]}
{"a":[],"b":{},"c":[[]],"d":[{}],"e":{"f":[]}}
{}



=== TEST 2: null stays null (Kong #8610)
--- inputs
{"a":null,"b":[null,null],"c":{"d":null}}



=== TEST 3: numbers beyond 2^53 and beyond any type
--- inputs
{"n":9007199254740993}
{"n":12345678901234567890123456789012345678901234567890}
{"n":-9223372036854775809}
{"n":1e400,"m":-1E+400,"k":1e-400}



=== TEST 4: numbers keep their spelling
--- inputs
{"n":1.0,"m":1.10,"k":0.1e1,"l":1E2,"o":-0,"p":-0.0,"q":100e-2}
{"n":0.1000000000000000055511151231257827021181583404541015625}



=== TEST 5: the order of keys
--- inputs
{"z":1,"a":2,"10":3,"9":4,"A":5}



=== TEST 6: keys that repeat inside of inputs
--- inputs
{"a":1,"a":2,"a":{"b":1,"b":2}}



=== TEST 7: escapes
--- inputs
{"s":"\"\\\/\b\f\n\r\t","u":"\u00e9\u00E9\u20ac\uD83D\ude00","\u006bey":"\/"}



=== TEST 8: an escaped NUL, and the end of a C string it is not
--- inputs
{"s":"a\u0000b","k\u0000y":"\u0000","t":"\u0000\""}



=== TEST 9: text that is UTF-8 already
--- inputs eval
["{\"s\":\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xef\xbf\xbd\","
 . "\"\xe6\x97\xa5\xe6\x9c\xac\":\"\x7f\xc2\x80\xed\x9f\xbf\xee\x80\x80\"}"]



=== TEST 10: text that looks like what the module looks for
--- inputs
{"s":"\"inputs\":{}","t":"}}","u":"{\"data\":{\"action\":\"x\"}}","v":"\\"}
{"data":{"inputs":{"input":[{"action":"","data":null}]}},"callback_url":[]}



=== TEST 11: white space of every kind
--- inputs eval
["{ \"a\" :\t[ 1 ,\r\n2 ] ,\n\n \"b\" : { } }", "{\n}", "{ \"a\":[ ]\t}"]



=== TEST 12: as deep as 128
--- inputs eval
['{"a":' . '[' x 125 . ']' x 125 . '}', '{"a":' x 126 . '1' . '}' x 126]



=== TEST 13: larger than every buffer
--- inputs eval
['{"a":"' . 'x' x 100_000 . '","b":[' . CORE::join(',', 1 .. 20_000) . ']}']



=== TEST 14: escapes of lone surrogates pass, but for them what cannot be said
--- request
POST /v2/action-runs
{"action":"core:\ud800","input":{"s":"\udc00\ud83d","t":"\ud83dx\uDE00"}}
--- more_headers
X-Tenant: acme
X-Sandbox: {"status":200}
--- error_code: 200
--- sandbox_complaint: surrogate
--- sandbox_body
{"data":{"action":"core:\ud800","inputs":{"s":"\udc00\ud83d","t":"\ud83dx\uDE00"},"authentication":null}}



=== TEST 15: deeper than 128 after it was rewritten, but not before
--- request eval
"POST /v2/action-runs\n"
. '{"a":' x 128 . '1' . '}' x 128
--- config
    location = /v2/action-runs {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        zapier_action  core:z;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- more_headers
X-Tenant: acme
--- error_code: 200
--- sandbox_body eval
'{"data":{"action":"core:z","authentication":null,"inputs":'
. '{"a":' x 128 . '1' . '}' x 128 . "}}\n"



=== TEST 16: action and authentication keep their spelling, too
--- request
POST /v2/action-runs
{"action":"core:\u0041\/","authentication":"\u00e9","inputs":{},"callback_url":"https:\/\/x"}
--- more_headers
X-Tenant: acme
--- error_code: 200
--- sandbox_body
{"data":{"action":"core:\u0041\/","authentication":"\u00e9","inputs":{},"callback_url":"https:\/\/x"}}



=== TEST 17: answers pass byte for byte, too
--- request
POST /v2/action-runs
{"action":"core:a","inputs":{}}
--- more_headers
X-Tenant: acme
X-Sandbox: {"body":"{\"a\" : [], \"n\":1e400, \"n\":9007199254740993, \"s\":\"\\u0041\"}\n"}
--- error_code: 200
--- response_body eval
"{\"a\" : [], \"n\":1e400, \"n\":9007199254740993, \"s\":\"\\u0041\"}\n"
