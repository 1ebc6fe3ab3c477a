package Sandbox::OAuth::Grants;

# What the token endpoint grants, and to whom.  Answers are a status and the
# fields of the JSON object.

use Mojo::Base -base, -signatures;

use Digest::SHA qw(sha256);
use Mojo::Util qw(b64_decode b64_encode decode url_unescape);

use constant APP_SCOPE => 'promotions:read promotions:write';

has oauth => undef, weak => 1;


sub refusal ($status, $error, $text) {
    return ($status, {error => $error, error_description => $text});
}


sub grant ($self, $call, $ask, $step) {
    return refusal(@{$ask->{refused}}) if $ask->{refused};

    my ($client, @wrong) = $self->client($call, $ask);
    return refusal(@wrong) if !$client;

    my $form = $ask->{form};
    my $type = $form->{grant_type} // '';

    return $self->by_refresh($call, $ask, $step) if $type eq 'refresh_token';
    return $self->by_code($call, $form, $client)
        if $type eq 'authorization_code';
    return $self->by_client($call, $form, $client)
        if $type eq 'client_credentials';

    return refusal(400, $type eq '' ? 'invalid_request'
                                    : 'unsupported_grant_type',
                   "No grant \"$type\" is known.");
}


# RFC 6749 2.3.1

sub client ($self, $call, $ask) {
    my $form = $ask->{form};
    my ($id, $secret, $how) = (@$form{qw(client_id client_secret)}, 'body');

    if (defined $ask->{basic}) {
        return (undef, 400, 'invalid_request', 'Two ways of authentication.')
            if defined $secret;

        my ($pair) = $ask->{basic} =~ m{^Basic +([A-Za-z0-9+/]+=*)$}i;
        my @both   = split /:/, b64_decode($pair // ''), 2;

        $how = 'basic';
        return (undef, 401, 'invalid_client', 'Basic credentials are needed.')
            if @both != 2;

        ($id, $secret) = map { decoded($_) } @both;
        return (undef, 400, 'invalid_request', 'Two clients.')
            if defined $form->{client_id} && $form->{client_id} ne $id;
    }

    my $client = $self->oauth->config->{clients}{$id // ''};
    my $auth   = ($client // {})->{auth} // 'any';

    $call->{auth} = $how;

    return (undef, 401, 'invalid_client', 'Client authentication failed.')
        if !$client || ($auth ne 'any' && $auth ne $how)
           || ($secret // '') ne ($client->{secret} // '');

    $call->{client} = $id;
    return $client;
}


sub decoded ($text) {
    my $bytes = url_unescape($text =~ tr/+/ /r);

    return decode('UTF-8', $bytes) // $bytes;
}


sub by_refresh ($self, $call, $ask, $step) {
    my $token  = $ask->{form}{refresh_token}
        // return refusal(400, 'invalid_request', 'No refresh_token.');
    my $config = $self->oauth->config;
    my $store  = $self->oauth->store;
    my $record = $ask->{record};

    $call->{token} = $store->refresh_state($token);

    return refusal(400, 'invalid_grant', 'No such refresh token.')
        if !$record || $record->{family}{client} ne $call->{client};

    my $family = $record->{family};
    my $scope  = $ask->{form}{scope};

    return refusal(400, 'invalid_scope', 'More than was granted.')
        if defined $scope && !covers($scope, $family->{scope});

    if ($call->{token} eq 'used'
        && $record->{generation} == $family->{generation} - 1
        && $store->now < $record->{used} + $config->{reuse_grace})
    {
        $call->{grace} = 1;
        return $self->pair($call, $family);
    }

    if ($call->{token} ne 'valid') {
        $call->{dead} = 1;
        $family->{dead_uses}++;
        $store->revoke($family, 'reuse')
            if $call->{token} eq 'used' && $config->{revoke_on_reuse};
        return refusal(400, 'invalid_grant',
                       "The refresh token is $call->{token}.");
    }

    my $rotate = $config->{rotate} && !$self->oauth->faults->keeps($step);

    $store->rotate($record, {%$config, rotate => $rotate});
    $call->{rotated} = 1 if $rotate;

    return $self->pair($call, $family);
}


sub by_code ($self, $call, $form, $client) {
    my $store = $self->oauth->store;
    my $code  = $store->codes->{$form->{code} // ''};
    my $no    = sub ($why) { refusal(400, 'invalid_grant', $why) };

    return refusal(400, 'invalid_request', 'No code.')
        if !defined $form->{code};
    return $no->('No such code.')
        if !$code || $code->{client} ne $call->{client};

    $call->{tenant} = $code->{tenant};

    if ($code->{family}) {
        $call->{dead} = 1;
        $store->revoke($code->{family}, 'reuse')
            if $self->oauth->config->{revoke_on_reuse};
        return $no->('The code was used.');
    }

    return $no->('The code has expired.') if $store->now >= $code->{expires};
    return $no->('Another redirect_uri.')
        if ($form->{redirect_uri} // '') ne $code->{redirect_uri};

    my ($challenge, $verifier) = ($code->{challenge}, $form->{code_verifier});

    return $no->('PKCE: the verifier does not match.')
        if defined $challenge != defined $verifier
           || defined $challenge && challenge($verifier) ne $challenge;

    return $no->('PKCE is required.')
        if !defined $challenge && !defined $client->{secret};

    my $family = $store->issue(
        tenant => $code->{tenant}, client => $call->{client},
        scope => $code->{scope}, lifetime => $self->oauth->config->{lifetime},
        suffix => $self->oauth->config->{refresh_suffix});

    $code->{family} = $family;
    $call->{family} = $family->{id};

    return $self->pair($call, $family);
}


sub by_client ($self, $call, $form, $client) {
    my $config = $self->oauth->config;
    my $scope  = $form->{scope} // APP_SCOPE;

    return refusal(400, 'unauthorized_client', 'The client has no secret.')
        if !defined $client->{secret};
    return refusal(400, 'invalid_scope', 'Unknown scope.')
        if !covers($scope, APP_SCOPE . " $config->{scope}");

    my $family = $self->oauth->store->issue(
        kind => 'app', client => $call->{client}, scope => $scope,
        lifetime => $config->{lifetime});

    $call->{family} = $family->{id};
    return $self->pair($call, $family);
}


sub pair ($self, $call, $family) {
    my $access = $self->oauth->store->access->{$family->{access_token}};

    # what is made anew at will is never lost
    $call->{grown} = $family if $family->{kind} eq 'user'
                                && ($call->{rotated} || $call->{grace}
                                    || !$family->{rotations});

    return (200, {
        access_token => $family->{access_token}, token_type => 'Bearer',
        expires_in => int($access->{expires} - $self->oauth->store->now + 0.5),
        scope => $family->{scope},
        $family->{kind} eq 'user'
            ? (refresh_token => $family->{refresh_token}) : (),
    });
}


sub covers ($wanted, $granted) {
    my %granted = map { $_ => 1 } split ' ', $granted;

    return !grep { !$granted{$_} } split ' ', $wanted;
}


sub challenge ($verifier) {
    return '' if $verifier !~ /^[A-Za-z0-9._~-]{43,128}$/;
    return b64_encode(sha256($verifier), '') =~ tr{+/}{-_}r =~ s/=+$//r;
}


1;
