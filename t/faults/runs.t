# Runs across workers and nodes: polls are shared, results survive what
# becomes of those who have waited, calls with a key are made once.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();

my $server = <<'END';
        zapier_tenant $http_x_tenant;
        add_header    X-Run $zapier_run_id always;
        add_header    X-Pid $pid always;

        # shares connections out among the workers
        listen 127.0.0.1:SHARED reuseport;

        location = /pid { return 204; }

        location /v2/action-runs {
            zapier_body        action_run;
            zapier_idempotency on;
            zapier_wait        8s interval=100ms;
            include            $params;
            proxy_set_header   X-Pid $pid;
            proxy_pass         http://sandbox;
        }
END

my @shared = map { free_port() } 1 .. 2;

my @nodes = map {
    node(redis => $redis, sandbox => $sandbox, workers => 2,
         server => $server =~ s/SHARED/$_/r)
} @shared;

my $run = '{"action":"core:a","inputs":{}}';

token($redis, 'acme');

sub start {
    my ($node, $key) = @_;
    my $http = client($node);

    $http->send("POST /v2/action-runs HTTP/1.1\r\nHost: x\r\n"
                . "X-Tenant: acme\r\n"
                . (defined $key ? "Idempotency-Key: $key\r\n" : '')
                . 'Content-Length: ' . length($run) . "\r\n\r\n$run");
    return $http;
}

sub await {
    my ($to, $id) = @_;
    my $http = $to->isa('Zapier::Client') ? $to : client($to);

    $http->send("GET /v2/action-runs/$id HTTP/1.1\r\nHost: x\r\n"
                . "X-Tenant: acme\r\nPrefer: wait=8\r\n\r\n");
    return $http;
}

sub new_run {
    return client($nodes[0])->request(POST => '/v2/action-runs',
        {'X-Tenant' => 'acme', Prefer => 'wait=0'}, $run)->{headers}{'x-run'};
}

sub get {
    my ($node, $id) = @_;

    return client($node)->request(GET => "/v2/action-runs/$id",
                                  {'X-Tenant' => 'acme'});
}

sub calls {
    my ($method) = @_;

    return scalar grep { $_->{method} eq $method } $sandbox->requests;
}

# One poll at a time for all

$sandbox->config(run => {duration => 1500});

my $id = new_run();

$sandbox->forget;

my @waiting = map { await($nodes[$_ % 2], $id) } 1 .. 40;
my (%found, %pids);

for (@waiting) {
    my $r = $_->read;
    $found{$r->{body} =~ /"success"/ ? 'end' : 'other'}++;
    $pids{$r->{headers}{'x-pid'}}++;
}

is_deeply \%found, {end => 40}, '40 who wait on two nodes';
cmp_ok keys %pids, '>', 1, 'in several workers';
cmp_ok calls('GET'), '<=', 9, 'poll as one or two';

my $polls = calls('GET');

like get($_, $id)->{body}, qr/"success"/, 'the result is there' for @nodes;
is calls('GET'), $polls, 'without a call';

# The worker that polls dies with its waiters, those of the other one go on

my %clients;

for (1 .. 200) {
    my $http = client($shared[0]);
    my $pid = $http->request(GET => '/pid')->{headers}{'x-pid'};

    push @{$clients{$pid}}, $http if @{$clients{$pid} // []} < 10;
    last if 20 == map { @$_ } values %clients;
}

is_deeply [map { scalar @$_ } values %clients], [10, 10],
    'connections to both workers';

sub poller {
    my ($last) = grep { $_->{method} eq 'GET' } reverse $sandbox->requests;

    return $last && $last->{headers}{'X-Pid'}[0];
}

$sandbox->config(run => {duration => 1500});
$id = new_run();
$sandbox->forget;
await($_, $id) for map { @$_ } values %clients;
ok soon { poller() }, 'one of them polls';

my $killed = poller();

kill KILL => $killed;

for my $pid (keys %clients) {
    my $n = grep { $_->read->{body} =~ /"success"/ } @{$clients{$pid}};

    is $n, 0, 'those of the dead worker are gone' if $pid == $killed;
    is $n, 10, 'those of the other worker are answered' if $pid != $killed;
}

isnt poller(), $killed, 'which polls now';
like get($nodes[0], $id)->{body}, qr/"success"/, 'the result is there';

# The same with a node

$id = new_run();
$sandbox->forget;

my @held = map { my $n = $_; [map { await($nodes[$n], $id) } 1 .. 5] } 0, 1;

ok soon { poller() }, 'one of two nodes polls';

my ($n) = grep { grep { $_ == poller() } $nodes[$_]->workers } 0, 1;

$nodes[$n]->stop('KILL');
is scalar(grep { $_->read->{body} =~ /"success"/ } @{$held[1 - $n]}), 5,
    'those who wait at the other one are answered';
$nodes[$n]->start;

# A reload

$sandbox->config(run => {duration => 1000});
my $http = start($nodes[0]);
sleep 0.2;
$nodes[0]->reload;
my $r = $http->read;
like $r->{body}, qr/"success"/, 'who waits is answered by the old worker';
$sandbox->forget;
is get($nodes[0], $r->{headers}{'x-run'})->{body}, $r->{body},
    'the new one remembers';
is calls('GET'), 0, 'by itself';

# Workers die with a keyed call under way

$sandbox->forget;

for my $n (1 .. 4) {
    $sandbox->script({method => 'POST', delay => 300});
    $http = start($nodes[0], "killed-$n");
    ok soon { calls('POST') == $n }, 'a call under way';
    kill KILL => $nodes[0]->workers;
    eval { $http->read };

    $r = client($nodes[1])->request(POST => '/v2/action-runs',
        {'X-Tenant' => 'acme', 'Idempotency-Key' => "killed-$n"}, $run);

    is $r->{status}, 409, 'whose worker has died';
    ok soon { $nodes[0]->workers >= 2 }, 'the next one is there';
}

is calls('POST'), 4, 'is never made again';

# Without Redis

$sandbox->config(run => {duration => 300});
get($nodes[1], 'warm');
$redis->stop;
$r = start($nodes[1])->read;
like $r->{body}, qr/"success"/, 'without Redis a run is waited for all the same';
$sandbox->forget;
is get($nodes[1], $r->{headers}{'x-run'})->{body}, $r->{body},
    'and remembered by the node';
is calls('GET'), 0, 'without a call';

for my $node (@nodes) {
    is_deeply [$node->complaints('redis.sock', 'exited on signal 9')], [],
        'no complaints';
    $node->stop;
}

done_testing;
