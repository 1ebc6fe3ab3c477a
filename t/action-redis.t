# zapier_action_map redis: entries that are in Redis.

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

open my $file, '>', $map or die "$map: $!";
print $file '{"mail": {"action": "core:file"}}';
close $file;

my $server = <<'END';
        zapier_tenant     $http_x_tenant;
        zapier_limit      off;
        include           $params;

        location = /zapier-actions {
            internal;
            proxy_pass http://sandbox/v2/actions;
        }
        location = /run    { zapier_body action_run;
                             zapier_action_map redis lookup=/zapier-actions
                                 entry_cache=300ms;
                             proxy_pass http://sandbox/v2/action-runs; }
        location = /both   { zapier_body action_run;
                             zapier_action_map MAP redis strict
                                 entry_cache=300ms;
                             proxy_pass http://sandbox/v2/action-runs; }
        location = /long   { zapier_body action_run;
                             zapier_action_map redis entry_cache=1h;
                             proxy_pass http://sandbox/v2/action-runs; }
        location = /keyed  { zapier_body action_run; zapier_idempotency on;
                             zapier_action_map redis strict entry_cache=1ms;
                             proxy_pass http://sandbox/v2/action-runs; }
        location = /bulk   { zapier_body action_runs;
                             zapier_action_map redis strict
                                 lookup=/zapier-actions;
                             proxy_pass http://sandbox/v2/action-runs; }
END

$server =~ s/MAP/$map/g;

my $node = node(redis => $redis, sandbox => $sandbox, workers => 2,
                server => $server, http => 'zapier_token_cache 1h;');

token($redis, 'acme');

sub entry { my ($name, $entry) = @_;
            $redis->cmd(HSET => 'zapier:actions', $name,
                        ref $entry ? encode_json($entry) : $entry) }

# Redis's own count of a command

sub calls {
    my ($command) = @_;
    my ($n) = $redis->cmd(INFO => 'commandstats')
              =~ /^cmdstat_$command:calls=(\d+)/m;

    return $n // 0;
}

sub post {
    my ($body, %how) = @_;

    return client($node)->request(
        POST => $how{path} // '/run',
        {'X-Tenant' => 'acme', %{$how{headers} // {}}}, $body);
}

sub run { my ($name, @how) = @_;
          return post(qq({"action":"$name","inputs":{}}), @how) }

sub error { my ($r) = @_;
            my $e = eval { decode_json($r->{body})->{errors}[0] };
            return "$r->{status} " . ($e->{code} // $r->{body} // '') }

# What the upstream is sent as the action, or the error

sub sent {
    $sandbox->forget;

    my $r = run(@_);
    my @calls = grep { $_->{method} eq 'POST' } $sandbox->requests;

    return error($r) if $r->{status} != 200 || @calls != 1;
    return decode_json($calls[0]{body})->{data}{action};
}


subtest 'entries' => sub {
    entry(mail => {action => 'core:1', authentication => 'a',
                   inputs => {from => 'x'}});
    entry('größe', {action => 'core:size'});
    entry(chat => {app => 'x', key => 'send_email'});

    $sandbox->forget;
    is post('{"action":"mail","inputs":{"to":1}}')->{status}, 200, 'a name';
    is +($sandbox->requests)[0]{body},
        '{"data":{"action":"core:1","inputs":{"to":1,"from":"x"},'
        . '"authentication":"a"}}', 'is replaced';
    is sent('größe'), 'core:size', 'in UTF-8';
    is sent('gr\u00f6\u00dfe'), 'core:size', 'or with escapes';
    like sent('chat'), qr/^core:\d+$/, 'its id is looked up';
    is +($sandbox->requests)[1]{action}, 'x/send_email/WRITE', 'by its key';
    is sent('nope'), 'nope', 'what is no name is an id';

    my $n = calls('hget');

    is sent('core:x'), 'core:x', 'what has a colon';
    is sent('x' x 256), 'x' x 256, 'or is too long';
    is calls('hget'), $n, 'is not looked for';
};


subtest 'a file comes first' => sub {
    is sent('mail', path => '/both'), 'core:file', 'a name of the file';
    is sent('größe', path => '/both'), 'core:size', 'one of Redis';
    is sent('nope', path => '/both'), '400 unknown_action', 'none';
    is sent('core:x', path => '/both'), '400 unknown_action', 'an id';
    is sent('chat', path => '/both'), '503 store_unavailable',
        'one that cannot be looked up here';
    like $node->log, qr/action "chat" .* to be looked up, which needs "lookup/,
        'logged';
};


subtest 'changes' => sub {
    my $since = time;

    entry(mail => {action => 'core:2'});
    ok soon(sub { sent('mail') eq 'core:2' }), 'a changed entry';
    cmp_ok time - $since, '<', 3, 'counts soon';

    $redis->cmd(HDEL => 'zapier:actions', 'mail');
    ok soon(sub { sent('mail') eq 'mail' }), 'a deleted one';
    is sent('mail', path => '/both'), 'core:file', 'not for the file';

    entry(mail => {action => 'core:3'});
    ok soon(sub { sent('mail') eq 'core:3' }), 'one that was missing';

    is sent('mail', path => '/long'), 'core:3', 'one that is kept longer';

    my $n = calls('hget');

    is sent('mail', path => '/long'), 'core:3', 'is kept' for 1 .. 10;
    is calls('hget'), $n, 'by all workers';

    entry(mail => {action => 'core:4'});
    sleep 0.5;
    is sent('mail', path => '/long'), 'core:3', 'as long as it says';
};


subtest 'schemas' => sub {
    entry(strict => {action => 'core:s',
                     schema => {required => ['to'],
                                properties => {to => {type => 'string',
                                                      pattern => '@'}}}});

    my $fault = sub {
        my $r = post(qq({"data":{"action":"strict","inputs":$_[0]}}));
        my $e = decode_json($r->{body})->{errors}[0];

        return "$r->{status} $e->{code} $e->{source}{pointer}";
    };

    for (1 .. 3) {
        $sandbox->forget;
        is $fault->('{"to":"x"}'), '400 invalid_input /data/inputs/to',
            'inputs at fault';
        is $fault->('{}'), '400 invalid_input /data/inputs/to', 'none';
        is scalar $sandbox->requests, 0, 'nothing is sent';
    }

    is post('{"action":"strict","inputs":{"to":"a@b"}}')->{status}, 200,
        'and right';

    entry(strict => {action => 'core:s', schema => {required => ['cc']}});
    ok soon(sub { $fault->('{"to":"x"}')
                  eq '400 invalid_input /data/inputs/cc' }), 'another schema';
};


subtest 'faults' => sub {
    my %wrong = (
        'not JSON'     => ['{"action":', qr/line 1: /],
        'empty'        => ['', qr/line 1: /],
        'an array'     => ['[]', qr/an object is needed/],
        'no id'        => ['{}', qr{/action: a string is needed}],
        'no such'      => ['{"actoin":"x"}', qr{/actoin: there is no such}],
        'a bad schema' => ['{"action":"x","schema":{"maxLength":"3"}}',
                           qr{/schema: /maxLength: a whole number}],
    );

    for my $case (sort keys %wrong) {
        my $name = "wrong-$case" =~ s/ /-/gr;

        entry($name => $wrong{$case}[0]);
        is sent($name), '503 store_unavailable', $case;
        is scalar $sandbox->requests, 0, 'nothing is sent';
        like $node->log, qr/"$name" in Redis is at fault: .*$wrong{$case}[1]/,
            'logged';
    }

    entry(mail => '{"action":"core:5"}');
    ok soon(sub { sent('mail') eq 'core:5' }), 'the others are well';
};


subtest 'many names' => sub {
    entry("n$_" => {action => "core:n$_"}) for 1 .. 300;
    is sent("n$_"), "core:n$_", "name $_" for 1 .. 300;
    is sent('n1'), 'core:n1', 'the first one again';
};


subtest 'several runs' => sub {
    my $r = post('[{"action":"chat","inputs":{}},{"action":"mail",'
                 . '"inputs":{}},{"action":"nope","inputs":{}},'
                 . '{"action":"strict","inputs":{}}]', path => '/bulk');
    my @data = @{decode_json($r->{body})->{data}};

    is_deeply [map { $_->{status} } @data], [200, 200, 400, 400], 'each';
    is $data[2]{body}{errors}[0]{code}, 'unknown_action', 'no name';
    is $data[3]{body}{errors}[0]{source}{pointer}, '/3/inputs/cc',
        'inputs at fault';
};


subtest 'without Redis' => sub {
    my %key = (headers => {'Idempotency-Key' => 'k'}, path => '/keyed');

    is run('mail', %key)->{status}, 200, 'a call with a key';
    $redis->cmd(HDEL => 'zapier:actions', 'mail');
    sleep 0.01;

    # an outcome is recorded after the answer

    my $r;

    ok soon(sub { $r = run('mail', %key); $r->{status} == 200 }),
        'is repeated';
    is $r->{headers}{'idempotency-replayed'}, 'true',
        'and replayed whatever its name stands for';
    entry(mail => '{"action":"core:6"}');
    ok soon(sub { sent('mail') eq 'core:6' }), 'it is there';

    $redis->stop;
    sleep 0.4;

    is sent('mail'), 'core:6', 'what was known is used';
    is sent('unheard-of'), '503 store_unavailable', 'of others nobody knows';
    is scalar $sandbox->requests, 0, 'nothing is sent';
    is sent('core:x'), 'core:x', 'ids are ids';
    is sent('mail', path => '/both'), 'core:file', 'and the file is there';
};


is_deeply [$node->complaints('redis\.sock failed')], [], 'no alerts';
ok $node->stop, 'stopped in time';

done_testing;
