package Sandbox::OAuth::Store;

# Families of tokens: what one consent of a user (or one client on its own
# behalf) has led to.  A family has one refresh token at a time; the access
# tokens before the last may live on for a grace.
#
# Tokens are pseudo-random, the same ones in the same order for a seed:
# sbxat-HEX, sbxrt-HEX, codes sbxco-HEX.

use Mojo::Base -base, -signatures;

use Digest::SHA qw(hmac_sha256_hex);
use Time::HiRes ();

has access   => sub { {} };
has codes    => sub { {} };
has families => sub { {} };
has refresh  => sub { {} };
has order    => sub { [] };
has offset   => 0;             # seconds the clock is ahead
has seed     => 'sandbox';
has serial   => 0;


sub now ($self) { Time::HiRes::time() + $self->offset }


# The serial number goes on, so that no token ever comes again.

sub clear ($self) {
    return $self->access({})->codes({})->families({})->refresh({})
        ->order([])->offset(0);
}


sub mint ($self, $kind) {
    my $n = $self->serial($self->serial + 1)->serial;

    return "sbx$kind-" . substr hmac_sha256_hex("$kind $n", $self->seed), 0, 26;
}


# kind: "user" has a refresh token unless told otherwise, "app" has none

sub issue ($self, %new) {
    my $id = @{$self->order} + 1;

    my $family = {
        kind => 'user', tenant => '', client => '', scope => '',
        lifetime => 36000, %new{grep { exists $new{$_} }
                                qw(kind tenant client scope lifetime)},
        id => "f$id", created => $self->now, generation => 0, calls => 0,
        rotations => 0, dead_uses => 0, inflight => 0, max_concurrency => 0,
    };

    push @{$self->order}, $family;
    $self->families->{$family->{id}} = $family;
    $self->grow($family, %new{grep { exists $new{$_} }
        qw(access_token refresh_token suffix lifetime)},
        with_refresh => $new{with_refresh} // $family->{kind} eq 'user');

    return $family;
}


# The next pair of a family.

sub grow ($self, $family, %new) {
    my $generation = ++$family->{generation};
    my $lifetime   = $new{lifetime} // $family->{lifetime};

    my $access = $new{access_token} // $self->mint('at');
    $self->access->{$access} = {
        family => $family, generation => $generation, token => $access,
        expires => $self->now + $lifetime,
    };
    $family->{access_token} = $access;
    $family->{lifetime} = $lifetime;

    return $family if !$new{with_refresh};

    my $refresh = $new{refresh_token}
                // $self->mint('rt') . ($new{suffix} // '');
    $self->refresh->{$refresh} = {
        family => $family, generation => $generation, token => $refresh,
    };
    $family->{refresh_token} = $refresh;

    return $family;
}


# Uses a refresh token up.  "rotate" is false for a server that keeps it;
# access_grace is how long the old access token lives on (undef: as long as
# it was to live).

sub rotate ($self, $record, $config) {
    my $family = $record->{family};
    my $grace  = $config->{access_grace};
    my $old    = $self->access->{$family->{access_token}};

    if ($old && defined $grace) {
        my $dies = $self->now + $grace;
        $old->{dies} = $dies if $dies < ($old->{dies} // $old->{expires});
    }

    $family->{rotations}++;
    $self->grow($family, with_refresh => $config->{rotate},
                suffix => $config->{refresh_suffix});

    $config->{rotate} ? $record->{used} = $self->now
                      : ($record->{generation} = $family->{generation});
}


sub access_state ($self, $token) {
    my $record = $self->access->{$token} // return 'unknown';
    my $now    = $self->now;

    return 'revoked' if $record->{revoked} || $record->{family}{revoked};
    return 'expired' if $now >= $record->{expires};
    return 'rotated' if defined $record->{dies} && $now >= $record->{dies};
    return 'valid';
}


sub refresh_state ($self, $token) {
    my $record = $self->refresh->{$token} // return 'unknown';

    return 'revoked' if $record->{revoked} || $record->{family}{revoked};
    return 'used' if defined $record->{used};
    return 'valid';
}


sub revoke ($self, $family, $why) {
    $family->{revoked} //= $why;
}


# Families of a tenant or of a token, or the one of an id, oldest first.

sub find ($self, %by) {
    if (defined $by{token}) {
        my $record = $self->access->{$by{token}}
                  // $self->refresh->{$by{token}};
        return $record ? $record->{family} : ();
    }

    return grep {
        (!defined $by{family} || $_->{id} eq $by{family})
            && (!defined $by{tenant} || $_->{tenant} eq $by{tenant})
    } @{$self->order};
}


sub inspect ($self, $token) {
    my ($kind, $record, $state)
        = $self->access->{$token}
        ? ('access', $self->access->{$token}, $self->access_state($token))
        : ('refresh', $self->refresh->{$token}, $self->refresh_state($token));

    return {state => 'unknown'} if !$record;

    my $family = $record->{family};

    return {
        kind => $kind, state => $state, family => $family->{id},
        tenant => $family->{tenant}, generation => $record->{generation},
        current => $record->{generation} == $family->{generation}
                   ? \1 : \0,
        $kind eq 'access'
            ? (expires_in => $record->{expires} - $self->now) : (),
    };
}


sub view ($self, $family) {
    my $record = $self->access->{$family->{access_token}};

    return {
        %$family, expires_in => $record->{expires} - $self->now,
        access_state => $self->access_state($family->{access_token}),
        refresh_state => defined $family->{refresh_token}
            ? $self->refresh_state($family->{refresh_token}) : 'none',
    };
}


1;
