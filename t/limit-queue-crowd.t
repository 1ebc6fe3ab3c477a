# zapier_queue with a crowd: one tenant's thousand waiting requests are in
# nobody's way, and each costs little memory.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();
my %conf    = (
    redis => $redis, sandbox => $sandbox, workers => 1, connections => 4096,
    http => <<'END',
    request_pool_size 1k;   # or half of a block would be taken for ours
    limit_req_zone    all zone=bare:64k rate=1r/m;
    zapier_limit_zone few key=$arg_k limit=20 window=2s mirror=off;
END
    server => <<'END',
        include  $params;

        location /few/   { zapier_tenant $http_x_tenant;
                           zapier_limit few; zapier_queue 1h max=2000;
                           proxy_pass http://sandbox/; }
        location /bare/  { limit_req zone=bare burst=2000;
                           proxy_pass http://sandbox/; }
        location /none/  { return 200; }
        location /admin/ { zapier_admin; }
END
);

token($redis, $_) for qw(acme beta);

my $node = node(%conf);

sub send_to {
    my ($client, $where, $tenant) = @_;

    $client->send("GET $where HTTP/1.1\r\nHost: x\r\n"
                  . "X-Tenant: $tenant\r\n\r\n");
    return $client;
}

sub ask { send_to(client($node), @_)->read }

# Private memory of the worker, bytes

sub memory {
    my ($pid) = $node->workers;
    my ($kb) = Zapier::Process::slurp("/proc/$pid/smaps_rollup")
               =~ /^Private_Dirty:\s+(\d+)/m;

    return 1024 * $kb;
}

# A thousand connections, and what it takes when each has a request

sub crowd {
    my ($where) = @_;
    my @clients = map { client($node) } 1 .. 1000;

    $_->request(GET => '/none/') for @clients;

    my $before = memory();

    send_to($_, $where, 'acme') for @clients;
    ask('/none/', '') for 1 .. 20;

    return (memory() - $before) / @clients, @clients;
}

sub waiting {
    return client($node)->request(GET => '/admin/limits/few?key=a')->{body}
           =~ /"waiting":(\d+)/ && $1;
}

# The same requests, delayed by nginx itself

my ($bare, @bare) = crowd('/bare/v2/actions');

$_->close for @bare;
$node->stop;
$node = node(%conf);

# Without its first 20, of which the next window will bring more

is_deeply [map { ask('/few/v2/actions?k=a', 'acme')->{status} } 1 .. 20],
    [(200) x 20], 'all of a window';

my $start = time;
my ($ours, @ours) = crowd('/few/v2/actions?k=a');

cmp_ok waiting(), '>=', 940, 'a thousand requests wait';

my $own = $ours - $bare;

# (what ASan keeps beside each allocation is not ours)

note sprintf 'a waiter takes %d bytes, %d of them by itself', $ours, $own;
cmp_ok $own, '<=', ($ENV{TEST_NGINX_BINARY} // '') =~ /asan/ ? 4096 : 2048,
    'of our own memory, each takes less than 2 kB';

# A thousand calls at 20 in 2 s take 100 s

is ask('/few/v2/actions?k=a', 'beta')->{status}, 200, 'another tenant';
cmp_ok time - $start, '<', 8, 'does not come after them';

$start = time;
is ask('/few/v2/actions?k=a', 'beta')->{status}, 200, 'nor does its next one';
cmp_ok time - $start, '<', 5, '... which it has to wait for once at most';

$_->close for @ours;
ok soon(sub { waiting() == 0 }), 'whose clients have gone leave the queue';

is $node->complaints, 0, 'nothing to complain about';
ok $node->stop, 'nginx stops';

done_testing();
