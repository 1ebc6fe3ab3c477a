package ZapierNode;

# For tests that run nodes, servers and clients of their own:
#
#   use lib 't/lib';
#   use Test::More;
#   use ZapierNode;
#
#   my $redis   = redis();
#   my $sandbox = sandbox();
#   my $node    = node(redis => $redis, sandbox => $sandbox);
#   token($redis, 'acme');
#
#   my $r = client($node)->request(POST => '/v2/action-runs',
#                                  {'X-Tenant' => 'acme'}, $body);
#   is $r->{status}, 200;
#
# Ports are taken from TEST_NGINX_FREE_PORT upwards.

use strict;
use warnings;

use Exporter 'import';
use Time::HiRes qw(sleep time);

use Zapier::Client;
use Zapier::Nginx;
use Zapier::Process;
use Zapier::Redis;
use Zapier::Sandbox;

our @EXPORT = qw(redis sandbox node client token soon free_port);

my $next = $ENV{TEST_NGINX_FREE_PORT} || 24110;


sub free_port {
    my $port = Zapier::Process::free_port($next);

    $next = $port + 1;
    return $port;
}


sub redis {
    return Zapier::Redis->new(port => free_port())->start(@_);
}


sub sandbox {
    return Zapier::Sandbox->new(port => free_port())->start(@_);
}


sub node {
    return Zapier::Nginx->new(port => free_port(), @_)->start;
}


sub client {
    my ($to, %args) = @_;

    return Zapier::Client->new(port => ref $to ? $to->port : $to, %args);
}


# Stores a token that the sandbox knows.

sub token {
    my ($redis, $tenant, %fields) = @_;

    $fields{access_token} //= "sandbox-$tenant";
    $redis->cmd(HSET => "zapier:token:{$tenant}", %fields);
}


# Waits for a condition, but not for ever: soon { ... } or soon { ... } 5

sub soon (&;$) {
    my ($condition, $seconds) = @_;
    my $until = time + ($seconds // 10);

    while (1) {
        return 1 if eval { $condition->() };
        return 0 if time > $until;
        sleep 0.02;
    }
}


1;
