# Limits with calls under way at the same time, in two workers.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ZapierNode;

use JSON::PP;
use Time::HiRes qw(sleep);


my $redis   = redis();
my $sandbox = sandbox();
my $node    = node(redis => $redis, sandbox => $sandbox, workers => 2,
                   http => <<'END', server => <<'END');
    zapier_limit_zone hard key=$zapier_tenant limit=10 window=1m mirror=off;
    zapier_limit_zone wide key=all limit=25 window=1m mirror=off;
END
        zapier_tenant $http_x_tenant;
        include $params;
        add_header X-Pid $pid always;

        location / {
            proxy_pass http://sandbox;
        }

        location /hard {
            zapier_limit hard;
            proxy_pass http://sandbox/v2/actions;
        }

        location /chain {
            zapier_limit wide hard;
            proxy_pass http://sandbox/v2/actions;
        }

        location /dead {
            zapier_limit hard;
            proxy_pass http://127.0.0.1:1;
        }
END

my %clients;


# Sends a request on a connection of its own, reads nothing yet.

sub start {
    my ($path, $tenant, $answer) = @_;
    my $client = client($node);
    my $extra  = $answer ? 'X-Sandbox: ' . encode_json($answer) . "\r\n" : '';

    $client->send("GET $path HTTP/1.1\r\nHost: localhost\r\n"
                  . "X-Tenant: $tenant\r\n$extra\r\n") or die "send: $!";

    return $client;
}


sub ask { start(@_)->read }


sub told {
    my ($delay, $status, %headers) = @_;

    return {delay => $delay, status => $status, headers => \%headers};
}


token($redis, $_) for map { "t$_" } 0 .. 19;

# warm, in both workers
ask('/v2/actions', "t$_") for 0 .. 19;
$sandbox->forget;


subtest 'check and charge are one (APISIX 12592, 13574, 5588)' => sub {
    my @r = map { $_->read } map { start('/hard', 't0') } 1 .. 60;
    my @passed = grep { $_->{status} == 200 } @r;
    my %pids = map { $_->{headers}{'x-pid'} => 1 } @r;

    is scalar @passed, 10, 'as many as the limit';
    is scalar(grep { $_->{status} == 429 } @r), 50, 'the others refused';
    is join(' ', sort { $a <=> $b }
                 map { $_->{headers}{'x-ratelimit-remaining'} } @passed),
       join(' ', 0 .. 9), 'each was told another remaining (APISIX 13704)';
    is keys %pids, 2, 'in two workers';
    is scalar $sandbox->requests, 10, 'sent';
};


subtest 'a chain of many tenants' => sub {
    $sandbox->forget;

    my @r = map { $_->read } map { start('/chain', 't' . ($_ % 5 + 1)) }
                                 1 .. 80;

    is scalar(grep { $_->{status} == 200 } @r), 25, 'the common limit';
    is scalar $sandbox->requests, 25, 'sent';

    my $left = 0;
    for my $tenant (1 .. 5) {
        $left += ask('/hard', "t$tenant")->{headers}{'x-ratelimit-remaining'};
    }

    is $left, 5 * 10 - 25 - 5, 'refused ones were charged nowhere (Kong)';
};


subtest 'units of calls that failed to connect come back' => sub {
    my @r = map { $_->read } map { start('/dead', 't7') } 1 .. 40;

    ok !(grep { $_->{status} != 502 && $_->{status} != 429 } @r), 'refused';
    is ask('/hard', 't7')->{headers}{'x-ratelimit-remaining'}, 9, 'all';
};


subtest 'a shorter Retry-After does not shorten (LiteLLM 40130)' => sub {
    my @c = (start('/', 't8', told(200, 429, 'Retry-After' => 30)),
             start('/', 't8', told(400, 429, 'Retry-After' => 1)));
    my @r = map { $_->read } @c;

    is $r[0]{headers}{'retry-after'}, 30, 'the first';
    like $r[1]{headers}{'retry-after'}, qr/^(29|30)$/,
         'the second is told the truth';
    like ask('/', 't8')->{headers}{'retry-after'}, qr/^(29|30)$/, 'the next';
};


subtest 'a longer one extends' => sub {
    my @c = (start('/', 't9', told(200, 429, 'Retry-After' => 1)),
             start('/', 't9', told(400, 503, 'Retry-After' => 30)));
    $_->read for @c;

    sleep 1.1;
    like ask('/', 't9')->{headers}{'retry-after'}, qr/^(28|29)$/, 'it did';
};


subtest 'a late 200 does not open the gate' => sub {
    my @c = (start('/', 't10', told(100, 429, 'Retry-After' => 30)),
             start('/', 't10', told(300, 200, 'X-RateLimit-Limit' => 60,
                                    'X-RateLimit-Remaining' => 50,
                                    'X-RateLimit-Reset' => time + 90)));
    my @r = map { $_->read } @c;

    is $r[1]{status}, 200, 'it came';
    is $r[1]{headers}{'x-ratelimit-remaining'}, 0, 'and is told the truth';
    is ask('/', 't10')->{status}, 429, 'closed';
};


subtest 'answers out of order' => sub {
    my $reset = time + 90;
    my @view = ('X-RateLimit-Limit' => 60, 'X-RateLimit-Reset' => $reset,
                'X-RateLimit-Remaining');
    my @c = (start('/', 't11', told(400, 200, @view, 10)),
             start('/', 't11', told(100, 200, @view, 3)));
    my @r = map { $_->read } @c;

    is $r[1]{headers}{'x-ratelimit-remaining'}, 3, 'the later came first';
    is $r[0]{headers}{'x-ratelimit-remaining'}, 3, 'and stands';
    is ask('/', 't11')->{headers}{'x-ratelimit-remaining'}, 2, 'afterwards';
};


subtest 'a client that goes away' => sub {
    my $client = start('/hard', 't12', told(5000, 200));

    $sandbox->forget;
    $client = start('/hard', 't12', told(5000, 200));
    $sandbox->requests(wait => 1);
    $client->close;

    is ask('/hard', 't12')->{headers}{'x-ratelimit-remaining'}, 7,
       'its call was made and counts';
};


is_deeply [$node->complaints], [], 'no alerts';
ok $node->stop, 'stopped in time';

done_testing;
