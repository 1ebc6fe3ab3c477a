# Several nodes and one expired token: one refresh, no caller sees an error;
# and whatever dies meanwhile, the pair in Redis is usable or marked.
# FAULTS_ROUNDS says how often something is killed.

use strict;
use warnings;

use lib 't/lib';
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);
use Zapier::Relay;
use ZapierNode;

my $rounds  = $ENV{FAULTS_ROUNDS} || 7;
my $callers = $ENV{FAULTS_CALLERS} || 200;

my @durable = qw(--appendonly yes --appendfsync always
                 --repl-diskless-sync-delay 0);
my $redis   = redis(@durable);
my $relay   = Zapier::Relay->new(port => free_port())->start($redis->port);
my $sandbox = sandbox();
my $replica = follow(free_port());

$sandbox->oauth(strict => 1, access_grace => 5);

my $secret = $redis->dir . '/client.secret';

open my $file, '>', $secret or die $!;
print $file "sandbox-secret\n";
close $file;
chmod 0600, $secret;

sub one {
    return node(
        sandbox => $sandbox, workers => 2,
        http => 'zapier_redis redis://127.0.0.1:' . $relay->port . ';'
              . "zapier_oauth_client sandbox-client $secret;"
              . 'zapier_oauth_token /oauth/token margin=2s;',
        server => Zapier::Nginx::default_server() . <<'END');
        location = /oauth/token {
            internal;
            proxy_pass          http://sandbox/oauth/token/;
            proxy_read_timeout  1500ms;
        }
END
}

my @nodes = map { one() } 1 .. 4;

# Sends a request on many connections at once; statuses by number.

sub crowd {
    my ($tenant, $n, @to) = @_;
    my (%seen, %answer);
    my $wait = IO::Select->new;

    for my $node (@to) {
        for (1 .. $n) {
            my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                          PeerPort => $node->port)
                or ++$seen{refused} && next;

            print $s "GET /v2/actions?app=x HTTP/1.0\r\nHost: x\r\n"
                   . "X-Tenant: $tenant\r\n\r\n";
            $wait->add($s);
        }
    }

    my $until = time + 20;

    while ($wait->count && time < $until) {
        for my $s ($wait->can_read(1)) {
            next if sysread $s, $answer{$s}, 65536, length($answer{$s} // '');
            $answer{$s} =~ m{^HTTP/1.. (\d+)} ? $seen{$1}++ : $seen{lost}++;
            $wait->remove($s);
        }
    }

    $seen{late} = $wait->count if $wait->count;

    return \%seen;
}

sub expired {
    my ($tenant) = @_;

    token($redis, $tenant, $sandbox->token_record($tenant),
          expires_at => int(time) - 5);
}

sub refreshes {
    my ($tenant) = @_;

    return scalar grep { ($_->{tenant} // '') eq $tenant }
                  $sandbox->token_calls;
}

expired('crowd');

is_deeply crowd('crowd', $callers, @nodes), {200 => 4 * $callers},
    'four nodes, two workers each: everybody is served';
is refreshes('crowd'), 1, 'after exactly one refresh';

# Trouble: what the token endpoint does, and what is killed while it works.
# A pair may be lost only if its answer reached nobody who lived to keep it.

my @slow = ({late => 300}, times => 9);

my @trouble = (
    {name => 'a node dies', fault => \@slow, kill => \&kill_node},
    {name => 'a worker dies', fault => \@slow, kill => \&kill_worker},
    {name => 'Redis dies', fault => \@slow, kill => \&restart},
    {name => 'Redis and a worker die', fault => \@slow,
     kill => sub { $redis->stop('KILL'); &kill_worker; sleep rand 0.5;
                   restart() }},
    {name => 'Redis fails over', fault => \@slow, kill => \&failover},
    {name => 'Redis fails over, its replica lags', fault => \@slow,
     before => sub { $replica->cmd(REPLICAOF => qw(NO ONE)) },
     kill => \&failover},
    {name => 'a late answer', fault => [{late => 700}]},
    {name => 'an answer and another', fault => ['twice']},
    {name => 'garbage, nothing done', fault => [{body => '<', rotate => 0}]},
    {name => 'garbage, and done', fault => ['lost-garbage']},
    {name => 'no answer', fault => [{hang => 1, rotate => 0}]},
    {name => 'no answer, and done', fault => [{hang => 1, rotate => 1}]},
    {name => 'a lost answer', fault => ['lost']},
    {name => 'trouble that passes', fault => ['503']},
);

sub kill_node {
    my ($n) = @_;

    $nodes[$n]->stop('KILL');
    $nodes[$n] = one();
}

sub kill_worker {
    my ($n) = @_;
    my @workers = $nodes[$n]->workers;

    kill KILL => $workers[rand @workers];
}

sub restart {
    $redis->stop('KILL');
    $redis = Zapier::Redis->new(port => $redis->port, dir => $redis->dir)
             ->start(@durable);
}

sub failover {
    my $port = $redis->port;

    $redis->stop('KILL');
    $replica->cmd(REPLICAOF => qw(NO ONE));
    $redis = $replica;
    $relay->to($redis->port);
    $replica = follow($port);
}

# A replica of the Redis of the day

sub follow {
    my ($port) = @_;

    my $new = Zapier::Redis->new(port => $port)->start(@durable);

    $new->cmd(REPLICAOF => '127.0.0.1', $redis->port);

    for (1 .. 500) {
        return $new if $new->cmd(INFO => 'replication') =~ /_status:up/;
        sleep 0.02;
    }

    die 'the replica does not follow';
}

srand($ENV{FAULTS_SEED} // 1);
@trouble = grep { $_->{name} =~ /$ENV{FAULTS_KIND}/ } @trouble
    if $ENV{FAULTS_KIND};

my (%count, @wrong, $killed);

for my $round (1 .. $rounds) {
    my $tenant = "kill-$round";
    my $trouble = $trouble[$round <= @trouble ? $round - 1 : rand @trouble];

    expired($tenant);
    $redis->cmd(WAIT => 1, 5000);
    $sandbox->fault(@{$trouble->{fault}}, tenant => $tenant);
    $trouble->{before}->() if $trouble->{before};

    my $pid = fork // die $!;

    if ($pid == 0) {
        crowd($tenant, 10, @nodes);
        require POSIX;
        POSIX::_exit(0);
    }

    sleep 0.02 + rand 0.4;
    $killed = time;
    $trouble->{kill}->(rand @nodes) if $trouble->{kill};
    waitpid $pid, 0;

    my ($end, $fault) = outcome($tenant);

    $count{"$trouble->{name}: $end"}++;
    $sandbox->clear_faults;

    if ($fault) {
        push @wrong, "round $round, $trouble->{name}: $end, $fault";
        diag $wrong[-1], story($tenant);
    }

    diag "round $round" if $round % 50 == 0;
}

# What a caller finds when all is quiet again, and what is wrong about it

sub outcome {
    my ($tenant) = @_;
    my ($until, $r, $family, @stored) = (time + 60);

    while (time < $until) {
        $r = eval { client($nodes[0])->request(GET => '/v2/actions?app=x',
                                               {'X-Tenant' => $tenant}) };
        ($family) = $sandbox->families(tenant => $tenant);

        return ('marked', lost($tenant, $family) ? '' : 'but was not lost')
            if $r && $r->{body} =~ /reauthorization_required/;

        @stored = $redis->cmd(HMGET => "zapier:token:{$tenant}",
                              qw(access_token refresh_token));

        return ('usable', $family->{dead_uses} ? 'a spent one was used' : '')
            if $r && $r->{status} == 200
               && $stored[0] eq $family->{access_token}
               && $stored[1] eq $family->{refresh_token};

        sleep 0.2;
    }

    return ('status ' . ($r ? $r->{status} : 'none'), 'not usable');
}

# What happened to it, without tokens

sub story {
    my ($tenant) = @_;
    my %record = $redis->cmd(HGETALL => "zapier:token:{$tenant}");
    my @lines = map {
        my $call = $_;
        sprintf '  at %+.3f s for %d ms: %s', $call->{time} - $killed,
                $call->{ms} // -1, join ' ', map { "$_=$call->{$_}" }
            grep { defined $call->{$_} }
            qw(status token rotated delivered lost error fault generation);
    } grep { ($_->{tenant} // '') eq $tenant } $sandbox->token_calls;

    delete @record{qw(access_token refresh_token)};
    push @lines, map { "  $_: $record{$_}" } sort keys %record;

    for my $i (0 .. $#nodes) {
        push @lines, map { "  node $i: $_" }
            grep { /"\Q$tenant\E"/ && !/ client: / }
            split /\n/, $nodes[$i]->log;
    }

    return join "\n", sprintf(' (at %.3f)', $killed), @lines, '';
}

# Did the answer not arrive, or just when its reader was killed?

sub lost {
    my ($tenant, $family) = @_;

    return 1 if $family->{lost};

    my ($call) = grep { $_->{rotated} && ($_->{tenant} // '') eq $tenant }
                 $sandbox->token_calls;

    return $call && abs($call->{time} + $call->{ms} / 1000 - $killed) < 0.1;
}

is_deeply \@wrong, [], 'every pair is usable, or marked with good reason';
diag "$count{$_} x $_" for sort keys %count;

done_testing();
