package Zapier::Process;

# A daemon of a test in the foreground of a child, which never outlives the
# test.

use strict;
use warnings;

use File::Temp ();
use IO::Socket::INET;
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(sleep time);


sub new {
    my ($class, %self) = @_;

    $self{dir} ||= File::Temp::tempdir('zapier.XXXXXX', TMPDIR => 1,
                                       CLEANUP => 1);
    $self{owner} = $$;

    return bless \%self, $class;
}


sub dir  { $_[0]{dir} }
sub port { $_[0]{port} }
sub pid  { $_[0]{pid} }


sub spawn {
    my ($self, @command) = @_;

    my $pid = fork // die "fork: $!";

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$self->{dir}/stdout";
        open STDERR, '>>', "$self->{dir}/stderr";
        exec { $command[0] } @command
            or POSIX::_exit(127);
    }

    $self->{pid} = $pid;

    return $self;
}


sub running {
    my ($self) = @_;

    return 0 if !$self->{pid};
    return 1 if waitpid($self->{pid}, WNOHANG) == 0;

    delete $self->{pid};
    return 0;
}


# Dies with what the daemon wrote if the port does not open in time.

sub wait_port {
    my ($self, $seconds) = @_;
    my $until = time + ($seconds // 20);

    while (time < $until && $self->running) {
        return $self if IO::Socket::INET->new(
            PeerAddr => '127.0.0.1', PeerPort => $self->{port});
        sleep 0.02;
    }

    die ref($self), " does not listen on $self->{port}: ",
        map { Zapier::Process::slurp("$self->{dir}/$_") }
            qw(stdout stderr error.log);
}


sub signal {
    my ($self, $signal) = @_;

    return kill $signal, $self->{pid} if $self->{pid};
}


# Returns false if the process had to be killed.

sub stop {
    my ($self, $signal, $seconds) = @_;
    my $until = time + ($seconds // 15);

    return 1 if !$self->{pid} || $self->{owner} != $$;

    $self->signal('CONT');
    $self->signal($signal // 'TERM');

    while (time < $until) {
        return 1 if !$self->running;
        sleep 0.01;
    }

    $self->signal('KILL');
    waitpid $self->{pid}, 0;
    delete $self->{pid};

    return 0;
}


sub DESTROY {
    my ($self) = @_;
    local ($?, $@, $!);

    $self->stop if $self->{owner} == $$;
}


sub slurp {
    my ($name) = @_;

    open my $file, '<:raw', $name or return '';
    local $/;

    return <$file> // '';
}


# A port of 127.0.0.1 that nobody listens on now.

sub free_port {
    my ($from) = @_;

    for my $port ($from .. $from + 99) {
        return $port if IO::Socket::INET->new(
            LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 1,
            ReuseAddr => 1);
    }

    die "no free port from $from on";
}


1;
