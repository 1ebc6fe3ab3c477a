# The name of the Redis server: resolved when nginx starts, and with
# "resolver" anew for each connection, without blocking anybody.

use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $sandbox = sandbox();
my $redis   = redis();

token($redis, 'acme');

# a name server that knows redis.test, and answers nothing else

my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'udp')
    or die "udp: $!";
my $dns = $socket->sockport;
my $pid = fork // die "fork: $!";

if ($pid == 0) {
    while (my $from = $socket->recv(my $query, 512)) {
        my ($id, $question) = unpack 'n x10 a*', $query;

        next if $question !~ /^\x05redis\x04test\0\0\x01/;

        $socket->send(pack('n6', $id, 0x8180, 1, 1, 0, 0)
                      . substr($question, 0, 16)
                      . pack('n3 N n C4', 0xc00c, 1, 1, 1, 4, 127, 0, 0, 1),
                      0, $from);
    }
    POSIX::_exit(0);
}

sub status {
    my ($node, $tenant) = @_;

    return client($node)->request(GET => '/v2/actions?app=x',
                                  {'X-Tenant' => $tenant})->{status};
}

my $port     = $redis->port;
my $resolver = "resolver 127.0.0.1:$dns ipv6=off valid=1s;"
             . 'resolver_timeout 1s;';

my $node = node(sandbox => $sandbox,
                http => "zapier_redis redis://localhost:$port;");
is status($node, 'acme'), 200, 'a name of the system';
$node->stop;

my ($ok, $text) = Zapier::Nginx->new(
    port => free_port(), sandbox => $sandbox,
    http => "zapier_redis redis://redis.test:$port;")->check;
ok !$ok, 'a name that nobody knows stops nginx';
like $text, qr/zapier_redis.*\n?.*redis\.test|redis\.test.*zapier_redis/,
     'with its name';

$node = node(sandbox => $sandbox,
             http => "$resolver zapier_redis redis://redis.test:$port;");
is status($node, 'acme'), 200, 'unless there is a resolver to ask';
ok $node->stop, 'nginx stops';
is_deeply [$node->complaints], [], 'nothing grave in the log';

# a resolver that does not answer

kill 'STOP', $pid;
$node = node(sandbox => $sandbox,
             http => "$resolver zapier_redis redis://redis.test:$port;");

my $start = time;

is status($node, 'acme'), 503, 'a resolver that is silent';
cmp_ok time - $start, '<', 2, 'does not hold up the caller';
kill 'CONT', $pid;

my $served = 0;

for (1 .. 100) {
    $served = status($node, 'acme') == 200 and last;
    sleep 0.1;
}

ok $served, 'and is asked again';
ok $node->stop, 'nginx stops';
is_deeply [$node->complaints], [], 'nothing grave in the log';

kill 'KILL', $pid;
waitpid $pid, 0;

done_testing();
