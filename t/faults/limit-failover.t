# A failover of Redis in mid-run, with Sentinels and in a Cluster: no window is
# overrun by what the new master does not know, and calls go on as soon as there
# is one.

use strict;
use warnings;

use lib 't/lib';
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use Zapier::Cluster;
use Zapier::Sentinel;
use ZapierNode;

my ($limit, $window) = (40, 2);
my $kills = $ENV{FAULTS_KILLS} || 1;

# Sentinels: the URL, the master, who the master is, and how one comes back

sub sentinels {
    my $first  = redis('--repl-diskless-sync-delay' => 0);
    my %server = ($first->port => $first);

    for (1 .. 2) {
        my $replica = redis('--replicaof' => '127.0.0.1 ' . $first->port,
                            '--repl-diskless-sync-delay' => 0);
        $server{$replica->port} = $replica;
    }

    my @sentinels = map {
        Zapier::Sentinel->new(port => free_port(), master => $first->port)
            ->start
    } 1 .. 3;

    ok soon(sub {
        !grep {
            my $state = $_->state;
            $state->{'num-other-sentinels'} != 2 || $state->{'num-slaves'} != 2
        } @sentinels;
    }, 20), 'three Sentinels, a master and two replicas';

    token($first, 'acme');

    my $hosts = join ',', map { '127.0.0.1:' . $_->port } @sentinels;

    return "redis+sentinel://$hosts/main", $first, sub {
        my %port = map { ($_->master => 1) } @sentinels;
        my ($port, @others) = keys %port;

        return @others ? undef : $server{$port};
    }, sub {
        my ($dead, $master) = @_;

        $dead->start('--replicaof' => '127.0.0.1 ' . $master->port,
                     '--repl-diskless-sync-delay' => 0);
    };
}

# A Cluster: the same of the limits' slot

sub cluster {
    my $cluster = Zapier::Cluster->new(\&free_port);

    ok $cluster->whole, 'three masters with a replica each';

    token($cluster->of('acme'), 'acme');

    my @servers = $cluster->servers;

    return 'redis+cluster://' . join(',', map { '127.0.0.1:' . $_->port }
                                              @servers[0 .. 2]),
           $cluster->of('all'), sub {
        my $master = $cluster->of('all');

        return $master && $master->running ? $master : undef;
    }, sub { $cluster->again($_[0]) };
}

sub nodes {
    my ($url, $sandbox) = @_;

    return map {
        node(sandbox => $sandbox, workers => 2, http => <<"END",
    zapier_redis $url;
    zapier_limit_zone all key=all limit=$limit window=${window}s mirror=off
                          store=redis slack=150ms;
END
             server => <<'END')
        zapier_tenant  acme;
        zapier_limit   all;
        zapier_limit_fallback closed;
        include        $params;
        location / { proxy_pass http://sandbox; }
END
    } 1 .. 4;
}

sub load {
    my @clients = map { client($_) } @_;

    my $parent  = getppid;

    while (getppid == $parent) {
        for my $client (@clients) {
            $client->request(GET => '/v2/actions');
        }

        sleep 0.01;
    }
}

sub fails_over {
    my ($url, $first, $master, $again) = @_;
    my $sandbox = sandbox();
    my @nodes   = nodes($url, $sandbox);
    my $start   = time;
    my @loads   = map {
        my $pid = fork // die $!;

        if ($pid == 0) {
            load(@nodes);
            POSIX::_exit(0);
        }

        $pid;
    } 1 .. 2;

    sleep 3;

    # The master dies in the middle of a window; who is to follow takes a
    # while to be agreed on

    my $dead = $first;
    my $away = 0;

    for (1 .. $kills) {
        $dead->stop('KILL');

        my ($next, $died) = (undef, time);

        ok soon(sub {
            $next = $master->();
            $next && $next != $dead;
        }, 60), 'another one is the master';

        $away += time - $died;
        note sprintf 'named %.1f s after the old one was killed', time - $died;

        $again->($dead, $next);
        $dead = $next;
        sleep 5;
    }

    my $end = time;

    kill KILL => @loads;
    waitpid $_, 0 for @loads;

    my @t = sort { $a <=> $b } map { $_->{time} } $sandbox->requests;
    my $least = 99;

    for my $i ($limit .. $#t) {
        my $span = $t[$i] - $t[$i - $limit];
        $least = $span if $span < $least;
    }

    note sprintf '%d calls, %d of them within %.3f s at least, %d failovers',
                 scalar @t, $limit + 1, $least, $kills;
    cmp_ok $least, '>=', $window, "never more than $limit within $window s";
    cmp_ok $t[-1], '>', $end - $window - 1, 'calls are made to the end';
    cmp_ok scalar @t, '>=',
        $limit * ($end - $start - $away - $kills) / 2.2 * 0.7,
        'and much of the quota is used';

    ok $_->stop, 'nginx stops' for @nodes;
    is_deeply [map { $_->complaints } @nodes], [], 'nothing grave in the logs';
}

subtest Sentinel => sub { fails_over(sentinels()) };
subtest Cluster => sub { fails_over(cluster()) };

done_testing();
