# zapier_connect: each way that connecting a tenant can go, with two nodes
# and the sandbox's consent page.

use strict;
use warnings;

use lib 't/lib';
use Digest::SHA qw(sha1_hex);
use HTTP::Tiny;
use MIME::Base64 qw(decode_base64url encode_base64url);
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();
my $secret  = $redis->dir . '/client.secret';
my $h2      = free_port();

open my $file, '>', $secret or die $!;
print $file "sandbox-secret\n";
close $file;

my $authorize = 'authorize=http://127.0.0.1:' . $sandbox->port
              . '/oauth/authorize/';
my $start     = "zapier_tenant \$http_x_tenant; zapier_connect start"
              . ' redirect_uri=http://127.0.0.1/connect/callback';

my %conf = (
    redis => $redis, sandbox => $sandbox, workers => 2,
    http => "zapier_oauth_client sandbox-client $secret;"
          . 'zapier_oauth_token /oauth/token margin=10s;',
    server => <<"END" . Zapier::Nginx::default_server(),
        location = /oauth/token {
            internal;
            proxy_pass     http://sandbox/oauth/token/;
            proxy_read_timeout 2s;
        }

        H2
        location = /connect {
            if (\$args) {
                set \$has args;
            }
            $start $authorize "scope=zap action:run";
        }
        location = /plain {
            $start $authorize pkce=off;
        }
        location = /short {
            $start $authorize?sign_up_email=\$arg_mail expires=1s;
        }
        location = /https {
            $start $authorize?a=b redirect_uri=https://gw.example/cb;
        }
        location = /odd {
            $start authorize=\$arg_to;
        }
        location = /connect/callback {
            zapier_connect callback;
        }
        location = /redirected {
            zapier_connect callback error=/app?id=\$zapier_tenant#top
                success=https://app.example/done/\$zapier_tenant;
        }
        location = /elsewhere {
            zapier_connect callback success=\$arg_to;
        }
        location = /inner {
            return 200 "\$zapier_error";
        }
END
);

$conf{server} =~ s/ redirect_uri=\S+(?=[^;]*https:\/\/gw)//;

my $node  = node(%conf, server => $conf{server}
                              =~ s/H2/listen 127.0.0.1:$h2 http2;/r);
$conf{server} =~ s/H2//;
my $other = node(%conf);
my $http  = HTTP::Tiny->new(max_redirect => 0);
my (@secrets, @pages);


sub get {
    my ($path, $headers, $to, $method) = @_;
    my $r = client($to // $node)->request($method // 'GET' => $path,
                                          $headers // {});

    push @pages, $r->{raw} . $r->{body};
    return $r;
}


# Begins, and returns the URL that the browser is sent to and its cookie.

sub begin {
    my ($tenant, $path, $cookie, $to) = @_;
    my $r = get($path // '/connect', {'X-Tenant' => $tenant,
                                      $cookie ? (Cookie => $cookie) : ()},
                $to);
    my ($set) = ($r->{headers}{'set-cookie'} // '') =~ /^([^;]+)/;

    return ($r->{headers}{location}, $set);
}


# The user says yes or no; returns what the browser brings back.

sub consent {
    my ($url, $decision) = @_;
    my $r = $http->post_form($url, {decision => $decision // 'allow'});
    my ($query) = ($r->{headers}{location} // '') =~ /\?(.*)/;

    push @secrets, ($query // '') =~ /\bcode=([^&]+)/;
    return $query;
}


# The code of an answer, or its status if it has none

sub outcome {
    my ($r) = @_;

    return $1 if $r->{body} =~ /id="error">(\w+)</;
    return $r->{headers}{location} // $r->{status};
}


sub callback {
    my ($query, $cookie, $to, $path) = @_;

    return get(($path // '/connect/callback') . "?$query",
               $cookie ? {Cookie => $cookie} : {}, $to);
}


sub record { my %r = $redis->cmd(HGETALL => "zapier:token:{$_[0]}"); \%r }

sub exchanges {
    return scalar grep { ($_->{grant} // '') eq 'authorization_code' }
                  $sandbox->token_calls;
}

sub wait_for {
    my ($what) = @_;

    for (1 .. 500) {
        return 1 if $what->();
        sleep 0.02;
    }

    return 0;
}

sub keys_of { my @keys = $redis->cmd(KEYS => "zapier:connect:{$_[0]}:*"); @keys }


# a whole round, begun at one node and ended at the other

my $r = get('/connect', {'X-Tenant' => 'acme'});

is $r->{status}, 302, 'the browser is sent away';
is $r->{body}, '', 'without a page';

my %ask = ($r->{headers}{location} // '') =~ /[?&]([^=&]+)=([^&]*)/g;
my $state = delete $ask{state};
my $challenge = delete $ask{code_challenge};

is_deeply \%ask, {
    response_type => 'code', client_id => 'sandbox-client',
    redirect_uri => 'http%3A%2F%2F127.0.0.1%2Fconnect%2Fcallback',
    scope => 'zap%20action%3Arun', code_challenge_method => 'S256',
}, 'with what the authorize URL must know';
like $state, qr/^[\w-]{150,300}$/, 'a state';
like $challenge, qr/^[\w-]{43}$/, 'and the challenge of PKCE';
like $r->{headers}{'set-cookie'},
    qr/^zapier_connect=[\w-]{43}; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax$/,
    'a cookie';

for (['cache-control', 'no-store'], ['referrer-policy', 'no-referrer'],
     ['x-frame-options', 'DENY'], ['x-content-type-options', 'nosniff']) {
    is $r->{headers}{$_->[0]}, $_->[1], $_->[0];
}

like $r->{headers}{'content-security-policy'},
    qr/^default-src 'none'; .*frame-ancestors 'none'$/, 'nothing is loaded';

my ($url, $cookie) = begin('acme');
my $query = consent($url);

$r = callback($query, $cookie, $other);
is $r->{status}, 200, 'the other node makes the end';
like $r->{body}, qr/<code id="tenant">acme</, 'and says for whom';
is $r->{headers}{'content-type'}, 'text/html; charset=utf-8', 'a page';
is $r->{headers}{'cache-control'}, 'no-store', 'not to be stored';
is $r->{headers}{'x-frame-options'}, 'DENY', 'nor framed';
is $r->{headers}{'referrer-policy'}, 'no-referrer', 'it tells nobody';

my $record = record('acme');

like $record->{access_token}, qr/^sbxat-/, 'an access token';
like $record->{refresh_token}, qr/^sbxrt-/, 'a refresh token';
is $record->{scope}, 'zap action:run', 'its scope';
is $record->{version}, 1, 'the first version';
ok abs($record->{expires_at} - time - 36000) < 10, 'its expiry';
push @secrets, @$record{qw(access_token refresh_token)};

is get('/v2/actions?app=x', {'X-Tenant' => 'acme'})->{status}, 200,
    'it serves';

my ($call) = $sandbox->token_calls;
like $call->{body}, qr/&code_verifier=[\w-]{43}$/, 'with the verifier';

is scalar(keys_of('acme')), 1, 'the state is remembered as used';
my $ttl = $redis->cmd(PTTL => (keys_of('acme'))[0]);
ok $ttl > 600_000 && $ttl <= 660_000, 'as long as it must be';

# used again, by reload or by somebody else

is outcome(callback($query, $cookie, $node)), 'state_used', 'a reload';
is callback($query, $cookie, $node)->{status}, 409, 'is a conflict';
is exchanges(), 1, 'and the endpoint is not asked again';

# not what it should be

($url, $cookie) = begin('acme');
$query = consent($url);

my ($code) = $query =~ /code=([^&]+)/;
($state) = $query =~ /state=([^&]+)/;

for (['no cookie',         "code=$code&state=$state", '', 'state_mismatch'],
     ['another cookie',    "code=$code&state=$state",
      'zapier_connect=' . 'A' x 43, 'state_mismatch'],
     ['of another name',   "code=$code&state=$state", "x$cookie",
      'state_mismatch'],
     ['in capitals',       "code=$code&state=$state", ucfirst $cookie,
      'state_mismatch'],
     ['no arguments',      '', $cookie, 'invalid_request'],
     ['no state',          "code=$code", $cookie, 'invalid_request'],
     ['an empty one',      "code=$code&state=", $cookie, 'invalid_request'],
     ['no code',           "state=$state", $cookie, 'invalid_request'],
     ['an empty one',      "code=&state=$state", $cookie, 'invalid_request'],
     ['two codes',         "code=a&code=b&state=$state", $cookie,
      'invalid_request'],
     ['two states',        "code=a&state=$state&state=$state", $cookie,
      'invalid_request'],
     ['code and error',    "code=a&error=b&state=$state", $cookie,
      'invalid_request'],
     ['a line break',      "code=a%0D%0Ab&state=$state", $cookie,
      'invalid_request'],
     ['a long code',       'code=' . 'a' x 4097 . "&state=$state", $cookie,
      'invalid_request'],
     ['a made-up state',   "code=$code&state=abc", $cookie, 'state_invalid'],
     ['a script',          "code=$code&state=%3Cscript%3Ex", $cookie,
      'state_invalid'],
     ['a long state',      "code=$code&state=" . 'A' x 3000, $cookie,
      'state_invalid'],
     ['more of it',        "code=$code&state=${state}AAAA", $cookie,
      'state_invalid'],
     ['less of it',        "code=$code&state=" . substr($state, 0, -4),
      $cookie, 'state_invalid']) {
    my ($name, $args, $with, $want) = @$_;
    is outcome(callback($args, $with)), $want, $name;
}

my $bytes = decode_base64url($state);
my @bad;

for my $i (0 .. length($bytes) - 1) {
    my $forged = $bytes;

    substr $forged, $i, 1, chr(ord(substr $forged, $i, 1) ^ 1);

    my $got = outcome(callback("code=$code&state="
                               . encode_base64url($forged), $cookie));
    push @bad, "$i $got" if $got ne 'state_invalid';
}

is_deeply \@bad, [], 'no byte of a state can be changed';

is exchanges(), 1, 'none of these has cost the code';
is scalar(keys_of('acme')), 1, 'or the state';
is callback("state=$state&x=y&code=$code", "a=b; $cookie; c")->{status}, 200,
    'which are good after all, among others';
is record('acme')->{version}, 2, 'a new version';

# other clients and deployments

my $foreign = node(%conf, http => "zapier_redis unix:" . $redis->socket
                                . " prefix=other:; $conf{http}");

($url, $cookie) = begin('acme');
is outcome(callback(consent($url), $cookie, $foreign)), 'state_invalid',
    "another deployment's state";
undef $foreign;

# two tabs

($url, $cookie) = begin('one');
my ($url2, $cookie2) = begin('two', '/connect', $cookie);
is $cookie2, $cookie, 'a browser keeps its cookie';
is callback(consent($url), $cookie)->{status}, 200, 'so that one tab';
is callback(consent($url2), $cookie)->{status}, 200, 'leaves the other alone';
is record('two')->{version}, 1, 'each for its tenant';

(undef, $cookie2) = begin('two', '/connect', 'zapier_connect=short');
like $cookie2, qr/^zapier_connect=[\w-]{43}$/, 'but not just any';

# other ways to begin

($url, $cookie) = begin('plain', '/plain');
unlike $url, qr/code_challenge|scope/, 'without PKCE and scope';
is callback(consent($url), $cookie)->{status}, 200, 'it works as well';

($url, $cookie) = begin('short', '/short?mail=bob%40example.com');
like $url, qr/\?sign_up_email=bob%40example.com&response_type=/,
    'arguments of the authorize URL';
$query = consent($url);
sleep 1.1;
ok wait_for(sub { outcome(callback($query, $cookie)) eq 'state_expired' }),
    'too late';

$r = get('/https', {'X-Tenant' => 'acme'});
like $r->{headers}{'set-cookie'},
    qr/^__Host-zapier_connect=[\w-]{43}; Path=\/; .*; Secure$/,
    'a redirect_uri with https has a cookie that only https can set';

is get('/connect?a', {'X-Tenant' => 'acme'})->{status}, 302, 'inside of "if"';
is get('/connect')->{status}, 401, 'nobody to connect';
is outcome(get('/connect')), 'tenant_missing', 'is told so';
ok get('/connect')->{headers}{'www-authenticate'}, 'with a challenge';
is outcome(get('/connect', {'X-Tenant' => 'a<b'})), 'tenant_invalid',
    'a name that is none';
is get('/odd?to=javascript:x', {'X-Tenant' => 'acme'})->{status}, 500,
    'an authorize URL that is none';

# methods

for my $path ('/connect', '/connect/callback') {
    $r = get($path, {'X-Tenant' => 'acme', 'Content-Length' => 0}, $node,
             'POST');
    is $r->{status}, 405, "POST $path";
    is $r->{headers}{allow}, $path eq '/connect' ? 'GET, HEAD' : 'GET',
        'what is allowed';
}

$r = get('/connect', {'X-Tenant' => 'acme'}, $node, 'HEAD');
is $r->{status}, 302, 'HEAD of the start';

($url, $cookie) = begin('head');
$query = consent($url);
$r = get("/connect/callback?$query", {Cookie => $cookie}, $node, 'HEAD');
is $r->{status}, 405, 'HEAD does not spend a code';
is callback($query, $cookie)->{status}, 200, 'which GET does';

# the authorize URL says no

($url, $cookie) = begin('no');
$query = consent($url, 'deny');
$r = callback($query, $cookie);
is outcome($r), 'access_denied', 'the user does not want it';
is $r->{status}, 403, 'forbidden';
is_deeply [keys_of('no')], [], 'nothing is remembered';

($state) = $url =~ /state=([^&]+)/;
$r = callback("error=invalid_scope&error_description=%3Cb%3E&state=$state",
              $cookie);
is outcome($r), 'authorization_failed', 'another error';
unlike $r->{body}, qr/invalid_scope|<b>/, 'whose text is not shown';
like $node->log, qr/failed at the authorize URL: "invalid_scope"/,
    'but logged';
callback("error=%0Aevil&state=$state", $cookie);
like $node->log, qr/authorize URL: "\(not a code\)"/, 'if it is one';

# redirects

($url, $cookie) = begin('red');
$query = consent($url);
$r = callback("error=access_denied&state="
              . ($query =~ /state=([^&]+)/)[0], $cookie, $node,
              '/redirected');
is $r->{status}, 302, 'error=';
is $r->{headers}{location}, '/app?id=red&error=access_denied#top',
    'is told which';
is callback('', $cookie, $node, '/redirected')->{headers}{location},
    '/app?id=&error=invalid_request#top', 'also without a tenant';
$r = callback($query, $cookie, $node, '/redirected');
is $r->{headers}{location}, 'https://app.example/done/red', 'success=';
is $r->{headers}{'referrer-policy'}, 'no-referrer', 'is not told from where';

($url, $cookie) = begin('red');
$r = callback(consent($url) . '&to=//evil.example/', $cookie, $node,
              '/elsewhere');
is $r->{status}, 200, 'what is neither path nor URL is not followed';

# the token endpoint

for (['code_refused',     400, 'invalid-grant'],
     ['exchange_refused', 502, 'invalid-client'],
     ['exchange_refused', 502, 'redirect'],
     ['exchange_failed',  503, '503'],
     ['exchange_failed',  503, '429'],
     ['exchange_unknown', 502, 'close'],
     ['exchange_unknown', 502, 'lost'],
     ['exchange_unknown', 502, 'garbage'],
     ['exchange_unknown', 502, 'truncated']) {
    my ($want, $status, $fault) = @$_;
    my $calls = exchanges();

    ($url, $cookie) = begin('trouble');
    $query = consent($url);
    $sandbox->fault($fault, grant => 'authorization_code');
    $r = callback($query, $cookie);
    is outcome($r), $want, "$fault: $want";
    is $r->{status}, $status, "is $status";
    is exchanges(), $calls + 1, 'after one attempt';
    is outcome(callback($query, $cookie)), 'state_used', 'it cannot be'
        . ' repeated';
}

is_deeply record('trouble'), {}, 'nothing was stored';
$sandbox->clear_faults;

# answers of other servers

for (['no-expires', 'expires_at'], ['no-refresh', 'refresh_token']) {
    my ($fault, $field) = @$_;

    ($url, $cookie) = begin($fault);
    $query = consent($url);
    $sandbox->fault($fault, grant => 'authorization_code');
    is callback($query, $cookie)->{status}, 200, $fault;
    ok !exists record($fault)->{$field}, "a record without $field";
}

# a record that was dead

token($redis, 'dead', access_token => 'old', refresh_token => 'old-rt',
      expires_at => 5, version => 6, dead => sha1_hex('old-rt'));
$r = get('/v2/actions?app=x', {'X-Tenant' => 'dead'});
like $r->{body}, qr/reauthorization_required/, 'a dead tenant';
($url, $cookie) = begin('dead');
is callback(consent($url), $cookie)->{status}, 200, 'connects again';
is record('dead')->{version}, 7, 'a new version';
ok !exists record('dead')->{dead}, 'without the mark';
ok wait_for(sub {
    get('/v2/actions?app=x', {'X-Tenant' => 'dead'})->{status} == 200
}), 'and lives';

# the browser does not wait

($url, $cookie) = begin('left');
$query = consent($url);
$sandbox->fault({late => 700}, grant => 'authorization_code');

my $gone = client($node);
my $before = exchanges();

$gone->send("GET /connect/callback?$query HTTP/1.1\r\nHost: a\r\n"
            . "Cookie: $cookie\r\n\r\n");
ok wait_for(sub { keys_of('left') }), 'a browser begins the exchange';
$gone->close;
ok wait_for(sub { record('left')->{access_token} }),
    'and leaves, but the pair is stored';
is outcome(callback($query, $cookie)), 'state_used', 'once';

# Redis goes

sub pause { $redis->signal($_[0]) }

($url, $cookie) = begin('frozen');
$query = consent($url);
pause('STOP');
$r = callback($query, $cookie);
pause('CONT');
is outcome($r), 'store_unavailable', 'Redis does not answer';
is $r->{status}, 503, 'for now';
is_deeply record('frozen'), {}, 'nothing is done';

ok wait_for(sub {
    ($url, $cookie) = begin('ready');
    callback(consent($url), $cookie)->{status} == 200
}), 'it is back';

($url, $cookie) = begin('later');
$query = consent($url);
$sandbox->fault({late => 600}, grant => 'authorization_code');
$gone = client($node);
$gone->send("GET /connect/callback?$query HTTP/1.1\r\nHost: a\r\n"
            . "Cookie: $cookie\r\n\r\n");
ok wait_for(sub { keys_of('later') }), 'the state is claimed';
pause('STOP');
sleep 1.5;
pause('CONT');
$r = $gone->read;
is $r->{status}, 200, 'Redis was away when the answer came: no harm';
like record('later')->{refresh_token}, qr/^sbxrt-/, 'the pair is there';
is record('later')->{version}, 1, 'written once';
is $redis->cmd(GET => keys_of('later')), 'done', 'which is remembered';
ok $redis->cmd(PTTL => keys_of('later')) > 0, 'for a while';

($url, $cookie) = begin('restart');
$query = consent($url);
$sandbox->fault({late => 700}, grant => 'authorization_code');
$gone = client($node);
$gone->send("GET /connect/callback?$query HTTP/1.1\r\nHost: a\r\n"
            . "Cookie: $cookie\r\n\r\n");
ok wait_for(sub { keys_of('restart') }), 'the state is claimed';
$redis->stop;
sleep 1;
$redis->start;
$r = $gone->read;
is $r->{status}, 200, 'Redis was restarted, empty: no harm';
like record('restart')->{refresh_token}, qr/^sbxrt-/, 'the pair is there';
is_deeply [keys_of('restart')], [], 'and no key that would stay for ever';

# what Redis refuses

$redis->cmd(ACL => 'SETUSER', 'default', '-set');
($url, $cookie) = begin('acl');
is outcome(callback(consent($url), $cookie)), 'store_unavailable',
    'no right to SET';
$redis->cmd(ACL => 'SETUSER', 'default', '+set');
like $node->log . $other->log, qr/Redis refused to SET a key of "zapier_connect": "NOPERM/,
    'is logged';

# a worker that is to end finishes what it has begun

($url, $cookie) = begin('reload');
$query = consent($url);
$sandbox->fault({late => 800}, grant => 'authorization_code');
$gone = client($node);
$gone->send("GET /connect/callback?$query HTTP/1.1\r\nHost: a\r\n"
            . "Cookie: $cookie\r\n\r\n");
ok wait_for(sub { keys_of('reload') }), 'an exchange is under way';
$node->reload;
$gone->close;
ok wait_for(sub { record('reload')->{access_token} }),
    'it ends well in the old worker';

# Redis does not come back in time

my $hasty = node(%conf, http => $conf{http} =~ s/margin=10s/timeout=300ms/r);

($url, $cookie) = begin('lost', undef, undef, $hasty);
$query = consent($url);
$sandbox->fault({late => 600}, grant => 'authorization_code');
$gone = client($hasty);
$gone->send("GET /connect/callback?$query HTTP/1.1\r\nHost: a\r\n"
            . "Cookie: $cookie\r\n\r\n");
ok wait_for(sub { keys_of('lost') }), 'Redis goes after the claim';
pause('STOP');
$r = $gone->read;
pause('CONT');
is outcome($r), 'store_failed', 'and does not come back in time';
is $r->{status}, 503, 'that is said';
like $hasty->log, qr/Redis has not said that it stored the new tokens of tenant "lost"/,
    'and logged';

# encryption

my $ring = $redis->dir . '/keys';

open $file, '>', $ring or die $!;
print $file 'k1 ', 'QUFB' x 10, "QUE=\n";
close $file;

my $sealed = node(%conf, http => "zapier_token_key $ring required;"
                               . $conf{http});

($url, $cookie) = begin('sealed', undef, undef, $sealed);
is callback(consent($url), $cookie, $sealed)->{status}, 200, 'with a key ring';
like record('sealed')->{$_}, qr/^enc:v1:k1:/, "the $_ is encrypted"
    for qw(access_token refresh_token);
is get('/v2/actions?app=x', {'X-Tenant' => 'sealed'}, $sealed)->{status}, 200,
    'and serves';

# one connection for all

my $kept = client($node);

for my $tenant ('k1', 'k2') {
    ($url, $cookie) = begin($tenant);
    $r = $kept->request(GET => '/connect/callback?' . consent($url),
                        {Cookie => $cookie});
    is $r->{status}, 200, "a connection that is kept, $tenant";
    is $kept->request(GET => '/inner')->{status}, 200, 'serves on';
}

# nginx is stopped in the middle

for my $when ('exchange', 'put') {
    ($url, $cookie) = begin("stop-$when", undef, undef, $sealed);
    $query = consent($url);
    $sandbox->fault({late => $when eq 'put' ? 300 : 3000},
                    grant => 'authorization_code');
    $gone = client($sealed);
    $gone->send("GET /connect/callback?$query HTTP/1.1\r\nHost: a\r\n"
                . "Cookie: $cookie\r\n\r\n");
    ok wait_for(sub { keys_of("stop-$when") }), "stopped during the $when";

    if ($when eq 'put') {
        pause('STOP');
        ok wait_for(sub { $sandbox->stats->{inflight} == 0 }),
            'with tokens that Redis has not got';
        sleep 0.3;
    }

    ok $sealed->stop('TERM'), 'it ends';
    pause('CONT');
    like $sealed->log, qr/connecting tenant "stop-$when" was cut short/,
        'and says what it was doing';
    $sealed->start;
}

# HTTP/2, where a browser may send each cookie in a header of its own

SKIP: {
    skip 'no curl with HTTP/2', 3 if `curl -V` !~ /HTTP2/;

    ($url, $cookie) = begin('h2');
    $query = consent($url);

    my $curl = 'curl -s -i -m 10 --http2-prior-knowledge';
    my $page = `$curl -H 'Cookie: a=b' -H 'Cookie: $cookie' \\
                'http://127.0.0.1:$h2/connect/callback?$query'`;
    like $page, qr/^HTTP\/2 200.*>h2</s, 'HTTP/2';
    $page = `$curl -X POST 'http://127.0.0.1:$h2/connect/callback?$query'`;
    like $page, qr/^HTTP\/2 405/, 'also without success';

    ($url, $cookie) = begin('h2-left');
    $query = consent($url);
    $sandbox->fault({late => 800}, grant => 'authorization_code');
    `curl -s -m 0.4 --http2-prior-knowledge -H 'Cookie: $cookie' \\
        'http://127.0.0.1:$h2/connect/callback?$query'`;
    ok wait_for(sub { record('h2-left')->{access_token} }),
        'and when the browser leaves';
}

# what is told to whom

my $logs = join '', map { $_->log . $_->access_log } $node, $other, $hasty,
                    $sealed;
my $all  = join '|', map { quotemeta } @secrets;

cmp_ok scalar @secrets, '>', 20, 'secrets were seen';
is_deeply [$logs =~ /($all)/], [], 'none in the logs';
ok $logs =~ /code=\*+&/, 'where the code is masked';
is_deeply ["@pages" =~ /($all|sandbox-secret)/], [], 'nor on the pages';

is_deeply [map { $_->complaints('connect\(\) to unix:') }
           $node, $other, $hasty, $sealed], [],
    'nothing grave in the logs';

done_testing();
