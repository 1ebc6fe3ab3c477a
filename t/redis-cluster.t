# redis+cluster://: keys are spread over masters, move between them, and
# masters die.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use Zapier::Cluster;
use ZapierNode;

$SIG{PIPE} = 'IGNORE';

my $sandbox = sandbox();
my $cluster = Zapier::Cluster->new(\&free_port);

ok $cluster->whole, 'three masters with a replica each';

my @servers = $cluster->servers;
my $seeds   = join ',', map { '127.0.0.1:' . $_->port } @servers[0, 4];

my %conf = (
    sandbox => $sandbox, workers => 2,
    http => <<"END", server => <<'END');
    zapier_redis redis+cluster://$seeds timeout=500ms;
    zapier_token_cache 60s;
    zapier_limit_zone few key=\$arg_k limit=5 window=2s mirror=off
                          store=redis;
    zapier_limit_zone gate key=\$arg_k mirror=on store=redis;
END
        zapier_tenant $http_x_tenant;
        include       $params;

        location /zapier/ { zapier_admin; }
        location /few/    { zapier_limit few; zapier_limit_tag $arg_tag;
                            zapier_limit_fallback closed;
                            proxy_pass http://sandbox/; }
        location /gate/   { zapier_limit gate; proxy_pass http://sandbox/; }
        location /        { zapier_limit off; proxy_pass http://sandbox; }
END

my @nodes = map { node(%conf) } 1 .. 2;

sub ask {
    my ($target, $tenant, %headers) = @_;
    my $node = delete $headers{node} // $nodes[0];

    return client($node)->request(GET => $target, {'X-Tenant' => $tenant,
                                                   %headers});
}

sub status { ask('/v2/actions', $_[0])->{status} }

sub calls {
    my ($redis) = @_;
    my $stats = $redis->cmd(INFO => 'commandstats');
    my $n = 0;

    $n += $1
        while $stats =~ /cmdstat_(?:hmget|evalsha|eval|set):calls=(\d+)/g;
    return $n;
}

# Every tenant is found

token($cluster->of("t$_"), "t$_") for 1 .. 60;

is_deeply [grep { status("t$_") != 200 } 1 .. 60], [],
    'every tenant is found';
is status('nobody'), 401, 'nobody is not';
ok !grep({ calls($_) == 0 } @servers[0 .. 2]), 'all masters are asked';
ok !grep({ calls($_) != 0 } @servers[3 .. 5]), 'no replica is';

# and what changes counts within a second

$cluster->of('t1')->cmd(DEL => 'zapier:token:{t1}');
ok soon(sub { status('t1') == 401 }, 1.2), 'what is deleted, too';
token($cluster->of('t1'), 't1');
ok soon(sub { status('t1') == 200 }, 1.5), 'or is back';

# Operators

is client($nodes[0])->request(PUT => '/zapier/tokens/new',
                              {'Content-Type' => 'application/json'},
                              '{"access_token":"sandbox-new"}')->{status}, 201,
   'a record is written';
is status('new'), 200, 'and read';

my %seen;
my $next = '';

for (1 .. 100) {
    my $r = client($nodes[0])->request(GET => "/zapier/tokens$next");

    $seen{$1}++ while $r->{body} =~ /"tenant":"(\w+)"/g;
    last if $r->{body} !~ /"next":"?(\d+)/;
    $next = "?cursor=$1";
}

is_deeply [grep { !$seen{$_} } 'new', map { "t$_" } 1 .. 60], [],
    'all are listed, whatever master they are at';

# Limits, in different slots

for my $tag (qw(a b c d)) {
    my @r = map { ask("/few/v2/actions?k=k$tag&tag=$tag", 't2',
                      node => $nodes[$_ % 2])->{status} } 1 .. 8;

    is_deeply [sort @r], [(200) x 5, (429) x 3], "quota with tag $tag";
}

is ask('/gate/v2/actions?k=g', 't2', 'X-Sandbox' =>
       '{"status":429,"headers":{"Retry-After":30}}')->{status}, 429,
    'the upstream closes a gate';
ok soon(sub { ask('/gate/v2/actions?k=g', 't2', node => $nodes[1])
              ->{headers}{'retry-after'} }, 2),
    'which the other node hears of';
is ask('/gate/v2/actions?k=g', 't2', node => $nodes[1])->{status}, 429,
    '... and keeps closed';

# A host of the URL is dead: whichever a worker begins with, it asks the other

my $dead = free_port();
my @found;

for (1 .. 5) {
    my $node = node(sandbox => $sandbox, http =>
                    "zapier_redis redis+cluster://127.0.0.1:$dead,127.0.0.1:"
                    . $servers[0]->port . ';');

    push @found, soon(sub {
        client($node)->request(GET => '/v2/actions', {'X-Tenant' => 't2'})
            ->{status} == 200
    }, 3);
    $node->stop;
}

ok !grep({ !$_ } @found), 'a dead host of the URL is passed over';

# A slot moves while its keys are asked for

my $slot = $cluster->slot('t5');
my $from = $cluster->of('t5');
my ($to) = grep { $_ != $from } @servers[0 .. 2];

$cluster->moving($slot, $from, $to);
sleep 1.1;
is status('t5'), 200, 'a slot that begins to move';
$cluster->move($slot, $from, $to);
sleep 1.1;
is status('t5'), 200, 'a key that has moved: ASK';
$cluster->moved($slot, $from, $to);
sleep 1.1;
is status('t5'), 200, 'a slot that has moved: MOVED';
is_deeply [grep { status("t$_") != 200 } 1 .. 60], [], 'all others as well';

# A script whose keys are halfway

my $tag = (grep { $cluster->of($_) == $from } 'aa' .. 'zz')[0];

$slot = $cluster->slot($tag);
is ask("/few/v2/actions?k=k&tag=$tag", 't2')->{status}, 200, 'a scope';
sleep 0.1;
$cluster->moving($slot, $from, $to);
$from->cmd(MIGRATE => '127.0.0.1', $to->port, '', 0, 1000, KEYS =>
           "zapier:limit:{$tag}");

my $client = client($nodes[0]);

$client->send("GET /few/v2/actions?k=k&tag=$tag HTTP/1.1\r\nHost: x\r\n"
              . "X-Tenant: t2\r\n\r\n");
sleep 0.1;
$cluster->move($slot, $from, $to);
is $client->read->{status}, 200, 'TRYAGAIN: it is tried again';
$cluster->moved($slot, $from, $to);
is ask("/few/v2/actions?k=k&tag=$tag", 't2')->{status}, 200,
    'and when it is over';

# A master dies

my ($mine) = grep { $cluster->of("t$_") == $from } 6 .. 60;
my ($other) = grep { $cluster->of("t$_") == $to } 6 .. 60;

ok $cluster->whole, 'all is well';
is status("t$mine"), 200, 'a tenant of a master';

my $died = time;

$from->stop('KILL');
is status("t$mine"), 200, 'that has died: what is in memory serves';
is status("t$other"), 200, 'others do not notice';

my $start = time;
my ($cold) = grep { $cluster->of("u$_")
                    && $cluster->slot("u$_") >= 0
                    && !$cluster->of("u$_")->running } 1 .. 200;

SKIP: {
    skip 'it was too quick', 2 if !defined $cold;
    is status("u$cold"), 503, 'who is not in memory is told';
    cmp_ok time - $start, '<', 1.5, 'soon';
}

ok soon(sub { !grep { status("u$_") == 503 } 1 .. 40 }, 30),
    'until its replica is the master';
note sprintf 'served %.1f s after the master was killed', time - $died;
is status("t$mine"), 200, 'with all that it knows';

ok $_->stop, 'nginx stops' for @nodes;
is_deeply [map { $_->complaints } @nodes], [], 'nothing grave in the logs';

# What is no Cluster

my $plain = redis();
my $node = node(sandbox => $sandbox, http =>
                'zapier_redis redis+cluster://127.0.0.1:' . $plain->port . ';');

is client($node)->request(GET => '/v2/actions', {'X-Tenant' => 'acme'})
   ->{status}, 503, 'a server without a Cluster';
like $node->log, qr/does not tell the slots of a cluster/, 'is told apart';
ok $node->stop, 'nginx stops';

done_testing();
