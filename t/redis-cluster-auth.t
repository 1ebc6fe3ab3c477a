# A Cluster that wants a user's password, over TLS.

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

my $port  = free_port();
my $redis = redis(
    '--cluster-enabled' => 'yes', '--cluster-port' => free_port(),
    '--tls-cluster' => 'yes', '--tls-port' => $port,
    '--tls-cert-file' => "$dir/cert.pem", '--tls-key-file' => "$dir/key.pem",
    '--tls-ca-cert-file' => "$dir/cert.pem", '--tls-auth-clients' => 'no');

$redis->cmd(CLUSTER => ADDSLOTSRANGE => 0, 16383);
ok soon(sub { $redis->cmd(CLUSTER => 'INFO') =~ /cluster_state:ok/ }),
    'a Cluster';
token($redis, 'acme');
$redis->cmd(ACL => SETUSER => 'gateway', 'on', '>secret', '~zapier:*',
            '&*', '+@all');
$redis->cmd(ACL => SETUSER => 'default', 'off');

put(secret => 'secret');
put(wrong => 'wrongsecret');

sub try {
    my ($name, $scheme, $options, $want, $log) = @_;
    my $node = node(sandbox => $sandbox, http =>
        "zapier_redis $scheme://127.0.0.1:$port timeout=5s $options;"
        . ($scheme =~ /rediss/
           ? "zapier_redis_ssl_trusted_certificate $dir/cert.pem;" : ''));

    is client($node)->request(GET => '/v2/actions?app=x',
                              {'X-Tenant' => 'acme'})->{status},
       $want, $name;
    like $node->log, $log, "$name: the log tells why" if $log;
    unlike $node->log, qr/secret\b/, "$name: no password is logged";
    ok $node->stop, "$name: nginx stops";
}

try('user and password', 'rediss+cluster',
    "user=gateway password_file=$dir/secret", 200);
try('a wrong password', 'rediss+cluster',
    "user=gateway password_file=$dir/wrong", 503, qr/WRONGPASS/);
try('no password', 'rediss+cluster', '', 503, qr/NOAUTH/);
try('no TLS', 'redis+cluster', "user=gateway password_file=$dir/secret", 503);

done_testing();
