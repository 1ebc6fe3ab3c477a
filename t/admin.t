# zapier_admin: records are put, shown, listed, cleared and deleted, and all
# workers take notice; what is answered holds no secret.

use strict;
use warnings;

use lib 't/lib';
use Digest::SHA qw(sha1_hex);
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;
use Zapier::Nginx;

my $admin = 'location /admin/ { zapier_admin; allow 127.0.0.1; deny all; }';

my $redis   = redis();
my $sandbox = sandbox();
my $node    = node(redis => $redis, sandbox => $sandbox, workers => 4,
                   http => 'zapier_token_cache 1h;'
                         . 'zapier_token_missing_cache 1h;',
                   server => $admin . Zapier::Nginx::default_server());

my $secrets = qr/sandbox-acme|sandbox-new|rt-one|rt-two/;
my @bodies;

sub ask {
    my ($method, $path, $body, $headers, $to) = @_;

    $body = encode_json($body) if ref $body;

    my $r = client($to // $node)->request($method => "/admin/$path",
                                          $headers // {}, $body);

    push @bodies, $r->{raw} . $r->{body};
    $r->{json} = eval { decode_json($r->{body}) };
    return $r;
}

sub error { my $e = $_[0]{json}{errors}[0] or return 'none';
            my $p = $e->{source} ? $e->{source}{pointer} : '';
            return "$_[0]{status} $e->{code}" . (length $p ? " $p" : '') }

sub field { scalar $redis->cmd(HGET => "zapier:token:{$_[0]}", $_[1]) }

sub statuses {
    my %seen;

    $seen{client($node)->request(GET => '/v2/actions?app=x',
                                 {'X-Tenant' => $_[0]})->{status}}++
        for 1 .. 40;

    return join ',', sort keys %seen;
}

my $false = JSON::PP::false;
my $true  = JSON::PP::true;

sleep 1;

# put

is statuses('acme'), '401', 'no record yet';

my $r = ask(PUT => 'tokens/acme', {access_token => 'sandbox-acme',
                                   refresh_token => 'rt-one',
                                   expires_in => 3600,
                                   scope => 'zap action:run'});

is $r->{status}, 201, 'a new record';
is $r->{headers}{'content-type'}, 'application/json', 'is JSON';
is $r->{headers}{'cache-control'}, 'no-store', 'that nobody keeps';

my $at = delete $r->{json}{expires_at};
my $in = delete $r->{json}{expires_in};

is_deeply $r->{json}, {tenant => 'acme', state => 'valid', version => 1,
                       scope => 'zap action:run', refreshable => $true,
                       sealed => $false}, 'and says what there is';
ok abs($at - time - 3600) < 5, 'with its expiry';
ok $in > 3590 && $in <= 3600, 'and how long that is';

is field(acme => 'access_token'), 'sandbox-acme', 'stored';
is field(acme => 'refresh_token'), 'rt-one', 'with its refresh token';
is field(acme => 'expires_at'), $at, 'and expiry';

sleep 1;
is statuses('acme'), '200', 'all workers have it a second later';

$redis->cmd(HSET => 'zapier:token:{acme}', dead => sha1_hex('rt-one'),
            refreshing => '1:x', note => 'ours', token_type => 'mac');
$redis->cmd(EXPIRE => 'zapier:token:{acme}', 1000);

$r = ask(PUT => 'tokens/acme', {access_token => 'sandbox-new',
                                expires_at => 4102444800});
is $r->{status}, 200, 'a record is replaced';
is_deeply $r->{json}{version}, 2, 'and its version rises';
is field(acme => 'expires_at'), 4102444800, 'expires_at is taken as it is';
is_deeply [map { field(acme => $_) } qw(refresh_token scope token_type dead
                                        refreshing)],
    [(undef) x 5], 'what is not given goes, and so do marks';
is field(acme => 'note'), 'ours', 'what is not known stays';
is scalar $redis->cmd(TTL => 'zapier:token:{acme}'), -1,
    'it does not vanish by itself';

$r = ask(PUT => 'tokens/acme', {access_token => 'sandbox-acme',
                                refresh_token => undef, expires_in => undef});
is $r->{status}, 200, 'null is as good as nothing';
is $r->{json}{expires_at}, undef, 'no expiry';
is $r->{json}{expires_in}, undef, 'at all';

$redis->cmd(SET => 'zapier:token:{odd}', 'x');
is ask(GET => 'tokens/odd')->{json}{state}, 'invalid', 'a key of another type';
is ask(PUT => 'tokens/odd', {access_token => 'sandbox-acme'})->{status}, 200,
    'is replaced';
is field(odd => 'access_token'), 'sandbox-acme', 'by a record';

$redis->cmd(HSET => 'zapier:token:{odd}', version => 'x');
is ask(PUT => 'tokens/odd', {access_token => 'sandbox-acme'})
       ->{json}{version}, 1, 'a version that is no number';

is ask(PUT => 'tokens/a%40b.c', {access_token => 'sandbox-acme'})
       ->{json}{tenant}, 'a@b.c', 'a name in another spelling';

# chunks, slowly

my $json  = encode_json({access_token => 'sandbox-acme', scope => 'a' x 900});
my $slow  = client($node);

$slow->send("PUT /admin/tokens/slow HTTP/1.1\r\nHost: a\r\n"
            . "Transfer-Encoding: chunked\r\n\r\n");

for (0 .. length($json) / 100) {
    my $piece = substr $json, 100 * $_, 100;
    $slow->send(sprintf "%x\r\n%s\r\n", length $piece, $piece)
        if length $piece;
    sleep 0.01;
}

$slow->send("0\r\n\r\n");
is $slow->read->{status}, 201, 'a body in pieces';

is $slow->request(GET => '/admin/tokens/slow')->{status}, 200,
    'the connection lives';

$slow->send("PUT /admin/tokens/big HTTP/1.1\r\nHost: a\r\n"
            . "Transfer-Encoding: chunked\r\n\r\n"
            . "3\r\n   \r\n" x 30000);
is $slow->read->{status}, 413, 'too many of them';

$r = client($node)->request(PUT => '/admin/tokens/big', {}, ' ' x 60000
                            . encode_json({access_token => 'sandbox-acme'}));
is $r->{status}, 201, 'a large body';
is_deeply [glob "$node->{dir}/client_body/*"], [], 'is never in a file';
unlike $node->log, qr/temporary file/, 'nor was';

is error(ask(PUT => 'tokens/big', ' ' x 65537)), '413 body_too_large',
    'a body beyond 64k';

# faults

for (['not JSON',      '{',              '400 parse_error'],
     ['nothing',       '',               '400 parse_error'],
     ['an array',      '[]',             '400 invalid_type'],
     ['no token',      '{}',             '400 required /access_token'],
     ['an empty one',  '{"access_token":""}', '400 empty /access_token'],
     ['a number',      '{"access_token":1}', '400 invalid_type /access_token'],
     ['twice',         '{"access_token":"a","access_token":"b"}',
                       '400 duplicate'],
     ['unknown',       '{"access_token":"a","a/b~c":1}',
                       '400 unknown_field /a~1b~0c'],
     ['a blank',       '{"access_token":"a b"}',
                       '400 invalid_value /access_token'],
     ['a line break',  '{"access_token":"a","refresh_token":"a\r\n"}',
                       '400 invalid_value /refresh_token'],
     ['ciphertext',    '{"access_token":"enc:v1:a:b"}',
                       '400 invalid_value /access_token'],
     ['a long one',    '{"access_token":"' . 'a' x 2049 . '"}',
                       '400 invalid_value /access_token'],
     ['a bad scope',   '{"access_token":"a","scope":"\""}',
                       '400 invalid_value /scope'],
     ['a bad type',    '{"access_token":"a","token_type":"a b"}',
                       '400 invalid_value /token_type'],
     ['both',          '{"access_token":"a","expires_at":9,"expires_in":9}',
                       '400 ambiguous /expires_in'],
     ['a text',        '{"access_token":"a","expires_in":"9"}',
                       '400 invalid_type /expires_in'],
     ['a fraction',    '{"access_token":"a","expires_at":1.5}',
                       '400 invalid_type /expires_at'],
     ['negative',      '{"access_token":"a","expires_in":-1}',
                       '400 invalid_value /expires_in'],
     ['a long time',   '{"access_token":"a","expires_in":315360001}',
                       '400 invalid_value /expires_in'],
     ['too late',      '{"access_token":"a","expires_at":9007199254740993}',
                       '400 invalid_value /expires_at'],
     ['no ciphertext', '{"access_token":"a\u0000"}', '400 parse_error']) {
    my ($name, $body, $want) = @$_;
    is error(ask(PUT => 'tokens/bad', $body)), $want, $name;
}

is scalar $redis->cmd(EXISTS => 'zapier:token:{bad}'), 0, 'nothing is stored';

$r = ask(PUT => 'tokens/bad', {foo => 1, access_token => 2, scope => 3});
is scalar @{$r->{json}{errors}}, 3, 'all faults are told';
is $r->{json}{errors}[0]{meta}{source}, 'GATEWAY', 'as errors of ours';

is error(ask(PUT => 'tokens/bad', '{}', {'Content-Type' => 'text/plain'})),
    '415 unsupported_media_type', 'a form is no record';

# paths and methods

is error(ask(GET => $_)), '404 not_found', "no $_"
    for '', 'x', 'tokensx', 'tokens/acme/x', 'tokens/acme/clear/x',
        'tokens/acme/';

is error(ask(GET => $_)), '400 tenant_invalid', "no tenant of $_"
    for 'tokens/', 'tokens/a%20b', 'tokens/' . 'a' x 129, 'tokens/*';
is error(ask(PUT => 'tokens/*app', {access_token => 'a'})),
    '400 tenant_invalid', 'app tokens are not put';

for ([DELETE => 'tokens', 'GET, HEAD'], [POST => 'tokens', 'GET, HEAD'],
     [POST => 'tokens/acme', 'GET, HEAD, PUT, DELETE'],
     [PATCH => 'tokens/acme', 'GET, HEAD, PUT, DELETE'],
     [GET => 'tokens/acme/clear', 'POST']) {
    my ($method, $path, $allow) = @$_;
    $r = ask($method => $path);
    is error($r), '405 method_not_allowed', "$method $path";
    is $r->{headers}{allow}, $allow, "but $allow";
}

is ask(HEAD => 'tokens')->{status}, 200, 'HEAD of the list';
is ask(HEAD => 'tokens/acme')->{status}, 200, 'HEAD of one';
is error(ask(GET => 'tokens/nobody')), '404 token_missing', 'not there';

# states

sub state_of {
    my (%fields) = @_;

    $redis->cmd(DEL => 'zapier:token:{s}');
    $redis->cmd(HSET => 'zapier:token:{s}', %fields);

    my $json = ask(GET => 'tokens/s')->{json};

    return join ' ', $json->{state}, $json->{refreshable} ? 'refreshable' : ();
}

my %good = (access_token => 'sandbox-acme', refresh_token => 'rt-one');

is state_of(%good), 'valid refreshable', 'a good record';
is state_of(access_token => 'sandbox-acme'), 'valid', 'without the one';
is state_of(%good, expires_at => 1700000000), 'expired refreshable',
    'expired';
is state_of(%good, dead => sha1_hex('rt-one')), 'dead', 'dead';
is state_of(%good, dead => sha1_hex('rt-two')), 'valid refreshable',
    'a mark of another token';
is state_of(refresh_token => 'rt-one'), 'expired refreshable',
    'only a refresh token';
is state_of(scope => 'x'), 'invalid', 'no token at all';
is state_of(%good, expires_at => 'soon'), 'invalid refreshable',
    'an expiry that is no time';
is state_of(%good, access_token => "sandbox-acme\r\n"),
    'invalid refreshable', 'a token that is none';
is state_of(%good, access_token => 'enc:v1:k:AAAA'), 'invalid refreshable',
    'a sealed token without a key';

# clear

state_of(%good, dead => sha1_hex('rt-one'), version => 7);
$r = ask(POST => 'tokens/s/clear');
is $r->{status}, 200, 'the mark goes';
is $r->{json}{state}, 'valid', 'the record is good again';
is $r->{json}{version}, 8, 'and newer';
is field(s => 'dead'), undef, 'in Redis, too';
is ask(POST => 'tokens/s/clear')->{json}{version}, 8, 'nothing to clear';
is error(ask(POST => 'tokens/nobody/clear')), '404 token_missing',
    'nobody to clear';

# delete

is ask(DELETE => 'tokens/acme')->{status}, 204, 'deleted';
sleep 1;
is statuses('acme'), '401', 'all workers know';
is error(ask(DELETE => 'tokens/acme')), '404 token_missing', 'once';

$redis->cmd(HSET => 'zapier:token:{*app}', access_token => 'sandbox-acme');
is ask(GET => 'tokens/*app')->{json}{tenant}, '*app', "an app's token";
is ask(DELETE => 'tokens/*app')->{status}, 204, 'can be deleted';

# list

sub list {
    my ($to) = @_;
    my ($cursor, %seen, $pages) = ('');

    do {
        my $page = ask(GET => "tokens$cursor", undef, undef, $to)->{json};
        $seen{$_->{tenant}} = $_ for @{$page->{data}};
        $cursor = defined $page->{next} ? "?cursor=$page->{next}" : undef;
        $pages++;
    } while (defined $cursor);

    return ($pages, \%seen);
}

$redis->cmd('FLUSHALL');
is_deeply ask(GET => 'tokens')->{json}, {data => [], next => undef},
    'nothing is listed';

$redis->cmd(HSET => "zapier:token:{t$_}", access_token => "sandbox-acme")
    for 1 .. 500;
$redis->cmd(HSET => 'zapier:token:{t1}', expires_at => 1700000000);
$redis->cmd(SET => 'zapier:token:{t2}', 'x');
$redis->cmd(HSET => 'zapier:token:{*app}', access_token => 'sandbox-acme');
$redis->cmd(HSET => $_, access_token => 'sandbox-acme')
    for 'zapier:token:{bad name}', 'zapier:token:{}', 'zapier:token:{a}b',
        'Zapier:token:{other}', 'zapier:tokens:{other}';
$redis->cmd(SET => "zapier:limit:{x}:$_", 1) for 1 .. 3000;

my ($pages, $seen) = list();

is scalar keys %$seen, 501, 'all are listed, and nothing else';
cmp_ok $pages, '>', 1, 'in pages';
is $seen->{t1}{state}, 'expired', 'with their state';
is $seen->{t2}{state}, 'invalid', 'whatever they are';
is $seen->{'*app'}{state}, 'valid', "apps' too";

is error(ask(GET => "tokens?cursor=$_")), '400 invalid_value',
    "no cursor $_" for '', 'x', '-1', '1' x 21;

# a prefix with characters of patterns

my $glob = node(redis => $redis, sandbox => $sandbox,
                http => 'zapier_redis unix:' . $redis->socket
                      . ' "prefix=z[a]*?\\\\:";',
                server => 'location /admin { zapier_admin; }');

is ask(PUT => 'tokens/here', {access_token => 'sandbox-acme'}, undef, $glob)
       ->{status}, 201, 'another prefix';
$redis->cmd(HSET => 'zaxx\\:token:{not}', access_token => 'sandbox-acme');
($pages, $seen) = list($glob);
is join(',', keys %$seen), 'here', 'is taken to the letter';
is error(ask(GET => '', undef, undef, $glob)), '404 not_found',
    'a location without a slash';
ok $glob->stop, 'nginx stops';

# Redis is gone, or refuses

$redis->cmd(ACL => 'SETUSER', 'default', '-hset', '-hmget', '-scan', '-del');
is error(ask(PUT => 'tokens/acme', {access_token => 'sandbox-acme'})),
    '503 store_unavailable', 'a put that is refused';
is error(ask($_->[0] => $_->[1])), '503 store_unavailable', "@$_ is refused"
    for [GET => 'tokens'], [GET => 'tokens/t1'], [DELETE => 'tokens/t1'],
        [POST => 'tokens/t1/clear'];
$redis->cmd(ACL => 'SETUSER', 'default', '+@all');

my @waiting = map { client($node) } 1 .. 5;

$redis->signal('STOP');
$_->send("GET /admin/tokens HTTP/1.1\r\nHost: a\r\n\r\n") for @waiting;
sleep 0.05;
$_->close for @waiting[0 .. 1];
is $_->read->{status}, 503, 'Redis does not answer' for @waiting[2 .. 4];
$redis->signal('CONT');
sleep 1;
is ask(GET => 'tokens/t1')->{status}, 200, 'it does again';

# the rights that docs/redis.md names are enough

open my $password, '>', "$node->{dir}/password" or die;
print $password "pw\n";
close $password;
chmod 0600, "$node->{dir}/password";

$redis->cmd(ACL => SETUSER => 'operator', 'on', '>pw', 'resetkeys',
            '~zapier:token:*', '~zapier:lock:*', 'resetchannels',
            '&__redis__:invalidate',
            '-@all', qw(+hmget +select +ping +subscribe +client|id
                        +client|tracking),
            qw(+evalsha +eval +scan +type +del +hset +hdel +hincrby +persist +get
               +time));

my $least = node(redis => $redis, sandbox => $sandbox,
                 http => 'zapier_redis unix:' . $redis->socket
                       . " user=operator password_file=$node->{dir}/password;",
                 server => "zapier_tenant \$http_x_tenant; $admin");

is ask($_->[0] => $_->[1], $_->[2], undef, $least)->{status}, $_->[3],
    "few rights, no tenant: $_->[0] $_->[1]"
    for [PUT => 'tokens/few', {access_token => 'sandbox-acme',
                               expires_in => 5}, 201],
        [GET => 'tokens/few', undef, 200], [GET => 'tokens', undef, 200],
        [POST => 'tokens/few/clear', undef, 200],
        [DELETE => 'tokens/few', undef, 204];

ok $least->stop, 'nginx stops';

# encryption

my $dir = $node->{dir};

sub ring {
    open my $file, '>', "$dir/keys" or die;
    print $file map { my $k = $_; "$k " . encode_base64($k x 32, '') . "\n" }
                @_;
    close $file;
}

SKIP: {
    ring('b');

    my $sealed = node(redis => $redis, sandbox => $sandbox, workers => 2,
                      http => "zapier_token_key $dir/keys;",
                      server => $admin . Zapier::Nginx::default_server());

    $redis->cmd('FLUSHALL');

    $r = ask(PUT => 'tokens/acme', {access_token => 'sandbox-acme',
                                    refresh_token => 'rt-one'}, undef,
             $sealed);
    is $r->{status}, 201, 'a sealed record';
    is $r->{json}{sealed}, $true, 'which it says';

    my %hash = $redis->cmd(HGETALL => 'zapier:token:{acme}');

    like $hash{$_}, qr/^enc:v1:b:/, "$_ is sealed"
        for qw(access_token refresh_token);
    unlike join("\n", %hash), $secrets, 'and nothing else holds it';

    is client($sealed)->request(GET => '/v2/actions?app=x',
                                {'X-Tenant' => 'acme'})->{status}, 200,
        'it is opened for a request';

    ring('a', 'b');
    $sealed->reload;
    sleep 0.5;

    $r = ask(GET => 'tokens/acme', undef, undef, $sealed);
    is $r->{json}{state}, 'valid', 'an older key reads';
    is $r->{json}{sealed}, $false, 'but is not the one to write with';

    $hash{$_} = field(acme => $_) for qw(access_token refresh_token);
    $redis->cmd(HSET => 'zapier:token:{other}',
                access_token => $hash{access_token});
    is ask(GET => 'tokens/other', undef, undef, $sealed)->{json}{state},
        'invalid', "another tenant's token";

    $redis->cmd(HSET => 'zapier:token:{plain}',
                access_token => 'sandbox-acme');
    $r = ask(GET => 'tokens/plain', undef, undef, $sealed);
    is $r->{json}{state}, 'valid', 'a plain record';
    is $r->{json}{sealed}, $false, 'is none that is sealed';

    $sealed->reload(http => "zapier_token_key $dir/keys required;");
    sleep 0.5;
    is ask(GET => 'tokens/plain', undef, undef, $sealed)->{json}{state},
        'invalid', 'unless it has to be';

    ok $sealed->stop, 'nginx stops';
    unlike $sealed->log, $secrets, 'no secret in its log';
}

# refresh

my $port   = free_port();
my $issuer = sub {
    my ($status, $text) = @_;

    return $admin . Zapier::Nginx::default_server() . qq{
        location = /token  { internal;
                             proxy_pass http://127.0.0.1:$port/issuer; }
        location = /issuer { return $status '$text'; }
    };
};

sub secret {
    open my $file, '>', "$dir/secret" or die;
    print $file "s\n";
    close $file;
    chmod 0600, "$dir/secret";
    return "$dir/secret";
}

my $granted = '{"access_token":"sandbox-new","refresh_token":"rt-two",'
            . '"expires_in":36000,"token_type":"Bearer"}';

my $engine = Zapier::Nginx->new(
    port => $port, redis => $redis, sandbox => $sandbox, workers => 2,
    http => 'zapier_oauth_client id ' . secret() . ';'
          . 'zapier_oauth_token /token;',
    server => $issuer->(200, $granted))->start;

sub refresh { ask(POST => "tokens/$_[0]/refresh", undef, undef, $engine) }

$redis->cmd('FLUSHALL');
is error(ask(POST => 'tokens/acme/refresh')), '409 not_refreshable',
    'no refresh without zapier_oauth_client';
is error(refresh('acme')), '404 token_missing', 'no record to refresh';
is error(refresh('*app')), '404 token_missing', 'no token of the app to refresh';

token($redis, 'acme');
is error(refresh('acme')), '409 not_refreshable', 'no refresh token';

ask(PUT => 'tokens/acme', {access_token => 'sandbox-acme',
                           refresh_token => 'rt-one', expires_in => 36000},
    undef, $engine);
$r = refresh('acme');
is $r->{status}, 200, 'a good token is refreshed';
is $r->{json}{version}, 2, 'the new record is shown';
is field(acme => 'access_token'), 'sandbox-new', 'and stored';
is field(acme => 'refresh_token'), 'rt-two', 'as a pair';

ask(PUT => 'tokens/acme', {access_token => 'sandbox-acme',
                           refresh_token => 'rt-one', expires_in => 0},
    undef, $engine);
is refresh('acme')->{json}{state}, 'valid', 'so is an expired one';

$r = ask(GET => 'counters', undef, undef, $engine);
is $r->{json}{refreshed}, 2, 'it is counted';
is error(ask(PUT => 'counters', '{}')), '405 method_not_allowed',
    'counters are read only';

$engine->reload(server => $issuer->(400, '{"error":"invalid_grant"}'));
sleep 0.5;
is error(refresh('acme')), '409 reauthorization_required', 'a dead one';
is ask(GET => 'tokens/acme', undef, undef, $engine)->{json}{state}, 'dead',
    'is marked';
is error(refresh('acme')), '409 reauthorization_required', 'for good';
is ask(POST => 'tokens/acme/clear', undef, undef, $engine)->{json}{state},
    'valid', 'until it is cleared';

$engine->reload(server => $issuer->(503, ''));
sleep 0.5;
is error(refresh('acme')), '503 refresh_failed', 'an issuer that is down';
is ask(GET => 'tokens/acme', undef, undef, $engine)->{json}{state}, 'valid',
    'spoils nothing';

# a pause goes by clear

$redis->cmd(HSET => 'zapier:token:{acme}', expires_at => 1);
sub call { client($engine)->request(GET => '/v2/actions?app=x',
                                    {'X-Tenant' => 'acme'})->{status} }
is call(), 401, 'expired, and the issuer is down';
ok $redis->cmd(SET => 'zapier:lock:{acme}', '-', 'PX', 60000), 'a long pause';
$engine->reload(server => $issuer->(200, $granted =~ s/rt-two/rt-three/r));
sleep 0.5;
is call(), 401, 'nobody tries again';
is ask(POST => 'tokens/acme/clear', undef, undef, $engine)->{json}{state},
    'expired', 'the pause is cleared';
is $redis->cmd(EXISTS => 'zapier:lock:{acme}'), 0, 'in Redis';
is call(), 200, 'and in the node';
$redis->cmd(SET => 'zapier:lock:{acme}', 'somebody:1');
ask(POST => 'tokens/acme/clear', undef, undef, $engine);
is $redis->cmd(GET => 'zapier:lock:{acme}'), 'somebody:1',
    'a lock that is held stays';

ok $engine->stop, 'nginx stops';
unlike $engine->log, $secrets, 'no secret in its log';

# what was answered and logged

unlike join("\n", @bodies), $secrets, 'no answer holds a secret';

ok $node->stop, 'nginx stops';
unlike $node->log, $secrets, 'no secret in the log';
like $node->log, qr/token record of tenant "acme" was deleted by an operator/,
    'but who did what';
is_deeply [$node->complaints], [], 'nothing grave in the log';

# configuration

for (['location /a/ { zapier_admin; zapier_admin; }', qr/duplicate/],
     ['location = /a { zapier_admin; }', qr/needs a location that is a/],
     ['location ~ a { zapier_admin; }', qr/needs a location that is a/],
     ['location @a { zapier_admin; }', qr/needs a location that is a/],
     ['location /a/ { zapier_tenant a; zapier_admin; }', qr/zapier_tenant/],
     ['zapier_admin;', qr/not allowed here/],
     ['location /a/ { zapier_admin on; }', qr/number of arguments/]) {
    my ($server, $want) = @$_;
    my ($ok, $output) = Zapier::Nginx->new(
        port => free_port(), redis => $redis, server => $server)->check;
    ok !$ok, "refused: $server";
    like $output, $want, 'for the right reason';
}

my ($ok, $output) = Zapier::Nginx->new(port => free_port(),
                                       server => $admin)->check;
ok !$ok, 'refused without zapier_redis';
like $output, qr/"zapier_admin" is used, but there is no "zapier_redis"/,
    'and told so';

done_testing();
