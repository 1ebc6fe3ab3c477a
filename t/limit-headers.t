# Dialects of X-RateLimit-* and Retry-After: what the module makes of them
# for the answer that bears them and for the call after it.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ZapierNode;

use JSON::PP;


my $redis   = redis();
my $sandbox = sandbox();
my $node    = node(redis => $redis, sandbox => $sandbox);
my $client  = client($node);

my $now;

# HTTP-date of so many seconds from now

sub date {
    my ($seconds, $form) = @_;
    my @t = gmtime($now + $seconds);
    my @days = qw(Sunday Monday Tuesday Wednesday Thursday Friday Saturday);
    my @months = qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec);
    my $time = sprintf '%02d:%02d:%02d', @t[2, 1, 0];
    my $day = substr $days[$t[6]], 0, 3;

    return $form eq 'rfc850'
         ? sprintf('%s, %02d-%s-%02d %s GMT', $days[$t[6]], $t[3],
                   $months[$t[4]], $t[5] % 100, $time)
         : $form eq 'asctime'
         ? sprintf('%s %s %2d %s %d', $day, $months[$t[4]], $t[3], $time,
                   $t[5] + 1900)
         : sprintf('%s, %02d %s %d %s GMT', $day, $t[3], $months[$t[4]],
                   $t[5] + 1900, $time);
}


# Name, status, headers of the upstream; X-RateLimit-Limit, -Remaining,
# -Reset (from now) and Retry-After as the caller gets them (undef: none,
# "?": any); how long the next call is told to wait (0: it passes).

sub rows {
    my @l = ('X-RateLimit-Limit');
    my @m = ('X-RateLimit-Remaining');
    my @r = ('X-RateLimit-Reset');
    my @a = ('Retry-After');

    return (
    # Retry-After
    ['seconds', 429, [@a, 30], undef, 0, 30, 30, 30],
    ['HTTP-date', 429, [@a, date(30, 'imf')], undef, 0, 30, 30, 30],
    ['RFC 850 date', 429, [@a, date(30, 'rfc850')], undef, 0, 30, 30, 30],
    ['asctime date', 429, [@a, date(30, 'asctime')], undef, 0, 30, 30, 30],
    ['a date that is past', 429, [@a, date(-30, 'imf')], undef, 0, 1, 1, 1],
    ['a date of another zone', 429,
     [@a, date(30, 'imf') =~ s/GMT/+0200/r], undef, 0, 60, 60, 60],
    ['an epoch', 429, [@a, $now + 30], undef, 0, 30, 30, 30],
    ['zero', 429, [@a, 0], undef, 0, 1, 1, 1],
    ['white space round it', 429, [@a, "\t 30 "], undef, 0, 30, 30, 30],
    ['more than a day', 429, [@a, 1_000_000], undef, 0, 86400, '?', 86400],
    ['a number past 2^64', 429, [@a, '9' x 30], undef, 0, 86400, '?',
     86400],
    ['empty', 429, [@a, ''], undef, 0, 60, 60, 60],
    ['negative', 429, [@a, -5], undef, 0, 60, 60, 60],
    ['a fraction', 429, [@a, '1.5'], undef, 0, 60, 60, 60],
    ['a URI, as the contract has it', 429, [@a, 'https://example.com/'],
     undef, 0, 60, 60, 60],
    ['several: the longest', 429, [@a, 5, @a, 30, @a, 10], undef, 0, 30, 30,
     30],
    ['one good, one not', 429, [@a, 'soon', @a, 30], undef, 0, 30, 30, 30],
    ['absent', 429, [], undef, 0, 60, 60, 60],

    # Reset on a refusal
    ['Reset as an epoch', 429, [@l, 60, @m, 0, @r, $now + 40], 60, 0, 40, 40,
     40],
    ['Reset as a delta', 429, [@l, 60, @m, 0, @r, 40], 60, 0, 40, 40, 40],
    ['Reset as an epoch in ms', 429, [@r, ($now + 40) * 1000], undef, 0, 40,
     40, 40],
    ['Reset as a date', 429, [@r, date(40, 'imf')], undef, 0, 40, 40, 40],
    ['Reset that is past', 429, [@r, $now - 40], undef, 0, 60, 60, 60],
    ['Reset malformed', 429, [@l, 60, @r, '1e9'], 60, 0, 60, 60, 60],
    ['Reset next year', 429, [@r, $now + 30_000_000], undef, 0, 86400, '?',
     86400],
    ['Retry-After wins over Reset', 429, [@a, 20, @r, $now + 40], undef, 0,
     40, 20, 20],
    ['a bad Retry-After does not', 429, [@a, 'x', @r, $now + 40], undef, 0,
     40, 40, 40],

    # other statuses
    ['503 with Retry-After', 503, [@a, 30], undef, 0, 30, 30, 30],
    ['503 without', 503, [], undef, undef, undef, undef, 0],
    ['503 with Reset only', 503, [@l, 60, @m, 5, @r, $now + 40], 60, 5, 40,
     undef, 0],
    ['500 with Retry-After', 500, [@a, 30], undef, undef, undef, 30, 0],

    # the view
    ['all three', 200, [@l, 60, @m, 5, @r, $now + 40], 60, 5, 40, undef, 0],
    ['in lower case', 200, [map({ lc } @l), 60, map({ lc } @m), 5,
     map({ lc } @r), $now + 40], 60, 5, 40, undef, 0],
    ['a delta', 200, [@l, 60, @m, 5, @r, 40], 60, 5, 40, undef, 0],
    ['used up', 200, [@l, 60, @m, 0, @r, $now + 40], 60, 0, 40, undef, 40],
    ['used up, without Reset', 200, [@l, 60, @m, 0], 60, 0, 60, undef, 60],
    ['used up, Reset past', 200, [@l, 60, @m, 0, @r, $now - 1], '?', '?',
     '?', undef, 0],
    ['no Limit', 200, [@m, 5, @r, 40], undef, 5, 40, undef, 0],
    ['more left than the limit', 200, [@l, 3, @m, 5, @r, 40], 3, 3, 40,
     undef, 0],
    ['several: the strictest', 200, [@l, 60, @l, 50, @m, 7, @m, 5, @r, 30,
     @r, 40], 50, 5, 40, undef, 0],
    ['a list: the strictest', 200, [@l, '60, 50', @m, '7,5', @r, 40], 50, 5,
     40, undef, 0],
    ['Remaining malformed', 200, [@l, 60, @m, 'few', @r, 40], '?', '?', '?',
     undef, 0],
    ['Remaining negative', 200, [@l, 60, @m, -1, @r, 40], '?', '?', '?',
     undef, 0],
    ['Limit malformed', 200, [@l, '60/h', @m, 5, @r, 40], undef, 5, 40,
     undef, 0],
    ['a great Remaining', 200, [@l, '9' x 30, @m, '9' x 25, @r, 40], '?',
     '?', '?', undef, 0],
    );
}


sub header_is {
    my ($got, $expected, $name, $slack) = @_;

    return if defined $expected && $expected eq '?';
    return is($got, $expected, $name) if !defined $expected;

    ok(defined $got && $got =~ /^\d+$/
       && $got <= $expected + $slack && $got >= $expected - 2 * $slack, $name)
        or diag('got ', $got // 'none', ", expected $expected");
}


sub names {
    my ($headers) = @_;
    my %all;

    while (my ($name, $value) = splice @$headers, 0, 2) {
        push @{$all{$name}}, $value;
    }

    return {map { $_ => @{$all{$_}} > 1 ? $all{$_} : $all{$_}[0] } keys %all};
}


$now = time;
my $count = () = rows();

for my $i (0 .. $count - 1) {
    my $tenant = "tenant$i";

    token($redis, $tenant);
    $now = time;

    my $row = (rows())[$i];
    my ($name, $status, $headers, $limit, $remaining, $reset, $retry, $wait)
        = @$row;

    $sandbox->script({status => $status, headers => names([@$headers])});

    my $r = $client->request(GET => '/v2/actions', {'X-Tenant' => $tenant});
    my $h = $r->{headers};

    is $r->{status}, $status, "$name: status";
    header_is $h->{'x-ratelimit-limit'}, $limit, "$name: limit", 0;
    header_is $h->{'x-ratelimit-remaining'}, $remaining,
              "$name: remaining", 0;
    header_is $h->{'x-ratelimit-reset'},
              defined $reset && $reset ne '?' ? $now + $reset : $reset,
              "$name: reset", 2;
    header_is $h->{'retry-after'}, $retry, "$name: Retry-After", 1;

    $r = $client->request(GET => '/v2/actions', {'X-Tenant' => $tenant});

    is $r->{status}, $wait ? 429 : 200, "$name: the next call";
    header_is $r->{headers}{'retry-after'}, $wait || undef,
              "$name: its Retry-After", 1;
    ok !$wait || $r->{headers}{'retry-after'} >= 1, "$name: never 0";
}

is_deeply [$node->complaints], [], 'no alerts';
ok $node->stop, 'stopped in time';

done_testing;
