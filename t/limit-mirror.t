# The view that X-RateLimit-* headers of the upstream give: tightened by each
# answer and by our own calls, never loosened before its reset.

use lib 't/lib';
use Zapier 'no_plan';

sub answer {
    my ($limit, $remaining, $reset) = @_;
    my %headers;

    $headers{'X-RateLimit-Limit'} = $limit if defined $limit;
    $headers{'X-RateLimit-Remaining'} = $remaining if defined $remaining;
    $headers{'X-RateLimit-Reset'} = $reset if defined $reset;

    return "X-Tenant: acme\nX-Sandbox: "
        . JSON::PP->new->canonical->encode({status => 200,
                                            headers => \%headers});
}

sub plain { ('X-Tenant: acme') x ($_[0] // 1) }

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
});

run_tests();

__DATA__

=== TEST 1: nothing is known, nothing is told
--- request eval
["GET /v2/actions", "GET /v2/actions"]
--- error_code eval
[200, 200]
--- response_headers eval
["!X-RateLimit-Limit
!X-RateLimit-Remaining
!X-RateLimit-Reset", "!X-RateLimit-Remaining"]



=== TEST 2: a view counts down with our own calls until it is used up
--- request eval
$::reset = time + 300;
[("GET /v2/actions") x 4]
--- more_headers eval
[::answer(60, 2, $::reset), ::plain(3)]
--- error_code eval
[200, 200, 200, 429]
--- response_headers eval
["X-RateLimit-Limit: 60
X-RateLimit-Remaining: 2
X-RateLimit-Reset: $::reset",
"X-RateLimit-Limit: 60
X-RateLimit-Remaining: 1
X-RateLimit-Reset: $::reset",
"X-RateLimit-Remaining: 0
X-RateLimit-Reset: $::reset",
"X-RateLimit-Limit: 60
X-RateLimit-Remaining: 0
X-RateLimit-Reset: $::reset"]
--- raw_response_headers_like eval
["", "", "", "Retry-After: (29\\d|300)\r"]
--- sandbox_count: 3



=== TEST 3: an answer tightens, and never loosens
--- request eval
$::reset = time + 300;
[("GET /v2/actions") x 5]
--- more_headers eval
[::answer(60, 10, $::reset), ::answer(60, 30, $::reset),
 ::answer(60, 5, $::reset), ::answer(100, 50, $::reset - 100), ::plain()]
--- response_headers eval
["X-RateLimit-Remaining: 10", "X-RateLimit-Remaining: 9",
 "X-RateLimit-Remaining: 5",
 "X-RateLimit-Limit: 60
X-RateLimit-Remaining: 4
X-RateLimit-Reset: $::reset", "X-RateLimit-Remaining: 3"]
--- error_code eval
[(200) x 5]



=== TEST 4: a late answer, whose reset is past, changes nothing
--- request eval
$::reset = time + 300;
[("GET /v2/actions") x 3]
--- more_headers eval
[::answer(60, 10, $::reset), ::answer(60, 0, time - 5), ::plain()]
--- error_code eval
[200, 200, 200]
--- response_headers eval
["X-RateLimit-Remaining: 10",
 "", "X-RateLimit-Remaining: 8
X-RateLimit-Reset: $::reset"]



=== TEST 5: and an answer that tells of the next window does not open ours
--- request eval
$::reset = time + 300;
[("GET /v2/actions") x 4]
--- more_headers eval
[::answer(60, 2, $::reset), ::answer(60, 59, $::reset + 60), ::plain(2)]
--- error_code eval
[200, 200, 200, 429]
--- response_headers eval
["X-RateLimit-Remaining: 2", "X-RateLimit-Remaining: 1
X-RateLimit-Reset: $::reset", "X-RateLimit-Remaining: 0", ""]



=== TEST 6: after the reset a new view is taken
--- sandbox_script
{"path": "/pause", "status": 200, "delay": 1010, "times": 9}
--- request eval
["GET /v2/actions", "GET /v2/actions", "GET /pause", "GET /v2/actions",
 "GET /v2/actions"]
--- more_headers eval
[::answer(60, 0, 1), ::plain(2), ::answer(60, 59, 20), ::plain()]
--- error_code eval
[200, 429, 200, 200, 200]
--- response_headers eval
["X-RateLimit-Remaining: 0", "Retry-After: 1", "",
 "X-RateLimit-Remaining: 59", "X-RateLimit-Remaining: 58"]



=== TEST 7: Remaining 0 without Reset closes the gate for the cooldown
--- zones
    zapier_limit_zone tenant key=$zapier_tenant cooldown=9s;
--- request eval
["GET /v2/actions", "GET /v2/actions"]
--- more_headers eval
[::answer(60, 0), ::plain()]
--- error_code eval
[200, 429]
--- response_headers eval
["!Retry-After", "Retry-After: 9"]



=== TEST 8: Remaining without Reset, and Limit alone, mean nothing by themselves
--- request eval
[("GET /v2/actions") x 4]
--- more_headers eval
[::answer(60, 3), ::answer(60, undef, time + 100), ::answer(60), ::plain()]
--- error_code eval
[(200) x 4]
--- response_headers eval
["", "", "", "!X-RateLimit-Remaining"]



=== TEST 9: numbers beyond 2^53 do not overflow (kjdev)
--- request eval
[("GET /v2/actions") x 3]
--- more_headers eval
[::answer("99999999999999999999", "9223372036854775808", 300),
 ::answer("9007199254740993", 1, 300), ::plain()]
--- error_code eval
[(200) x 3]
--- response_headers eval
["", "X-RateLimit-Remaining: 1", "X-RateLimit-Remaining: 0"]



=== TEST 10: what did not reach the upstream is given back to the view
--- request eval
["GET /v2/actions", "GET /dead", "GET /dead", "GET /v2/actions"]
--- more_headers eval
[::answer(60, 2, 300), ::plain(3)]
--- error_code eval
[200, 502, 502, 200]
--- response_headers eval
["X-RateLimit-Remaining: 2", "", "", "X-RateLimit-Remaining: 1"]



=== TEST 11: our window and theirs: the stricter binds
--- zones
    zapier_limit_zone tenant key=$zapier_tenant limit=5 window=1m;
--- request eval
[("GET /v2/actions") x 5]
--- more_headers eval
[::answer(60, 59, 300), ::answer(60, 1, 300), ::plain(3)]
--- error_code eval
[200, 200, 200, 429, 429]
--- response_headers eval
["X-RateLimit-Limit: 5
X-RateLimit-Remaining: 4", "X-RateLimit-Limit: 60
X-RateLimit-Remaining: 1", "X-RateLimit-Remaining: 0",
"X-RateLimit-Remaining: 0", ""]
--- sandbox_count: 3



=== TEST 12: views of two keys are two
--- redis
HSET zapier:token:{acme} access_token sandbox-acme
HSET zapier:token:{beta} access_token sandbox-beta
--- request eval
[("GET /v2/actions") x 3]
--- more_headers eval
[::answer(60, 0, 300), "X-Tenant: beta", ::plain()]
--- error_code eval
[200, 200, 429]
--- response_headers eval
["", "!X-RateLimit-Remaining", ""]



=== TEST 13: each header is in the answer once
--- request
GET /v2/actions
--- more_headers eval
::answer(60, 7, 300)
--- raw_response_headers_unlike eval
qr/(X-RateLimit-\w+):.*\1:/si
