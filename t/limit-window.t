# The window of zapier_limit_zone limit=N window=W: what is admitted, what is
# told, what is given back.

use lib 't/lib';
use Zapier 'no_plan';

# a request that takes its time and is not limited
sub pause { "GET /pause/$_[0]" }

add_block_preprocessor(sub {
    my ($block) = @_;
    my $zones = $block->zones
        // '    zapier_limit_zone z key=$zapier_tenant limit=2 window=1m '
           . "mirror=off;\n";

    $block->set_value(http_config => $zones . ($block->http_config // ''));
    $block->set_value(config => ($block->config // '') . <<'END');
        zapier_tenant $http_x_tenant;
        zapier_limit z;
        include $params;

        location / {
            proxy_pass http://sandbox;
        }

        location = /v2/action-runs {
            zapier_body action_run;
            proxy_pass http://sandbox;
        }

        location /pause {
            zapier_tenant off;
            proxy_pass http://sandbox;
        }

        location = /dead {
            proxy_pass http://127.0.0.1:$TEST_NGINX_FREE_PORT;
        }
END

    $block->set_value(more_headers => 'X-Tenant: acme')
        if !defined $block->more_headers;
    $block->set_value(sandbox_script => <<'END')
        [{"path": "/pause/1", "delay": 1020, "status": 200, "times": 9},
         {"path": "/pause/0", "delay": 320, "status": 200, "times": 9}]
END
        if !defined $block->sandbox_script;
});

run_tests();

__DATA__

=== TEST 1: N calls are admitted, the next one is refused and not sent
--- request eval
["GET /v2/actions", "GET /v2/actions", "GET /v2/actions"]
--- error_code eval
[200, 200, 429]
--- response_headers_like eval
["X-RateLimit-Limit: 2
X-RateLimit-Remaining: 1
X-RateLimit-Reset: \\d{10}",
"X-RateLimit-Limit: 2
X-RateLimit-Remaining: 0
X-RateLimit-Reset: \\d{10}",
"X-RateLimit-Limit: 2
X-RateLimit-Remaining: 0
X-RateLimit-Reset: \\d{10}
Retry-After: (59|60)
Content-Type: application/json"]
--- response_body_like eval
["links", "links",
 '"code":"rate_limited".*"source":"GATEWAY".*"scope":"z"']
--- sandbox_count: 2



=== TEST 2: remaining is what is enforced (APISIX 13704)
--- zones
    zapier_limit_zone z key=$zapier_tenant limit=4 window=1m mirror=off;
--- request eval
[("GET /v2/actions") x 5]
--- error_code eval
[200, 200, 200, 200, 429]
--- response_headers eval
["X-RateLimit-Remaining: 3", "X-RateLimit-Remaining: 2",
 "X-RateLimit-Remaining: 1", "X-RateLimit-Remaining: 0",
 "X-RateLimit-Remaining: 0"]
--- sandbox_count: 4



=== TEST 3: reset does not become 0 after a reject (APISIX 9978)
--- request eval
[("GET /v2/actions") x 4]
--- error_code eval
[200, 200, 429, 429]
--- raw_response_headers_like eval
my $soon = CORE::join '|', time .. time + 150;
[("X-RateLimit-Reset: (?:$soon)\r") x 4]



=== TEST 4: Retry-After is on refusals only
--- request eval
[("GET /v2/actions") x 3]
--- error_code eval
[200, 200, 429]
--- raw_response_headers_unlike eval
["Retry-After", "Retry-After", "Retry-After: 0"]



=== TEST 5: the window slides
--- zones
    zapier_limit_zone z key=$zapier_tenant limit=2 window=1s mirror=off;
--- request eval
["GET /v2/actions", "GET /v2/actions", "GET /v2/actions", ::pause(1),
 "GET /v2/actions", "GET /v2/actions", "GET /v2/actions"]
--- error_code eval
[200, 200, 429, 200, 200, 200, 429]
--- sandbox_count: 5
--- timeout: 5



=== TEST 6: a window of less than a second is not for ever (Tyk)
--- zones
    zapier_limit_zone z key=$zapier_tenant limit=1 window=300ms mirror=off;
--- request eval
["GET /v2/actions", "GET /v2/actions", ::pause(0),
 "GET /v2/actions", "GET /v2/actions"]
--- error_code eval
[200, 429, 200, 200, 429]
--- response_headers eval
["X-RateLimit-Remaining: 0", "Retry-After: 1", "", "!Retry-After",
 "Retry-After: 1"]



=== TEST 7: a window of a day is not of a thousand (Kong 14995)
--- zones
    zapier_limit_zone z key=$zapier_tenant limit=1 window=1d mirror=off;
--- request eval
["GET /v2/actions", "GET /v2/actions"]
--- error_code eval
[200, 429]
--- raw_response_headers_like eval
["X-RateLimit-Remaining: 0", "Retry-After: (86399|86400)\r"]



=== TEST 8: each key has a window of its own
--- redis
HSET zapier:token:{acme} access_token sandbox-acme
HSET zapier:token:{beta} access_token sandbox-beta
--- request eval
[("GET /v2/actions") x 4]
--- more_headers eval
["X-Tenant: acme", "X-Tenant: beta", "X-Tenant: acme", "X-Tenant: beta"]
--- response_headers eval
["X-RateLimit-Remaining: 1", "X-RateLimit-Remaining: 1",
 "X-RateLimit-Remaining: 0", "X-RateLimit-Remaining: 0"]



=== TEST 9: zone and key do not run into each other (Traefik 11753)
--- zones
    zapier_limit_zone a key=$arg_k limit=1 window=1m mirror=off;
    zapier_limit_zone ab key=$arg_k limit=1 window=1m mirror=off;
--- config
        location = /a { zapier_limit a; proxy_pass http://sandbox/v2/actions; }
        location = /ab { zapier_limit ab; proxy_pass http://sandbox/v2/actions; }
--- http_config
    zapier_limit_zone z key=$zapier_tenant;
--- request eval
["GET /a?k=bc", "GET /ab?k=c", "GET /a?k=:bc", "GET /a?k=bc%00", "GET /a?k=bc"]
--- error_code eval
[200, 200, 200, 200, 429]



=== TEST 10: an empty key is not counted
--- zones
    zapier_limit_zone z key=$arg_none limit=1 window=1m mirror=off;
--- request eval
[("GET /v2/actions") x 3]
--- error_code eval
[200, 200, 200]
--- response_headers eval
[("!X-RateLimit-Limit") x 3]



=== TEST 11: weight
--- zones
    zapier_limit_zone z key=$zapier_tenant limit=10 window=1m mirror=off
                      weight=$arg_w;
--- request eval
["GET /v2/actions?w=4", "GET /v2/actions?w=7", "GET /v2/actions?w=6"]
--- error_code eval
[200, 429, 200]
--- response_headers eval
["X-RateLimit-Remaining: 6", "X-RateLimit-Remaining: 6",
 "X-RateLimit-Remaining: 0"]



=== TEST 12: more than ever fits is refused
--- zones
    zapier_limit_zone z key=$zapier_tenant limit=2 window=1m mirror=off
                      weight=3;
--- request
GET /v2/actions
--- error_code: 429
--- response_headers
X-RateLimit-Remaining: 2
Retry-After: 60
--- sandbox_count: 0



=== TEST 13: what is refused before the limit consumes nothing
--- zones
    zapier_limit_zone z key=$server_name limit=2 window=1m mirror=off;
--- request eval
["GET /v2/actions", "GET /v2/actions", "POST /v2/action-runs\n{]",
 "GET /v2/actions", "GET /v2/actions", "GET /v2/actions"]
--- more_headers eval
["X-Tenant: nobody", "X-Tenant: ", ("X-Tenant: acme") x 4]
--- error_code eval
[401, 401, 400, 200, 200, 429]
--- sandbox_count: 2



=== TEST 14: a call that never reached the upstream is given back
--- request eval
["GET /dead", "GET /dead", "GET /dead", "GET /v2/actions", "GET /v2/actions"]
--- error_code eval
[502, 502, 502, 200, 200]
--- response_headers eval
["", "", "", "X-RateLimit-Remaining: 1", "X-RateLimit-Remaining: 0"]



=== TEST 15: a call that reached it is not, whatever it answered
--- sandbox_script
[{"close": "before"}, {"status": 500}]
--- request eval
["GET /v2/actions", "GET /v2/actions", "GET /v2/actions"]
--- error_code eval
[502, 500, 429]



=== TEST 16: an attempt at the next upstream is one more call
--- zones
    zapier_limit_zone z key=$zapier_tenant limit=5 window=1m mirror=off;
    upstream sandbox {
        server 127.0.0.1:$TEST_NGINX_SANDBOX_PORT;
        server localhost:$TEST_NGINX_SANDBOX_PORT;
    }
--- config
        proxy_next_upstream http_500;
--- sandbox_script
{"status": 500}
--- request eval
["GET /v2/actions", "GET /v2/actions"]
--- error_code eval
[200, 200]
--- response_headers eval
["", "X-RateLimit-Remaining: 2"]
--- sandbox_count: 3



=== TEST 17: a refused body is not read
--- zones
    zapier_limit_zone z key=$zapier_tenant limit=1 window=1m mirror=off;
--- request eval
["GET /v2/actions", "POST /v2/action-runs\n{]"]
--- error_code eval
[200, 429]



=== TEST 18: HEAD is limited and answered without a body
--- request eval
["HEAD /v2/actions", "HEAD /v2/actions", "HEAD /v2/actions"]
--- error_code eval
[200, 200, 429]
--- response_body eval
["", "", ""]



=== TEST 19: zapier_limit off
--- config
        location = /free {
            zapier_limit off;
            proxy_pass http://sandbox/v2/actions;
        }
--- request eval
[("GET /free") x 4, "GET /v2/actions"]
--- error_code eval
[(200) x 5]
--- response_headers eval
[("!X-RateLimit-Limit") x 4, "X-RateLimit-Remaining: 1"]



=== TEST 20: variables
--- config
        location /vars {
            proxy_pass http://sandbox/v2/actions;
            add_header X-Vars "$zapier_limit_status $zapier_limit_scope $zapier_limit_remaining" always;
        }
--- request eval
[("GET /vars") x 3]
--- error_code eval
[200, 200, 429]
--- response_headers eval
["X-Vars: PASSED z 1", "X-Vars: PASSED z 0", "X-Vars: REJECTED z 0"]
