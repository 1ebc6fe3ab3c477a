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

$redis = Zapier::Redis->new(port => $port, dir => $redis->dir)->start;
token($redis, 'acme');
ok((soon { get($node, 'new')->{status} == 401 } 2),
   'Redis is back');

# Names of one ngx_murmur_hash2() are found at will.  No bucket keeps 200 names,
# so those that are all kept were not in one.

my $m = 0x5bd1e995;
my $inverse = 0xe59b19bd;

sub word { ($_[0] * $_[1]) & 0xffffffff }
sub mix  { my $k = word($_[0], $_[1]); word($k ^ $k >> 24, $_[1]) }

sub colliding {
    my ($n) = @_;
    my @letters = ('A' .. 'Z', 'a' .. 'z', 0 .. 9, '.', '_');
    my %names;

    while (keys %names < $n) {
        my $name = join '', map { $letters[rand @letters] } 1 .. 8;
        my $hash = 12;

        $hash = word($hash, $m) ^ mix($_, $m) for unpack 'V2', $name;
        $name .= pack 'V', mix(word($hash, $m) ^ 12345, $inverse);
        $names{$name} = 1 if $name =~ /^[A-Za-z0-9._\@:-]{12}\z/;
    }

    return keys %names;
}

sub reads {
    my ($calls) = $redis->cmd(INFO => 'commandstats')
                  =~ /cmdstat_hmget:calls=(\d+)/;

    return $calls // 0;
}

$node->stop;
$node = node(redis => $redis, sandbox => $sandbox,
             http => 'zapier_token_cache 1h; zapier_token_missing_cache 1h;');
sleep 1;    # the watch is up
get($node, 'acme');

my @names = colliding(200);

$redis->cmd(CONFIG => 'RESETSTAT');
get($node, $_) for @names, 'acme';
is reads(), 200, 'unknown names are read';
get($node, $_) for @names;
is reads(), 200, 'and kept, for they do not meet in a bucket';

# Buffers of links were left behind by a worker that does not wait for its
# connections (an ASan build tells).

ok $node->stop('TERM'), 'nginx is terminated';
unlike $node->log, qr/LeakSanitizer/, 'and leaves nothing behind';
is_deeply [$node->complaints], [], 'nothing grave in the log';

done_testing();
