# Calls with a key are made once, whatever is killed meanwhile: workers,
# nodes, the Redis master, whose replica may lack the last writes.
# FAULTS_KEYS says how many calls.

use strict;
use warnings;

use lib 't/lib';
use Digest::SHA qw(sha1_hex);
use JSON::PP;
use List::Util qw(max);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use Zapier::Relay;
use ZapierNode;

$SIG{PIPE} = 'IGNORE';

my $total   = $ENV{FAULTS_KEYS} || 400;
my $callers = $ENV{FAULTS_CALLERS} || 20;
my $long    = $total > 1000;
my @tenants = map { "t$_" } 1 .. 5;

my $redis   = redis('--repl-diskless-sync-delay' => 0);
my $relay   = Zapier::Relay->new(port => free_port())->start($redis->port);
my $sandbox = sandbox();
my $replica = follow(free_port());

my @nodes = map {
    node(sandbox => $sandbox, workers => 2, level => 'error',
         http => 'zapier_redis redis://127.0.0.1:' . $relay->port
                 . ' timeout=1s;',
         server => <<'END')
        zapier_tenant      $http_x_tenant;
        zapier_body        action_run;
        zapier_idempotency on required replicas=1;
        include            $params;

        location /v2/action-runs {
            proxy_pass http://sandbox;
        }

        location /wait/action-runs {
            zapier_wait 3s interval=50ms;
            proxy_pass  http://sandbox/v2/action-runs;
        }
END
} 1 .. 3;

token($redis, $_) for @tenants;

# A replica of the Redis of the day

sub follow {
    my ($port) = @_;
    my $new = Zapier::Redis->new(port => $port)->start(
        '--repl-diskless-sync-delay' => 0,
        '--replicaof' => '127.0.0.1 ' . $redis->port);

    # until its master counts on it

    soon { $redis->cmd(SET => 'zapier:x', 1);
           $redis->cmd(WAIT => 1, 1000) } 30
        or die 'the replica does not follow';

    return $new;
}

# One attempt: where, from when to when, what came of it

sub attempt {
    my ($call) = @_;
    my $n = int rand @nodes;
    my $from = time;
    my $r = client($nodes[$n])->request(
        POST => "$call->{path}/action-runs",
        {'X-Tenant' => $call->{tenant}, 'Idempotency-Key' => $call->{key},
         'X-Sandbox' => '{"delay":' . int(rand 150) . '}'},
        qq({"action":"core:a","inputs":{"once":"$call->{key}",)
        . qq("sandbox":{"duration":$call->{duration}}}}));
    my ($id) = ($r->{body} // '') =~ /"id":"([^"]+)"/;
    my ($code) = ($r->{body} // '') =~ /"code":"(\w+)"/;
    my $what = $r->{status} == 200 || $r->{status} == 202
             ? $r->{headers}{'idempotency-replayed'} ? 'replayed' : 'done'
             : $code // $r->{status};

    push @{$call->{attempts}}, [$n, $from, time, $what];

    # a definite answer is not changed by any other

    if ($what eq 'done' || $what eq 'replayed') {
        $call->{ids}{$id // 'none'} = 1;

    } elsif ($what eq 'idempotency_unknown') {
        $call->{unknown} = 1;

    } elsif ($what !~ /^(?:[05]\d*|store_unavailable|upstream_invalid|
                           idempotency_in_progress|not_sent)$/x)
    {
        $call->{wrong} = $what;
    }

    return $call->{what} = $what;
}

sub definite {
    my ($call) = @_;

    return $call->{ids} || $call->{unknown} || $call->{wrong};
}

# A caller repeats each call until he has a definite answer, or is told that
# it is under way over and over again; some he repeats although he has one.

sub caller_process {
    my ($name, @calls) = @_;
    my @done;

    srand;

    while (my $call = shift @calls) {
        sleep max(0, ($call->{next} // 0) - time);

        attempt($call);

        if (definite($call) && (@{$call->{attempts}} > 1 || rand > 0.1)
            || $call->{what} eq 'idempotency_in_progress'
               && ++$call->{busy} > 5)
        {
            push @done, $call;
            next;
        }

        $call->{next} = time + 0.1 + rand 0.3;
        push @calls, $call;
    }

    open my $file, '>', $name or die "$name: $!";
    print $file encode_json(\@done);
    close $file;
}

my (%pids, $number);

for my $n (1 .. $callers) {
    my @calls = map { {
        key      => "call-$n-$_",
        tenant   => $tenants[rand @tenants],
        path     => rand > 0.5 ? '/v2' : '/wait',
        duration => int rand 300,
    } } 1 .. $total / $callers;
    my $name = $redis->dir . "/calls-$n";
    my $pid = fork // die $!;

    if ($pid == 0) {
        eval { caller_process($name, @calls); 1 } or print STDERR $@;
        POSIX::_exit(0);
    }

    $pids{$pid} = $name;
    $number += @calls;
}

# Trouble: [what, node, from, to]

my @trouble;

sub kill_worker {
    my ($n) = @_;
    my @workers = $nodes[$n]->workers;

    kill KILL => $workers[rand @workers] if @workers;
}

sub kill_node {
    my ($n) = @_;

    $nodes[$n]->stop('KILL');
    sleep rand 0.3;
    $nodes[$n]->start;
}

sub failover {
    my $port = $redis->port;

    $redis->stop('KILL');
    sleep rand 0.2;
    $replica->cmd(REPLICAOF => qw(NO ONE));
    $redis = $replica;
    $relay->to($redis->port);
    sleep rand 0.2;
    $replica = follow($port);
}

sub lagging_failover {
    $replica->cmd(REPLICAOF => qw(NO ONE));
    sleep 0.05 + rand 0.3;
    failover();
}

my @kinds = (
    ['a worker was killed', \&kill_worker],
    ['a node was killed', \&kill_node],
    ['the master was killed', \&failover],
    ['a worker was killed', \&kill_worker],
    ['the master was killed, its replica lagged', \&lagging_failover],
);

my $started = time;
my %left = %pids;
my %count;

while (1) {
    my $pid;

    delete $left{$pid} while ($pid = waitpid -1, POSIX::WNOHANG) > 0;
    last if !%left;

    my ($what, $code) = @{$kinds[@trouble < @kinds ? @trouble : rand @kinds]};
    my $n = int rand @nodes;
    my $from = time;

    $code->($n);
    push @trouble, [$what, $what =~ /master/ ? -1 : $n, $from, time];
    $count{$what}++;

    sleep 0.3 + rand 0.7;
}

my $took = time - $started;

my @calls = map { @{decode_json(Zapier::Process::slurp($_))} } values %pids;

is scalar @calls, $number, "$number calls";

# What is under way for ever was in a process that was killed: nobody knows
# after two minutes.  The short form sets the record's clock forward.

sleep 1;

my @busy = grep { !definite($_) } @calls;

for my $call (@busy) {
    my $record = "zapier:idem:{$call->{tenant}}:" . sha1_hex($call->{key});
    my $until = time + 150;

    $redis->cmd(EVAL => q{
        if redis.call('HGET', KEYS[1], 'state') == 'sent' then
            redis.call('HSET', KEYS[1], 'until', 0)
        end
    }, 1, $record) if !$long;

    sleep 0.5 while attempt($call) && !definite($call) && time < $until;
}

# All is quiet again: what was told is told once more

for my $call (@calls) {
    for (1 .. 100) {
        last if attempt($call) !~ /^(?:0|503|store_unavailable)$/;
        sleep 0.1;
    }
}

# The count

my $executed = $sandbox->executed;
my (@twice, @false, @open, @reasonless, @forgotten, %end);

for my $call (@calls) {
    my $runs = $executed->{$call->{key}} // [];
    my @told = sort keys %{$call->{ids} // {}};
    my $story = sub {
        join "\n  ", "$call->{key}: runs @$runs, told @told",
            map { sprintf 'node %d, %.3f to %.3f: %s', $_->[0],
                  $_->[1] - $started, $_->[2] - $started, $_->[3] }
                @{$call->{attempts}};
    };

    push @twice, $story->() if @$runs > 1;
    push @false, $story->() if @told && "@told" ne "@$runs";
    push @open, $story->() if !definite($call) || $call->{wrong};
    push @forgotten, $story->()
        if $call->{what} ne ($call->{unknown} ? 'idempotency_unknown'
                                              : 'replayed');

    push @reasonless, $story->() if $call->{unknown} && !killed($call);

    $end{!$call->{unknown} ? 'answered'
         : @$runs ? 'unknown, and was run' : 'unknown, was not run'}++;
    $end{attempts} += @{$call->{attempts}};
    $end{replays} += grep { $_->[3] eq 'replayed' } @{$call->{attempts}};
}

# Was it under way when its process was killed?  What could not be told to
# Redis still is, a while after it was answered.

sub killed {
    my ($call) = @_;

    for my $attempt (@{$call->{attempts}}) {
        my ($n, $from, $to) = @$attempt;
        my @met = grep { $_->[2] < $to + 0.1 && $_->[3] > $from - 0.1 }
                  @trouble;

        $to = max($to, map { $_->[3] + 1 } grep { $_->[1] < 0 } @met);

        return 1 if grep { $_->[1] == $n && $_->[2] < $to + 0.1
                           && $_->[3] > $from - 0.1 } @trouble;
    }

    return 0;
}

is_deeply \@twice, [], 'no action was run twice';
is_deeply \@false, [], 'none is told that was not run';
is_deeply \@open, [], 'every caller has a definite answer';
is_deeply \@forgotten, [], 'which stays';
is_deeply \@reasonless, [],
    'unknown are only calls whose worker was killed';

diag sprintf '%d calls in %.0f s', $number, $took;
diag "$_: $count{$_}" for sort keys %count;
diag "$_: $end{$_}" for sort keys %end;

for my $node (@nodes) {
    is_deeply [$node->complaints('exited on signal 9')], [], 'no complaints';
    ok $node->stop, 'stopped';
}

done_testing;
