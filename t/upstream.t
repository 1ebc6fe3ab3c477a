# Every answer of the upstream reaches the caller as it is; units of calls
# that were not made are returned, those of retries are charged.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();
my $dead    = free_port();
my $node    = node(redis => $redis, sandbox => $sandbox,
                   http => <<END, server => <<'SERVER');
    zapier_limit_zone egress key=all\$http_x_key limit=10 window=60s
                      mirror=off;
    upstream dead { server 127.0.0.1:$dead; }
    upstream twice {
        server 127.0.0.1:@{[$sandbox->port]} max_fails=0;
        server localhost:@{[$sandbox->port]} max_fails=0;
        server 127.0.0.1:@{[$sandbox->port]} max_fails=0 backup;
    }
END
    zapier_tenant $http_x_tenant;
    zapier_limit egress;
    location / {
        include $params;
        zapier_body action_run;
        proxy_pass http://sandbox;
    }
    location /dead/ {
        include $params;
        proxy_pass http://dead;
    }
    location /twice/ {
        include $params;
        proxy_pass http://twice/v2/;
        proxy_next_upstream http_500;
        proxy_next_upstream_tries 2;
    }
    location /intercept/ {
        include $params;
        proxy_pass http://sandbox/v2/;
        proxy_intercept_errors on;
        error_page 500 /again/x;
    }
    location /again/ {
        include $params;
        proxy_pass http://sandbox/v2/;
        proxy_method GET;
    }
    location /static/ {
        try_files /nothing =404;
    }
SERVER

token($redis, 'acme');

my $key = 0;

sub get {
    my ($path, %headers) = @_;

    return client($node)->request(
        GET => $path, {'X-Tenant' => 'acme', 'X-Key' => $key, %headers});
}

sub remaining { get('/v2/actions?app=x')->{headers}{'x-ratelimit-remaining'} }

# statuses

my @statuses = (
    [200, {}], [400, {}], [401, {'WWW-Authenticate' => 'Bearer realm="api"'}],
    [403, {'X-Zapier-Error-Type' => 'request_denied_by_policy'}], [404, {}],
    [409, {}], [429, {}], [429, {'Retry-After' => '7'}], [500, {}], [502, {}],
    [503, {}], [503, {'Retry-After' => '120', 'X-RateLimit-Limit' => '60'}],
    [504, {}],
);

for my $case (@statuses) {
    my ($status, $headers) = @$case;
    my $body = qq({"errors":[{"status":$status,"code":"x","extra":[]}]});

    $key++;
    $sandbox->script({status => $status, headers => $headers,
                      body => $body});

    my $answer = client($node)->request(
        POST => '/v2/action-runs', {'X-Tenant' => 'acme', 'X-Key' => $key},
        '{"action":"core:a","inputs":{}}');
    my $with = join ', ', map { "$_: $headers->{$_}" } sort keys %$headers;

    is $answer->{status}, $status, "upstream's $status $with";
    is $answer->{body}, $body, 'body as it was';
    is $answer->{headers}{'proxy-status'}, undef, 'not ours';
    is $answer->{headers}{'x-ratelimit-remaining'}, 9, 'one unit spent';

    for my $name (grep { !/^X-RateLimit/ } sort keys %$headers) {
        is $answer->{headers}{lc $name}, $headers->{$name}, "$name stands";
    }
}

# what was not sent is not charged

$key++;
is get('/dead/x')->{status}, 502, 'a dead upstream';
get('/dead/x') for 1 .. 20;
is remaining(), 9, 'costs no quota';

$key++;
is get('/static/x')->{status}, 404, 'no upstream at all';
is remaining(), 9, 'costs no quota';

$key++;
for my $tenant ('', 'nobody', 'a b') {
    get('/v2/actions?app=x', 'X-Tenant' => $tenant);
}
client($node)->request(POST => '/v2/action-runs',
                       {'X-Tenant' => 'acme', 'X-Key' => $key}, '{"a":')
    for 1 .. 5;
is remaining(), 9, 'a refused call costs no quota (Kong)';

$key++;
my $gone = client($node);
$gone->send("POST /v2/action-runs HTTP/1.1\r\nHost: a\r\nX-Tenant: acme\r\n"
            . "X-Key: $key\r\nContent-Length: 100\r\n\r\n{");
$gone->close;
is remaining(), 9, 'a caller who goes away before the call costs no quota';

# what was sent twice is charged twice

$key++;
$sandbox->script({status => 500, times => 2});
$sandbox->forget;
is get('/twice/x')->{status}, 500, 'a call that is retried';
is scalar(my @seen = $sandbox->requests), 2, 'went out twice';
is remaining(), 7, 'and is charged twice';

# an error page that calls again

$key++;
$sandbox->forget;
$sandbox->script({status => 500});
is get('/intercept/actions?app=x')->{status}, 500,
   'an error page that calls the upstream again';
@seen = $sandbox->requests;
is scalar @seen, 2, 'went out twice';
is_deeply [map { ($_->{headers}{Authorization}
                  // $_->{headers}{authorization})->[0] } @seen],
          [('Bearer sandbox-acme') x 2], 'with the token';
is remaining(), 7, 'and is charged twice';

# the last unit

$key++;
get('/v2/actions?app=x') for 1 .. 10;
$sandbox->forget;

my $refused = get('/v2/actions?app=x');

is $refused->{status}, 429, 'the eleventh is refused';
like $refused->{body}, qr/"code":"rate_limited".*"scope":"egress"/,
     'the scope is named';
cmp_ok $refused->{headers}{'retry-after'}, '>=', 1, 'Retry-After';
is scalar($sandbox->requests), 0, 'and not sent';

ok $node->stop, 'nginx stops';
is_deeply [$node->complaints], [], 'nothing grave in the log';

done_testing();
