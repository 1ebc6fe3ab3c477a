# zapier_auth app: calls with a token of the app itself, which is made by the
# client's credentials when it is needed, once for all who need it.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();

$sandbox->oauth(strict => 1);

my $secret = $redis->dir . '/client.secret';

open my $file, '>', $secret or die $!;
print $file "sandbox-secret\n";
close $file;
chmod 0600, $secret;

my %conf = (
    redis => $redis, sandbox => $sandbox, workers => 2,
    http => "zapier_oauth_client sandbox-client $secret;"
          . 'zapier_oauth_token /oauth/token margin=10s timeout=3s;',
    server => <<'END',
        zapier_tenant $http_x_tenant;
        include       $params;

        location = /oauth/token {
            internal;
            zapier_tenant off;
            include       $params;
            proxy_pass    http://sandbox/oauth/token/;
        }

        location / {
            zapier_auth app scope=promotions:write;
            add_header  X-Token $zapier_token_status;
            proxy_pass  http://sandbox;
        }

        location /same/ {
            zapier_auth app "scope=promotions:write promotions:write";
            proxy_pass  http://sandbox/;
        }

        location /other/ {
            zapier_auth  app "scope=zap profile";
            zapier_scope promotions:write;
            proxy_pass   http://sandbox/;
        }

        location /all/ {
            zapier_auth  app;
            proxy_pass   http://sandbox/;
        }

        location /retried/ {
            zapier_auth  app scope=promotions:write;
            zapier_retry 401;
            proxy_pass   http://sandbox/;
        }

        location /user/ {
            proxy_pass   http://sandbox/;
        }

        location /admin/ {
            zapier_tenant off;
            zapier_admin;
        }
END
);

my $node = node(%conf);

sub del {
    my ($path, %more) = @_;

    return client($more{node} // $node)->request(
        DELETE => "$path/v2/promotions/1", {'X-Tenant' => 'acme'});
}

sub mints { grep { $_->{grant} eq 'client_credentials' } $sandbox->token_calls }

sub code { $_[0]->{body} =~ /"code":"(\w+)"/ ? $1 : $_[0]->{body} }

sub records { sort grep { /\*/ } $redis->cmd(KEYS => 'zapier:token:*') }

# One token for all callers of all workers and nodes

my $other = node(%conf);
my @http  = map { client($_ % 2 ? $node : $other) } 1 .. 60;

$_->send("DELETE /v2/promotions/1 HTTP/1.1\r\nHost: x\r\n"
         . "X-Tenant: acme\r\n\r\n") for @http;

my %status;
$status{$_->read->{status}}++ for @http;

is_deeply \%status, {204 => 60}, 'calls with a token of the app';
is scalar(() = mints()), 1, 'which was made once';
is scalar(() = records()), 1, 'and is in Redis';

my ($key) = records();

like $key, qr/^zapier:token:\{\*app:[0-9a-f]{16}\}$/, 'under a name of its own';

my %record = $redis->cmd(HGETALL => $key);

is $record{scope}, 'promotions:write', 'with the scope asked for';
ok !exists $record{refresh_token}, 'it has no refresh token';
cmp_ok $record{expires_at}, '>', time + 60, 'but an end';

# news of the other node's write may make one look again
ok((soon { (del('')->{headers}{'x-token'} // '') eq 'HIT' }),
   'it is kept at hand');
is del('/same')->{status}, 204, 'the same scope';
is scalar(() = mints()), 1, 'is the same token';

# Scopes

is del('/other')->{status}, 403, 'another scope is another token';
is code(del('/other')), 'scope_missing', 'and checked';
is scalar(() = records()), 2, 'with a record of its own';
del('/all');
is scalar(() = records()), 3, 'so has one without a scope';

# A tenant's token is not touched

is code(client($node)->request(GET => '/user/v2/actions?app=x',
                               {'X-Tenant' => 'acme'})), 'token_missing',
    'users have tokens of their own';
is code(client($node)->request(GET => '/user/v2/actions?app=x',
                               {'X-Tenant' => $key =~ /\{(.*)\}/})),
    'tenant_invalid', 'and no caller can ask for that of the app';

# Made anew

$redis->cmd(HSET => $key, expires_at => int(time) + 5);
ok((soon { del('')->{status} == 204 && mints() == 4 }),
   'in time before it expires');
is del('')->{status}, 204, 'and the new one serves';

$redis->cmd(HSET => $key, expires_at => int(time) - 5);
ok((soon { mints() == 5 || !del('') }), 'or when it has');
is del('')->{status}, 204, 'then callers wait';

$redis->cmd(DEL => $key);
sleep 1;
is del('')->{status}, 204, 'or when it has gone';

my $token  = $redis->cmd(HGET => $key, 'access_token');

$sandbox->expire(token => $token);
sleep 0.1;

my $fresh = node(%conf);

is del('/retried', node => $fresh)->{status}, 204,
    'or when the upstream refuses it';
isnt $redis->cmd(HGET => $key, 'access_token'), $token, 'the record has it';

# The endpoint is away, or does not want us

$redis->cmd(DEL => $key);
$sandbox->fault({status => 503, headers => {'Retry-After' => 5}});
sleep 1;

my $r = del('');

is $r->{status}, 503, 'none to be had for now';
is code($r), 'store_unavailable', 'is not the tenant\'s fault';
cmp_ok $r->{headers}{'retry-after'}, '>=', 4, 'and may pass';
is del('', node => $other)->{status}, 503, 'no node asks meanwhile';
like $node->log, qr/the app token "\*app:\w+" was not got for now/,
    'it is in the log';

# Operators see it

my $admin = client($node);

$r = $admin->request(GET => '/admin/tokens');
like $r->{body}, qr/"\*app:[0-9a-f]{16}"/, 'app tokens are listed';

my ($name) = (records())[0] =~ /\{(.*)\}/;

is $admin->request(GET => "/admin/tokens/$name")->{status}, 200, 'shown';
$r = $admin->request(PUT => "/admin/tokens/$name", {},
                     '{"access_token":"x"}');
is $r->{status}, 400, 'but not put';
$sandbox->clear_faults;
$r = $admin->request(DELETE => "/admin/tokens/$name");
is $r->{status}, 204, 'and deleted';

unlike $node->log . $other->log, qr/\Q$token\E/, 'no token in the log';
is_deeply [$node->complaints, $other->complaints], [], 'nothing grave there';

done_testing;
