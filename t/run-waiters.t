# Many who wait: a callback wakes those of its run, at once and nobody else,
# and what is known of the call that each of them has made is still there for
# the log.

use strict;
use warnings;

use lib 't/lib';
use IO::Select;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();
my $port    = free_port();
my $secret  = "$redis->{dir}/callback.secret";
my $log     = "$redis->{dir}/calls.log";

open my $file, '>', $secret or die "$secret: $!";
print $file "sandbox-callback-secret\n";
close $file;
chmod 0600, $secret;

my $http = <<"END";
    zapier_callback_secret $secret;
    zapier_callback_keys   /keys;

    map \$http_x_tenant \$mapped { ~^(?<name>.+)\$ "tenant-\$name"; }

    log_format calls escape=none '\$status|\$upstream_status|\$upstream_addr|'
        '\$upstream_http_content_type|\$upstream_response_length|\$mapped|'
        '\$request_id|\$request_body';
END

my $server = <<'END';
        set              $upstream 127.0.0.1:SANDBOX;
        proxy_set_header X-Mapped $mapped;
        proxy_set_header X-Request-ID $request_id;
        proxy_set_header Authorization $zapier_authorization;
        proxy_set_header Host api.zapier.com;

        location /v2/action-runs {
            zapier_tenant   $http_x_tenant;
            zapier_body     action_run;
            zapier_wait     20s interval=100ms;
            zapier_callback http://127.0.0.1:PORT/callback;
            access_log      LOG calls;
            proxy_pass      http://$upstream;
        }

        location /polled/action-runs {
            zapier_tenant   $http_x_tenant;
            zapier_body     action_run;
            zapier_wait     20s interval=100ms;
            zapier_callback http://127.0.0.1:PORT/callback poll=100ms;
            proxy_pass      http://sandbox/v2/action-runs;
        }

        location /callback/ { zapier_callback receive; }

        location = /keys {
            internal;
            proxy_pass http://sandbox/.well-known/jwks.json;
        }
END

my $upstream = $sandbox->port;

$server =~ s/PORT/$port/g;
$server =~ s/SANDBOX/$upstream/;
$server =~ s/LOG/$log/;

my $node = node(redis => $redis, sandbox => $sandbox, workers => 2,
                http => $http, server => $server, port => $port);

token($redis, 'acme');

# Starts runs that are not called back about by the sandbox.

sub started {
    my ($n, %how) = @_;
    my $seen = $sandbox->requests;
    my $text = $how{body} // '{"action":"core:a","inputs":{}}';
    my $path = $how{path} // '/v2/action-runs';
    my %run;

    $sandbox->config(run => {duration => 60_000, callback => {never => 1}});

    for my $i (1 .. $n) {
        my $client = client($node);

        $client->send("POST $path HTTP/1.1\r\nHost: x\r\nX-Tenant: acme\r\n"
                      . "X-Number: $i\r\nContent-Length: " . length($text)
                      . "\r\n\r\n$text");
        $run{$i} = {client => $client};
    }

    $sandbox->requests(wait => $seen + $n);

    for my $r (($sandbox->requests)[$seen .. $seen + $n - 1]) {
        my $run = $run{$r->{headers}{'X-Number'}[0]};

        @$run{qw(id seen)} = ($r->{run}, $r);
        ($run->{path}) = decode_json($r->{body})->{data}{callback_url}
            =~ m{^http://[^/]+(.*)};
    }

    return map { $run{$_} } 1 .. $n;
}

sub call_back {
    my ($run) = @_;

    return client($node)->request(
        POST => $run->{path},
        {'Zapier-Callback-Signature' => $sandbox->sign}, result($run));
}

sub result {
    my ($run) = @_;

    return qq({"data":{"id":"$run->{id}","type":"run","status":"success",)
         . qq("results":[],"errors":[]}});
}

sub answered { IO::Select->new(map { $_->{client}{socket} } @_)->can_read(0) }
sub gets { scalar grep { $_->{method} eq 'GET' } $sandbox->requests }


subtest 'one of many' => sub {
    my @runs = started(100);
    my $from = time;
    my $run = shift @runs;

    is call_back($run)->{status}, 204, 'a callback is taken';
    is $run->{client}->read->{body}, result($run), 'its caller is told';
    cmp_ok time - $from, '<', 3, 'at once';

    is call_back($_)->{status}, 204, 'another one' for @runs[0 .. 9];

    for $run (splice @runs, 0, 10) {
        is $run->{client}->read->{body}, result($run), 'is told, too';
    }

    sleep 0.3;
    is_deeply [answered(@runs)], [], 'nobody else is';
    is gets(), 0, 'and nobody is made to poll';

    $_->{client}->close for @runs;
};


subtest 'many of one' => sub {
    my ($run) = started(1);
    my @clients = map { client($node) } 1 .. 200;

    $_->send("GET /v2/action-runs/$run->{id} HTTP/1.1\r\nHost: x\r\n"
             . "X-Tenant: acme\r\nPrefer: wait=20\r\n\r\n") for @clients;

    sleep 0.5;
    is call_back($run)->{status}, 204, 'a callback is taken';

    my %bodies;

    $bodies{$_->read->{body}}++ for $run->{client}, @clients;

    is_deeply \%bodies, {result($run) => 201}, 'all are told';
};


subtest 'a poll under way is not waited for' => sub {
    $sandbox->forget;

    $sandbox->script({method => 'GET', delay => 6000, status => 200,
                      body => '{"data":{"status":"waiting"}}'});

    my ($run) = started(1, path => '/polled/action-runs');

    ok((soon { gets() == 1 }), 'a poll is under way');

    my $from = time;

    is call_back($run)->{status}, 204, 'a callback is taken';
    is $run->{client}->read->{body}, result($run), 'and told';
    cmp_ok time - $from, '<', 4, 'before the poll is answered';
};


subtest 'the log' => sub {
    my $small = '{"action":"core:a","inputs":{"n":1}}';
    my $large = '{"action":"core:a","inputs":{"text":"' . 'x' x 3000 . '"}}';

    for my $body ($small, $large) {
        my ($run) = started(1, body => $body);
        my $id = $run->{seen}{headers}{'X-Request-ID'}[0];

        is $run->{seen}{headers}{'X-Mapped'}[0], 'tenant-acme',
            'what the call was sent with';
        is call_back($run)->{status}, 204, 'a callback is taken';
        is $run->{client}->read->{status}, 200, 'the finished run';

        my $length = length qq({"data":{"id":"$run->{id}","type":"run"}});
        my $line;

        ok((soon { ($line) = grep { /\|$id\|/ } lines($log) }), 'is logged');
        like $line, qr{^200\|200\|127\.0\.0\.1:$upstream\|application/json
                       [^|]*\|$length\|tenant-acme\|$id\|}x,
            'with what is known of the call';
        is $line =~ s/^(?:[^|]*\|){7}//r, $run->{seen}{body},
            'and its body';
    }
};

sub lines { split /\n/, Zapier::Process::slurp($_[0]) }


is_deeply [$node->complaints], [], 'no complaints';
ok $node->stop, 'stopped in time';
is_deeply [$node->complaints], [], 'none in the end';

done_testing;
