# The variables, in answers, in logs and where they must be empty.

use strict;
use warnings;

use lib 't/lib';
use Zapier 'no_plan';

run_tests();

__DATA__

=== TEST 1: $zapier_tenant, also before the module has looked at it
--- http_config
    zapier_redis  unix:$TEST_NGINX_REDIS_SOCKET;
--- config
    location / {
        set            $early  "[$zapier_tenant]";
        zapier_tenant  $http_x_tenant;
        add_header     X-Early   $early always;
        add_header     X-Tenant  "[$zapier_tenant]" always;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request eval
[("GET /v2/actions") x 3]
--- more_headers eval
['X-Tenant: acme', 'X-Tenant: a{b', 'X-Other: 1']
--- error_code eval
[200, 400, 401]
--- response_headers eval
["X-Early: [acme]\nX-Tenant: [acme]", "X-Early: []\nX-Tenant: []",
 "X-Early: []\nX-Tenant: []"]



=== TEST 2: $zapier_token_status
--- config
    location / {
        zapier_tenant  $http_x_tenant;
        add_header     X-Token  $zapier_token_status always;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request eval
[("GET /v2/actions") x 4]
--- more_headers eval
['X-Tenant: acme', 'X-Tenant: acme', 'X-Tenant: none', 'X-Tenant: {']
--- error_code eval
[200, 200, 401, 400]
--- response_headers eval
['X-Token: MISS', 'X-Token: HIT', 'X-Token: NONE', 'X-Token: NONE']



=== TEST 3: $zapier_limit_status, _scope, _remaining and _reset
--- http_config
    zapier_limit_zone  wide    key=k  limit=9  window=1000s;
    zapier_limit_zone  narrow  key=k  limit=2  window=1000s;
--- config
    location / {
        zapier_tenant  $http_x_tenant;
        zapier_limit   wide narrow;
        add_header     X-Limit  $zapier_limit_status always;
        add_header     X-Scope  $zapier_limit_scope:$zapier_limit_remaining always;
        add_header     X-Reset  $zapier_limit_reset always;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request eval
[("GET /v2/actions") x 3]
--- more_headers
X-Tenant: acme
--- error_code eval
[200, 200, 429]
--- response_headers_like eval
["X-Limit: PASSED\nX-Scope: narrow:1\nX-Reset: \\d{10,}",
 "X-Limit: PASSED\nX-Scope: narrow:0\nX-Reset: \\d{10,}",
 "X-Limit: REJECTED\nX-Scope: narrow:0\nX-Reset: \\d{10,}"]



=== TEST 4: zapier_limit off is BYPASS
--- config
    location / {
        zapier_tenant  $http_x_tenant;
        zapier_limit   off;
        add_header     X-Limit  "$zapier_limit_status [$zapier_limit_scope$zapier_limit_remaining$zapier_limit_reset]";
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
GET /v2/actions
--- more_headers
X-Tenant: acme
--- response_headers
X-Limit: BYPASS []
!X-RateLimit-Limit
!X-RateLimit-Remaining



=== TEST 5: $zapier_error, which answers of the upstream do not set
--- config
    location / {
        zapier_tenant  $http_x_tenant;
        add_header     X-Error  "[$zapier_error]" always;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request eval
[("GET /v2/actions") x 2]
--- more_headers eval
['X-Tenant: none', qq(X-Tenant: acme\nX-Sandbox: {"status":401})]
--- error_code eval
[401, 401]
--- response_headers eval
['X-Error: [token_missing]', 'X-Error: []']



=== TEST 6: $zapier_redis_time, only of those that asked
--- config
    location / {
        zapier_tenant  $http_x_tenant;
        add_header     X-Time  "[$zapier_redis_time]";
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request eval
[("GET /v2/actions") x 2]
--- more_headers
X-Tenant: acme
--- response_headers_like eval
['X-Time: \[0\.\d\d\d\]', 'X-Time: \[\]']



=== TEST 7: $zapier_decision in the access log, one JSON object a line
--- http_config
    log_format  decision  escape=none  '$status $zapier_decision';
--- config
    location / {
        zapier_tenant  $http_x_tenant;
        access_log     logs/access.log  decision;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
GET /v2/actions
--- more_headers
X-Tenant: acme
--- error_code: 200
--- access_log eval
qr/^200 \{"tenant":"acme","token":"MISS","limit":"PASSED",(?:"scope":"tenant",.*)?"redis_ms":\d+\}$/



=== TEST 8: with its scope and the code of an error
--- http_config
    log_format  decision  escape=none  '$status $zapier_decision';
    zapier_limit_zone  z  key=k  limit=1  window=1000s  weight=2;
--- config
    location / {
        zapier_tenant  $http_x_tenant;
        zapier_limit   z;
        access_log     logs/access.log  decision;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
GET /v2/actions
--- more_headers
X-Tenant: acme
--- error_code: 429
--- access_log eval
qr/^429 \{"tenant":"acme","token":"\w+","limit":"REJECTED","scope":"z","remaining":\d,"reset":\d+,(?:"redis_ms":\d+,)?"error":"rate_limited"\}$/



=== TEST 9: a location without the module has no values
--- config
    location / {
        zapier_tenant  off;
        return 200 "[$zapier_tenant$zapier_authorization$zapier_token_status$zapier_limit_status$zapier_limit_scope$zapier_limit_remaining$zapier_limit_reset$zapier_error$zapier_redis_time$zapier_decision]\n";
    }
--- request
GET /
--- more_headers
X-Tenant: acme
--- response_body
[]



=== TEST 10: $zapier_authorization is empty before the request is admitted
--- config
    location / {
        set            $early  "[$zapier_authorization]";
        zapier_tenant  $http_x_tenant;
        include        $params;
        proxy_set_header  X-Early  $early;
        proxy_pass     http://sandbox;
    }
--- request
GET /v2/actions
--- more_headers
X-Tenant: acme
--- sandbox_headers
X-Early: []
Authorization: Bearer sandbox-acme



=== TEST 11: and in the access log
--- http_config
    log_format  token  '$status [$zapier_authorization]';
--- config
    location / {
        zapier_tenant  $http_x_tenant;
        access_log     logs/access.log  token;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
GET /v2/actions
--- more_headers
X-Tenant: acme
--- error_code: 200
--- access_log
200 [-]
--- sandbox_headers
Authorization: Bearer sandbox-acme



=== TEST 12: and in the access log of a request without an upstream
--- http_config
    log_format  token  '$status [$zapier_authorization]';
--- config
    location / {
        zapier_tenant  $http_x_tenant;
        access_log     logs/access.log  token;
        include        $params;
        proxy_pass     http://127.0.0.1:1;
    }
--- request
GET /v2/actions
--- more_headers
X-Tenant: acme
--- error_code: 502
--- access_log
502 [-]



=== TEST 13: and in a location that error_page leads to
--- config
    location / {
        zapier_tenant  $http_x_tenant;
        include        $params;
        proxy_pass     http://sandbox;
        proxy_intercept_errors  on;
        error_page  503 = /other;
    }

    location = /other {
        include     $params;
        proxy_set_header  X-Seen  "[$zapier_authorization]";
        proxy_pass  http://sandbox/?echo=headers;
    }
--- request
GET /v2/actions
--- more_headers
X-Tenant: acme
--- sandbox_script
{"status":503,"times":1}
--- error_code: 200
--- response_body_like: X-Seen: \[\]
--- response_body_unlike: sandbox-acme
--- sandbox_count: 2



=== TEST 14: and in a named one
--- config
    location / {
        zapier_tenant  $http_x_tenant;
        include        $params;
        proxy_pass     http://sandbox;
        proxy_intercept_errors  on;
        error_page  503 = @other;
    }

    location @other {
        return 200 "[$zapier_authorization] $zapier_tenant\n";
    }
--- request
GET /v2/actions
--- more_headers
X-Tenant: acme
--- sandbox_script
{"status":503}
--- error_code: 200
--- response_body
[] acme



=== TEST 15: and for a mirror, which costs no quota either
--- http_config
    zapier_limit_zone  z  key=k  limit=1  window=1000s;
--- config
    location /v2/ {
        zapier_tenant  $http_x_tenant;
        zapier_limit   z;
        mirror         /mirror;
        include        $params;
        proxy_pass     http://sandbox;
    }

    location = /mirror {
        internal;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
GET /v2/actions
--- more_headers
X-Tenant: acme
--- error_code: 200
--- response_headers
X-RateLimit-Remaining: 0
--- response_body_filters eval
sub {
    CORE::join ', ', sort map {
        "$_->{path} " . ($_->{headers}{Authorization}[0] // 'nothing')
    } main::zapier_sandbox()->requests(wait => 2)
}
--- response_body chomp
/mirror nothing, /v2/actions Bearer sandbox-acme
--- sandbox_count: 2



=== TEST 16: and for the subrequest of auth_request
--- config
    location / {
        auth_request      /check;
        auth_request_set  $seen  $upstream_http_x_seen;
        add_header        X-Seen  $seen;

        zapier_tenant  $http_x_tenant;
        include        $params;
        proxy_pass     http://sandbox;
    }

    location = /check {
        internal;
        zapier_tenant     $http_x_tenant;
        include           $params;
        proxy_pass_request_body  off;
        proxy_set_header  Content-Length  "";
        proxy_set_header  X-Sent  "[$zapier_authorization]";
        proxy_pass        http://127.0.0.1:$TEST_NGINX_SERVER_PORT/seen;
    }

    location = /seen {
        add_header  X-Seen  "$http_x_sent[$http_authorization]";
        return 204;
    }
--- request
GET /v2/actions
--- more_headers
X-Tenant: acme
--- error_code: 200
--- response_headers
X-Seen: [][]
--- sandbox_headers
Authorization: Bearer sandbox-acme
