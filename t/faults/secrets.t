# No token or password in any log, error page or answer, whatever happens.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep);
use ZapierNode;

my $secret   = 'sandbox-Geheimnis7391';
my $password = 'Passwort8264';
my $redis    = redis();
my $sandbox  = sandbox();

$redis->cmd(ACL => 'SETUSER', 'gate', 'on', ">$password", '~zapier:*',
            '&*', '+@all');

my $socket   = $redis->socket;
my $node     = Zapier::Nginx->new(port => free_port(), sandbox => $sandbox,
                                  http => <<"HTTP", server => <<'SERVER');
    zapier_redis unix:$socket user=gate password_file=password;
    log_format all escape=none
        '\$request \$status \$http_authorization [\$zapier_authorization] '
        '\$zapier_decision \$zapier_error \$zapier_token_status';
    access_log all.log all;
HTTP
    zapier_tenant $http_x_tenant;
    error_page 502 504 /error;
    location /v2/ {
        include $params;
        zapier_body action_run;
        proxy_pass http://sandbox;
    }
    location /down/ {
        include $params;
        proxy_pass http://127.0.0.1:1;
    }
    location /error {
        zapier_tenant off;
        return 200 "sorry [$zapier_authorization]\n";
    }
SERVER

open my $file, '>', $node->dir . '/password' or die $!;
print $file "$password\n";
close $file;
$node->start;

token($redis, 'acme', access_token => $secret);
token($redis, 'broken', access_token => "$secret\n");
token($redis, 'expired', access_token => $secret, expires_at => 1);
token($redis, 'when', access_token => $secret, expires_at => $secret);
$redis->cmd(SET => 'zapier:token:{string}', $secret);

my $all = '';

sub call {
    my ($method, $path, $tenant, $body, %headers) = @_;
    my $answer = client($node)->request(
        $method, $path, {'X-Tenant' => $tenant, %headers}, $body);

    $all .= $answer->{raw} . $answer->{body};

    return $answer->{status};
}

my $run = '{"action":"core:a","inputs":{}}';

is call(POST => '/v2/action-runs', 'acme', $run), 200, 'a run';
is call(GET => '/v2/actions?app=x', 'acme'), 200, 'a look-up';
is call(POST => '/v2/action-runs', 'acme', '{"action":'), 400, 'no JSON';
is call(GET => '/down/x', 'acme'), 502, 'the error page of a dead upstream';
is call(GET => '/v2/x', 'expired'), 401, 'an expired token';
is call(GET => '/v2/x', 'broken'), 503, 'a broken token';
is call(GET => '/v2/x', 'when'), 503, 'a broken expiry';
is call(GET => '/v2/x', 'string'), 503, 'a record of another type';
is call(POST => '/v2/action-runs', 'acme', $run,
        'X-Sandbox' => qq({"status":$_})), $_, "upstream's $_"
    for 400, 401, 403, 409, 500, 503, 504;
is call(GET => '/v2/x', 'acme', undef,
        'X-Sandbox' => '{"close":"before"}'), 502, 'a closed connection';
call(GET => '/v2/x', 'acme', undef, 'X-Sandbox' => '{"raw":"nonsense"}');

$redis->signal('STOP');
sleep 1.2;
call(GET => '/v2/x', $_) for qw(acme cold);
$redis->signal('CONT');
$redis->cmd(ACL => 'SETUSER', 'gate', 'resetpass', '>changed');
$redis->cmd(CLIENT => 'KILL', USER => 'gate');
sleep 1.2;
call(GET => '/v2/x', $_) for qw(acme cold) x 3;

ok $node->stop, 'nginx stops';

for my $file (glob $node->dir . '/*.log ' . $node->dir . '/std*') {
    my $text = Zapier::Process::slurp($file);

    unlike $text, qr/Geheimnis/, "no token in $file";
    unlike $text, qr/$password/, "no password in $file";
}

unlike $all, qr/Geheimnis/, 'no token in any answer';
like Zapier::Process::slurp($node->dir . '/all.log'), qr/ \[\] /,
     'the log had looked for it';
is_deeply [$node->complaints], [], 'nothing grave in the log';

done_testing();
