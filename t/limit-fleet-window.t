# The count in Redis, asked as nodes do, for limits from 1 a second to 1000000
# a minute: no window is overrun, nobody waits for more than 2 % of a window
# longer than need be, and a key's memory does not grow with its limit.

use strict;
use warnings;

use lib 't/lib';
use List::Util qw(max min sum);
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $redis = redis();
my $dir   = 'ngx_zapier_module/redis/scripts';

my %script = map {
    ($_ => $redis->cmd(SCRIPT => LOAD =>
                       Zapier::Process::slurp("$dir/limit_$_.lua")))
} qw(claim return);

# a node's name is of 32 bytes

my @nodes = map { sprintf '%032x', $_ } 1 .. 3;

# What is asked for at once, or with so much more on lease

my @scopes = map {
    my ($limit, $window, $lease) = @$_;
    my $units = int(($limit + 49) / 50);

    {limit => $limit, window => $window, units => $units,
     want => $lease ? 2 * $units : 0, lease => $lease,
     key => "limit:{all}:$limit:$window:$lease",
     due => 0, calls => [], late => 0, early => 0}
} [1, 1000, 0], [10, 1000, 0], [60, 1500, 0], [128, 1000, 0], [129, 1000, 0],
  [1000, 1000, 0], [1000, 1000, 10], [16667, 1000, 0], [16667, 1000, 10],
  [50000, 3000, 0], [50000, 3000, 30];

# ms until so many units are free, by a plain log of calls

sub ideal {
    my ($scope, $now, $stamp) = @_;
    my @live = grep { $_->{$stamp} + $scope->{window} > $now }
               @{$scope->{calls}};
    my $lack = sum(0, map { $_->{units} } @live) + $scope->{units}
               - $scope->{limit};

    for my $call (sort { $a->{$stamp} <=> $b->{$stamp} } @live) {
        return 0 if $lack <= 0;
        $lack -= $call->{units};
        return $call->{$stamp} + $scope->{window} - $now if $lack <= 0;
    }

    return 0;
}

sub claim {
    my ($scope) = @_;
    my $node  = $nodes[rand @nodes];
    my $start = time * 1000;
    my ($granted, $units, $left, $reset, $wait, $alive, $stamp, $lease)
        = $redis->cmd(EVALSHA => $script{claim}, 2, 'limit:{all}',
                      $scope->{key}, $node,
                      join ' ', @$scope{qw(limit window units want lease)},
                      1, 0, $scope->{units}, 0, 0, 0);
    my $now = time * 1000;

    if (!$granted) {

        # Redis' time was between the two of ours, and is cut to ms

        $scope->{late}  = max($scope->{late},
                              $wait - ideal($scope, $start, 'last') - 2);
        $scope->{early} = max($scope->{early},
                              ideal($scope, $now, 'first') - $wait - 2);
        $scope->{due}   = $now + min($wait, 50);
        return;
    }

    if (rand() < 0.1) {
        $redis->cmd(EVALSHA => $script{return}, 1, $scope->{key}, $node,
                    "$scope->{limit} $scope->{window} $units $stamp 0 0");
        return;
    }

    # A unit on lease may be used at any time until it ends

    my $used = $lease && rand $lease;

    push @{$scope->{calls}},
        {units => $units, from => $start + $used, to => $now + $used,
         first => $start + $lease, last => $now + $lease};
    $scope->{size} = max($scope->{size} // 0,
                         $redis->cmd(STRLEN => $scope->{key}));
}

my $end = time + 7;

while (time < $end) {
    my @due = grep { $_->{due} <= time * 1000 } @scopes;

    claim($_) for @due;
    sleep 0.003;
}

for my $scope (@scopes) {
    my ($limit, $window) = @$scope{qw(limit window)};
    my @calls = sort { $a->{to} <=> $b->{to} } @{$scope->{calls}};
    my ($first, $sum, $most) = (0, 0, 0);
    my $name = "$limit in $window ms" . ($scope->{lease} ? ' on lease' : '');

    for my $call (@calls) {
        $sum += $call->{units};
        $sum -= $calls[$first++]{units}
            while $calls[$first]{from} + $window <= $call->{to};
        $most = max($most, $sum);
    }

    my $got = sum(0, map { $_->{units} } @calls);

    note sprintf '%s: %d units, at most %d in a window; %.1f ms late, '
                 . '%.1f early; %d bytes', $name, $got, $most,
                 @$scope{qw(late early size)};

    cmp_ok $most, '<=', $limit, "$name: never more in a window";
    cmp_ok $got, '>=', 1.5 * $limit, 'though more is asked for';
    cmp_ok $scope->{early}, '<=', 0, 'nobody is asked to come too early';
    cmp_ok $scope->{late}, '<', $limit > 128 ? 0.02 * $window : 1,
        'or more than 2 % of a window too late';
    cmp_ok $scope->{size}, '<=', @nodes * (min($limit, 130) * 52 + 10),
        'in memory that does not grow with it';
}

done_testing();
