# The rewritten body on its way: kept in memory or on disk (APISIX #1863: a
# body in a file blocks), sent again to the next server, over each way of
# transfer.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();
my $port    = free_port();
my $h2      = free_port();
my $node    = node(redis => $redis, sandbox => $sandbox,
                   http => <<END, server => <<"SERVER");
    server {
        listen 127.0.0.1:$port;
        client_max_body_size 8m;
        location / {
            proxy_pass http://sandbox;
            proxy_set_header X-Sandbox '{"status":500}';
        }
    }
    upstream retry {
        server 127.0.0.1:$port max_fails=0;
        server 127.0.0.1:@{[$sandbox->port]} backup;
    }
END
    listen 127.0.0.1:$h2 http2;
    zapier_tenant \$http_x_tenant;
    zapier_body action_run max=4m;
    client_max_body_size 8m;
    proxy_next_upstream error timeout http_500 non_idempotent;
    include \$params;

    location /plain { proxy_pass http://sandbox/v2/action-runs; }
    location /retry { proxy_pass http://retry/v2/action-runs; }
    location /disk {
        client_body_buffer_size 1k;
        proxy_pass http://retry/v2/action-runs;
    }
    location /file {
        client_body_in_file_only on;
        proxy_pass http://retry/v2/action-runs;
    }
    location /stream {
        proxy_request_buffering off;
        proxy_pass http://sandbox/v2/action-runs;
    }
    location /mirrored {
        mirror /copy;
        proxy_pass http://sandbox/v2/action-runs;
    }
    location = /copy {
        internal;
        zapier_tenant off;
        proxy_pass http://127.0.0.1:$port/copy;
    }
SERVER

token($redis, 'acme');

# what is sent, and what must arrive: every kind of insertion

sub shapes {
    my ($n) = @_;
    my $text = 'x' x $n;

    return (
        [qq({"data":{"action":"a","authentication":null,"inputs":{"t":"$text"}}}),
         qq({"data":{"action":"a","authentication":null,"inputs":{"t":"$text"}}}),
         'complete'],
        [qq({"action":"a","inputs":{"t":"$text"}}),
         qq({"data":{"action":"a","inputs":{"t":"$text"},"authentication":null}}),
         'bare'],
        [qq({"input":{"t":"$text"},"action":"a"}),
         qq({"data":{"inputs":{"t":"$text"},"action":"a","authentication":null}}),
         'input first'],
        [qq({"data":{"action":"a","inp\\u0075t":{"t":"$text"}}}),
         qq({"data":{"action":"a","inp\\u0075ts":{"t":"$text"},"authentication":null}}),
         'input in an envelope'],
    );
}

sub arrived {
    my @seen = $sandbox->requests;

    return @seen ? $seen[-1]{body} : '';
}

for my $n (10, 3000, 60000) {
    for my $case (shapes($n)) {
        my ($body, $want, $shape) = @$case;

        for my $path (qw(/plain /retry /disk /file /stream /mirrored)) {
            $sandbox->forget;

            my $answer = client($node)->request(
                POST => $path, {'X-Tenant' => 'acme'}, $body);
            my $name = "$path, $shape, $n bytes";

            is $answer->{status}, 200, $name;
            ok arrived() eq $want, "$name: to the byte";
        }

        # chunked, in pieces that cut everywhere

        $sandbox->forget;

        my $http = client($node);
        my $size = $n > 1000 ? 4093 : 7;
        my $text = "POST /retry HTTP/1.1\r\nHost: a\r\nX-Tenant: acme\r\n"
                 . "Transfer-Encoding: chunked\r\n\r\n";

        $text .= sprintf("%x\r\n%s\r\n", length $_, $_)
            for $body =~ /.{1,$size}/gs;

        $text .= "0\r\n\r\n";
        $http->send($_) for $text =~ /.{1,1000}/gs;
        is $http->read->{status}, 200, "chunked, $shape, $n bytes";
        ok arrived() eq $want, "chunked, $shape, $n bytes: to the byte";

        # HTTP/2, with a length and without

        open my $file, '>', $node->dir . '/body' or die $!;
        print $file $body;
        close $file;

        for my $how ('--data-binary @' . $node->dir . '/body',
                     '-X POST -T - < ' . $node->dir . '/body')
        {
            $sandbox->forget;

            my $status = `curl -s -m 10 --http2-prior-knowledge -o /dev/null \\
                -w '%{http_version} %{http_code}' -H 'X-Tenant: acme' \\
                -H 'Content-Type: application/json' -H 'Expect:' \\
                http://127.0.0.1:$h2/retry $how`;

            is $status, '2 200', "HTTP/2, $shape, $n bytes";
            ok arrived() eq $want, "HTTP/2, $shape, $n bytes: to the byte";
        }
    }
}

# byte by byte, after Expect

my ($body, $want) = @{(shapes(20))[2]};
my $http = client($node);

$sandbox->forget;
$http->send("POST /plain HTTP/1.1\r\nHost: a\r\nX-Tenant: acme\r\n"
            . "Expect: 100-continue\r\nContent-Length: " . length($body)
            . "\r\n\r\n");
$http->{until} = time + 10;
$http->fill;
like $http->{buffer}, qr/^HTTP\/1\.1 100 /, '100 Continue';

for my $byte (split //, $body) {
    $http->send($byte);
    select undef, undef, undef, 0.001;
}

is $http->read->{status}, 200, 'byte by byte';
is arrived(), $want, 'byte by byte: to the byte';

# refused before the body is asked for

$http = client($node);
$http->send("POST /plain HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
            . "Content-Length: 100\r\n\r\n");
is $http->read->{status}, 401, 'no 100 Continue for what is refused';

# pipelined

$http = client($node);
$sandbox->forget;
$http->send(join '', map {
    my $text = qq({"action":"p$_","inputs":{}});

    "POST /plain HTTP/1.1\r\nHost: a\r\nX-Tenant: acme\r\n"
    . 'Content-Length: ' . length($text) . "\r\n\r\n$text";
} 1 .. 5);
is $http->read->{status}, 200, "pipelined $_" for 1 .. 5;
is_deeply [map { $_->{body} =~ /"(p\d)"/ } $sandbox->requests],
          [qw(p1 p2 p3 p4 p5)], 'in their order';

ok $node->stop, 'nginx stops';
is_deeply [$node->complaints], [], 'nothing grave in the log';

done_testing();
