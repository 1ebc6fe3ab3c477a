# zapier_retry 429 503 connect 500 502 504: calls that have done nothing are
# made once more, and reads.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();
my $dead    = free_port();

my $server = <<'END';
        zapier_tenant $http_x_tenant;
        zapier_limit  off;

        location /v2/ {
            zapier_retry       429 503 connect 500 502 504 deadline=3s;
            zapier_idempotency on;
            include            $params;
            proxy_pass         http://sandbox;
        }

        location /wait/action-runs {
            zapier_body  action_run;
            zapier_retry 503;
            zapier_wait  3s interval=50ms;
            include      $params;
            proxy_pass   http://sandbox/v2/action-runs;
        }

        location /dead/ {
            zapier_retry connect deadline=3s;
            include      $params;
            proxy_pass   http://127.0.0.1:DEAD/v2/;
        }
END

$server =~ s/DEAD/$dead/;

my $node = node(redis => $redis, sandbox => $sandbox, server => $server);
my $http = client($node);
my $run  = '{"data":{"action":"core:a","authentication":null,"inputs":{}}}';

token($redis, 'acme');

sub ask {
    my ($method, $path, %headers) = @_;

    $headers{'Content-Type'} = 'application/json' if $method eq 'POST';
    $sandbox->forget;

    return $http->request($method => $path, {'X-Tenant' => 'acme', %headers},
                          $method eq 'POST' ? $run : ());
}

sub calls { scalar(() = $sandbox->requests) }

for my $status (429, 503) {
    for my $method (qw(GET POST)) {
        $sandbox->script({status => $status, headers => {'Retry-After' => 1}});

        my $started = time;
        my $r = ask($method => '/v2/action-runs?echo=body');

        is $r->{status}, 200, "$method after $status";
        is calls(), 2, 'two calls';
        cmp_ok time - $started, '>=', 1, 'when it was said';
        is $r->{body}, $method eq 'POST' ? $run : '', 'with its body';
    }

    $sandbox->script({status => $status});
    is ask(POST => '/v2/action-runs')->{status}, $status,
        "$status that does not say when";
    is calls(), 1, 'is the caller\'s';

    $sandbox->script({status => $status, headers => {'Retry-After' => 60}});
    is ask(POST => '/v2/action-runs')->{status}, $status,
        "$status that is too long";
    is calls(), 1, 'as well';
}

for my $status (500, 502, 504) {
    $sandbox->script({status => $status, times => 2});
    is ask(GET => '/v2/action-runs?echo=body')->{status}, 200,
        "GET after $status";
    is calls(), 3, 'twice';

    $sandbox->script({status => $status});
    is ask(POST => '/v2/action-runs')->{status}, $status,
        "POST after $status";
    is calls(), 1, 'is not repeated';
}

$sandbox->script({status => 500, times => 20});
is ask(GET => '/v2/action-runs?echo=body')->{status}, 500, 'always 500';
cmp_ok calls(), '<=', 5, 'comes to an end';
$sandbox->clear;

$sandbox->script({close => 'before'});
is ask(POST => '/v2/action-runs')->{status}, 502, 'a POST that was sent';
is calls(), 1, 'is not repeated';

# Nobody listens, then somebody does

my $started = time;

is ask(POST => '/dead/action-runs')->{status}, 502, 'no connection';
cmp_ok time - $started, '>', 0.7, 'after some attempts';

my $late = client($node);

$late->send("POST /dead/action-runs HTTP/1.1\r\nHost: x\r\nX-Tenant: acme\r\n"
            . "Content-Type: application/json\r\nContent-Length: "
            . length($run) . "\r\n\r\n$run");
sleep 0.2;

my $second = Zapier::Sandbox->new(port => $dead)->start;

is $late->read->{status}, 200, 'an upstream that starts meanwhile';

# With a key: the record is of the last call

$sandbox->script({status => 503, headers => {'Retry-After' => 1}},
                 {close => 'before'});
is ask(POST => '/v2/action-runs', 'Idempotency-Key' => 'a')->{status}, 502,
    'refused, then lost';

# what became of it is written when the client has its answer already

ok soon(sub { ask(POST => '/v2/action-runs', 'Idempotency-Key' => 'a')->{body}
              =~ /"idempotency_unknown"/ }, 5), 'is unknown';

$sandbox->script({status => 503, headers => {'Retry-After' => 1}});
is ask(POST => '/v2/action-runs', 'Idempotency-Key' => 'b')->{status}, 200,
    'refused, then done';

my $again;

ok soon(sub { $again = ask(POST => '/v2/action-runs',
                           'Idempotency-Key' => 'b');
              $again->{status} == 200 }), 'is repeated';
is $again->{headers}{'idempotency-replayed'}, 'true', 'and replayed';

# With zapier_wait

$sandbox->config(run => {duration => 100});
$sandbox->script({status => 503, method => 'POST',
                  headers => {'Retry-After' => 1}});
like ask(POST => '/wait/action-runs')->{body}, qr/"status":"success"/,
    'zapier_wait';

# A client that leaves while the next call is waited for

$sandbox->script({status => 503, headers => {'Retry-After' => 2}});
$sandbox->forget;
my $gone = client($node);
$gone->send("GET /v2/x HTTP/1.1\r\nHost: x\r\nX-Tenant: acme\r\n\r\n");
ok soon { calls() == 1 }, 'a call';
sleep 0.1;
$gone->close;
sleep 2.3;
is calls(), 1, 'no other one for a client that has left';

is_deeply [$node->complaints], [], 'no complaints';

$node->stop;

is_deeply [$node->complaints], [], 'none in the end';

done_testing;
