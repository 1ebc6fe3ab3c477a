package Bench::Report;

# The table on standard output and the JSON file.

use strict;
use warnings;

use JSON::PP ();
use List::Util qw(min);
use POSIX ();

use Bench::Stat qw(median spread pairs);

my @measures = qw(cpu rps p50 p99 busy);


sub first_match {
    my ($command, $regex) = @_;
    my ($found) = `$command 2>&1` =~ $regex;

    return $found;
}


sub machine {
    my ($setup) = @_;

    return {
        processor   => first_match("cat /proc/cpuinfo",
                                   qr/^model name\s*: (.*)$/m),
        processors  => 0 + first_match("getconf _NPROCESSORS_ONLN",
                                       qr/(\d+)/),
        memory_kb   => 0 + first_match("cat /proc/meminfo",
                                       qr/^MemTotal:\s+(\d+)/m),
        kernel      => (POSIX::uname())[2],
        system      => first_match("cat /etc/os-release",
                                   qr/^PRETTY_NAME="?(.*?)"?$/m),
        gateway_cpu => $setup->{cpu},
        load_cpu    => $setup->{load_cpu},
    };
}


sub versions {
    my ($setup) = @_;

    return {
        nginx  => first_match("$setup->{nginx} -v", qr{nginx/(\S+)}),
        module => first_match("git -C '$setup->{source}' describe --always "
                              . "--dirty --tags", qr/^(\S+)$/),
        lua    => first_match("dpkg-query -W -f '\${Version}' "
                              . "libnginx-mod-http-lua", qr/^(\d\S*)$/),
        redis  => first_match("redis-server --version", qr/v=(\S+)/),
        wrk    => first_match("wrk -v", qr/wrk (\S+)/),
    };
}


# Others on the machine only ever add to what a request costs.
sub best {
    my ($rounds) = @_;

    return min(map { $_->{cpu} } @$rounds);
}


# Several rounds become one line.
sub summary {
    my ($case, $variant, $base) = @_;
    my $rounds = $variant->{rounds};
    my %line = (case => $case->{name}, gateway => $variant->{name},
                rounds => scalar @$rounds);

    for my $m (@measures) {
        $line{$m} = median(map { $_->{$m} } @$rounds);
    }

    $line{cpu_spread} = spread(map { $_->{cpu} } @$rounds);
    $line{cpu_best} = best($rounds);
    $line{cpu_best_ratio} = best($rounds) / best($base->{rounds});
    $line{requests} = 0;
    $line{requests} += $_->{requests} for @$rounds;

    for my $m (qw(cpu rps)) {
        my @ratios = pairs([ map { $_->{$m} } @$rounds ],
                           [ map { $_->{$m} } @{$base->{rounds}} ]);

        $line{"${m}_ratio"} = median(@ratios);
        $line{"${m}_ratio_spread"} = spread(@ratios);
    }

    return \%line;
}


sub lines {
    my (@cases) = @_;

    return map {
        my $case = $_;
        my $base = $case->{variants}[0];

        map { summary($case, $_, $base) } @{$case->{variants}};
    } @cases;
}


sub print_table {
    my (@lines) = @_;
    my $last = "";

    printf "%-22s %-14s %8s %6s %13s %6s %8s %6s %7s %7s\n", "", "",
           "cpu, us", "ratio", "middle half", "best", "req/s", "ratio",
           "p50, us", "p99, us";

    for my $l (@lines) {
        printf "%-22s %-14s %8.1f %6.3f %5.2f - %5.2f %6.3f %8.0f %6.3f "
               . "%7.0f %7.0f\n", $l->{case} eq $last ? "" : $l->{case},
               $l->{gateway}, $l->{cpu}, $l->{cpu_ratio},
               @{$l->{cpu_ratio_spread}}, $l->{cpu_best_ratio}, $l->{rps},
               $l->{rps_ratio}, $l->{p50}, $l->{p99};

        $last = $l->{case};
    }
}


sub print_waiters {
    my ($w) = @_;
    my %names = (own    => "nginx's own connection and request",
                 bare   => "proxy_pass whose upstream is slow",
                 polled => "POST that waits for its run, polled",
                 called => "POST that waits for its run, called back",
                 one    => "GET, all wait for one run");

    print "\n";

    for my $name (qw(own bare polled called one)) {
        printf "%-45s %6d waiters %7.0f B\n", $names{$name},
               $w->{$name}{waiters}, $w->{$name}{bytes};
    }

    printf "\none of %d woken within %.1f ms (median), %.1f ms (worst of %d)\n",
           $w->{called}{waiters}, @{$w->{called}{wake}}{qw(median worst n)};
    printf "%d of one run woken: the first after %.0f ms, the last after "
           . "%.0f ms\n", $w->{one}{waiters}, @{$w->{one}{wake}}{qw(first last)};
}


sub print_targets {
    my (@targets) = @_;

    print "\n";

    for my $t (@targets) {
        printf "%-60s %8s  aim %s %s: %s\n", $t->{name},
               $t->{unit} eq "" ? sprintf("%.3f", $t->{value})
                                : sprintf("%.0f", $t->{value}),
               $t->{at_least} ? ">=" : "<=", "$t->{aim}$t->{unit}",
               $t->{met} ? "met" : "NOT met";
    }
}


# Three decimals are more than any of this is worth.
sub rounded {
    my ($value) = @_;

    return [ map { rounded($_) } @$value ] if ref $value eq "ARRAY";
    return { map { $_ => rounded($value->{$_}) } keys %$value }
        if ref $value eq "HASH";

    return 0 + sprintf "%.3f", $value
        if defined $value && !ref $value && $value =~ /^-?\d+\.\d{4,}$/;

    return $value;
}


sub write_json {
    my ($file, $result) = @_;

    open my $fh, ">", $file or die "$file: $!\n";
    print $fh JSON::PP->new->canonical->pretty->encode(rounded($result));
    close $fh or die "$file: $!\n";
}


1;
