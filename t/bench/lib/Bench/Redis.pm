package Bench::Redis;

# Token records, as an operator's script would write them.

use strict;
use warnings;


sub token {
    my ($n) = @_;

    return sprintf "bench-%07d-%026d", $n, $n * 7919;
}


sub command {
    return join "", "*", scalar @_, "\r\n",
                map { ("\$", length, "\r\n", $_, "\r\n") } @_;
}


sub store {
    my ($port, $key, $value) = @_;
    my $fh = pipe_to($port);

    print $fh command("SET", $key, $value, "EX", 86400);
    close $fh or die "redis-cli could not store $key\n";
}


sub pipe_to {
    my ($port) = @_;

    open my $fh, "|-", "redis-cli -p $port --pipe > /dev/null"
        or die "redis-cli: $!\n";

    return $fh;
}


sub add_tenants {
    my ($port, $from, $to) = @_;
    my $expires = time() + 30 * 86400;
    my $fh = pipe_to($port);

    for my $n ($from .. $to - 1) {
        print $fh command("HSET", sprintf("zapier:token:{t%07d}", $n),
                          "access_token", token($n), "expires_at", $expires,
                          "scope", "action:run", "version", 1);
    }

    close $fh or die "redis-cli could not store the tokens\n";
}


1;
