# "schema" in a zapier_action_map: what is wrong with the inputs is told before
# anything is spent.

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
        "inputs": {"tries": 3},
        "schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "required": ["to", "tries"],
            "properties": {
                "to": {"type": "string", "pattern": "^[^@]+@[^@]+$",
                       "maxLength": 20},
                "cc": {"type": "array", "items": {"$ref": "#/properties/to"}},
                "tries": {"type": "integer", "maximum": 5},
                "n": {"type": "number"}
            },
            "additionalProperties": false
        }
    }
}
END

my $node = node(redis => $redis, sandbox => $sandbox, workers => 2,
                server => <<"END");
        zapier_tenant     \$http_x_tenant;
        zapier_action_map $map;
        zapier_limit      off;
        include           \$params;

        location = /run  { zapier_body action_run;
                           proxy_pass http://sandbox/v2/action-runs; }
        location = /mail { zapier_body action_run;
                           zapier_action send-email;
                           proxy_pass http://sandbox/v2/action-runs; }
END

token($redis, 'acme');

sub post {
    my ($body, $path) = @_;

    $sandbox->forget;

    return client($node)->request(POST => $path // '/run',
                                  {'X-Tenant' => 'acme'}, $body);
}

# "POINTER KEYWORD" of each fault

sub faults {
    my $r = post(@_);

    return "$r->{status} $r->{body}" if $r->{status} != 400;

    return join ', ', map {
        my ($keyword) = $_->{detail} =~ /\((\w+)\)$/;
        "$_->{code} $_->{source}{pointer} $keyword";
    } @{decode_json($r->{body})->{errors}};
}

my $good = '{"to":"a@b","n":12345678901234567890}';

is post(qq({"action":"send-email","inputs":$good}))->{status}, 200, 'valid';
is +($sandbox->requests)[0]{body},
    '{"data":{"action":"core:mail1","inputs":{"to":"a@b",'
    . '"n":12345678901234567890,"tries":3},"authentication":null}}',
    'sent to the byte';

is faults('{"action":"send-email","inputs":{"to":"a"}}'),
    'invalid_input /inputs/to pattern', 'one fault';
is scalar $sandbox->requests, 0, 'nothing is sent';
is faults('{"data":{"action":"send-email","input":{"cc":["a@b",1,"c"],'
          . '"a/b":1,"tries":9}}}'),
    'invalid_input /data/input/to required, '
    . 'invalid_input /data/input/cc/1 type, '
    . 'invalid_input /data/input/cc/2 pattern, '
    . 'invalid_input /data/input/a~1b false, '
    . 'invalid_input /data/input/tries maximum', 'all faults, in place';
is faults('{"to":1}', '/mail'), 'invalid_input /to type', 'bare inputs';
is faults('{"action":"send-email","inputs":{"to":"a@b","n":1e400}}'),
    'invalid_input /inputs type', 'a number that nobody can hold';
is post('{"action":"core:x","inputs":{"n":1e400}}')->{status}, 200,
    'another action is free';

unlike post('{"action":"send-email","inputs":{"to":"my secret"}}')->{body},
    qr/my secret/, 'the value is not in the answer';
unlike $node->log, qr/my secret/, 'nor in the log';
is_deeply [$node->complaints], [], 'no alerts';

for my $case (['{"a":{"action":"x","schema":1}}', '/a/schema: a schema is'],
              ['{"a":{"action":"x","schema":{"maxLength":"3"}}}',
               '/a/schema: /maxLength: a whole number'],
              ['{"a":{"action":"x","schema":{"$ref":"http://x/y"}}}',
               '/a/schema: /$ref: it leads nowhere'])
{
    write_map($case->[0]);

    my ($command, @args) = $node->command('-t');

    like `$command @args 2>&1`, qr/\[emerg\].*\Q$case->[1]\E/, $case->[0];
}

ok $node->stop, 'stopped in time';

done_testing;
