# With zapier_retry 401 a token that the upstream refuses is refreshed and
# the call made once more; the caller sees only what comes of that.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();
my $dead    = free_port();
my $h2      = free_port();

$sandbox->oauth(strict => 1);

my $secret = $redis->dir . '/client.secret';

open my $file, '>', $secret or die $!;
print $file "sandbox-secret\n";
close $file;

my $node = node(
    redis => $redis, sandbox => $sandbox, workers => 2,
    http => <<END,
    zapier_oauth_client sandbox-client $secret;
    zapier_oauth_token  /oauth/token timeout=5s;
    zapier_limit_zone   two key=\$zapier_tenant limit=2 window=60s mirror=off;
    zapier_limit_zone   one key=\$zapier_tenant limit=1 window=60s mirror=off;
    zapier_limit        off;
    client_body_buffer_size 16k;
    client_max_body_size    4m;
    log_format calls '\$request_uri \$status "\$upstream_status" '
                     '\$zapier_token_status \$zapier_error';
    access_log calls.log calls;
END
    server => <<END,
    listen 127.0.0.1:$h2 http2;
    zapier_tenant \$http_x_tenant;
    include       \$params;

    location = /oauth/token {
        internal;
        zapier_tenant off;
        include \$params;
        proxy_pass http://sandbox/oauth/token/;
    }

    location / {
        zapier_retry 401;
        proxy_pass   http://sandbox;
        add_header   X-Upstream "\$upstream_status" always;
    }

    location = /v2/action-runs {
        zapier_body  action_run max=4m;
        zapier_retry 401;
        proxy_pass   http://sandbox;
        add_header   X-Upstream "\$upstream_status" always;
    }

    location /plain/ {
        proxy_pass http://sandbox/v2/;
    }

    location /limited/ {
        zapier_limit two;
        zapier_retry 401;
        proxy_pass   http://sandbox/v2/;
    }

    location /scarce/ {
        zapier_limit one;
        zapier_retry 401;
        proxy_pass   http://sandbox/v2/;
    }

    location /gzip/ {
        zapier_retry    401;
        gzip            on;
        gzip_types      application/json;
        gzip_min_length 1;
        proxy_pass      http://sandbox/v2/;
    }

    location /unbuffered/ {
        zapier_retry    401;
        proxy_buffering off;
        proxy_request_buffering off;
        proxy_pass      http://sandbox/v2/;
    }

    location /intercepted/ {
        zapier_retry 401;
        proxy_pass   http://sandbox/v2/;
        proxy_intercept_errors on;
        error_page   401 500 \@page;
    }

    location /dead/ {
        zapier_retry 401;
        proxy_pass   http://127.0.0.1:$dead;
    }

    location /dead/page/ {
        zapier_retry 401;
        proxy_pass   http://127.0.0.1:$dead;
        error_page   502 = \@page;
    }

    location \@page {
        zapier_tenant off;
        return 418 "page \$upstream_status";
    }

    location /elsewhere/ {
        zapier_retry 401;
        proxy_pass   http://sandbox/v2/;
        proxy_ignore_headers X-Accel-Limit-Rate;
    }

    location /private/ {
        internal;
        zapier_tenant off;
        proxy_pass    http://sandbox/v2/;
    }
END
);

my $http = client($node);

# a tenant whose record is in order and whose token is refused

sub refused {
    my ($tenant) = @_;

    token($redis, $tenant, $sandbox->token_record($tenant));
    $sandbox->expire(tenant => $tenant);
    $sandbox->forget;

    return ('X-Tenant' => $tenant);
}

sub calls { grep { $_->{target} !~ m{^/oauth} } $sandbox->requests }

sub refreshes {
    my ($tenant) = @_;

    return scalar grep { ($_->{tenant} // '') eq $tenant
                         && $_->{grant} eq 'refresh_token' }
                  $sandbox->token_calls;
}

sub code { $_[0]->{body} =~ /"code":"(\w+)"/ ? $1 : $_[0]->{body} }

my $run = '{"action":"core:a","inputs":{"n":1e400,"text":"TEXT"}}';

# The caller sees the success only

my $r = $http->request(POST => '/v2/action-runs', {refused('acme')}, $run);
my @calls = calls();

is $r->{status}, 200, 'the call is made with a new token';
is $r->{headers}{'x-upstream'}, '401 : 200', 'after the first was refused';
is scalar @calls, 2, 'two calls';
is $calls[0]{body}, $calls[1]{body}, 'with the same body';
like $calls[1]{body}, qr/^\{"data":\{.*"n":1e400/, 'in its envelope';
isnt $calls[0]{headers}{Authorization}[0],
    $calls[1]{headers}{Authorization}[0], 'with another token';
is refreshes('acme'), 1, 'of one refresh';

$r = $http->request(POST => '/v2/action-runs', {'X-Tenant' => 'acme'}, $run);

is $r->{headers}{'x-upstream'}, '200', 'a call in order is one call';
like $r->{body}, qr/"id"/, 'with its answer';

# Without it, as nginx does it

$r = $http->request(GET => '/plain/actions?app=x', {refused('plain')});
is $r->{status}, 401, 'without zapier_retry the answer is the caller\'s';

# Bodies

for my $size (20_000, 300_000) {
    my $big = $run =~ s/TEXT/'x' x $size/er;
    my $tenant = "big$size";

    $r = $http->request(POST => '/v2/action-runs', {refused($tenant)}, $big);
    @calls = calls();

    is $r->{status}, 200, "$size bytes";
    is length $calls[1]{body}, length $calls[0]{body}, 'are sent again';
    ok $calls[1]{body} eq $calls[0]{body}, 'as they were';
}

$r = $http->request(POST => '/v2/action-runs',
                    {refused('chunked'), 'Transfer-Encoding' => 'chunked'},
                    sprintf("%x\r\n%s\r\n0\r\n\r\n", length $run, $run));
is $r->{status}, 200, 'a chunked body';

for my $path (qw(/v2/echo /unbuffered/echo)) {
    my $body = 'y' x 100_000;

    $sandbox->script({path => 'echo', status => 401, body => 'no'},
                     {path => 'echo', echo => 'body'});
    $r = $http->request(PUT => $path, {refused("put$path" =~ tr{/}{-}r)},
                        $body);
    is $r->{status}, 200, "PUT $path without zapier_body";
    ok $r->{body} eq $body, 'is sent again as a whole';
}

SKIP: {
    skip 'no curl with HTTP/2', 2 if `curl -V` !~ /HTTP2/;

    my %headers = refused('h2');
    my $answer  = `curl -s -m 20 --http2-prior-knowledge -H 'X-Tenant: h2' \\
                        -d '$run' -H 'Content-Type: application/json' \\
                        -w '%{http_code}' http://127.0.0.1:$h2/v2/action-runs`;

    like $answer, qr/"id".*200$/s, 'HTTP/2';
    is scalar(() = calls()), 2, 'two calls';
}

# Once only

my $no = '{"errors":[{"status":401,"meta":{"source":"ZAPIER"}}]}';

$sandbox->script({status => 401, body => $no, times => 2,
                  headers => {'WWW-Authenticate' => 'Bearer realm="api"'}});
$r = $http->request(GET => '/v2/x', {refused('never')});

is $r->{status}, 401, 'what is refused twice is the caller\'s';
is $r->{body}, $no, 'as it is';
is $r->{headers}{'www-authenticate'}, 'Bearer realm="api"', 'with its headers';
is scalar(() = calls()), 2, 'after two calls';

$sandbox->script({status => 401, body => $no});
$r = $http->request(GET => '/v2/x', {'X-Tenant' => 'never'});

is $r->{status}, 401, 'a new token that is refused';
is refreshes('never'), 1, 'is not refreshed again at once';
is scalar(() = calls()), 3, 'and the call not repeated';

# What cannot be refreshed

token($redis, 'implicit', access_token => 'implicit');
$sandbox->forget;
$r = $http->request(GET => '/v2/x', {'X-Tenant' => 'implicit'});

like $r->{body}, qr/authentication_failed/, 'no refresh token: its answer';
is scalar(() = calls()), 1, 'of the only call';

token($redis, 'void', $sandbox->token_record('void'),
      refresh_token => 'never-issued');
$sandbox->expire(tenant => 'void');
$sandbox->forget;
$r = $http->request(GET => '/v2/x', {'X-Tenant' => 'void'});

is code($r), 'reauthorization_required', 'a void refresh token';
is scalar(() = calls()), 1, 'ends it';

$sandbox->fault({status => 503, headers => {'Retry-After' => 7}});
$r = $http->request(GET => '/v2/x', {refused('later')});

is code($r), 'token_expired', 'an endpoint that is busy';
cmp_ok $r->{headers}{'retry-after'}, '>=', 6, 'says when to try again';
is scalar(() = calls()), 1, 'the call is not repeated in vain';

# Quota

my %limited = refused('limited');

$r = $http->request(GET => '/limited/actions?app=x', {%limited});
is $r->{status}, 200, 'two calls of two';
is $r->{headers}{'x-ratelimit-remaining'}, 0, 'leave nothing';
is code($http->request(GET => '/limited/actions?app=x', {%limited})),
    'rate_limited', 'for another one';

$r = $http->request(GET => '/scarce/actions?app=x', {refused('scarce')});
is code($r), 'rate_limited', 'a second call has to be within the quota';
is scalar(() = calls()), 1, 'and is not made otherwise';

# Answers

$r = $http->request(HEAD => '/v2/actions?app=x', {refused('head')});
is $r->{status}, 200, 'HEAD';
is $http->request(GET => '/v2/actions?app=x',
                  {'X-Tenant' => 'head'})->{status}, 200, 'and what follows';

$sandbox->script({status => 204});
is $http->request(GET => '/v2/x', {'X-Tenant' => 'head'})->{status}, 204,
    'no content';

my $long = '{"x":"' . 'z' x 200_000 . '"}';

for my $path (qw(/v2/x /unbuffered/x)) {
    $sandbox->script({status => 401, body => $no},
                     {status => 200, body => $long});
    $r = $http->request(GET => $path, {refused('long' . length $path)});
    ok $r->{body} eq $long, "a long answer, $path";

    $sandbox->script({status => 200, body => $long, truncate => 50_000});
    $r = $http->request(GET => $path, {'X-Tenant' => 'long' . length $path});
    is $r->{status}, 0, "one that was cut off is not whole, $path";
}

$r = $http->request(GET => '/gzip/actions?app=x',
                    {refused('gzip'), 'Accept-Encoding' => 'gzip'});
is $r->{headers}{'content-encoding'}, 'gzip', 'gzip';
like $r->{body}, qr/^\x1f\x8b/, 'is applied';

# nginx's own answers

$sandbox->script({status => 401, body => $no}, {status => 200, body => 'ok'});
$r = $http->request(GET => '/intercepted/x', {refused('caught')});
is $r->{body}, 'ok', 'proxy_intercept_errors: 401 is repeated';

$sandbox->script({status => 500, body => $no});
$r = $http->request(GET => '/intercepted/x', {'X-Tenant' => 'caught'});
is $r->{body}, 'page 500', 'another error has its page';

is $http->request(GET => '/dead/x', {'X-Tenant' => 'head'})->{status}, 502,
    'an upstream that is not there';
is $http->request(GET => '/dead/page/x', {'X-Tenant' => 'head'})->{body},
    'page 502', 'or the page for it';

$sandbox->script({status => 200,
                  headers => {'X-Accel-Redirect' => '/private/echo'}},
                 {echo => 'headers'});
$r = $http->request(GET => '/elsewhere/x', {'X-Tenant' => 'head'});
like $r->{body}, qr/^x-tenant: head/mi, 'X-Accel-Redirect';
unlike $r->{body}, qr/^authorization:/mi, 'leads away without the token';

# Many at once

my %all  = refused('many');
my @http = map { client($node) } 1 .. 30;

$_->send("POST /v2/action-runs HTTP/1.1\r\nHost: x\r\nX-Tenant: many\r\n"
         . 'Content-Length: ' . length($run) . "\r\n\r\n$run") for @http;

my %status;
$status{$_->read->{status}}++ for @http;

is_deeply \%status, {200 => 30}, '30 callers with one refused token';
is refreshes('many'), 1, 'one refresh';

# A client that goes away leaves nothing behind

for my $step ({status => 200, delay => 300}, {status => 401, delay => 300}) {
    my $gone = client($node);

    $sandbox->script($step);
    $gone->send("GET /v2/x HTTP/1.1\r\nHost: x\r\nX-Tenant: head\r\n\r\n");
    sleep 0.1;
    $gone->close;
}

sleep 0.5;
is $http->request(GET => '/v2/actions?app=x',
                  {'X-Tenant' => 'many'})->{status}, 200, 'clients that left';

$node->stop;

my $log = do { local (@ARGV, $/) = ($node->dir . '/error.log'); <> };

unlike $log, qr/\[(alert|emerg|crit)\]|header already sent/, 'the error log';

done_testing;
