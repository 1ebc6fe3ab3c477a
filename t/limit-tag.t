# zapier_limit_tag: another tag makes another scope of the same zone and key,
# in Redis as well as on each node.

use strict;
use warnings;

use lib 't/lib';
use JSON::PP;
use Test::More;
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();

my %conf = (
    redis => $redis, sandbox => $sandbox, workers => 2,
    http => <<'END',
    zapier_limit_zone few   key=all limit=3 window=1h mirror=off store=redis;
    zapier_limit_zone gate  key=all limit=1000 window=1h store=redis;
    zapier_limit_zone here  key=all limit=3 window=1h mirror=off;
    zapier_limit_zone quick key=all limit=1 window=1s mirror=off store=redis;
END
    server => <<'END',
        zapier_tenant    $http_x_tenant;
        zapier_limit_tag $arg_tag;
        include          $params;

        location /few/   { zapier_limit few; proxy_pass http://sandbox/; }
        location /gate/  { zapier_limit gate; proxy_pass http://sandbox/; }
        location /here/  { zapier_limit here; proxy_pass http://sandbox/; }
        location /quick/ { zapier_limit quick; zapier_queue 9s;
                           proxy_pass http://sandbox/; }
        location /plain/ { zapier_limit gate; zapier_limit_tag all;
                           proxy_pass http://sandbox/; }
        location /admin/ { zapier_tenant off; zapier_admin; }
END
);

my @nodes = map { node(%conf) } 1 .. 2;

token($redis, 'acme');

sub start {
    my ($node, $where, $tag, $answer) = @_;
    my $client = client($nodes[$node]);

    $client->send("GET /$where/v2/actions?tag=$tag HTTP/1.1\r\nHost: x\r\n"
                  . "X-Tenant: acme\r\n"
                  . ($answer ? "X-Sandbox: $answer\r\n" : '') . "\r\n");
    return $client;
}

sub ask { start(@_)->read }

sub status { ask(@_)->{status} }

sub admin {
    my ($node, $path, $method) = @_;

    return decode_json(client($nodes[$node])
        ->request($method // 'GET' => "/admin/$path")->{body});
}

# Units

is_deeply [map { status(0, few => 'one') } 1 .. 4], [200, 200, 200, 429],
    'one tag has its quota';
is_deeply [map { status($_ % 2, few => 'two') } 1 .. 4],
    [200, 200, 200, 429], 'another one has all of its own, on the same node';
is status(1, few => 'one'), 429, 'the first one is full everywhere';
is_deeply [map { status(0, here => $_) } qw(one two one two)],
    [200, 200, 200, 429], 'a zone of each node knows no tags';

# Gates

ok soon(sub { ($redis->cmd(PUBSUB => 'NUMSUB', 'zapier:limit'))[1] == 4 }),
    'all workers listen';

my $refusal = '{"status":429,"headers":{"Retry-After":40}}';

sub closed { ask($_[0], gate => $_[1])->{body} =~ /"GATEWAY"/ }

is status(0, gate => 'one', $refusal), 429, 'the upstream refuses a tag';
ok closed(0, 'one'), 'its gate is closed';
ok soon(sub { closed(1, 'one') }), 'on all nodes';
ok !closed($_, 'two'), 'that of another one is open' for 0, 1;
is status($_, plain => 'x'), 200, 'and that without a tag' for 0, 1;

push @nodes, node(%conf);
ok soon(sub { closed(2, 'one') }), 'who starts later hears of the one';
ok !closed(2, 'two'), 'and not of the other';

# Operators

my $scope = admin(0, 'limits/few?key=all&tag=two');
my %used  = map { $_->{here} => $_->{used} } @{$scope->{nodes}};

is $scope->{used_here}, $used{1}, 'a scope is looked at by its tag';
is $scope->{passes}, JSON::PP::false, 'and full';
is admin(0, 'limits/few?key=all')->{used_here}, 0, 'without it is another';
is admin(0, 'explain/acme?zones=few&tag=two')->{why}, 'rate_limited',
    'it is so where it is explained';
is admin(0, 'explain/acme?zones=few&tag=three')->{why}, undef,
    '... for each tag';

admin(0, 'limits/gate/open?key=all&tag=one', 'POST');
ok soon(sub { !closed(1, 'one') }), 'a gate is opened by its tag';
admin(0, 'limits/gate/close?key=all&tag=two&time=30s', 'POST');
ok soon(sub { closed(1, 'two') }), 'and closed';
ok !closed($_, 'one'), '... no other one' for 0, 1;
admin(1, 'limits/few/reset?key=all&tag=one', 'POST');
ok soon(sub { status(0, few => 'one') == 200 }), 'and reset';
is status(0, few => 'two'), 429, '... no other one';

# Queues

my @one = map { start(0, quick => 'one') } 1 .. 5;
is status(0, quick => 'two'), 200, 'who waits for one tag';
is((ask(0, quick => 'three'))->{status}, 200, 'is in the way of no other');
$_->close for @one;

is $_->complaints, 0, 'nothing to complain about' for @nodes;

done_testing();
