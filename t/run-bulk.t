# zapier_body action_runs: a POST of several runs.

use strict;
use warnings;

use lib 't/lib';
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();
my $dead    = free_port();

my $server = <<'END';
        add_header X-Zapier-Error $zapier_error always;
        zapier_tenant $http_x_tenant;

        location /v2/action-runs {
            zapier_body  action_runs max=64k items=12 parallel=4;
            zapier_limit off;
            include      $params;
            proxy_pass   http://sandbox;
        }

        location = /mail {
            zapier_body   action_runs;
            zapier_action core:mail;
            zapier_limit  off;
            set           $trace from-$http_x_trace;
            include       $params;
            proxy_set_header X-Trace $trace;
            proxy_set_header X-Client $remote_addr;
            proxy_pass    http://sandbox/v2/action-runs;
        }

        location = /limited {
            zapier_body  action_runs parallel=2;
            zapier_limit few;
            include      $params;
            proxy_pass   http://sandbox/v2/action-runs;
        }

        location = /queue {
            zapier_body  action_runs parallel=8;
            zapier_limit soon;
            zapier_queue 5s;
            include      $params;
            proxy_pass   http://sandbox/v2/action-runs;
        }

        location /wait/action-runs {
            zapier_body  action_runs;
            zapier_limit off;
            zapier_wait  3s interval=50ms;
            include      $params;
            proxy_pass   http://sandbox/v2/action-runs;
        }

        location = /late {
            zapier_body  action_runs parallel=1 deadline=400ms;
            zapier_limit off;
            include      $params;
            proxy_pass   http://sandbox/v2/action-runs;
        }

        location = /once {
            zapier_body        action_runs parallel=2;
            zapier_limit       off;
            zapier_idempotency on;
            include            $params;
            proxy_pass         http://sandbox/v2/action-runs;
        }

        location = /retry {
            zapier_body  action_runs;
            zapier_limit off;
            zapier_retry 429 503 deadline=5s;
            include      $params;
            proxy_pass   http://sandbox/v2/action-runs;
        }

        location = /account {
            zapier_body  action_runs parallel=1;
            zapier_limit four;
            zapier_retry 503;
            include      $params;
            proxy_pass   http://sandbox/v2/action-runs;
        }

        location = /retry-dead {
            zapier_body  action_runs;
            zapier_limit four;
            zapier_retry 429;
            include      $params;
            proxy_pass   http://127.0.0.1:DEAD/v2/action-runs;
        }

        location = /wait-dead {
            zapier_body  action_runs;
            zapier_limit four;
            zapier_wait  1s;
            include      $params;
            proxy_pass   http://127.0.0.1:DEAD/v2/action-runs;
        }

        location = /named {
            zapier_body       action_runs;
            zapier_limit      off;
            zapier_action_map MAP strict;
            include           $params;
            proxy_pass        http://sandbox/v2/action-runs;
        }

        location = /dead {
            zapier_body  action_runs;
            zapier_limit off;
            include      $params;
            proxy_pass   http://127.0.0.1:DEAD/v2/action-runs;
        }
END

my $map = "$redis->{dir}/actions.json";

open my $file, '>', $map or die "$map: $!";
print $file '{"send":{"action":"core:s"}}';
close $file;

$server =~ s/DEAD/$dead/g;
$server =~ s/MAP/$map/;

my $node = node(redis => $redis, sandbox => $sandbox, workers => 2,
                http => 'zapier_limit_zone few key=$zapier_tenant limit=3 '
                        . "window=60s;\n"
                        . 'zapier_limit_zone four key=$zapier_tenant limit=4 '
                        . "window=60s mirror=off;\n"
                        . 'zapier_limit_zone soon key=$zapier_tenant '
                        . 'limit=3 window=1s;',
                server => $server);

my $http = client($node);

token($redis, $_) for qw(acme other);

sub post {
    my ($path, $body, %headers) = @_;

    my $r = $http->request(POST => $path, {'X-Tenant' => 'acme', %headers},
                           $body);

    $r->{items} = eval { decode_json($r->{body})->{data} } // [];
    return $r;
}

sub item { qq({"action":"core:$_[0]","inputs":{"n":$_[0]}}) }
sub items { '[' . join(',', map { item($_) } @_) . ']' }

sub sent { map { $_->{body} } grep { $_->{method} eq 'POST' }
               $sandbox->requests }

sub status { join ' ', map { $_->{status} } @{$_[0]{items}} }

sub code { join ' ', map { $_->{body}{errors}[0]{code} // '-' }
               @{$_[0]{items}} }

# Answers are in order, bodies to the byte

my $odd = '{"action":"core:b", "inputs":{"z":1e400,"a":12345678901234567890,'
    . '"a":"\u00e9\/"},"authentication":"x"}';

my $r = post('/v2/action-runs', " [ $odd ,\n" . item(2) . ' ] ');

is $r->{status}, 200, 'two runs';
is status($r), '200 200', 'both answered';
is $r->{headers}{'content-type'}, 'application/json', 'as JSON';
is_deeply [sort(sent())],
    [sort qq({"data":$odd}), '{"data":{"action":"core:2",'
     . '"inputs":{"n":2},"authentication":null}}'], 'sent to the byte';

my %id = map { ($_->{body} =~ /core:(\w)/)[0] => $_->{run} }
    $sandbox->requests;

is $r->{body}, '{"data":[' . join(',', map {
        qq({"status":200,"body":{"data":{"id":"$id{$_}","type":"run"}}})
    } 'b', 2) . "]}\n", 'the answer is made of theirs';

$sandbox->forget;
$r = post('/v2/action-runs', '{"data":' . items(1 .. 3) . '}');
is status($r), '200 200 200', 'in an envelope';

# Order with items of different duration

$sandbox->forget;
$sandbox->script({method => 'POST', delay => 400}, {method => 'POST'},
                 {method => 'POST', status => 400, body => '{"x":1}'},
                 {method => 'POST', status => 404, body => 'gone'});
$r = post('/v2/action-runs', items(1 .. 6));
like status($r), qr/^\d+( \d+){5}$/, 'six answers';

my %by_body = map { ($_->{body} =~ /core:(\d)/)[0] => $_ }
    $sandbox->requests;

is_deeply [map { $_->{status} } @{$r->{items}}],
    [map { $by_body{$_}{status} } 1 .. 6], 'each has its own';
is_deeply [map { $_->{body} } grep { $_->{status} >= 400 } @{$r->{items}}],
    [map { $_->{status} == 404 ? 'gone' : {x => 1} }
     grep { $_->{status} >= 400 } map { $by_body{$_} } 1 .. 6],
    'what is no JSON is a string';

# Items at fault

$sandbox->forget;
$r = post('/v2/action-runs', '[' . item(1) . ',{"action":"","inputs":[]},7,'
          . item(2) . ',{"data":{"inputs":{}}},[]]');
is status($r), '200 400 400 200 400 400', 'a bad item is its own matter';
is scalar(sent()), 2, 'and is not sent';
is_deeply [map { $_->{source}{pointer} } map { @{$_->{body}{errors}} }
           @{$r->{items}}[1, 2, 4, 5]],
    ['/1/action', '/1/inputs', '/2', '/4/data/action', '/5'], 'pointers';
is $r->{items}[1]{body}{errors}[0]{meta}{offset},
    length('[' . item(1) . ',{"action":'), 'offsets of the document';
is $r->{items}[1]{body}{errors}[0]{meta}{source}, 'GATEWAY', 'source';

$sandbox->forget;
$r = post('/v2/action-runs', '{"data":[{},{"input":1}]}');
is status($r), '400 400', 'all are bad';
is $r->{items}[1]{body}{errors}[0]{source}{pointer}, '/data/1/input',
    'pointers into data';
is scalar(sent()), 0, 'nothing is sent';

# The whole at fault

for (['' => 'parse_error', undef], ['[1' => 'parse_error', undef],
     ['[]' => 'empty', ''], ['{"data":[]}' => 'empty', '/data'],
     [item(1) => 'required', '/data'], ['"x"' => 'invalid_type', ''],
     ['{"data":1}' => 'invalid_type', '/data'],
     [items(1 .. 13) => 'too_many', '/12'])
{
    my ($body, $code, $pointer) = @$_;

    $r = post('/v2/action-runs', $body);

    my $error = eval { decode_json($r->{body})->{errors}[0] } // {};

    is "$r->{status} $error->{code}", "400 $code", "whole: $body";
    is $error->{source}{pointer}, $pointer, 'its pointer';
}

is post('/v2/action-runs', '[' . ' ' x 70_000 . ']')->{status}, 413,
    'too large';
is post('/v2/action-runs', '[{}]', 'Content-Type' => 'text/xml')->{status},
    415, 'media type';
is post('/v2/action-runs', items(1), 'X-Tenant' => 'none')->{status}, 401,
    'no token';
is post('/v2/action-runs', items(1), 'X-Tenant' => '')->{status}, 401,
    'no tenant';

# Transport

$sandbox->forget;
my $text = '[' . item(1) . ',{"action":"core:b","inputs":{"x":"'
    . 'y' x 40_000 . '"}}]';
my $chunked = join '', map { sprintf "%x\r\n%s\r\n", length, $_ }
    unpack('(a5000)*', $text), '';

$r = post('/v2/action-runs', $chunked, 'Transfer-Encoding' => 'chunked');
is status($r), '200 200', 'chunked';
is((sort { length $b <=> length $a } sent())[0],
   '{"data":' . substr($text, length('[' . item(1) . ','), -2)
   . ',"authentication":null}}', 'a large item');

# What the location has found out

$sandbox->forget;
$r = post('/mail', '[{"to":1},{"to":2}]', 'X-Trace' => 'me', 'X-More' => 'a');
is status($r), '200 200', 'bare inputs';
my ($seen) = $sandbox->requests;
is $seen->{headers}{'X-Trace'}[0], 'from-me', 'variables';
is $seen->{headers}{'X-Client'}[0], '127.0.0.1', 'the client\'s address';
is $seen->{headers}{'X-More'}[0], 'a', 'and his headers';
is $seen->{headers}{Authorization}[0], 'Bearer sandbox-acme', 'the token';
like $seen->{body}, qr/^\{"data":\{"action":"core:mail"/, 'the default';

# Quota

$sandbox->forget;
$r = post('/limited', items(1 .. 8));
is status($r), '200 200 200 429 429 429 429 429', 'quota for three';
is scalar(sent()), 3, 'three calls';
is code($r), '- - - ' . join(' ', ('rate_limited') x 5), 'the others are told';
cmp_ok $_->{retry_after}, '>', 0, 'when to come again'
    for @{$r->{items}}[3, 7];
is $r->{headers}{'x-ratelimit-remaining'}, 0, 'headers tell too';
is status(post('/limited', items(1, 2))), '429 429', 'again';
is scalar(sent()), 3, 'nothing is sent';

$sandbox->forget;
$r = post('/queue', items(1 .. 8));
is status($r), join(' ', (200) x 8), 'a queue helps';
my @order = map { /core:(\d)/ } sent();
is_deeply [sort(@order[0 .. 2]), sort(@order[3 .. 5]), sort @order[6, 7]],
    [1 .. 8], 'in order';

# The upstream's own 429

$sandbox->forget;
$sandbox->script({status => 429, method => 'POST', times => 10,
                  headers => {'Retry-After' => 7}});
$r = post('/v2/action-runs', items(1 .. 10));
is status($r), join(' ', (429) x 10), 'refused by the upstream';
cmp_ok scalar(sent()), '<=', 5, 'which is not asked on and on';
is_deeply [map { $_->{retry_after} } @{$r->{items}}], [(7) x 10],
    'Retry-After for all';
$sandbox->clear;

$sandbox->script({status => 429, method => 'POST', times => 2,
                  headers => {'Retry-After' => 1}});
is status(post('/retry', items(1 .. 3))), '200 200 200',
    'zapier_retry works for items';

# Runs that are waited for

$sandbox->config(run => {duration => 300});
$sandbox->forget;
$r = post('/wait/action-runs', items(1 .. 4));
is status($r), '200 200 200 200', 'finished runs';
is_deeply [map { $_->{body}{data}{status} } @{$r->{items}}],
    [('success') x 4], 'with what came of them';

$sandbox->config(run => {duration => 60_000});
my $started = time;
$r = post('/wait/action-runs', items(1, 2), Prefer => 'wait=1');
is status($r), '202 202', 'not finished in time';
cmp_ok time - $started, '<', 2.5, 'which is that of the whole';
like $r->{items}[1]{location}, qr{^/wait/action-runs/[\w-]+$},
    'where it is read later';
is status(post('/wait/action-runs', items(1), Prefer => 'respond-async')),
    '202', 'respond-async';

# The deadline

$sandbox->forget;
$sandbox->script({method => 'POST', delay => 300, times => 3});
$r = post('/late', '[' . join(',', item(1), item(2), item(3), '{}', item(4))
          . ']');
is status($r), '200 200 504 400 504', 'what was not started in time';
is code($r), '- - deadline_exceeded required deadline_exceeded', 'its code';
is scalar(sent()), 2, 'is not sent';
$sandbox->clear;

# Answers that are lost

is status($r = post('/dead', items(1, 2))), '502 502', 'no upstream';
is code($r), 'not_sent not_sent', 'nothing was sent';

for my $managed ('/retry-dead', '/wait-dead') {
    $r = post($managed, items(1 .. 4));
    is status($r), '502 502 502 502', "$managed: no upstream";
    is code($r), join(' ', ('not_sent') x 4), 'nothing was sent';
}

$sandbox->script({status => 400, method => 'POST'});
$r = post('/account', items(1 .. 5));
is status($r), '400 200 200 200 429',
    'quota of what was not sent is there again, that of refused calls not';
$sandbox->clear;

$sandbox->script({method => 'POST', truncate => 10},
                 {method => 'POST', close => 'before'},
                 {method => 'POST', status => 500, body => '{"errors":[]}'},
                 {method => 'POST', status => 204});
$r = post('/v2/action-runs', items(1 .. 5));
is_deeply [sort map { $_->{status} } @{$r->{items}}],
    [200, 204, 500, 502, 502], 'others are not touched';
is_deeply [map { $_->{body}{errors}[0]{code} }
           grep { $_->{status} == 502 } @{$r->{items}}],
    [('upstream_invalid') x 2], 'cut off: it may have run';
is_deeply [map { $_->{body} } grep { $_->{status} == 204 } @{$r->{items}}],
    [undef], 'no body';
$sandbox->clear;

# Idempotency keys

$r = post('/once', items(1 .. 3), 'Idempotency-Key' => 'a');
is status($r), '200 200 200', 'with a key';
my $first = $r->{body};
$sandbox->forget;
$r = post('/once', items(1 .. 3), 'Idempotency-Key' => 'a');
is scalar(sent()), 0, 'nothing is sent again';
is_deeply [map { $_->{replayed} ? 1 : 0 } @{$r->{items}}], [1, 1, 1],
    'replayed';
is $r->{body} =~ s/,"replayed":true//gr, $first, 'the same answers';

$r = post('/once', items(1, 7, 3, 4), 'Idempotency-Key' => 'a');
is status($r), '200 422 200 200', 'one is another, one is new';
is scalar(sent()), 1, 'the new one is sent';
is status(post('/once', items(1), 'Idempotency-Key' => 'b')), '200',
    'another key';

# The client goes away: what is under way is finished, the rest not begun

$sandbox->clear;
$sandbox->script({method => 'POST', delay => 500, times => 2});

my $other = client($node);
my $body  = items(1 .. 6);

$other->send("POST /once HTTP/1.1\r\nHost: x\r\nX-Tenant: acme\r\n"
             . "Idempotency-Key: gone\r\nContent-Length: " . length($body)
             . "\r\n\r\n$body");
ok soon { sent() == 2 }, 'two are under way';
$other->close;
sleep 0.8;
is scalar(sent()), 2, 'no others are started';

ok soon {
    $r = post('/once', $body, 'Idempotency-Key' => 'gone');
    status($r) eq join ' ', (200) x 6;
}, 'the same again';
is scalar(sent()), 6, 'sends what was not sent';
is_deeply [map { $_->{replayed} ? 1 : 0 } @{$r->{items}}[0, 1]], [1, 1],
    'and tells of the others';

# ... also with items that wait for quota

$sandbox->forget;
sleep 1.1;
$other = client($node);
$other->send("POST /queue HTTP/1.1\r\nHost: x\r\nX-Tenant: other\r\n"
             . "Content-Length: " . length($body) . "\r\n\r\n$body");
ok soon { sent() == 3 }, 'three have quota';
$other->close;
sleep 1.3;
is scalar(sent()), 3, 'the others are dropped';

# Names of actions

$sandbox->forget;
$r = post('/named', '[{"action":"send","inputs":{}},{"data":{"action":"x",'
          . '"inputs":{}}}]');
is status($r), '200 400', 'an action by its name, and one that is unknown';
is $r->{items}[1]{body}{errors}[0]{source}{pointer}, '/1/data/action',
    'where it is';
like((sent())[0], qr/core:s/, 'the name is replaced');

# HTTP/1.0, keepalive, GET

$other = client($node);
$other->send("POST /v2/action-runs HTTP/1.0\r\nX-Tenant: acme\r\n"
             . "Content-Length: " . length(items(1)) . "\r\n\r\n"
             . items(1));
like $other->read->{body}, qr/"status":200/, 'HTTP/1.0';
is $http->request(GET => '/v2/action-runs/x', {'X-Tenant' => 'acme'})
    ->{status}, 404, 'a GET is passed on';

is_deeply [$node->complaints], [], 'no complaints in the log';

done_testing();
