# zapier_callback: the upstream tells what has come of a run, nobody polls.

use strict;
use warnings;

use lib 't/lib';
use Digest::SHA qw(hmac_sha256);
use JSON::PP;
use MIME::Base64 qw(encode_base64url);
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();
my $port    = free_port();
my $secret  = "$redis->{dir}/callback.secret";

open my $file, '>', $secret or die "$secret: $!";
print $file "sandbox-callback-secret\n";
close $file;
chmod 0600, $secret;

my $http = <<"END";
    zapier_callback_secret $secret;
    zapier_callback_keys   /keys;
END
my $server = <<'END';
        add_header X-Run $zapier_run_id always;

        location /v2/action-runs {
            zapier_tenant   $http_x_tenant;
            zapier_body     action_run;
            zapier_wait     4s interval=100ms;
            zapier_callback http://127.0.0.1:PORT/callback;
            include         $params;
            proxy_pass      http://sandbox;
        }

        location = /mail {
            zapier_tenant   $http_x_tenant;
            zapier_body     action_run;
            zapier_action   core:mail;
            zapier_wait     4s;
            zapier_callback http://127.0.0.1:PORT/callback/;
            include         $params;
            proxy_pass      http://sandbox/v2/action-runs;
        }

        location /soon/action-runs {
            zapier_tenant   $http_x_tenant;
            zapier_body     action_run;
            zapier_wait     1500ms interval=50ms;
            zapier_callback http://127.0.0.1:PORT/callback;
            include         $params;
            proxy_pass      http://sandbox/v2/action-runs;
        }

        location /callback/ { zapier_callback receive; }

        location = /keys {
            internal;
            proxy_pass http://sandbox/.well-known/jwks.json;
        }
END

$server =~ s/PORT/$port/g;

my %conf = (redis => $redis, sandbox => $sandbox, workers => 2,
            http => $http, server => $server);
my $node  = node(%conf, port => $port);
my $other = node(%conf);

token($redis, $_) for qw(acme zeta);

my $run = '{"action":"core:a","inputs":{"n":1e400}}';

sub post {
    my ($where, %headers) = @_;

    $headers{path} //= '/v2/action-runs';

    return client($where)->request(POST => delete $headers{path},
                                   {'X-Tenant' => 'acme', %headers}, $run);
}

sub started {
    my ($where, %how) = @_;
    my $client = client($where);
    my $n = $sandbox->requests;

    $sandbox->config(run => {duration => 10_000, callback => {never => 1},
                             %how});
    $client->send("POST /v2/action-runs HTTP/1.1\r\nHost: x\r\n"
                  . "X-Tenant: acme\r\nContent-Length: " . length($run)
                  . "\r\n\r\n$run");
    soon { $sandbox->requests > $n };

    my $seen = ($sandbox->requests)[-1];

    return {client => $client, id => $seen->{run},
            path => URL(decode_json($seen->{body})->{data}{callback_url})};
}

sub URL { $_[0] =~ s{^http://[^/]+}{}r }

sub result {
    my ($id, $status) = @_;

    $status //= 'success';

    return qq({"data":{"type":"run","id":"$id","status":"$status",)
         . qq("results":[{"n":1e400}],"errors":[]}});
}

sub call {
    my ($run, %args) = @_;
    my %headers = ('Content-Type' => 'application/json');
    my $token = exists $args{token} ? $args{token} : $sandbox->sign;

    $headers{'Zapier-Callback-Signature'} = $token if defined $token;

    return client($args{node} // $node)->request(
        POST => $args{path} // $run->{path}, \%headers,
        $args{body} // result($run->{id}));
}

sub gets { scalar grep { $_->{method} eq 'GET' } $sandbox->requests }
sub known { $redis->cmd(GET => "zapier:run:{acme}:$_[0]") }


subtest 'a run that is called back about costs one call' => sub {
    $sandbox->config(run => {duration => 700,
                             results => '[{"n":1e400, "x":"\u00e9"}]'});

    my $from = time;
    my $r = post($node);
    my $id = $r->{headers}{'x-run'};

    is $r->{status}, 200, 'the finished run';
    cmp_ok time - $from, '<', 3, 'in time';
    is $r->{body}, qq({"data":{"type":"run","id":"$id","status":"success",)
        . qq("results":[{"n":1e400, "x":"\\u00e9"}],"errors":[]}}),
        'to the byte';

    my @seen = $sandbox->requests;

    is scalar @seen, 1, 'nobody has polled';
    like $seen[0]{body}, qr[^\{"data":\{"action":"core:a","inputs":
        \{"n":1e400\},"authentication":null,"callback_url":
        "http://127.0.0.1:$port/callback/[\w-]+"\}\}$]x, 'what was sent';
    is client($node)->request(GET => "/v2/action-runs/$id",
                              {'X-Tenant' => 'acme'})->{body},
        $r->{body}, 'it is remembered';
    is known($id), $r->{body}, 'in Redis';
    is scalar $sandbox->requests, 1, 'still one call';
    is_deeply [$sandbox->callbacks], [204], 'the callback was taken';
};


subtest 'bare inputs' => sub {
    $sandbox->config(run => {duration => 100});
    $sandbox->forget;

    my $r = client($node)->request(POST => '/mail', {'X-Tenant' => 'acme'},
                                   '{"to":"a"}');

    is $r->{status}, 200, 'the finished run';
    is gets(), 0, 'no poll';
    like +($sandbox->requests)[0]{body}, qr[^\{"data":\{"action":"core:mail",
        "authentication":null,"inputs":\{"to":"a"\},"callback_url":
        "http://127.0.0.1:$port/callback/[\w-]+"\}\}$]x, 'what was sent';
};


subtest 'a callback_url of the caller is his' => sub {
    my $url = 'http://127.0.0.1:1/mine';

    $sandbox->config(run => {duration => 100});
    $sandbox->forget;

    my $r = client($node)->request(POST => '/v2/action-runs',
        {'X-Tenant' => 'acme'},
        qq({"action":"core:a","inputs":{},"callback_url":"$url"}));

    is $r->{status}, 200, 'the finished run';
    cmp_ok gets(), '>=', 1, 'by polls';
    is +(decode_json(($sandbox->requests)[0]{body}))->{data}{callback_url},
        $url, 'what was sent';
};


subtest 'a callback that comes before the answer' => sub {
    $sandbox->config(run => {duration => 50});
    $sandbox->forget;

    my $from = time;
    my $r = post($node, 'X-Sandbox' => '{"delay":600}');

    is $r->{status}, 200, 'the finished run';
    cmp_ok time - $from, '<', 2, 'at once';
    is gets(), 0, 'no poll';
};


subtest 'who waits on another node is told' => sub {
    $sandbox->config(run => {duration => 500});
    $sandbox->forget;

    my $from = time;
    my $r = post($other);

    is $r->{status}, 200, 'the finished run';
    cmp_ok time - $from, '<', 2, 'in time';
    is gets(), 0, 'no poll';
};


subtest 'a callback that is sent thrice' => sub {
    $sandbox->config(run => {duration => 100, callback => {times => 3}});
    $sandbox->forget;

    my $n = $sandbox->callbacks;

    is post($node)->{status}, 200, 'the finished run';
    ok((soon { $sandbox->callbacks == $n + 3 }), 'all are sent');
    is_deeply [($sandbox->callbacks)[-3 .. -1]], [204, 204, 204],
        'and taken';
};


subtest 'forged tokens' => sub {
    my $run = started($node);
    my $good = $sandbox->sign;
    my ($head, $body, $signature) = split /\./, $good;
    my $now = time;
    my $part = sub { encode_base64url(encode_json($_[0])) };
    my $none = $part->({alg => 'none'}) . ".$body.";
    my $pem = $sandbox->control(POST => '/sign', {})->{pem};
    my $hs = $part->({alg => 'HS256', kid => 'key1'}) . ".$body";

    my %forged = (
        'none at all'   => undef,
        'empty'         => '',
        'no signature'  => $none,
        'HS256 with the public key'
                        => "$hs." . encode_base64url(hmac_sha256($hs, $pem)),
        'another key'   => $sandbox->sign(key => 'other'),
        'an unknown key id' => $sandbox->sign(header => {kid => 'other'}),
        'expired'       => $sandbox->sign(claims => {iat => $now - 900,
                                                     exp => $now - 600}),
        'of the future' => $sandbox->sign(claims => {iat => $now + 900,
                                                     exp => $now + 1200}),
        'for ever'      => $sandbox->sign(claims => {exp => undef}),
        'truncated'     => substr($good, 0, -10),
        'without a part' => "$head.$body",
        'changed'       => "$head." . $part->({iat => $now, exp => $now + 60,
                                               jti => 'x'}) . ".$signature",
        'too long'      => 'x' x 5000,
    );

    for my $what (sort keys %forged) {
        my $r = call($run, token => $forged{$what});

        # whether newer keys were asked for, or it was too early for that

        if ($what eq 'an unknown key id') {
            like $r->{status}, qr/^(403|503)$/, "$what: refused";
            next;
        }

        is $r->{status}, 403, "$what: refused";
        like $r->{body}, qr/"callback_refused".*"GATEWAY"/s, 'and why';
    }

    ok !defined known($run->{id}), 'nothing is known of the run';

    is call($run, token => $good)->{status}, 204, 'the right one is taken';
    is $run->{client}->read->{body}, result($run->{id}), 'and told';
};


subtest 'a token and a URL are for one run' => sub {
    my ($a, $b) = map { started($node) } 1 .. 2;
    my $token = $sandbox->sign;

    is call($a, token => $token)->{status}, 204, 'the one';
    is call($b, token => $token)->{status}, 403, 'the token again';
    is call($a, body => result($b->{id}))->{status}, 403,
        'another run at the same URL';
    ok !defined known($b->{id}), 'nothing is known of the other one';

    my $new = result($a->{id}, 'error');

    is call($a, body => $new)->{status}, 204, 'another result';
    is known($a->{id}), result($a->{id}), 'does not count';

    is call($b, node => $other)->{status}, 204, 'any node takes it';
    is $b->{client}->read->{body}, result($b->{id}), 'and tells';
};


subtest 'strange callbacks' => sub {
    my $run = started($node);
    my $path = $run->{path};

    is client($node)->request(GET => $path)->{status}, 405, 'GET';
    is call($run, path => $_)->{status}, 403, "path $_"
        for '/callback/', '/callback/x', substr($path, 0, -1),
            $path =~ s/.$/!/r, "$path/";
    is call($run, body => $_)->{status}, 400, "body $_"
        for '', '[]', '{"data":{"status":"success"}}', result('a b'),
            substr result('x'), 0, -1;
    is call($run, body => result($run->{id}, 'running'))->{status}, 204,
        'a run that goes on';
    ok !defined known($run->{id}), 'is not finished';
    is call($run, body => ' ' x 1_047_900 . result($run->{id}))->{status},
        413, 'too much';
    is call($run, body => ' ' x 200_000 . result($run->{id}))->{status},
        204, 'much';
    is $run->{client}->read->{status}, 200, 'and told';
};


subtest 'a callback that is lost' => sub {
    $sandbox->config(run => {duration => 300, callback => {never => 1}});
    $sandbox->forget;

    is post($node, path => '/soon/action-runs')->{status}, 200,
        'the last poll finds out';
    is gets(), 1, 'there was no other';
};


subtest 'new keys' => sub {
    my $run = started($node);

    $sandbox->rotate;

    ok((soon { call($run)->{status} == 204 } 20), 'are asked for');
    is known($run->{id}), result($run->{id}), 'and the result is known';
};


subtest 'without keys' => sub {
    my $broken = node(%conf, server => $server =~ s/jwks/jokes/r);
    my $run = started($node);
    my $r = call($run, node => $broken);

    is $r->{status}, 503, 'it is to be sent again';
    like $r->{body}, qr/"keys_unavailable"/, 'and why';
    ok((soon { call($run, node => $other)->{status} == 204 } 20),
       'another node takes it');
    is known($run->{id}), result($run->{id}), 'and the result is known';
    ok $broken->stop, 'stopped';
};


subtest 'without Redis' => sub {
    my $run = started($node);

    $redis->stop('KILL');
    is call($run)->{status}, 503, 'it is to be sent again';
    $redis->start;
    token($redis, $_) for qw(acme zeta);
    ok((soon { call($run)->{status} == 204 } 20), 'and taken then');
};


for my $n ($node, $other) {
    is_deeply [$n->complaints], [], 'no alerts';
    unlike $n->log, qr/sandbox-callback-secret/, 'no secret in the log';
    ok $n->stop, 'stopped in time';
}

done_testing;
