# What the module answers itself: the envelope, and what comes with it.

use strict;
use warnings;

use lib 't/lib';
use Zapier 'no_plan';

use JSON::PP qw(decode_json);

# a test that is named by status and code has all that follows from them

add_block_preprocessor(sub {
    my ($block) = @_;
    my ($status, $code) = $block->name =~ /: (\d{3}) (\w+)$/ or return;
    my $title = CORE::join '', map { ucfirst } split /_/, $code;

    $block->set_value(error_code => $status);
    $block->set_value(sandbox_count => 0);
    $block->set_value(more_headers => 'X-Tenant: acme')
        if !defined $block->more_headers;
    $block->set_value(response_body_filters => [sub {
        my $body = shift;
        my $all  = eval { decode_json($body) } // return $body;
        my $e    = $all->{errors}[0];

        return CORE::join ' ', @$e{qw(status code title)},
            $e->{meta}{source}, $e->{detail} =~ /^[A-Z].*\.$/ ? 'said' : 'mute',
            CORE::join ',', sort keys %$e;
    }]);
    $block->set_value(response_body => "$status $code $title GATEWAY said "
                                     . 'code,detail,meta,source,status,title');

    my $headers = "Content-Type: application/json\n"
                . ($block->response_headers // '');
    $headers .= "!WWW-Authenticate\n" if $status != 401;
    $headers .= "!Retry-After\n" if $status != 429 && $status != 503;
    $block->set_value(response_headers => $headers);
});

run_tests();

__DATA__

=== TEST 1: 401 tenant_missing
--- request
GET /v2/actions
--- more_headers
X-Other: 1
--- response_headers
WWW-Authenticate: Bearer realm="zapier"
Proxy-Status: ngx_zapier; error=http_request_denied; details="tenant_missing"



=== TEST 2: 400 tenant_invalid
--- request
GET /v2/actions
--- more_headers
X-Tenant: a b
--- response_headers
Proxy-Status: ngx_zapier; error=http_request_error; details="tenant_invalid"



=== TEST 3: 401 token_missing
--- request
GET /v2/actions
--- redis
SET nothing here
--- response_headers
WWW-Authenticate: Bearer realm="zapier"
Proxy-Status: ngx_zapier; error=http_request_denied; details="token_missing"



=== TEST 4: 401 token_expired
--- request
GET /v2/actions
--- redis
HSET zapier:token:{acme} access_token sandbox-acme expires_at 1700000000
--- response_headers
WWW-Authenticate: Bearer realm="zapier"
Proxy-Status: ngx_zapier; error=http_request_denied; details="token_expired"



=== TEST 5: 403 scope_missing
--- config
    location / {
        zapier_tenant  $http_x_tenant;
        zapier_scope   action:run;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- redis
HSET zapier:token:{acme} access_token sandbox-acme scope "zap action:runs"
--- request
GET /v2/actions
--- response_headers
Proxy-Status: ngx_zapier; error=http_request_denied; details="scope_missing"



=== TEST 6: 415 unsupported_media_type
--- request
POST /v2/action-runs
{}
--- more_headers
X-Tenant: acme
Content-Type: text/plain
--- response_headers
Proxy-Status: ngx_zapier; error=http_request_error; details="unsupported_media_type"



=== TEST 7: 503 store_unavailable
--- http_config
    zapier_redis  redis://127.0.0.1:1;
--- request
GET /v2/actions
--- response_headers
Retry-After: 1
Proxy-Status: ngx_zapier; error=proxy_internal_error; details="store_unavailable"



=== TEST 8: 503 store_unavailable
--- redis
HSET zapier:token:{acme} access_token "two words"
--- request
GET /v2/actions
--- response_headers
Retry-After: 1
Proxy-Status: ngx_zapier; error=proxy_internal_error; details="store_unavailable"



=== TEST 9: a 429 of ours, with the scope and the time to wait
--- http_config
    zapier_limit_zone  few.a-b_1  key=k  limit=1  window=1000s  mirror=off;
--- config
    location / {
        zapier_tenant  $http_x_tenant;
        zapier_limit   few.a-b_1;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request eval
[("GET /v2/actions") x 2]
--- more_headers
X-Tenant: acme
--- error_code eval
[200, 429]
--- raw_response_headers_like eval
["X-RateLimit-Remaining: 0\r\n",
 "Proxy-Status: ngx_zapier; error=http_request_denied; "
 . "details=\"rate_limited\"\r\nX-RateLimit-Limit: 1\r\n"
 . "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: \\d+\r\n"
 . "Retry-After: (?:999|1000)\r\n"]
--- response_body_like eval
['"type":"action"',
 '^\{"errors":\[\{"status":429,"code":"rate_limited","title":"RateLimited",'
 . '"detail":"[^"]+\.","source":null,"meta":\{"source":"GATEWAY",'
 . '"scope":"few\.a-b_1","retry_after":(?:999|1000)\}\}\]\}$']
--- sandbox_count: 1



=== TEST 10: HEAD gets the headers and no body
--- request
HEAD /v2/actions
--- error_code: 401
--- response_headers_like
Content-Type: application/json
Content-Length: 1\d\d
WWW-Authenticate: Bearer realm="zapier"
--- response_body:
--- sandbox_count: 0



=== TEST 11: the connection is kept after an error, also one before the body
--- pipelined_requests eval
["GET /v2/none", "POST /v2/action-runs\n" . 'x' x 5000,
 "POST /v2/action-runs\n{\"action\":\"core:a\",\"inputs\":{\"a\":[}}",
 "POST /v2/action-runs\n{\"action\":\"core:a\",\"inputs\":{}}"]
--- more_headers eval
['X-Other: 1', "X-Tenant: acme\nContent-Type: text/plain",
 'X-Tenant: acme', 'X-Tenant: acme']
--- error_code eval
[401, 415, 400, 200]
--- sandbox_count: 1



=== TEST 12: HTTP/1.0
--- request
GET /v2/actions HTTP/1.0
--- error_code: 401
--- response_body_like: "code":"tenant_missing"
--- sandbox_count: 0



=== TEST 13: not by way of error_page
--- config
    location / {
        zapier_tenant  $http_x_tenant;
        include        $params;
        proxy_pass     http://sandbox;
        error_page     401 = /other;
        proxy_intercept_errors  on;
    }

    location = /other {
        return 200 "other\n";
    }
--- request
GET /v2/actions
--- error_code: 401
--- response_body_like: "code":"tenant_missing"
--- sandbox_count: 0



=== TEST 14: the operator's headers come along with "always"
--- config
    location / {
        zapier_tenant  $http_x_tenant;
        add_header     X-Gateway  g1 always;
        add_header     X-Fine     yes;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
GET /v2/actions
--- error_code: 401
--- response_headers
X-Gateway: g1
!X-Fine



=== TEST 15: below 500 it is logged as info
--- request
GET /v2/actions
--- more_headers
X-Tenant: {
--- error_code: 400
--- error_log eval
qr/\[info\].* zapier: refused with 400 "tenant_invalid", tenant "",/
--- no_error_log
[error]



=== TEST 16: from 500 on as an error
--- http_config
    zapier_redis  redis://127.0.0.1:1;
--- request
GET /v2/actions
--- more_headers
X-Tenant: acme
--- error_code: 503
--- error_log eval
qr/\[error\].* zapier: refused with 503 "store_unavailable", tenant "acme",/



=== TEST 17: a stranger before satisfy any opens nothing and spends nothing
--- http_config
    zapier_limit_zone  z  key=k  limit=1  window=1000s;
--- config
    location / {
        satisfy               any;
        deny                  all;
        auth_basic            "gateway";
        auth_basic_user_file  $TEST_NGINX_SERVROOT/html/users;

        zapier_tenant  $http_x_tenant;
        zapier_limit   z;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- user_files
>>> users
billing:{PLAIN}secret
--- request eval
[("GET /v2/actions") x 5]
--- more_headers eval
["X-Tenant: acme", "X-Tenant: acme\nAuthorization: Basic YmlsbGluZzp3cm9uZw==",
 "X-Tenant: {", "X-Tenant: acme\nAuthorization: Basic YmlsbGluZzpzZWNyZXQ=",
 "X-Tenant: acme\nAuthorization: Basic YmlsbGluZzpzZWNyZXQ="]
--- error_code eval
[401, 401, 401, 200, 429]
--- response_headers eval
['WWW-Authenticate: Basic realm="gateway"',
 'WWW-Authenticate: Basic realm="gateway"',
 'WWW-Authenticate: Basic realm="gateway"',
 ('Content-Type: application/json') x 2]
--- sandbox_count: 1
--- sandbox_headers
Authorization: Bearer sandbox-acme



=== TEST 18: whom the address admits goes on to a 401 of ours, not to a login
--- config
    location / {
        satisfy               any;
        allow                 127.0.0.1;
        deny                  all;
        auth_basic            "gateway";
        auth_basic_user_file  $TEST_NGINX_SERVROOT/html/users;

        zapier_tenant  $http_x_tenant;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- user_files
>>> users
billing:{PLAIN}secret
--- request eval
["GET /v2/actions", "GET /v2/actions"]
--- more_headers eval
['X-Tenant: acme', 'X-Tenant: none']
--- error_code eval
[200, 401]
--- response_headers eval
['!WWW-Authenticate', 'WWW-Authenticate: Bearer realm="zapier"']
--- sandbox_count: 1



=== TEST 19: whom auth_request refuses spends nothing
--- http_config
    zapier_limit_zone  z  key=k  limit=1  window=1000s;
--- config
    location / {
        auth_request   /check;
        zapier_tenant  $http_x_tenant;
        zapier_limit   z;
        include        $params;
        proxy_pass     http://sandbox;
    }

    location = /check {
        internal;
        if ($http_x_pass = "") {
            return 403;
        }
        return 204;
    }
--- request eval
[("GET /v2/actions") x 3]
--- more_headers eval
["X-Tenant: acme", "X-Tenant: acme", "X-Tenant: acme\nX-Pass: 1"]
--- error_code eval
[403, 403, 200]
--- sandbox_count: 1



=== TEST 20: error_page after a body that was not read to its end: not run
--- config
    location / {
        client_max_body_size  50;
        zapier_tenant  $http_x_tenant;
        
        include        $params;
        proxy_pass     http://sandbox;
        error_page     413 = @run;
    }

    location @run {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- raw_request eval
["POST /v2/action-runs HTTP/1.1\r\nHost: a\r\nX-Tenant: acme\r\n"
 . "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
 . "1f\r\n{\"action\":\"core:a\",\"inputs\":{}}\r\n",
 "40\r\n" . 'x' x 64 . "\r\n0\r\n\r\n"]
--- raw_request_middle_delay: 0.2
--- error_code: 400
--- response_body_like: "code":"parse_error".*"The body was not received as a whole\."
--- sandbox_count: 0



=== TEST 21: the same with the status of before, from a location of our own
--- config
    location / {
        client_max_body_size  50;
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        include        $params;
        proxy_pass     http://sandbox;
        error_page     413 @run;
    }

    location @run {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- raw_request eval
["POST /v2/action-runs HTTP/1.1\r\nHost: a\r\nX-Tenant: acme\r\n"
 . "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
 . "1f\r\n{\"action\":\"core:a\",\"inputs\":{}}\r\n",
 "40\r\n" . 'x' x 64 . "\r\n0\r\n\r\n"]
--- raw_request_middle_delay: 0.2
--- error_code: 413
--- response_body_like: "status":413,"code":"body_too_large"
--- sandbox_count: 0



=== TEST 22: the same when it is sent on while it comes in
--- http_config
    upstream nobody {
        server  127.0.0.1:1;
    }
--- config
    location / {
        proxy_request_buffering  off;
        proxy_http_version  1.1;
        proxy_pass     http://nobody;
        error_page     502 = @run;
    }

    location @run {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- raw_request eval
["POST /v2/action-runs HTTP/1.1\r\nHost: a\r\nX-Tenant: acme\r\n"
 . "Connection: close\r\nContent-Length: 1031\r\n\r\n"
 . '{"action":"core:a","inputs":{}}', ' ' x 1000]
--- raw_request_middle_delay: 0.2
--- error_code: 400
--- response_body_like: "code":"parse_error"
--- sandbox_count: 0



=== TEST 23: nor one that nginx has thrown away
--- config
    location / {
        client_max_body_size  10;
        proxy_pass     http://sandbox;
        error_page     413 = @run;
    }

    location @run {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        zapier_action  core:a;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
POST /v2/action-runs
{"action":"core:a","inputs":{}}
--- more_headers
X-Tenant: acme
--- error_code: 400
--- response_body_like: "code":"parse_error"
--- sandbox_count: 0



=== TEST 24: or is about to throw away
--- config
    location / {
        client_max_body_size  10;
        proxy_pass     http://sandbox;
        error_page     413 = @run;
    }

    location @run {
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        zapier_action  core:a;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- raw_request eval
["POST /v2/action-runs HTTP/1.1\r\nHost: a\r\nX-Tenant: acme\r\n"
 . "Connection: close\r\nContent-Length: 60031\r\n\r\n"
 . '{"action":"core:a","inputs":{}}', ' ' x 60000]
--- raw_request_middle_delay: 0.2
--- error_code: 400
--- response_body_like: "code":"parse_error"
--- sandbox_count: 0



=== TEST 25: nginx's own 413 in the same form, as docs/errors.md shows it
--- config
    location / {
        client_max_body_size  10;
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run;
        include        $params;
        proxy_pass     http://sandbox;
        error_page     413 @too_large;
    }

    location @too_large {
        default_type  application/json;
        return  413  '{"errors":[{"status":413,"code":"body_too_large","title":"BodyTooLarge","detail":"The body is larger than this gateway takes.","source":null,"meta":{"source":"GATEWAY"}}]}';
    }
--- request
POST /v2/action-runs
{"action":"core:a","inputs":{}}
--- more_headers
X-Tenant: acme
--- error_code: 413
--- response_headers
Content-Type: application/json
--- response_body_like: ^\{"errors":\[\{"status":413,"code":"body_too_large",
--- sandbox_count: 0
