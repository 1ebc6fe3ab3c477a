# Logging in to Redis: passwords from a file, ACL users, databases, and what
# happens when Redis says no.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $sandbox = sandbox();
my $redis   = redis();

sub password_file {
    my ($node, $text) = @_;

    open my $file, '>', $node->dir . '/password' or die "password: $!";
    print $file $text;
    close $file;
}

sub try {
    my ($name, $options, $password, $want, @expected) = @_;
    my $node = Zapier::Nginx->new(
        port => free_port(), sandbox => $sandbox,
        http => 'zapier_redis redis://127.0.0.1:' . $redis->port . $options
              . ';');

    password_file($node, $password);
    $node->start;

    my $start = time;

    is client($node)->request(GET => '/v2/actions?app=x',
                              {'X-Tenant' => 'acme'})->{status},
       $want, $name;
    cmp_ok time - $start, '<', 2, "$name: soon";
    ok $node->stop, "$name: nginx stops";
    is_deeply [$node->complaints], [], "$name: nothing grave in the log";
    unlike $node->log, qr/geheim/, "$name: no password in the log";
    like $node->log, $_, "$name: the log tells" for @expected;
}

token($redis, 'acme');
$redis->cmd(ACL => 'SETUSER', 'gate', 'on', '>geheim', '~zapier:*',
            'resetchannels', '&__redis__:invalidate', '-@all', '+hmget',
            '+select', '+ping', '+subscribe', '+client|id',
            '+client|tracking');

try('no password needed', '', '', 200);
try('a user of just the rights that the docs name',
    ' user=gate password_file=password', "geheim\n", 200);
try('a wrong password', ' user=gate password_file=password', "geheimer\n",
    503, qr/WRONGPASS/);

# the watch of that user works, too

my $node = Zapier::Nginx->new(
    port => free_port(), sandbox => $sandbox,
    http => 'zapier_token_cache 1h; zapier_redis redis://127.0.0.1:'
          . $redis->port . ' user=gate password_file=password;');

password_file($node, 'geheim');
$node->start;
sleep 1;
client($node)->request(GET => '/v2/x', {'X-Tenant' => 'acme'});
sleep 1.5;
$redis->cmd(CONFIG => 'RESETSTAT');
client($node)->request(GET => '/v2/x', {'X-Tenant' => 'acme'});
unlike $redis->cmd(INFO => 'commandstats'), qr/cmdstat_hmget/,
       'a user of those rights may watch';
$node->stop;

$redis->cmd(ACL => 'SETUSER', 'gate', '-hmget');
try('a user who may not read', ' user=gate password_file=password',
    "geheim\n", 503, qr/NOPERM/);

$redis->cmd(CONFIG => 'SET', 'requirepass', 'geheim2');
try('the default user', ' password_file=password', "geheim2", 200);
try('a password that is not sent', '', '', 503, qr/NOAUTH/);

delete $redis->{link};
$redis->cmd(AUTH => 'geheim2');
$redis->cmd(SELECT => 5);
token($redis, 'acme');

my $port = $redis->port;

$redis->cmd(SELECT => 0);
$redis->cmd(DEL => 'zapier:token:{acme}');
try('another database', '/5 password_file=password', 'geheim2', 200);
try('pooled links do not mix databases (APISIX #13516)',
    ' password_file=password', 'geheim2', 401);
try('a database that is not there', '/999 password_file=password', 'geheim2',
    503);

done_testing();
