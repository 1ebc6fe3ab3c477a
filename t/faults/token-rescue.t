# A pair that Redis has not got, or has lost in a failover, is written again
# by whoever of the node lives, and nobody spends the old one once more.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use Zapier::Relay;
use ZapierNode;

my @durable = qw(--appendonly yes --appendfsync always);
my $redis   = redis(@durable);
my $sandbox = sandbox();

# who spends a refresh token twice ends the family

$sandbox->oauth(strict => 1, access_grace => 60, revoke_on_reuse => 1);

my $secret = $redis->dir . '/client.secret';
my $keys   = $redis->dir . '/keys';

write_file($secret, "sandbox-secret\n");
write_file($keys, 'k1 ' . '0123456789abcdef' x 4 . "\n");

sub write_file {
    my ($name, $text) = @_;

    open my $file, '>', $name or die $!;
    print $file $text;
    close $file;
    chmod 0600, $name;
}

sub gate {
    my ($url, $more) = @_;

    return node(
        sandbox => $sandbox, workers => 2,
        http => "zapier_redis $url timeout=500ms;"
              . "zapier_oauth_client sandbox-client $secret;"
              . 'zapier_oauth_token /oauth/token margin=2s;' . ($more // ''),
        server => Zapier::Nginx::default_server() . <<'END');
        location = /oauth/token {
            internal;
            proxy_pass          http://sandbox/oauth/token/;
            proxy_read_timeout  3s;
        }
        location /admin/ { zapier_admin; }
END
}

sub expired {
    my ($to, $tenant) = @_;

    token($to, $tenant, $sandbox->token_record($tenant),
          expires_at => int(time) - 5);
}

sub get {
    my ($node, $tenant) = @_;
    my $r = eval { client($node)->request(GET => '/v2/actions?app=x',
                                          {'X-Tenant' => $tenant}) };

    return $r ? $r->{status} : 0;
}

# In a process of its own: the statuses, later

sub ask {
    my ($tenant, @nodes) = @_;

    pipe my $out, my $in or die "pipe: $!";
    my $pid = fork // die "fork: $!";

    if ($pid == 0) {
        print $in join ' ', map { get($_, $tenant) } @nodes;
        CORE::close $in;
        require POSIX;
        POSIX::_exit(0);
    }

    CORE::close $in;

    return sub { my $text = <$out> // ''; waitpid $pid, 0; $text };
}

sub calls {
    my ($tenant) = @_;

    return grep { ($_->{tenant} // '') eq $tenant } $sandbox->token_calls;
}

# Is the record's pair the one that is alive?

sub good {
    my ($to, $tenant) = @_;
    my ($family) = $sandbox->families(tenant => $tenant);
    my @stored = $to->cmd(HMGET => "zapier:token:{$tenant}",
                          qw(access_token refresh_token));

    return $family->{refresh_state} eq 'valid'
           && $stored[0] eq $family->{access_token}
           && $stored[1] eq $family->{refresh_token};
}

sub count {
    my ($node, $name) = @_;
    my $body = client($node)->request(GET => '/admin/counters')->{body};

    return $body =~ /"$name":(\d+)/ ? $1 : "none in $body";
}

# Redis goes while the call is under way.

sub strand {
    my ($node, $tenant) = @_;

    expired($redis, $tenant);
    $sandbox->fault({late => 700}, tenant => $tenant);

    my $answer = ask($tenant, $node);

    (soon { calls($tenant) == 1 } 5) or die 'no refresh';
    $redis->stop('KILL');

    return $answer->();
}

sub back {
    $redis = Zapier::Redis->new(port => $redis->port, dir => $redis->dir)
             ->start(@durable);
}

my $node = gate('redis://127.0.0.1:' . $redis->port);

is strand($node, 'killed'), 200, 'who waits gets the token, written or not';
kill KILL => $node->workers;
ok((soon { get($node, 'killed') == 200 } 5),
   'so does who comes when those that got it are dead');
is calls('killed'), 1, 'it is not refreshed again';
back();
ok((soon { good($redis, 'killed') } 5), 'it is written as Redis is back');
is get($node, 'killed'), 200, 'it serves';
is calls('killed'), 1, 'after one refresh';
is count($node, 'refresh_rescued'), 1, 'which is counted';

is strand($node, 'reload'), 200, 'once more, but reloaded';

my @old = $node->workers;

$node->reload;
ok((soon { get($node, 'reload') == 200 } 5), 'new workers have the token');
kill KILL => @old;
back();
ok((soon { good($redis, 'reload') } 5), 'and write it');
is calls('reload'), 1, 'after one refresh';

ok $node->stop, 'nginx stops';
is_deeply [$node->complaints('exited on signal 9',
                             'shared memory zone .* was locked by')], [],
          'nothing grave in the log';

# Failover to a replica that has missed what was written last

my ($master, $replica) = (redis(), redis());
my $relay = Zapier::Relay->new(port => free_port())->start($master->port);
my @nodes = map { gate('redis://127.0.0.1:' . $relay->port) } 1 .. 2;

expired($master, $_) for qw(one two put gone);
$replica->cmd(REPLICAOF => '127.0.0.1', $master->port);
ok((soon { $replica->cmd(DBSIZE =>) == 4 } 10), 'a replica is in sync');
$replica->cmd(REPLICAOF => qw(NO ONE));

is get($nodes[0], $_), 200, "$_: refreshed at the master"
    for qw(one two put gone);
$master->cmd(HSET => 'zapier:token:{two}', expires_at => int(time) - 5);
ok((soon { get($nodes[1], 'two') == 200 && calls('two') == 2 } 5),
   'by another node as well');

# written after the failover by somebody who knows better

token($replica, 'put', $sandbox->token_record('other'));
$replica->cmd(DEL => 'zapier:token:{gone}');

$master->stop('KILL');
$relay->to($replica->port);

# both ask at once, while Redis comes back

my @answers = map { ask('one', @nodes, $_, $_) } @nodes;

ok((soon { good($replica, 'one') } 5), 'the pair is in the replica');
ok((soon { good($replica, 'two') } 5), 'the last one of two');
unlike join(' ', map { $_->() } @answers), qr/401/, 'nobody is sent away';
ok((soon { get($_, 'one') == 200 } 5), 'it serves') for @nodes;
is scalar(calls('one')), 1, 'the spent one was not used again';
is scalar(calls('two')), 2, 'nor were those of two refreshes';

is get($nodes[0], 'put'), 200, 'a record that was replaced';
isnt $replica->cmd(HGET => 'zapier:token:{put}', 'access_token'),
     ($sandbox->families(tenant => 'put'))[0]{access_token},
     'is left alone';
is $replica->cmd(EXISTS => 'zapier:token:{gone}'), 0, 'so is a deleted one';

# with a key ring the pair is sealed in shared memory, too

my $sealed = gate('redis://127.0.0.1:' . $relay->port, "zapier_token_key $keys;");

expired($replica, 'sealed');
$sandbox->fault({late => 700}, tenant => 'sealed');

my $answer = ask('sealed', $sealed);

(soon { calls('sealed') == 1 } 5);
$relay->to(1);
is $answer->(), 200, 'a sealed pair';
kill KILL => $sealed->workers;
ok((soon { get($sealed, 'sealed') == 200 } 5), 'serves, too');
$relay->to($replica->port);
ok((soon { $replica->cmd(HGET => 'zapier:token:{sealed}',
                               'refresh_token') =~ /^enc:v1:k1:/ } 5),
   'and is written sealed');
ok((soon { get($sealed, 'sealed') == 200 } 5), 'and serves on');
is scalar(calls('sealed')), 1, 'after one refresh';

ok $_->stop, 'nginx stops' for @nodes, $sealed;
is_deeply [map { $_->complaints('exited on signal 9',
                                'shared memory zone .* was locked by') }
           @nodes, $sealed], [], 'nothing grave in the log';

done_testing();
