# zapier_action_map: ids that are looked up by the key of an action.

use strict;
use warnings;

use lib 't/lib';
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();
my $map     = "$redis->{dir}/actions.json";
my $app     = 'a1&b c';

open my $file, '>', $map or die "$map: $!";
print $file <<"END";
{
    "mail":   {"app": "$app", "key": "send_email",
               "authentication": "auth1", "inputs": {"from": "me"}},
    "deep":   {"app": "x", "key": "action_24"},
    "typed":  {"app": "x", "key": "action_24", "type": "WRITE"},
    "both":   {"app": "x", "key": "contact"},
    "read":   {"app": "x", "key": "contact", "type": "READ"},
    "gone":   {"app": "x", "key": "gone", "type": "SEARCH"},
    "strict": {"app": "x", "key": "send_email",
               "schema": {"required": ["to"]}},
    "fixed":  {"action": "core:fixed"}
}
END
close $file;

my $server = <<'END';
        add_header X-Status $zapier_limit_status always;
        zapier_tenant     $http_x_tenant;
        zapier_limit      off;
        zapier_action_map MAP lookup=/zapier-actions;
        include           $params;

        location = /zapier-actions {
            internal;
            deny          all;
            zapier_tenant off;
            include       $params;
            proxy_set_header X-Tenant-Was $zapier_tenant;
            proxy_pass    http://sandbox/v2/actions;
        }
        location = /run    { zapier_body action_run;
                             proxy_pass http://sandbox/v2/action-runs; }
        location = /named  { zapier_body action_run; zapier_action mail;
                             proxy_pass http://sandbox/v2/action-runs; }
        location = /wait   { zapier_body action_run;
                             zapier_wait 5s interval=50ms;
                             zapier_idempotency on;
                             proxy_pass http://sandbox/v2/action-runs; }
        location = /bulk   { zapier_body action_runs parallel=3;
                             proxy_pass http://sandbox/v2/action-runs; }
        location = /few    { zapier_body action_run; zapier_limit few;
                             proxy_pass http://sandbox/v2/action-runs; }
        location = /queue  { zapier_body action_run; zapier_limit soon;
                             zapier_queue 5s;
                             proxy_pass http://sandbox/v2/action-runs; }
        location = /mirror { zapier_body action_run; zapier_limit mirror;
                             proxy_pass http://sandbox/v2/action-runs; }
        location = /cached { zapier_body action_run;
                             zapier_action_map MAP lookup=/zapier-actions
                                 lookup_cache=1m;
                             proxy_pass http://sandbox/v2/action-runs; }
        location = /short  { zapier_body action_run;
                             zapier_action_map MAP lookup=/zapier-actions
                                 lookup_cache=300ms;
                             proxy_pass http://sandbox/v2/action-runs; }
        location = /scoped { zapier_body action_run;
                             zapier_action_map MAP lookup=/scoped-actions;
                             proxy_pass http://sandbox/v2/action-runs; }
        location = /scoped-actions {
            internal;
            zapier_scope zap;
            proxy_pass   http://sandbox/v2/actions;
        }
        location = /astray { zapier_body action_run;
                             zapier_action_map MAP lookup=/no-such;
                             proxy_pass http://sandbox/v2/action-runs; }
        location = /no-such { return 404; }
        location = /turned { zapier_body action_run;
                             zapier_action_map MAP lookup=/turning;
                             proxy_pass http://sandbox/v2/action-runs; }
        location = /turning {
            internal;
            proxy_intercept_errors on;
            error_page 500 /elsewhere;
            proxy_pass http://sandbox/v2/actions;
        }
        location = /elsewhere { proxy_pass http://sandbox/elsewhere; }
END

$server =~ s/MAP/$map/g;

my %how = (redis => $redis, sandbox => $sandbox, workers => 2,
           server => $server, http => <<'END');
    zapier_limit_zone few    key=$zapier_tenant limit=3 window=60s mirror=off;
    zapier_limit_zone soon   key=$zapier_tenant limit=2 window=2s mirror=off;
    zapier_limit_zone mirror key=$zapier_tenant mirror=on;
END

my $node  = node(%how);
my $other = node(%how);

token($redis, $_) for qw(acme zeta t1 t2 t3 t4 t5 t6 t7 t8);
token($redis, 'narrow', scope => 'action:run');

sub post {
    my ($body, %how) = @_;

    return client($how{node} // $node)->request(
        POST => $how{path} // '/run',
        {'X-Tenant' => $how{tenant} // 'acme', %{$how{headers} // {}}},
        $body);
}

sub run { my ($name, @how) = @_;
          return post(qq({"action":"$name","inputs":{}}), @how) }

# Several at a time: the answers to all of them

sub together {
    my ($n, $body, %how) = @_;
    my @clients = map { client($_ % 2 && $how{other} ? $other : $node) }
                      1 .. $n;

    for my $http (@clients) {
        $http->send("POST $how{path} HTTP/1.1\r\nHost: x\r\nX-Tenant: "
                    . "$how{tenant}\r\nContent-Length: " . length($body)
                    . "\r\n\r\n$body");
    }

    return map { $_->read } @clients;
}

sub sent { map { "$_->{method} $_->{target}" } $sandbox->requests }
sub gets { grep { /^GET/ } sent() }
sub actions { map { $_->{action} // 'none' }
              grep { $_->{method} eq 'POST' } $sandbox->requests }
sub error { my ($r) = @_;
            my $e = eval { decode_json($r->{body})->{errors}[0] };
            return "$r->{status} " . ($e->{code} // $r->{body} // '') }


subtest 'a call' => sub {
    $sandbox->forget;

    my $r = run('mail');

    is $r->{status}, 200, 'is made';
    is_deeply [sent()], ['GET /v2/actions?app=a1%26b%20c',
                         'POST /v2/action-runs'], 'after a look-up';

    my ($get, $post) = $sandbox->requests;

    is $get->{headers}{Authorization}[0], 'Bearer sandbox-acme',
        "with the tenant's token";
    is $get->{headers}{'X-Tenant-Was'}[0], 'acme', 'for whom';
    is $post->{action}, "$app/send_email/WRITE", 'with the id it has now';
    like $post->{body}, qr/^\{"data":\{"action":"core:\d+","inputs":
                           \{"from":"me"\},"authentication":"auth1"\}\}$/x,
        'and what else the map has';
    is $post->{complaint}, undef, 'as the contract wants it';

    run('mail');
    is scalar(gets()), 2, 'each call looks up anew';
    isnt +($sandbox->requests)[3]{body}, $post->{body}, 'another id';

    $sandbox->forget;
    run('fixed');
    run('core:x');
    is scalar(gets()), 0, 'a fixed id is not looked up, nor is an id';

    $sandbox->forget;
    post('{"to":1}', path => '/named');
    is_deeply [actions()], ["$app/send_email/WRITE"], "the location's name";
};


subtest 'pages' => sub {
    $sandbox->forget;
    is run('deep')->{status}, 200, 'on the last page';
    is_deeply [gets()], ['GET /v2/actions?app=x',
                         'GET /v2/actions?app=x&limit=10&offset=10',
                         'GET /v2/actions?app=x&limit=10&offset=20'],
        'all pages are asked for, here and not where they say';
    is_deeply [actions()], ['x/action_24/WRITE'], 'found';

    $sandbox->forget;
    run('typed');
    is scalar(gets()), 2, 'with a type there are fewer';
    is +(gets())[0], 'GET /v2/actions?app=x&action_type=WRITE', 'it is told';

    $sandbox->forget;
    is run('read')->{status}, 200, 'the type tells which';
    is_deeply [actions()], ['x/contact/READ'], 'of two';

    $sandbox->forget;
    is error(run('both')), '502 upstream_invalid', 'without it, none';
    is_deeply [actions()], [], 'is run';
    like $node->log, qr/has several actions with this key, "type" may/,
        'the log says why';
};


subtest 'faults' => sub {
    $sandbox->forget;

    my $r = run('gone');
    my $e = decode_json($r->{body})->{errors}[0];

    is $r->{status}, 400, 'no such key';
    is $e->{code}, 'unknown_action', 'its code';
    is $e->{source}{pointer}, '/action', 'and place';
    is_deeply [actions()], [], 'nothing is run';
    like $node->log, qr/app "x" has no action with the key "gone"/, 'logged';

    $sandbox->forget;
    is error(run('strict')), '400 invalid_input', 'inputs at fault';
    is scalar $sandbox->requests, 0, 'before anything is spent';

    my %step = (
        '502 upstream_invalid: 500' => {status => 500},
        '502 upstream_invalid: 403' => {status => 403, body => '{}'},
        '502 upstream_invalid: a redirect'
            => {status => 302, headers => {Location => 'http://127.0.0.1/'}},
        '502 upstream_invalid: closed' => {close => 'before', times => 3},
        '502 upstream_invalid: cut off' => {truncate => 20},
        '502 upstream_invalid: no JSON' => {body => '{"data":['},
        '502 upstream_invalid: no page' => {body => '{"data":{}}'},
        '502 upstream_invalid: no id'
            => {body => '{"data":[{"key":"send_email"}]}'},
        '502 upstream_invalid: no query'
            => {body => '{"data":[{}],"links":{"next":"http://x/"}}'},
        '502 upstream_invalid: a bad query' => {body =>
            '{"data":[{}],"links":{"next":"http://x/?a b"}}'},
        '502 upstream_invalid: for ever' => {times => 99, body =>
            '{"data":[{}],"links":{"next":"http://x/?a"}}'},
        '400 unknown_action: nothing'
            => {body => '{"data":[],"links":{"next":"http://x/?a"}}'},
    );

    for my $case (sort keys %step) {
        my ($want) = $case =~ /^(.*):/;

        $sandbox->clear;
        $sandbox->script({method => 'GET', status => 200, %{$step{$case}}});

        my $r = run('mail');

        is error($r), $want, $case;
        like $r->{body}, qr/"sent":false/, 'it says so' if $want =~ /^502/;
        is_deeply [actions()], [], 'nothing is run';
        cmp_ok scalar(gets()), '<=', 20, 'pages are counted';
    }

    $sandbox->clear;
    is error(run('mail', path => '/astray')), '502 upstream_invalid',
        'no location';

    $sandbox->script({method => 'GET', status => 500});
    is error(run('mail', path => '/turned')), '502 upstream_invalid',
        'an error_page';
    is scalar(grep { /elsewhere/ } sent()), 0, 'gets no token';

    is error(run('mail', tenant => 'narrow', path => '/scoped')),
        '403 scope_missing', 'a scope is missing';
    is error(run('mail', tenant => 'nobody')), '401 token_missing',
        'there is no token';
    is run('mail')->{status}, 200, 'all is well again';
};


subtest 'quota' => sub {
    $sandbox->clear;

    my $r = run('mail', path => '/few', tenant => 't1');

    is $r->{status}, 200, 'two of three';
    is $r->{headers}{'x-ratelimit-remaining'}, 1, 'are spent';

    $r = run('mail', path => '/few', tenant => 't1');
    is error($r), '429 rate_limited', 'the call is refused';
    is scalar(gets()), 2, 'after its look-up';

    $r = run('mail', path => '/few', tenant => 't1');
    is error($r), '429 rate_limited', 'and the look-up is';
    is scalar(gets()), 2, 'which is not made';

    my $e = decode_json($r->{body})->{errors}[0];

    is $e->{meta}{scope}, 'few', 'by which zone';
    ok $r->{headers}{'retry-after'} > 50, 'until when';

    $sandbox->clear;
    $sandbox->script({method => 'GET', status => 429,
                      headers => {'Retry-After' => 77}});
    $r = run('mail', path => '/mirror', tenant => 't1');
    is error($r), '429 rate_limited', 'a 429 of the upstream';
    ok $r->{headers}{'retry-after'} > 70, 'says until when';
    is error(run('core:x', path => '/mirror', tenant => 't1')),
        '429 rate_limited', 'and closes the gate for calls';
    is scalar $sandbox->requests, 1, 'which are not sent';
};


subtest 'waiting for quota' => sub {
    $sandbox->clear;

    my @r = together(2, '{"action":"mail","inputs":{}}', path => '/queue',
                     tenant => 't2');

    is_deeply [map { $_->{status} } @r], [200, 200], 'both have their turn';
    cmp_ok scalar(gets()), '<=', 2, 'of look-ups, too';
};


subtest 'managed calls' => sub {
    $sandbox->clear;

    my %key = (headers => {'Idempotency-Key' => 'k1'}, path => '/wait');
    my $r = run('mail', %key);

    is $r->{status}, 200, 'a run';
    is decode_json($r->{body})->{data}{status}, 'success', 'is waited for';

    # an outcome is recorded after the answer

    ok soon { $r = run('mail', %key); $r->{status} == 200 }, 'it is repeated';
    is $r->{headers}{'idempotency-replayed'}, 'true', 'and replayed';
    is scalar(grep { m{/v2/actions} } sent()), 1, 'without a look-up';
    is scalar(actions()), 1, 'or a call';

    is error(run('deep', %key)), '422 idempotency_mismatch',
        "the caller's body counts";

    $sandbox->script({method => 'GET', path => 'v2/actions', status => 500});
    $key{headers} = {'Idempotency-Key' => 'k2'};
    is error(run('mail', %key)), '502 upstream_invalid', 'a failed look-up';
    is run('mail', %key)->{status}, 200, 'leaves no trace';
};


subtest 'several runs' => sub {
    $sandbox->clear;
    $sandbox->script({method => 'GET', delay => 200});

    my $r = post('[' . join(',', ('{"action":"mail","inputs":{}}') x 8,
                            '{"action":"gone","inputs":{}}',
                            '{"action":"fixed","inputs":{}}') . ']',
                 path => '/bulk');
    my @data = @{decode_json($r->{body})->{data}};

    is_deeply [map { $_->{status} } @data], [(200) x 8, 400, 200],
        'each is answered';
    is $data[8]{body}{errors}[0]{source}{pointer}, '/8/action', 'in place';
    is scalar(grep { /app=a1/ } gets()), 1, 'one look-up for all';
    is_deeply [grep { /send_email/ } actions()],
        [("$app/send_email/WRITE") x 8], 'the id of it';

    post('[{"action":"mail","inputs":{}}]', path => '/bulk');
    is scalar(grep { /app=a1/ } gets()), 2, 'but the next request has its own';
};


subtest 'many at a time' => sub {
    $sandbox->clear;
    $sandbox->script({method => 'GET', delay => 1500});

    my @r = together(12, '{"action":"mail","inputs":{}}', path => '/run',
                     tenant => 't3');

    is_deeply [map { $_->{status} } @r], [(200) x 12], 'all are answered';
    is scalar(gets()), 1, 'one look-up on a node';

    $sandbox->clear;
    $sandbox->script({method => 'GET', delay => 1500, status => 500});
    @r = together(6, '{"action":"mail","inputs":{}}', path => '/run',
                  tenant => 't3');

    is_deeply [map { error($_) } @r], [('502 upstream_invalid') x 6],
        'a failure is for all';
    is scalar(gets()), 1, 'it is one, too';
};


subtest 'a client goes away' => sub {
    $sandbox->clear;
    $sandbox->script({method => 'GET', delay => 1500});

    my $body = '{"action":"mail","inputs":{}}';
    my $http = client($node);

    $http->send("POST /cached HTTP/1.1\r\nHost: x\r\nX-Tenant: t4\r\n"
                . 'Content-Length: ' . length($body) . "\r\n\r\n$body");
    ok soon(sub { gets() == 1 }), 'while the id is looked up';
    $http->close;
    ok soon(sub { $redis->cmd('KEYS', 'zapier:action:{t4}:*') }),
        'the id is kept all the same';
    is_deeply [actions()], [], 'nothing is run';
    is run('mail', tenant => 't4', path => '/cached')->{status}, 200,
        'the next one';
    is scalar(gets()), 1, 'has use for it';
};


subtest 'a cache' => sub {
    $sandbox->clear;

    my %how = (path => '/cached', tenant => 't5');

    is run('mail', %how)->{status}, 200, 'a call' for 1 .. 3;
    is scalar(gets()), 1, 'one look-up';
    is run('mail', %how, node => $other)->{status}, 200, 'another node';
    is scalar(gets()), 1, 'has the same';

    my %ids = map { $_->{body} => 1 }
              grep { $_->{method} eq 'POST' } $sandbox->requests;
    is scalar(keys %ids), 1, 'id';

    run('mail', %how, tenant => 't6');
    is scalar(gets()), 2, 'another tenant has not';

    my ($key) = $redis->cmd('KEYS', 'zapier:action:{t5}:*');
    my ($id) = (keys %ids)[0] =~ /"action":"(.*?)"/;

    is $redis->cmd('GET', $key), $id, 'it is in Redis';
    cmp_ok $redis->cmd('PTTL', $key), '<=', 60000, 'for a minute';

    run('mail', %how, path => '/run');
    is scalar(gets()), 3, 'who wants it fresh asks';

    run('mail', %how, path => '/short');
    is scalar(gets()), 4, 'another time';
    run('mail', %how, path => '/short');
    my $n = gets();
    sleep 0.4;
    run('mail', %how, path => '/short');
    is scalar(gets()), $n + 1, 'is over soon';

    $sandbox->forget;
    run('gone', %how) for 1 .. 3;
    is scalar(gets()), 1, 'what there is not is remembered';

    $sandbox->forget;
    $redis->cmd('SET', "$_", 'x') for $key;
    $node->reload;
    is run('mail', %how)->{status}, 200, 'a reload';
    is scalar(gets()), 0, 'forgets nothing';
};


# How look-ups authenticate themselves is the business of their location.

subtest 'other ways to ask' => sub {
    my $secret = "$redis->{dir}/client.secret";

    open my $file, '>', $secret or die "$secret: $!";
    print $file "sandbox-secret\n";
    close $file;

    my $auth = node(redis => $redis, sandbox => $sandbox, server => <<END,
        zapier_tenant \$http_x_tenant;
        zapier_limit  off;
        include       \$params;

        location = /token   { internal; zapier_tenant off;
                              include \$params;
                              proxy_pass http://sandbox/oauth/token/; }
        location = /v2/actions { internal; proxy_pass http://sandbox; }
        location = /client  { internal; zapier_auth client_id;
                              proxy_pass http://sandbox/v2/actions; }
        location = /retry   { zapier_body action_run; zapier_retry 401;
                              zapier_action_map $map lookup=/v2/actions;
                              proxy_pass http://sandbox/v2/action-runs; }
        location = /once    { zapier_body action_run;
                              zapier_action_map $map lookup=/v2/actions;
                              proxy_pass http://sandbox/v2/action-runs; }
        location = /by-id   { zapier_body action_run;
                              zapier_action_map $map lookup=/client;
                              proxy_pass http://sandbox/v2/action-runs; }
END
        http => <<END);
    zapier_oauth_client sandbox-client $secret;
    zapier_oauth_token  /token timeout=5s;
END

    token($redis, 't8', $sandbox->token_record('t8', lifetime => 3600));

    my %how = (node => $auth, tenant => 't8');

    $sandbox->script({method => 'GET', status => 401});
    $sandbox->forget;
    is run('mail', %how, path => '/retry')->{status}, 200,
        'a token that is refused';
    is scalar(gets()), 2, 'is refreshed for a second look-up';

    my @tokens = map { $_->{headers}{Authorization}[0] } $sandbox->requests;

    isnt $tokens[1], $tokens[0], 'with the new one';
    is $tokens[2], $tokens[1], 'and so is the call';

    $sandbox->script({method => 'GET', status => 401});
    $sandbox->forget;
    is error(run('mail', %how, path => '/once')), '502 upstream_invalid',
        'but not without zapier_retry';
    is run('mail', %how, path => '/once')->{status}, 200,
        'which the next one has the use of';

    $sandbox->forget;
    is run('deep', %how, path => '/by-id')->{status}, 200, 'by client_id';
    is_deeply [gets()], [
        'GET /v2/actions?app=x&client_id=sandbox-client',
        'GET /v2/actions?app=x&limit=10&offset=10&client_id=sandbox-client',
        'GET /v2/actions?app=x&limit=10&offset=20&client_id=sandbox-client',
    ], 'on every page';
    is scalar(grep { $_->{method} eq 'GET' && $_->{headers}{Authorization} }
              $sandbox->requests), 0, 'and no token';
    is_deeply [$auth->complaints], [], 'no alerts';
    ok $auth->stop, 'stopped in time';
};


subtest 'without Redis' => sub {
    $sandbox->clear;
    run('core:x', tenant => $_) for qw(t7);
    $redis->stop;

    is run('mail', tenant => 't7', path => '/cached')->{status}, 200,
        'ids are looked up';
    is scalar(gets()), 1, 'at the upstream';
    is run('mail', tenant => 't7', path => '/cached')->{status}, 200,
        'and kept';
    is scalar(gets()), 1, 'by the node';
};


is_deeply [$node->complaints('redis\.sock failed')], [], 'no alerts';
is_deeply [$other->complaints('redis\.sock failed')], [], 'none there';
unlike $node->log . $other->log, qr/sandbox-(?:acme|t\d)/, 'no token logged';
ok $node->stop, 'stopped in time';
ok $other->stop, 'the other one too';

done_testing;
