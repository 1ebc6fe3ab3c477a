# With a key ring no token is in plain in a log, an answer, Redis, its files
# and what is sent to it, or the core of a worker; nor are client secret and
# keys.

use strict;
use warnings;

use lib 't/lib';
use File::Find;
use MIME::Base64 qw(encode_base64);
use Sandbox::OAuth::Store;
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my @durable = qw(--appendonly yes --appendfsync always --rdbcompression no
                 --save);
my $redis   = redis(@durable, '');
my $tls     = free_port();
my $sandbox = sandbox('--listen' => "https://127.0.0.1:$tls?" . certificate());

# of api.zapier.com, as zapier_params wants it

sub certificate {
    my ($cert, $key) = map { $redis->dir . "/tls.$_" } qw(crt key);

    system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout $key "
           . "-out $cert -subj /CN=api.zapier.com 2> /dev/null") == 0
        or die 'openssl';

    return "cert=$cert&key=$key";
}

$sandbox->oauth(strict => 1, access_grace => 60);

my $secret = $redis->dir . '/client.secret';
my $keys   = $redis->dir . '/keys';
my $key    = '7e5d' . '0123456789abcdef' x 3 . '0123456789ab';

write_file($secret, "sandbox-secret\n");
write_file($keys, "k1 $key\n");

sub write_file {
    my ($name, $text) = @_;

    open my $file, '>', $name or die $!;
    print $file $text;
    close $file;
    chmod 0600, $name;
}

# All tokens there are from now on, also those that are used up, are known by
# the sandbox's serial numbers.

my $first = serial();

sub serial {
    my %pair  = $sandbox->token_record('serial');
    my $store = Sandbox::OAuth::Store->new;

    1 while $store->mint('at') ne $pair{access_token};

    return $store->serial;
}

# What may be left of one when its beginning or its end has been overwritten

sub pieces {
    my @tokens = map {
        my $n = $_;
        map { Sandbox::OAuth::Store->new(serial => $n)->mint($_) } qw(at rt);
    } $first .. serial();

    return map { (substr($_, 6, 12), substr($_, -12)) } @tokens;
}

my $front = free_port();
my $node  = Zapier::Nginx->new(port => free_port(), redis => $redis,
    sandbox => $sandbox, core => '1g', http => <<"HTTP", server => <<'SERVER');
    upstream tls { server 127.0.0.1:$tls; keepalive 32; }
    upstream oauth { server 127.0.0.1:$tls; keepalive 32; }
    zapier_token_key $keys required;
    zapier_oauth_client sandbox-client $secret;
    zapier_oauth_token /oauth/token margin=1s;
HTTP
    listen 127.0.0.1:%front ssl;
    ssl_certificate tls.crt;
    ssl_certificate_key tls.key;
    proxy_ssl_trusted_certificate tls.crt;
    error_page 502 504 /error;
    location / {
        zapier_tenant $http_x_tenant;
        include $params;
        proxy_pass https://tls;
    }
    location /run {
        zapier_tenant $http_x_tenant;
        include $params;
        zapier_body action_run;
        proxy_pass https://tls/v2/action-runs;
    }
    location /plain {
        zapier_tenant $http_x_tenant;
        include $params;
        proxy_pass http://sandbox/v2/actions?app=x;
    }
    location = /oauth/token {
        internal;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_pass https://oauth/oauth/token/;
        proxy_read_timeout 1s;
    }
    location /error { return 200 "sorry [$zapier_authorization]\n"; }
    location /admin/ { zapier_admin; }
SERVER

$node->{server} =~ s/%front/$front/;
symlink $redis->dir . "/tls.$_", "$node->{dir}/tls.$_" or die $!
    for qw(crt key);
$node->{main} = "working_directory $node->{dir};";
$node->start;

my $all = '';

sub call {
    my ($method, $path, $tenant, $body) = @_;
    my $answer = client($node)->request(
        $method, $path, {'X-Tenant' => $tenant // '',
                         'Content-Type' => 'application/json'}, $body);

    $all .= $answer->{raw} . $answer->{body};

    return $answer->{status};
}

sub get { call(GET => '/v2/actions?app=x', $_[0]) }

sub pair {
    my ($tenant, $left) = @_;
    my %pair = $sandbox->token_record($tenant);

    return sprintf
        '{"access_token":"%s","refresh_token":"%s","expires_in":%d}',
        @pair{qw(access_token refresh_token)}, $left;
}

sub put {
    my ($tenant, $left) = @_;

    return call(PUT => "/admin/tokens/$tenant", '', pair($tenant, $left));
}

sub put_by_tls {
    my ($tenant, $pair) = @_;
    my $url  = "https://127.0.0.1:$front/admin/tokens/$tenant";
    my $text = ' ' x 4000 . $pair;

    return `curl -sk --http1.1 -o /dev/null -w '%{http_code}' -X PUT $url \\
        -H 'Content-Type: application/json' --data-binary '$text'`;
}

my $monitor = $redis->open;

print $monitor "MONITOR\r\n";
$monitor->flush;

is put('good', 3600), 201, 'a token is put';
is get('good'), 200, 'and used';
is call(POST => '/run', 'good', '{"action":"core:a","inputs":{}}'), 200,
    'for an action';
is call(POST => '/admin/tokens/good/refresh'), 200, 'it is refreshed';
is get('good'), 200, 'and used';
call(GET => "/admin/$_") for qw(tokens tokens/good counters);

$sandbox->expire(tenant => 'good');
get('good') for 1 .. 2;

my %faults = (
    garbage => {body => '{"access_token":"%access_token%",'
                      . '"refresh_token":"%refresh_token%"'},
    raw     => {raw => "HTTP/1.1 200 OK\r\nX-sbxrt-none\r\n"},
    echo    => {status => 500, body => '%access_token% %refresh_token%'},
    refused => {status => 400, body => '{"error":"invalid_client",'
                     . '"error_description":"%refresh_token%"}'},
    map { $_ => {fault => $_} } qw(lost truncated twice bad-access
                                   lost-hang 503),
);

for my $name (sort keys %faults) {
    put($name, 0);
    $sandbox->fault({%{$faults{$name}}}, tenant => $name);
    get($name);
}

# Redis goes while the answer is under way

put('away', 0);
$sandbox->fault({late => 500}, tenant => 'away');

my $pid = fork // die $!;

if ($pid == 0) {
    my $ok = get('away') == 200;
    require POSIX;
    POSIX::_exit($ok ? 0 : 1);
}

my $asked = sub {
    return grep { ($_->{tenant} // '') eq 'away' } $sandbox->token_calls;
};

for (1 .. 200) {
    last if $asked->();
    sleep 0.02;
}

my $text = '';

$redis->cmd('SAVE');
$monitor->blocking(0);
$redis->stop('KILL');
1 while sysread $monitor, $text, 65536, length $text;
waitpid $pid, 0;
is $?, 0, 'a token that Redis has not got is used';
$redis = Zapier::Redis->new(port => $redis->port, dir => $redis->dir)
         ->start(@durable, '');

for (1 .. 200) {
    last if get('away') == 200
            && client($node)->request(GET => '/admin/counters')->{body}
               =~ /"refreshed":3/;
    sleep 0.02;
}

like $text, qr/"evalsha" .*enc:v1:k1:/i, 'Redis has told what it got';
$redis->cmd('SAVE');

# what is there now, with tokens in shared memory

is get('away'), 200, 'it is used';

# what TLS has read last is tokens, so far behind that others do not
# overwrite them; what is copied last is a token too

$sandbox->fault({pad => 8000}, tenant => 'good');
is call(POST => '/admin/tokens/good/refresh'), 200, 'the last refresh';
is call(GET => '/plain', 'away'), 200, 'a token is used without TLS'
    for 1 .. 2;

# for later, and known by then

my $last = pair('good', 3600);

my %found;
my $pattern = join '|', 'sbx[ar]t-', 'sandbox-secret', $key, pack('H*', $key),
    quotemeta(substr encode_base64('sandbox-client:sandbox-secret', ''), 20),
    pieces();

sub look {
    my ($where, $text) = @_;

    $found{"$where: " . substr $text, $-[0], 6}++ while $text =~ /$pattern/g;
}

sub look_at_core {
    my ($worker) = $node->workers;
    my @cores;

    kill ABRT => $worker;

    for (1 .. 500) {
        @cores = glob "$node->{dir}/core*";
        last if @cores && !kill 0, $worker;
        sleep 0.02;
    }

    look('core', Zapier::Process::slurp($cores[0])) if @cores;

    return unlink @cores;
}

look('commands', $text);
look('answers', $all);

for my $name ($redis->cmd(KEYS => '*')) {
    look("key $name", join "\n", $name, $redis->cmd(TYPE => $name) eq 'hash'
                      ? $redis->cmd(HGETALL => $name)
                      : $redis->cmd(GET => $name));
}

my $files = 0;

find({no_chdir => 1, wanted => sub {
    return if !-f || $_ eq $secret || $_ eq $keys || /tls/;
    look("file $_", Zapier::Process::slurp($_));
    $files++;
}}, $redis->dir);

cmp_ok $files, '>=', 4, 'files of Redis';

SKIP: {
    my $pattern = Zapier::Process::slurp('/proc/sys/kernel/core_pattern');

    skip 'no core files here', 3
        if $pattern !~ /^core/ || ($ENV{TEST_NGINX_BINARY} // '') =~ /asan/;

    ok look_at_core(), 'a worker dumps its core';

    # the next one decrypts nothing but this

    is put_by_tls('good', $last), 200, 'a token is put by TLS';
    ok look_at_core(), 'the next worker dumps its core';
}

ok $node->stop, 'nginx stops';
look("file $_", Zapier::Process::slurp($_))
    for glob "$node->{dir}/*.log $node->{dir}/std*";

is_deeply \%found, {}, 'no secret anywhere';
is_deeply [$node->complaints('exited on signal 6', 'core dumped')], [],
          'nothing grave in the log';

done_testing();
