package Sandbox::Guard;

# Who may call the API: tokens of the OAuth server while they are valid, the
# listed ones, and, unless it is strict, all that have the prefix.

use Mojo::Base -base, -signatures;

use Mojo::JSON qw(false true);

has app => undef, weak => 1;


# What there is to say of the caller of a request.

sub look ($self, $req) {
    my ($token) = ($req->headers->authorization // '') =~ /^Bearer (\S+)$/
        or return {authorized => false};
    my $app    = $self->app;
    my $listed = $app->tokens->{$token};

    # { "TOKEN": true | false } in the configuration goes before all else
    return {authorized => $listed ? true : false} if defined $listed;

    my ($state, $record) = $app->oauth->judge($token);

    if ($record) {
        my $family = $record->{family};

        return {
            authorized => $state eq 'valid' ? true : false,
            token_state => $state, generation => $record->{generation},
            map { $_ => $family->{$_} } qw(tenant kind scope),
        };
    }

    return {authorized => false} if $app->oauth->config->{strict};
    return {authorized => index($token, $app->config->{prefix}) == 0
                          ? true : false};
}


# Returns status, headers and body of a refusal.  Needs are a scope, "app"
# for a token of the client's own, "client_id" for calls that a client_id is
# enough for.

sub refusal ($self, $c, $seen, %needs) {
    my $header = $c->req->headers->authorization;

    if (!defined $header && $needs{client_id}) {
        my $id = $c->req->query_params->param('client_id') // '';
        return if $self->app->oauth->config->{clients}{$id};
    }

    if (!$seen->{authorized}) {
        my ($status, $headers, $body)
            = $header
            ? error(401, 'authentication_failed', 'AuthenticationFailed',
                    'Incorrect authentication credentials.')
            : error(401, 'not_authenticated', 'NotAuthenticated',
                    'Authentication credentials were not provided.');
        my $realm = 'Bearer realm="api"';

        $realm .= ',error="invalid_token",error_description='
                . "\"The access token has expired.\"" if $seen->{token_state};

        return ($status, {%$headers, 'WWW-Authenticate' => $realm}, $body);
    }

    my %has = map { $_ => 1 } split ' ', $seen->{scope} // return;

    return if $seen->{kind} eq ($needs{app} ? 'app' : 'user')
              && (!$needs{scope} || $has{$needs{scope}});
    return error(403, 'permission_denied', 'PermissionDenied',
                 'You do not have permission to perform this action.');
}


sub error { Sandbox::App::error(@_) }


1;
