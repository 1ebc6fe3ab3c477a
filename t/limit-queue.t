# zapier_queue: who finds no quota waits for it, in fair order.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();

my %conf = (
    redis => $redis, sandbox => $sandbox, workers => 1,
    http => <<'END',
    zapier_limit_zone quick  key=$arg_k limit=2 window=1s mirror=off;
    zapier_limit_zone slow   key=$arg_k limit=1 window=20s mirror=off;
    zapier_limit_zone five   key=$arg_k limit=5 window=1s mirror=off;
    zapier_limit_zone one    key=$arg_k limit=1 window=500ms mirror=off;
    zapier_limit_zone own    key=$zapier_tenant limit=1 window=500ms
                             mirror=off;
    zapier_limit_zone fleet  key=$arg_k limit=4 window=1s mirror=off
                             store=redis;
    zapier_limit_zone gate   key=$arg_k limit=1 window=1s mirror=on;
    zapier_limit_zone heavy  key=$arg_k limit=4 window=1s mirror=off
                             weight=$arg_w;
    map $zapier_tenant $weight { default 1; rich 3; }
END
    server => <<'END',
        zapier_tenant $http_x_tenant;
        zapier_queue  10s;
        include       $params;
        add_header    X-Status "$zapier_limit_status" always;
        add_header    X-Time "$zapier_queue_time" always;
        add_header    X-Decision $zapier_decision always;

        location /quick/  { zapier_limit quick; proxy_pass http://sandbox/; }
        location /slow/   { zapier_limit slow; proxy_pass http://sandbox/; }
        location /off/    { zapier_limit slow; zapier_queue off;
                            proxy_pass http://sandbox/; }
        location /five/   { zapier_limit five; proxy_pass http://sandbox/; }
        location /both/   { zapier_limit five own;
                            proxy_pass http://sandbox/; }
        location /small/  { zapier_limit one; zapier_queue 10s max=2;
                            proxy_pass http://sandbox/; }
        location /rich/   { zapier_limit one; zapier_queue 20s weight=$weight;
                            proxy_pass http://sandbox/; }
        location /fleet/  { zapier_limit fleet; proxy_pass http://sandbox/; }
        location /gate/   { zapier_limit gate; proxy_pass http://sandbox/; }
        location /heavy/  { zapier_limit heavy; proxy_pass http://sandbox/; }
        location /admin/  { zapier_admin; }
END
);

my $node = node(%conf);

token($redis, $_) for qw(acme beta gamma rich);

# Sends requests, each on a connection of its own; returns the clients.

sub ask {
    my ($where, $query, %headers) = @_;
    my $client = client(delete $headers{node} // $node);

    %headers = ('X-Tenant' => 'acme', %headers);

    $client->send("GET /$where/v2/actions?$query HTTP/1.1\r\nHost: x\r\n"
                  . join('', map { "$_: $headers{$_}\r\n" } sort keys %headers)
                  . "\r\n");
    return $client;
}

sub answer {
    my $r = $_[0]->read;

    return "$r->{status} $r->{headers}{'x-status'}";
}

sub counter {
    my ($zone, $name) = @_;
    my $r = client($node)->request(GET => '/admin/limits');

    return $r->{body} =~ /"zone":\s*"$zone".*?"$name":\s*(\d+)/s ? $1 : undef;
}

# It waits as long as it has to

my $start = time;
my @c = map { ask('quick', 'k=a') } 1 .. 5;
my @r = map { answer($_) } @c;
my $took = time - $start;

is_deeply \@r, [('200 PASSED') x 2, ('200 QUEUED') x 3],
    'who does not fit now, waits';
cmp_ok $took, '>=', 2, 'the last one for two windows';
cmp_ok $took, '<', 4, 'and not much longer';

# Variables

my $r = ask('quick', 'k=v')->read;
ok !exists $r->{headers}{'x-time'}, 'no time spent, none told';
unlike $r->{headers}{'x-decision'}, qr/queue_ms/, 'nor logged';
answer(ask('quick', 'k=v'));
$r = ask('quick', 'k=v')->read;
like $r->{headers}{'x-time'}, qr/^[01]\.\d{3}$/, '$zapier_queue_time';
like $r->{headers}{'x-decision'}, qr/"limit":"QUEUED".*"queue_ms":\d+/,
    '... and in the log';

# Not in vain

is answer(ask('slow', 'k=a')), '200 PASSED', 'a window of 20 s';

$start = time;
$r = ask('slow', 'k=a')->read;

is $r->{status}, 429, 'who cannot be served in time is told so';
cmp_ok time - $start, '<', 2, 'at once';
cmp_ok $r->{headers}{'retry-after'}, '>=', 18, 'with the time it takes';
cmp_ok $r->{headers}{'retry-after'}, '<=', 20, '... and no more';
like $r->{body}, qr/"code":"rate_limited"/, 'by the usual error';

is answer(ask('off', 'k=a')), '429 REJECTED', 'zapier_queue off';

# Retry-After reckons with those ahead

@c = map { ask('five', 'k=r') } 1 .. 50;
sleep 0.3;
$r = ask('five', 'k=r', Prefer => 'wait=3')->read;
is $r->{status}, 429, 'behind nine windows of calls nobody gets in in 3 s';
cmp_ok $r->{headers}{'retry-after'}, '>=', 9, 'and is told how long it takes';
$_->close for @c;

# Prefer

$r = ask('quick', 'k=p', Prefer => 'wait=5')->read;
is $r->{headers}{'preference-applied'}, 'wait=5', 'Prefer: wait is heeded';
$r = ask('quick', 'k=p', Prefer => 'wait=3600')->read;
is $r->{headers}{'preference-applied'}, 'wait=10',
    'as far as the location lets it';
$r = ask('quick', 'k=p', Prefer => 'wait=0')->read;
is "$r->{status} $r->{headers}{'preference-applied'}", '429 wait=0',
    'somebody does not want to wait';
is answer(ask('quick', 'k=p', Prefer => 'handling=lenient, wait=5')),
    '200 QUEUED', 'somebody does';
ok !exists ask('quick', 'k=p')->read->{headers}{'preference-applied'},
    'no preference, none applied';

# Fair between tenants

answer(ask('five', 'k=f')) for 1 .. 5;
my @many = map { ask('five', 'k=f') } 1 .. 40;
sleep 0.2;
$start = time;
my $few = ask('five', 'k=f', 'X-Tenant' => 'beta');

is answer($few), '200 QUEUED', 'one call behind 40 of somebody else';
cmp_ok time - $start, '<', 1.9, 'has its turn in the next window';
$_->close for @many;

# What waits for its own quota is in nobody's way

answer(ask('both', 'k=b'));
@many = map { ask('both', 'k=b') } 1 .. 10;
sleep 0.1;
$start = time;
is answer(ask('both', 'k=b', 'X-Tenant' => 'gamma')), '200 PASSED',
    'a tenant whose own quota is left passes those who have none';
answer($many[0]);
is answer($many[1]), '200 QUEUED', 'while they get in one by one';
$_->close for @many;

# By weight

answer(ask('rich', 'k=w'));
my %served;
my @all = map { [$_ % 2 ? 'rich' : 'acme'] } 1 .. 16;
$_->[1] = ask('rich', 'k=w', 'X-Tenant' => $_->[0]) for @all;
sleep 4.3;
for my $one (@all) {
    $served{$one->[0]}++ if $one->[1]->stale;
}
cmp_ok $served{rich}, '>=', 2 * ($served{acme} // 0),
    "weight 3 has $served{rich} of 8 when weight 1 has " . ($served{acme} // 0);
$_->[1]->close for @all;

# Room

answer(ask('small', 'k=m'));
my @waiting = map { ask('small', 'k=m') } 1 .. 2;
sleep 0.1;
$r = ask('small', 'k=m')->read;
is $r->{status}, 429, 'there is room for two';
like $r->{body}, qr/"code":"queue_full"/, 'and the third one is told';
my $other = ask('small', 'k=m', 'X-Tenant' => 'beta');
$r = $waiting[1]->read;
is $r->{status}, 429, 'who has most waiting makes room for another tenant';
like $r->{body}, qr/"code":"queue_full"/, 'by its last one';
is answer($waiting[0]), '200 QUEUED', 'its first one stays';
is answer($other), '200 QUEUED', 'and the other tenant gets in';

# Client gone

answer(ask('small', 'k=g'));
@waiting = map { ask('small', 'k=g') } 1 .. 2;
sleep 0.1;
$_->close for @waiting;
sleep 0.1;
@waiting = map { ask('small', 'k=g') } 1 .. 2;
is answer($_), '200 QUEUED', 'a place is free when its client has gone'
    for @waiting;

# An operator can see it

answer(ask('small', 'k=o'));
@waiting = map { ask('small', 'k=o') } 1 .. 2;
sleep 0.1;
like client($node)->request(GET => '/admin/limits/one?key=o')->{body},
    qr/"waiting":2\b/, 'who waits is seen';
answer($_) for @waiting;
like client($node)->request(GET => '/admin/limits/one?key=o')->{body},
    qr/"waiting":0\b/, 'and who has got in';

# Weights of calls

$start = time;
is answer(ask('heavy', 'k=h&w=4')), '200 PASSED', 'a call of 4 units';
my $three = ask('heavy', 'k=h&w=3');
sleep 0.1;
my $one = ask('heavy', 'k=h&w=1', 'X-Tenant' => 'beta');
is answer($three), '200 QUEUED', 'one of 3 is not overtaken for ever';
is answer($one), '200 QUEUED', 'by light ones';
$r = ask('heavy', 'k=h&w=5')->read;
is $r->{status}, 429, 'what never fits does not wait';

# A gate

my $first = ask('gate', 'k=x', 'X-Sandbox' =>
                '{"delay":500,"status":429,"headers":{"Retry-After":60}}');
sleep 0.1;
$start = time;
my $second = ask('gate', 'k=x');
is $first->read->{status}, 429, 'the upstream closes the gate';
$r = $second->read;
is $r->{status}, 429, 'who waits then is told';
cmp_ok time - $start, '<', 3, 'soon';
cmp_ok $r->{headers}{'retry-after'}, '>', 50, 'how long it takes';

# The token is looked at again

answer(ask('quick', 'k=t', 'X-Tenant' => 'gamma')) for 1 .. 2;
$second = ask('quick', 'k=t', 'X-Tenant' => 'gamma');
sleep 0.2;
$redis->cmd(DEL => 'zapier:token:{gamma}');
$r = $second->read;
is $r->{status}, 401, 'a token that has gone while it waited is not used';
$start = time;
answer(ask('quick', 'k=t')) for 1 .. 2;
cmp_ok time - $start, '<', 0.9, 'and its unit is given back';
token($redis, 'gamma');

# Two nodes

my $peer = node(%conf);
my $asked = counter(fleet => 'asked');
$start = time;
my @fleet = map { ask('fleet', 'k=z', node => $_ % 2 ? $node : $peer) }
    1 .. 16;
answer($_) =~ /^200/ and $served{fleet}++ for @fleet;
$took = time - $start;
is $served{fleet}, 16, 'nodes share what they wait for';
cmp_ok $took, '>=', 3, 'in four windows';
cmp_ok counter(fleet => 'asked') - $asked, '<', 60, 'without polling Redis';

$r = ask('fleet', 'k=now', Prefer => 'wait=0')->read;
is $r->{status}, 200, 'who does not want to wait may have to ask Redis';

cmp_ok counter(quick => 'queued'), '>=', 4, 'what waits is counted';
cmp_ok counter(one => 'queue_full'), '>=', 2, 'and what finds no room';
cmp_ok counter(gate => 'queue_late'), '>=', 1, 'and what waits in vain';

# Reload

answer(ask('quick', 'k=l')) for 1 .. 2;
$second = ask('quick', 'k=l');
sleep 0.1;
$node->reload;
is answer($second), '200 QUEUED', 'a reload loses nobody';

done_testing();
