# zapier_idempotency replicas=: nothing is sent that a failover of Redis
# would forget.

use strict;
use warnings;

use lib 't/lib';
use Digest::SHA qw(sha1_hex);
use Test::More;
use Time::HiRes qw(sleep time);
use Zapier::Cluster;
use Zapier::Relay;
use Zapier::Sentinel;
use ZapierNode;

$SIG{PIPE} = 'IGNORE';

my @options = ('--repl-diskless-sync-delay' => 0);

my $sandbox = sandbox();
my $run     = '{"action":"core:a","inputs":{"n":1}}';

my $server = <<'END';
        zapier_tenant $http_x_tenant;
        zapier_body   action_run;
        include       $params;

        location /v2/action-runs {
            zapier_idempotency on replicas=1;
            proxy_pass         http://sandbox;
        }

        location /two/action-runs {
            zapier_idempotency on replicas=2;
            proxy_pass         http://sandbox/v2/action-runs;
        }

        location /none/action-runs {
            zapier_idempotency on;
            proxy_pass         http://sandbox/v2/action-runs;
        }
END

my ($node, $tenant);

sub start {
    my ($key, $path) = @_;
    my $http = client($node);

    $http->send('POST ' . ($path // '/v2/action-runs') . " HTTP/1.1\r\n"
                . "Host: x\r\nX-Tenant: $tenant\r\n"
                . (defined $key ? "Idempotency-Key: $key\r\n" : '')
                . 'Content-Length: ' . length($run) . "\r\n\r\n$run");
    return $http;
}

sub post { start(@_)->read }
sub code { ($_[0]{body} =~ /"code":"(\w+)"/)[0] // '' }
sub calls { scalar $sandbox->requests }

sub replayed {
    my ($r) = @_;

    return $r->{status} == 200 && $r->{headers}{'idempotency-replayed'};
}

sub follow {
    my ($port, $master) = @_;
    my $new = Zapier::Redis->new(port => $port)->start(
        @options, '--replicaof' => '127.0.0.1 ' . $master->port);

    # until its master counts on it

    soon { $master->cmd(SET => 'zapier:x', 1);
           $master->cmd(WAIT => 1, 1000) } 20
        or die 'the replica does not follow';

    return $new;
}

# A pause of the replica, in which a call is tried

sub without {
    my ($replica, $name) = @_;
    my $n = calls();

    $replica->signal('STOP');

    my $from = time;
    my $r = post($name);
    my $took = time - $from;

    is code($r), 'store_unavailable', "$name: the replica is silent";
    is $r->{headers}{'retry-after'}, 1, 'which may pass';
    cmp_ok $took, '<', 3, 'that is told in time';

    is post(undef)->{status}, 200, 'a call without a key goes on';
    is calls(), $n + 1, 'nothing else was sent';

    $replica->signal('CONT');
    ok((soon { post($name)->{status} == 200 } 5), 'it is back: the same key');
    is calls(), $n + 2, 'one call';
}


subtest 'one server' => sub {
    my $redis = redis(@options);
    my $replica = follow(free_port(), $redis);
    my $relay = Zapier::Relay->new(port => free_port())->start($redis->port);

    $tenant = 'acme';
    $node = node(sandbox => $sandbox, workers => 2, server => $server,
                 http => 'zapier_redis redis://127.0.0.1:' . $relay->port
                         . ' timeout=1s;');

    token($redis, $tenant);

    is post('one')->{status}, 200, 'a call';
    ok replayed(post('one')), 'is replayed';
    is calls(), 1, 'one call';
    my @many = map { start("many-$_") } 1 .. 100;
    my %status;

    $status{$_->read->{status}}++ for @many;
    is_deeply \%status, {200 => 100}, 'a hundred at a time';

    # they share what there is to wait for

    my ($waits) = $redis->cmd(INFO => 'commandstats')
                  =~ /cmdstat_wait:calls=(\d+)/;

    cmp_ok $waits, '<', 1.5 * 102, "with $waits times WAIT";

    is code(post('two', '/two/action-runs')), 'store_unavailable',
        'two replicas: there are not so many';

    without($replica, 'silent');

    # what a failover forgets

    my $alone = sub {
        $replica->cmd(REPLICAOF => qw(NO ONE));
        soon { $redis->cmd(INFO => 'replication') =~ /connected_slaves:0/ };
    };

    my $fail_over = sub {
        $redis->stop('KILL');
        $replica->cmd(REPLICAOF => qw(NO ONE));
        $relay->to($replica->port);
        ($redis, $replica) = ($replica, follow($redis->port, $replica));
    };

    ok $alone->(), 'no replica';

    my $n = calls();

    is code(post('lost')), 'store_unavailable', 'nothing is sent';
    is post('kept', '/none/action-runs')->{status}, 200, 'as it is without';
    is calls(), $n + 1, 'one call';

    $fail_over->();

    ok((soon { replayed(post('one')) }), 'after a failover: what was known');
    ok((soon { post('lost')->{status} == 200 }), 'what was not');
    is calls(), $n + 2, 'is sent once';
    is post('kept', '/none/action-runs')->{status}, 200,
        'what no replica had to have';
    is calls(), $n + 3, 'is run twice';

    # the record says so, whatever the failover took

    $sandbox->script({delay => 1500});
    $n = calls();

    my $slow = start('slow');

    ok((soon { calls() == $n + 1 }), 'a call is under way');
    $fail_over->();
    ok((soon { code(post('slow')) eq 'idempotency_in_progress' }),
        'after a failover it is');
    is $slow->read->{status}, 200, 'it is answered';
    ok((soon { replayed(post('slow')) }), 'which is known then');
    is calls(), $n + 1, 'one call';

    # an answer that is lost, with the worker that knows it

    $sandbox->script({delay => 500});
    $slow = start('torn');
    ok((soon { calls() == $n + 2 }), 'a call is under way');
    $alone->();
    is $slow->read->{status}, 200, 'it is answered';
    kill KILL => $node->workers;
    $fail_over->();
    ok((soon { code(post('torn')) eq 'idempotency_in_progress' }),
        'the failover has taken the answer, but not the record');

    # two minutes later

    $redis->cmd(HSET => "zapier:idem:{acme}:" . sha1_hex('torn'), until => 0);
    is code(post('torn')), 'idempotency_unknown', 'nobody knows';
    is calls(), $n + 2, 'and it is not sent again';

    # what cannot be stored at once, is later

    $sandbox->script({delay => 500});
    $slow = start('late', '/none/action-runs');
    ok((soon { calls() == $n + 3 }), 'a call is under way');
    $redis->cmd('SAVE');
    $redis->stop('KILL');
    is $slow->read->{status}, 200, 'it is answered without Redis';
    $redis->start(@options);
    ok((soon { replayed(post('late', '/none/action-runs')) } 15),
        'its answer is stored when Redis is back');
    is calls(), $n + 3, 'one call';

    is_deeply [$node->complaints('exited on signal 9')], [], 'no complaints';
    ok $node->stop, 'stopped';
};


subtest 'Sentinel' => sub {
    my $redis = redis(@options);
    my $replica = follow(free_port(), $redis);
    my $sentinel = Zapier::Sentinel->new(port => free_port(), quorum => 1,
                                         master => $redis->port)->start;

    $tenant = 'sentinel';
    $node = node(sandbox => $sandbox, server => $server,
                 http => 'zapier_redis redis+sentinel://127.0.0.1:'
                         . $sentinel->port . '/main timeout=1s;');

    token($redis, $tenant);
    $sandbox->forget;

    ok((soon { post('one')->{status} == 200 }), 'a call');
    is calls(), 1, 'one call';
    ok((soon { $sentinel->state->{'num-slaves'} == 1 } 20),
        'the Sentinel knows the replica');

    without($replica, 'silent');

    $redis->stop('KILL');
    ok((soon { $sentinel->master == $replica->port } 20), 'a failover');

    my $next = follow($redis->port, $replica);

    ok((soon { replayed(post('one')) } 20), 'is no reason to forget');
    ok((soon { post('new')->{status} == 200 } 20), 'new ones are taken');

    is_deeply [$node->complaints], [], 'no complaints';
    ok $node->stop, 'stopped';
};


subtest 'Cluster' => sub {
    my $cluster = Zapier::Cluster->new(\&free_port);
    my @servers = $cluster->servers;

    ok $cluster->whole, 'three masters with a replica each';

    $tenant = 'cluster';
    $node = node(sandbox => $sandbox, server => $server,
                 http => 'zapier_redis redis+cluster://127.0.0.1:'
                         . $servers[0]->port . ' timeout=1s;');

    my $master = $cluster->of($tenant);
    my ($i) = grep { $servers[$_] == $master } 0 .. 2;

    token($master, $tenant);
    $sandbox->forget;

    ok((soon { post('one')->{status} == 200 }), 'a call');
    ok replayed(post('one')), 'is replayed';
    is calls(), 1, 'one call';

    without($servers[3 + $i], 'silent');

    is_deeply [$node->complaints], [], 'no complaints';
    ok $node->stop, 'stopped';
};


done_testing;
