# Behind redis+sentinel:// stands whoever is the master now: three
# Sentinels, one master, one replica.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use Zapier::Sentinel;
use ZapierNode;

$SIG{PIPE} = 'IGNORE';

my $sandbox = sandbox();

sub wait_for {
    my ($seconds, $name, $code) = @_;
    my $until = time + $seconds;

    while (time < $until) {
        return pass $name if eval { $code->() };
        sleep 0.02;
    }

    return fail $name;
}

# A server with a replica, which Sentinels know.

my %server;

sub server {
    my $redis = redis('--repl-diskless-sync-delay' => 0,
                      '--repl-diskless-sync' => 'yes', @_);

    return $server{$redis->port} = $redis;
}

my $first  = server();
my $second = server('--replicaof' => '127.0.0.1 ' . $first->port);

my @sentinels = map {
    Zapier::Sentinel->new(port => free_port(), master => $first->port)->start
} 1 .. 3;

my $hosts = join ',', map { '127.0.0.1:' . $_->port } @sentinels;

sub master { $server{$sentinels[0]->master} }
sub other  { my $m = master(); (grep { $_ != $m } values %server)[0] }

sub whole {
    wait_for(20, $_[0] // 'the Sentinels know each other and the replica',
             sub {
        !grep {
            my $state = $_->state;
            $state->{'num-other-sentinels'} != 2 || $state->{'num-slaves'} != 1
                || $state->{flags} ne 'master'
        } @sentinels and other()->cmd(INFO => 'replication')
            =~ /master_link_status:up/;
    });

    # who changes its role drops its clients
    delete $_->{link} for values %server;
}

my $admin = <<'END';
        location /zapier/ { zapier_admin; }
        location / {
            zapier_tenant  $http_x_tenant;
            include        $params;
            proxy_pass     http://sandbox;
        }
END

sub gateway {
    my ($hosts, %args) = @_;

    return node(sandbox => $sandbox, workers => 2, server => $admin,
                http => "zapier_redis redis+sentinel://$hosts/main;"
                      . 'zapier_token_cache 1h;', %args);
}

my $node;

sub status {
    my ($tenant) = @_;

    return client($node)->request(GET => '/v2/actions?app=x',
                                  {'X-Tenant' => $tenant})->{status};
}

sub commands {
    my ($redis) = @_;

    return join ' ', $redis->cmd(INFO => 'commandstats')
        =~ /cmdstat_(hmget|evalsha|eval|time|hset|del|scan):/g;
}

whole();
token($first, $_) for map { "t$_" } 1 .. 400;
token($first, 'acme');

$second->cmd(CONFIG => 'RESETSTAT');

$node = gateway($hosts);

is status('acme'), 200, 'the master is found';
is status('nobody'), 401, 'and asked';
is commands($second), '', 'the replica is not';

# what is changed counts within a second, since the master is watched

wait_for(5, 'the watch is up', sub {
    status('acme');
    sleep 1;
    $first->cmd(CONFIG => 'RESETSTAT');
    status('acme') for 1 .. 10;
    commands($first) !~ /hmget/;
});
$first->cmd(DEL => 'zapier:token:{acme}');
wait_for(1, 'a deleted record counts within a second',
         sub { status('acme') == 401 });

# a planned failover: not one request fails

token($first, 'acme');
wait_for(2, 'and one that is back', sub { status('acme') == 200 });

my %seen;
my $n = 0;

$sentinels[1]->cmd(SENTINEL => 'failover', 'main');

my $until = time + 6;
my $served;

while (time < $until && (!$served || time < $served + 0.7)) {
    $seen{status('t' . (1 + $n++ % 200))}++;
    $served //= time
        if ($sentinels[1]->master // 0) == $second->port;
    sleep 0.01;
}

cmp_ok $seen{200}, '>', 20, 'requests were served during the failover';
diag "planned failover: ", join ', ', map { "$_: $seen{$_}" } sort keys %seen
    if keys %seen > 1;
ok !grep({ !/^(?:200|503)$/ } keys %seen), 'nobody was told anything wrong';

wait_for(10, 'all Sentinels name the new master', sub {
    !grep { $_->master != $second->port } @sentinels;
});
wait_for(5, 'and it is asked', sub { status('t201') == 200 });
whole('the old master is a replica');

# written by an operator: goes to the master, whoever that is

$first->cmd(CONFIG => 'RESETSTAT');

is client($node)->request(PUT => '/zapier/tokens/new',
                          {'Content-Type' => 'application/json'},
                          '{"access_token":"sandbox-new"}')->{status}, 201,
   'a record is written';
is $second->cmd(HGET => 'zapier:token:{new}', 'access_token'), 'sandbox-new',
   'to the new master';
is status('new'), 200, 'and read from it';
is commands($first) =~ s/hset//r, '', 'the old one has heard nothing of it';

is status('acme'), 200, 'a cached record';
$second->cmd(DEL => 'zapier:token:{acme}');
wait_for(1.2, 'what is deleted there counts, too',
         sub { status('acme') == 401 });
wait_for(5, 'the watch is up again', sub {
    status('t1');
    sleep 1;
    $second->cmd(CONFIG => 'RESETSTAT');
    status('t1') for 1 .. 10;
    commands($second) !~ /hmget/;
});

# the master dies

token($second, 'acme');
wait_for(2, 'a record is back', sub { status('acme') == 200 });
$second->stop('KILL');

my $died = time;

is status('acme'), 200, 'what is in memory serves while there is no master';

my $start = time;
is status('t300'), 503, 'what is not, does not';
cmp_ok time - $start, '<', 0.5, 'which is said soon';

wait_for(40, 'after the failover it does', sub { status('t301') == 200 });
diag sprintf 'served %.1f s after the master was killed', time - $died;
wait_for(5, 'the other one is the master',
         sub { $sentinels[0]->master == $first->port });

$second->start('--replicaof' => '127.0.0.1 ' . $first->port,
               '--repl-diskless-sync-delay' => 0);
whole('it is back as a replica');

# a master that hangs: its commands time out, then another is master

$second->cmd(CONFIG => 'RESETSTAT');
$first->signal('STOP');
wait_for(40, 'a frozen master is replaced', sub { status('t302') == 200 });
$first->signal('CONT');
whole('it has become a replica');

# a master that says so itself is one, whatever a Sentinel thinks

ok $node->stop, 'nginx stops';
is_deeply [$node->complaints], [], 'nothing grave in the log';

# Sentinels that are dead, or silent, or know nothing

$sentinels[0]->stop('KILL');

my $silent = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5,
                                   ReuseAddr => 1, LocalPort => free_port());

$node = gateway(join ',', '127.0.0.1:' . $sentinels[0]->port,
                '127.0.0.1:' . $silent->sockport,
                '127.0.0.1:' . $sentinels[1]->port);
status('t303');    # may have been asked last
is status('t304'), 200, 'one Sentinel that answers is enough';
ok $node->stop, 'nginx stops';
is_deeply [$node->complaints], [], 'nothing grave in the log';

$node = gateway('127.0.0.1:' . $sentinels[1]->port,
                http => 'zapier_redis redis+sentinel://127.0.0.1:'
                      . $sentinels[1]->port . '/mian;');
is status('t305'), 503, 'a master that nobody knows';
like $node->log, qr/sentinel \S+ does not name a master "mian"/, 'is logged';
ok $node->stop, 'nginx stops';

$node = gateway('127.0.0.1:' . $sentinels[0]->port);
is status('t306'), 503, 'no Sentinel at all';
like $node->log, qr/no sentinel of \S+ names a master "main" that serves/,
     'is logged';
ok $node->stop, 'nginx stops';

# one that names a replica is not believed

my $liar = Zapier::Sentinel->new(port => free_port(), quorum => 1,
                                 master => $sentinels[1]->master)->start;
my $old = $server{$liar->master};

$liar->signal('STOP');
$sentinels[1]->cmd(SENTINEL => 'failover', 'main');
wait_for(15, 'a failover that one Sentinel has not seen', sub {
    $sentinels[1]->master != $old->port
        && $old->cmd(INFO => 'replication') =~ /role:slave/;
});

my $fake = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5,
                                 ReuseAddr => 1, LocalPort => free_port());
my $pid = fork // die;

if ($pid == 0) {
    my $port = $old->port;
    while (my $link = $fake->accept) {
        next if fork;
        while (<$link>) {
            print $link "*2\r\n\$9\r\n127.0.0.1\r\n\$", length $port,
                        "\r\n$port\r\n" if /^get-master/;
        }
        POSIX::_exit(0);
    }
}

$old->cmd(CONFIG => 'RESETSTAT');
$node = gateway('127.0.0.1:' . $fake->sockport);
is status('t307'), 503, 'a replica is not asked';
is commands($old), '', 'for anything';
like $node->log, qr/is not the master/, 'the log tells why';
$node->stop;

$node = gateway('127.0.0.1:' . $fake->sockport . ',127.0.0.1:'
                . $sentinels[2]->port);
is status('t308'), 200, 'but another Sentinel';
is commands($old), '', 'who is right';
ok $node->stop, 'nginx stops';
is_deeply [$node->complaints], [], 'nothing grave in the log';

kill KILL => $pid;
waitpid $pid, 0;

done_testing();
