package Zapier;

# Test::Nginx for this module.
#
#   use lib 't/lib';
#   use Zapier 'no_plan';
#
#   run_tests();
#
#   __DATA__
#
#   === TEST 1: a plain request becomes an envelope
#   --- request
#   POST /v2/action-runs
#   {"action":"core:a","inputs":{}}
#   --- more_headers
#   X-Tenant: acme
#   --- error_code: 200
#   --- sandbox_body
#   {"data":{"action":"core:a","inputs":{},"authentication":null}}
#
# Unless a block says otherwise it gets
#
#   --- http_config   zapier_redis (the private Redis) and the upstream
#                     "sandbox"; each is left out if the block has its own
#   --- config        /v2/action-runs with zapier_body action_run and / without,
#                     tenant $http_x_tenant
#   --- redis         HSET zapier:token:{acme} access_token sandbox-acme
#
# and these sections of ours:
#
#   redis             commands, one a line; Redis is flushed before
#   sandbox_script    JSON: what the sandbox answers next (Sandbox::Answer)
#   sandbox_config    JSON: its limits and tokens
#   sandbox_count     how many requests it must have received
#   sandbox_request   the last one's "METHOD TARGET"
#   sandbox_headers   its headers, "Name: value" or "!Name" a line
#   sandbox_body      its body to the byte (without the section's last newline)
#   sandbox_complaint a pattern; without it a body that breaks the contract is
#                     a failure
#   allow             patterns of [alert], [crit] and [emerg] lines that are
#                     expected, one a line
#
# In texts stand $TEST_NGINX_REDIS_SOCKET, $TEST_NGINX_REDIS_PORT,
# $TEST_NGINX_SANDBOX_PORT, $TEST_NGINX_ZAPIER_PARAMS and the free ports
# $TEST_NGINX_FREE_PORT to + 79.  All is set by t/lib/run-tests.

use strict;
use warnings;

my ($top, $module);

BEGIN {
    require Cwd;
    require File::Basename;

    $top = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../..');
    $module = $ENV{TEST_ZAPIER_MODULE}
        || "$top/build/module/objs/ngx_http_zapier_module.so";

    # the clone may lie where "nobody" cannot go
    $ENV{TEST_NGINX_WORKER_USER} //= 'root' if $> == 0;
    $ENV{TEST_NGINX_ZAPIER_PARAMS} //= "$top/zapier_params";

    my $binary = $ENV{TEST_NGINX_BINARY} || 'nginx';

    $ENV{TEST_NGINX_LOAD_MODULES} //= $module
        if `$binary -V 2>&1` !~ /--add-module=\S+/;

    $ENV{TEST_NGINX_REDIS_SOCKET}
        or die "run the tests with t/lib/run-tests FILE...\n";
}

use Test::Nginx::Socket -Base;

use JSON::PP ();
use Zapier::Nginx;
use Zapier::Redis;
use Zapier::Sandbox;

my $redis   = Zapier::Redis->attach(socket => $ENV{TEST_NGINX_REDIS_SOCKET});
my $sandbox = Zapier::Sandbox->attach(port => $ENV{TEST_NGINX_SANDBOX_PORT});

our @EXPORT = qw(zapier_redis zapier_sandbox);

my $bad = 'runtime error:|ERROR: AddressSanitizer|LeakSanitizer';
# Test::Nginx warns of these unless a pattern names them
my $known = '(?#[alert [crit [emerg)';
my $grave = '\[(?:alert|emerg|crit)\] \d+#';

# a crash, a leak of sockets and a hang show only with a master
master_on();
no_long_string();
no_root_location();


sub zapier_redis()   { $redis }
sub zapier_sandbox() { $sandbox }


add_block_preprocessor(sub {
    my ($block) = @_;

    my $http = $block->http_config // '';

    $http = "    zapier_redis unix:\$TEST_NGINX_REDIS_SOCKET;\n$http"
        if $http !~ /^\s*zapier_redis\s/m;
    $http = "    upstream sandbox {\n"
        . "        server 127.0.0.1:\$TEST_NGINX_SANDBOX_PORT;\n"
        . "        keepalive 8;\n    }\n$http"
        if $http !~ /^\s*upstream\s+sandbox\b/m;

    $block->set_value(http_config => $http);

    my $config = $block->config // Zapier::Nginx::default_server();

    $config =~ s/\$params\b/\$TEST_NGINX_ZAPIER_PARAMS/g;
    $block->set_value(config => $config);

    $redis->cmd('FLUSHALL');
    $redis->cmd(SCRIPT => 'FLUSH');
    $redis->script($block->redis // 'HSET zapier:token:{acme} access_token '
                                    . 'sandbox-acme');

    expect_silence($block);
});


# No [alert], [crit], [emerg] and no report of a sanitizer, now or when nginx
# stops.

sub expect_silence() {
    my ($block) = @_;
    my @allowed = grep { /\S/ } split /\n/, $block->allow // '';
    my $but     = @allowed ? '(?!.*(?:' . join('|', @allowed) . '))' : '';
    my $pattern = defined $block->must_die ? qr/$known$bad/
                : qr/$known^(?:.*(?:$bad)|$but.*$grave)/;

    $block->set_value(suppress_stderr => 1) if defined $block->must_die;

    for my $name (qw(no_error_log no_shutdown_error_log)) {
        next if $name eq 'no_shutdown_error_log' && defined $block->must_die;

        my $old = $block->$name // [];

        $old = [grep { /\S/ } split /\n/, $old] if !ref $old;
        $old = [$old] if ref $old ne 'ARRAY';
        $block->set_value($name => [@$old, $pattern]);
    }
}


my $run = $Test::Nginx::Util::RunTestHelper;

$Test::Nginx::Util::RunTestHelper = sub ($$$) {
    my ($block, $dry_run, $repeated) = @_;

    $sandbox->clear;
    $sandbox->config(%{JSON::PP::decode_json($block->sandbox_config)})
        if defined $block->sandbox_config;

    if (defined $block->sandbox_script) {
        my $steps = JSON::PP::decode_json($block->sandbox_script);
        $sandbox->script(ref $steps eq 'ARRAY' ? @$steps : $steps);
    }

    my $result = $run->($block, $dry_run, $repeated);

    check_sandbox($block) if !$dry_run;

    return $result;
};


sub check_sandbox() {
    my ($block) = @_;
    my $name = $block->name;
    my $count = $block->sandbox_count;
    my @seen = $sandbox->requests(defined $count && $count > 0
                                  ? (wait => 0 + $count) : ());
    my $last = $seen[-1] // {headers => {}, body => ''};

    Test::More::is(scalar @seen, 0 + $count,
                   "$name - sandbox_count") if defined $count;

    if (defined(my $want = $block->sandbox_request)) {
        $want =~ s/\s+\z//;
        Test::More::is(join(' ', map { $_ // '' } @$last{qw(method target)}),
                       $want, "$name - sandbox_request");
    }

    if (defined(my $want = $block->sandbox_body)) {
        $want =~ s/\n\z//;
        Test::More::is($last->{body}, $want, "$name - sandbox_body");
    }

    check_headers($name, $last->{headers},
                  split /\n/, $block->sandbox_headers // '');

    my @complaints = grep { defined } map { $_->{complaint} } @seen;
    my $pattern    = $block->sandbox_complaint;

    if (defined $pattern) {
        $pattern =~ s/\s+\z//;
        Test::More::like("@complaints", qr/$pattern/,
                         "$name - sandbox_complaint");
    } elsif (@complaints) {
        Test::More::fail("$name - the upstream was sent: @complaints");
    }
}


sub check_headers() {
    my ($name, $headers, @lines) = @_;
    my %have = map { lc($_) => join ', ', @{$headers->{$_}} } keys %$headers;

    for my $line (grep { /\S/ } @lines) {
        if ($line =~ /^!\s*(\S+)/) {
            Test::More::ok(!exists $have{lc $1},
                           "$name - sandbox received no $1");
            next;
        }

        my ($header, $value) = $line =~ /^([^:]+):\s*(.*?)\s*$/
            or die "$name: bad line in sandbox_headers: $line";

        $value = Test::Nginx::Util::expand_env_in_text($value, $name, {});
        Test::More::is($have{lc $header}, $value,
                       "$name - sandbox received $header");
    }
}


1;
