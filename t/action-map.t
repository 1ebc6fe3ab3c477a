# zapier_action_map: callers name actions, and leave out what is the same every
# time.

use strict;
use warnings;

use lib 't/lib';
use JSON::PP;
use Test::More;
use ZapierNode;

my $redis   = redis();
my $sandbox = sandbox();
my $map     = "$redis->{dir}/actions.json";

sub write_map {
    my ($text) = @_;

    open my $file, '>', $map or die "$map: $!";
    print $file $text;
    close $file;
}

write_map(<<'END');
{
    "send-email": {
        "action": "core:mail1",
        "authentication": "common",
        "authentications": {"acme": "acme's \"own\"", "zeta": "zeta1"},
        "inputs": {"from": "noreply@example.com", "tries": 3,
                   "a/\"b": {"deep": [1, 2.5, null]}}
    },
    "bare": {"action": "core:bare"},
    "größe": {"action": "core:size"}
}
END

my $server = <<'END';
        zapier_tenant     $http_x_tenant;
        zapier_action_map MAP;
        include           $params;

        location = /run    { zapier_body action_run;
                             proxy_pass http://sandbox/v2/action-runs; }
        location = /strict { zapier_body action_run;
                             zapier_action_map MAP strict;
                             proxy_pass http://sandbox/v2/action-runs; }
        location = /mail   { zapier_body action_run;
                             zapier_action send-email;
                             zapier_action_map MAP strict;
                             proxy_pass http://sandbox/v2/action-runs; }
        location = /none   { zapier_body action_run;
                             zapier_action no-such;
                             zapier_action_map MAP strict;
                             proxy_pass http://sandbox/v2/action-runs; }
        location = /off    { zapier_body action_run;
                             zapier_action_map off;
                             proxy_pass http://sandbox/v2/action-runs; }
        location = /keyed  { zapier_body action_run; zapier_idempotency on;
                             zapier_wait 2s interval=50ms;
                             proxy_pass http://sandbox/v2/action-runs; }
        location = /small  { zapier_body action_run max=200;
                             proxy_pass http://sandbox/v2/action-runs; }
END

$server =~ s/MAP/$map/g;

my $node = node(redis => $redis, sandbox => $sandbox, workers => 2,
                server => $server);

token($redis, $_) for qw(acme zeta other);

sub post {
    my ($body, %how) = @_;

    return client($node)->request(
        POST => $how{path} // '/run',
        {'X-Tenant' => $how{tenant} // 'acme', %{$how{headers} // {}}},
        $body);
}

sub sent { $sandbox->forget; my $r = post(@_); my @r = $sandbox->requests;
           return @r == 1 && $r->{status} == 200 ? $r[0]{body}
                : scalar(@r) . " calls, $r->{status}: $r->{body}" }

my $defaults = '"from":"noreply@example.com","tries":3,'
             . '"a/\"b":{"deep":[1,2.5,null]}';
my $own = '"acme\'s \"own\""';


subtest 'names' => sub {
    is sent('{"data":{"action":"bare","authentication":null,"inputs":{}}}'),
        '{"data":{"action":"core:bare","authentication":null,"inputs":{}}}',
        'a name is replaced by its id';
    is sent('{"action":"core:x","inputs":{}}'),
        '{"data":{"action":"core:x","inputs":{},"authentication":null}}',
        'what is no name is an id';
    is sent('{"action":"b\u0061re","inputs":{}}'),
        '{"data":{"action":"core:bare","inputs":{},"authentication":null}}',
        'escapes do not hide it';
    is sent('{"action":"größe","inputs":{}}'),
        '{"data":{"action":"core:size","inputs":{},"authentication":null}}',
        'nor does UTF-8';
    is sent('{"action":"Bare","inputs":{}}'),
        '{"data":{"action":"Bare","inputs":{},"authentication":null}}',
        'case matters';
    is sent('{"action":"bare","inputs":{}}', path => '/off'),
        '{"data":{"action":"bare","inputs":{},"authentication":null}}',
        'off';
};


subtest 'authentications' => sub {
    my $body = sub { qq({"action":"send-email","authentication":$_[0],)
                     . '"inputs":{"from":1,"tries":1,"a/\"b":1}}' };
    my $out = sub { qq({"data":{"action":"core:mail1","authentication":$_[0],)
                    . '"inputs":{"from":1,"tries":1,"a/\"b":1}}}' };

    is sent($body->('null')), $out->($own), "the tenant's";
    is sent($body->('null'), tenant => 'zeta'), $out->('"zeta1"'),
        "another's";
    is sent($body->('null'), tenant => 'other'), $out->('"common"'),
        'the one for all';
    is sent($body->('"mine"')), $out->('"mine"'), "the caller's comes first";
};


subtest 'inputs' => sub {
    my $sent = sub {
        my ($inputs) = @_;

        return sent(qq({"inputs":$inputs,"action":"send-email"}))
            =~ s/^\{"data":\{"inputs":(.*),"action":"core:mail1",
                 "authentication":\Q$own\E\}\}$/$1/xsr;
    };

    is $sent->('{}'), "{$defaults}", 'all defaults';
    is $sent->("{ \n}"), "{ \n$defaults}", 'in an empty object';
    is $sent->('{"to":1e400, "x":{"from":1}}'),
        qq({"to":1e400, "x":{"from":1},$defaults}), 'beside others';
    is $sent->('{"tries":9, "fr\u006fm":null}'),
        '{"tries":9, "fr\u006fm":null,"a/\"b":{"deep":[1,2.5,null]}}',
        'but those that are there';
    is sent('{"data":{"input":{"b":12345678901234567890,"a":1},'
            . '"action":"bare"}}'),
        '{"data":{"inputs":{"b":12345678901234567890,"a":1},'
        . '"action":"core:bare","authentication":null}}', 'to the byte';
    is sent('{"to":"x"}', path => '/mail'),
        qq({"data":{"action":"core:mail1","authentication":$own,)
        . qq("inputs":{"to":"x",$defaults}}}), 'bare inputs';

    my $long = '{"t":"' . 'x' x 300_000 . '"}';

    is length sent(qq({"action":"bare","inputs":$long})),
        length(qq({"data":{"action":"core:bare","inputs":$long,)
               . '"authentication":null}}'), 'a long body';
};


subtest 'strict' => sub {
    for my $case (['{"action":"core:x","inputs":{}}', '/action'],
                  ['{"data":{"action":"core:x","inputs":{}}}',
                   '/data/action'])
    {
        $sandbox->forget;

        my $r = post($case->[0], path => '/strict');
        my $e = decode_json($r->{body})->{errors}[0];

        is $r->{status}, 400, 'another action is refused';
        is $e->{code}, 'unknown_action', 'its code';
        is $e->{source}{pointer}, $case->[1], 'and place';
        is scalar $sandbox->requests, 0, 'nothing is sent';
    }

    my $e = decode_json(post('{"to":1}', path => '/none')->{body})->{errors}[0];

    is $e->{code}, 'unknown_action', 'that of the location, too';
    is $e->{source}, undef, 'which is no fault of the body';
    like sent('{"action":"bare","inputs":{}}', path => '/strict'),
        qr/"core:bare"/, 'names are known';
};


subtest 'managed calls' => sub {
    my $body = '{"action":"send-email","inputs":{}}';
    my %key = (headers => {'Idempotency-Key' => 'k1'}, path => '/keyed');

    $sandbox->forget;
    my $r = post($body, %key);

    is $r->{status}, 200, 'a run is waited for';

    # an outcome is recorded after the answer

    ok soon { (post($body, %key)->{headers}{'idempotency-replayed'} // '')
              eq 'true' }, 'and replayed';
    is scalar(grep { $_->{method} eq 'POST' } $sandbox->requests), 1,
        'one call';
};


subtest 'sizes' => sub {
    is post('{"action":"bare","inputs":{"a":"' . 'x' x 300 . '"}}',
            path => '/small')->{status}, 413, 'too large a body';
    like sent('{"action":"send-email","inputs":{"a":"' . 'x' x 100 . '"}}',
              path => '/small'), qr/noreply/, 'defaults do not count';
};


is_deeply [$node->complaints], [], 'no alerts';

subtest 'wrong maps' => sub {
    my %wrong = (
        '{"a":{"action":"x"},}'          => 'line 1: ',
        '[]'                             => 'an object is needed',
        '{"a":{"action":"x"},"a":{}}'    => 'duplicate',
        '{"a":[]}'                       => '/a: an object is needed',
        '{"":{"action":"x"}}'            => 'a name must not be empty',
        '{"a/~b":{}}'                    => '/a~1~0b/action: a string',
        '{"a":{"action":""}}'            => '/a/action: a string is needed',
        '{"a":{"action":"x","app":"y","key":"z"}}'
            => '/a/action: this is looked up by "app" and "key"',
        '{"a":{"app":"y"}}'    => '/a/key: a string of 1 to 512 bytes is',
        '{"a":{"key":"y"}}'              => '/a/app: a string is needed',
        '{"a":{"app":"y","key":"z","type":1}}'
            => '/a/type: a string of 1 to 512 bytes is needed',
        '{"a":{"app":"y","key":"z","id":1}}'
            => '/a/id: there is no such field',
        '{"a":{"app":"y","key":"z"}}'
            => 'has "a" to be looked up, which needs "lookup=URI"',
        '{"a":{"action":"x","authentication":null}}'
            => '/a/authentication: a string is needed',
        '{"a":{"action":"x","authentications":{"b c":"y"}}}'
            => '/a/authentications/b c: this is no tenant',
        '{"a":{"action":"x","authentications":{"b":1}}}'
            => '/a/authentications/b: a string is needed',
        '{"a":{"action":"x","inputs":[]}}'
            => '/a/inputs: an object of at most 64 members is needed',
    );

    for my $text (sort keys %wrong) {
        write_map($text);
        my ($command, @args) = $node->command('-t');
        my $out = do { local $ENV{LC_ALL} = 'C';
                       open my $pipe, '-|', "$command @args 2>&1" or die $!;
                       local $/; <$pipe> };

        like $out, qr/\[emerg\] "\Q$map\E" of "zapier_action_map" /,
            'it says which file';
        like $out, qr/\Q$wrong{$text}\E/, $text;
    }

    unlink $map;
    my ($command, @args) = $node->command('-t');
    like `$command @args 2>&1`,
        qr/\[emerg\].*"\Q$map\E" of "zapier_action_map" failed/, 'no file';
};


ok $node->stop, 'stopped in time';

done_testing;
