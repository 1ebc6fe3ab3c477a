package Sandbox::OAuth;

# The OAuth 2.0 server of the sandbox, as the one behind zapier.com:
#
#   POST /oauth/token/                   refresh_token (rotating),
#                                        authorization_code, with PKCE S256,
#                                        client_credentials
#   GET, POST /oauth/authorize/          (Sandbox::OAuth::Consent)
#   GET, POST /v2/authorize
#
# A client says who it is by HTTP Basic or in the body.  What goes wrong is
# scripted (Sandbox::OAuth::Fault); all else is under /_sandbox/oauth
# (Sandbox::OAuth::Control).

use Mojo::Base -base, -signatures;

use Mojo::IOLoop;
use Mojo::Parameters;

use Sandbox::OAuth::Consent;
use Sandbox::OAuth::Control;
use Sandbox::OAuth::Fault;
use Sandbox::OAuth::Grants;
use Sandbox::OAuth::Stats;
use Sandbox::OAuth::Store;

has options => sub { {} };     # of the command line
has config  => sub ($self) { defaults($self->options) };
has faults  => sub { Sandbox::OAuth::Fault->new };
has grants  => sub ($self) { Sandbox::OAuth::Grants->new(oauth => $self) };
has stats   => sub { Sandbox::OAuth::Stats->new };
has store   => sub { Sandbox::OAuth::Store->new };


sub defaults ($options) {
    return {
        strict          => 0,      # the API takes only tokens from here
        lifetime        => 36000,  # seconds of an access token
        code_lifetime   => 120,
        rotate          => 1,      # a refresh token serves once
        access_grace    => 0,      # seconds the access token before the last
                                   # lives on, null: until it expires
        reuse_grace     => 0,      # seconds in which a used refresh token
                                   # gets the same pair again
        revoke_on_reuse => 0,      # ... after them it ends the family
        refresh_suffix  => '',     # more characters for refresh tokens
        approve         => '',     # "allow" or "deny": no consent page
        pkce            => 'optional',
        scope           => 'zap zap:write connection:read connection:write '
                         . 'action:run profile',
        # secret; auth: any, basic or body; redirect_uris; a client without
        # a secret is public and must use PKCE
        clients => {
            'sandbox-client' => {secret => 'sandbox-secret'},
        },
        %$options,
    };
}


sub clear ($self) {
    $self->store->clear;
    $self->stats->clear;
    $self->faults->steps([]);
    return $self->config(defaults($self->options));
}


sub routes ($self, $r) {
    my $consent = Sandbox::OAuth::Consent->new(oauth => $self);

    $r->post('/oauth/token' => sub ($c) { $self->token($c) });
    $r->any('/oauth/token' => sub ($c) {
        $c->res->headers->allow('POST');
        $c->render(json => {error => 'invalid_request'}, status => 405);
    });

    for my $path (qw(/oauth/authorize /v2/authorize)) {
        $r->any([qw(GET POST)] => $path => sub ($c) { $consent->page($c) });
    }

    Sandbox::OAuth::Control->new(oauth => $self)
        ->routes($r->any('/_sandbox/oauth'));
}


# What the API makes of a token: the state, and the record if it has one.
# The store knows tokens from here, the rest is not its business.

sub judge ($self, $token) {
    my $state = $self->store->access_state($token);

    $self->stats->api->{$state}++;
    return ($state, $self->store->access->{$token});
}


sub token ($self, $c) {
    my $tx    = $c->render_later->tx;
    my $call  = $self->stats->begin($c);
    my $ask   = $self->read_call($c, $call);
    my $step  = $self->faults->next($call);
    my $named = grep { !/^(?:times|grant|tenant|family|client)$/ } keys %$step;

    $call->{fault} = $step->{fault} // 'scripted' if $named;
    $self->stats->refreshing($call, $ask->{record}{family}) if $ask->{record};

    my $answer = sub {
        my ($status, $headers, $body, $swallowed) = $self->work($call, $ask,
                                                                $step);
        later($step->{late}, sub {
            $self->answer($tx, $c, $call, $step, $status, $headers, $body,
                          $swallowed);
        });
    };

    later($step->{delay}, $answer);
}


sub later ($ms, $do) {
    return $do->() if !$ms;

    Mojo::IOLoop->timer($ms / 1000 => $do);
}


sub answer ($self, $tx, $c, $call, $step, $status, $headers, $body, $lost) {
    my $family = delete $call->{grown};
    my $gone   = !Mojo::IOLoop->stream($tx->connection);

    # a caller that did not wait for a slow answer has lost it to us
    $lost = $step->{delay} || $step->{late} ? 'late' : 'left' if $gone;

    if ($family) {
        $call->{lost} = $lost if $lost;
        $lost ? $family->{lost} = $lost : delete $family->{lost};
    }

    $call->{status}    = $status;
    $call->{delivered} = $gone || $lost ? \0 : \1;
    $self->stats->account($call);

    $self->faults->send($c, $step, $status, $headers, $body) if !$gone;
    $self->stats->end($call, $status) if $gone || $step->{twice};
}


# Reads the call without judging it.

sub read_call ($self, $c, $call) {
    my $req  = $c->req;
    my $type = $req->headers->content_type // '';
    my %ask  = (form => {}, basic => $req->headers->authorization);

    if ($type !~ m{^application/x-www-form-urlencoded\s*(?:;|$)}i) {
        $ask{refused} = [415, 'invalid_request',
                         'The body must be application/x-www-form-urlencoded.'];
        return \%ask;
    }

    my @pairs = @{Mojo::Parameters->new($req->body)->pairs};

    while (my ($name, $value) = splice @pairs, 0, 2) {
        $ask{refused} //= [400, 'invalid_request', "\"$name\" comes twice."]
            if exists $ask{form}{$name};
        $ask{form}{$name} = $value;
    }

    my $form = $ask{form};

    $call->{grant} = $form->{grant_type};

    if (defined $form->{refresh_token}) {
        my $token = $form->{refresh_token};

        $ask{record} = $self->store->refresh->{$token};
        $call->{token} = $self->store->refresh_state($token);
    }

    if (my $family = ($ask{record} // {})->{family}) {
        $family->{calls}++;
        @$call{qw(family tenant client generation)}
            = (@$family{qw(id tenant client)}, $ask{record}{generation});
    }

    return \%ask;
}


# Does what the call asks for, if the step lets it be done.  Returns status,
# headers, body, and "swallowed" if the step keeps new tokens from the caller.

sub work ($self, $call, $ask, $step) {
    my ($status, $answer);
    my %headers = ('Content-Type' => 'application/json',
                   'Cache-Control' => 'no-store', Pragma => 'no-cache');

    if ($self->faults->works($step)) {
        ($status, $answer) = $self->grants->grant($call, $ask, $step);

    } else {
        $status = 200;
        $answer = {access_token => 'sbxat-nobody', token_type => 'Bearer',
                   refresh_token => 'sbxrt-nobody', scope => '',
                   expires_in => $self->config->{lifetime}};
    }

    if ($status == 401 && $answer->{error} eq 'invalid_client') {
        $headers{'WWW-Authenticate'} = 'Basic realm="zapier"';
    }

    # a refusal of the server's own has no tokens to be changed
    if ($status != 200) {
        $step = {%$step};
        delete @$step{qw(set omit raw_set pad)};
    }

    my $lost = $call->{grown} && $self->faults->swallows($step)
             ? 'swallowed' : undef;

    my $error = $step->{error} // $answer->{error};
    $call->{error} = $error if defined $error;

    return ($self->faults->spoil($step, $status, \%headers, $answer), $lost);
}


1;
