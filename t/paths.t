# All the rest of the API: with token and limits, and otherwise as it came.

use strict;
use warnings;

use lib 't/lib';
use Zapier 'no_plan';

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(more_headers => 'X-Tenant: acme')
        if !defined $block->more_headers;
    $block->set_value(error_code => 200)
        if !defined $block->error_code && ref $block->request ne 'ARRAY';
});

run_tests();

__DATA__

=== TEST 1: GET, with its query
--- request
GET /v2/actions?app=a-b&query=x%20y+z&limit=5
--- response_body_like: "type":"action"
--- sandbox_request
GET /v2/actions?app=a-b&query=x%20y+z&limit=5
--- sandbox_headers
Authorization: Bearer sandbox-acme
!Content-Length
!Content-Type



=== TEST 2: DELETE, PUT and PATCH, with their bodies untouched
--- request eval
["DELETE /v2/zaps/1", "PUT /v2/zaps/1\n{\"action\":[],\"inputs\":1}",
 "PATCH /v2/zaps/1\n\x00\xff not JSON", "DELETE /v2/zaps/2\n{}"]
--- more_headers
X-Tenant: acme
X-Sandbox: {"status":200,"echo":"body"}
--- error_code eval
[(200) x 4]
--- response_body eval
['', "{\"action\":[],\"inputs\":1}", "\x00\xff not JSON", '{}']
--- sandbox_headers
Authorization: Bearer sandbox-acme



=== TEST 3: POST where bodies are not looked at
--- request
POST /v2/zaps
{"data":[],"data":}
--- more_headers
X-Tenant: acme
X-Sandbox: {"status":201}
Content-Type: text/plain
--- error_code: 201
--- sandbox_body
{"data":[],"data":}
--- sandbox_headers
Content-Type: text/plain
Authorization: Bearer sandbox-acme



=== TEST 4: HEAD
--- request
HEAD /v2/actions
--- response_body:
--- sandbox_request
HEAD /v2/actions
--- sandbox_headers
Authorization: Bearer sandbox-acme



=== TEST 5: GET of a location that rewrites bodies
--- request
GET /v2/action-runs
--- error_code: 404
--- sandbox_headers
Authorization: Bearer sandbox-acme



=== TEST 6: a slash at the end stays, and is not added
--- request eval
["GET /v2/actions/", "GET /v2/actions"]
--- error_code_like eval
['^(?:200|404)$', '^200$']
--- sandbox_request
GET /v2/actions



=== TEST 7: with a slash at the end
--- request
GET /v1/apps/
--- error_code: 404
--- sandbox_request
GET /v1/apps/



=== TEST 8: ids with a colon, written either way, are not encoded again
--- request
GET /v2/actions/core:9QK%3A1/inputs
--- error_code: 404
--- sandbox_request
GET /v2/actions/core:9QK%3A1/inputs



=== TEST 9: and not decoded: an escaped slash, a percent sign, a space
--- request
GET /v2/actions/a%2Fb%25c%20d/inputs?x=%26%3D
--- error_code: 404
--- sandbox_request
GET /v2/actions/a%2Fb%25c%20d/inputs?x=%26%3D



=== TEST 10: client_id of the caller does not reach the upstream
--- request
GET /v2/actions?client_id=evil
--- sandbox_request
GET /v2/actions



=== TEST 11: wherever it stands, however often, however it is written
--- request eval
[map { "GET /v2/actions?$_" } 'client_id=1&a=2', 'a=1&client_id=2',
 'a=1&client_id=2&b=3', 'client_id=1&client_id=2', 'client_id&a=1',
 'a=1&client%5fid=2', '%63lient_id=2&a=1', 'a=1&client_id=2&client%5Fid=3&b=4',
 'client_i%64=', 'a=1&&client_id=2&&b=3']
--- more_headers
X-Tenant: acme
X-Sandbox: {"echo":"request"}
--- error_code eval
[(200) x 10]
--- response_body_like eval
[map { "^GET /v2/actions\Q$_\E\r\n" } '?a=2', '?a=1', '?a=1&b=3', '', '?a=1',
 '?a=1', '?a=1', '?a=1&b=4', '', '?a=1&&&b=3']



=== TEST 12: but only that one
--- request
GET /v2/actions?client_ids=1&xclient_id=2&a=client_id=3&Client_id=4&client_id%5B%5D=5&q=%63
--- sandbox_request
GET /v2/actions?client_ids=1&xclient_id=2&a=client_id=3&Client_id=4&client_id%5B%5D=5&q=%63



=== TEST 13: in a location that rewrites bodies, too
--- request
POST /v2/action-runs?client_id=evil&x=1
{"action":"core:a","inputs":{}}
--- sandbox_request
POST /v2/action-runs?x=1



=== TEST 14: with a proxy_pass that has a URI, and with a rewrite
--- config
    location /api/ {
        zapier_tenant  $http_x_tenant;
        include        $params;
        proxy_pass     http://sandbox/v2/;
    }

    location /old/ {
        zapier_tenant  $http_x_tenant;
        rewrite        ^/old/(.*)$  /v2/$1?from=old  break;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request eval
["GET /api/actions?a=1&client_id=2", "GET /old/actions?client_id=2&b=1"]
--- more_headers
X-Tenant: acme
X-Sandbox: {"echo":"request"}
--- error_code eval
[200, 200]
--- response_body_like eval
["^GET /v2/actions\\?a=1\r\n", "^GET /v2/actions\\?from=old&b=1\r\n"]



=== TEST 15: the caller's Authorization, Cookie and hop-by-hop headers
--- request
GET /v2/actions
--- more_headers
X-Tenant: acme
Authorization: Basic b2Y6Y2FsbGVy
Cookie: session=1
Accept-Encoding: gzip
Accept: application/json
User-Agent: billing/1
--- sandbox_headers
Authorization: Bearer sandbox-acme
Host: api.zapier.com
Accept: application/json
User-Agent: billing/1
!Cookie
!Accept-Encoding



=== TEST 16: two Authorization headers of the caller
--- request
GET /v2/actions
--- more_headers
X-Tenant: acme
Authorization: Bearer one
authorization: Bearer two
--- error_code_like: ^(?:200|400)$
--- no_error_log eval
qr/"Authorization: Bearer (?:one|two)"$/
--- log_level: info



=== TEST 17: links that name the upstream come back naming the gateway
--- config
    location / {
        zapier_tenant  $http_x_tenant;

        include        $params;
        proxy_pass     http://sandbox;

        sub_filter_types  application/json;
        sub_filter_once   off;
        sub_filter        https://api.zapier.com/  $scheme://$http_host/;
    }
--- request
GET /v2/actions?limit=10&offset=10
--- response_body_like chomp
"next":"http://localhost/v2/actions\?limit=10&offset=20","prev":"http://localhost/v2/actions\?limit=10&offset=0"
--- response_body_unlike: api\.zapier\.com



=== TEST 18: and can be followed: the next page is asked for at the gateway
--- config
    location / {
        zapier_tenant  $http_x_tenant;

        include        $params;
        proxy_pass     http://sandbox;

        sub_filter_types  application/json;
        sub_filter_once   off;
        sub_filter        https://api.zapier.com/  /;
    }
--- request eval
["GET /v2/actions?limit=10", "GET /v2/actions?limit=10&offset=10"]
--- error_code eval
[200, 200]
--- response_body_like eval
['"next":"/v2/actions\?limit=10&offset=10"',
 '"next":"/v2/actions\?limit=10&offset=20"']
--- sandbox_request
GET /v2/actions?limit=10&offset=10



=== TEST 19: a redirect is passed on as it is, not followed and not rewritten
--- request
GET /v2/actions
--- more_headers
X-Tenant: acme
X-Sandbox: {"status":302,"headers":{"Location":"https://api.zapier.com/v3/actions"},"body":""}
--- error_code: 302
--- raw_response_headers_like: Location: https://api\.zapier\.com/v3/actions\r\n
--- sandbox_count: 1



=== TEST 20: where the operator intercepts redirects, no token goes along
--- config
    location / {
        zapier_tenant  $http_x_tenant;
        include        $params;
        proxy_pass     http://sandbox;

        proxy_intercept_errors  on;
        error_page  301 302 307 308 = @redirected;
    }

    location @redirected {
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
GET /v2/actions
--- sandbox_script
{"status":307,"headers":{"Location":"https://evil.example/"}}
--- error_code: 401
--- sandbox_count: 2
--- sandbox_headers
!Authorization



=== TEST 21: X-Accel-Redirect of the upstream does not steer this nginx
--- config
    location / {
        zapier_tenant  $http_x_tenant;
        include        $params;
        proxy_pass     http://sandbox;
    }

    location /secret {
        internal;
        return 200 "secret\n";
    }
--- request
GET /v2/actions
--- more_headers
X-Tenant: acme
X-Sandbox: {"body":"plain","headers":{"X-Accel-Redirect":"/secret"}}
--- response_body: plain



=== TEST 22: answers of the upstream pass as they are: status, headers, body
--- request eval
[("GET /v2/x") x 6]
--- more_headers eval
[map { qq(X-Tenant: acme\nX-Sandbox: {"status":$_,"body":"as $_",)
       . qq("headers":{"X-Of-Upstream":"yes"}}) } 204, 400, 403, 404, 409, 500]
--- error_code eval
[204, 400, 403, 404, 409, 500]
--- response_headers eval
[("X-Of-Upstream: yes\n!Proxy-Status") x 6]
--- response_body eval
['', 'as 400', 'as 403', 'as 404', 'as 409', 'as 500']
