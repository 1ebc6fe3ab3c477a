# A gate whose time is over lets one call through first, in all workers.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ZapierNode;

use JSON::PP;
use Time::HiRes qw(sleep time);


my $redis   = redis();
my $sandbox = sandbox();
my $node    = node(redis => $redis, sandbox => $sandbox, workers => 2,
                   server => <<'END');
        zapier_tenant $http_x_tenant;
        include $params;
        add_header X-Pid $pid always;

        location / {
            proxy_pass http://sandbox;
        }

        location /dead {
            proxy_pass http://127.0.0.1:1;
        }

        location /patient {
            proxy_ignore_client_abort off;
            proxy_read_timeout 300ms;
            proxy_pass http://sandbox/v2/actions;
        }
END

sub start {
    my ($tenant, $answer, $path) = @_;
    my $client = client($node);
    my $extra  = $answer ? 'X-Sandbox: ' . encode_json($answer) . "\r\n" : '';

    $client->send('GET ' . ($path // '/v2/actions') . " HTTP/1.1\r\n"
                  . "Host: localhost\r\nX-Tenant: $tenant\r\n$extra\r\n")
        or die "send: $!";

    return $client;
}


sub ask { start(@_)->read }


sub count {
    my ($status, @r) = @_;

    return scalar grep { $_->{status} == $status } @r;
}


# A scope whose gate was closed for a second, which is over.

sub opening {
    my ($tenant) = @_;

    token($redis, $tenant);
    is ask($tenant, {status => 429, headers => {'Retry-After' => 1}})
       ->{status}, 429, 'the gate closes';
    is ask($tenant)->{status}, 429, 'it is closed';

    sleep 1.1;
    $sandbox->forget;
}


sub closed { ask($_[0])->{status} == 429 }


subtest 'one goes, the others wait for its answer' => sub {
    opening('t1');

    my $probe = start('t1', {delay => 1500, status => 200});
    $sandbox->requests(wait => 1);

    # one worker may accept a whole crowd

    my (@r, %pids);

    for (1 .. 5) {
        push @r, map { $_->read } map { start('t1') } 1 .. 40;
        %pids = map { $_->{headers}{'x-pid'} => 1 } @r;
        last if keys %pids == 2;
    }

    is count(429, @r), scalar @r, 'all others are refused';
    is keys %pids, 2, 'in both workers';
    is $r[0]{headers}{'retry-after'}, 1, 'for a moment';
    like $r[0]{body}, qr/"rate_limited"/, 'as usual';
    is scalar $sandbox->requests, 1, 'one was sent';

    is $probe->read->{status}, 200, 'the probe is answered';
    is count(200, map { $_->read } map { start('t1') } 1 .. 20), 20,
       'open for all';
    like $node->log, qr/answered 200 to a probe, a scope of limit zone/,
         'the log says so';
};


subtest 'many at once' => sub {
    opening('t2');

    my @r = map { $_->read }
            map { start('t2', {delay => 400, status => 200}) } 1 .. 40;

    is count(200, @r), 1, 'one';
    is scalar $sandbox->requests, 1, 'was sent';
};


subtest 'refused again' => sub {
    opening('t3');

    is ask('t3', {status => 429, headers => {'Retry-After' => 20}})
       ->{status}, 429, 'the probe';
    like ask('t3')->{headers}{'retry-after'}, qr/^(19|20)$/, 'closed again';
    is scalar $sandbox->requests, 1, 'one was sent';
};


subtest 'any other answer opens it' => sub {
    opening('t4');

    is ask('t4', {status => 500})->{status}, 500, 'the probe';
    is count(200, map { $_->read } map { start('t4') } 1 .. 9), 9, 'open';
};


subtest 'a probe that never reached the upstream' => sub {
    opening('t5');

    is ask('t5', undef, '/dead')->{status}, 502, 'is none';
    ok((soon { ask('t5', {delay => 1, status => 429});
               $sandbox->requests == 1 }), 'but the next is sent');
};


subtest 'a probe without an answer makes room' => sub {
    opening('t6');

    is ask('t6', {delay => 3000, status => 200}, '/patient')->{status}, 504,
       'timed out';
    ok soon { ask('t6')->{status} == 200 }, 'the next';

    opening('t7');

    my $probe = start('t7', {delay => 3000, status => 200}, '/patient');
    $sandbox->requests(wait => 1);
    $probe->close;
    ok soon { ask('t7')->{status} == 200 }, 'or the client has gone';
};


subtest 'a killed worker' => sub {
    opening('t8');

    my $probe = start('t8', {delay => 9000, status => 200});
    $sandbox->requests(wait => 1);

    my $from = time;
    kill KILL => $node->workers;

    ok soon { $node->workers >= 2 && closed('t8') }, 'the gate is kept';
    ok((soon { ask('t8')->{status} == 200 } 12), 'another probe goes');
    cmp_ok time - $from, '<', 9, sprintf 'after %.1f s', time - $from;
};


is_deeply [$node->complaints('exited on signal 9')], [], 'no alerts';
ok $node->stop, 'stopped in time';

done_testing;
