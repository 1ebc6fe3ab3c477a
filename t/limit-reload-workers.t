# No window is overrun and no gate forgotten, whatever happens to the workers.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ZapierNode;

use POSIX ();
use Time::HiRes qw(sleep time);


my $limit  = 30;
my $window = 2;

# what the admission time is off: nginx takes it once per turn of its loop
my $slack = 0.05;

my $redis   = redis();
my $sandbox = sandbox();


sub http {
    my ($n) = @_;

    return <<"END";
    zapier_limit_zone hard key=\$zapier_tenant limit=$n window=${window}s
                      mirror=off;
END
}


my $node = node(redis => $redis, sandbox => $sandbox, workers => 2,
                http => http($limit), server => <<'END');
        zapier_tenant $http_x_tenant;
        add_header X-Pid $pid always;

        location / {
            include $params;
            proxy_pass http://sandbox;
        }

        location /hard {
            zapier_limit hard;
            include $params;
            proxy_set_header X-Admitted $msec;
            proxy_pass http://sandbox/v2/actions;
        }
END

token($redis, $_) for qw(acme beta gamma);


# Asks until the time is over; writes what answers it got to a file.

sub load {
    my ($until, $name) = @_;
    my $pid = fork // die "fork: $!";

    return $pid if $pid;

    my %seen;
    my $client = client($node, timeout => 5);

    while (time < $until) {
        my $r = $client->request(GET => '/hard', {'X-Tenant' => 'acme'});

        $seen{$r->{status}}++;
        $client = client($node, timeout => 5) if rand() < 0.2;
        sleep 0.005 * rand;
    }

    open my $file, '>', $name or POSIX::_exit(1);
    print $file "$_ $seen{$_}\n" for keys %seen;
    CORE::close $file;
    POSIX::_exit(0);
}


subtest 'a window under load, reloads and killed workers' => sub {
    my $start = time;
    my $until = $start + 9;
    my $dir   = $node->dir;
    my @loads = map { load($until, "$dir/load$_") } 1 .. 4;

    sleep 1.5;
    $node->reload;
    sleep 1.5;
    kill KILL => ($node->workers)[0];
    sleep 1.5;
    $node->reload;
    sleep 1;
    kill KILL => $node->workers;
    sleep 1;
    $node->reload;

    waitpid $_, 0 for @loads;

    my %seen;
    for my $n (1 .. 4) {
        for (split /\n/, Zapier::Process::slurp("$dir/load$n")) {
            my ($status, $count) = split / /;
            $seen{$status} += $count;
        }
    }

    my @at = sort { $a <=> $b }
             map { $_->{headers}{'X-Admitted'}[0] // die 'no time' }
             $sandbox->requests;
    my ($most, $first) = (0, 0);

    for my $i (0 .. $#at) {
        $first++ while $at[$i] - $at[$first] >= $window - $slack;
        $most = $i - $first + 1 if $i - $first + 1 > $most;
    }

    diag join ', ', map { "$_: $seen{$_}" } sort keys %seen;

    cmp_ok $most, '<=', $limit, 'no window holds more than the limit';
    cmp_ok scalar @at, '>=', 0.9 * $limit * int(9 / $window),
           'and the limit is used';
    cmp_ok $seen{429} // 0, '>', 1000, 'for there was more demand';

    # those that were under way when a worker was killed fail
    is_deeply [grep { !/^(?:0|200|429)$/ } keys %seen], [], 'answers';
};


subtest 'a gate is closed for all workers, and after a reload' => sub {
    my %pids;

    $sandbox->forget;
    $sandbox->script({status => 429, headers => {'Retry-After' => 50}});

    is client($node)->request(GET => '/', {'X-Tenant' => 'beta'})->{status},
       429, 'closed by the upstream';

    my $refused = sub {
        my $wrong = 0;

        for (1 .. 200) {
            my $r = client($node)->request(GET => '/',
                                           {'X-Tenant' => 'beta'});
            $pids{$r->{headers}{'x-pid'}}++;
            $wrong++ if $r->{status} != 429
                        || $r->{headers}{'retry-after'} < 40;
            return $wrong if $_ >= 20 && keys %pids >= 2;
        }

        return 'one worker only';
    };

    is $refused->(), 0, 'in both workers';
    %pids = ();
    $node->reload;
    is $refused->(), 0, 'in those after a reload';
    kill KILL => $node->workers;
    sleep 0.5;
    %pids = ();
    is $refused->(), 0, 'in those after a crash';
    is scalar $sandbox->requests, 1, 'nobody else knocked';
};


subtest 'a limit changed by a reload' => sub {
    my $ask = sub {
        client($node)->request(GET => '/hard', {'X-Tenant' => 'gamma'})
    };
    my $started = time;

    for (1 .. 5) {
        is $ask->()->{status}, 200, 'call';
    }

    $node->reload(http => http(6) =~ s/\Q${window}s\E/60s/r);
    sleep 0.1 while $ask->()->{headers}{'x-ratelimit-limit'} != 6;

    is $ask->()->{status}, 429, 'a smaller one counts what was before';

    $node->reload(http => http(100) =~ s/\Q${window}s\E/60s/r);

    my $r;
    do { $r = $ask->() } while $r->{headers}{'x-ratelimit-limit'} != 100;
    is $r->{status}, 200, 'so does a greater one';
    cmp_ok $r->{headers}{'x-ratelimit-remaining'}, '<', 96, 'remaining';
};


is_deeply [$node->complaints(qr/exited on signal 9/)], [], 'no alerts';
ok $node->stop, 'stopped in time';

done_testing;
