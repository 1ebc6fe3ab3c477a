package Bench::Waiters;

# Clients that wait for runs: what they take of the worker's memory, and how
# soon they have their answer when the run is called back about.
#
# Each measurement has a gateway of its own, for memory that was given back
# is not seen to be.

use strict;
use warnings;

use IO::Socket::INET ();
use List::Util qw(max min);
use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes qw(sleep time);

use Bench::Body ();
use Bench::Server ();
use Bench::Signer ();
use Bench::Stat qw(median);

# files that servers and this process have open besides those of the waiters
my $SPARE = 300;

my $number = 0;


# new(setup =>, waiters =>, body =>)
sub new {
    my ($class, %o) = @_;
    my $self = bless { %o }, $class;
    my $setup = $self->{setup};

    $self->{signer} = Bench::Signer->new($setup->{dir});
    $self->{text} = Bench::Body::slurp($self->{body});

    my ($soft) = `sh -c 'ulimit -n'` =~ /(\d+)/;

    if (defined $soft && $self->{waiters} > $soft / 1.1 - 2 * $SPARE) {
        $self->{waiters} = int($soft / 1.1 - 2 * $SPARE);
        print STDERR "only $self->{waiters} waiters: ulimit -n is $soft\n";
    }

    # nginx closes connections on which nothing has come yet if it has only a
    # sixteenth left
    $setup->{vars}{FILES} = int($self->{waiters} * 1.1) + 2 * $SPARE;
    $setup->{vars}{KEYS} = $self->{signer}->keys;

    write_file("$setup->{dir}/conf/callback.secret",
               "the secret of the benchmark's callbacks\n");

    $setup->start_nginx("runs");

    return $self;
}


sub write_file {
    my ($file, $text) = @_;

    open my $fh, ">", $file or die "$file: $!\n";
    chmod 0600, $file;
    print $fh $text;
    close $fh or die "$file: $!\n";
}


# What a waiter takes, and how soon callers are told; by case.
sub measure {
    my ($self) = @_;
    my $many = $self->{waiters};
    my $runs = "v2/action-runs";

    return {
        own    => $self->hold("own", $many),
        bare   => $self->hold("bare", int $many / 4),
        polled => $self->hold("polled/action-runs", $many),
        called => $self->hold($runs, $many, sub { $self->wake_each(@_) }),
        one    => $self->hold("$runs/", $many, sub { $self->wake_all(@_) }),
    };
}


# Opens n requests for path, or, if it ends in a slash, for a run there; the
# worker's bytes for each of them, and what wake makes of them.
sub hold {
    my ($self, $path, $n, $wake) = @_;
    my $setup = $self->{setup};
    my ($run, @clients);

    truncate "$setup->{dir}/logs/runs.txt", 0;

    my $gateway = $setup->start_nginx("waiters");

    # what is made only once is there before
    my @first = map { $self->open_client($path =~ s{/\z}{}r) } 1 .. 20;

    if ($path =~ m{/\z}) {
        $run = $first[0];
        $path .= $run->{id};
    }

    $self->settle($gateway, scalar @first);

    my $before = private_memory($gateway->{worker});

    # each batch has connections to the upstream for a while
    while (@clients < $n) {
        push @clients, map { $self->open_client($path) }
                       1 .. min($SPARE / 2, $n - @clients);
        $self->await(sub { $self->started() >= @clients })
            if $path =~ m{action-runs\z};
    }

    $self->settle($gateway, $n);

    my %r = (waiters => $n,
             bytes => (private_memory($gateway->{worker}) - $before) / $n);

    $r{wake} = $wake->(\@clients, $run) if $wake;

    $_->{socket}->close for @first, @clients;
    $setup->stop_nginx("waiters");

    return \%r;
}


sub connect_client {
    my ($self) = @_;
    my $port = $self->{setup}{ports}{waiters};
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1",
                                       PeerPort => $port)
        or die "no connection to port $port: $!\n";

    # thousands of closed connections would take up the ports
    setsockopt $socket, SOL_SOCKET, SO_LINGER, pack "ii", 1, 0;

    return $socket;
}


# One request, of which nothing is read yet.
sub open_client {
    my ($self, $path) = @_;
    my $id = sprintf "run-%08d-0000-4000-8000-000000000000", $number++;
    my $get = $path =~ m{/action-runs/.};
    my $socket = $self->connect_client;

    my $text = join "", ($get ? "GET" : "POST"), " /$path HTTP/1.1\r\n",
        "Host: gateway.example.com\r\n",
        "User-Agent: bench/1.0\r\nAccept: */*\r\n",
        "X-Tenant: t0000000\r\nX-Run: $id\r\n";

    $text .= $get ? "Prefer: wait=600\r\n\r\n"
                  : "Content-Type: application/json\r\nContent-Length: "
                    . length($self->{text}) . "\r\n\r\n$self->{text}";

    $socket->syswrite($text) == length $text or die "a short write\n";

    return { socket => $socket, id => $id };
}


sub await {
    my ($self, $condition) = @_;

    for (1 .. 600) {
        return if $condition->();
        sleep 0.1;
    }

    die "the gateway does not come to rest\n";
}


# Runs that the upstream has started.
sub started {
    my ($self) = @_;

    return scalar(() = Bench::Body::slurp("$self->{setup}{dir}/logs/runs.txt") =~ /\n/g);
}


# Waits until the worker has so many files open and nothing to do any more.
sub settle {
    my ($self, $gateway, $files) = @_;
    my ($idle, $last) = (0, -1);

    $self->await(sub {
        my $now = Bench::Server::cpu_time($gateway->{worker});

        # a worker that only looks at its timers takes some, too
        $idle = $now - $last < 5e6 ? $idle + 1 : 0;
        $last = $now;

        return $idle >= 5
               && (() = glob "/proc/$gateway->{worker}/fd/*") >= $files;
    });
}


# What nobody else has: without shared memory, and pages of files.
sub private_memory {
    my ($pid) = @_;

    open my $fh, "<", "/proc/$pid/smaps_rollup"
        or die "/proc/$pid/smaps_rollup: $!\n";

    for (<$fh>) {
        return $1 * 1024 if /^Anonymous:\s+(\d+) kB/;
    }

    die "/proc/$pid/smaps_rollup does not tell\n";
}


# URLs that the upstream was given, by the ids of the runs.
sub callbacks {
    my ($self) = @_;
    my $text = Bench::Body::slurp("$self->{setup}{dir}/logs/runs.txt");
    my %url;

    while ($text =~ m{^(\S+) .*"callback_url":"http://[^/]+([^"]+)"}mg) {
        $url{$1} = $2;
    }

    return \%url;
}


sub call_back {
    my ($self, $http, $path, $id) = @_;
    my $body = Bench::Body::result($id, '{"message":"sent"}');
    my $token = $self->{signer}->token;

    my $sent = time();

    $http->syswrite("POST $path HTTP/1.1\r\nHost: gateway\r\n"
                    . "Zapier-Callback-Signature: $token\r\n"
                    . "Content-Type: application/json\r\nContent-Length: "
                    . length($body) . "\r\n\r\n$body");

    return $sent;
}


# Blocks until a whole answer is there.
sub answer {
    my ($socket) = @_;
    my $text = "";

    while ($text !~ /\r\n\r\n/
           || ($text =~ /^Content-Length: (\d+)\r\n/mi
               && length($text) < index($text, "\r\n\r\n") + 4 + $1))
    {
        $socket->sysread($text, 65536, length $text)
            or die "the gateway has closed a connection: $text\n";
    }

    return $text;
}


# Callbacks about some of the many runs, one after the other: ms until the
# caller has his answer.
sub wake_each {
    my ($self, $clients) = @_;
    my $url = $self->callbacks;
    my $http = $self->connect_client;
    my @times;

    my $n = min(200, $#$clients);

    for my $i (0 .. $n) {
        my $client = $clients->[int $i * $#$clients / $n];
        my $sent = $self->call_back($http, $url->{$client->{id}},
                                    $client->{id});
        my $text = answer($client->{socket});

        # the first one has to wait for the keys
        push @times, (time() - $sent) * 1000 if $i > 0;

        die "a waiter was answered with $text\n" if $text !~ /"success"/;

        $text = answer($http);
        die "a callback was answered with $text\n"
            if $text !~ m{^HTTP/1.1 204};
    }

    return { n => scalar @times, median => median(@times),
             worst => max(@times) };
}


# All wait for one run: ms until the first and the last one have theirs.
sub wake_all {
    my ($self, $clients, $run) = @_;
    my $url = $self->callbacks;
    my $http = $self->connect_client;
    my $sent = $self->call_back($http, $url->{$run->{id}}, $run->{id});
    my %r;

    for my $client (@$clients) {
        my $text = answer($client->{socket});

        $r{first} //= (time() - $sent) * 1000;
        die "a waiter was answered with $text\n" if $text !~ /"success"/;
    }

    $r{last} = (time() - $sent) * 1000;

    return \%r;
}


1;
