# A zone of shared memory that is full: what restrains somebody stays.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep);
use ZapierNode;

use JSON::PP;


my $redis   = redis();
my $sandbox = sandbox();
my $node    = node(redis => $redis, sandbox => $sandbox, workers => 2,
                   http => <<'END', server => <<'END');
    zapier_zone zapier 256k;
    zapier_limit_zone gate key=$arg_k;
    zapier_limit_zone long key=$arg_k limit=5 window=1h mirror=off;
    zapier_limit_zone short key=$arg_k limit=5 window=1s mirror=off;
END
        zapier_tenant acme;
        include $params;

        location /gate {
            zapier_limit gate;
            proxy_pass http://sandbox/v2/actions;
        }

        location /long {
            zapier_limit long;
            proxy_pass http://sandbox/v2/actions;
        }

        location /short {
            zapier_limit short;
            proxy_pass http://sandbox/v2/actions;
        }
END

token($redis, 'acme');

my $client = client($node);


sub ask {
    my ($what, $key, $answer) = @_;

    return $client->request(GET => "/$what?k=$key", {
        $answer ? ('X-Sandbox' => encode_json($answer)) : (),
    });
}


sub code {
    my ($r) = @_;

    return $r->{body} =~ /"code":"(\w+)"/ ? $1 : '';
}


my $closing = {status => 429, headers => {'Retry-After' => 500}};
my $r;

is ask('gate', 'first', $closing)->{status}, 429, 'a gate';
is ask('long', 'first')->{headers}{'x-ratelimit-remaining'}, 4, 'a window';

# more entries of windows that are soon over than there is room for

my %seen;

$seen{ask('short', "k$_")->{status}}++ for 1 .. 1200;

note join ', ', map { "$_: $seen{$_}" } sort keys %seen;

is_deeply [grep { $_ != 200 && $_ != 503 } keys %seen], [],
          'entries come and go, or the quota is unknown';

# and of those that stay, when those have gone

sleep 1.1;

my $count = 0;

$count++ while $count < 5000
               && ($r = ask('long', "k$count"))->{status} == 200;

is $r->{status}, 503, "after $count keys there is no room";
is code($r), 'quota_unknown', 'and no quota that is known';
cmp_ok $count, '>', 100, 'some found room';

is ask('gate', 'first')->{status}, 429, 'the gate is closed still';
is ask('long', 'first')->{headers}{'x-ratelimit-remaining'}, 3,
   'the window counts still';
is ask('long', 'k0')->{headers}{'x-ratelimit-remaining'}, 3,
   'and so does the oldest of the others';
is ask('gate', 'second')->{status}, 200,
   'a zone that only mirrors passes what it knows nothing of';

like $node->log, qr/\[crit\].*no memory for \d+ bytes/, 'logged';
cmp_ok scalar(() = $node->log =~ /no memory for \d+ bytes/g), '<', 20,
       'but not each time';

is_deeply [$node->complaints(qr/no memory for/)], [], 'no alerts';
ok $node->stop, 'stopped in time';

done_testing;
