# Media types and sizes that zapier_body action_run takes.

use strict;
use warnings;

use lib 't/lib';
use Zapier 'no_plan';

run_tests();

__DATA__

=== TEST 1: JSON by any of its names, and no name
--- request eval
[("POST /v2/action-runs\n{\"action\":\"core:a\",\"inputs\":{}}") x 10]
--- more_headers eval
[map { "X-Tenant: acme\n$_" }
 'Content-Type: application/json', 'Content-Type: Application/JSON',
 'Content-Type: application/json; charset=utf-8',
 'Content-Type: application/json;charset=utf-8',
 'Content-Type: application/json ; x="a;b"',
 'Content-Type: application/vnd.api+json',
 'Content-Type: application/problem+JSON; q=1',
 'content-type: application/json', 'X-Other: 1', 'Content-Type:']
--- error_code eval
[(200) x 10]
--- sandbox_headers
Content-Type: application/json
--- sandbox_count: 10



=== TEST 2: the upstream is told application/json whatever the caller said
--- request
POST /v2/action-runs
{"action":"core:a","inputs":{}}
--- more_headers
X-Tenant: acme
Content-Type: application/vnd.api+json; charset=utf-8
--- error_code: 200
--- sandbox_headers
Content-Type: application/json
Content-Length: 62



=== TEST 3: all else is 415
--- request eval
[("POST /v2/action-runs\n{\"action\":\"core:a\",\"inputs\":{}}") x 9]
--- more_headers eval
[map { "X-Tenant: acme\nContent-Type: $_" }
 'text/plain', 'application/x-www-form-urlencoded', 'application/jsonp',
 'text/json', '+json', 'application/xml; x=+json', 'application/json+xml',
 'application', 'application/json, text/plain']
--- error_code eval
[(415) x 9]
--- response_body_like eval
[('^\{"errors":\[\{"status":415,"code":"unsupported_media_type",'
  . '"title":"UnsupportedMediaType".*"source":null,'
  . '"meta":\{"source":"GATEWAY"\}') x 9]
--- response_headers eval
[('Proxy-Status: ngx_zapier; error=http_request_error; '
  . 'details="unsupported_media_type"') x 9]
--- sandbox_count: 0



=== TEST 4: two Content-Type, even the same (APISIX request-validation)
--- request eval
[("POST /v2/action-runs\n{\"action\":\"core:a\",\"inputs\":{}}") x 2]
--- more_headers eval
["X-Tenant: acme\nContent-Type: application/json\nContent-Type: text/plain",
 "X-Tenant: acme\nContent-Type: application/json\n"
 . "content-type: application/json"]
--- error_code_like eval
['^(?:400|415)$', '^(?:400|415)$']
--- sandbox_count: 0



=== TEST 5: a body that is encoded
--- request eval
[("POST /v2/action-runs\n{\"action\":\"core:a\",\"inputs\":{}}") x 4]
--- more_headers eval
[map { "X-Tenant: acme\nContent-Encoding: $_" }
 'gzip', 'br', 'identity, gzip', 'Identity']
--- error_code eval
[415, 415, 415, 200]
--- sandbox_count: 1



=== TEST 6: the media type is not looked at where bodies are not
--- request
POST /v2/other
a=b
--- more_headers
X-Tenant: acme
X-Sandbox: {"status":200}
Content-Type: application/x-www-form-urlencoded
--- error_code: 200
--- sandbox_body
a=b
--- sandbox_headers
Content-Type: application/x-www-form-urlencoded



=== TEST 7: as large as max=, and a byte more
--- config
    location = /v2/action-runs {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run  max=1k;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request eval
[map { "POST /v2/action-runs\n{\"action\":\"core:a\",\"inputs\":{\"a\":\""
       . 'x' x ($_ - 37) . "\"}}" } 1024, 1025, 9999]
--- more_headers
X-Tenant: acme
--- error_code eval
[200, 413, 413]
--- response_body_like eval
['"type":"run"', ('^\{"errors":\[\{"status":413,"code":"body_too_large",'
                  . '"title":"BodyTooLarge"') x 2]
--- sandbox_count: 1



=== TEST 8: the same without a length in front
--- config
    location = /v2/action-runs {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run  max=1k;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- raw_request eval
my $head = "POST /v2/action-runs HTTP/1.1\r\nHost: localhost\r\n"
         . "X-Tenant: acme\r\nTransfer-Encoding: chunked\r\n";

[map { my $body = '{"action":"core:a","inputs":{"a":"'
                  . 'x' x ($_ - 37) . '"}}';
       $head . "Connection: close\r\n\r\n" . sprintf("%x\r\n", length $body)
       . "$body\r\n0\r\n\r\n" } 1025]
--- error_code: 413
--- response_body_like: "code":"body_too_large"
--- sandbox_count: 0



=== TEST 9: a body that is too large and is no JSON is too large
--- config
    location = /v2/action-runs {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run  max=100;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request eval
"POST /v2/action-runs\n" . 'x' x 101
--- more_headers
X-Tenant: acme
--- error_code: 413
--- response_body_like: "code":"body_too_large"
--- sandbox_count: 0



=== TEST 10: the default is 1m
--- config
    location = /v2/action-runs {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        include        $params;
        proxy_pass     http://127.0.0.1:$TEST_NGINX_SERVER_PORT/taken;
    }

    location = /taken {
        return 204;
    }
--- request eval
[map { "POST /v2/action-runs\n{\"action\":\"core:a\",\"inputs\":{\"a\":\""
       . 'x' x ($_ - 37) . "\"}}" } 1048576, 1048577]
--- more_headers
X-Tenant: acme
--- error_code eval
[204, 413]



=== TEST 11: client_max_body_size has the first word
--- config
    location = /v2/action-runs {
        client_max_body_size  10;

        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
POST /v2/action-runs
{"action":"core:a","inputs":{}}
--- more_headers
X-Tenant: acme
--- error_code: 413
--- response_headers
!Proxy-Status
--- error_log
client intended to send too large body: 31 bytes
--- sandbox_count: 0
