package Bench::Load;

# One measurement: wrk against one gateway.

use strict;
use warnings;

use Time::HiRes qw(time);

use Bench::Server ();


# run(script =>, port =>, method =>, path =>, body =>, tenants =>, order =>,
#     seconds =>, connections =>, worker =>, pin =>)
sub run {
    my (%o) = @_;
    my @command = ("wrk", "-t1", "-c", $o{connections}, "-d", "$o{seconds}s",
                   "--timeout", "10s", "-s", $o{script},
                   "http://127.0.0.1:$o{port}", "--", $o{method}, $o{path},
                   $o{body} // "-", $o{tenants}, $o{order} // "random");

    unshift @command, "taskset", "-c", $o{pin} if defined $o{pin};

    my $start = time();
    my $before = Bench::Server::cpu_time($o{worker});

    my $pid = open(my $fh, "-|", @command) // die "$command[0]: $!\n";

    Bench::Server::own($pid);
    my @lines = <$fh>;
    close $fh;
    Bench::Server::disown($pid);

    my $cpu = Bench::Server::cpu_time($o{worker}) - $before;
    my ($line) = grep { /^bench / } @lines;

    die "wrk failed:\n", @lines if !defined $line;

    my %r = (usec => (time() - $start) * 1e6, $line =~ /(\w+)=(\d+)/g);

    die "no request was answered on port $o{port} $o{path}\n"
        if !$r{requests};

    return {
        requests => $r{requests},
        refused  => $r{status},
        broken   => $r{socket},
        cpu      => $cpu / $r{requests} / 1000,
        busy     => $cpu / $r{usec} / 1000,
        rps      => $r{requests} / $r{usec} * 1e6,
        p50      => $r{p50},
        p99      => $r{p99},
    };
}


1;
