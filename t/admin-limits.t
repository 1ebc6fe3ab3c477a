# zapier_admin: zones of limits, and how their scopes stand.

use strict;
use warnings;

use lib 't/lib';
use JSON::PP;
use Test::More;
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();

my $node = node(
    redis => $redis, sandbox => $sandbox, workers => 2,
    http => <<'END',
    zapier_limit_zone here  key=$arg_k limit=3 window=1h mirror=off;
    zapier_limit_zone there key=$arg_k limit=1000 window=1h store=redis;
END
    server => <<'END',
        zapier_tenant  $http_x_tenant;
        include        $params;

        location /here/  { zapier_limit here; proxy_pass http://sandbox/; }
        location /there/ { zapier_limit there; proxy_pass http://sandbox/; }

        location /admin/ {
            zapier_tenant off;
            zapier_admin;
        }
END
);

token($redis, 'acme');

sub ask {
    my ($where, $query, %headers) = @_;

    return client($node)->request(GET => "/$where/v2/actions?$query",
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
is_deeply [sort keys %zone], [qw(here tenant there)], 'all of them';
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

is $node->complaints, 0, 'nothing to complain about';

done_testing();
