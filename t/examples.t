# The shipped configurations, with nothing changed in them but addresses and
# file names: TLS verification, links, redirects; and the quickstart.

use strict;
use warnings;

use lib 't/lib';
use File::Temp qw(tempdir);
use Test::More;

use ZapierNode;


my $dir     = tempdir(CLEANUP => 1);
my $redis   = redis();
my $sandbox = sandbox();
my $acme    = {'X-Tenant' => 'acme'};

chmod 0755, $dir;
token($redis, 'acme', scope => 'zap action:run');


sub openssl {
    system("openssl @_ > $dir/openssl.log 2>&1") == 0
        or die 'openssl: ', Zapier::Process::slurp("$dir/openssl.log");
}


sub certificate {
    my ($name) = @_;

    openssl("req -newkey rsa:2048 -nodes -keyout $dir/$name.key",
            "-out $dir/$name.csr -subj /CN=$name");
    open my $ext, '>', "$dir/$name.ext" or die $!;
    print $ext "subjectAltName=DNS:$name\n";
    close $ext;
    openssl("x509 -req -in $dir/$name.csr -CA $dir/ca.crt -CAkey $dir/ca.key",
            "-CAcreateserial -days 2 -extfile $dir/$name.ext",
            "-out $dir/$name.crt");
}


# what stands for api.zapier.com: the sandbox behind TLS

sub upstream {
    my ($name) = @_;

    return Zapier::Nginx->new(
        port => free_port(), sandbox => $sandbox,
        http => 'ssl_certificate ' . "$dir/$name.crt; "
              . "ssl_certificate_key $dir/$name.key;",
        server => 'location / { proxy_pass http://sandbox; '
                . 'proxy_set_header Host $host; '
                . 'proxy_set_header X-SNI $ssl_server_name; '
                . 'proxy_ignore_headers X-Accel-Redirect; '
                . 'proxy_pass_header X-Accel-Redirect; }',
    );
}


sub example {
    my ($name, %replace) = @_;
    my $text = Zapier::Process::slurp("docs/examples/$name");

    $text =~ s/^load_module.*;/Zapier::Nginx::load_module()/me;
    $text =~ s/^user .*;/$> == 0 ? 'user root;' : ''/me;
    $text =~ s{include\s+zapier_params;}{'include ' . Zapier::Nginx::params()
                                         . ';'}gex;
    $text =~ s/^worker_processes.*;/worker_processes 1;/m;
    $text = "daemon off;\n$text" if $text !~ /^daemon off;/m;

    while (my ($from, $to) = each %replace) {
        $text =~ s/\Q$from\E/$to/g or die "$name has no $from";
    }

    return $text;
}


openssl("req -x509 -newkey rsa:2048 -nodes -keyout $dir/ca.key",
        "-out $dir/ca.crt -days 2 -subj /CN=test");

my ($port, $listen, $tls) = (free_port(), free_port(), free_port());
my $paths = join ' ', "access_log $dir/access.log;",
    map { "${_}_temp_path $dir/$_;" } qw(client_body proxy fastcgi uwsgi scgi);

sub gateway {
    my ($tls) = @_;

    return Zapier::Nginx->new(port => $port, config => example(
        'api.zapier.com.conf',
        '127.0.0.1:8080' => "127.0.0.1:$port",
        'redis://127.0.0.1:6379' => 'unix:' . $redis->socket,
        '/etc/ssl/certs/ca-certificates.crt' => "$dir/ca.crt",
        'server              api.zapier.com:443' =>
            "server 127.0.0.1:$tls",
        '/run/nginx.pid' => "$dir/nginx.pid",
        '/var/log/nginx/error.log' => "$dir/error.log",
        'server_tokens  off;' => "server_tokens off; $paths",
        '/var/log/nginx/zapier.log' => "$dir/zapier.log",
    ));
}


for my $name ('api.zapier.com', 'api.example.com') {
    my $good = $name eq 'api.zapier.com';

    certificate($name);

    my $upstream = upstream($name);
    $upstream->{server} = "listen 127.0.0.1:$tls ssl; $upstream->{server}";
    $upstream->start;
    my $gateway = gateway($tls)->start;
    my $http    = client($gateway);

    $sandbox->clear;

    my $r = $http->request(POST => '/v2/action-runs', $acme,
                           '{"action":"core:a","inputs":{}}');
    my ($seen) = $sandbox->requests;

    if (!$good) {
        is $r->{status}, 502, 'a certificate of another name is refused';
        is $seen, undef, 'and nothing is sent';
        last;
    }

    is $r->{status}, 200, 'a verified upstream';
    is $seen->{headers}{Authorization}[0], 'Bearer sandbox-acme', 'the token';
    is $seen->{headers}{Host}[0], 'api.zapier.com', 'the host';
    is $seen->{headers}{'X-SNI'}[0], 'api.zapier.com', 'the server name';

    $r = $http->request(GET => '/v2/actions?app=x', {
        %$acme, Cookie => 'a=b', Authorization => 'Bearer sandbox-caller',
        'Accept-Encoding' => 'gzip', Host => 'gateway:99'});
    like $r->{body}, qr{"next":"http://gateway:99/v2/actions\?},
        'links name the gateway';
    unlike $r->{body}, qr/api\.zapier\.com/, 'and not the upstream';
    ($seen) = ($sandbox->requests)[-1];
    is $seen->{headers}{Authorization}[0], 'Bearer sandbox-acme',
        'the token, not that of the caller';
    ok !$seen->{headers}{Cookie}, 'no cookie';

    for my $status (301, 302, 303, 307, 308) {
        $sandbox->script({status => $status,
                          headers => {Location => 'https://evil.test/'}});
        $r = $http->request(POST => '/v2/action-runs', $acme,
                            '{"action":"core:a","inputs":{}}');
        is $r->{status}, 502, "$status: 502";
        like $r->{body}, qr/^\{"errors":\[\{"status":502,/, "$status: errors";
        is $r->{headers}{'content-type'}, 'application/json',
            "$status: the type";
        is $r->{headers}{location}, undef, "$status: no Location";
    }

    $sandbox->script({status => 403, body => '{"errors":[{"a":1}]}'});
    $r = $http->request(GET => '/v1/profiles/me', $acme);
    is "$r->{status} $r->{body}", '403 {"errors":[{"a":1}]}',
        'other errors pass as they are';

    $sandbox->script({status => 200, headers => {
        'X-Accel-Redirect' => '/v2/authorize'}});
    $r = $http->request(GET => '/v2/actions', $acme);
    is $r->{status}, 200, 'the upstream does not redirect inside';

    my $log = Zapier::Process::slurp("$dir/zapier.log");
    like $log, qr/"tenant":"acme"/, 'the decision is logged';
    unlike $log . Zapier::Process::slurp("$dir/error.log"), qr/sandbox-acme/,
        'the token is not';
    ok $gateway->stop, 'it stops';
}

# tokens.conf: a token is refreshed, the app's own made, a browser sent away

{
    my ($browser, $app) = (free_port(), free_port());

    for (['secret', "sandbox-secret\n"],
         ['keys', 'k1 ' . `openssl rand -base64 32`]) {
        my ($name, $text) = @$_;

        open my $file, '>', "$dir/zapier.$name" or die $!;
        print $file $text;
        close $file;
        chmod 0600, "$dir/zapier.$name";
    }

    certificate($_) for qw(api.zapier.com zapier.com);

    my ($api, $login) = map { upstream($_) } qw(api.zapier.com zapier.com);
    my $tls2 = free_port();

    $api->{server} = "listen 127.0.0.1:$tls ssl; $api->{server}";
    $login->{server} = "listen 127.0.0.1:$tls2 ssl; $login->{server}";
    $_->start for $api, $login;

    my $session = Zapier::Nginx->new(
        port => $app, config => "daemon off;\nevents { }\n"
        . "error_log $dir/app.log;\npid $dir/app.pid;\nhttp { $paths\n"
        . "server { listen 127.0.0.1:$app; location / {"
        . 'add_header X-Team acme always; return 204; } } }')->start;

    $sandbox->oauth(strict => 1,
                    clients => {'my-client-id' => {secret => 'sandbox-secret'}});
    token($redis, 'acme',
          $sandbox->token_record('acme', client => 'my-client-id'),
          expires_at => int(time) - 5);

    my $gateway = Zapier::Nginx->new(port => $port, config => example(
        'tokens.conf',
        '127.0.0.1:8080' => "127.0.0.1:$port",
        '127.0.0.1:8081' => "127.0.0.1:$browser",
        '127.0.0.1:3000' => "127.0.0.1:$app",
        'redis://127.0.0.1:6379' => 'unix:' . $redis->socket,
        '/etc/ssl/certs/ca-certificates.crt' => "$dir/ca.crt",
        '/etc/nginx/zapier' => "$dir/zapier",
        'server              api.zapier.com:443' => "server 127.0.0.1:$tls",
        'server  zapier.com:443' => "server 127.0.0.1:$tls2",
        '/run/nginx.pid' => "$dir/nginx.pid",
        '/var/log/nginx/error.log' => "$dir/error.log",
        'server_tokens  off;' => "server_tokens off; access_log off; $paths",
    ))->start;

    my $http = client($gateway);
    my $r = $http->request(POST => '/v2/action-runs', $acme,
                           '{"action":"core:a","inputs":{}}');

    is $r->{status}, 200, 'an expired token is refreshed' or diag $r->{body};
    like $redis->cmd(HGET => 'zapier:token:{acme}', 'refresh_token'),
        qr/^enc:v1:/, 'and written encrypted';
    is $http->request(GET => '/v1/apps', $acme)->{status}, 200,
        'the client\'s id is enough for some calls';
    is $http->request(DELETE => '/v2/promotions/1', $acme)->{status}, 204,
        'others need a token of the app';
    like $http->request(GET => '/zapier-admin/tokens')->{body},
        qr/"tenant":"acme"/, 'operators see them';

    $r = client($browser)->request(GET => '/zapier/connect');
    is $r->{status}, 302, 'a browser is sent away';
    like $r->{headers}{location},
        qr{^https://api\.zapier\.com/v2/authorize\?.*client_id=my-client-id},
        'to consent';

    ok $gateway->stop, 'it stops';
    $_->stop for $session, $api, $login;
}

# the quickstart

SKIP: {
    skip 'the quickstart uses the system\'s nginx', 3
        if $ENV{TEST_NGINX_BINARY};

    my $first = free_port();
    free_port() for 1 .. 2;

    my $output = `PORT=$first ./quickstart --once < /dev/null 2>&1`;
    is $?, 0, 'quickstart --once' or diag $output;
    my ($id) = $output =~ /^== the run is ([0-9a-f-]{36})$/m;
    ok $id && $output =~ /"id":"\Q$id\E"/, 'shows the run id';
    unlike $output, qr/sandbox-demo\.\.\.|Bearer sandbox-demo/,
        'and no whole token';
}

done_testing;
