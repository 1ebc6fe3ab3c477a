# The OAuth server of the sandbox: what it grants, what it refuses, and what
# it does wrong when it is told to.

use strict;
use warnings;

use lib 't/lib';
use Digest::SHA qw(sha256);
use JSON::PP;
use MIME::Base64 qw(encode_base64 encode_base64url);
use Test::More;
use Time::HiRes qw(sleep time);

use Mojo::Promise;
use Mojo::UserAgent;
use ZapierNode;


my $sandbox = sandbox();
my $http    = client($sandbox);
my $base    = 'http://127.0.0.1:' . $sandbox->port;
my $ua      = Mojo::UserAgent->new(max_redirects => 0);
my $back    = 'http://127.0.0.1:1/callback?keep=1';
my $run     = '{"data":{"action":"a","authentication":null,"inputs":{}}}';


sub basic { 'Basic ' . encode_base64("$_[0]:$_[1]", '') }


sub form {
    my (%form) = @_;

    return HTTP::Tiny->new->www_form_urlencode(\%form);
}


# Calls the token endpoint with HTTP Basic unless headers are given.

sub token_call {
    my ($form, %headers) = @_;

    %headers = (Authorization => basic('sandbox-client', 'sandbox-secret'))
        if !%headers;

    my $r = $http->request(POST => '/oauth/token/', {
        'Content-Type' => 'application/x-www-form-urlencoded', %headers,
    }, ref $form ? form(%$form) : $form);

    $r->{json} = eval { decode_json($r->{body}) }
        if length $r->{body} < 10_000;
    return $r;
}


sub refresh {
    my ($token, %headers) = @_;

    return token_call({grant_type => 'refresh_token',
                       refresh_token => $token}, %headers);
}


sub is_refused {
    my ($r, $status, $error, $name) = @_;

    is_deeply [$r->{status}, ($r->{json} // {})->{error}], [$status, $error],
        $name;
}


sub call_api {
    my ($token, $method, $target, $body) = @_;

    return $http->request($method // 'POST', $target // '/v2/action-runs',
        {defined $token ? (Authorization => "Bearer $token") : ()},
        $body // ($method ? undef : $run));
}


sub api_ok {
    my ($token, $status, $name) = @_;

    is call_api($token)->{status}, $status, $name;
}


sub fresh {
    my (%config) = @_;

    $sandbox->clear;
    $sandbox->oauth(strict => JSON::PP::true, %config);
    $http->close;
}


# refresh and rotation

fresh();

my $pair = $sandbox->issue_pair('acme', lifetime => 100);
like $pair->{access_token}, qr/^sbxat-[0-9a-f]{26}$/, 'an access token';
like $pair->{refresh_token}, qr/^sbxrt-[0-9a-f]{26}$/, 'a refresh token';
api_ok($pair->{access_token}, 200, 'it is good');

my $r = refresh($pair->{refresh_token});
is $r->{status}, 200, 'a refresh';
is_deeply [sort keys %{$r->{json}}],
    [qw(access_token expires_in refresh_token scope token_type)], 'its fields';
is $r->{json}{token_type}, 'Bearer', 'the type';
like $r->{body}, qr/"expires_in":100[,}]/, 'a number of seconds';
is $r->{headers}{'cache-control'}, 'no-store', 'not to be stored';
is $r->{headers}{'content-type'}, 'application/json', 'JSON';
isnt $r->{json}{refresh_token}, $pair->{refresh_token}, 'it has rotated';
api_ok($pair->{access_token}, 401, 'the old access token is dead');
api_ok($r->{json}{access_token}, 200, 'the new one is good');
is_refused refresh($pair->{refresh_token}), 400, 'invalid_grant', 'used up';
is_refused refresh('sbxrt-unheard-of'), 400, 'invalid_grant', 'unheard of';
is refresh($r->{json}{refresh_token})->{status}, 200, 'the new one serves';

my $stats = $sandbox->stats;
is $stats->{by_grant}{refresh_token}, 4, 'calls are counted';
is $stats->{by_tenant}{acme}, 3, 'by tenant';
is $stats->{by_status}{400}, 2, 'by status';
is $stats->{rotations}, 2, 'rotations too';
is $stats->{dead_uses}, 1, 'and uses of dead tokens';
is $stats->{lost}, 0, 'nothing is lost';
is_deeply $stats->{api}, {valid => 2, rotated => 1}, 'and calls of the API';

my @calls = $sandbox->token_calls(wait => 4);
is_deeply [map { $_->{token} } @calls], [qw(valid used unknown valid)],
    'what was used';
is $calls[0]{family}, $pair->{id}, 'whose it was';
is $calls[0]{auth}, 'basic', 'how it came';
like $calls[0]{body}, qr/^grant_type=refresh_token&refresh_token=sbxrt-/,
    'the body is remembered';
is scalar $sandbox->requests, 3, 'not among the requests of the API';
is(($sandbox->requests)[0]{tenant}, 'acme', 'which know their tenant');

my ($family) = $sandbox->families(tenant => 'acme');
is $family->{generation}, 3, 'generations';
is $family->{dead_uses}, 1, 'dead uses of the family';
is_deeply [map { "$_->{state} " . ($_->{current} // '?') }
               $sandbox->inspect($family->{access_token},
                                 $family->{refresh_token},
                                 $pair->{refresh_token}, 'what')],
    ['valid 1', 'valid 1', 'used 0', 'unknown ?'], 'tokens are judged';

# settings of rotation

fresh(access_grace => 1);
$pair = $sandbox->issue_pair('acme');
refresh($pair->{refresh_token});
api_ok($pair->{access_token}, 200, 'a grace for the old access token');
$sandbox->advance(2);
api_ok($pair->{access_token}, 401, 'which ends');

fresh(access_grace => undef);
$pair = $sandbox->issue_pair('acme', lifetime => 60);
refresh($pair->{refresh_token});
$sandbox->advance(59);
api_ok($pair->{access_token}, 200, 'until it expires');
$sandbox->advance(2);
$r = call_api($pair->{access_token});
is $r->{status}, 401, 'and no longer';
like $r->{headers}{'www-authenticate'}, qr/error="invalid_token"/, 'says why';
is decode_json($r->{body})->{errors}[0]{code}, 'authentication_failed',
    'in the shape of the API';

fresh(reuse_grace => 10);
$pair = $sandbox->issue_pair('acme');
$r = refresh($pair->{refresh_token});
is_deeply refresh($pair->{refresh_token})->{json}, $r->{json},
    'the same pair within a grace';
$sandbox->advance(11);
is refresh($pair->{refresh_token})->{status}, 400, 'not after it';

fresh(revoke_on_reuse => 1);
$pair = $sandbox->issue_pair('acme');
$r = refresh($pair->{refresh_token});
is refresh($pair->{refresh_token})->{status}, 400, 'reuse';
api_ok($r->{json}{access_token}, 401, 'ends the access token');
is_refused refresh($r->{json}{refresh_token}), 400, 'invalid_grant',
    'and the new refresh token';
is $sandbox->stats->{revoked}, 1, 'a family is revoked';

fresh(rotate => 0);
$pair = $sandbox->issue_pair('acme');
$r = refresh($pair->{refresh_token});
is $r->{json}{refresh_token}, $pair->{refresh_token}, 'without rotation';
isnt $r->{json}{access_token}, $pair->{access_token}, 'a new access token';

fresh(refresh_suffix => '+/=&% x');
$pair = $sandbox->issue_pair('acme');
$r = refresh($pair->{refresh_token});
like $r->{json}{refresh_token}, qr{\+/=&% x$}, 'odd characters';
is refresh($r->{json}{refresh_token})->{status}, 200, 'can be used';
is refresh('a b')->{status}, 400, 'others cannot';

# authentication of clients

fresh(clients => {
    'sandbox-client' => {secret => 'sandbox-secret'},
    'a:b c%' => {secret => "p+&=\x{e4}"}, 'only-body' => {secret => 's',
                                                          auth => 'body'},
    'only-basic' => {secret => 's', auth => 'basic'},
});

my %form = (grant_type => 'client_credentials');
my $odd  = basic('a%3Ab+c%25', 'p%2B%26%3D%C3%A4');

is token_call(\%form, Authorization => $odd)->{status}, 200,
    'an encoded id and secret';
is token_call({%form, client_id => 'a:b c%', client_secret => "p+&=\x{e4}"},
              Accept => '*/*')->{status}, 200, 'in the body';
is token_call({%form, client_id => 'sandbox-client'})->{status}, 200,
    'Basic and the same client_id';

for my $case (
    [401, 'a wrong secret', Authorization => basic('sandbox-client', 'x')],
    [401, 'an unknown client', Authorization => basic('x', 'sandbox-secret')],
    [401, 'no client', Accept => '*/*'],
    [401, 'a Bearer', Authorization => 'Bearer x'],
    [401, 'not base64', Authorization => 'Basic !'],
    [401, 'Basic for body', Authorization => basic('only-body', 's')],
) {
    my ($status, $name, %headers) = @$case;
    $r = token_call(\%form, %headers);
    is_refused $r, $status, 'invalid_client', $name;
    is $r->{headers}{'www-authenticate'}, 'Basic realm="zapier"',
        "$name: a challenge";
}

is_refused token_call({%form, client_id => 'only-basic',
                       client_secret => 's'}, Accept => '*/*'),
    401, 'invalid_client', 'body for Basic';
is_refused token_call({%form, client_id => 'sandbox-client',
                       client_secret => 'sandbox-secret'}, Authorization =>
                      basic('sandbox-client', 'sandbox-secret')),
    400, 'invalid_request', 'both ways';

$pair = $sandbox->issue_pair('acme', client => 'sandbox-client');
is_refused refresh($pair->{refresh_token}, Authorization => $odd),
    400, 'invalid_grant', 'a foreign refresh token';

# requests that are not right

is_refused token_call('{}', Authorization => $odd,
                      'Content-Type' => 'application/json'),
    415, 'invalid_request', 'JSON';
is_refused token_call('', Authorization => $odd,
                      'Content-Type' => 'multipart/form-data'),
    415, 'invalid_request', 'multipart';
is_refused token_call({}), 400, 'invalid_request', 'no grant';
is_refused token_call({grant_type => 'password'}), 400,
    'unsupported_grant_type', 'another grant';
is_refused token_call('grant_type=a&grant_type=b'), 400, 'invalid_request',
    'a field twice';
is_refused token_call({grant_type => 'refresh_token'}), 400,
    'invalid_request', 'no refresh token';
is $http->request(GET => '/oauth/token/')->{status}, 405, 'no GET';
is $http->request(POST => '/oauth/token', {
    Authorization => $odd,
    'Content-Type' => 'application/x-www-form-urlencoded; charset=utf-8',
}, form(%form))->{status}, 200, 'without the slash';

# client credentials

fresh();
$r = token_call({grant_type => 'client_credentials',
                 scope => 'promotions:write'});
ok !exists $r->{json}{refresh_token}, 'no refresh token for an app';
is $r->{json}{expires_in}, 36000, 'ten hours';

my $app = $r->{json}{access_token};
my $own = $sandbox->issue_pair('acme');

is call_api($app, DELETE => '/v2/promotions/1')->{status}, 204, 'app token';
api_ok($app, 403, 'not for users\' calls');
is call_api($own->{access_token}, DELETE => '/v2/promotions/1')->{status},
    403, 'user token for an app\'s call';
is_refused token_call({grant_type => 'client_credentials', scope => 'x'}),
    400, 'invalid_scope', 'a scope';

# client_id, scopes, tokens from elsewhere

for my $path (qw(/v1/apps /v2/apps /v2/actions)) {
    is call_api(undef, GET => "$path?client_id=sandbox-client")->{status},
        200, "$path with client_id";
    is call_api(undef, GET => "$path?client_id=x")->{status}, 401,
        "$path with another";
    is call_api('x', GET => "$path?client_id=sandbox-client")->{status}, 401,
        "$path: Authorization comes first";
}

is call_api(undef, GET => '/v1/profiles/me?client_id=sandbox-client')
    ->{status}, 401, 'not enough for a user\'s call';
like call_api($own->{access_token}, GET => '/v1/profiles/me')->{body},
    qr/"email":"acme"/, 'a profile';

my $narrow = $sandbox->issue_pair('narrow', scope => 'zap');
api_ok($narrow->{access_token}, 403, 'without the scope');
is call_api($narrow->{access_token}, GET => '/v2/actions')->{status}, 200,
    'with it';
api_ok('sandbox-acme', 401, 'strict: no fixed tokens');
$sandbox->oauth(strict => 0);
api_ok('sandbox-acme', 200, 'else they serve');
$sandbox->expire(tenant => 'acme');
api_ok($own->{access_token}, 401, 'expired by command');
is refresh($own->{refresh_token})->{status}, 200, 'but not the refresh token';
$sandbox->revoke(tenant => 'acme');
($family) = $sandbox->families(tenant => 'acme');
is refresh($family->{refresh_token})->{status}, 400, 'revoked by command';

# authorization code

my $verifier  = 'v' x 64;
my $challenge = encode_base64url(sha256($verifier));
my %ask = (response_type => 'code', client_id => 'sandbox-client',
           redirect_uri => $back, scope => 'zap action:run',
           state => 'a b&c=<">', response_mode => 'query');


sub visit {
    my ($path, %query) = @_;

    return $ua->get("$base$path" => form => \%query)->result;
}


# Presses a button of the page as a browser would.

sub press {
    my ($page, $decision, %more) = @_;
    my $form = $page->dom->at('form');
    my %send = map { $_->attr('name') => $_->attr('value') }
                   $form->find('input')->each;

    return $ua->post($base . $form->attr('action') => form =>
                     {%send, decision => $decision, %more})->result;
}


sub code_of { Mojo::URL->new($_[0]->headers->location)->query->param('code') }


sub exchange {
    my ($code, %more) = @_;

    return token_call({grant_type => 'authorization_code', code => $code,
                       redirect_uri => $back, %more});
}


fresh();
my $page = visit('/oauth/authorize/', %ask);
is $page->code, 200, 'a consent page';
is $page->dom->at('#client')->text, 'sandbox-client', 'names the client';
is $page->dom->find('#scopes li')->size, 2, 'and the scopes';
is $page->dom->at("#$_")->attr('name'), 'decision', "a button: $_"
    for qw(allow deny);

$r = press($page, 'deny');
is $r->code, 302, 'denied: sent back';
my $url = Mojo::URL->new($r->headers->location);
is_deeply $url->query->to_hash,
    {keep => 1, error => 'access_denied', state => $ask{state}},
    'with the error and the state';

$r = press($page, 'allow', user => 'acme');
$url = Mojo::URL->new($r->headers->location);
is $url->query->param('state'), $ask{state}, 'allowed: the state';
is $url->query->param('keep'), 1, 'the rest of the address';
my $code = code_of($r);
is_refused exchange($code, redirect_uri => "$back&x"), 400, 'invalid_grant',
    'another redirect_uri';
$r = exchange($code);
is $r->{status}, 200, 'a pair for the code';
is $r->{json}{scope}, 'zap action:run', 'with the scope';
api_ok($r->{json}{access_token}, 200, 'it serves');
is refresh($r->{json}{refresh_token})->{status}, 200, 'and refreshes';
is(($sandbox->families(tenant => 'acme'))[0]{rotations}, 1, 'for the user');
is_refused exchange($code), 400, 'invalid_grant', 'a code serves once';

$code = code_of(press($page, 'allow'));
$sandbox->advance(121);
is_refused exchange($code), 400, 'invalid_grant', 'a code expires';

my @pkce = (code_challenge => $challenge, code_challenge_method => 'S256');
$page = visit('/v2/authorize', %ask, @pkce);
is_refused exchange(code_of(press($page, 'allow'))), 400, 'invalid_grant',
    'PKCE: no verifier';
is_refused exchange(code_of(press($page, 'allow')),
                    code_verifier => 'w' x 64), 400, 'invalid_grant',
    'PKCE: another verifier';
is exchange(code_of(press($page, 'allow')), code_verifier => $verifier)
    ->{status}, 200, 'PKCE: the verifier';

$sandbox->oauth(approve => 'allow');
$code = code_of(visit('/oauth/authorize/', %ask, sign_up_email => 'bob'));
is_refused exchange($code, code_verifier => $verifier), 400, 'invalid_grant',
    'a verifier without a challenge';
is exchange($code)->{status}, 200, 'no page at all';

for my $case (
    ['unsupported_response_type', response_type => 'token'],
    ['invalid_scope', scope => 'everything'],
    ['invalid_request', code_challenge => $challenge],
) {
    my ($error, %more) = @$case;
    $r = visit('/oauth/authorize/', %ask, %more);
    like $r->headers->location, qr/[?&]error=$error\b/, $error;
}

$sandbox->oauth(clients => {
    'sandbox-client' => {secret => 'sandbox-secret',
                         redirect_uris => ['http://a/b']},
    public => {},
});
is visit('/oauth/authorize/', %ask)->code, 400, 'redirect_uri is not listed';
is visit('/oauth/authorize/', %ask, client_id => 'x')->code, 400,
    'unknown client';
is visit('/oauth/authorize/', %ask, client_id => ['public', 'public'])->code,
    400, 'an argument twice';
like visit('/oauth/authorize/', %ask, client_id => 'public')
    ->headers->location, qr/error=invalid_request/, 'public: PKCE is needed';
$code = code_of(visit('/oauth/authorize/', %ask, client_id => 'public', @pkce));
is token_call({grant_type => 'authorization_code', code => $code,
               redirect_uri => $back, client_id => 'public',
               code_verifier => $verifier}, Accept => '*/*')->{status}, 200,
    'public: no secret';
is_refused token_call({%form, client_id => 'public'}, Accept => '*/*'), 400,
    'unauthorized_client', 'public: no credentials';

# faults that leave the tokens alone

fresh();
$pair = $sandbox->issue_pair('acme');

for my $fault (400, 401, 403, 404, 408, 409, 423, 425, 429, 500, 502, 503,
               504, 'invalid-grant', 'invalid-client', 'redirect')
{
    $sandbox->fault($fault);
    $r = refresh($pair->{refresh_token});
    my $want = {'invalid-grant' => 400, 'invalid-client' => 401,
                'redirect' => 301}->{$fault} // $fault;
    is $r->{status}, $want, "fault $fault";
    is $r->{headers}{'retry-after'}, 2, 'Retry-After' if $fault eq '429';
}

for my $case (
    ['garbage', qr/\x01\]$/], ['empty', qr/^$/], ['null', qr/^null$/],
    ['list', qr/^\[\]$/], ['html', qr/^<!DOCTYPE/], ['html-as-json', qr/^</],
    ['huge', qr/"padding":"x{60000}/], ['no-access', qr/^(?!.*access_token)/],
    ['bad-access', qr/\\r\\nX-Evil/], ['other-type', qr/"mac"/],
) {
    $sandbox->fault($case->[0]);
    $r = refresh($pair->{refresh_token});
    ok $r->{status} == 200 && $r->{body} =~ $case->[1], "fault $case->[0]";
    is $r->{headers}{'content-type'},
        $case->[0] eq 'html' ? 'text/html' : 'application/json', 'its type';
}

$sandbox->fault('close', times => 2);
is refresh($pair->{refresh_token})->{error}, 'closed', 'fault close'
    for 1 .. 2;

my $hasty = client($sandbox, timeout => 0.3);
($http, my $patient) = ($hasty, $http);
$sandbox->fault('hang');
is refresh($pair->{refresh_token})->{error}, 'timeout', 'fault hang';
$http = $patient;

is_deeply [@{$sandbox->stats}{qw(lost rotations dead_uses)}], [0, 0, 0],
    'nothing has come of it';

# odd answers

for my $case (
    ['no-expires', qr/^(?!.*expires_in)/],
    ['string-expires', qr/"expires_in":"3600"/],
    ['word-expires', qr/"expires_in":"soon"/],
    ['null-expires', qr/"expires_in":null/],
    ['zero-expires', qr/"expires_in":0,/],
    ['negative-expires', qr/"expires_in":-1,/],
    ['float-expires', qr/"expires_in":3600\.5,/],
    ['huge-expires', qr/"expires_in":99999999999999999999,/],
    ['inf-expires', qr/"expires_in":1e400,/],
    ['upper-type', qr/"token_type":"BEARER"/],
    ['json-as-html', qr/^\{"access_token"/],
    [{headers => {'X-More' => 1}, set => {more => [1, {}]}},
     qr/"more":\[1,\{\}\]/],
    [{body => '{"access_token":"%access_token%","access_token":'
            . '"%access_token%","refresh_token":"%refresh_token%"}'},
     qr/^\{"access_token":"sbxat-\w+","access_token"/],
) {
    $sandbox->fault($case->[0]);
    $r = refresh($pair->{refresh_token});
    like $r->{body}, $case->[1], 'fault '
        . (ref $case->[0] ? 'made by hand' : $case->[0]);
    ($pair) = $sandbox->families(tenant => 'acme');
    like $r->{body}, qr/"\Q$pair->{refresh_token}\E"/, 'with the new pair';
}

for my $fault (qw(no-refresh null-refresh)) {
    $sandbox->fault($fault);
    $r = refresh($pair->{refresh_token});
    is $r->{json}{refresh_token}, undef, "fault $fault";
    is(($sandbox->inspect($pair->{refresh_token}))[0]{state}, 'valid',
       'the old one lives');
    api_ok($r->{json}{access_token}, 200, 'a new access token');
}

is $sandbox->stats->{lost}, 0, 'nothing is lost by that';

# lost answers

for my $fault ('lost', 'lost-garbage', 'lost-500', 'lost-hang', 'lost-huge',
               'truncated', {fault => 'no-refresh', rotate => 1},
               {fault => 503, rotate => 1})
{
    fresh();
    $pair = $sandbox->issue_pair('acme');
    $sandbox->fault($fault);
    ($http, $patient) = (client($sandbox, timeout => 0.5), $http)
        if $fault eq 'lost-hang';
    $r = refresh($pair->{refresh_token});
    $http = $patient if $fault eq 'lost-hang';
    my $name = ref $fault ? "$fault->{fault}, rotated" : $fault;
    $stats = $sandbox->stats;
    is_deeply [@$stats{qw(lost swallowed rotations)}], [1, 1, 1], $name;
    is_deeply $stats->{lost_families}, [$pair->{id}], 'its name';
    is refresh($pair->{refresh_token})->{status}, 400, 'too late';
    is $sandbox->stats->{lost}, 1, 'it stays lost';
    $sandbox->oauth(reuse_grace => 10);
    is refresh($pair->{refresh_token})->{status}, 200, 'unless it is told anew';
    is_deeply [@{$sandbox->stats}{qw(lost swallowed grace_uses)}], [0, 1, 1],
        'then it is not';
}

# late answers

fresh();
$pair = $sandbox->issue_pair('acme');
$sandbox->fault('late', late => 300);
my $before = time;
$r = refresh($pair->{refresh_token});
cmp_ok time - $before, '>=', 0.29, 'a late answer';
is $r->{status}, 200, 'for who waits';
is $sandbox->stats->{lost}, 0, 'is not lost';

for my $kind (qw(late delay)) {
    $sandbox->clear;
    $pair = $sandbox->issue_pair('acme');
    $http = client($sandbox, timeout => 0.2);
    $sandbox->fault({$kind => 500});
    is refresh($pair->{refresh_token})->{error}, 'timeout', "gone: $kind";
    $http = client($sandbox);
    ($r) = $sandbox->token_calls(wait => 1);
    sleep 0.02 while time < $before + 30 && !$sandbox->stats->{swallowed};
    is_deeply $sandbox->stats->{lost_by}, {late => 1}, 'then it is';
}

# two answers

fresh();
$pair = $sandbox->issue_pair('acme');
$sandbox->fault('twice');
$r = refresh($pair->{refresh_token});
is(($sandbox->inspect($r->{json}{access_token}))[0]{state}, 'valid',
   'the first answer');
sleep 0.05;
is $http->read->{body} =~ /sbxat-nobody/, 1, 'and one more';
$http->close;
is scalar(grep { defined $_->{ms} } $sandbox->token_calls(wait => 1)), 1,
    'it has ended';

# faults for some

fresh();
$sandbox->fault([{fault => 503, tenant => 'b', times => 2},
                 {fault => 500, grant => 'client_credentials'}]);
my ($a, $b) = $sandbox->issue_pairs([qw(a b)]);
is_deeply [map { refresh($_->{refresh_token})->{status} } $a, $b, $b, $b],
    [200, 503, 503, 200], 'for a tenant';
is token_call(\%form)->{status}, 500, 'for a grant';
is_deeply $sandbox->stats->{faults}, {503 => 2, 500 => 1}, 'counted by name';
$sandbox->fault(500);
$sandbox->clear_faults;
is token_call(\%form)->{status}, 200, 'forgotten';
ok !eval { $sandbox->fault('no-such'); 1 }, 'an unknown name';
ok !eval { $sandbox->oauth(no_such => 1); 1 }, 'an unknown setting';

# many at once

fresh();
$pair = $sandbox->issue_pair('acme');
$sandbox->fault({delay => 200, times => 20});

my @status;
Mojo::Promise->all(map {
    $ua->post_p("$base/oauth/token/", {
        Authorization => basic('sandbox-client', 'sandbox-secret'),
    }, form => {grant_type => 'refresh_token',
                refresh_token => $pair->{refresh_token}})
        ->then(sub { push @status, $_[0]->res->code });
} 1 .. 20)->wait;

is_deeply [sort @status], [200, (400) x 19], 'one of twenty wins';
$sandbox->token_calls(wait => 20);
$stats = $sandbox->stats;
is_deeply [@$stats{qw(max_concurrency dead_uses lost inflight)}],
    [20, 19, 0, 0], 'all were there at once';

my %record = $sandbox->token_record('new', lifetime => 60);
is_deeply [sort keys %record], [qw(access_token expires_at refresh_token
                                   scope token_type version)], 'a record';
cmp_ok abs($record{expires_at} - time - 60), '<', 3, 'with its expiry';
ok !exists {$sandbox->token_record('new', with_refresh => 0)}->{refresh_token},
    'or one without refresh token';

$before = time;
api_ok($record{access_token}, 200, 'fast') for 1 .. 5;
call_api($record{access_token}) for 1 .. 1000;
diag sprintf '%.0f calls of the API a second', 1000 / (time - $before);

$sandbox->clear_stats;
is $sandbox->stats->{calls}, 0, 'counts can be reset';

# the same tokens in the same order, none twice

my $other = sandbox('--strict', '--client' => 'me:you');
is $other->issue_pair('x')->{access_token},
    sandbox()->issue_pair('y')->{access_token}, 'tokens can be foretold';
$record{first} = $other->issue_pair('x')->{access_token};
$other->clear;
isnt $other->issue_pair('x')->{access_token}, $record{first},
    'and never come again';
$http = client($other);
is token_call(\%form, Authorization => basic('me', 'you'))->{status}, 200,
    'a client of the command line';
api_ok('sandbox-acme', 401, 'strict from the start');

done_testing;
