# Several nodes and one expired token: one refresh, no caller sees an error;
# and whatever dies meanwhile, the pair in Redis is usable or marked.
# FAULTS_ROUNDS says how often something is killed.

use strict;
use warnings;

use lib 't/lib';
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $rounds  = $ENV{FAULTS_ROUNDS} || 10;
my $callers = $ENV{FAULTS_CALLERS} || 200;

my @durable = qw(--appendonly yes --appendfsync always);
my $redis   = redis(@durable);
my $sandbox = sandbox();

$sandbox->oauth(strict => 1, access_grace => 5);

my $secret = $redis->dir . '/client.secret';

open my $file, '>', $secret or die $!;
print $file "sandbox-secret\n";
close $file;
chmod 0600, $secret;

sub one {
    return node(
        redis => $redis, sandbox => $sandbox, workers => 2,
        http => "zapier_oauth_client sandbox-client $secret;"
              . 'zapier_oauth_token /oauth/token margin=2s;',
        server => Zapier::Nginx::default_server() . <<'END');
        location = /oauth/token {
            internal;
            proxy_pass          http://sandbox/oauth/token/;
            proxy_read_timeout  3s;
        }
END
}

my @nodes = map { one() } 1 .. 4;

# Sends a request on many connections at once; statuses by number.

sub crowd {
    my ($tenant, $n, @to) = @_;
    my (%seen, %answer);
    my $wait = IO::Select->new;

    for my $node (@to) {
        for (1 .. $n) {
            my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                          PeerPort => $node->port)
                or ++$seen{refused} && next;

            print $s "GET /v2/actions?app=x HTTP/1.0\r\nHost: x\r\n"
                   . "X-Tenant: $tenant\r\n\r\n";
            $wait->add($s);
        }
    }

    my $until = time + 20;

    while ($wait->count && time < $until) {
        for my $s ($wait->can_read(1)) {
            next if sysread $s, $answer{$s}, 65536, length($answer{$s} // '');
            $answer{$s} =~ m{^HTTP/1.. (\d+)} ? $seen{$1}++ : $seen{lost}++;
            $wait->remove($s);
        }
    }

    $seen{late} = $wait->count if $wait->count;

    return \%seen;
}

sub expired {
    my ($tenant) = @_;

    token($redis, $tenant, $sandbox->token_record($tenant),
          expires_at => int(time) - 5);
}

sub refreshes {
    my ($tenant) = @_;

    return scalar grep { ($_->{tenant} // '') eq $tenant }
                  $sandbox->token_calls;
}

expired('crowd');

is_deeply crowd('crowd', $callers, @nodes), {200 => 4 * $callers},
    'four nodes, two workers each: everybody is served';
is refreshes('crowd'), 1, 'after exactly one refresh';

# Trouble: what the token endpoint does, and what is killed while it works.
# A pair may be lost only if its answer reached nobody who lived to write it.

my @slow = ({late => 300}, times => 9);

my @trouble = (
    {name => 'a node dies', fault => \@slow, may_lose => 1,
     kill => sub { $_[0]->stop('KILL'); $_[0] = one() }},
    {name => 'a worker dies', fault => \@slow, may_lose => 1,
     kill => sub { kill KILL => ($_[0]->workers)[0] }},
    {name => 'Redis dies', fault => \@slow, kill => \&restart},
    {name => 'a late answer', fault => [{late => 700}]},
    {name => 'an answer and another', fault => ['twice']},
    {name => 'garbage, nothing done', fault => [{body => '<', rotate => 0}]},
    {name => 'garbage, and done', fault => ['lost-garbage'], may_lose => 1},
    {name => 'no answer', fault => [{hang => 1, rotate => 0}]},
    {name => 'a lost answer', fault => ['lost'], may_lose => 1},
    {name => 'trouble that passes', fault => ['503']},
);

sub restart {
    $redis->stop('KILL');
    $redis = Zapier::Redis->new(port => $redis->port, dir => $redis->dir)
             ->start(@durable);
}

srand($ENV{FAULTS_SEED} // 1);

my (%count, @wrong);

for my $round (1 .. $rounds) {
    my $tenant = "kill-$round";
    my $trouble = $trouble[$round <= @trouble ? $round - 1 : rand @trouble];

    expired($tenant);
    $sandbox->fault(@{$trouble->{fault}}, tenant => $tenant);

    my $pid = fork // die $!;

    if ($pid == 0) {
        crowd($tenant, 10, @nodes);
        require POSIX;
        POSIX::_exit(0);
    }

    sleep 0.05 + rand 0.3;
    $trouble->{kill}->($nodes[rand @nodes]) if $trouble->{kill};
    waitpid $pid, 0;

    my $end = outcome($tenant);

    $count{"$trouble->{name}: $end"}++;
    $sandbox->clear_faults;

    push @wrong, "round $round, $trouble->{name}: $end"
        if $end ne 'usable' && !($end eq 'marked' && $trouble->{may_lose});
}

# What a caller finds when all is quiet again

sub outcome {
    my ($tenant) = @_;
    my ($until, $r) = (time + 45);

    while (time < $until) {
        $r = eval { client($nodes[0])->request(GET => '/v2/actions?app=x',
                                               {'X-Tenant' => $tenant}) };

        return 'usable' if $r && $r->{status} == 200;
        return 'marked' if $r && $r->{body} =~ /reauthorization_required/;
        sleep 0.2;
    }

    return 'status ' . ($r ? $r->{status} : 'none');
}

is_deeply \@wrong, [], 'every pair is usable, or marked with good reason';
diag "$count{$_} x $_" for sort keys %count;

done_testing();
