# The shapes that callers may send, and the one that the upstream receives.

use strict;
use warnings;

use lib 't/lib';
use Zapier 'no_plan';

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(more_headers => 'X-Tenant: acme')
        if !defined $block->more_headers;
    $block->set_value(error_code => 200) if !defined $block->error_code;
    $block->set_value(sandbox_count => 1) if !defined $block->sandbox_count;
});

run_tests();

__DATA__

=== TEST 1: the upstream's own shape passes byte for byte
--- request
POST /v2/action-runs
{"data":{"action":"core:a","authentication":"x1","inputs":{"to":"a@b.example"}}}
--- sandbox_body
{"data":{"action":"core:a","authentication":"x1","inputs":{"to":"a@b.example"}}}
--- sandbox_headers
Content-Type: application/json
Content-Length: 80
Authorization: Bearer sandbox-acme



=== TEST 2: its authentication may be null
--- request
POST /v2/action-runs
{"data":{"action":"core:a","authentication":null,"inputs":{}}}
--- sandbox_body
{"data":{"action":"core:a","authentication":null,"inputs":{}}}



=== TEST 3: a missing authentication is null
--- request
POST /v2/action-runs
{"data":{"action":"core:a","inputs":{}}}
--- sandbox_body
{"data":{"action":"core:a","inputs":{},"authentication":null}}
--- sandbox_headers
Content-Length: 62



=== TEST 4: without the envelope
--- request
POST /v2/action-runs
{"action":"core:a","authentication":"x1","inputs":{"n":1}}
--- sandbox_body
{"data":{"action":"core:a","authentication":"x1","inputs":{"n":1}}}
--- sandbox_headers
Content-Length: 67



=== TEST 5: without the envelope and authentication
--- request
POST /v2/action-runs
{"action":"core:a","inputs":{"n":1}}
--- sandbox_body
{"data":{"action":"core:a","inputs":{"n":1},"authentication":null}}



=== TEST 6: input for inputs, in the envelope
--- request
POST /v2/action-runs
{"data":{"action":"core:a","input":{"n":1}}}
--- sandbox_body
{"data":{"action":"core:a","inputs":{"n":1},"authentication":null}}



=== TEST 7: input for inputs, without it
--- request
POST /v2/action-runs
{"input":{"n":1},"authentication":"x","action":"core:a"}
--- sandbox_body
{"data":{"inputs":{"n":1},"authentication":"x","action":"core:a"}}



=== TEST 8: the order of keys is the caller's
--- request
POST /v2/action-runs
{"inputs":{"b":1,"a":2},"authentication":null,"action":"core:a"}
--- sandbox_body
{"data":{"inputs":{"b":1,"a":2},"authentication":null,"action":"core:a"}}



=== TEST 9: callback_url is carried over
--- request
POST /v2/action-runs
{"action":"core:a","callback_url":"https://x.example/?a=1&b=2","inputs":{}}
--- sandbox_body
{"data":{"action":"core:a","callback_url":"https://x.example/?a=1&b=2","inputs":{},"authentication":null}}



=== TEST 10: callback_url in the envelope
--- request
POST /v2/action-runs
{"data":{"callback_url":"https://x.example/","action":"core:a","authentication":null,"inputs":{}}}
--- sandbox_body
{"data":{"callback_url":"https://x.example/","action":"core:a","authentication":null,"inputs":{}}}



=== TEST 11: keys written with escapes are the same keys
--- request
POST /v2/action-runs
{"\u0061ction":"core:a","inpu\u0074":{}}
--- sandbox_body
{"data":{"\u0061ction":"core:a","inpu\u0074s":{},"authentication":null}}



=== TEST 12: fields of inputs may have the names of the fields round them
--- request
POST /v2/action-runs
{"action":"core:a","input":{"data":{"action":1},"input":[],"action":"","authentication":0,"input":{"input":1}}}
--- sandbox_body
{"data":{"action":"core:a","inputs":{"data":{"action":1},"input":[],"action":"","authentication":0,"input":{"input":1}},"authentication":null}}



=== TEST 13: zapier_action for a body without an action
--- config
    location = /v2/action-runs {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        zapier_action  core:z;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
POST /v2/action-runs
{"inputs":{"n":1}}
--- sandbox_body
{"data":{"inputs":{"n":1},"action":"core:z","authentication":null}}



=== TEST 14: zapier_action for an envelope without an action
--- config
    location = /v2/action-runs {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        zapier_action  core:z;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
POST /v2/action-runs
{"data":{"inputs":{"n":1}}}
--- sandbox_body
{"data":{"inputs":{"n":1},"action":"core:z","authentication":null}}



=== TEST 15: the action of the body goes before zapier_action
--- config
    location = /v2/action-runs {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        zapier_action  core:z;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
POST /v2/action-runs
{"action":"core:a","inputs":{}}
--- sandbox_body
{"data":{"action":"core:a","inputs":{},"authentication":null}}



=== TEST 16: bare inputs where the location names the action
--- config
    location = /v2/action-runs {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        zapier_action  core:z;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
POST /v2/action-runs
{"to":"a@b.example","n":[1,{}]}
--- sandbox_body
{"data":{"action":"core:z","authentication":null,"inputs":{"to":"a@b.example","n":[1,{}]}}}



=== TEST 17: bare inputs may be empty
--- config
    location = /v2/action-runs {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        zapier_action  core:z;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
POST /v2/action-runs
{}
--- sandbox_body
{"data":{"action":"core:z","authentication":null,"inputs":{}}}



=== TEST 18: bare inputs may have a field callback_url, even twice and of any type
--- config
    location = /v2/action-runs {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        zapier_action  core:z;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
POST /v2/action-runs
{"callback_url":1,"callback_url":[],"x":""}
--- sandbox_body
{"data":{"action":"core:z","authentication":null,"inputs":{"callback_url":1,"callback_url":[],"x":""}}}



=== TEST 19: bare inputs with a deep field named data
--- config
    location = /v2/action-runs {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        zapier_action  core:z;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
POST /v2/action-runs
{"x":{"data":{"action":1}}}
--- sandbox_body
{"data":{"action":"core:z","authentication":null,"inputs":{"x":{"data":{"action":1}}}}}



=== TEST 20: zapier_authentication for a body without one
--- config
    location = /v2/action-runs {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        zapier_authentication  auth1;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
POST /v2/action-runs
{"action":"core:a","inputs":{}}
--- sandbox_body
{"data":{"action":"core:a","inputs":{},"authentication":"auth1"}}



=== TEST 21: zapier_authentication for bare inputs
--- config
    location = /v2/action-runs {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        zapier_action  core:z;
        zapier_authentication  auth1;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
POST /v2/action-runs
{"a":1}
--- sandbox_body
{"data":{"action":"core:z","authentication":"auth1","inputs":{"a":1}}}



=== TEST 22: an authentication of null goes before zapier_authentication
--- config
    location = /v2/action-runs {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        zapier_authentication  auth1;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
POST /v2/action-runs
{"action":"core:a","authentication":null,"inputs":{}}
--- sandbox_body
{"data":{"action":"core:a","authentication":null,"inputs":{}}}



=== TEST 23: zapier_action and zapier_authentication with variables, quoted as JSON
--- config
    location = /v2/action-runs {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        zapier_action  core:$http_x_action;
        zapier_authentication  $http_x_auth;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- more_headers
X-Tenant: acme
X-Action: "\x
X-Auth: "}},"x
--- request
POST /v2/action-runs
{"a":1}
--- sandbox_body
{"data":{"action":"core:\"\\x","authentication":"\"}},\"x","inputs":{"a":1}}}



=== TEST 24: an empty zapier_authentication is null
--- config
    location = /v2/action-runs {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        zapier_authentication  $http_x_auth;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
POST /v2/action-runs
{"action":"core:a","inputs":{}}
--- sandbox_body
{"data":{"action":"core:a","inputs":{},"authentication":null}}



=== TEST 25: only POST is rewritten
--- request
PUT /v2/action-runs
{"plain":1}
--- sandbox_body
{"plain":1}
--- sandbox_headers
Content-Length: 11
Authorization: Bearer sandbox-acme
--- error_code: 404



=== TEST 26: white space stays as it is
--- raw_request eval
my $body = " {\t\"action\" : \"core:a\" ,\r\n \"input\" : { } }\n ";

"POST /v2/action-runs HTTP/1.1\r\nHost: localhost\r\nX-Tenant: acme\r\n"
. "Connection: close\r\nContent-Length: " . length($body) . "\r\n\r\n$body"
--- sandbox_body eval
"{\"data\": {\t\"action\" : \"core:a\" ,\r\n \"inputs\" : { } "
. ",\"authentication\":null}\n }\n"



=== TEST 27: zapier_action with a proxy_pass that has a URI
--- config
    location = /send-mail {
        zapier_tenant          $http_x_tenant;
        zapier_body            action_run;
        zapier_action          core:mail;
        zapier_authentication  auth1;

        include                $params;
        proxy_pass             http://sandbox/v2/action-runs;
    }
--- request
POST /send-mail
{"to":"a@b.example"}
--- sandbox_request
POST /v2/action-runs
--- sandbox_body
{"data":{"action":"core:mail","authentication":"auth1","inputs":{"to":"a@b.example"}}}
