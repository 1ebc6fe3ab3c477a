package Zapier::Client;

# An HTTP/1.1 client that keeps its connection and hides nothing.
#
#   my $http = Zapier::Client->new(port => 24112);
#   my $r = $http->request(POST => '/v2/action-runs',
#                          {'X-Tenant' => 'acme'}, '{"action":"core:a"}');
#   $r->{status}, $r->{headers}{'retry-after'}, $r->{body}, $r->{raw}
#
# A failure is the status 0 and $r->{error}.  send() and read() do the two
# halves of it, with any bytes.

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(time);


sub new {
    my ($class, %self) = @_;

    return bless {host => '127.0.0.1', timeout => 10, buffer => '', %self},
                 $class;
}


sub request {
    my ($self, $method, $target, $headers, $body) = @_;

    my %all  = (Host => 'localhost', %{$headers // {}});
    my $text = "$method $target HTTP/1.1\r\n";

    if (defined $body) {
        utf8::encode($body) if utf8::is_utf8($body);
        $all{'Content-Length'} //= length $body
            if !$all{'Transfer-Encoding'};
        $all{'Content-Type'} //= 'application/json';
    }

    for my $name (sort keys %all) {
        $text .= "$name: $_\r\n"
            for ref $all{$name} ? @{$all{$name}} : $all{$name};
    }

    $self->close if $self->stale;
    $self->send("$text\r\n" . ($body // ''))
        or return {status => 0, error => "send: $!"};

    return $self->read($method eq 'HEAD');
}


sub send {
    my ($self, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';

    $self->connect or return 0;

    while (length $bytes) {
        my $n = syswrite($self->{socket}, $bytes) // return 0;
        substr $bytes, 0, $n, '';
    }

    return 1;
}


sub connect {
    my ($self) = @_;

    return $self->{socket} ||= IO::Socket::INET->new(
        PeerAddr => $self->{host}, PeerPort => $self->{port},
        Timeout => $self->{timeout});
}


sub close {
    my ($self) = @_;

    delete $self->{socket};
    $self->{buffer} = '';
}


# Has the other side closed an idle connection?

sub stale {
    my ($self) = @_;

    return 0 if !$self->{socket} || length $self->{buffer};
    return IO::Select->new($self->{socket})->can_read(0) ? 1 : 0;
}


sub read {
    my ($self, $head_only) = @_;
    my %answer = (status => 0, raw => '', body => '', headers => {},
                  all => []);

    $self->{until} = time + $self->{timeout};

    my $ok = eval {
        do {
            %answer = (%answer, %{$self->head});
        } while ($answer{status} >= 100 && $answer{status} < 200);

        $answer{body} = $self->body(\%answer) if !$head_only;
        1;
    };

    if (!$ok) {
        chomp($answer{error} = $@);
        $answer{partial} = $self->{buffer};
        $answer{status} = 0;
        $self->close;
        return \%answer;
    }

    $self->close if lc($answer{headers}{connection} // '') eq 'close';

    return \%answer;
}


sub head {
    my ($self) = @_;

    $self->fill while $self->{buffer} !~ /\r\n\r\n/;
    $self->{buffer} =~ s/^(.*?\r\n)\r\n//s;

    my $raw = $1;
    my ($line, @lines) = split /\r\n/, $raw;
    my ($status) = $line =~ m{^HTTP/1\.[01] (\d{3})}
        or die "bad status line: $line\n";
    my (%headers, @all);

    for (@lines) {
        my ($name, $value) = /^([^:]+):\s*(.*?)\s*$/ or die "bad header: $_\n";
        push @all, [$name, $value];
        $headers{lc $name} = exists $headers{lc $name}
                           ? "$headers{lc $name}, $value" : $value;
    }

    return {status => $status, raw => $raw, headers => \%headers,
            all => \@all};
}


sub body {
    my ($self, $answer) = @_;
    my $headers = $answer->{headers};

    return '' if $answer->{status} == 204 || $answer->{status} == 304;

    if (($headers->{'transfer-encoding'} // '') =~ /chunked/i) {
        my $body = '';

        while (1) {
            $self->fill while $self->{buffer} !~ /\r\n/;
            $self->{buffer} =~ s/^([0-9a-fA-F]+)[^\r\n]*\r\n//
                or die "bad chunk\n";
            my $n = hex $1;
            $self->fill while length $self->{buffer} < $n + 2;
            $body .= substr $self->{buffer}, 0, $n, '';
            substr $self->{buffer}, 0, 2, '';
            return $body if $n == 0;
        }
    }

    if (defined(my $n = $headers->{'content-length'})) {
        $self->fill while length $self->{buffer} < $n;
        return substr $self->{buffer}, 0, $n, '';
    }

    1 while eval { $self->fill };
    die $@ if $@ !~ /^closed/;

    my $body = $self->{buffer};
    $self->close;
    return $body;
}


sub fill {
    my ($self) = @_;
    my $left = $self->{until} - time;

    $self->{socket} or die "not connected\n";
    $left > 0 && IO::Select->new($self->{socket})->can_read($left)
        or die "timeout\n";

    my $n = sysread($self->{socket}, $self->{buffer}, 65536,
                    length $self->{buffer}) // die "read: $!\n";
    die "closed\n" if $n == 0;

    return 1;
}


1;
