# Whatever the token endpoint answers, or the location that leads there does:
# a pair that can be used is used, one that is gone is said to be gone, and
# what may pass is tried again.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();
my $dead    = free_port();

$sandbox->oauth(strict => 1);

my $secret = $redis->dir . '/client.secret';

open my $file, '>', $secret or die $!;
print $file "sandbox-secret\n";
close $file;
chmod 0600, $secret;

sub http {
    my ($uri, $timeout) = @_;

    return "zapier_oauth_client sandbox-client $secret;"
         . "zapier_oauth_token $uri margin=10s timeout=$timeout;";
}

my %node;
my $node = node(
    redis => $redis, sandbox => $sandbox, workers => 2,
    main => 'worker_shutdown_timeout 2s;',
    http => http('/oauth/token', '5s'),
    server => Zapier::Nginx::default_server() . <<'END',
        location = /oauth/token {
            internal;
            proxy_http_version 1.1;
            proxy_set_header   Host $proxy_host;
            proxy_set_header   Connection "";
            proxy_pass         http://sandbox/oauth/token/;
            proxy_read_timeout 1s;
        }
END
);

# a tenant with a pair of the sandbox whose access token has expired

sub tenant {
    my ($tenant) = @_;

    token($redis, $tenant, $sandbox->token_record($tenant),
          expires_at => int(time) - 5);

    return $tenant;
}

sub ask {
    my ($to, $tenant) = @_;
    my $http = client($to);

    $http->send("GET /v2/actions?app=x HTTP/1.1\r\nHost: x\r\n"
                . "X-Tenant: $tenant\r\n\r\n");
    return $http;
}

sub record { my %r = $redis->cmd(HGETALL => "zapier:token:{$_[0]}"); \%r }

sub outcome {
    my ($r) = @_;

    return $r->{status} if $r->{body} !~ /"GATEWAY"/;
    return $1 . ($r->{headers}{'retry-after'} ? ' later' : '')
        if $r->{body} =~ /"code":"(\w+)"/;
}

sub quiet {
    my ($what) = @_;

    is_deeply [grep { /\[(alert|emerg|crit)\]/ } $node{$what}->complaints], [],
        "nothing grave in the log of a location $what";
}

sub fds { my @fd = glob "/proc/$_[0]/fd/*"; scalar @fd }

# What the endpoint may answer.  "lost" has rotated the pair and not told.

my %expect = (
    200 => 'twice no-expires string-expires word-expires null-expires '
         . 'float-expires huge-expires no-refresh null-refresh json-as-html '
         . 'upper-type no-access bad-access garbage empty null list html '
         . 'html-as-json huge close hang',
    token_expired => 'zero-expires negative-expires',
    'token_expired later' => 'redirect invalid-client lost-500 400 401 403 '
         . '404 408 409 423 425 429 500 502 503 504',
    reauthorization_required => 'invalid-grant late lost lost-garbage '
         . 'lost-huge truncated lost-hang',
);

my %answer = map { my $e = $_; map { $_ => $e } split ' ', $expect{$e} }
             keys %expect;

for my $fault (sort keys %answer) {
    tenant($fault);
    $sandbox->fault($fault, tenant => $fault);
}

my %http = map { $_ => ask($node, $_) } keys %answer;

for my $fault (sort keys %answer) {
    is outcome($http{$fault}->read), $answer{$fault}, "fault $fault";

    my $dead = record($fault)->{dead} ? 1 : 0;

    is $dead, $answer{$fault} =~ /^reauth/ ? 1 : 0, '  and its record';
}

# What was lost stays marked; what passes has passed.

$sandbox->clear_faults;

is outcome(ask($node, 'lost')->read), 'reauthorization_required',
    'a lost pair';
ok((soon { outcome(ask($node, '503')->read) eq '200' }),
   'a 503 was not the end');

# Callers that go away do not end the call

tenant('gone');
$sandbox->fault({late => 400}, tenant => 'gone');

my $before = record('gone')->{access_token};

my @gone = map { ask($node, 'gone') } 1 .. 3;

ok((soon { grep { ($_->{tenant} // '') eq 'gone' } $sandbox->token_calls }),
   'a call begins');
$_->close for @gone;

ok((soon { record('gone')->{access_token} ne $before }),
   'the pair is stored, though nobody waits for it');
is outcome(ask($node, 'gone')->read), 200, 'and used';

# nor does a reload

tenant('reload');
$sandbox->fault({late => 500}, tenant => 'reload');
$before = record('reload')->{access_token};

my $waiting = ask($node, 'reload');

sleep 0.1;
$node->reload;
is outcome($waiting->read), 200, 'a reload meanwhile';
isnt record('reload')->{access_token}, $before, 'the pair is stored';

# Many calls: no descriptor and no connection is left

my @many = map { "many$_" } 1 .. 300;

$redis->cmd(HSET => "zapier:token:{$_->{tenant}}", Zapier::Sandbox::fields($_),
            expires_at => int(time) - 5)
    for map { {%{$_->[1]}, tenant => $_->[0]} }
        do { my @pairs = $sandbox->issue_pairs(\@many);
             map { [$many[$_], $pairs[$_]] } 0 .. $#many };

is outcome(ask($node, 'gone')->read), 200, 'warm' for 1 .. 8;

$sandbox->clear_stats;

my @workers = $node->workers;
my @fds     = map { fds($_) } @workers;
my @http    = map { ask($node, $_) } @many;
my %seen;

$seen{outcome($_->read)}++ for @http;
is_deeply \%seen, {200 => 300}, '300 tenants at once';
cmp_ok $sandbox->stats->{max_inflight}, '<', 64,
    'do not come upon the endpoint all at once';

$_->close for @http;

ok((soon { !grep { fds($workers[$_]) > $fds[$_] + 40 } 0 .. $#workers }),
   'descriptors are given back')
    or diag join ' ', @fds, '->', map { fds($_) } @workers;

$node->stop;
is_deeply [grep { /\[(alert|emerg|crit)\]|open socket/ } $node->complaints],
    [], 'the error log';

# Locations that are not what they should be: an operator's fault is told,
# and the token is kept.

my %location = (
    'is a file' => 'location = /oauth/token { internal; root /nowhere; }',
    'returns a page' => 'location = /oauth/token { return 200 "page"; }',
    'redirects' => 'location = /oauth/token { return 301 /elsewhere; }',
    'forbids' => 'location = /oauth/token { internal; deny all; }',
    'has no server' => "location = /oauth/token {
        proxy_pass http://127.0.0.1:$dead; }",
    'has an error page' => 'location = /oauth/token { internal;
        proxy_pass http://sandbox/nowhere; proxy_intercept_errors on;
        error_page 404 /v2/actions; }',
    'is a loop' => 'location = /oauth/token { internal;
        error_page 404 /oauth/token; return 404; }',
    'needs a tenant' => 'location = /oauth/token { internal;
        zapier_tenant $http_x_tenant;
        proxy_pass http://sandbox/nowhere; }',
);

%node = map {
    tenant(s/ /-/gr);
    $_ => node(redis => $redis, sandbox => $sandbox,
               http => http('/oauth/token', '2s'),
               server => Zapier::Nginx::default_server() . $location{$_});
} keys %location;

my %asked = map { $_ => ask($node{$_}, s/ /-/gr) } keys %node;

for my $what (sort keys %location) {
    like outcome($asked{$what}->read), qr/^token_expired/,
        "a location that $what";
    ok !record($what =~ s/ /-/gr)->{dead}, '  kills no token';
}

quiet($_) for sort keys %node;

# Whatever the location adds is not in the way

my %also = (
    'that logs subrequests' => 'log_subrequest on; access_log also.log;',
    'with a cache' => 'proxy_cache tokens; proxy_cache_valid any 1h;
        proxy_cache_methods GET HEAD POST;',
    'with gzip' => 'gzip on; gzip_proxied any; gzip_types *;
        gzip_min_length 1;',
    'with limits of its own' => 'limit_req zone=calls burst=5;
        limit_conn peers 1;',
    'with auth_request' => 'auth_request /ok;',
    'without request buffering' => 'proxy_request_buffering off;',
    'with a small buffer' => 'subrequest_output_buffer_size 64;
        proxy_buffer_size 1k; proxy_buffers 2 1k; proxy_busy_buffers_size 1k;',
    'with add_header and sub_filter' => 'add_header X-A b always;
        sub_filter_types *; sub_filter expires_in expires_xx;',
);

%node = map {
    tenant(s/ /-/gr);
    $_ => node(
        redis => $redis, sandbox => $sandbox,
        http => http('/oauth/token', '4s')
              . 'limit_req_zone $remote_addr zone=calls:1m rate=10r/s;'
              . 'limit_conn_zone $remote_addr zone=peers:1m;'
              . 'proxy_cache_path ' . $redis->dir
              . '/cache keys_zone=tokens:1m;',
        server => Zapier::Nginx::default_server() . <<END);
            location = /oauth/token {
                internal;
                proxy_pass http://sandbox/oauth/token/;
                $also{$_}
            }
            location = /ok { return 204; }
END
} keys %also;

%asked = map { $_ => ask($node{$_}, s/ /-/gr) } keys %node;

is outcome($asked{$_}->read), 200, "a location $_" for sort keys %also;
quiet($_) for sort keys %node;

is system("grep -rqs 'sbx[ar]t-' " . $redis->dir . '/cache') >> 8, 1,
    'nothing of it is in a cache';

done_testing;
