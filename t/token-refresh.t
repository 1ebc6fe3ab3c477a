# An expired token is refreshed once, whoever asks; the pair in Redis is
# always the last one that the token endpoint gave out.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();

$sandbox->oauth(strict => 1);

my $secret = $redis->dir . '/client.secret';

open my $file, '>', $secret or die $!;
print $file "sandbox-secret\n";
close $file;

my %conf = (
    redis => $redis, sandbox => $sandbox, workers => 2,
    http => "zapier_oauth_client sandbox-client $secret;"
          . 'zapier_oauth_token /oauth/token margin=10s timeout=5s;',
    server => Zapier::Nginx::default_server() . <<'END',
        location = /oauth/token {
            internal;
            proxy_pass     http://sandbox/oauth/token/;
            proxy_read_timeout 2s;
        }
END
);

my $node = node(%conf);

sub get {
    my ($tenant, $to) = @_;

    return client($to // $node)->request(
        GET => '/v2/actions?app=x', {'X-Tenant' => $tenant});
}

sub record { my %r = $redis->cmd(HGETALL => "zapier:token:{$_[0]}"); \%r }

# a pair of the sandbox, said to expire in so many seconds

sub pair {
    my ($tenant, $left) = @_;

    return ($sandbox->token_record($tenant), expires_at => int(time + $left));
}

sub refreshes {
    my ($tenant) = @_;

    return scalar grep { ($_->{tenant} // '') eq $tenant
                         && $_->{grant} eq 'refresh_token' }
                  $sandbox->token_calls;
}

sub code { $_[0]->{body} =~ /"code":"(\w+)"/ ? $1 : $_[0]->{body} }

# In the foreground, when the token has expired

token($redis, 'acme', pair('acme', -5));

my $before = record('acme');

is get('acme')->{status}, 200, 'an expired token is refreshed';
is refreshes('acme'), 1, 'by one call';

my $after = record('acme');

isnt $after->{access_token}, $before->{access_token}, 'the new token';
isnt $after->{refresh_token}, $before->{refresh_token}, 'and its successor';
is $after->{version}, $before->{version} + 1, 'are a new version';
cmp_ok $after->{expires_at}, '>', time + 1000, 'with its expiry';
ok !exists $after->{refreshing}, 'nothing is left under way';
is $redis->cmd(EXISTS => 'zapier:lock:{acme}'), 0, 'the lock is given back';

is get('acme')->{status}, 200, 'it serves' for 1 .. 3;
is refreshes('acme'), 1, 'and is not refreshed again';

# In the background, while the old one serves

token($redis, 'ahead', pair('ahead', 6));

is get('ahead')->{status}, 200, 'a token near its expiry serves';
ok((soon { refreshes('ahead') }), 'and is refreshed');
sleep 0.3;
is get('ahead')->{status}, 200, 'the new one serves';
is refreshes('ahead'), 1, 'once';

# Of no use any more

token($redis, 'void', pair('void', -5),
      refresh_token => 'never-issued');

is code(get('void')), 'reauthorization_required', 'invalid_grant';

my $calls = () = $sandbox->token_calls;

is code(get('void')), 'reauthorization_required', 'is remembered';
is scalar(() = $sandbox->token_calls), $calls, 'without asking again';

my $other = node(%conf);

is code(get('void', $other)), 'reauthorization_required', 'by every node';
is scalar(() = $sandbox->token_calls), $calls, 'without asking again';

token($redis, 'void', pair('void', -5));
sleep 1;
is get('void')->{status}, 200, 'until the record changes';

token($redis, 'implicit', access_token => 'x', expires_at => int(time) - 5);
is code(get('implicit')), 'reauthorization_required', 'no refresh token';

# What passes

token($redis, 'busy', pair('busy', -5));
$sandbox->fault({status => 503, headers => {'Retry-After' => 1}},
                tenant => 'busy');

my $r = get('busy');

is code($r), 'token_expired', 'a 503 is not the end';
ok $r->{headers}{'retry-after'}, 'the caller is told when to come again';
$calls = refreshes('busy');
get('busy') for 1 .. 3;
is refreshes('busy'), $calls, 'the pause is kept';
sleep 1.3;
is get('busy')->{status}, 200, 'afterwards it works';

# A pause without Retry-After grows

token($redis, 'worse', pair('worse', -5));
$sandbox->fault({status => 503, times => 2}, tenant => 'worse');

my $first = get('worse')->{headers}{'retry-after'};

cmp_ok $first, '<=', 3, 'the first pause';
ok((soon { get('worse'); refreshes('worse') == 2 }), 'ends');
cmp_ok get('worse')->{headers}{'retry-after'}, '>', $first, 'the second grows';

# The answer is lost

token($redis, 'lost', pair('lost', -5));
$sandbox->fault('lost', tenant => 'lost');

is code(get('lost')), 'reauthorization_required',
   'a rotated pair that nobody got is gone, and said to be';
is refreshes('lost'), 2, 'after one cautious retry';

# The upstream refuses a token that has not expired

token($redis, 'revoked', $sandbox->token_record('revoked'));
is get('revoked')->{status}, 200, 'a good token';
$sandbox->expire(tenant => 'revoked');
is get('revoked')->{status}, 401, 'that upstream refuses: its answer';
is get('revoked')->{status}, 200, 'the next request has a new one';
is refreshes('revoked'), 1, 'of one refresh';

is_deeply [grep { !/unknown|outcome/ } $node->complaints], [],
    'nothing grave in the log';

unlike $node->log, qr/$after->{access_token}|$after->{refresh_token}/,
    'no token in the log';

done_testing();
