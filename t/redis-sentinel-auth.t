# Sentinels and servers that want passwords, each their own, over TLS.

use strict;
use warnings;

use lib 't/lib';
use File::Temp qw(tempdir);
use Test::More;
use Time::HiRes qw(sleep time);
use Zapier::Sentinel;
use ZapierNode;

my $dir     = tempdir(CLEANUP => 1);
my $sandbox = sandbox();

chmod 0755, $dir;

sub put {
    my ($name, $text) = @_;

    open my $file, '>', "$dir/$name" or die "$name: $!";
    print $file "$text\n";
    close $file;
    chmod 0600, "$dir/$name";
}

system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=redis "
       . "-addext subjectAltName=IP:127.0.0.1 -keyout $dir/key.pem "
       . "-out $dir/cert.pem > $dir/openssl.log 2>&1") == 0
    or die Zapier::Process::slurp("$dir/openssl.log");
chmod 0644, "$dir/key.pem";

my @tls = ('tls-cert-file' => "$dir/cert.pem", 'tls-key-file' => "$dir/key.pem",
           'tls-ca-cert-file' => "$dir/cert.pem", 'tls-auth-clients' => 'no');

my $port  = free_port();
my $redis = redis('--tls-port' => $port, map({ /^tls/ ? "--$_" : $_ } @tls));

token($redis, 'acme');
$redis->cmd(CONFIG => SET => requirepass => 'serverpass');

my @options = map { "$tls[2 * $_] $tls[2 * $_ + 1]" } 0 .. $#tls / 2;

sub sentinel {
    my (%p) = @_;
    my $port = free_port();

    return Zapier::Sentinel->new(
        port => $port, tls => 1, master => $p{master}, quorum => 1,
        options => ["tls-port $port", 'tls-replication yes', @options,
                    'requirepass sentinelpass'],
        sentinel => ['sentinel auth-pass main serverpass'])->start;
}

my $sentinel = sentinel(master => $port);

put(server => 'serverpass');
put(sentinel => 'sentinelpass');
put(wrong => 'wrongpass');

sub try {
    my ($name, $scheme, $options, $want, $log) = @_;
    my $node = node(sandbox => $sandbox, http =>
        "zapier_redis $scheme://127.0.0.1:" . $sentinel->port
        . "/main timeout=5s $options;"
        . ($scheme =~ /rediss/
           ? "zapier_redis_ssl_trusted_certificate $dir/cert.pem;" : ''));

    my $status;
    my $ask = sub {
        $status = client($node)->request(GET => '/v2/actions?app=x',
                                         {'X-Tenant' => 'acme'})->{status};
    };

    # the Sentinel may not have met its master yet

    soon(sub { $ask->() == 200 }, 5) if $want == 200;
    is $ask->(), $want, $name;
    like $node->log, $log, "$name: the log tells why" if $log;
    unlike $node->log, qr/(?:server|sentinel|wrong)pass/,
        "$name: no password is logged";
    ok $node->stop, "$name: nginx stops";
}

my $both = "password_file=$dir/server sentinel_password_file=$dir/sentinel";

try('both passwords', 'rediss+sentinel', $both, 200);
try('no password for the Sentinel', 'rediss+sentinel',
    "password_file=$dir/server", 503, qr/NOAUTH/);
try('a wrong one for the Sentinel', 'rediss+sentinel',
    "password_file=$dir/server sentinel_password_file=$dir/wrong", 503,
    qr/WRONGPASS/);
try('a wrong one for the server', 'rediss+sentinel',
    "password_file=$dir/wrong sentinel_password_file=$dir/sentinel", 503,
    qr/WRONGPASS/);
try('no TLS', 'redis+sentinel', "$both", 503);

done_testing();
