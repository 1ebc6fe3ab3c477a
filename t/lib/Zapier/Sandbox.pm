package Zapier::Sandbox;

# The sandbox upstream (t/lib/sandbox), started here or elsewhere.
#
#   my $sandbox = Zapier::Sandbox->new(port => 24111)->start;
#   $sandbox->script({status => 503, times => 2});
#   my @seen = $sandbox->requests(wait => 3);
#
# and its OAuth server (see Sandbox::OAuth::Control):
#
#   $sandbox->oauth(strict => 1, access_grace => 5);
#   token($redis, 'acme', $sandbox->token_record('acme', lifetime => 1));
#   $sandbox->fault('lost', times => 2, tenant => 'acme');
#   my $stats = $sandbox->stats;     $stats->{lost}, {max_concurrency}, ...
#   my @calls = $sandbox->token_calls(wait => 2);
#   my ($is) = $sandbox->inspect($token);     $is->{state} eq 'valid'

use strict;
use warnings;

use parent 'Zapier::Process';

use File::Basename qw(dirname);
use HTTP::Tiny;
use JSON::PP;
use MIME::Base64 qw(decode_base64);
use Time::HiRes qw(sleep time);


sub attach {
    my ($class, %args) = @_;

    return $class->new(dir => '/nonexistent', %args);
}


sub start {
    my ($self, @options) = @_;

    # "localhost" may be either
    my @hosts = ('127.0.0.1', ip6() ? '[::1]' : ());

    $self->spawn(dirname(__FILE__) . '/../sandbox', @options,
                 map { ('--listen' => "http://$_:$self->{port}") } @hosts);

    return $self->wait_port;
}


sub ip6 { Zapier::Process::slurp('/proc/net/if_inet6') ne '' }


sub clear { $_[0]->control(DELETE => '') }
sub forget { $_[0]->control(DELETE => '/requests') }
sub script { my $self = shift; $self->control(POST => '/script', [@_]) }
sub config { my $self = shift; $self->control(PUT => '/config', {@_}) }


# A token as callbacks have: sign(key => 'other', claims => {exp => 0});
# callbacks: what they were answered with

sub sign { my $self = shift; $self->control(POST => '/sign', {@_})->{token} }
sub rotate { $_[0]->control(POST => '/rotate') }
sub callbacks { @{$_[0]->control(GET => '/callbacks')} }


# What arrived, oldest first; "body" is replaced by the bytes.

sub requests {
    my ($self, %args) = @_;
    my $query = join '&', map { "$_=$args{$_}" } sort keys %args;
    my $seen  = $self->control(GET => "/requests?$query");

    $_->{body} = decode_base64($_->{body_base64}) for @$seen;

    return @$seen;
}


# Runs that were started with {"once": NAME} among their inputs: ids by name

sub executed { $_[0]->control(GET => '/executed') }


# What the OAuth server is told: its settings, new pairs, trouble.

sub oauth { my $self = shift; $self->control(PUT => '/oauth/config', {@_}) }
sub expire { my $self = shift; $self->control(POST => '/oauth/expire', {@_}) }
sub revoke { my $self = shift; $self->control(POST => '/oauth/revoke', {@_}) }


sub advance {
    my ($self, $seconds) = @_;

    $self->control(POST => '/oauth/clock', {advance => $seconds});
}


# Returns access_token, refresh_token, expires_in, id (of the family), ...

sub issue_pair {
    my ($self, $tenant, %args) = @_;

    return $self->control(POST => '/oauth/pair',
                          {tenant => $tenant, numbers(%args)});
}


# The same for a list of tenants, in one call

sub issue_pairs {
    my ($self, $tenants, %args) = @_;

    return @{$self->control(POST => '/oauth/pair', [
        map { {tenant => $_, numbers(%args)} } @$tenants
    ])};
}


# A new pair as the fields of a record in Redis

sub token_record {
    my ($self, $tenant, %args) = @_;

    return fields($self->issue_pair($tenant, %args));
}


sub fields {
    my ($pair) = @_;

    return (access_token => $pair->{access_token},
            defined $pair->{refresh_token}
                ? (refresh_token => $pair->{refresh_token}) : (),
            expires_at => int(time + $pair->{expires_in}),
            scope => $pair->{scope}, token_type => 'Bearer', version => 1);
}


# fault(NAME or STEP, MORE...): a step by itself; fault([...]): several

sub fault {
    my ($self, $step, %more) = @_;

    $step = ref $step eq 'HASH' ? {%$step, %more}
                                : {fault => $step, %more}
        if ref $step ne 'ARRAY';

    return $self->control(POST => '/oauth/fault', $step);
}


sub clear_faults { $_[0]->control(DELETE => '/oauth/fault') }
sub stats { $_[0]->control(GET => '/oauth/stats') }
sub clear_stats { $_[0]->control(DELETE => '/oauth/stats') }


# Calls of the token endpoint, oldest first; wait => N waits for N of them
# to have ended.

sub token_calls {
    my ($self, %args) = @_;
    my $until = time + ($args{timeout} // 5);
    my @calls;

    while (1) {
        @calls = @{$self->control(GET => '/oauth/stats?list=1')->{list}};

        return @calls if time > $until
            || grep({ defined $_->{ms} } @calls) >= ($args{wait} // 0);
        sleep 0.02;
    }
}


# families(tenant => NAME), (family => ID), (token => TOKEN) or all

sub families {
    my ($self, %by) = @_;
    my $query = HTTP::Tiny->new->www_form_urlencode(\%by);

    return @{$self->control(GET => "/oauth/family?$query")};
}


sub inspect {
    my ($self, @tokens) = @_;

    return @{$self->control(POST => '/oauth/inspect', {tokens => \@tokens})};
}


sub numbers {
    my (%args) = @_;

    $args{lifetime} += 0 if defined $args{lifetime};

    return %args;
}


sub control {
    my ($self, $method, $path, $data) = @_;

    my $http = $self->{http} ||= HTTP::Tiny->new(timeout => 20);
    my $url  = "http://127.0.0.1:$self->{port}/_sandbox$path";
    my $res  = $http->request($method, $url, {
        defined $data ? (content => encode_json($data)) : (),
    });

    die "sandbox: $method $path: $res->{status} $res->{content}"
        if !$res->{success};

    return decode_json($res->{content});
}


1;
