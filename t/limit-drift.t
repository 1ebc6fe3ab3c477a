# The upstream counts otherwise than we do: the log says so, now and then.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ZapierNode;

use JSON::PP;
use Time::HiRes qw(sleep);


my $redis   = redis();
my $sandbox = sandbox();
my $node    = node(redis => $redis, sandbox => $sandbox,
                   http => <<'END', server => <<'END');
    zapier_limit_zone address key=$http_x_key limit=10 window=1m;
    zapier_limit_zone address2 key=$http_x_key limit=60 window=1m;
    zapier_limit_zone address3 key=$http_x_key limit=60 window=1m;
    zapier_limit_zone partner key=$http_x_key limit=150 window=1m;
    zapier_limit_zone share key=$http_x_key limit=10 window=1m mirror=off;
END
        zapier_tenant $http_x_tenant;
        include $params;

        location / {
            proxy_pass http://sandbox;
        }

        location /address {
            zapier_limit address;
            proxy_pass http://sandbox/v2/actions;
        }

        location /other {
            zapier_limit address2 share;
            proxy_pass http://sandbox/v2/actions;
        }

        location /chain {
            zapier_limit address3 partner;
            proxy_pass http://sandbox/v2/actions;
        }

        location /share {
            zapier_limit share;
            proxy_pass http://sandbox/v2/actions;
        }
END

token($redis, 'acme');

my $key  = 0;
my $seen = 0;

# The status of an answer that says so, for the same key as before or a new
# one.

sub ask {
    my ($path, $status, %headers) = @_;
    my %answer = (status => $status, headers => \%headers);

    return client($node)->request(
        GET => $path, {'X-Tenant' => 'acme', 'X-Key' => "k$key",
                       'X-Sandbox' => encode_json(\%answer)})->{status};
}


# What the log has said since the last time.

sub said {
    my $log = substr $node->log, $seen;

    $seen += length $log;

    return join '; ', map { s/ while .*//r }
                      $log =~ /(upstream (?:refused a|tells) .*?), client/g;
}


sub fresh { $key++; said() }


subtest 'refused though something was left' => sub {
    fresh();
    is ask('/address', 200), 200, 'a call';
    is ask('/address', 429, 'Retry-After' => 7), 429, 'another';
    is said(), 'upstream refused a call that limit zone "address" had quota '
             . 'for, with 8 left after it: others may use it as well', 'said';

    fresh();
    is ask('/address', 429, 'Retry-After' => 7), 429, 'once more';
    is said(), '', 'is counted, but not said';
};


subtest 'a view without a limit' => sub {
    fresh();
    is ask('/v2/actions', 429, 'Retry-After' => 1), 429, 'nothing was known';
    is said(), '', 'so nothing is wrong';
    sleep 1.1;
    is ask('/v2/actions', 429, 'Retry-After' => 1), 429, 'a probe';
    is said(), '', 'is there for that';
    sleep 1.1;
    is ask('/v2/actions', 200, 'X-RateLimit-Limit' => 60,
           'X-RateLimit-Remaining' => 5, 'X-RateLimit-Reset' => 30), 200,
       'a call that tells';
    is ask('/v2/actions', 429, 'Retry-After' => 1), 429, 'another';
    is said(), 'upstream refused a call that limit zone "tenant" had quota '
             . 'for, with 4 left after it: others may use it as well', 'said';
};


subtest 'a zone that is not mirrored' => sub {
    fresh();
    is ask('/share', 429, 'X-RateLimit-Limit' => 5), 429, 'refused';
    is said(), '', 'is no concern of the upstream';
};


subtest 'another limit' => sub {
    fresh();
    is ask('/other', 200, 'X-RateLimit-Limit' => 60), 200, 'ours';
    is said(), '', 'fine';
    is ask('/other', 200, 'X-RateLimit-Limit' => 50), 200, 'another';
    is said(), 'upstream tells a limit of 50, that of limit zone "address2" '
             . 'is 60', 'said';
    is ask('/other', 200, 'X-RateLimit-Limit' => 40), 200, 'again';
    is said(), '', 'not at once';
};


subtest 'the limit of any zone of the chain' => sub {
    fresh();
    is ask('/chain', 200, 'X-RateLimit-Limit' => 150), 200, 'the second';
    is ask('/chain', 200, 'X-RateLimit-Limit' => 60), 200, 'the first';
    is said(), '', 'both are ours';
    is ask('/chain', 200, 'X-RateLimit-Limit' => 61), 200, 'none';
    like said(), qr/"address3" is 60; .*"partner" is 150/, 'said of each';
};


is_deeply [$node->complaints], [], 'no alerts';
ok $node->stop, 'stopped in time';

done_testing;
