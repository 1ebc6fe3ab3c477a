package Sandbox::Limits;

# The documented limits: so many calls a minute for an address and for a
# partner; what is refused is not counted and starts a cooldown.

use Mojo::Base -base, -signatures;

use Mojo::Date;
use Time::HiRes qw(time);

has ip       => 0;             # calls in a window for an address, 0: any
has partner  => 0;             # ... and for all together
has window   => 60;
has cooldown => 60;
has always   => 0;             # headers on other answers than 429, too
has dialect  => 'documented';  # or delta, date, retry-after, none, malformed
has calls    => sub { {} };
has closed   => sub { {} };


# Returns the seconds to wait, undef if the call is admitted, and headers.

sub check ($self, $address) {
    my $now    = time;
    my %scopes = ("ip $address" => $self->ip, partner => $self->partner);
    my @used   = grep { $scopes{$_} } sort keys %scopes;
    my ($wait, $least, $limit);

    return (undef, {}) if !@used;

    for my $name (@used) {
        my $calls = $self->calls->{$name} //= [];

        shift @$calls while @$calls && $calls->[0] <= $now - $self->window;

        my $left = $scopes{$name} - @$calls;
        my $open = $self->closed->{$name} // 0;

        if ($open <= $now && $left <= 0) {
            $open = $self->closed->{$name} = $now + $self->cooldown;
        }

        $wait = $open - $now
            if $open > $now && $open - $now > ($wait // 0);
        ($least, $limit) = ($left, $scopes{$name})
            if !defined $least || $left < $least;
    }

    if (defined $wait) {
        $wait = int($wait + 0.999999);
        return ($wait, $self->headers($limit, 0, $wait, 1));
    }

    push @{$self->calls->{$_}}, $now for @used;

    return (undef, {}) if !$self->always;
    return (undef, $self->headers($limit, $least - 1, $self->window, 0));
}


sub headers ($self, $limit, $remaining, $seconds, $refused) {
    my $dialect = $self->dialect;
    my $reset   = $dialect eq 'delta' ? $seconds : int(time) + $seconds;
    my $retry   = $dialect eq 'date'
                ? Mojo::Date->new(time + $seconds)->to_string : $seconds;

    return {} if $dialect eq 'none';
    return {'Retry-After' => $retry} if $dialect eq 'retry-after';
    return {'Retry-After' => 'soon', 'X-RateLimit-Limit' => '-1',
            'X-RateLimit-Remaining' => '', 'X-RateLimit-Reset' => '1e9'}
        if $dialect eq 'malformed';

    return {
        'X-RateLimit-Limit'     => $limit,
        'X-RateLimit-Remaining' => $remaining,
        'X-RateLimit-Reset'     => $reset,
        $refused ? ('Retry-After' => $retry) : (),
    };
}


1;
