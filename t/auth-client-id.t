# zapier_auth client_id: calls that need no user. The client's id is put into
# the query, no token is looked up or sent.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();

$sandbox->oauth(strict => 1, clients => {'sandbox&client' => {}});

my $node = node(
    redis => $redis, sandbox => $sandbox,
    http => 'zapier_oauth_client "sandbox&client";',
    server => <<'END',
        zapier_tenant $http_x_tenant;
        zapier_auth   client_id;
        include       $params;

        location / {
            add_header  X-Token $zapier_token_status;
            proxy_pass  http://sandbox;
        }

        location /uri/ {
            proxy_pass  http://sandbox/v2/;
        }

        location /set/ {
            set         $asked $request_uri;
            rewrite     ^/set(/.*) $1 break;
            proxy_ssl_verify off;
            proxy_pass  http://sandbox$uri$is_args$args;
        }

        location /user/ {
            zapier_auth user;
            proxy_pass  http://sandbox/;
        }

        location /redirected/ {
            proxy_intercept_errors on;
            error_page  404 = @user;
            proxy_pass  http://sandbox/nowhere/;
        }

        location @user {
            zapier_auth user;
            proxy_pass  http://sandbox;
        }
END
);

sub get {
    my ($target, %headers) = @_;

    $sandbox->forget;
    return client($node)->request(GET => $target,
                                  {'X-Tenant' => 'acme', %headers});
}

sub target { ($sandbox->requests)[-1]{target} }

my $id = 'client_id=sandbox%26client';

my $r = get('/v1/apps');

is $r->{status}, 200, 'a call without a user';
is target(), "/v1/apps?$id", 'with the client\'s id';
is $r->{headers}{'x-token'}, 'NONE', 'and no token';
ok !exists +($sandbox->requests)[-1]{headers}{Authorization}, 'none is sent';

my @case = (
    ['/v1/apps?'                    => "/v1/apps?$id"],
    ['/v1/apps?a=b'                 => "/v1/apps?a=b&$id"],
    ['/v1/apps?a=b&'                => qr{^/v1/apps\?a=b&&?\Q$id\E$}],
    ['/v1/apps?client_id=mine'      => "/v1/apps?$id"],
    ['/v1/apps?client%5fid=x&c=d'   => "/v1/apps?c=d&$id"],
    ['/v1/apps?a=b&client_id=mine'  => "/v1/apps?a=b&$id"],
    ['/v1/apps?q=%26client_id=mine' => "/v1/apps?q=%26client_id=mine&$id"],
    ['/uri/actions?app=x'           => "/v2/actions?app=x&$id"],
    ['/uri/actions'                 => "/v2/actions?$id"],
    ['/set/v1/apps?a=b'             => "/v1/apps?a=b&$id"],
);

for (@case) {
    my ($asked, $want) = @$_;

    get($asked);
    ref $want ? like target(), $want, $asked : is target(), $want, $asked;
}

is get('/v1/apps', Authorization => 'Bearer mine')->{status}, 200,
    'a caller\'s Authorization';
ok !exists +($sandbox->requests)[-1]{headers}{Authorization}, 'goes nowhere';

# The tenant counts all the same

is client($node)->request(GET => '/v1/apps')->{status}, 401,
    'a tenant is needed';

# Other locations are not concerned

token($redis, 'acme', $sandbox->token_record('acme'));

is get('/user/v1/profiles/me')->{status}, 200, 'with a user\'s token';
is target(), '/v1/profiles/me', 'no id is sent';

$sandbox->script({path => 'nowhere', status => 404});
get('/redirected/x?a=b');
is target(), '/redirected/x?a=b', 'nor after a redirect';
ok +($sandbox->requests)[-1]{headers}{Authorization}, 'but the token';

is_deeply [$node->complaints], [], 'nothing grave in the log';

done_testing;
