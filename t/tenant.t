# Which tenant a request is for, and what is said if none can be told.

use strict;
use warnings;

use lib 't/lib';
use Zapier 'no_plan';

run_tests();

__DATA__

=== TEST 1: no tenant is 401 tenant_missing, and no call is made
--- request
GET /v2/actions
--- error_code: 401
--- response_headers
Content-Type: application/json
WWW-Authenticate: Bearer realm="zapier"
Proxy-Status: ngx_zapier; error=http_request_denied; details="tenant_missing"
--- response_body
{"errors":[{"status":401,"code":"tenant_missing","title":"TenantMissing","detail":"The request does not tell which tenant it is for.","source":null,"meta":{"source":"GATEWAY"}}]}
--- sandbox_count: 0



=== TEST 2: an empty one is missing, too
--- request
GET /v2/actions
--- more_headers eval
"X-Tenant: "
--- error_code: 401
--- response_body_like: "code":"tenant_missing"
--- sandbox_count: 0



=== TEST 3: names that are not allowed are 400 tenant_invalid
--- redis
HSET zapier:token:{acme} access_token sandbox-acme
--- request eval
[("GET /v2/actions") x 9]
--- more_headers eval
[map { "X-Tenant: $_" } 'ac me', 'ac/me', '{acme}', 'acme}', 'acme*', '$acme',
     "acm\xc3\xa9", 'acme"', 'a' x 129]
--- error_code eval
[(400) x 9]
--- response_body_like eval
[('^\{"errors":\[\{"status":400,"code":"tenant_invalid","title":"TenantInvalid"'
  . '.*"source":null') x 9]
--- sandbox_count: 0



=== TEST 4: a name that is not allowed is not repeated in the answer or the log
--- request
GET /v2/actions
--- more_headers
X-Tenant: {spoof}
--- log_level: info
--- error_code: 400
--- response_body_unlike: spoof
--- no_error_log
spoof
--- sandbox_count: 0



=== TEST 5: all characters that are allowed, and 128 of them
--- redis eval
"HSET zapier:token:{aZ09._\@:-} access_token sandbox-1\n"
. "HSET zapier:token:{" . 'a' x 128 . "} access_token sandbox-2"
--- request eval
[("GET /v2/actions") x 2]
--- more_headers eval
['X-Tenant: aZ09._@:-', 'X-Tenant: ' . 'a' x 128]
--- error_code eval
[200, 200]
--- sandbox_headers
Authorization: Bearer sandbox-2
--- sandbox_count: 2



=== TEST 6: tenants whose names begin alike do not collide (Traefik #11753)
--- redis
HSET zapier:token:{acme} access_token sandbox-acme
--- request eval
[("GET /v2/actions") x 4]
--- more_headers eval
['X-Tenant: acme', 'X-Tenant: acme.', 'X-Tenant: acm', 'X-Tenant: ACME']
--- error_code eval
[200, 401, 401, 401]
--- sandbox_count: 1



=== TEST 7: the tenant by the name of the location
--- config
    location ~ ^/t/(?<name>[^/]+)/ {
        zapier_tenant  $name;
        rewrite        ^/t/[^/]+(/.*)$  $1  break;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
GET /t/acme/v2/actions?limit=5
--- error_code: 200
--- sandbox_request
GET /v2/actions?limit=5
--- sandbox_headers
Authorization: Bearer sandbox-acme



=== TEST 8: a name that is decoded from the URI is checked as it is then
--- config
    location ~ ^/t/(?<name>[^/]+)/ {
        zapier_tenant  $name;
        rewrite        ^/t/[^/]+(/.*)$  $1  break;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request eval
["GET /t/acme%7D/v2/actions", "GET /t/%61cme/v2/actions"]
--- error_code eval
[400, 200]
--- sandbox_count: 1



=== TEST 9: a map that lists who may call
--- http_config
    map $http_x_service $tenant {
        billing  acme;
        default  "";
    }
--- config
    location / {
        zapier_tenant  $tenant;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request eval
[("GET /v2/actions") x 2]
--- more_headers eval
['X-Service: billing', 'X-Service: other']
--- error_code eval
[200, 401]
--- sandbox_count: 1



=== TEST 10: set in http, for every location
--- http_config
    zapier_tenant  acme;
--- config
    location / {
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
GET /v2/actions
--- error_code: 200
--- sandbox_headers
Authorization: Bearer sandbox-acme



=== TEST 11: off in a location: no token, no check, no quota, no headers
--- http_config
    zapier_limit_zone  z  key=k  limit=1  window=60s;
--- config
    zapier_tenant  acme;
    zapier_limit   z;

    location / {
        zapier_tenant  off;
        add_header     X-Decision  "[$zapier_tenant$zapier_decision]";
        include        $params;
        proxy_pass     http://sandbox/?echo=headers;
    }
--- request eval
[("GET /") x 2]
--- more_headers
Authorization: Bearer of-the-caller
--- error_code eval
[200, 200]
--- response_headers eval
[("X-Decision: []\n!X-RateLimit-Limit") x 2]
--- sandbox_headers
!Authorization



=== TEST 12: the tenant of the first of two headers that nginx joins is no name
--- request
GET /v2/actions
--- more_headers
X-Tenant: acme
X-Tenant: other
--- skip_nginx: 3: < 1.23.0
--- error_code: 400
--- response_body_like: "code":"tenant_invalid"
--- sandbox_count: 0



=== TEST 13: before the body: what has no tenant is not read
--- request
POST /v2/action-runs
{
--- error_code: 401
--- response_body_like: "code":"tenant_missing"
--- sandbox_count: 0



=== TEST 14: a name of several parts, and a variable in braces
--- config
    location /parts/ {
        zapier_tenant  ac${http_x_part}e;
        include        $params;
        proxy_pass     http://sandbox/v2/;
    }

    location /braces/ {
        zapier_tenant  ${http_x_part};
        include        $params;
        proxy_pass     http://sandbox/v2/;
    }
--- request eval
["GET /parts/actions", "GET /braces/actions", "GET /braces/actions"]
--- more_headers eval
["X-Part: m", "X-Part: acme", "X-Other: acme"]
--- error_code eval
[200, 200, 401]
--- sandbox_headers
Authorization: Bearer sandbox-acme
--- sandbox_count: 2



=== TEST 15: a variable that is set anew on the way is taken as it is in the end
--- config
    set  $who  other;

    location / {
        set            $who  acme;
        zapier_tenant  $who;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
GET /v2/actions
--- error_code: 200
--- sandbox_headers
Authorization: Bearer sandbox-acme
