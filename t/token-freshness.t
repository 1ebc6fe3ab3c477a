# A changed record takes effect on every worker within a second; many
# requests for one tenant make one read.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();
my $node    = node(redis => $redis, sandbox => $sandbox, workers => 4,
                   http => 'zapier_token_cache 1h;'
                         . 'zapier_token_missing_cache 1h;');

sub get {
    my ($tenant, $http) = @_;

    return ($http // client($node))->request(
        GET => '/v2/actions?app=x', {'X-Tenant' => $tenant});
}

sub reads {
    my ($calls) = $redis->cmd(INFO => 'commandstats')
                  =~ /cmdstat_hmget:calls=(\d+)/;

    return $calls // 0;
}

# the answer to many new connections, which the workers share

sub statuses {
    my ($tenant) = @_;
    my %seen;

    $seen{get($tenant)->{status}}++ for 1 .. 40;

    return join ',', sort keys %seen;
}

sub tokens {
    my %seen;

    $sandbox->forget;
    get('acme') for 1 .. 40;
    $seen{$_->{headers}{Authorization}[0] // $_->{headers}{authorization}[0]
          // 'none'}++ for $sandbox->requests;

    return join ',', sort keys %seen;
}

token($redis, 'acme');
sleep 1;    # the watch is up

is get('acme')->{status}, 200, 'a tenant is served';

$redis->cmd(CONFIG => 'RESETSTAT');
is statuses('acme'), '200', 'by all workers';
is reads(), 0, 'a warm tenant costs no read';

token($redis, 'acme', access_token => 'sandbox-new');
sleep 1;
is tokens(), 'Bearer sandbox-new', 'a changed token, a second later';

$redis->cmd(DEL => 'zapier:token:{acme}');
sleep 1;
is statuses('acme'), '401', 'a deleted record';

$redis->cmd(CONFIG => 'RESETSTAT');
is statuses('acme'), '401', 'a missing one is remembered';
is reads(), 0, 'without reads';

token($redis, 'acme');
sleep 1;
is statuses('acme'), '200', 'an added one';

$redis->cmd('FLUSHALL');
sleep 1;
is statuses('acme'), '401', 'all deleted';

# one odd record does not stop later ones for ever (envoy #42009)

token($redis, 'odd', expires_at => 'soon');
is get('odd')->{status}, 503, 'a record that is wrong (envoy #42009)';
$redis->cmd(HDEL => 'zapier:token:{odd}', 'expires_at');
sleep 1;
is statuses('odd'), '200', 'is read again when it was mended';

# a read takes its time: Redis is stopped while the callers queue

token($redis, 'busy');
sleep 1;
$redis->cmd(CONFIG => 'RESETSTAT');

my @clients = map { client($node) } 1 .. 60;

$_->connect for @clients;
$redis->signal('STOP');
$_->send("GET /v2/actions?app=x HTTP/1.1\r\nHost: a\r\nX-Tenant: busy\r\n\r\n")
    for @clients;
sleep 0.05;
$redis->signal('CONT');

my %seen;
$seen{$_->read->{status}}++ for @clients;

is_deeply \%seen, {200 => 60}, '60 callers of an uncached tenant';
is reads(), 1, 'make one read';

# the watch is lost: nothing may be trusted for longer than a second

token($redis, 'acme');
sleep 1;
is get('acme')->{status}, 200, 'before the link is killed';

$redis->cmd(CLIENT => 'KILL', TYPE => 'pubsub');
token($redis, 'acme', access_token => 'sandbox-killed');
sleep 1;
is tokens(), 'Bearer sandbox-killed', 'a change while the watch was lost';

# tracking is refused: the second holds without it

$redis->cmd(ACL => 'SETUSER', 'default', '-client|tracking');
$redis->cmd(CLIENT => 'KILL', TYPE => 'pubsub');
sleep 1;
get('acme');
token($redis, 'acme', access_token => 'sandbox-untracked');
sleep 1;
is tokens(), 'Bearer sandbox-untracked', 'a change without any watch';

ok $node->stop, 'nginx stops';
is_deeply [$node->complaints], [], 'nothing grave in the log';

done_testing();
