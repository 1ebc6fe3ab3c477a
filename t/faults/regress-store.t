# The token store and its links: what once went wrong.

use strict;
use warnings;

use lib 't/lib';
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);
use Zapier::Redis;
use ZapierNode;

require POSIX;

my $redis   = redis();
my $sandbox = sandbox();

sub get {
    my ($node, $tenant) = @_;

    return client($node)->request(
        GET => '/v2/actions?app=x', {'X-Tenant' => $tenant});
}

# A server in the place of Redis that closes each link at the first command:
# when links asked for a record.

sub refusing {
    my ($port, $seconds) = @_;
    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                       LocalPort => $port, Listen => 64,
                                       ReuseAddr => 1) or die "listen: $!";

    pipe my $out, my $in or die "pipe: $!";
    my $pid = fork // die "fork: $!";

    if ($pid == 0) {
        my $until  = time + $seconds;
        my $select = IO::Select->new($listen);

        while (time < $until) {
            $select->can_read(0.05) or next;
            my $link = $listen->accept;
            sysread $link, my $bytes, 4096;
            syswrite $in, time . "\n" if $bytes =~ /HMGET/;
        }

        POSIX::_exit(0);
    }

    CORE::close $in;
    CORE::close $listen;

    return sub {
        my @times = <$out>;
        waitpid $pid, 0;
        return map { $_ + 0 } @times;
    };
}

# A second is promised also when Redis was away: no pause between two probes
# may be longer, however many requests find the breaker open meanwhile.

my $port = $redis->port;
my $node = node(redis => $redis, sandbox => $sandbox,
                http => "zapier_redis redis://127.0.0.1:$port;"
                      . 'zapier_token_cache 1h;');

token($redis, 'acme');
is get($node, 'acme')->{status}, 200, 'a tenant is served';
$redis->stop('KILL');

my $probes = refusing($port, 8);
my $until  = time + 7;
my %seen;

while (time < $until) {
    $seen{get($node, 'acme')->{status}}++;
    sleep 0.01;
}

my @times = $probes->();
my @gaps  = sort { $a <=> $b } map { $times[$_] - $times[$_ - 1] } 1 .. $#times;

is_deeply [keys %seen], [200], 'served while Redis is away';
cmp_ok scalar @times, '<', 20, 'a dead Redis costs a connect now and then';
cmp_ok $gaps[-1], '<', 0.95, 'and is asked again within a second';

# Buffers of links were left behind by a worker that does not wait for its
# connections (an ASan build tells).

$redis = Zapier::Redis->new(port => $port, dir => $redis->dir)->start;
token($redis, 'acme');
ok((grep { sleep 0.1; get($node, 'new')->{status} == 401 } 1 .. 20),
   'Redis is back');
ok $node->stop('TERM'), 'nginx is terminated';
unlike $node->log, qr/LeakSanitizer/, 'and leaves nothing behind';
is_deeply [$node->complaints], [], 'nothing grave in the log';

done_testing();
