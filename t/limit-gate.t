# What a refusal of the upstream does: the gate closes, and nobody knocks.

use lib 't/lib';
use Zapier 'no_plan';

# the answer that the sandbox is to give, as a request header
sub answer {
    my ($status, %headers) = @_;

    return "X-Tenant: acme\nX-Sandbox: "
        . JSON::PP->new->canonical->encode({status => $status,
                                            headers => \%headers});
}

# so many answers, and ordinary ones afterwards
sub answers { [map({ $_ } @_), ("X-Tenant: acme") x 9] }

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(http_config => $block->zones . "\n"
                      . ($block->http_config // '')) if $block->zones;
    $block->set_value(config => ($block->config // '') . <<'END');
        zapier_tenant $http_x_tenant;
        include $params;

        location / {
            proxy_pass http://sandbox;
        }

        location = /off {
            zapier_limit off;
            proxy_pass http://sandbox/v2/actions;
        }

        location /pause {
            zapier_tenant off;
            proxy_pass http://sandbox;
        }
END

    $block->set_value(more_headers => 'X-Tenant: acme')
        if !defined $block->more_headers;
});

run_tests();

__DATA__

=== TEST 1: the default zone closes after a 429, and the next is not sent
--- request eval
[("GET /v2/actions") x 3]
--- more_headers eval
[::answer(429, "Retry-After", "7"), "X-Tenant: acme", "X-Tenant: acme"]
--- error_code eval
[429, 429, 429]
--- response_headers eval
["Retry-After: 7
X-RateLimit-Remaining: 0",
"Retry-After: 7
X-RateLimit-Remaining: 0
!X-RateLimit-Limit",
"Retry-After: 7"]
--- response_body_like eval
['"code":"scripted"',
 '"code":"rate_limited".*"source":"GATEWAY".*"scope":"tenant"',
 '"rate_limited"']
--- sandbox_count: 1



=== TEST 2: one tenant waits, another does not
--- redis
HSET zapier:token:{acme} access_token sandbox-acme
HSET zapier:token:{beta} access_token sandbox-beta
--- request eval
[("GET /v2/actions") x 3]
--- more_headers eval
[::answer(429, "Retry-After", "7"), "X-Tenant: acme", "X-Tenant: beta"]
--- error_code eval
[429, 429, 200]



=== TEST 3: one waits and so do all of a common scope (octokit 629)
--- redis
HSET zapier:token:{acme} access_token sandbox-acme
HSET zapier:token:{beta} access_token sandbox-beta
--- zones
    zapier_limit_zone all key=all;
    zapier_limit all;
--- request eval
[("GET /v2/actions") x 3]
--- more_headers eval
[::answer(429, "Retry-After", "7"), "X-Tenant: acme", "X-Tenant: beta"]
--- error_code eval
[429, 429, 429]
--- sandbox_count: 1



=== TEST 4: the gate opens again
--- sandbox_script
{"path": "/pause", "status": 200, "delay": 1100}
--- request eval
["GET /v2/actions", "GET /v2/actions", "GET /pause", "GET /v2/actions"]
--- more_headers eval
[::answer(429, "Retry-After", "1"), ("X-Tenant: acme") x 3]
--- error_code eval
[429, 429, 200, 200]
--- response_headers eval
["Retry-After: 1", "Retry-After: 1", "", "!X-RateLimit-Remaining"]



=== TEST 5: a Retry-After of 0 is 1
--- request eval
["GET /v2/actions", "GET /v2/actions"]
--- more_headers eval
[::answer(429, "Retry-After", "0"), "X-Tenant: acme"]
--- error_code eval
[429, 429]
--- response_headers eval
["Retry-After: 1", "Retry-After: 1"]



=== TEST 6: nothing is said: 60 seconds, and the 429 tells so
--- request eval
["GET /v2/actions", "GET /v2/actions"]
--- more_headers eval
[::answer(429), "X-Tenant: acme"]
--- error_code eval
[429, 429]
--- response_headers eval
["Retry-After: 60", "Retry-After: 60"]



=== TEST 7: cooldown=
--- zones
    zapier_limit_zone tenant key=$zapier_tenant cooldown=5s;
--- request eval
["GET /v2/actions", "GET /v2/actions"]
--- more_headers eval
[::answer(429), "X-Tenant: acme"]
--- error_code eval
[429, 429]
--- response_headers eval
["Retry-After: 5", "Retry-After: 5"]



=== TEST 8: an empty Retry-After is as good as none (nirn 9f3427e)
--- sandbox_script
{"raw": "HTTP/1.1 429 Too Many\r\nRetry-After: \r\nContent-Length: 0\r\n\r\n"}
--- request eval
["GET /v2/actions", "GET /v2/actions"]
--- error_code eval
[429, 429]
--- raw_response_headers_like eval
["Retry-After: 60\r", "Retry-After: 60\r"]



=== TEST 9: 503 with Retry-After closes it
--- request eval
["GET /v2/actions", "GET /v2/actions"]
--- more_headers eval
[::answer(503, "Retry-After", "20"), "X-Tenant: acme"]
--- error_code eval
[503, 429]
--- response_headers eval
["Retry-After: 20", "Retry-After: 20"]
--- sandbox_count: 1



=== TEST 10: a bare 503, and Retry-After on other answers, do not
--- request eval
[("GET /v2/actions") x 6]
--- more_headers eval
[::answer(503), ::answer(500, "Retry-After", "20"),
 ::answer(200, "Retry-After", "20"), ::answer(404, "Retry-After", "20"),
 ::answer(409, "Retry-After", "20"), "X-Tenant: acme"]
--- error_code eval
[503, 500, 200, 404, 409, 200]
--- sandbox_count: 6



=== TEST 11: Retry-After wins over Reset
--- request eval
["GET /v2/actions", "GET /v2/actions"]
--- more_headers eval
[::answer(429, "Retry-After", "3", "X-RateLimit-Reset", time + 500,
          "X-RateLimit-Limit", 60, "X-RateLimit-Remaining", 0),
 "X-Tenant: acme"]
--- error_code eval
[429, 429]
--- response_headers eval
["Retry-After: 3
X-RateLimit-Limit: 60
X-RateLimit-Remaining: 0", "Retry-After: 3
X-RateLimit-Limit: 60
X-RateLimit-Remaining: 0"]



=== TEST 12: Reset alone, as an epoch, is told on as it came
--- request eval
$::reset = time + 400;
["GET /v2/actions", "GET /v2/actions"]
--- more_headers eval
[::answer(429, "X-RateLimit-Reset", $::reset), "X-Tenant: acme"]
--- error_code eval
[429, 429]
--- response_headers eval
["X-RateLimit-Reset: $::reset", "X-RateLimit-Reset: $::reset"]
--- raw_response_headers_like eval
["Retry-After: (39\\d|400)\r", "Retry-After: (39\\d|400)\r"]



=== TEST 13: a zone with mirror=off has no gate
--- zones
    zapier_limit_zone tenant key=$zapier_tenant limit=9 window=1m mirror=off;
--- request eval
["GET /v2/actions", "GET /v2/actions"]
--- more_headers eval
[::answer(429, "Retry-After", "20"), "X-Tenant: acme"]
--- error_code eval
[429, 200]
--- response_headers eval
["Retry-After: 20", "X-RateLimit-Remaining: 7"]



=== TEST 14: zapier_limit off neither learns nor waits
--- request eval
["GET /off", "GET /v2/actions", "GET /v2/actions", "GET /off"]
--- more_headers eval
[::answer(429, "Retry-After", "20"), "X-Tenant: acme",
 ::answer(429, "Retry-After", "30"), "X-Tenant: acme"]
--- error_code eval
[429, 200, 429, 200]



=== TEST 15: an intercepted 429 closes it, too
--- config
        location = /intercepted {
            proxy_intercept_errors on;
            error_page 429 =200 /off;
            proxy_pass http://sandbox/v2/actions;
        }
--- request eval
["GET /intercepted", "GET /v2/actions"]
--- sandbox_script
{"status": 429, "headers": {"Retry-After": "20"}}
--- error_code eval
[200, 429]
--- raw_response_headers_like eval
["", "Retry-After: (19|20)\r"]



=== TEST 16: a 429 that was retried at the next upstream closes it, too
--- http_config
    upstream sandbox {
        server 127.0.0.1:$TEST_NGINX_SANDBOX_PORT;
        server localhost:$TEST_NGINX_SANDBOX_PORT;
    }
--- config
        proxy_next_upstream http_429;
--- sandbox_script
{"status": 429, "headers": {"Retry-After": "20"}}
--- request eval
["GET /v2/actions", "GET /v2/actions"]
--- error_code eval
[200, 429]
--- raw_response_headers_like eval
["", "Retry-After: 60\r"]



=== TEST 17: the log says so
--- request
GET /v2/actions
--- more_headers eval
::answer(429, "Retry-After", "20")
--- error_code: 429
--- error_log
upstream answered 429, a scope of limit zone "tenant" is closed
