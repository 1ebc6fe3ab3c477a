# Redis killed, frozen, slow, and back again.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();
my $node    = node(redis => $redis, sandbox => $sandbox, workers => 2,
                   http => 'log_format z escape=none "$zapier_tenant '
                         . '$zapier_token_status";'
                         . 'access_log logs.z z;');

sub get {
    my ($tenant) = @_;
    my $start  = time;
    my $answer = client($node)->request(
        GET => '/v2/actions?app=x', {'X-Tenant' => $tenant});

    $answer->{seconds} = time - $start;

    return $answer;
}

sub unavailable {
    my ($tenant, $name) = @_;
    my $answer = get($tenant);

    is $answer->{status}, 503, "$name: 503";
    like $answer->{body}, qr/"code":"store_unavailable"/, "$name: envelope";
    is $answer->{headers}{'retry-after'}, 1, "$name: Retry-After";

    # 200 ms is the timeout; the rest is for a busy machine
    cmp_ok $answer->{seconds}, '<', 2, "$name: at once";
}

token($redis, 'warm');
token($redis, 'short', expires_at => int(time) + 4);
get($_) for ('warm', 'short') x 4;

# frozen

$redis->signal('STOP');
sleep 1.2;
is get('warm')->{status}, 200, 'frozen: a cached token is served';
unavailable('cold', 'frozen, nothing cached');
$redis->signal('CONT');
ok((soon { get('cold')->{status} == 401 }), 'thawed: asked again');

# killed

my $port = $redis->port;

$redis->stop('KILL');
sleep 1.2;
is get('warm')->{status}, 200, 'killed: a cached token is served';
is get('warm')->{status}, 200, 'and again';
like Zapier::Process::slurp($node->dir . '/logs.z'), qr/^warm STALE$/m,
     'as STALE';
unavailable('cold2', 'killed, nothing cached');

ok((soon { get('short')->{status} == 503 }),
   'killed: never once it has expired');

my %seen;
$seen{get('warm')->{status}}++ for 1 .. 100;
is_deeply \%seen, {200 => 100}, 'a hundred more';

my $failures = () = $node->log =~ /connect\(\) .* failed/g;
cmp_ok $failures, '<', 60, 'a dead server costs no connect a request';

# back, with other data

$redis = Zapier::Redis->new(port => $port, dir => $redis->dir)->start;
token($redis, 'cold2');
ok((soon { get('cold2')->{status} == 200 }), 'back: asked again');
ok((soon { get('warm')->{status} == 401 }),
   'back: what it does not know is not served');
ok !(grep { $_->{status} != 401 } map { get('warm') } 1 .. 20),
   'by any worker';

# a transient error is not "deleted" (Tyk #2799)

token($redis, 'acme');
ok((soon { !grep { get('acme')->{status} != 200 } 1 .. 8 }),
   'acme is served by all workers');
$redis->signal('STOP');
sleep 1.2;
get('acme') for 1 .. 10;
$redis->signal('CONT');
ok((soon { get('acme')->{status} == 200 }), 'and is after an outage');

ok $node->stop, 'nginx stops while Redis is there';
is_deeply [$node->complaints('connect\(\) to unix:')], [],
          'nothing else grave in the log';

# nginx may start without Redis, and stop

$redis->stop;
$node = node(redis => $redis, sandbox => $sandbox);
unavailable('acme', 'started without Redis');
ok $node->stop, 'nginx stops without Redis';
is_deeply [$node->complaints('connect\(\) to unix:')], [],
          'nothing else grave in the log';

done_testing();
