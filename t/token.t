# Which token a tenant's calls carry, and when there is none.

use strict;
use warnings;

use lib 't/lib';
use Zapier 'no_plan';

run_tests();

__DATA__

=== TEST 1: the tenant's token goes to the upstream
--- request
GET /v2/actions?app=x
--- more_headers
X-Tenant: acme
--- error_code: 200
--- sandbox_headers
Authorization: Bearer sandbox-acme



=== TEST 2: every tenant has its own
--- redis
HSET zapier:token:{acme} access_token sandbox-acme
HSET zapier:token:{acme.eu} access_token sandbox-other
--- request
GET /v2/actions?app=x
--- more_headers
X-Tenant: acme.eu
--- error_code: 200
--- sandbox_headers
Authorization: Bearer sandbox-other



=== TEST 3: no record is 401 token_missing, and no call is made
--- redis
HSET zapier:token:{other} access_token sandbox-other
--- request
GET /v2/actions?app=x
--- more_headers
X-Tenant: acme
--- error_code: 401
--- response_body_like: "code":"token_missing"
--- sandbox_count: 0



=== TEST 4: an empty token is a missing one
--- redis
HSET zapier:token:{acme} access_token "" scope action:run
--- request
GET /v2/actions?app=x
--- more_headers
X-Tenant: acme
--- error_code: 401
--- response_body_like: "code":"token_missing"
--- sandbox_count: 0



=== TEST 5: an expired token is never sent (envoy #44674)
--- redis
HSET zapier:token:{acme} access_token sandbox-acme expires_at 1700000000
--- request
GET /v2/actions?app=x
--- more_headers
X-Tenant: acme
--- error_code: 401
--- response_body_like: "code":"token_expired"
--- sandbox_count: 0



=== TEST 6: an expiry ahead is fine
--- redis
HSET zapier:token:{acme} access_token sandbox-acme expires_at 4102444800
--- request
GET /v2/actions?app=x
--- more_headers
X-Tenant: acme
--- error_code: 200



=== TEST 7: an expiry that is no time fails closed
--- redis
HSET zapier:token:{acme} access_token sandbox-acme expires_at soon
--- request
GET /v2/actions?app=x
--- more_headers
X-Tenant: acme
--- error_code: 503
--- response_body_like: "code":"store_unavailable"
--- error_log eval
qr/token record of tenant "acme" has a wrong "expires_at"/
--- sandbox_count: 0



=== TEST 8: an expiry beyond 2^53 fails closed (kjdev: 2^53 overflow)
--- redis
HSET zapier:token:{acme} access_token sandbox-acme expires_at 99999999999999999999
--- request
GET /v2/actions?app=x
--- more_headers
X-Tenant: acme
--- error_code: 503
--- sandbox_count: 0



=== TEST 9: a token that could end a header is refused and not logged
--- redis eval
qq{HSET zapier:token:{acme} access_token "sandbox-acme\\r\\nX-Evil: 1"}
--- request
GET /v2/actions?app=x
--- more_headers
X-Tenant: acme
--- error_code: 503
--- no_error_log
X-Evil
--- sandbox_count: 0



=== TEST 10: a key of another type is said so
--- redis
SET zapier:token:{acme} sandbox-acme
--- request
GET /v2/actions?app=x
--- more_headers
X-Tenant: acme
--- error_code: 503
--- response_body_like: "code":"store_unavailable"
--- error_log
is not a hash
--- no_error_log
sandbox-acme
--- sandbox_count: 0



=== TEST 11: token_type of the record
--- redis
HSET zapier:token:{acme} access_token sandbox-acme token_type bearer
--- request
GET /v2/actions?app=x
--- more_headers
X-Tenant: acme
--- error_code: 200
--- sandbox_headers
Authorization: Bearer sandbox-acme



=== TEST 12: a scope that the location needs and the token has
--- config
location / {
    zapier_tenant $http_x_tenant;
    zapier_scope  action:run;
    include       $params;
    proxy_pass    http://sandbox;
}
--- redis
HSET zapier:token:{acme} access_token sandbox-acme scope "zap action:run profile"
--- request
GET /v2/actions?app=x
--- more_headers
X-Tenant: acme
--- error_code: 200



=== TEST 13: a scope that the token lacks is 403 before any call
--- config
location / {
    zapier_tenant $http_x_tenant;
    zapier_scope  action:run;
    include       $params;
    proxy_pass    http://sandbox;
}
--- redis
HSET zapier:token:{acme} access_token sandbox-acme scope "zap action:runner xaction:run"
--- request
GET /v2/actions?app=x
--- more_headers
X-Tenant: acme
--- error_code: 403
--- response_body_like: "code":"scope_missing"
--- sandbox_count: 0



=== TEST 14: a record without scopes is not judged
--- config
location / {
    zapier_tenant $http_x_tenant;
    zapier_scope  action:run;
    include       $params;
    proxy_pass    http://sandbox;
}
--- request
GET /v2/actions?app=x
--- more_headers
X-Tenant: acme
--- error_code: 200



=== TEST 15: another prefix
--- http_config
zapier_redis unix:$TEST_NGINX_REDIS_SOCKET prefix=other:;
--- redis
HSET zapier:token:{acme} access_token sandbox-wrong
HSET other:token:{acme} access_token sandbox-right
--- request
GET /v2/actions?app=x
--- more_headers
X-Tenant: acme
--- error_code: 200
--- sandbox_headers
Authorization: Bearer sandbox-right



=== TEST 16: another database
--- http_config
zapier_redis redis://127.0.0.1:$TEST_NGINX_REDIS_PORT/3;
--- redis
HSET zapier:token:{acme} access_token sandbox-wrong
SELECT 3
HSET zapier:token:{acme} access_token sandbox-db3
SELECT 0
--- request
GET /v2/actions?app=x
--- more_headers
X-Tenant: acme
--- error_code: 200
--- sandbox_headers
Authorization: Bearer sandbox-db3



=== TEST 17: the caller's own credentials stay behind
--- request
GET /v2/actions?app=x
--- more_headers
X-Tenant: acme
Authorization: Basic Zm9vOmJhcg==
--- error_code: 200
--- sandbox_headers
Authorization: Bearer sandbox-acme
