package Zapier::Sentinel;

# A redis-server that is a Sentinel of the master "main", and a client of
# it.
#
#   my $sentinel = Zapier::Sentinel->new(
#       port => 24110, master => $redis->port,
#       options => ['requirepass secret'])->start;
#   $sentinel->cmd(SENTINEL => 'failover', 'main');
#   $sentinel->master;                      # its port

use strict;
use warnings;

use parent 'Zapier::Redis';


sub start {
    my ($self) = @_;
    my $dir  = $self->{dir};
    my $conf = "$dir/sentinel.conf";

    if (!-e $conf) {
        open my $file, '>', $conf or die "$conf: $!";
        print $file map { "$_\n" }
            'port ' . ($self->{tls} ? 0 : $self->{port}),
            'bind 127.0.0.1', "dir $dir", "logfile $dir/sentinel.log",
            @{$self->{options} // []},
            "sentinel monitor main 127.0.0.1 $self->{master} "
                . ($self->{quorum} // 2),
            'sentinel down-after-milliseconds main 500',
            'sentinel failover-timeout main 3000',
            @{$self->{sentinel} // []};
        close $file;
    }

    delete $self->{link};

    # it writes into its configuration
    $self->spawn('redis-server', $conf, '--sentinel');

    $self->wait_port;

    # Redis 7 can be told to hurry; what it does not know, it refuses

    eval {
        $self->cmd(SENTINEL => 'DEBUG', 'info-period' => 300,
                   'publish-period' => 300, 'ping-period' => 100,
                   'ask-period' => 200, 'slave-reconf-timeout' => 1000);
    };

    return $self;
}


sub master {
    my ($self) = @_;
    my $reply = $self->cmd(SENTINEL => 'get-master-addr-by-name', 'main');

    return $reply ? $reply->[1] : 0;
}


# What it knows of the master, as a hash.

sub state {
    my ($self) = @_;
    my %state = @{$self->cmd(SENTINEL => 'master', 'main')};

    return \%state;
}


1;
