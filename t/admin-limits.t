# zapier_admin: zones of limits, and how their scopes stand.

use strict;
use warnings;

use lib 't/lib';
use JSON::PP;
use Test::More;
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();

my %conf = (
    redis => $redis, sandbox => $sandbox, workers => 2,
    http => <<'END',
    zapier_limit_zone here  key=$arg_k limit=3 window=1h mirror=off;
    zapier_limit_zone there key=$arg_k limit=1000 window=1h store=redis;
    zapier_limit_zone few   key=$arg_k limit=3 window=1h mirror=off
                            store=redis;
    zapier_limit_zone fixed key=all limit=2 window=1h mirror=off;
END
    server => <<'END',
        zapier_tenant  $http_x_tenant;
        include        $params;

        location /here/  { zapier_limit here; proxy_pass http://sandbox/; }
        location /there/ { zapier_limit there; proxy_pass http://sandbox/; }

        location /few/   { zapier_limit few; proxy_pass http://sandbox/; }
        location /fixed/ { zapier_limit fixed; proxy_pass http://sandbox/; }

        location /admin/ {
            zapier_tenant off;
            zapier_admin;
        }
END
);

my ($node, $peer) = map { node(%conf) } 1 .. 2;

token($redis, 'acme');

sub ask {
    my ($where, $query, %headers) = @_;

    return client(delete $headers{node} // $node)->request(GET => "/$where/v2/actions?$query",
                                  {'X-Tenant' => 'acme', %headers});
}

sub admin {
    my ($path, $method) = @_;
    my $r = client($node)->request($method // 'GET' => "/admin/$path");

    return $r->{status}, eval { decode_json($r->{body}) }, $r;
}

ask('here', 'k=a%20b') for 1 .. 4;
ask('there', 'k=x') for 1 .. 3;

my ($status, $all) = admin('limits');
my %zone = map { $_->{zone} => $_ } @{$all->{data}};

is $status, 200, 'zones';
is_deeply [sort keys %zone], [qw(few fixed here tenant there)],
    'all of them';
is_deeply [@{$zone{here}}{qw(limit window_ms store)}], [3, 3600000, 'local'],
    'as they are configured';
is $zone{tenant}{limit}, undef, 'without a limit';
is $zone{there}{store}, 'redis', 'and of a fleet';
cmp_ok $zone{there}{asked}, '>', 0, 'with what they have counted';

my ($ok, $scope) = admin('limits/here?key=a%2520b');

is $ok, 200, 'a scope';
is $scope->{key}, 'a%20b', 'by the key that is counted';
is_deeply [@$scope{qw(used_here remaining)}], [3, 0], 'what was used';
ok !$scope->{passes}, 'no call would pass';
cmp_ok $scope->{wait_ms}, '>', 3500000, 'for long';

($ok, $scope) = admin('limits/here?key=new');
ok $scope->{passes}, 'another one would';
is $scope->{used_here}, 0, 'none was used';
is((admin('limits/here?key=new'))[1]{remaining}, 3, 'and looking is free');

($ok, $scope) = admin('limits/there?key=x');
is $scope->{used_here}, 3, 'a scope of the fleet';
cmp_ok $scope->{remaining}, '<=', 997, 'what Redis told is left';

ask('there', 'k=x', 'X-Sandbox' =>
    '{"status":429,"headers":{"Retry-After":100}}');
($ok, $scope) = admin('limits/there?key=x');
cmp_ok $scope->{closed_ms}, '>', 90000, 'a gate that is closed';
is((grep { $_->{zone} eq 'there' } @{(admin('limits'))[1]{data}})[0]{closed},
   1, 'and counted');

is((admin('limits/nothing?key=x'))[0], 404, 'no such zone');
is((admin('limits/here'))[0], 400, 'no key');
is((admin('limits/here?key=' . 'x' x 256))[0], 400, 'too long a key');
is((admin('limits', 'DELETE'))[0], 405, 'read only');

# Who has what

ask('few', 'k=h', node => $_) for $node, $peer, $peer;
($ok, $scope) = admin('limits/few?key=h');
my %used = map { ($_->{here} ? 'here' : 'there') => $_->{used} }
           @{$scope->{nodes}};
is_deeply \%used, {here => 1, there => 2}, 'what each node has used';
is ask('few', 'k=h')->{status}, 429, 'which is all';

# Reset

($ok, $scope) = admin('limits/few/reset?key=h', 'POST');
is $ok, 200, 'a scope is reset';
is $scope->{used_here}, 0, 'here';
ok soon(sub { ask('few', 'k=h', node => $peer)->{status} == 200 }, 2),
    'and at the other node';
is ask('few', 'k=h')->{status}, 200, 'for all';

# A gate

($ok, $scope) = admin('limits/few/close?key=g&time=50s', 'POST');
is $ok, 200, 'a gate is closed';
cmp_ok $scope->{closed_ms}, '>', 49000, 'for so long';

my $r = ask('few', 'k=g');
is $r->{status}, 429, 'nobody gets through';
cmp_ok $r->{headers}{'retry-after'}, '>=', 48, 'for so long';
ok soon(sub { ask('few', 'k=g', node => $peer)->{status} == 429 }, 2),
    'nor at the other node';
is ask('few', 'k=other')->{status}, 200, 'it is this scope only';

($ok, $scope) = admin('limits/few/open?key=g', 'POST');
is $ok, 200, 'it is opened';
is ask('few', 'k=g')->{status}, 200, 'here';
ok soon(sub { ask('few', 'k=g', node => $peer)->{status} == 200 }, 2),
    'and there';

($ok) = admin('limits/there/open?key=x', 'POST');
is ask('there', 'k=x')->{status}, 200,
    'an operator may open what the upstream has closed';
is((admin('limits/here/reset?key=a%2520b', 'POST'))[0], 200,
   'a scope of this node');
is ask('here', 'k=a%20b')->{status}, 200, 'begins anew';

is((admin('limits/few/close?key=g', 'POST'))[0], 400, 'no time');
is((admin('limits/few/close?key=g&time=x', 'POST'))[0], 400, 'a wrong one');
is((admin('limits/few/close?time=1s', 'POST'))[0], 400, 'no key');
is((admin('limits/nothing/open?key=g', 'POST'))[0], 404, 'no such zone');
is((admin('limits/few/open?key=g'))[0], 405, 'it is not for GET');

# Why

my $why = (admin('explain/acme?zones=few,here,tenant,fixed&few=y'))[1];

is $why->{passes}, JSON::PP::true, 'a request would pass';
is $why->{why}, undef, 'for no reason';
is $why->{token}, 'valid', 'its token';
is_deeply [map { $_->{key} } @{$why->{scopes}}],
    ['y', undef, 'acme', 'all'], 'and its scopes';

ask('fixed', '') for 1 .. 2;
$why = (admin('explain/acme?zones=fixed'))[1];
is $why->{passes}, JSON::PP::false, 'now it would not';
is $why->{why}, 'rate_limited', 'for want of quota';
cmp_ok $why->{wait_ms}, '>', 3500000, 'for so long';
is((admin('explain/nobody?zones=tenant'))[1]{why}, 'token_missing',
   'somebody has no token');
$redis->cmd(HSET => 'zapier:token:{old}', access_token => 'sandbox-old',
            expires_at => 1000);
is((admin('explain/old?zones=tenant'))[1]{why}, 'token_expired',
   'somebody has an old one');
is((admin('explain/acme?zones=tenant,nothing'))[0], 400, 'no such zone');
is((admin('explain/a%20b'))[0], 400, 'no such tenant');
is scalar @{(admin('explain/acme'))[1]{scopes}}, 5, 'by default all zones';

# Redis away

$redis->stop('KILL');
is((admin('limits/few?key=h'))[1]{nodes}, undef, 'without Redis nobody knows');
is((admin('limits/few/close?key=g&time=5s', 'POST'))[0], 503,
   'nor can be told');
is ask('few', 'k=g')->{status}, 429, 'but here it is done';

is $_->complaints, 0, 'nothing to complain about' for $node, $peer;

done_testing();
