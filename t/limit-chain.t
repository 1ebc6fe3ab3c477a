# zapier_limit A B C: charged all or none, and which scope binds.

use lib 't/lib';
use Zapier 'no_plan';

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(http_config => <<'END' . ($block->http_config // ''));
    zapier_limit_zone ip key=$server_addr limit=3 window=1m;
    zapier_limit_zone partner key=p limit=6 window=1m mirror=off;
    zapier_limit_zone tenant key=$zapier_tenant limit=2 window=1m mirror=off;
    zapier_limit_zone quick key=$zapier_tenant limit=1 window=1s mirror=off;
    zapier_limit_zone mirrored key=$zapier_tenant;
END
    $block->set_value(config => ($block->config // '') . <<'END');
        zapier_tenant $http_x_tenant;
        include $params;

        location / {
            zapier_limit ip partner tenant;
            proxy_pass http://sandbox;
        }

        location = /partner {
            zapier_limit partner;
            proxy_pass http://sandbox/v2/actions;
        }

        location = /quick {
            zapier_limit quick tenant;
            proxy_pass http://sandbox/v2/actions;
        }

        location = /equal {
            zapier_limit tenant mirrored;
            proxy_pass http://sandbox/v2/actions;
        }

        location = /dead {
            zapier_limit ip partner tenant;
            proxy_pass http://127.0.0.1:$TEST_NGINX_FREE_PORT;
        }
END

    $block->set_value(redis => <<'END');
HSET zapier:token:{acme} access_token sandbox-acme
HSET zapier:token:{beta} access_token sandbox-beta
HSET zapier:token:{gamma} access_token sandbox-gamma
END

    $block->set_value(more_headers => 'X-Tenant: acme')
        if !defined $block->more_headers;
});

run_tests();

__DATA__

=== TEST 1: the scope with the least left binds
--- request eval
[("GET /v2/actions") x 4]
--- more_headers eval
["X-Tenant: acme", "X-Tenant: beta", "X-Tenant: beta", "X-Tenant: gamma"]
--- error_code eval
[200, 200, 200, 429]
--- response_headers eval
["X-RateLimit-Limit: 2
X-RateLimit-Remaining: 1",
"X-RateLimit-Limit: 3
X-RateLimit-Remaining: 1",
"X-RateLimit-Limit: 3
X-RateLimit-Remaining: 0",
"X-RateLimit-Limit: 3
X-RateLimit-Remaining: 0"]
--- response_body_like eval
["links", "links", "links", '"scope":"ip"']



=== TEST 2: rejected calls consume nothing of the other scopes (Kong)
--- request eval
[("GET /v2/actions") x 8, "GET /partner"]
--- error_code eval
[200, 200, (429) x 6, 200]
--- response_headers eval
[("") x 8, "X-RateLimit-Remaining: 3"]
--- sandbox_count: 3



=== TEST 3: of several that refuse, the one that takes longest is told
--- request eval
["GET /quick", "GET /v2/actions", "GET /quick"]
--- error_code eval
[200, 200, 429]
--- raw_response_headers_like eval
["", "", "Retry-After: (59|60)\r"]
--- response_body_like eval
["links", "links", '"scope":"tenant"']



=== TEST 4: a scope of which nothing is known does not bind
--- request
GET /equal
--- response_headers
X-RateLimit-Limit: 2
X-RateLimit-Remaining: 1



=== TEST 5: a 429 closes the mirrored scopes of the chain only
--- request eval
["GET /v2/actions", "GET /v2/actions", "GET /partner"]
--- more_headers eval
["X-Tenant: acme\nX-Sandbox: {\"status\":429,\"headers\":{\"Retry-After\":\"9\"}}",
 "X-Tenant: beta", "X-Tenant: acme"]
--- error_code eval
[429, 429, 200]
--- response_headers eval
["Retry-After: 9", "Retry-After: 9", "X-RateLimit-Remaining: 4"]
--- response_body_like eval
["scripted", '"scope":"ip"', "links"]



=== TEST 6: what never reached the upstream is given back to all of them
--- request eval
[("GET /dead") x 5, "GET /v2/actions"]
--- error_code eval
[(502) x 5, 200]
--- response_headers eval
[("") x 5, "X-RateLimit-Limit: 2
X-RateLimit-Remaining: 1"]

