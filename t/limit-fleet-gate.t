# A fleet hears of a refusal: the gate closes on every node, and one probe
# opens it for all.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ZapierNode;

use JSON::PP;
use Time::HiRes qw(sleep time);


my $redis   = redis();
my $sandbox = sandbox();
my $http    = <<'END';
    zapier_limit_zone fleet key=$http_x_key limit=1000 window=1m store=redis;
    zapier_limit_zone alone key=$http_x_key limit=1000 window=1m;
    zapier_limit_zone told key=$http_x_key store=redis;
END
my $server  = <<'END';
        zapier_tenant $http_x_tenant;
        include $params;

        location / {
            zapier_limit fleet;
            proxy_pass http://sandbox/v2/actions;
        }

        location /told {
            zapier_limit told;
            proxy_pass http://sandbox/v2/actions;
        }

        location /alone {
            zapier_limit alone;
            proxy_pass http://sandbox/v2/actions;
        }
END
my @nodes   = map { node(redis => $redis, sandbox => $sandbox, workers => 2,
                         http => $http, server => $server) } 1 .. 3;

token($redis, 'acme');

my $key = 0;


sub start {
    my ($node, $answer, $path) = @_;
    my $client = client($node);
    my $extra  = $answer ? 'X-Sandbox: ' . encode_json($answer) . "\r\n" : '';

    $path //= '/';

    $client->send("GET $path HTTP/1.1\r\nHost: localhost\r\n"
                  . "X-Tenant: acme\r\nX-Key: k$key\r\n$extra\r\n")
        or die "send: $!";

    return $client;
}


sub ask { start(@_)->read }

sub told {
    my ($status, %headers) = @_;

    return {status => $status, headers => \%headers};
}


# our own refusal, not one that has been asked for

sub closed { ask(@_)->{body} =~ /"GATEWAY"/ }

# Do the workers of all nodes listen?

sub listening {
    return soon {
        ($redis->cmd(PUBSUB => 'NUMSUB', 'zapier:limit'))[1] == 6;
    };
}


is ask($_)->{status}, 200, 'warm' for @nodes;
ok listening(), 'all workers listen';


subtest 'a 429 closes the gate on every node' => sub {
    my @times;

    for my $round (1 .. 10) {
        $key++;

        my $r = ask($nodes[$round % 3], told(429, 'Retry-After' => 30));
        my $from = time;

        is $r->{status}, 429, 'refused' if $r->{status} != 429;

        for my $node (@nodes) {
            (soon { closed($node) }) or fail 'closed';
        }

        push @times, 1000 * (time - $from);
    }

    @times = sort { $a <=> $b } @times;

    note sprintf 'all nodes know after %.1f ms, at most %.1f', @times[5, 9];
    cmp_ok $times[5], '<', 100, 'within a tenth of a second';
    like ask($nodes[0])->{headers}{'retry-after'}, qr/^(29|30)$/, 'as long';
};


subtest 'a 503 with Retry-After too' => sub {
    $key++;
    is ask($nodes[0], told(503, 'Retry-After' => 30))->{status}, 503, 'refused';
    ok((soon { closed($nodes[1]) && closed($nodes[2]) }), 'closed');
};


subtest 'longer, never shorter' => sub {
    $key++;

    my @c = (start($nodes[0], {%{told(429, 'Retry-After' => 20)},
                               delay => 100}),
             start($nodes[1], {%{told(429, 'Retry-After' => 40)},
                               delay => 200}),
             start($nodes[1], {%{told(429, 'Retry-After' => 2)},
                               delay => 300}));
    $_->read for @c;

    for my $node (@nodes) {
        ok((soon { ask($node)->{headers}{'retry-after'} >= 38 }), 'longer');
    }
};


subtest 'only for zones that the fleet shares' => sub {
    $key++;
    is ask($nodes[0], told(429, 'Retry-After' => 30), '/alone')->{status},
       429, 'refused';
    ok closed($nodes[0], undef, '/alone'), 'closed here';
    sleep 0.2;
    ok !closed($nodes[1], undef, '/alone'), 'but not there';
};


subtest 'who starts later hears of it' => sub {
    $key++;
    is ask($nodes[0], told(429, 'Retry-After' => 40))->{status}, 429,
       'refused';
    ask($nodes[0], told(429, 'Retry-After' => 5));

    my $shut = $key++;

    is ask($nodes[1], told(429, 'Retry-After' => 1), '/told')->{status}, 429,
       'refused for a second';

    my $open = $key;

    for my $scope ("fleet k$shut", "told k$open") {
        ok((soon { $redis->cmd(HEXISTS => 'zapier:limit:gates', $scope) } 0.9),
           "$scope is kept");
    }

    sleep 2.2;
    is ask($nodes[1], undef, '/told')->{status}, 200, 'the one opens';
    ok((soon { !$redis->cmd(HEXISTS => 'zapier:limit:gates', "told k$open") }),
       'and is forgotten');

    my $late = node(redis => $redis, sandbox => $sandbox, workers => 2,
                    http => $http, server => $server);

    ok((soon { ($redis->cmd(PUBSUB => 'NUMSUB', 'zapier:limit'))[1] == 8 }),
       'it listens');

    $key = $shut;
    ok((soon { closed($late) }), 'the other one is closed there, too');
    my $after = ask($late)->{headers}{'retry-after'};
    cmp_ok $after, '>=', 30, 'for the longer time';
    cmp_ok $after, '<=', 38, 'less what has passed';

    $key = $open;
    ok !closed($late, undef, '/told'), 'but not the one that is open';

    ok $late->stop, 'stopped';
    $key = $open + 10;
};


subtest 'a zone that only mirrors' => sub {
    $key++;
    is ask($nodes[0], told(429, 'Retry-After' => 30), '/told')->{status},
       429, 'refused';
    ok((soon { closed($nodes[1], undef, '/told') }), 'closed there, too');
};


subtest 'another database is another fleet' => sub {
    my $other = node(redis => $redis, sandbox => $sandbox, server => $server,
                     http => 'zapier_redis redis://127.0.0.1:'
                             . $redis->port . "/5; $http");

    $redis->cmd(SELECT => 5);
    token($redis, 'acme');
    $redis->cmd(SELECT => 0);

    ok((soon { ($redis->cmd(PUBSUB => 'NUMSUB', 'zapier:limit@5'))[1] == 1 }),
       'it listens');
    $key++;
    is ask($nodes[0], told(429, 'Retry-After' => 30))->{status}, 429,
       'refused';
    ok((soon { closed($nodes[1]) }), 'closed');
    ok !closed($other), 'but not there';
    ok $other->stop, 'stopped';
};


subtest 'what is left' => sub {
    $key++;

    my %view = ('X-RateLimit-Limit' => 1000, 'X-RateLimit-Reset' => 30);

    ask($nodes[0], told(200, %view, 'X-RateLimit-Remaining' => 4));
    ok((soon { my $n = ask($nodes[1])->{headers}{'x-ratelimit-remaining'};
               $n <= 4 }), 'is told');

    ok((soon { closed($nodes[2]) }), 'and respected');
};


subtest 'strange news' => sub {
    my $channel = 'zapier:limit';

    $key++;
    $redis->cmd(PUBLISH => $channel, $_)
        for '', ' ', "\0", 'x' x 100_000, '1 c', '2 c n - - - 9 - 5 fleet k',
            "1 c n - - - 30000 - 5 fleetk$key", "1 c n - - - 30000 - 9 fleet ",
            "1 c n - - - x - 5 fleet k$key", "1 q n - - - 30000 - 5 fleet k$key",
            "1 c n - - - 30000 - 5 alone k$key",
            "1 c n - - - 99999999999999 - 5 fleet k$key";
    ok !closed($_), 'is none' for @nodes;

    # a line that is too long for a link breaks it, for a moment

    for my $node (@nodes) {
        ok((soon {
            $redis->cmd(PUBLISH => $channel,
                        "1 c n - - - 30000 - 5 fleet k$key");
            closed($node)
        }), 'but this is');
    }
};


subtest 'one probe opens it for all' => sub {
    $key++;
    is ask($nodes[0], told(429, 'Retry-After' => 1))->{status}, 429, 'closes';
    ok((soon { closed($nodes[1]) && closed($nodes[2]) }), 'everywhere');

    sleep 1.2;
    $sandbox->forget;

    my @c = map { start($nodes[$_ % 3], {delay => 700, status => 200}) }
                1 .. 60;
    my @r = map { $_->read } @c;

    is scalar(grep { $_->{status} == 200 } @r), 1, 'one of all nodes goes';
    is scalar $sandbox->requests, 1, 'one was sent';

    sleep 0.1;
    $sandbox->forget;
    @r = map { $_->read } map { start($nodes[$_ % 3]) } 1 .. 30;
    is scalar(grep { $_->{status} == 200 } @r), 30, 'then everybody';
};


subtest 'a refused probe closes it for all' => sub {
    $key++;
    ask($nodes[0], told(429, 'Retry-After' => 1));
    ok((soon { closed($nodes[1]) && closed($nodes[2]) }), 'closed');
    sleep 1.2;

    is ask($nodes[1], told(429, 'Retry-After' => 30))->{status}, 429,
       'the probe';
    for my $node (@nodes) {
        ok((soon { (ask($node)->{headers}{'retry-after'} // 0) > 20 }),
           'closed again');
    }
};


subtest 'without Redis each node knows for itself' => sub {
    $key++;
    $redis->stop('KILL');

    my $r = ask($nodes[0], told(429, 'Retry-After' => 30));
    is $r->{status}, 429, 'refused';
    ok closed($nodes[0]), 'closed';
    ok !closed($nodes[1]), 'unknown there';

    $redis->start;
    token($redis, 'acme');

    ok listening(), 'all workers listen again';
    $key++;
    ask($nodes[0], told(429, 'Retry-After' => 30));
    ok((soon { closed($nodes[1]) }), 'and hear');
};


for my $node (@nodes) {
    is_deeply [$node->complaints], [], 'no alerts';
    ok $node->stop, 'stopped in time';
}

done_testing;
