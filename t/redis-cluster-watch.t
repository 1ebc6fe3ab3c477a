# redis+cluster://: records are watched at every master, whichever there are,
# and servers that are cut off from the others are not believed.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use Zapier::Cluster;
use ZapierNode;

$SIG{PIPE} = 'IGNORE';

my $sandbox = sandbox();
my $cluster = Zapier::Cluster->new(\&free_port);

ok $cluster->whole, 'three masters with a replica each';

my %conf = (
    sandbox => $sandbox, workers => 2,
    http => sprintf(<<'END', ($cluster->servers)[0]->port),
    zapier_redis redis+cluster://127.0.0.1:%d timeout=500ms;
    zapier_token_cache 60s;
END
    server => <<'END',
        zapier_tenant $http_x_tenant;
        include       $params;

        location /       { zapier_limit off; proxy_pass http://sandbox; }
        location /admin/ { zapier_tenant off; zapier_admin; }
END
);

my $node = node(%conf);

sub status {
    return client($node)->request(GET => '/v2/actions',
                                  {'X-Tenant' => $_[0]})->{status};
}

token($cluster->of("t$_"), "t$_") for 1 .. 60;

# Nothing is read again meanwhile

sub reads {
    my $n = 0;

    for my $server ($cluster->servers) {
        my $stats = $server->cmd(INFO => 'commandstats');

        $n += $1 if $stats =~ /cmdstat_hmget:calls=(\d+)/;
    }

    return $n;
}

# Ten tenants, for longer than a second

sub watched {
    return soon(sub {
        my $before = reads();
        my $until  = time + 1.3;

        while (time < $until) {
            status("t$_") for 10 .. 19;
            sleep 0.1;
        }

        return reads() - $before < 5;
    }, 15);
}

sub changes {
    my ($server, $tenant) = @_;

    $server->cmd(DEL => "zapier:token:{$tenant}");

    my $gone = soon(sub { status($tenant) == 401 }, 1.5);

    token($server, $tenant);

    return $gone && soon(sub { status($tenant) == 200 }, 1.5);
}

ok watched(), 'a record is not read again as long as it does not change';
is reads() - do { my $n = reads(); status('t2'); $n }, 0, 'warm is free';

# A slot moves to a server that nobody has watched so far

my $new = $cluster->grow;
ok $new, 'a server joins';
my $from = $cluster->of('t6');
my $slot = $cluster->slot('t6');
$cluster->moving($slot, $from, $new);
$cluster->move($slot, $from, $new);
is status('t6'), 200, 'ASK';
$new->cmd('ASKING');
$new->cmd(DEL => 'zapier:token:{t6}');
ok soon(sub { status('t6') == 401 }, 1.5),
    'what changes there, on its way, counts within a second';
$new->cmd('ASKING');
token($new, 't6');
ok soon(sub { status('t6') == 200 }, 1.5), 'once more';
$cluster->moved($slot, $from, $new);
ok changes($new, 't6'), 'and when it is there';
ok watched(), 'and all is watched again';

# A master gives way to its replica, while its tenants are being listed

sub page {
    my ($cursor) = @_;
    my $r = client($node)->request(GET => '/admin/tokens'
                                   . ($cursor ? "?cursor=$cursor" : ''));

    my ($next) = $r->{body} =~ /"next":"(\d+)"/;

    return $next, $r->{body} =~ /"tenant":"(\w+)"/g;
}

token($cluster->of("x$_"), "x$_") for 1 .. 900;

$from = ($cluster->servers)[0];

my ($next, @listed) = page();
cmp_ok scalar @listed, '>', 50, 'some tenants of the first master';
cmp_ok scalar @listed, '<', 250, '... and not all';

my ($follower) = grep {
    my $role = $_->cmd('ROLE');
    $role->[0] eq 'slave' && $role->[2] == $from->port
} $cluster->servers;
my ($theirs) = grep { $cluster->of("t$_") == $from } 7 .. 60;

is status("t$theirs"), 200, 'a tenant of a master';
$follower->cmd(CLUSTER => 'FAILOVER');
ok soon(sub { $follower->cmd('ROLE')->[0] eq 'master' }, 10),
    'that gives way to its replica';
delete $_->{link} for $cluster->servers;
ok changes($follower, "t$theirs"), 'changes there count';
ok watched(), 'and are watched';

for (1 .. 100) {
    last if !$next;
    ($next, my @more) = page($next);
    push @listed, @more;
}

my %listed = map { $_ => 1 } @listed;

is_deeply [grep { !$listed{$_} } map { "x$_" } 1 .. 900], [],
    'and none is left out of the list';
ok $cluster->whole, 'all follow';

# A master is cut off from the others: what it says of them is old

my $alone = $follower;
my @rest  = grep { $_ != $alone && $_->cmd('ROLE')->[0] eq 'master' }
            $cluster->servers;

sub epoch { ($_[0]->cmd(CLUSTER => 'INFO') =~ /current_epoch:(\d+)/)[0] }

# those who are not in memory yet, all the time, as servers are asked in turn

sub found {
    my ($name, $all) = @_;
    my %status;

    for my $i (1 .. 30) {
        my $server = $cluster->of("$name$i");

        next if $server == $alone && !$all;
        token($server, "$name$i");
        $status{status("$name$i")}++;
        sleep 0.1;
    }

    return \%status;
}

is $node->complaints, 0, 'nothing grave in the log';
ok $node->stop, 'nginx stops';
$node = node(%conf, workers => 1);
is status('t1'), 200, 'another one';

$alone->cmd(CLUSTER => FORGET => $_)
    for grep { $_ ne $alone->cmd(CLUSTER => 'MYID') }
        $alone->cmd(CLUSTER => 'NODES') =~ /^(\w{40}) /mg;
ok soon(sub { $alone->cmd(CLUSTER => 'INFO') =~ /cluster_state:fail/ }, 5),
    'a master that knows of no other one';
is_deeply [keys %{found('v')}], [200], 'is not asked for them';

$alone->cmd(CONFIG => SET => 'cluster-require-full-coverage' => 'no');
$_->cmd(CLUSTER => 'BUMPEPOCH') for @rest;
ok soon(sub { $alone->cmd(CLUSTER => 'INFO') =~ /cluster_state:ok/ }, 5),
    'one that thinks nothing of it';
cmp_ok epoch($alone), '<', epoch($rest[0]), 'but has an old epoch';
sleep 1.5;
is_deeply [keys %{found('w', 1)}], [200], 'is asked only for its own';

ok $node->stop, 'nginx stops';
is $node->complaints, 0, 'nothing grave in the log';

done_testing();
