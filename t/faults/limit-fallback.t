# The shared count cannot be reached: what zapier_limit_fallback says, and
# what was spent meanwhile is counted afterwards.

use strict;
use warnings;

use lib 't/lib';
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();
my %conf    = (
    redis => $redis, sandbox => $sandbox, workers => 2,
    http => <<'END',
    zapier_limit_zone z key=$arg_k limit=20 window=12s mirror=off store=redis;
END
    server => <<'END',
        zapier_tenant $http_x_tenant;
        zapier_limit  z;
        include       $params;

        location /admin/  { zapier_tenant off; zapier_admin; }
        location /local/  { proxy_pass http://sandbox/; }
        location /closed/ {
            zapier_limit_fallback closed;
            proxy_pass            http://sandbox/;
        }
        location /open/   {
            zapier_limit_fallback open calls=30 time=1h;
            proxy_pass            http://sandbox/;
        }
        location /brief/  {
            zapier_limit_fallback open time=1ms;
            proxy_pass            http://sandbox/;
        }
END
);

my @nodes = map { node(%conf) } 1 .. 2;
my @http  = map { client($_) } @nodes;

token($redis, 'acme');

sub ask {
    my ($node, $where, $key) = @_;

    return $http[$node]->request(GET => "/$where/v2/actions?k=$key",
                                 {'X-Tenant' => 'acme'});
}

sub passed {
    my ($n, $node, $where, $key) = @_;

    return scalar grep { ask($node, $where, $key)->{status} == 200 } 1 .. $n;
}

# both nodes are known to have used each of them

for my $key (qw(local closed open brief)) {
    is ask($_, $key, $key)->{status}, 200, "$key: there" for 0, 1;
}

# Frozen: nobody waits for longer than its timeout

$redis->signal('STOP');

my $start = time;
my $r     = ask(0, 'closed', 'closed');

is $r->{status}, 503, 'closed: refused';
like $r->{body}, qr/"code":"quota_unknown"/, 'as the quota is not known';
cmp_ok time - $start, '<', 2, 'in time';
is passed(5, 0, 'closed', 'closed'), 0, 'as all calls are';

is passed(20, 0, 'local', 'local'), 9, 'local: half of it, with what was used';
is passed(20, 1, 'local', 'local'), 9, 'for each of two nodes';
is passed(40, 0, 'open', 'open'), 30, 'open: as many as are allowed';
is passed(20, 0, 'brief', 'brief'), 9,
    'or as long, and then what local gives';

# Each has its counter

my ($count) = grep { $_->{zone} eq 'z' } @{decode_json(
    $http[0]->request(GET => '/admin/limits')->{body})->{data}};

note join ', ', map { "$_ $count->{$_}" } sort grep { /^fallback/ } keys %$count;
is $count->{fallback_closed}, 6, 'closed: each call is counted';
cmp_ok $count->{fallback_open}, '>=', 30, 'open: those let through';
cmp_ok $count->{fallback_open}, '<=', 35, '... and no others';
cmp_ok $count->{fallback_local}, '>=', 40, 'local: those decided on';

# Back: what was spent counts

$redis->signal('CONT');

ok((soon { (ask(0, 'closed', 'back')->{status} // 0) == 200 }), 'it is back');
sleep 1;
is passed(10, 0, 'local', 'local') + passed(10, 1, 'local', 'local'), 0,
    'what was spent without it is counted';
is passed(5, 0, 'open', 'open'), 0, 'also what was too much';

ok((soon { ask(0, 'local', 'local')->{status} == 200 } 20),
   'until the window is over');

is $nodes[$_]->complaints, 0, "nothing is wrong with node $_" for 0, 1;

done_testing();
