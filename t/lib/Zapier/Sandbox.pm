package Zapier::Sandbox;

# The sandbox upstream (t/lib/sandbox), started here or elsewhere.
#
#   my $sandbox = Zapier::Sandbox->new(port => 24111)->start;
#   $sandbox->script({status => 503, times => 2});
#   my @seen = $sandbox->requests(wait => 3);

use strict;
use warnings;

use parent 'Zapier::Process';

use File::Basename qw(dirname);
use HTTP::Tiny;
use JSON::PP;
use MIME::Base64 qw(decode_base64);


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


# What arrived, oldest first; "body" is replaced by the bytes.

sub requests {
    my ($self, %args) = @_;
    my $query = join '&', map { "$_=$args{$_}" } sort keys %args;
    my $seen  = $self->control(GET => "/requests?$query");

    $_->{body} = decode_base64($_->{body_base64}) for @$seen;

    return @$seen;
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
