# Faults that the HTTP layer once had, by what a caller or an operator saw.

use strict;
use warnings;

use lib 't/lib';

use Test::More;
use ZapierNode;


my $redis   = redis();
my $sandbox = sandbox();
my $run     = '{"action":"core:a","inputs":{"a":1}}';

token($redis, 'acme');

my $node = node(redis => $redis, sandbox => $sandbox, http => <<'HTTP',
    zapier_limit_zone first  key=first;
    zapier_limit_zone second key=second;
    zapier_limit_zone counted key=$zapier_tenant limit=100 window=60s;
    zapier_limit_zone long key=$http_x_partner limit=1 window=60s;
HTTP
    server => <<'SERVER');
        zapier_tenant  $http_x_tenant;
        zapier_body    action_run max=100;
        include        $params;

        location / {
            proxy_pass     http://sandbox;
        }

        location = /default-size {
            zapier_body    action_run;
            proxy_pass     http://sandbox/v2/action-runs;
        }

        location /counted {
            zapier_body    off;
            zapier_limit   counted;
            zapier_scope   action:run;
            proxy_pass     http://sandbox/v2/actions;
        }

        location = /long-key {
            zapier_body    off;
            zapier_limit   long;
            proxy_pass     http://sandbox/v2/actions;
        }

        location = /first {
            zapier_limit            first;
            proxy_intercept_errors  on;
            error_page              429 =200 /second;
            proxy_pass              http://sandbox/v2/actions;
        }

        location = /second {
            zapier_limit   second;
            stub_status;
        }

        location /rewritten {
            proxy_ssl_verify  off;
            rewrite        ^ /v2/actions? break;
            proxy_pass     http://sandbox$request_uri;
        }
SERVER


sub get {
    my ($target, %headers) = @_;

    return client($node)->request(GET => $target,
                                  {'X-Tenant' => 'acme', %headers});
}


# A caller that waits for "100 Continue" is not asked for a body that
# nobody will read.

{
    my $http = client($node);

    $http->send("POST /v2/action-runs HTTP/1.1\r\nHost: localhost\r\n"
                . "X-Tenant: acme\r\nContent-Type: text/plain\r\n"
                . "Content-Length: 20\r\nExpect: 100-continue\r\n\r\n");
    sysread $http->{socket}, my $answer, 65536;

    like $answer, qr/^HTTP\S+ 415 /, 'refused, not asked to go on';
}


# max= is not taken over from a zapier_body that is replaced.

{
    my $body = '{"action":"core:a","inputs":{"a":"' . 'x' x 100 . '"}}';
    my %to   = ('X-Tenant' => 'acme');

    is client($node)->request(POST => '/v2/action-runs', \%to, $body)->{status},
        413, 'the size of the server';
    is client($node)->request(POST => '/default-size', \%to, $body)->{status},
        200, 'a location with its own zapier_body';
}


# Each answer of a limited location tells the limit.

{
    my $r = get('/counted', 'X-Tenant' => 'nobody');

    is $r->{status}, 401, 'no token';
    is $r->{headers}{'x-ratelimit-limit'}, 100, 'the limit is told';
    is $r->{headers}{'x-ratelimit-remaining'}, 100, 'nothing is charged';

    $r = get('/counted', 'X-Tenant' => '');

    is $r->{status}, 401, 'no tenant';
    is $r->{headers}{'x-ratelimit-limit'}, undef, 'nor a scope to tell of';
}


# A key of a limit zone may have any length.

for my $length (255, 256, 4000) {
    my @keys = map { 'k' x ($length - 1) . $_ } 1, 1, 2, 2;

    is_deeply [map { get('/long-key', 'X-Partner' => $_)->{status} } @keys],
        [200, 429, 200, 429], "two keys of $length bytes";
}


# An answer concerns only the zones of the location that asked for it.

{
    my $r = get('/first', 'X-Sandbox' => '{"status":429,"headers":'
                                         . '{"Retry-After":"30"}}');

    is $r->{status}, 200, 'a 429 is replaced by another location';
    is get('/second')->{status}, 200, 'the gate there is open';
    is get('/first')->{status}, 429, 'the one here is closed';
}


# client_id goes no further, even if a rewrite has dropped the arguments.

{
    $sandbox->forget;

    is get('/rewritten?client_id=mine&a=1')->{status}, 404, 'rewritten';
    is(($sandbox->requests)[-1]{target}, '/rewritten?a=1', 'without client_id');
}

is_deeply [$node->complaints], [], 'nothing to complain about';


# Subrequests of nginx's own have no token; an answer of the cache is not
# charged.

{
    my $caching = Zapier::Nginx->new(port => free_port(), redis => $redis,
        sandbox => $sandbox, http => <<'HTTP', server => <<'SERVER');
    zapier_limit_zone z key=k limit=3 window=60s;
HTTP
        include          $params;
        proxy_cache_key  $zapier_tenant$request_uri;

        location / {
            zapier_tenant  $http_x_tenant;
            zapier_limit   z;
            proxy_pass     http://sandbox;

            proxy_cache                    answers;
            proxy_cache_valid              200 2s;
            proxy_cache_use_stale          updating;
            proxy_cache_background_update  on;
        }
SERVER

    $caching->{http} .= "proxy_cache_path $caching->{dir}/cache "
                        . 'keys_zone=answers:1m;';
    $caching->start;
    $sandbox->forget;

    my $ask = sub {
        client($caching)->request(GET => '/v2/actions', {'X-Tenant' => 'acme'})
    };

    is_deeply [map { $ask->()->{status} } 1 .. 4], [(200) x 4],
        'more than the limit from the cache';

    sleep 3;
    is $ask->()->{status}, 200, 'a stale one';

    my @seen = $sandbox->requests(wait => 2);

    is_deeply [map { $_->{headers}{Authorization} // $_->{headers}{authorization}
                     // 'none' } @seen],
        [['Bearer sandbox-acme'], 'none'], 'is renewed without a token';
    is_deeply [$caching->complaints], [], 'nothing to complain about';
}


# An error names the line of the directive, not the end of its block.

my @wrong = (
    ['',
     "location / {\nzapier_tenant a;\nzapier_action b;#here\n}",
     '"zapier_action" "b" has no effect, it needs "zapier_body action_run"'],
    ['',
     "location / {\nzapier_tenant a;\nzapier_authentication 7;#here\n}",
     '"zapier_authentication" "7" has no effect, it needs'],
    ['zapier_redis http://127.0.0.1;#here',
     "zapier_tenant a;",
     'invalid URL "http://127.0.0.1" of "zapier_redis"'],
    ['zapier_redis unix:/r password_file=/nonexistent/file;#here',
     "zapier_tenant a;",
     'nonexistent/file'],
    ["proxy_cache_path \$dir/cache keys_zone=other:1m;\n"
     . "zapier_zone other 1m;#here\nzapier_redis unix:/r;",
     "zapier_tenant a;\n",
     'other'],
    ["log_format none '\nzapier_redis is missing';",
     "location / {\nzapier_tenant a;#here\nreturn 204;\n}",
     'there is no "zapier_redis"'],

    # what does nothing without zapier_tenant
    ['',
     "location / {\nzapier_body action_run;#here\nreturn 204;\n}",
     '"zapier_body" "action_run" has no effect, it needs "zapier_tenant"'],
    ['',
     "location / {\nzapier_scope a;#here\nreturn 204;\n}",
     '"zapier_scope" "a" has no effect, it needs "zapier_tenant"'],
);

for my $case (@wrong) {
    my ($http, $server, $message) = @$case;
    my $bad = Zapier::Nginx->new(port => free_port(), redis => $redis,
                                 server => $server);

    $http =~ s/\$dir/$bad->{dir}/;
    $bad->{http} = $http;

    my ($ok, $output) = $bad->check;
    my $line = line_of($bad, '#here');

    ok !$ok, "refused: $message";
    like $output, qr/\Q$message\E.* in \S+:$line\b/, "line $line";
}


# nginx's limit of a body comes before ours; who sets both is told.

for my $case (['zapier_body action_run max=2m;#here', '', 1],
              ['zapier_body action_run max=2m;#here',
               'client_max_body_size 1999k;', 1],
              ['zapier_body action_run max=2m;', 'client_max_body_size 2m;'],
              ['zapier_body action_run max=2m;', 'client_max_body_size 0;'],
              ['zapier_body action_run max=2m;', 'zapier_tenant off;'],
              ['zapier_body action_run max=2m;', 'zapier_body off;'],
              ['zapier_body action_run;', 'client_max_body_size 1k;'])
{
    my ($above, $inside, $warned) = @$case;
    my $some = Zapier::Nginx->new(port => free_port(), redis => $redis,
        server => "zapier_tenant a;\n$above\n"
                  . "location /run {\n$inside\nreturn 204;\n}");
    my ($ok, $output) = $some->check;
    my $line = line_of($some, '#here');

    ok $ok, "not refused: $above $inside" or diag $output;

    if (!$warned) {
        unlike $output, qr/\[warn\]/, 'nor warned of';
        next;
    }

    like $output, qr{\[warn\].*"max=2m"\ of\ "zapier_body"\ is\ larger\ than
        \ "client_max_body_size"\ of\ location\ "/run",\ which\ is
        \ (?:1048576|2046976)\ bytes:.*\ in\ \S+:$line\b}x,
        'but warned of';
}


# Above other locations they may be meant for those.

{
    my $good = Zapier::Nginx->new(port => free_port(), redis => $redis,
        http   => 'zapier_limit_zone z key=k;',
        server => 'zapier_body action_run; zapier_limit z;
                   location / {
                       zapier_body action_run; zapier_limit z;
                       location /v2/ { zapier_tenant a; }
                   }
                   location /off { zapier_limit off; zapier_body off; }');
    my ($ok, $output) = $good->check;

    ok $ok, 'not refused above locations with a tenant' or diag $output;
}


sub line_of {
    my ($some, $mark) = @_;

    open my $file, '<', "$some->{dir}/nginx.conf" or die "nginx.conf: $!";
    while (<$file>) {
        return $. if /\Q$mark\E/;
    }

    return 0;
}

done_testing;
