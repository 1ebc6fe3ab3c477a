# Redis over TLS: chain and name are verified, a client certificate may be
# shown.

use strict;
use warnings;

use lib 't/lib';
use File::Temp qw(tempdir);
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $dir     = tempdir(CLEANUP => 1);
my $sandbox = sandbox();

chmod 0755, $dir;

sub openssl {
    system("openssl @_ > $dir/openssl.log 2>&1") == 0
        or die "openssl @_: ", Zapier::Process::slurp("$dir/openssl.log");
}

sub certificate {
    my ($name, $san, $ca) = @_;

    openssl("req -newkey rsa:2048 -nodes -keyout $dir/$name.key",
            "-out $dir/$name.csr -subj /CN=$name");

    open my $file, '>', "$dir/$name.ext" or die $!;
    print $file "subjectAltName=$san\n";
    close $file;

    openssl("x509 -req -in $dir/$name.csr -CA $dir/$ca.crt",
            "-CAkey $dir/$ca.key -CAcreateserial -days 2",
            "-extfile $dir/$name.ext -out $dir/$name.crt");
}

for my $ca (qw(ca other)) {
    openssl("req -x509 -newkey rsa:2048 -nodes -days 2",
            "-keyout $dir/$ca.key -out $dir/$ca.crt -subj /CN=$ca");
}

certificate('server', 'DNS:localhost,IP:127.0.0.1', 'ca');
certificate('elsewhere', 'DNS:redis.example.com', 'ca');
certificate('client', 'DNS:gateway', 'ca');

sub tls_redis {
    my ($certificate, $clients) = @_;
    my $port  = free_port();
    my $redis = redis('--tls-port' => $port,
                      '--tls-cert-file' => "$dir/$certificate.crt",
                      '--tls-key-file' => "$dir/$certificate.key",
                      '--tls-ca-cert-file' => "$dir/ca.crt",
                      '--tls-auth-clients' => $clients // 'no');

    token($redis, 'acme');

    return ($redis, $port);
}

sub try {
    my ($name, $url, $http, $want, @expected) = @_;

    # a handshake takes its time on a busy machine
    $url =~ s/timeout=1s/timeout=5s/ if $want == 200;

    my $node = node(sandbox => $sandbox, http => "zapier_redis $url; $http");
    my $start = time;

    is client($node)->request(GET => '/v2/actions?app=x',
                              {'X-Tenant' => 'acme'})->{status},
       $want, $name;
    cmp_ok time - $start, '<', 2, "$name: soon" if $want != 200;
    ok $node->stop, "$name: nginx stops";
    is_deeply [$node->complaints('SSL_(?:do_handshake|read)\(\) failed')], [],
              "$name: nothing grave in the log";
    like $node->log, $_, "$name: the log tells" for @expected;
}

my ($redis, $port) = tls_redis('server');
my $trust = "zapier_redis_ssl_trusted_certificate $dir/ca.crt;";

my $option = 'timeout=1s';

try('chain and name are right', "rediss://localhost:$port $option", $trust,
    200);
try('an address for a name', "rediss://127.0.0.1:$port $option", $trust, 200);
try('a certificate of nobody we trust', "rediss://localhost:$port $option",
    "zapier_redis_ssl_trusted_certificate $dir/other.crt;", 503,
    qr/certificate/);
try('no trust is given: the system is asked, which does not know it',
    "rediss://localhost:$port $option", '', 503, qr/certificate/);
try('verification can be switched off', "rediss://localhost:$port $option",
    'zapier_redis_ssl_verify off;', 200);
try('another name is expected', "rediss://localhost:$port $option",
    "$trust zapier_redis_ssl_name redis.example.com;", 503,
    qr/redis\.example\.com|does not match/);
try('plain text on a TLS port', "redis://localhost:$port $option", '', 503);
try('TLS on a plain port', 'rediss://localhost:' . $redis->port . " $option",
    $trust, 503);

my (undef, $wrong) = my @elsewhere = tls_redis('elsewhere');

try('a certificate of another name', "rediss://localhost:$wrong $option",
    $trust, 503, qr/certificate/);
try('of the name that is expected', "rediss://localhost:$wrong $option",
    "$trust zapier_redis_ssl_name redis.example.com;", 200);

my (undef, $strict) = my @mutual = tls_redis('server', 'yes');

try('a client certificate is wanted and not there',
    "rediss://localhost:$strict $option", $trust, 503);
try('a client certificate', "rediss://localhost:$strict $option",
    "$trust zapier_redis_ssl_certificate $dir/client.crt;"
    . "zapier_redis_ssl_certificate_key $dir/client.key;", 200);

done_testing();
