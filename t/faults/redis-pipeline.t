# Redis slow, and killed while many commands are on their way.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();
my $node    = node(redis => $redis, sandbox => $sandbox, workers => 2,
                   http => 'zapier_redis unix:' . $redis->socket
                         . ' timeout=2s connections=2;');

sub send_all {
    my @clients = map { client($node) } @_;

    for my $i (0 .. $#_) {
        $clients[$i]->send("GET /v2/actions?app=x HTTP/1.1\r\nHost: a\r\n"
                           . "X-Tenant: $_[$i]\r\n\r\n");
    }

    return @clients;
}

# Each caller's token must be its own.

sub answers {
    my ($clients, @tenants) = @_;
    my %seen;

    for my $i (0 .. $#tenants) {
        $seen{$clients->[$i]->read->{status}}++;
    }

    return \%seen;
}

my @tenants = map { "t$_" } 1 .. 100;

token($redis, $_) for @tenants;

# slow, but within the timeout

$redis->cmd(CLIENT => 'PAUSE', 300, 'ALL');
my @clients = send_all(@tenants);
is_deeply answers(\@clients, @tenants), {200 => 100},
          'a slow Redis is waited for';

my %tokens;
$tokens{($_->{headers}{Authorization} // $_->{headers}{authorization})->[0]}++
    for $sandbox->requests;
is_deeply [sort keys %tokens], [sort map { "Bearer sandbox-$_" } @tenants],
          'every caller gets the token of its own tenant';

# killed with a hundred commands on the way

@tenants = map { "u$_" } 1 .. 100;
token($redis, $_) for @tenants;

$redis->signal('STOP');
@clients = send_all(@tenants);
sleep 0.3;

my $start = time;

$redis->signal('KILL');
is_deeply answers(\@clients, @tenants), {503 => 100},
          'all are told when Redis dies';
cmp_ok time - $start, '<', 1.5, 'before their time is over';

waitpid $redis->pid, 0;
delete $redis->{pid};
$redis = Zapier::Redis->new(port => $redis->port, dir => $redis->dir)->start;
token($redis, $_) for @tenants;

my $ok = 0;

for (1 .. 100) {
    @clients = send_all(@tenants);
    $ok = (answers(\@clients, @tenants)->{200} // 0) == 100 and last;
    sleep 0.1;
}

ok $ok, 'and served when it is back';

# callers who do not wait for their answers

$redis->signal('STOP');
@clients = send_all(map { "v$_" } 1 .. 50);
sleep 0.2;
$_->close for @clients;
sleep 0.2;
$redis->signal('CONT');
sleep 0.3;

$sandbox->forget;
@clients = send_all(@tenants);
is_deeply answers(\@clients, @tenants), {200 => 100},
          'callers who went away upset nothing';

ok $node->stop, 'nginx stops';
is_deeply [$node->complaints('connect\(\) to unix:')], [],
          'nothing else grave in the log';

done_testing();
