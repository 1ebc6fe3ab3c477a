# zapier_wait: a POST is answered with the finished run, and GETs of runs
# share what is known of them.

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
        add_header X-Run $zapier_run_id always;
        zapier_tenant $http_x_tenant;

        location /v2/action-runs {
            zapier_body  action_run;
            zapier_wait  4s interval=100ms;
            include      $params;
            proxy_pass   http://sandbox;
        }

        location = /mail {
            zapier_action core:mail;
            zapier_body   action_run;
            zapier_wait   4s interval=50ms;
            include       $params;
            proxy_pass    http://sandbox/v2/action-runs;
        }

        location /brief/action-runs {
            zapier_body  action_run;
            zapier_wait  4s interval=50ms keep=1s;
            include      $params;
            proxy_pass   http://sandbox/v2/action-runs;
        }

        location /slow/action-runs {
            zapier_body  action_run;
            zapier_wait  4s interval=2s max=1k;
            include      $params;
            proxy_pass   http://sandbox/v2/action-runs;
        }

        location /limited/action-runs {
            zapier_body  action_run;
            zapier_limit few;
            zapier_wait  600ms interval=50ms;
            include      $params;
            proxy_pass   http://sandbox/v2/action-runs;
        }

        location /dead/action-runs {
            zapier_wait  1s interval=50ms;
            include      $params;
            proxy_pass   http://127.0.0.1:DEAD/v2/action-runs;
        }
END

$server =~ s/DEAD/$dead/;

my $node = node(redis => $redis, sandbox => $sandbox, workers => 2,
                http => 'zapier_limit_zone few key=$zapier_tenant limit=2 '
                        . 'window=60s;',
                server => $server);

my $http = client($node);
my $run  = '{"action":"core:a","inputs":{"n":1e400}}';

token($redis, $_) for qw(acme other few);

sub post {
    my ($path, %headers) = @_;

    return $http->request(POST => $path, {'X-Tenant' => 'acme', %headers},
                          $run);
}

sub get {
    my ($path, %headers) = @_;

    return $http->request(GET => $path, {'X-Tenant' => 'acme', %headers});
}

sub polls { scalar grep { $_->{method} eq 'GET' } $sandbox->requests }

# Finished in time

my $results = '[{"n":1e400, "big": 12345678901234567890,"x":"\u00e9\/"}]';

$sandbox->config(run => {duration => 400, results => $results});

my $started = time;
my $r = post('/v2/action-runs');
my $id = $r->{headers}{'x-run'};

is $r->{status}, 200, 'a finished run';
cmp_ok time - $started, '<', 3, 'is waited for';
is $r->{body}, qq({"data":{"id":"$id","type":"run","status":"success",)
    . qq("results":$results,"errors":[]}}), 'and answered with to the byte';
is $r->{headers}{'content-type'}, 'application/json', 'as JSON';
cmp_ok polls(), '<=', 5, 'with few polls';

my ($poll) = grep { $_->{method} eq 'GET' } $sandbox->requests;

is $poll->{target}, "/v2/action-runs/$id", 'of the run';
is $poll->{headers}{Authorization}[0], 'Bearer sandbox-acme',
    'with the tenant\'s token';

# From the ledger

my $before = polls();

is get("/v2/action-runs/$id")->{body}, $r->{body}, 'it is remembered';
is get("/v2/action-runs/$id/")->{body}, $r->{body}, 'with a slash too';
is $http->request(HEAD => "/v2/action-runs/$id",
                  {'X-Tenant' => 'acme'})->{headers}{'content-length'},
    length $r->{body}, 'HEAD';
is polls(), $before, 'nobody asks again';
is $redis->cmd(GET => "zapier:run:{acme}:$id"), $r->{body}, 'Redis has it';
cmp_ok $redis->cmd(PTTL => "zapier:run:{acme}:$id"), '>', 6.9 * 86400e3,
    'for a week';

$r = get("/v2/action-runs/$id", 'X-Tenant' => 'other');
is polls(), $before + 1, 'another tenant\'s runs are others';

# A run that failed is finished

$sandbox->config(run => {duration => 50, status => 'error', results => '[]',
                         errors => '[{"code":"user","title":"No"}]'});
$r = post('/mail');
like $r->{body}, qr/"status":"error".*"code":"user"/, 'a failed run';
is $r->{status}, 200, 'is a finished one';

# How pending is spelled

for my $pending (qw(waiting queued running)) {
    $sandbox->config(run => {duration => 150, pending => $pending});
    like post('/mail')->{body}, qr/"status":"success"/, "$pending is pending";
}

$sandbox->config(run => {duration => 150, accepted => 1,
                         pending => 'success'});
like post('/mail')->{body}, qr/"ok":true/, '202 is pending';

# Not in time

$sandbox->config(run => {duration => 1500});
$r = post('/v2/action-runs', Prefer => 'wait=0');
$id = $r->{headers}{'x-run'};

is $r->{status}, 202, 'Prefer: wait=0';
is $r->{body}, qq({"data":{"type":"run","id":"$id","status":"waiting",)
    . qq("results":[],"errors":[]}}), 'the run is told';
is $r->{headers}{location}, "/v2/action-runs/$id", 'and where it is';
is $r->{headers}{'preference-applied'}, 'wait=0', 'the preference too';

like get($r->{headers}{location})->{body}, qr/"waiting"/, 'GET: pending';

$started = time;
$r = get("/v2/action-runs/$id", Prefer => 'wait=4');
like $r->{body}, qr/"status":"success"/, 'GET with Prefer: wait';
cmp_ok time - $started, '<', 3.5, 'waits for the end';

$r = post('/v2/action-runs', Prefer => 'respond-async');
is $r->{status}, 202, 'Prefer: respond-async';
is $r->{headers}{'preference-applied'}, 'respond-async', 'is heeded';

$started = time;
$r = post('/v2/action-runs', Prefer => 'wait=1');
is $r->{status}, 202, 'the time is over';
cmp_ok time - $started, '>', 0.9, 'but not before';
like post('/mail', Prefer => 'wait=0')->{headers}{location},
    qr{^/v2/action-runs/}, 'a path that has no runs below it';

# GETs of a pending run share polls

$sandbox->config(run => {duration => 60_000});
$id = post('/slow/action-runs', Prefer => 'wait=0')->{headers}{'x-run'};
$sandbox->forget;

my @http = map { client($node) } 1 .. 20;

$_->send("GET /slow/action-runs/$id HTTP/1.1\r\nHost: x\r\n"
         . "X-Tenant: acme\r\n\r\n") for @http;

my %status;
$status{$_->read->{status}}++ for @http;

is_deeply \%status, {200 => 20}, '20 who ask at a time';
is polls(), 1, 'are answered by one poll';
get("/slow/action-runs/$id") for 1 .. 3;
is polls(), 1, 'as are those who come within the interval';

# 20 who wait for one run

$sandbox->config(run => {duration => 700});
$id = post('/v2/action-runs', Prefer => 'wait=0')->{headers}{'x-run'};
$sandbox->forget;

$_->send("GET /v2/action-runs/$id HTTP/1.1\r\nHost: x\r\n"
         . "X-Tenant: acme\r\nPrefer: wait=4\r\n\r\n") for @http;

my %bodies;
$bodies{$_->read->{body} =~ /"status":"success"/ ? 'end' : 'other'}++
    for @http;

is_deeply \%bodies, {end => 20}, '20 who wait';
cmp_ok polls(), '<=', 7, 'poll as one';

# Errors

$r = get('/v2/action-runs/unknown');
is $r->{status}, 404, 'an unknown run is the upstream\'s answer';
like $r->{body}, qr/"ZAPIER"/, 'with its body';

$sandbox->script({status => 400, method => 'POST', body => '{"errors":[]}'});
is post('/v2/action-runs')->{status}, 400, 'a POST that is refused';

$sandbox->config(run => {duration => 100});
$sandbox->script({status => 500, method => 'GET', times => 2});
$r = post('/v2/action-runs');
like $r->{body}, qr/"success"/, 'polls that fail are made again';

$sandbox->script({status => 200, method => 'GET', body => '<html>'});
like post('/v2/action-runs')->{body}, qr/"success"/, 'so are strange ones';

$sandbox->script({status => 200, method => 'POST', body => '{"data":{}}'});
$r = post('/v2/action-runs');
is $r->{body}, '{"data":{}}', 'an answer without an id is the caller\'s';

$sandbox->script({method => 'POST', truncate => 10});
$r = post('/v2/action-runs');
is $r->{status}, 502, 'one that is cut off';
like $r->{body}, qr/"upstream_invalid"/, 'is told';

is get('/dead/action-runs/x')->{status}, 502, 'no upstream';
is $http->request(POST => '/dead/action-runs', {'X-Tenant' => 'acme'},
                  $run)->{status}, 502, 'no upstream for a POST';

# Too long a result

$sandbox->config(run => {duration => 0, results => '["' . 'x' x 4000 . '"]'});
$r = post('/slow/action-runs', Prefer => 'wait=3');
is $r->{status}, 202, 'too long a result is read where it is told';
$before = time;
$r = get("/slow/action-runs/$r->{headers}{'x-run'}");
like $r->{body}, qr/x{4000}/, 'as a whole';
cmp_ok time - $before, '<', 5, 'and soon';

# Quota

$sandbox->config(run => {duration => 10});
$r = $http->request(POST => '/limited/action-runs', {'X-Tenant' => 'few'},
                    $run);
is $r->{status}, 200, 'two calls of two: POST and poll';
is $r->{headers}{'x-ratelimit-remaining'}, 1, 'what was left for the poll';
$r = $http->request(GET => '/limited/action-runs/other',
                    {'X-Tenant' => 'few'});
is $r->{status}, 429, 'a GET without quota';
like $r->{body}, qr/"rate_limited"/, 'is refused';
ok $r->{headers}{'retry-after'}, 'until it is there';

# A body that does not fit into the buffer of the header, with a token that is
# known: all of it is read at once, and nothing else is waited for

$sandbox->config(run => {duration => 100, results => '[]'});

for my $kb (2, 20) {
    $r = $http->request(POST => '/v2/action-runs', {'X-Tenant' => 'acme'},
                        '{"action":"core:a","inputs":{"x":"'
                        . 'x' x ($kb * 1000) . '"}}');
    like $r->{body}, qr/"success"/, "a body of $kb kB";
}

# What is no longer kept is asked for again, and kept again

$r = post('/brief/action-runs');
like $r->{body}, qr/"success"/, 'a result that is kept for a second';

my $brief = "/brief/action-runs/$r->{headers}{'x-run'}";

sleep 1.2;
$sandbox->forget;

for (1 .. 3) {
    my $asked = time;

    like $http->request(GET => $brief, {'X-Tenant' => 'acme'})->{body},
        qr/"success"/, 'is told after that';
    cmp_ok time - $asked, '<', 2, 'at once';
}

is polls(), 1, 'and is known again';

# A client that goes away

$sandbox->config(run => {duration => 60_000});
$sandbox->forget;

my $gone = client($node);

$gone->send("POST /v2/action-runs HTTP/1.1\r\nHost: x\r\nX-Tenant: acme\r\n"
            . 'Content-Length: ' . length($run) . "\r\n\r\n$run");
ok soon { polls() >= 1 }, 'it is polled';
$gone->close;
sleep 0.3;
$before = polls();
sleep 1;
is polls(), $before, 'until nobody waits';

is_deeply [$node->complaints], [], 'no complaints';

$node->stop;

is_deeply [$node->complaints], [], 'none in the end';

done_testing;
