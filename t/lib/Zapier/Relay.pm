package Zapier::Relay;

# A TCP relay, for servers that change behind one address.
#
#   my $relay = Zapier::Relay->new(port => 24120)->start($redis->port);
#   $relay->to($other->port);      # cuts what is connected
#   $relay->to(0);                 # nobody is there

use strict;
use warnings;

use parent 'Zapier::Process';

use IO::Select;
use IO::Socket::INET;
use POSIX ();


sub start {
    my ($self, $target) = @_;

    $self->write_target($target);

    $self->{pid} = fork // die "fork: $!";

    if ($self->{pid} == 0) {
        eval { $self->serve };
        print STDERR $@;
        POSIX::_exit(1);
    }

    return $self->wait_port;
}


sub to {
    my ($self, $target) = @_;

    $self->write_target($target);
    $self->signal('HUP');
}


sub write_target {
    my ($self, $target) = @_;

    open my $file, '>', "$self->{dir}/target.new" or die "target: $!";
    print $file $target;
    CORE::close $file;
    rename "$self->{dir}/target.new", "$self->{dir}/target";
}


sub serve {
    my ($self) = @_;
    my $cut = 0;
    my %peer;

    local $SIG{HUP} = sub { $cut = 1 };
    local $SIG{PIPE} = 'IGNORE';

    my $listen = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1', LocalPort => $self->{port}, Listen => 128,
        ReuseAddr => 1) or die "listen: $!";
    my $select = IO::Select->new($listen);

    my $drop = sub {
        for my $end (grep { $_ } $_[0], delete $peer{$_[0]}) {
            delete $peer{$end};
            $select->remove($end);
            close $end;
        }
    };

    while (1) {
        my @ready = $select->can_read(0.05);

        if ($cut) {
            $cut = 0;
            $drop->($_) for grep { $_ != $listen } $select->handles;
            next;
        }

        for my $end (@ready) {
            if ($end == $listen) {
                my $client = $listen->accept or next;
                my $target = Zapier::Process::slurp("$self->{dir}/target");
                my $server = IO::Socket::INET->new(
                    PeerAddr => '127.0.0.1', PeerPort => $target) or next;

                ($peer{$client}, $peer{$server}) = ($server, $client);
                $select->add($client, $server);
                next;
            }

            my $other = $peer{$end} or next;

            if (!sysread $end, my $bytes, 65536) {
                $drop->($end);
            } else {
                print $other $bytes;
                $other->flush;
            }
        }
    }
}


1;
