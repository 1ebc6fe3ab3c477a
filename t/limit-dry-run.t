# zapier_dry_run: limits decide, but let everything pass.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();

my $node = node(
    redis => $redis, sandbox => $sandbox, workers => 1,
    http => <<'END',
    zapier_limit_zone here  key=$arg_k limit=3 window=1h mirror=off;
    zapier_limit_zone there key=$arg_k limit=3 window=1h mirror=off
                            store=redis;
    zapier_limit_zone gate  key=$arg_k mirror=on;
    log_format  z escape=none $zapier_decision;
    access_log  logs.z z;
END
    server => <<'END',
        zapier_tenant  $http_x_tenant;
        zapier_limit   here;
        zapier_dry_run on;
        include        $params;
        add_header     X-Status "$zapier_limit_status $zapier_limit_scope";

        location /dry/   { proxy_pass http://sandbox/; }
        location /fleet/ { zapier_limit there; proxy_pass http://sandbox/; }
        location /gate/  { zapier_limit gate; proxy_pass http://sandbox/; }
        location /part/  { zapier_dry_run 50%; proxy_pass http://sandbox/; }
        location /none/  { zapier_dry_run 0%; proxy_pass http://sandbox/; }
        location /real/  { zapier_dry_run off; proxy_pass http://sandbox/; }
END
);

token($redis, 'acme');

sub ask {
    my ($where, $query, %headers) = @_;

    return client($node)->request(GET => "/$where/v2/actions?$query",
                                  {'X-Tenant' => 'acme', %headers});
}

for my $where (qw(dry fleet)) {
    my @r = map { ask($where, "k=$where") } 1 .. 6;
    my $zone = $where eq 'fleet' ? 'there' : 'here';

    is_deeply [map { $_->{status} } @r], [(200) x 6], "$where: all pass";
    is_deeply [map { $_->{headers}{'x-status'} } @r],
        [("PASSED $zone") x 3, ("DRY_RUN $zone") x 3], 'marked';
    is $r[5]{headers}{'x-ratelimit-remaining'}, 0, 'the caller can see it';
    ok !exists $r[5]{headers}{'retry-after'}, 'and need not wait';
}

is ask('real', 'k=dry')->{status}, 429, 'where it is off, it is refused';
is ask('none', 'k=dry')->{status}, 429, 'as with 0%';

my %seen;
$seen{ask('part', 'k=dry')->{status}}++ for 1 .. 200;

cmp_ok $seen{200}, '>', 50, 'a part passes';
cmp_ok $seen{429}, '>', 50, 'and a part does not';

# A closed gate too

is ask('gate', 'k=g', 'X-Sandbox' =>
       '{"status":429,"headers":{"Retry-After":60}}')->{status}, 429,
    'the upstream closes a gate';
is ask('gate', 'k=g')->{status}, 200, 'which is no obstacle';

# What else is wrong is refused

is client($node)->request(GET => '/dry/v2/actions?k=x',
                          {'X-Tenant' => 'nobody'})->{status}, 401,
    'a token is needed';

like $node->log, qr/\[info\].*dry run: .* refused by limit zone "here"/,
    'logged';

done_testing();
