# Where $zapier_authorization has a value: only while proxy_pass makes its
# request.

use strict;
use warnings;

use lib 't/lib';
use Zapier 'no_plan';

run_tests();

__DATA__

=== TEST 1: not in a header of the answer
--- config
location / {
    zapier_tenant $http_x_tenant;
    add_header    X-Seen "[$zapier_authorization]" always;
    include       $params;
    proxy_pass    http://sandbox;
}
--- request
GET /v2/actions?app=x
--- more_headers
X-Tenant: acme
--- error_code: 200
--- response_headers
X-Seen: []
--- sandbox_headers
Authorization: Bearer sandbox-acme



=== TEST 2: not in the body of the answer
--- config
location / {
    zapier_tenant $http_x_tenant;
    include       $params;
    proxy_pass    http://sandbox;
    sub_filter_types *;
    sub_filter    links "[$zapier_authorization]";
}
--- request
GET /v2/actions?app=x
--- more_headers
X-Tenant: acme
--- error_code: 200
--- response_body_unlike: sandbox-acme



=== TEST 3: not in an answer of our own
--- config
location / {
    zapier_tenant $http_x_tenant;
    zapier_scope  action:run;
    add_header    X-Seen "[$zapier_authorization]" always;
    include       $params;
    proxy_pass    http://sandbox;
}
--- redis
HSET zapier:token:{acme} access_token sandbox-acme scope zap
--- request
GET /v2/actions?app=x
--- more_headers
X-Tenant: acme
--- error_code: 403
--- response_headers
X-Seen: []
