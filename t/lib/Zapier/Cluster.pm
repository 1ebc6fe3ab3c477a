package Zapier::Cluster;

# A Redis Cluster: three masters with a replica each.
#
#   my $cluster = Zapier::Cluster->new(sub { free_port() });
#   my $redis = $cluster->of('acme');       # the master of a tag
#   $cluster->whole or die;

use strict;
use warnings;

use Time::HiRes qw(sleep time);
use Zapier::Redis;


sub new {
    my ($class, $port, @options) = @_;
    my $self = bless {port => $port, options => \@options}, $class;
    my @servers = map { $self->server } 0 .. 5;

    $self->{servers} = \@servers;

    for my $i (0 .. 2) {
        $servers[$i]->cmd(CLUSTER => ADDSLOTSRANGE => int(16384 * $i / 3),
                          int(16384 * ($i + 1) / 3) - 1);
        $servers[$i]->cmd(CLUSTER => 'SET-CONFIG-EPOCH' => $i + 1);
    }

    $self->meet($_) for @servers[1 .. 5];

    for my $i (0 .. 2) {
        my $id = $servers[$i]->cmd(CLUSTER => 'MYID');
        my $until = time + 10;

        while (time < $until) {
            last if eval {
                $servers[3 + $i]->cmd(CLUSTER => REPLICATE => $id);
                1;
            };
            sleep 0.05;
        }
    }

    return $self;
}


sub servers { @{$_[0]{servers}} }


sub server {
    my ($self) = @_;
    my $bus = $self->{port}->();
    my $server = Zapier::Redis->new(port => $self->{port}->(), bus => $bus);

    return $self->again($server);
}


# Starts a server, perhaps one that has died: it knows who it is.

sub again {
    my ($self, $server) = @_;

    return $server->start(
        '--cluster-enabled' => 'yes', '--cluster-port' => $server->{bus},
        '--cluster-node-timeout' => 1000,
        '--cluster-replica-validity-factor' => 0,
        '--repl-diskless-sync-delay' => 0, @{$self->{options}});
}


sub meet {
    my ($self, $server) = @_;
    $self->{servers}[0]->cmd(CLUSTER => MEET => '127.0.0.1', $server->port,
                             $server->{bus});
}


# One more server, without slots; true if all know it.

sub grow {
    my ($self) = @_;
    my $server = $self->server;
    my $until  = time + 10;

    $self->meet($server);
    push @{$self->{servers}}, $server;

    while (time < $until) {
        return $server if !grep {
            $_->cmd(CLUSTER => 'INFO')
                !~ /cluster_state:ok.*cluster_known_nodes:7\b/s
        } $self->servers;
        sleep 0.05;
    }

    return;
}


# A slot begins to move, moves all its keys, has moved.

sub moving {
    my ($self, $slot, $from, $to) = @_;
    my ($from_id, $to_id) = map { $_->cmd(CLUSTER => 'MYID') } $from, $to;

    $to->cmd(CLUSTER => SETSLOT => $slot, IMPORTING => $from_id);
    $from->cmd(CLUSTER => SETSLOT => $slot, MIGRATING => $to_id);
}


sub move {
    my ($self, $slot, $from, $to) = @_;
    my @keys = @{$from->cmd(CLUSTER => GETKEYSINSLOT => $slot, 10)};

    $from->cmd(MIGRATE => '127.0.0.1', $to->port, '', 0, 1000, KEYS => @keys)
        if @keys;
}


sub moved {
    my ($self, $slot, $from, $to) = @_;
    my $id = $to->cmd(CLUSTER => 'MYID');

    $_->cmd(CLUSTER => SETSLOT => $slot, NODE => $id)
        for $to, $from, grep { $_ != $to && $_ != $from
                               && $_->cmd('ROLE')->[0] eq 'master' }
                            $self->servers;
}


# Is it one cluster, of three masters and as many replicas that follow?

sub whole {
    my ($self) = @_;
    my $until = time + 20;

    while (time < $until) {
        return 1 if eval {
            !grep {
                $_->cmd(CLUSTER => 'INFO') !~ /cluster_state:ok/
                    || (() = $_->cmd(CLUSTER => 'NODES') =~ /\bslave\b/g) != 3
                    || $_->cmd(CLUSTER => 'NODES') =~ /\bfail\b/
                    || $_->cmd(INFO => 'replication')
                       =~ /master_link_status:down/
            } $self->servers;
        };

        # who changes its role drops its clients
        delete $_->{link} for $self->servers;
        sleep 0.05;
    }

    return 0;
}


sub slot {
    my ($self, $tag) = @_;

    my ($server) = grep { $_->running } $self->servers;

    return $server->cmd(CLUSTER => KEYSLOT => "{$tag}");
}


sub of {
    my ($self, $tag) = @_;
    my $slot = $self->slot($tag);

    for my $server (grep { $_->running } $self->servers) {
        my $slots = eval { $server->cmd(CLUSTER => 'SLOTS') } or next;

        for my $range (@$slots) {
            next if $slot < $range->[0] || $slot > $range->[1];

            return (grep { $_->port == $range->[2][1] } $self->servers)[0];
        }
    }

    return;
}


1;
