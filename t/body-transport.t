# However a body comes in, wherever nginx keeps it and however often it is
# sent: each upstream gets all of it, once.

use strict;
use warnings;

use lib 't/lib';
use Test::More;

use ZapierNode;


my $redis   = redis();
my $sandbox = sandbox();
my $h2      = free_port();
my $small   = '{"input":{"s":"\u0000","n":1e400},"action":"core:a"}';
my $large   = '{"action":"core:a","input":{"s":"' . 'x' x 6_000
            . '","a":[1,[],{}]}}';

my %kept = (
    memory   => 'client_body_buffer_size 1m;',
    single   => 'client_body_buffer_size 1k; client_body_in_single_buffer on;',
    spilled  => 'client_body_buffer_size 1k;',
    file     => 'client_body_in_file_only clean;',
    unbuffered => 'client_body_buffer_size 1k; proxy_request_buffering off;',
);

token($redis, 'acme');

my $node = node(
    redis => $redis, sandbox => $sandbox,
    http  => upstreams(), server => join "\n",
    "listen 127.0.0.1:$h2 http2;", locations(),
);


sub upstreams {
    my $port = $sandbox->port;

    return <<"END";
        upstream twice {
            server 127.0.0.1:$port max_fails=0;
            server 127.0.0.1:$port max_fails=0;
            keepalive 8;
        }

        upstream refused {
            server 127.0.0.1:1 max_fails=0;
            server 127.0.0.1:$port backup;
        }
END
}


sub locations {
    my $run = 'zapier_tenant $http_x_tenant; zapier_body action_run;'
            . ' include $params;';
    my $again = 'proxy_next_upstream error timeout http_500 non_idempotent;';
    my $to    = 'rewrite ^ /v2/action-runs break; proxy_pass';

    return (map {
        "location = /$_ { $kept{$_} $run $again
             proxy_pass http://twice/v2/action-runs; }
         location = /$_-refused { $kept{$_} $run $again
             proxy_pass http://refused/v2/action-runs; }
         location = /$_-mirror { $kept{$_} mirror /mirror; $run
             proxy_pass http://twice/v2/action-runs; }
         location = /$_-bare { $kept{$_} $run zapier_action core:z;
             zapier_authentication auth1; $again
             proxy_pass http://twice/v2/action-runs; }

         location = /$_-before { $kept{$_} proxy_intercept_errors on;
             error_page 503 = \@run; proxy_pass http://twice/first; }
         location = /$_-after { $kept{$_} $run proxy_intercept_errors on;
             error_page 503 = \@run; proxy_pass http://twice/v2/action-runs; }
        "
    } sort keys %kept), <<"END";
        location = /mirror {
            internal;
            proxy_pass http://sandbox/mirror;
        }

        location \@run { $run $to http://twice; }

        location / {
            zapier_tenant \$http_x_tenant;
            include \$params;
            proxy_pass http://sandbox;
        }
END
}


# What the upstream must get for a body without envelope and authentication.

sub rewritten {
    my ($body) = @_;

    $body =~ s/"input"/"inputs"/;
    $body =~ s/\}\z/,"authentication":null}/;

    return qq({"data":$body});
}


sub check {
    my ($name, $status, $answer, $count, $body) = @_;
    my @seen = $sandbox->requests(wait => $count);
    my @faults;

    push @faults, "status $answer->{status} for $status"
        if $answer->{status} != $status;
    push @faults, @seen . " calls for $count" if @seen != $count;

    for my $seen (@seen) {
        my $headers = $seen->{headers};

        push @faults, 'other bytes: ' . substr $seen->{body}, 0, 80
            if $seen->{body} ne $body;
        push @faults, "Content-Length: @{$headers->{'Content-Length'} // []}"
            if "@{$headers->{'Content-Length'} // []}" ne length $body;
        push @faults, 'Transfer-Encoding' if $headers->{'Transfer-Encoding'};
        push @faults, 'Expect' if $headers->{Expect};
        push @faults, "Content-Type: @{$headers->{'Content-Type'} // []}"
            if "@{$headers->{'Content-Type'} // []}" ne 'application/json';
        push @faults, $seen->{complaint} if $seen->{complaint};
        push @faults, 'no token' if !$seen->{authorized};
    }

    is "@faults", '', $name;
    $sandbox->clear;
}


sub chunks {
    my ($body, $size) = @_;
    my $text = '';

    while (length $body) {
        my $part = substr $body, 0, $size, '';
        $text .= sprintf "%x;name=value\r\n%s\r\n", length $part, $part;
    }

    return "${text}0\r\n\r\n";
}


sub head {
    my ($path, @lines) = @_;

    return join "\r\n", "POST $path HTTP/1.1", 'Host: localhost',
                        'X-Tenant: acme', @lines, '', '';
}


sub curl {
    my ($path, $body, @options) = @_;

    open my $file, '>', $node->dir . '/curl.body' or die $!;
    print $file $body;
    close $file;

    my $file_name = $node->dir . '/curl.body';
    my $status = `curl -s -o /dev/null -w '%{http_version} %{http_code}' \\
        --http2-prior-knowledge -m 20 -X POST -H 'X-Tenant: acme' \\
        -H 'Content-Type: application/json' -H 'Expect:' @options \\
        http://127.0.0.1:$h2$path < $file_name`;

    return {status => $status =~ /^2 (\d+)$/ ? $1 : "curl: $status"};
}


# The ways a body may come in.

my %sent = (
    'with a length' => sub {
        my ($path, $body) = @_;

        return client($node)->request(POST => $path, {'X-Tenant' => 'acme'},
                                      $body);
    },

    'head and body apart' => sub {
        my ($path, $body) = @_;
        my $client = client($node);

        $client->send(head($path, 'Content-Length: ' . length $body));
        select undef, undef, undef, 0.01;
        $client->send(substr $body, 0, 10);
        select undef, undef, undef, 0.01;
        $client->send(substr $body, 10);
        return $client->read;
    },

    'in chunks' => sub {
        my ($path, $body) = @_;
        my $client = client($node);

        $client->send(head($path, 'Transfer-Encoding: chunked')
                      . chunks($body, 1000));
        return $client->read;
    },

    'in chunks of one byte' => sub {
        my ($path, $body) = @_;
        my $client = client($node);

        $client->send(head($path, 'Transfer-Encoding: chunked')
                      . chunks($body, 1));
        return $client->read;
    },

    'by HTTP/2 with a length' => sub {
        my ($path, $body) = @_;

        return curl($path, $body, '-H Content-Length:' . length $body,
                    '-T -');
    },

    'by HTTP/2 without a length' => sub { curl(@_, '-T -') },

    'after 100 Continue' => sub {
        my ($path, $body) = @_;
        my $client = client($node);

        $client->send(head($path, 'Expect: 100-continue',
                           'Content-Length: ' . length $body));

        my $interim = eval {
            $client->{until} = time + 10;
            $client->head;
        } // {status => "no interim answer: $@"};

        return $interim if $interim->{status} != 100;

        $client->send($body);
        return $client->read;
    },
);


for my $kept (sort keys %kept) {
    for my $sent (sort keys %sent) {
        for my $body ($small, $large) {
            my $size = length $body;

            next if $size > 1000 && $sent =~ /one byte/;

            check("$sent, kept in $kept, $size bytes", 200,
                  $sent{$sent}->("/$kept", $body), 1, rewritten($body));

            next if $sent !~ /^with a|^in chunks$|without/;

            $sandbox->script({status => 500});
            check("$sent, kept in $kept, $size bytes, sent twice", 200,
                  $sent{$sent}->("/$kept", $body), 2, rewritten($body));
            check("$sent, kept in $kept, $size bytes, refused once", 200,
                  $sent{$sent}->("/$kept-refused", $body), 1,
                  rewritten($body));
        }
    }

    for my $inputs ('{}', $large) {
        $sandbox->script({status => 500});
        check("bare inputs, kept in $kept, sent twice", 200,
              $sent{'with a length'}->("/$kept-bare", $inputs =~
                                       s/action|input/x/gr), 2,
              '{"data":{"action":"core:z","authentication":"auth1","inputs":'
              . ($inputs =~ s/action|input/x/gr) . '}}');
    }
}


# Wherever a buffer ends: within what is inserted after, before it, behind.

for my $kept (qw(spilled unbuffered)) {
    my (@bodies, @wrong);

    for my $pad (990 .. 1030) {
        my $body = '{"action":"core:a","input":{"s":"' . 'x' x ($pad - 33)
                 . '"},"callback_url":"x"}';
        my $body2 = '{"callback_url":"' . 'x' x ($pad - 40)
                  . '","action":"core:a","input":{}}';

        push @bodies, $body, $body2;
    }

    my $client = client($node);

    for my $body (@bodies) {
        my $r = $client->request(POST => "/$kept", {'X-Tenant' => 'acme'},
                                 $body);

        push @wrong, "status $r->{status} for " . length $body
            if $r->{status} != 200;
    }

    my @seen = map { $_->{body} } $sandbox->requests(wait => scalar @bodies);

    is "@wrong", '', "bodies that end near the end of a buffer, $kept";
    is_deeply \@seen, [map { rewritten($_) } @bodies],
        "... and each arrives as it must";
    $sandbox->clear;
}


# Slowly, in single bytes, with the phases run again for nothing in between.

for my $kept (qw(memory file)) {
    my $client = client($node);

    $client->send(head("/$kept", 'Content-Length: ' . length $small));
    for my $byte (split //, $small) {
        $client->send($byte);
        select undef, undef, undef, 0.002;
    }

    check("byte by byte, kept in $kept", 200, $client->read, 1,
          rewritten($small));
}


# Requests behind each other in one packet.

{
    my $client = client($node);
    my $get    = "GET /v2/actions HTTP/1.1\r\nHost: x\r\nX-Tenant: acme\r\n\r\n";
    my $post   = head('/memory', 'Content-Length: ' . length $small) . $small;
    my $wrong  = head('/file', 'Content-Length: 2') . '{}';

    $client->send($post . $get . $wrong . $post . $get);
    is join(' ', map { $client->read->{status} } 1 .. 5),
        '200 200 400 200 200', 'pipelined requests';
    is join(' ', map { "$_->{method}:" . length $_->{body} }
                 $sandbox->requests(wait => 4)),
        join(' ', ('POST:' . length rewritten($small), 'GET:0') x 2),
        '... each with its own body';
    $sandbox->clear;
}


# A body that another module has read, or that was sent before.

for my $kept (sort grep { $_ ne 'unbuffered' } keys %kept) {
    for my $body ($small, $large) {
        my $size = length $body;

        $sandbox->script({status => 503});
        my $r = $sent{'in chunks'}->("/$kept-before", $body);
        my ($first, $second) = $sandbox->requests(wait => 2);

        is $first->{body}, $body,
            "error_page from a location without the module, $kept, $size";
        is $second->{body}, rewritten($body), '... to one with it';
        ok !$first->{authorized}, '... and the token is for the second only';
        is $r->{status}, 200, '... whose answer is the answer';
        $sandbox->clear;

        $sandbox->script({status => 503});
        check("error_page from run to run, $kept, $size", 200,
              $sent{'with a length'}->("/$kept-after", $body), 2,
              rewritten($body));

        $r = $sent{'with a length'}->("/$kept-mirror", $body);
        my ($main) = grep { $_->{path} ne '/mirror' }
                          $sandbox->requests(wait => 2);
        is $main->{body}, rewritten($body), "with a mirror, $kept, $size";
        is $r->{status}, 200, '... which does not disturb';
        $sandbox->clear;
    }

    $sandbox->script({status => 503});
    my $r = $sent{'with a length'}->("/$kept-before", '{"action":"core:a"}');
    is $r->{status}, 400, "a faulty body is refused there, too, $kept";
    like $r->{body}, qr/"pointer":"\/inputs"/, '... with its faults';
    is scalar $sandbox->requests, 1, '... and not sent';
    $sandbox->clear;
}


# Refused before the body: the rest of it is not taken for a request.

{
    my $client = client($node);

    $client->send(head('/memory', 'Content-Type: text/plain',
                       'Content-Length: ' . length $large)
                  . substr $large, 0, 100);
    is $client->read->{status}, 415, 'refused while the body comes in';
    $client->send(substr($large, 100)
                  . head('/memory', 'Content-Length: ' . length $small)
                  . $small);
    check('... and the connection goes on after it', 200, $client->read, 1,
          rewritten($small));
}

{
    my $client = client($node);

    $client->send(head('/memory', 'Expect: 100-continue',
                       'Content-Type: text/plain',
                       'Content-Length: ' . length $large));
    is $client->read->{status}, 415, 'refused without asking for the body';
}


# Faults that show while the rest is still to come.

{
    my $client = client($node);

    $client->send(head('/spilled', 'Transfer-Encoding: chunked')
                  . chunks('{"action":!' . 'x' x 20_000, 5000)
                  . head('/spilled', 'Content-Length: ' . length $small)
                  . $small);

    my $r = $client->read;
    is $r->{status}, 400, 'no JSON, and much of it';
    like $r->{body}, qr/"offset":10\b/, '... told where';
    check('... and the connection goes on', 200, $client->read, 1,
          rewritten($small));
}


# A client that goes away in the middle of its body.

for my $kept (sort keys %kept) {
    my $client = client($node);

    $client->send(head("/$kept", 'Content-Length: ' . length $large)
                  . substr $large, 0, 4_000);
    select undef, undef, undef, 0.02;
    $client->close;
    check("after a client has gone, kept in $kept", 200,
          $sent{'with a length'}->("/$kept", $small), 1, rewritten($small));
}


my $files = $node->dir . '/client_body';

is join(' ', grep { -f } glob "$files/*"), '', 'no file is left';

$node->stop;
is join("\n", $node->complaints), '', 'nothing to complain of';

done_testing();
