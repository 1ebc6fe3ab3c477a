# Whatever happens to four nodes, no interval of a window's length holds more
# calls than the limit, as the upstream sees them; and where more is asked
# for, the limit is used.  FAULTS_SECONDS says how long, FAULTS_SEED makes the
# same limits again.
#
# The fallback is closed, for what others give while Redis cannot be asked is
# not exact and not meant to be.

use strict;
use warnings;

use lib 't/lib';
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $seconds = $ENV{FAULTS_SECONDS} || 22;
my $seed    = $ENV{FAULTS_SEED} || time ^ $$;

srand $seed;

my $all    = 40 + int rand 160;
my $each   = int($all * (0.25 + rand 0.2));
my $slack  = 0.1;
my %limit  = (all => [$all, 5], acme => [$each, 2], zeta => [$each, 2]);

note "seed $seed: $all in 5 s, $each of each in 2 s";

my $redis   = redis();
my $sandbox = sandbox();
my %conf    = (
    redis => $redis, sandbox => $sandbox, workers => 2,
    http => <<"END",
    zapier_limit_zone all    key=all limit=$all window=5s mirror=off
                             store=redis slack=100ms;
    zapier_limit_zone tenant key=\$zapier_tenant limit=$each window=2s
                             mirror=off store=redis slack=100ms;
END
    server => <<'END',
        zapier_tenant $http_x_tenant;
        zapier_limit  all tenant;
        zapier_limit_fallback closed;
        include       $params;
        location /    { proxy_pass http://sandbox; }
END
);

my @nodes = map { node(%conf) } 1 .. 4;

token($redis, $_) for qw(acme zeta);

sub load {
    my ($until) = @_;
    my @clients = map { client($_) } @nodes, @nodes, @nodes;

    srand $$;

    while (time < $until) {
        my @busy;

        for my $client (grep { rand() < 0.5 } @clients) {
            my $tenant = rand() < 0.7 ? 'acme' : 'zeta';

            push @busy, $client if eval {
                $client->send("GET /v2/actions?t=$tenant HTTP/1.1\r\n"
                              . "Host: x\r\nX-Tenant: $tenant\r\n\r\n");
                1;
            };
        }

        for my $client (@busy) {
            eval { $client->read; 1 } or eval { $client->close };
        }

        sleep rand 0.02;
    }
}

my $start = time;
my @loads = map {
    my $pid = fork // die $!;

    if ($pid == 0) {
        load($start + $seconds);
        POSIX::_exit(0);
    }

    $pid;
} 1 .. 3;

# Trouble

my %done;
my @trouble = (
    ['a worker dies'      => sub { my @w = $_[0]->workers;
                                   kill KILL => $w[rand @w] if @w }],
    ['a node reloads'     => sub { $_[0]->reload }],
    ['scripts are lost'   => sub { $redis->cmd(SCRIPT => 'FLUSH') }],
    ['connections break'  => sub { $redis->cmd(CLIENT => KILL => TYPE =>
                                               'normal') }],
);

while (time < $start + $seconds - 1) {
    sleep 0.5 + rand;

    my $what = $trouble[rand @trouble];

    eval { $what->[1]->($nodes[rand @nodes]) };
    $done{$what->[0]}++;
}

waitpid $_, 0 for @loads;
note "$done{$_} x $_" for sort keys %done;

# What the upstream saw

my %seen;

for my $call ($sandbox->requests) {
    next if $call->{time} > $start + $seconds;

    push @{$seen{all}}, $call->{time};
    push @{$seen{$1}}, $call->{time}
        if ($call->{query} // $call->{url} // $call->{path} // '')
           =~ /t=(\w+)/;
}

for my $scope (sort keys %limit) {
    my ($n, $window) = @{$limit{$scope}};
    my @t = sort { $a <=> $b } @{$seen{$scope} || []};
    my $least = $seconds;

    for my $i ($n .. $#t) {
        my $span = $t[$i] - $t[$i - $n];
        $least = $span if $span < $least;
    }

    note sprintf '%s: %d calls, %d of them within %.3f s at least',
                 $scope, scalar @t, $n + 1, $least;
    cmp_ok $least, '>=', $window,
        "$scope: never more than $n within $window s";
}

# A unit is free again when its window and the slack have passed: in so many
# of these spans all of it can be used so many times

my ($n, $window) = @{$limit{all}};
my $spans = int($seconds / ($window + $slack));
my @t     = sort { $a <=> $b } @{$seen{all}};
my $used  = grep { $_ < $t[0] + $spans * ($window + $slack) } @t;

$used /= $n * $spans;

note sprintf '%.1f %% of what is allowed was used', 100 * $used;
cmp_ok $used, '>=', 0.97, 'and all of it where more was asked for';

done_testing();
