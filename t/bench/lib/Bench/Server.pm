package Bench::Server;

# Starts and ends the servers of a run, and tells the CPU time of a worker.

use strict;
use warnings;

use IO::Socket::INET ();
use POSIX ();
use Time::HiRes qw(sleep);

my %pids;


sub start {
    my ($name, $port, $log, @command) = @_;
    my $pid = fork();

    die "fork: $!\n" if !defined $pid;

    if ($pid == 0) {
        open STDIN, "<", "/dev/null";
        open STDOUT, ">>", $log;
        open STDERR, ">&", \*STDOUT;
        exec { $command[0] } @command or POSIX::_exit(127);
    }

    own($pid);

    for (1 .. 600) {
        return $pid if IO::Socket::INET->new(PeerAddr => "127.0.0.1",
                                             PeerPort => $port);

        if (waitpid($pid, POSIX::WNOHANG()) == $pid) {
            disown($pid);
            die "$name did not start, see $log\n";
        }

        sleep 0.05;
    }

    die "$name does not listen on port $port, see $log\n";
}


# What is owned when this process ends is ended, too.
sub own {
    my ($pid) = @_;

    $pids{$pid} = 1;
}


sub disown {
    my ($pid) = @_;

    return delete $pids{$pid};
}


sub stop {
    my ($pid) = @_;

    return if !disown($pid);

    kill "TERM", $pid;

    for (1 .. 100) {
        return if waitpid($pid, POSIX::WNOHANG()) != 0;
        sleep 0.05;
    }

    # an nginx master that is killed leaves its workers behind
    kill "KILL", children($pid), $pid;
    waitpid $pid, 0;
}


sub stop_all {
    stop($_) for keys %pids;
}


sub children {
    my ($parent) = @_;
    my @found;

    for my $file (glob "/proc/[0-9]*/stat") {
        open my $fh, "<", $file or next;
        my $line = <$fh> // next;

        push @found, $1 if $line =~ /^(\d+) \(.*\) \S (\d+) /
                           && $2 == $parent;
    }

    return @found;
}


# Nanoseconds on the CPU; by clock ticks where the kernel does not count
# them for the scheduler.
sub cpu_time {
    my ($pid) = @_;

    if (open my $fh, "<", "/proc/$pid/schedstat") {
        my ($time) = split / /, <$fh> // "";
        return $time if $time;
    }

    open my $fh, "<", "/proc/$pid/stat" or die "worker $pid is gone\n";
    my @fields = split / /, (<$fh> =~ s/^.*\) //r);

    return ($fields[11] + $fields[12]) * 1e9
           / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}


sub shared_memory {
    my ($pid) = @_;

    open my $fh, "<", "/proc/$pid/status" or return 0;

    for (<$fh>) {
        return $1 * 1024 if /^RssShmem:\s+(\d+) kB/;
    }

    return 0;
}


1;
