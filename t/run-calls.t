# What a finished run costs: one call if it is called back about, six if it
# takes 30 s and is polled.  FAULTS_RUN says how many seconds it takes; the
# polls are as much more frequent as it is shorter.

use strict;
use warnings;

use lib 't/lib';
use List::Util qw(max sum0);
use Test::More;
use Time::HiRes qw(time);
use ZapierNode;

my $ms       = ($ENV{FAULTS_RUN} || 1.5) * 1000;
my $interval = int($ms / 30);
my $wait     = 3 * $ms;
my $runs     = 20;

my $redis   = redis();
my $sandbox = sandbox();
my $port    = free_port();
my $secret  = $redis->dir . '/callback.secret';

open my $file, '>', $secret or die "$secret: $!";
print $file "sandbox-callback-secret\n";
close $file;
chmod 0600, $secret;

my %conf = (
    redis => $redis, sandbox => $sandbox, workers => 2,
    http => "zapier_callback_secret $secret; zapier_callback_keys /keys;",
    server => <<"END");
        zapier_tenant acme;
        zapier_body   action_run;
        zapier_wait   ${wait}ms interval=${interval}ms;
        include       \$params;

        location /v2/action-runs {
            proxy_pass http://sandbox;
        }

        location /called/action-runs {
            zapier_callback http://127.0.0.1:$port/callback;
            proxy_pass      http://sandbox/v2/action-runs;
        }

        location /callback/ { zapier_callback receive; }

        location = /keys {
            internal;
            proxy_pass http://sandbox/.well-known/jwks.json;
        }
END

my @nodes = (node(%conf, port => $port), node(%conf));

token($redis, 'acme');
$sandbox->config(run => {duration => $ms});

# Starts the runs at once, in turns at each node; returns the calls of each.

sub cost {
    my ($path) = @_;
    my $run = '{"action":"core:a","inputs":{}}';
    my (%calls, $finished);

    $sandbox->forget;

    my @clients = map { client($_, timeout => $wait / 1000 + 10) }
                  (@nodes) x ($runs / 2);

    $_->send("POST $path HTTP/1.1\r\nHost: x\r\nContent-Length: "
             . length($run) . "\r\n\r\n$run") for @clients;
    $finished = grep { $_->read->{body} =~ /"status":"success"/ } @clients;

    is $finished, $runs, "$path: all are finished";

    for ($sandbox->requests) {
        $calls{$_->{run} // ($_->{target} =~ m{([^/]+)\z})[0]}++;
    }

    is keys %calls, $runs, 'and no others';

    return values %calls;
}

my @calls = cost('/called/action-runs');

is max(@calls), 1, 'with callbacks: a call for each run';

@calls = cost('/v2/action-runs');

cmp_ok max(@calls), '<=', 6, 'without: six at most';
cmp_ok max(@calls), '>', 1, 'more than one';
diag sprintf '%.2f calls for a run of %g s', sum0(@calls) / @calls,
    $ms / 1000;

for my $node (@nodes) {
    is_deeply [$node->complaints], [], 'no complaints';
    ok $node->stop, 'stopped';
}

done_testing;
