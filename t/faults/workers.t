# Workers killed and configurations reloaded under load.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();
my $node    = node(redis => $redis, sandbox => $sandbox, workers => 2,
                   http => 'zapier_limit_zone ip key=all limit=100000'
                         . ' window=60s;',
                   server => <<'END');
    zapier_tenant $http_x_tenant;
    zapier_limit ip;
    location / {
        include $params;
        zapier_body action_run;
        proxy_pass http://sandbox;
    }
END

token($redis, 'acme');

# A caller for some seconds in a process of its own: its statuses.

sub load {
    my ($seconds) = @_;

    pipe my $out, my $in or die "pipe: $!";
    my $pid = fork // die "fork: $!";

    if ($pid == 0) {
        my $until = time + $seconds;
        my %seen;

        # a connection each: an old worker closes the idle ones, which a
        # client may notice too late

        while (time < $until) {
            my $status = client($node)->request(
                POST => '/v2/action-runs', {'X-Tenant' => 'acme'},
                '{"action":"core:a","inputs":{}}')->{status};
            $seen{$status}++;
        }

        print $in join ' ', %seen;
        CORE::close $in;
        POSIX::_exit(0);
    }

    CORE::close $in;

    return sub {
        my $text = <$out> // '';
        waitpid $pid, 0;
        return split / /, $text;
    };
}

require POSIX;

sub total {
    my %sum;

    for my $load (@_) {
        my %seen = $load->();
        $sum{$_} += $seen{$_} for keys %seen;
    }

    return \%sum;
}

# reload

my @loads = map { load(4) } 1 .. 3;

for (1 .. 3) {
    sleep 0.7;
    $node->reload;
}

my $seen = total(@loads);

is_deeply [keys %$seen], [200], 'no request fails while nginx reloads';
cmp_ok $seen->{200}, '>', 50, 'and there were many';

# kill

@loads = map { load(4) } 1 .. 3;

for (1 .. 3) {
    sleep 0.9;
    kill 'KILL', ($node->workers)[0];
}

$seen = total(@loads);

ok !(grep { $_ != 200 && $_ != 0 } keys %$seen),
   'a killed worker takes only its own connections along';

# what it held is free: the zone, the watch, the right to read

token($redis, 'fresh');
sleep 1.5;

my %fresh;
$fresh{client($node)->request(GET => '/v2/actions?app=x',
                              {'X-Tenant' => 'fresh'})->{status}}++
    for 1 .. 20;
is_deeply \%fresh, {200 => 20}, 'and locks nobody out';

token($redis, 'fresh', access_token => 'other-token');
sleep 1.2;
$sandbox->forget;
client($node)->request(GET => '/v2/actions?app=x', {'X-Tenant' => 'fresh'})
    for 1 .. 10;
my %tokens = map { ($_->{headers}{Authorization}
                    // $_->{headers}{authorization})->[0] => 1 }
             $sandbox->requests;
is_deeply [keys %tokens], ['Bearer other-token'],
          'changed records are noticed again';

ok $node->stop, 'nginx stops';
is_deeply [$node->complaints('exited on signal 9',
                             'shared memory zone .* was locked by')], [],
          'nothing else grave in the log';

done_testing();
