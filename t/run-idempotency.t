# zapier_idempotency: a call with an Idempotency-Key is made once.

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

        location /v2/action-runs {
            zapier_body        action_run;
            zapier_idempotency on ttl=1h;
            include            $params;
            proxy_pass         http://sandbox;
        }

        location /wait/action-runs {
            zapier_body        action_run;
            zapier_idempotency on;
            zapier_wait        3s interval=50ms;
            include            $params;
            proxy_pass         http://sandbox/v2/action-runs;
        }

        location /required/action-runs {
            zapier_body        action_run;
            zapier_idempotency on required;
            include            $params;
            proxy_pass         http://sandbox/v2/action-runs;
        }

        location /plain/ {
            zapier_idempotency on;
            zapier_limit       few;
            include            $params;
            proxy_pass         http://sandbox/v2/;
        }

        location /dead/ {
            zapier_idempotency on;
            include            $params;
            proxy_pass         http://127.0.0.1:DEAD/;
        }

        location /free/action-runs {
            zapier_body        action_run;
            zapier_idempotency on;
            zapier_limit       off;
            include            $params;
            proxy_pass         http://sandbox/v2/action-runs;
        }

        location /short/action-runs {
            zapier_body        action_run;
            zapier_idempotency on;
            proxy_read_timeout 300ms;
            proxy_set_header   Authorization $zapier_authorization;
            proxy_pass         http://sandbox/v2/action-runs;
        }

        location /led/action-runs {
            zapier_body        action_run;
            zapier_idempotency on;
            zapier_limit       off;
            include            $params;
            proxy_pass         http://sandbox/v2/action-runs;
            error_page         502 = @elsewhere;
        }

        location @elsewhere {
            zapier_limit       off;
            rewrite            ^ /v2/actions break;
            proxy_method       GET;
            include            $params;
            proxy_pass         http://sandbox;
        }
END

$server =~ s/DEAD/$dead/;

my $node = node(redis => $redis, sandbox => $sandbox, workers => 2,
                http => 'zapier_limit_zone few key=$zapier_tenant limit=3 '
                        . 'window=60s;',
                server => $server);

my $http = client($node);
my $run  = '{"action":"core:a","inputs":{"n":1}}';
my $n    = 0;

token($redis, $_) for qw(acme other);

sub post {
    my ($path, $key, $body, %headers) = @_;

    $headers{'Idempotency-Key'} = $key if defined $key;

    return $http->request(POST => $path, {'X-Tenant' => 'acme', %headers},
                          $body // $run);
}

sub start {
    my ($path, $key) = @_;
    my $other = client($node);

    $other->send("POST $path HTTP/1.1\r\nHost: x\r\nX-Tenant: acme\r\n"
                 . "Idempotency-Key: $key\r\nContent-Length: "
                 . length($run) . "\r\n\r\n$run");

    return $other;
}

sub code { ($_[0]{body} =~ /"code":"(\w+)"/)[0] // '' }

sub calls { scalar grep { $_->{method} eq 'POST' } $sandbox->requests }

# Replays

my $r = post('/v2/action-runs', 'one');

is $r->{status}, 200, 'a first call';
like $r->{body}, qr/"id"/, 'has its answer';
ok !$r->{headers}{'idempotency-replayed'}, 'of the upstream';
is calls(), 1, 'one call';

my $again;

# an outcome is recorded after the answer

ok soon { $again = post('/v2/action-runs', 'one');
          $again->{status} != 409 }, 'the call is repeated';
is $again->{body}, $r->{body}, 'the same answer';
is $again->{status}, 200, 'with its status';
is $again->{headers}{'content-type'}, $r->{headers}{'content-type'},
    'and its type';
is $again->{headers}{'idempotency-replayed'}, 'true', 'which is told';
is post('/v2/action-runs', '"one"')->{body}, $r->{body},
    'a key in quotes is the same';
is calls(), 1, 'no other call';

isnt post('/v2/action-runs', 'two')->{body}, $r->{body}, 'another key';
isnt post('/v2/action-runs', 'one', $run, 'X-Tenant' => 'other')->{body},
    $r->{body}, 'another tenant\'s';
is post('/v2/action-runs')->{status}, 200, 'no key';
is calls(), 4, 'are other calls';

my ($key) = grep { /idem:\{other\}/ } $redis->cmd(KEYS => '*');
cmp_ok $redis->cmd(PTTL => $key), '>', 3500_000, 'ttl=';
unlike $key, qr/one/, 'the key itself is not in Redis';

# Mismatches

$r = post('/v2/action-runs', 'one', '{"action":"core:a","inputs":{"n":2}}');
is $r->{status}, 422, 'another body';
is code($r), 'idempotency_mismatch', 'is told';
is $r->{headers}{'proxy-status'},
    'ngx_zapier; error=http_request_error; details="idempotency_mismatch"',
    'by the gateway';
is code(post('/required/action-runs', 'one')), 'idempotency_mismatch',
    'another path';
is calls(), 4, 'nothing is sent';

# Headers that are not right

is code(post('/required/action-runs')), 'required', 'a key is required';
is code(post('/v2/action-runs', 'x' x 256)), 'invalid_type', 'a long key';
is code(post('/v2/action-runs', '""')), 'invalid_type', 'an empty key';
is code(post('/v2/action-runs', "a\x{e9}b")), 'invalid_type', 'strange bytes';
is post('/v2/action-runs', 'x' x 255)->{status}, 200, 'the longest key';

# In progress

$sandbox->forget;
$sandbox->script({delay => 500});

my $first = start('/v2/action-runs', 'busy');

ok soon { calls() == 1 }, 'a slow call';
$r = post('/v2/action-runs', 'busy');
is $r->{status}, 409, 'the same at the same time';
is code($r), 'idempotency_in_progress', 'is told';
ok $r->{headers}{'retry-after'}, 'to come again';
is $first->read->{status}, 200, 'the first is answered';
ok soon { $r = post('/v2/action-runs', 'busy'); $r->{status} == 200 },
    'and then repeated';
is $r->{headers}{'idempotency-replayed'}, 'true', 'and replayed';

$sandbox->forget;

my @many = map { start('/v2/action-runs', 'many') } 1 .. 30;
my %status;

$status{$_->read->{status}}++ for @many;
is $status{200} + ($status{409} // 0), 30, '30 at a time';
is calls(), 1, 'are one call';

# Unknown outcomes

for my $step ({close => 'before'}, {status => 500}, {status => 504},
              {truncate => 10})
{
    my $name = "unknown-" . ++$n;

    $sandbox->forget;
    $sandbox->script($step);
    post('/v2/action-runs', $name);

    $r = post('/v2/action-runs', $name);
    is $r->{status}, 409, "after $name";
    is code($r), 'idempotency_unknown', 'nobody knows';
    is calls(), 1, 'and it is not sent again';
}

$sandbox->script({delay => 1000});
is post('/short/action-runs', 'late')->{status}, 504, 'a timeout';
is code(post('/short/action-runs', 'late')), 'idempotency_unknown',
    'is an unknown outcome';

$sandbox->script({close => 'before', method => 'POST'});
is post('/led/action-runs', 'led')->{status}, 200,
    'one that error_page leads elsewhere';
is code(post('/led/action-runs', 'led')), 'idempotency_unknown', 'is one too';

# What has done nothing may be done

for my $step ({status => 400}, {status => 401}, {status => 429,
              headers => {'Retry-After' => 1}},
              {status => 503, headers => {'Retry-After' => 1}})
{
    my $name = "refused-" . ++$n;

    $sandbox->script($step);
    is post('/free/action-runs', $name)->{status}, $step->{status},
        "$step->{status} of the upstream";
    ok soon { post('/free/action-runs', $name)->{status} == 200 },
        'another attempt';
}

is post('/dead/x', 'dead')->{status}, 502, 'no connection';
is post('/dead/x', 'dead')->{status}, 502, 'is no call';

# Quota

is post('/plain/echo?echo=body', "q$_")->{status}, 200, "call $_ of 3"
    for 1 .. 3;
is code(post('/plain/echo?echo=body', 'q4')), 'rate_limited', 'no more';
$r = post('/plain/echo?echo=body', 'q3');
is $r->{status}, 200, 'but a replay';
is $r->{body}, $run, 'to the byte';
is code(post('/plain/echo?echo=body', 'q4')), 'rate_limited',
    'what was refused leaves no record';

# Clients that go away

$sandbox->forget;
$sandbox->script({delay => 400});
$first = start('/v2/action-runs', 'gone');
ok soon { calls() == 1 }, 'a slow call';
$first->close;

ok soon { $r = post('/v2/action-runs', 'gone'); $r->{status} == 200 },
    'whose client has gone';
is $r->{headers}{'idempotency-replayed'}, 'true', 'is not lost';
is calls(), 1, 'nor repeated';

# With zapier_wait

$sandbox->config(run => {duration => 400});
$sandbox->forget;
$first = start('/wait/action-runs', 'wait');
ok soon { calls() == 1 }, 'a run';
ok soon { code(post('/wait/action-runs', 'wait')) eq
          'idempotency_in_progress' }, 'in progress while it is waited for';
$r = $first->read;
like $r->{body}, qr/"status":"success"/, 'and finished';
ok soon { $again = post('/wait/action-runs', 'wait');
          $again->{status} == 200 }, 'is replayed';
is $again->{body}, $r->{body}, 'with its result';
is $again->{headers}{'idempotency-replayed'}, 'true', 'which is told';
is calls(), 1, 'without another run';

$first = start('/wait/action-runs', 'leaves');
ok soon { calls() == 2 }, 'a run whose caller leaves';
sleep 0.1;
$first->close;
ok soon { $r = post('/wait/action-runs', 'leaves'); $r->{status} == 200 },
    'is there for who asks again';
like $r->{body}, qr/"status":"success"/, 'finished';
is calls(), 2, 'and was run once';

# Redis is not there

$redis->stop;
$r = post('/v2/action-runs', 'none');
is $r->{status}, 503, 'without Redis';
is code($r), 'store_unavailable', 'nothing with a key is sent';

is_deeply [$node->complaints('redis.sock')], [], 'no complaints';

$node->stop;

is_deeply [$node->complaints('redis.sock')], [], 'none in the end';

done_testing;
