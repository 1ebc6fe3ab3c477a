package Zapier::Redis;

# A redis-server, started here or elsewhere, and a client of it.
#
#   my $redis = Zapier::Redis->new(port => 24110)->start;
#   my $redis = Zapier::Redis->attach(socket => '/run/redis.sock');
#   $redis->cmd(HSET => 'zapier:token:{acme}', access_token => 'secret');

use strict;
use warnings;

use parent 'Zapier::Process';

use IO::Socket::INET;
use IO::Socket::UNIX;
use Time::HiRes ();


sub attach {
    my ($class, %args) = @_;

    return $class->new(dir => '/nonexistent', %args);
}


sub start {
    my ($self, @options) = @_;

    $self->{socket} = "$self->{dir}/redis.sock";
    delete $self->{link};

    $self->spawn('redis-server', '--port' => $self->{port},
                 '--bind' => '127.0.0.1', '--unixsocket' => $self->{socket},
                 '--unixsocketperm' => '777', '--save' => '',
                 '--appendonly' => 'no', '--daemonize' => 'no',
                 '--dir' => $self->{dir}, '--loglevel' => 'warning',
                 @options);
    chmod 0755, $self->{dir};

    $self->wait_port;

    # the port is bound before the socket listens

    for (1 .. 200) {
        last if IO::Socket::UNIX->new(Peer => $self->{socket});
        Time::HiRes::sleep(0.01);
    }

    return $self;
}


sub socket { $_[0]{socket} }


# Returns the reply: a string, undef for nil, a list for an array.  Dies of
# an error reply.

sub cmd {
    my ($self, @args) = @_;

    my $link = $self->{link} ||= $self->open;
    my $text = '*' . @args . "\r\n";

    for my $arg (@args) {
        utf8::encode($arg) if utf8::is_utf8($arg);
        $text .= '$' . length($arg) . "\r\n$arg\r\n";
    }

    print $link $text;

    my $reply = eval { read_reply($link) };

    if (my $error = $@) {
        delete $self->{link} if $error !~ /^-/;
        die "Redis: $error";
    }

    return ref $reply && wantarray ? @$reply : $reply;
}


# One command a line, with '' and "" as in a shell; "#" starts a comment.

sub script {
    my ($self, $text) = @_;

    require Text::ParseWords;

    for my $line (split /\n/, $text) {
        next if $line =~ /^\s*(?:#|$)/;
        $self->cmd(Text::ParseWords::shellwords($line));
    }
}


# A link of its own, for tests that need the bytes.

sub open {
    my ($self) = @_;

    return ($self->{socket}
        ? IO::Socket::UNIX->new(Peer => $self->{socket})
        : IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                PeerPort => $self->{port}))
        // die "Redis: connect: $!";
}


sub read_reply {
    my ($link) = @_;

    my $line = <$link> // die "closed\n";
    $line =~ s/\r\n\z//;

    my ($type, $rest) = $line =~ /^(.)(.*)$/s or die "bad reply: $line\n";

    return $rest if $type eq '+' || $type eq ':';
    die "-$rest\n" if $type eq '-';
    return undef if $rest < 0;
    return [map { read_reply($link) } 1 .. $rest] if $type eq '*';

    my $bytes = '';
    while (length $bytes < $rest + 2) {
        read($link, $bytes, $rest + 2 - length $bytes, length $bytes)
            or die "closed\n";
    }

    return substr $bytes, 0, $rest;
}


1;
