package Sandbox::OAuth::Stats;

# What the token endpoint and the guard of the API saw.

use Mojo::Base -base, -signatures;

use Time::HiRes qw(time);

use constant MAX_CALLS => 20_000;

has api    => sub { {} };      # calls of the API by the state of the token
has calls  => sub { [] };
has counts => sub { {} };
has inflight        => 0;
has max_concurrency => 0;      # ... of refreshes of one family
has max_inflight    => 0;


sub clear ($self) {
    return $self->api({})->calls([])->counts({})->max_concurrency(0)
        ->max_inflight($self->inflight);
}


# "left" is set if the caller went before its answer.

sub begin ($self, $c) {
    my $req = $c->req;

    my $call = {
        number => ++$self->counts->{calls}, time => time,
        connection => $c->tx->connection, method => $req->method,
        target => $req->{sandbox_target} // $req->url->path->to_string,
        headers => $req->headers->to_hash(1), body => $req->body,
    };

    push @{$self->calls}, $call;
    shift @{$self->calls} if @{$self->calls} > MAX_CALLS;

    $self->inflight($self->inflight + 1);
    $self->max_inflight($self->inflight)
        if $self->inflight > $self->max_inflight;
    $c->tx->on(finish => sub { $self->end($call, $call->{status} // 0) });

    return $call;
}


sub refreshing ($self, $call, $family) {
    my $n = ++$family->{inflight};

    $call->{concurrent} = $n;
    $call->{of} = $family;
    $family->{max_concurrency} = $n if $n > $family->{max_concurrency};
    $self->max_concurrency($n) if $n > $self->max_concurrency;
}


sub end ($self, $call, $status) {
    return if $call->{ended}++;

    $call->{status} = $status;
    $call->{ms} = 0 + sprintf '%.1f', (time - $call->{time}) * 1000;
    $self->inflight($self->inflight - 1);

    my $family = delete $call->{of} // return;
    $family->{inflight}--;
}


# Counts of a call once its outcome is known

sub account ($self, $call) {
    my $counts = $self->counts;

    $counts->{by_grant}{$call->{grant} // 'none'}++;
    $counts->{by_status}{$call->{status}}++;
    $counts->{by_tenant}{$call->{tenant}}++ if defined $call->{tenant};
    $counts->{errors}{$call->{error}}++ if defined $call->{error};
    $counts->{faults}{$call->{fault}}++ if defined $call->{fault};
    $counts->{rotations}++ if $call->{rotated};
    $counts->{swallowed}++ if $call->{lost};
    $counts->{dead_uses}++ if $call->{dead};
    $counts->{grace_uses}++ if $call->{grace};
}


sub view ($self, $store, $with_calls) {
    my $counts = $self->counts;
    my @all    = @{$store->order};
    my %lost;

    $lost{$_}++ for map { $_->{lost} // () } @all;

    return {
        (map { $_ => $counts->{$_} // 0 }
             qw(calls rotations swallowed dead_uses grace_uses)),
        (map { $_ => $counts->{$_} // {} }
             qw(by_grant by_status by_tenant errors faults)),
        api => $self->api, inflight => $self->inflight,
        max_inflight => $self->max_inflight,
        max_concurrency => $self->max_concurrency,
        families => scalar @all,
        lost => scalar(grep { $_->{lost} } @all), lost_by => \%lost,
        lost_families => [map { $_->{id} } grep { $_->{lost} } @all],
        revoked => scalar(grep { $_->{revoked} } @all),
        $with_calls ? (list => [map { shown($_) } @{$self->calls}]) : (),
    };
}


sub shown ($call) {
    return {map { $_ => $call->{$_} } grep { !/^(?:of|ended)$/ } keys %$call};
}


1;
