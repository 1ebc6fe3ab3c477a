# Nodes whose clocks are five minutes fast and slow, next to one that is
# right: tokens expire by the clock of Redis for all of them.

use strict;
use warnings;

use lib 't/lib';
use HTTP::Date qw(str2time);
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my ($faketime) = glob '/usr/lib/*/faketime/libfaketime.so.1';

plan skip_all => 'libfaketime is not there' if !$faketime;

my $redis   = redis();
my $sandbox = sandbox();

$sandbox->oauth(strict => 1, access_grace => 5, revoke_on_reuse => 1);

my $secret = $redis->dir . '/client.secret';

open my $file, '>', $secret or die $!;
print $file "sandbox-secret\n";
close $file;
chmod 0600, $secret;

# nginx clears its environment, and the library looks there again

sub skewed {
    my ($seconds) = @_;

    local $ENV{LD_PRELOAD} = $faketime;
    local $ENV{FAKETIME} = sprintf '%+ds', $seconds;
    local $ENV{FAKETIME_DONT_FAKE_MONOTONIC} = 1;
    local $ENV{ASAN_OPTIONS} = join ':', 'verify_asan_link_order=0',
                                         $ENV{ASAN_OPTIONS} // ();

    return node(
        redis => $redis, sandbox => $sandbox, workers => 2,
        main => 'env FAKETIME; env FAKETIME_DONT_FAKE_MONOTONIC;',
        http => "zapier_oauth_client sandbox-client $secret;"
              . 'zapier_oauth_token /oauth/token margin=1s;',
        server => Zapier::Nginx::default_server() . <<'END');
        location = /oauth/token {
            internal;
            proxy_pass  http://sandbox/oauth/token/;
        }
        location /admin/ { zapier_admin; }
        location /date { return 200; }
END
}

my @skews = (0, 300, -300);
my @nodes = map { skewed($_) } @skews;

for my $i (0 .. 2) {
    my $date = client($nodes[$i])->request(GET => '/date')->{headers}{date};

    cmp_ok abs(str2time(ref $date ? $date->[0] : $date) - time - $skews[$i]),
           '<', 5, "a node whose clock is off by $skews[$i] s";
}

sub get {
    my ($i, $tenant) = @_;

    return client($nodes[$i])->request(GET => '/v2/actions?app=x',
                                       {'X-Tenant' => $tenant})->{status};
}

sub calls {
    my ($tenant) = @_;

    return scalar grep { ($_->{tenant} // '') eq $tenant }
                  $sandbox->token_calls;
}

# Each of n callers sends requests to all nodes in turn until the end.

sub callers {
    my ($n, $seconds, $tenant) = @_;
    my (@pipes, %seen);

    for my $first (1 .. $n) {
        pipe my $out, my $in or die "pipe: $!";
        my $pid = fork // die "fork: $!";

        if ($pid == 0) {
            my ($until, $i, %mine) = (time + $seconds, $first);

            do { $mine{get($i++ % 3, $tenant)}++ } while time < $until;
            print $in join ' ', %mine;
            CORE::close $in;
            require POSIX;
            POSIX::_exit(0);
        }

        CORE::close $in;
        push @pipes, [$out, $pid];
    }

    for (@pipes) {
        my ($out, $pid) = @$_;
        my %mine = split / /, <$out> // '';

        waitpid $pid, 0;
        $seen{$_} += $mine{$_} for keys %mine;
    }

    return [sort keys %seen];
}

token($redis, 'past', $sandbox->token_record('past'),
      expires_at => int(time) - 2);
is_deeply callers(12, 0.5, 'past'), [200], 'a token that has expired';
is calls('past'), 1, 'is refreshed once';

token($redis, 'future', $sandbox->token_record('future', lifetime => 120));
is_deeply callers(6, 0.5, 'future'), [200],
    'one that has expired only by the clock of one node';
is calls('future'), 0, 'is not refreshed';

is client($nodes[$_])->request(
    PUT => "/admin/tokens/put-$_", {'Content-Type' => 'application/json'},
    sprintf '{"access_token":"%s","refresh_token":"%s","expires_in":60}',
    @{{$sandbox->token_record("put-$_")}}{qw(access_token refresh_token)}
)->{status}, 201, "a record put by node $_" for 1, 2;

for my $put (1, 2) {
    is get($_, "put-$put"), 200, "serves at node $_" for 0 .. 2;
    is calls("put-$put"), 0, 'and is not refreshed';
}

# tokens of five seconds, used all the time

my $expired = $sandbox->stats->{api}{expired} // 0;

token($redis, 'short', $sandbox->token_record('short', lifetime => 5));
is_deeply callers(4, 12, 'short'), [200], 'tokens that expire soon';
cmp_ok calls('short'), '>=', 2, 'are refreshed';
cmp_ok calls('short'), '<=', 4, 'not too often';

my $stats = $sandbox->stats;

is $stats->{api}{expired} // 0, $expired, 'no expired token was sent';
is $stats->{max_concurrency}, 1, 'no two nodes refreshed at once';
is $stats->{dead_uses}, 0, 'no refresh token was used twice';

ok $_->stop, 'nginx stops' for @nodes;
is_deeply [map { $_->complaints } @nodes], [], 'nothing grave in the logs';

done_testing();
