# A Redis that answers garbage, too much, nothing, half, or that it cannot.

use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);
use Zapier::Redis;
use ZapierNode;

my $sandbox = sandbox();

# A server that gives every command the same bytes; PING and the watch's
# commands too.

sub strange {
    my ($bytes, %how) = @_;
    my $port   = free_port();
    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                       LocalPort => $port, Listen => 64,
                                       ReuseAddr => 1) or die "listen: $!";
    my $pid = fork // die "fork: $!";

    if ($pid == 0) {
        local $SIG{CHLD} = 'IGNORE';
        local $SIG{PIPE} = 'IGNORE';

        while (my $client = $listen->accept) {
            next if fork;

            while (sysread $client, my $in, 65536) {
                my $all = join '', map {
                    /^EVAL/ ? $how{count} // $bytes : $bytes
                } $in =~ /^\*\d+\r\n\$\d+\r\n(\w+)/mg;

                for my $part ($how{slowly} ? split //, $all : $all) {
                    syswrite $client, $part;
                    sleep 0.0005 if $how{slowly};
                }
                last if $how{close};
            }
            POSIX::_exit(0);
        }
        POSIX::_exit(0);
    }

    close $listen;

    return ($port, $pid);
}

sub try {
    my ($name, $bytes, %how) = @_;
    my ($port, $pid) = strange($bytes, %how);
    my $limit = $how{count} ? 'z' : 'off';
    my $node = node(sandbox => $sandbox, http => <<"END", server => <<"ENDS");
    zapier_redis redis://127.0.0.1:$port;
    zapier_limit_zone z key=all limit=9 window=1m mirror=off store=redis;
END
        zapier_tenant \$http_x_tenant;
        zapier_limit  $limit;
        zapier_limit_fallback closed;
        include       \$params;
        location / { proxy_pass http://sandbox; }
ENDS
    my $want = $how{status} // 503;

    for my $n (1 .. 2) {
        my $start  = time;
        my $answer = client($node)->request(
            GET => '/v2/actions?app=x', {'X-Tenant' => 'acme'});

        is $answer->{status}, $want, "$name ($n): $want";
        like $answer->{body}, qr/"code":"quota_unknown"/, "$name ($n): closed"
            if $how{count} && $want == 503;
        cmp_ok time - $start, '<', 2, "$name ($n): soon";
    }

    ok $node->stop, "$name: nginx stops";
    is_deeply [$node->complaints], [], "$name: nothing grave in the log";
    unlike $node->log, qr/[^\x20-\x7e\n]/,
           "$name: no control characters in the log";

    kill 'KILL', $pid;
    waitpid $pid, 0;

    return $node->log;
}

require POSIX;

my $record = "*6\r\n\$12\r\nsandbox-acme\r\n" . "\$-1\r\n" x 5;

try('the record as it should be', $record, status => 200);
try('byte by byte', $record, status => 200, slowly => 1);
try('silence', '');
try('garbage', "HTTP/1.1 400 Bad Request\r\n\r\n");
try('closed at once', '', close => 1);
try('half a reply', substr($record, 0, 20), close => 1);
try('half a reply and silence (kjdev: truncated is not allowed)',
    substr($record, 0, 20));
try('an array of 2000000000', "*2000000000\r\n");
try('a string of a gigabyte', "\$1000000000\r\nabc");
try('arrays in arrays', "*1\r\n" x 50);
try('RESP3', "%1\r\n+a\r\n+b\r\n");
try('LOADING', "-LOADING Redis is loading the dataset in memory\r\n");
try('READONLY', "-READONLY You can't write against a read only replica.\r\n");
try('CR and LF in an error (kjdev: in the log)',
    "-ERR \x1b[31mred\tand\x07 bells\r\n");
try('two fields instead of six', "*2\r\n\$1\r\na\r\n\$1\r\nb\r\n");
try('a number', ":1\r\n");
try('nil', "*-1\r\n");

# The count of a limit

my $granted = "*8\r\n:1\r\n:1\r\n:8\r\n:60000\r\n:0\r\n:1\r\n"
              . ":1700000000000\r\n:0\r\n";

try('a count as it should be', $record, count => $granted, status => 200);
try('half a count and silence (kjdev: truncated is not allowed)', $record,
    count => substr($granted, 0, 20));
try('half a count', $record, count => substr($granted, 0, 20), close => 1);
try('too short a count', $record, count => "*2\r\n:1\r\n:1\r\n");
try('a count below 0', $record, count => $granted =~ s/:8/:-8/r);
try('a count beyond 2^53 (kjdev: overflow)', $record,
    count => $granted =~ s/:8/:9007199254740993/r);
try('a count of text', $record, count => $granted =~ s/:8/+8/r);
try('CR and LF where it counts (kjdev: in the log)', $record,
    count => "-ERR \x1b[31mred\tand\x07 bells\r\n");

# What a refused reply leaves unread may hold other tenants' tokens; it must
# not stay in freed memory.

sub memory {
    my ($pid) = @_;
    my $all   = '';
    no warnings 'portable';

    open my $maps, '<', "/proc/$pid/maps" or return;
    open my $memory, '<:raw', "/proc/$pid/mem" or return;

    for (<$maps>) {
        /^(\w+)-(\w+) rw.. .*\[heap\]/ or next;
        sysseek $memory, hex $1, 0 or return;
        sysread $memory, my $part, hex($2) - hex $1 or return;
        $all .= $part;
    }

    return $all;
}

SKIP: {
    skip 'heap is not to be read', 2
        if ($ENV{TEST_NGINX_BINARY} // '') =~ /asan/ || $^O ne 'linux';

    my $secret = 'Geheimnis7391';
    my ($port, $pid) = strange("*70000\r\n" . "\$13\r\n$secret\r\n" x 200);
    my $node = node(sandbox => $sandbox,
                    http => "zapier_redis redis://127.0.0.1:$port;");

    client($node)->request(GET => '/v2/x', {'X-Tenant' => 'acme'});
    sleep 0.3;

    my $memory = join '', map { memory($_) // '' } $node->workers;

    skip 'the heap cannot be read', 2 if $memory eq '';

    ok $memory =~ /zapier/, 'the heap of a worker';
    ok $memory !~ /$secret/, 'has nothing of a refused reply';

    $node->stop;
    kill 'KILL', $pid;
    waitpid $pid, 0;
}

done_testing();
