# Zones that count in Redis: what others did wrong, and we once.

use strict;
use warnings;

use lib 't/lib';
use List::Util qw(max);
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();
my $node    = node(redis => $redis, sandbox => $sandbox, http => <<'END',
    zapier_limit_zone brief key=$http_x_key limit=5 window=20ms mirror=off
                            store=redis;
    zapier_limit_zone one   key=$http_x_key limit=2 window=1s mirror=off
                            store=redis;
    zapier_limit_zone day   key=$http_x_key limit=5 window=1d mirror=off
                            store=redis;
    zapier_limit_zone leased key=$http_x_key limit=1000 window=1m mirror=off
                            store=redis;
END
                   server => <<'END');
        zapier_tenant $http_x_tenant;
        zapier_limit_fallback closed;
        include       $params;

        location /brief/  { zapier_limit brief;  proxy_pass http://sandbox/; }
        location /one/    { zapier_limit one;    proxy_pass http://sandbox/; }
        location /day/    { zapier_limit day;    proxy_pass http://sandbox/; }
        location /leased/ { zapier_limit leased; proxy_pass http://sandbox/; }
END

token($redis, 'acme');

sub ask {
    my ($zone, $key) = @_;

    return client($node)->request(GET => "/$zone/v2/actions",
                                  {'X-Tenant' => 'acme', 'X-Key' => $key});
}

sub ttl { $redis->cmd(PTTL => "zapier:limit:{all}:$_[0]:$_[1]") }

# Times of keys

ask($_, 'k') for qw(one day brief);
cmp_ok ttl('one', 'k'), '<=', 3000, 'ms are not taken for s (Kong 14995)';
cmp_ok ttl('one', 'k'), '>=', 100, 'and a key lives as long as its window';
cmp_ok ttl('day', 'k'), '>', 86_300_000, 'be it a day';
cmp_ok ttl('brief', 'k'), '<=', 2000,
    'a short window is not one for ever (Tyk)';
cmp_ok ttl('brief', 'k'), '>=', -2, '... but has an end';
ok soon(sub { ttl('one', 'k') == -2 }, 4), 'whose key goes';
is_deeply [grep { $redis->cmd(PTTL => $_) == -1 }
           $redis->cmd(KEYS => 'zapier:limit:*')], [], 'no key stays for ever';

# The end of a window, over and over: none is lost or counted twice

my ($start, $passed) = (time, 0);

while (time - $start < 3.5) {
    $passed += ask(one => 'edge')->{status} == 200;
    sleep 0.01;
}

cmp_ok $passed, '<=', 8, 'no call slips in when a key expires (APISIX 5588)';
cmp_ok $passed, '>=', 6, 'and none is refused for ever';

# Keys with bytes that mean something to somebody

my @keys = ('%s%s%n%n', '100%', 'a b', '"quoted"', "it's", '{braces}', 'a:b',
            "\x01\x7f\xff\xfe", '$x', '*', '\\r\\n', 'x' x 255);

for my $key (@keys) {
    my $name = $key =~ s/[^\x20-\x7e]/?/gr;

    is_deeply [map { ask(day => $key)->{status} } 1 .. 6], [(200) x 5, 429],
        "the key $name is one of its own (liboauth2, limithit: printf)";
    ok $redis->cmd(EXISTS => "zapier:limit:{all}:day:$key"),
        '... and goes to Redis as it is';
}

# What is told is what is enforced

my $remaining = ask(leased => 'r')->{headers}{'x-ratelimit-remaining'};
my $r;

for (1 .. 2000) {
    $r = ask(leased => 'r');
    last if $r->{status} == 429;
    $remaining--;
    is $r->{headers}{'x-ratelimit-remaining'}, $remaining,
        'remaining is what is enforced (APISIX 13704)' if $remaining < 5;
}

is $remaining, 0, 'all of it';
is $r->{headers}{'x-ratelimit-remaining'}, 0, 'then nothing is left';
cmp_ok $r->{headers}{'x-ratelimit-reset'}, '>', time,
    'and reset does not become 0 after a reject (APISIX 9978)';
cmp_ok $r->{headers}{'retry-after'}, '>=', 1, 'nor when to come again';

# All units are back in time, whoever came meanwhile

ask(one => 'j') for 1 .. 2;

my $back = time + 1.1;

while (time < $back - 0.3) {
    ask(one => 'j');
    sleep 0.02;
}

sleep max(0, $back - time);
is_deeply [map { ask(one => 'j')->{status} } 1 .. 3], [200, 200, 429],
    'rejected calls consume no quota (Kong)';

# Somebody else's value

$redis->cmd(SET => 'zapier:limit:{all}:day:odd', "\x1b[31m\xc1\xff");
$r = ask(day => 'odd');
is $r->{status}, 503, 'a value that is none of ours is no permission';
like $r->{body}, qr/"code":"quota_unknown"/, 'but quota that is not known';
unlike $node->log, qr/[^\x20-\x7e\n]/, 'nor does it get into the log (kjdev)';
$redis->cmd(DEL => 'zapier:limit:{all}:day:odd');
ok soon(sub { ask(day => 'odd')->{status} == 200 }), 'once it has gone';

is $node->complaints, 0, 'nothing to complain about';

done_testing();
