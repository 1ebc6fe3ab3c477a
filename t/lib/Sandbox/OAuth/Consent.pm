package Sandbox::OAuth::Consent;

# The page on which a user lets a client in, and the way back from it.

use Mojo::Base -base, -signatures;

use Mojo::URL;
use Mojo::Util qw(xml_escape);

use constant USER => 'ann@example.com';

has oauth => undef, weak => 1;

my @kept = qw(response_type client_id redirect_uri scope state
              code_challenge code_challenge_method response_mode);


sub page ($self, $c) {
    my $form = $c->req->params->to_hash;

    $c->res->headers->cache_control('no-store');

    # without a place to send the user to, it is the user who is told
    return $self->complain($c, 'An argument comes twice.')
        if grep { ref } values %$form;

    my $client = $self->oauth->config->{clients}{$form->{client_id} // ''}
        // return $self->complain($c, 'Unknown client_id.');
    my $back   = $form->{redirect_uri} // '';
    my $list   = $client->{redirect_uris};

    return $self->complain($c, 'redirect_uri is not registered.')
        if $list ? !grep({ $_ eq $back } @$list)
                 : $back !~ m{^https?://[^\s#]+\z};

    if (my $error = $self->wrong($form, $client)) {
        return $self->back($c, $form, error => $error);
    }

    my $decision = $c->req->body_params->param('decision')
                 || $self->oauth->config->{approve};

    return $self->ask($c, $form) if !$decision;
    return $self->back($c, $form, error => 'access_denied')
        if $decision ne 'allow';

    return $self->back($c, $form, code => $self->code($form));
}


sub wrong ($self, $form, $client) {
    my $config = $self->oauth->config;
    my %known  = map { $_ => 1 } split ' ', $config->{scope};
    my $must   = $config->{pkce} eq 'required' || !defined $client->{secret};

    return 'unsupported_response_type'
        if ($form->{response_type} // '') ne 'code';
    return 'invalid_scope'
        if grep { !$known{$_} } split ' ', $form->{scope} // '';
    return 'invalid_request'
        if defined $form->{code_challenge}
           ? ($form->{code_challenge_method} // 'plain') ne 'S256'
             || $form->{code_challenge} !~ /^[A-Za-z0-9_-]{43}$/
           : $must;
    return;
}


# The user names the tenant of the family.

sub code ($self, $form) {
    my $oauth = $self->oauth;
    my $store = $oauth->store;
    my $code  = $store->mint('co');

    $store->codes->{$code} = {
        client => $form->{client_id}, redirect_uri => $form->{redirect_uri},
        challenge => $form->{code_challenge},
        expires => $store->now + $oauth->config->{code_lifetime},
        scope => length($form->{scope} // '') ? $form->{scope}
                                              : $oauth->config->{scope},
        tenant => $form->{user} // $form->{sign_up_email} // USER,
    };

    return $code;
}


sub back ($self, $c, $form, @result) {
    my $url = Mojo::URL->new($form->{redirect_uri});

    $url->query([@result, defined $form->{state}
                          ? (state => $form->{state}) : ()]);
    $c->res->headers->location($url->to_string);
    $c->render(data => '', status => 302);
}


sub complain ($self, $c, $text) {
    $self->html($c, 400, 'Error', "<p id=\"error\">$text</p>");
}


sub ask ($self, $c, $form) {
    my $path   = xml_escape $c->req->url->path;
    my $client = xml_escape $form->{client_id};
    my $user   = xml_escape $form->{sign_up_email} // USER;
    my $hidden = join "\n", map {
        sprintf '<input type="hidden" name="%s" value="%s">',
            $_, xml_escape $form->{$_}
    } grep { defined $form->{$_} } @kept;
    my $scopes = join "\n", map { '<li>' . xml_escape($_) . '</li>' }
        split ' ', $form->{scope} // '';

    $self->html($c, 200, 'Allow access?', <<"END");
<p><b id="client">$client</b> would like to use your Zapier account:</p>
<ul id="scopes">
$scopes
</ul>
<form method="post" action="$path">
$hidden
<p><label>Signed in as <input id="user" name="user" value="$user"></label></p>
<p><button id="allow" name="decision" value="allow">Allow</button>
<button id="deny" name="decision" value="deny">Deny</button></p>
</form>
END
}


sub html ($self, $c, $status, $title, $body) {
    $c->res->headers->content_type('text/html;charset=UTF-8');
    $c->render(data => Mojo::Util::encode('UTF-8', <<"END"), status => $status);
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>$title - Zapier sandbox</title>
<style>body { font: 1rem sans-serif; max-width: 30em; margin: 3em auto }</style>
<h1>$title</h1>
$body
</html>
END
}


1;
