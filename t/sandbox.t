# The sandbox itself, which all other tests lean on.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes qw(time);

use ZapierNode;


my $sandbox = sandbox();
my $http    = client($sandbox);
my %headers = (Authorization => 'Bearer sandbox-acme');
my $valid   = '{"data":{"action":"core:a","authentication":null,'
            . '"inputs":{"n":12345678901234567890,"e":1e400}}}';


sub post {
    my ($body, %more) = @_;

    return $http->request(POST => '/v2/action-runs', {%headers, %more}, $body);
}


sub told {
    my ($step, %more) = @_;

    require JSON::PP;
    return post($valid, 'X-Sandbox' => JSON::PP::encode_json($step), %more);
}


# the contract

my $r = post($valid);
is $r->{status}, 200, 'a valid run';
my ($id) = $r->{body} =~ /"id":"([0-9a-f-]{36})"/;
ok $id, 'it has an id';

my ($seen) = $sandbox->requests;
is $seen->{body}, $valid, 'the body is remembered to the byte';
is $seen->{run}, $id, 'and the id';
ok !$seen->{complaint}, 'and no complaint';

for my $bad (
    ['{"data":{"action":"a","authentication":null,"input":{}}}', 'input'],
    ['{"data":{"action":"a","inputs":{}}}', 'no authentication'],
    ['{"data":{"action":1,"authentication":null,"inputs":{}}}', 'a number'],
    ['{"data":{"action":"a","authentication":null,"inputs":[]}}', 'a list'],
    ['{"action":"a","authentication":null,"inputs":{}}', 'no envelope'],
    ['{"data":', 'not JSON'],
) {
    $sandbox->forget;
    is post($bad->[0])->{status}, 400, "$bad->[1]: 400";
    ok +($sandbox->requests)[0]{complaint}, "$bad->[1]: a complaint";
}

is post($valid, 'Content-Type' => 'text/plain')->{status}, 415, 'status 415';

# tokens

is post($valid, Authorization => 'Bearer other')->{status}, 401, 'status 401';
like post($valid, Authorization => '')->{body}, qr/"not_authenticated"/,
    'no token';
$sandbox->config(tokens => {other => JSON::PP::true(),
                            'sandbox-bad' => JSON::PP::false()});
is post($valid, Authorization => 'Bearer other')->{status}, 200, 'listed';
is post($valid, Authorization => 'Bearer sandbox-bad')->{status}, 401,
    'listed as bad';

# the other paths

my $path = "/v2/action-runs/$id";
like $http->request(GET => $path, \%headers)->{body}, qr/"waiting"/, 'waiting';
like $http->request(GET => $path, \%headers)->{body}, qr/"success"/, 'success';
like $http->request(GET => '/v2/actions?limit=2', \%headers)->{body},
    qr{"next":"https://api\.zapier\.com/v2/actions\?limit=2&offset=2"},
    'links are absolute';
is $http->request(GET => '/v1/x', \%headers)->{status}, 404, 'status 404';

# answers to order

$r = told({status => 429, headers => {'Retry-After' => '7',
                                      'X-A' => ['1', '2']}});
is $r->{status}, 429, 'a status to order';
is $r->{headers}{'retry-after'}, 7, 'a header';
is $r->{headers}{'x-a'}, '1, 2', 'a header twice';

my $before = time;
is told({delay => 300})->{status}, 200, 'a delay';
cmp_ok time - $before, '>=', 0.29, 'takes its time';

is told({close => 'before'})->{error}, 'closed', 'no answer';
is told({body => 'abcdefgh', truncate => 3})->{partial}, 'abc', 'truncated';
is told({raw => "garbage\r\n\r\n"})->{error}, 'bad status line: garbage',
    'garbage';
is told({body => 'abc', close => 'after'})->{body}, 'abc', 'then closed';
$http->close;
is post($valid)->{status}, 200, 'the next one is well';

$sandbox->script({status => 503, times => 2, path => '^/v2'});
is_deeply [map { post($valid)->{status} } 1 .. 3], [503, 503, 200], 'a script';

is $http->request(POST => '/v2/action-runs?echo=body', \%headers,
                  $valid)->{body}, $valid, 'an echo';
like told({echo => 'request'}, 'X-Case' => 'Kept')->{body},
    qr/^X-Case: Kept\r\n.*\Q$valid\E\z/ms, 'an echo of all';

# limits

$sandbox->clear;
$sandbox->config(limits => {ip => 2, always => 1, cooldown => 1});
is_deeply [map { post($valid)->{status} } 1 .. 3], [200, 200, 429],
    'a limit';
is post($valid)->{headers}{'retry-after'}, 1, 'and its Retry-After';

for my $dialect (
    [date      => 'retry-after', qr/GMT$/],
    [delta     => 'x-ratelimit-reset', qr/^9$/],
    [none      => 'retry-after', undef],
    [malformed => 'retry-after', qr/soon/],
) {
    $sandbox->config(limits => {ip => 1, cooldown => 9,
                                dialect => $dialect->[0]});
    post($valid);
    my $value = post($valid)->{headers}{$dialect->[1]};
    $dialect->[2] ? like $value, $dialect->[2], "dialect $dialect->[0]"
                  : is $value, undef, "dialect $dialect->[0]";
}

# connections are kept

$sandbox->clear;
post($valid) for 1 .. 150;
my %links = map { $_->{connection} => 1 } $sandbox->requests;
is keys %links, 1, 'one connection for 150 requests';

ok $sandbox->stop, 'it stops';

done_testing;
