# Zones that count in Redis: one quota for all nodes.

use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use JSON::PP;
use List::Util qw(max);
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();
my $dead    = free_port();
my $quick   = free_port();

# An upstream that takes no connection, and refuses none

my $deaf = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')
    or die $!;
my $full = $deaf->sockport;
my @full = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                       PeerPort => $full, Blocking => 0) }
           1 .. 4;

my %conf = (
    redis => $redis, sandbox => $sandbox, workers => 2,
    http => <<'END',
    zapier_limit_zone  few   key=$arg_k limit=10 window=2s mirror=off
                             store=redis;
    zapier_limit_zone  some  key=$arg_k limit=5 window=2s mirror=off
                             store=redis;
    zapier_limit_zone  here  key=$arg_h limit=3 window=10s mirror=off;
    zapier_limit_zone  many  key=$arg_k limit=1000000 window=60s mirror=off
                             store=redis;
    zapier_limit_zone  dying key=$arg_k limit=100000 window=10s mirror=off
                             store=redis;
    zapier_limit_zone  heavy key=$arg_k limit=10 window=2s mirror=off
                             store=redis weight=$arg_w;
END
    server => <<"END",
        add_header    X-Pid \$pid always;
        zapier_tenant \$http_x_tenant;
        include       \$params;

        location /few/   { zapier_limit few; proxy_pass http://sandbox/; }
        location /both/  { zapier_limit few some; proxy_pass http://sandbox/; }
        location /mixed/ { zapier_limit few here; proxy_pass http://sandbox/; }
        location /many/  {
            zapier_limit many;
            proxy_pass   http://127.0.0.1:$quick;
        }
        location /dying/ {
            zapier_limit dying;
            proxy_pass   http://127.0.0.1:$quick;
        }
        location /admin/ { zapier_tenant off; zapier_admin; }
        location /heavy/ { zapier_limit heavy; proxy_pass http://sandbox/; }
        location /tag/   {
            zapier_limit_tag \$arg_tag;
            zapier_limit     few;
            proxy_pass       http://sandbox/;
        }
        location /full/  {
            zapier_limit          many;
            proxy_connect_timeout 1s;
            proxy_pass            http://127.0.0.1:$full;
        }
        location /gone/  {
            zapier_limit few;
            proxy_pass   http://127.0.0.1:$dead/;
        }
END
);

my @nodes = map { node(%conf) } 1 .. 2;
my $fast  = node(port => $quick, server => 'return 200;');
my @http  = map { client($_) } @nodes;

token($redis, 'acme');

sub ask {
    my ($node, $where, $query, $tenant) = @_;

    return $http[$node]->request(GET => "/$where/v2/actions?$query",
                                 {'X-Tenant' => $tenant // 'acme'});
}

# Statuses of n requests, in turn to both nodes and all at once.

sub crowd {
    my ($n, $where, $query) = @_;
    my %seen;
    my @clients = map { client($nodes[$_ % 2]) } 1 .. $n;

    $_->send("GET /$where/v2/actions?$query HTTP/1.1\r\nHost: x\r\n"
             . "X-Tenant: acme\r\n\r\n") for @clients;
    $seen{$_->read->{status}}++ for @clients;

    return \%seen;
}

sub calls {
    my $stats = $redis->cmd(INFO => 'commandstats');
    my $n = 0;

    $n += $1 while $stats =~ /cmdstat_eval(?:sha)?:calls=(\d+)/g;

    return $n;
}

sub nodes {
    my ($where) = @_;
    my $r = $http[0]->request(GET => "/admin/limits/$where");

    return @{decode_json($r->{body})->{nodes}};
}

ask($_, 'few', 'k=warm') for 0, 1;

# A node dies with units on lease, see below

my $dying  = node(%conf);
my $client = client($dying);

$client->send("GET /dying/?k=d HTTP/1.1\r\nHost: x\r\nX-Tenant: acme\r\n\r\n"
              x 300);
is_deeply [map { $client->read->{status} } 1 .. 300], [(200) x 300],
    'a node makes calls';
$dying->stop('KILL');

my $died = time;
my ($left_behind) = nodes('dying?key=d');

note "leased: $left_behind->{leased} of $left_behind->{used}";
cmp_ok $left_behind->{used}, '>=', 300,
    'and dies; what it had on lease may have been used';

# One count

is_deeply crowd(40, 'few', 'k=a'), {200 => 10, 429 => 30},
    'ten calls pass, wherever they come in';

my $r = ask(0, 'few', 'k=a');

is $r->{status}, 429, 'one node';
is ask(1, 'few', 'k=a')->{status}, 429, 'and the other refuse';
like $r->{body}, qr/"code":"rate_limited"/, 'as ever';
is $r->{headers}{'x-ratelimit-limit'}, 10, 'the limit is told';
is $r->{headers}{'x-ratelimit-remaining'}, 0, 'nothing is left';
like $r->{headers}{'retry-after'}, qr/^[123]$/, 'and when to come again';

my $before = calls();

ask($_ % 2, 'few', 'k=a') for 1 .. 40;
cmp_ok calls() - $before, '<=', 2, 'what is known to be full costs nothing';
is ask(0, 'few', 'k=b')->{headers}{'x-ratelimit-remaining'}, 9,
    'other keys are others';

# The window

sleep 2.2;
is_deeply crowd(40, 'few', 'k=a'), {200 => 10, 429 => 30},
    'all come back when the window is over';

# All or none

is_deeply crowd(12, 'both', 'k=c'), {200 => 5, 429 => 7},
    'the narrower scope binds';
is ask(0, 'both', 'k=c')->{body} =~ /"scope":"(\w+)"/ && $1, 'some',
    'and is named';
is_deeply crowd(10, 'few', 'k=c'), {200 => 5, 429 => 5},
    'what it refused was not charged to the other one';

is_deeply crowd(10, 'mixed', 'k=d&h=d'), {200 => 6, 429 => 4},
    'a scope that each node counts';
sleep 0.2;
is ask(0, 'few', 'k=d')->{headers}{'x-ratelimit-remaining'}, 3,
    'gives back to Redis what it refuses';

# Weights

is ask(0, 'heavy', 'k=a&w=6')->{status}, 200, 'six of ten units';
is ask(1, 'heavy', 'k=a&w=6')->{status}, 429, 'six more are too many';
is ask(1, 'heavy', 'k=a&w=4')->{status}, 200, 'four are not';
is ask(0, 'heavy', 'k=b&w=11')->{status}, 429, 'eleven never fit';

# Units of calls that were not made

is ask($_ % 2, 'gone', 'k=e')->{status}, 502, 'no upstream' for 1 .. 12;
sleep 0.2;
is_deeply crowd(20, 'few', 'k=e'), {200 => 10, 429 => 10},
    'has cost nothing';

# Tags

is ask(0, 'tag', 'k=t&tag=one')->{headers}{'x-ratelimit-remaining'}, 9,
    'a tag';
is ask(1, 'tag', 'k=t&tag=two')->{headers}{'x-ratelimit-remaining'}, 9,
    'and another count apart';
is_deeply [sort grep { /\{(one|two)\}/ } $redis->cmd(KEYS => '*')],
    ['zapier:limit:{one}', 'zapier:limit:{one}:few:t',
     'zapier:limit:{two}', 'zapier:limit:{two}:few:t'],
    'under names of their own';

# Leases

$before = calls();
my $passed = 0;
my $start  = time;
my $many   = "GET /many/?k=m HTTP/1.1\r\nHost: x\r\nX-Tenant: acme\r\n\r\n";

while (time - $start < 3) {
    my @clients = map { client($nodes[$_ % 2]) } 1 .. 8;

    for (1 .. 5) {
        $_->send($many x 40) for @clients;

        for my $client (@clients) {
            $passed += $client->read->{status} == 200 for 1 .. 40;
        }
    }
}

my $took  = time - $start;
my $trips = calls() - $before;

# At 5000 calls a second, one in 50 may cost one; a busy machine makes fewer
# calls, and no fewer leases

note sprintf '%d calls/s, %d to Redis/s: %.4f', $passed / $took,
             $trips / $took, $trips / $passed;
cmp_ok $trips, '<=', 0.02 * 5000 * $took, 'many calls, few to Redis';

sleep 1;

$r = ask(0, 'many', 'k=m');
my $left = $r->{headers}{'x-ratelimit-remaining'};
cmp_ok $left, '<=', 1000000 - $passed, 'no less was counted than has passed';
cmp_ok $left, '>=', 1000000 - 1.05 * $passed - 50, 'and hardly more';

# Redis forgets, the nodes do not

ask($_ % 2, 'few', 'k=f') for 1 .. 8;
$redis->cmd('FLUSHALL');
$redis->cmd(SCRIPT => 'FLUSH');
token($redis, 'acme');
is_deeply [map { ask($_, 'few', 'k=f')->{status} } 0, 1], [200, 200],
    'what was lost';
is_deeply crowd(20, 'few', 'k=f'), {429 => 20}, 'is counted again';

# A worker dies, a node reloads

sleep 2.2;
ask($_ % 2, 'few', 'k=g') for 1 .. 5;
kill KILL => $_ for $nodes[0]->workers;
sleep 0.3;
$nodes[1]->reload;
$_ = client($nodes[0]) for $http[0];
$http[$_] = client($nodes[$_]) for 0, 1;
is_deeply crowd(20, 'few', 'k=g'), {200 => 5, 429 => 15},
    'the count goes on';

# What the dead one had comes back with the end of its lease and a window

sleep max(0, $died + 10.5 - time);
is_deeply [nodes('dying?key=d')], [], 'the units of a dead node come back';
is client($nodes[0])->request(GET => '/dying/?k=d', {'X-Tenant' => 'acme'})
   ->{headers}{'x-ratelimit-limit'}, 100000, '... to others';

# A worker gives back what another one has got, and has asked for nothing yet

my $young = node(%conf);
my %worker;

while (keys %worker < 2) {
    my $c = client($young);

    $worker{$c->request(GET => '/admin/limits')->{headers}{'x-pid'}} //= $c;
}

my ($old, $new) = values %worker;
my $until = time + 0.7;

while (time < $until) {
    $old->request(GET => '/many/?k=y', {'X-Tenant' => 'acme'});
}

$r = $new->request(GET => '/full/?k=y', {'X-Tenant' => 'acme'});
is $r->{status}, 504, 'a call that was not sent, longer than its lease';
sleep 0.5;
is_deeply [sort $young->workers], [sort keys %worker], 'is given back';
is $young->complaints, 0, 'by who lives on';

is $nodes[1]->complaints, 0, 'nothing to complain about';

done_testing();
