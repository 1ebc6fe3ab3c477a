package Sandbox::Catalog;

# Parts of the API beside action runs: one for each way of authentication.
#
#   GET    /v2/actions                     user token, or client_id
#   GET    /v2/apps                        the same
#   GET    /v1/apps                        client_id
#   GET    /v1/profiles/me                 user token
#   DELETE /v2/promotions/ID               app token

use Mojo::Base -base, -signatures;

has app => undef, weak => 1;


sub routes ($self, $r) {
    $r->get('/v2/actions' => sub ($c) {
        $self->page($c, 'zap', {
            type => 'action', id => 'core:' . int rand 1e9,
            key => 'send_email', action_type => 'WRITE',
            title => 'Send Email',
        });
    });

    $r->get('/v2/apps' => sub ($c) {
        $self->page($c, 'zap', {type => 'app', id => 'email',
                                title => 'Email by Zapier'});
    });

    $r->get('/v1/apps' => sub ($c) {
        $self->give($c, [client_id => 1], {
            total => 1, page => 1, pages => 1, per_page => 100,
            objects => [{id => 'email', title => 'Email by Zapier'}],
            prev_url => undef, next_url => undef,
        });
    });

    $r->get('/v1/profiles/me' => sub ($c) {
        my $tenant = $c->stash('seen')->{tenant} // '';

        $self->give($c, [scope => 'profile'],
                    {id => 1, email => $tenant, email_confirmed => \1});
    });

    $r->delete('/v2/promotions/#id' => sub ($c) {
        $c->stash(needs => [app => 1, scope => 'promotions:write']);
        $self->app->reply($c, 204, {}, '');
    });
}


# The router would take a slash at the end, the API knows no such paths.

sub give ($self, $c, $needs, $value) {
    return $self->app->reply($c, Sandbox::App::error(404, 'not_found',
                                 'NotFound', 'Not found.'))
        if $c->req->url->path->trailing_slash;

    $c->stash(needs => $needs);
    $self->app->reply($c, 200, {}, Sandbox::App::json_text($value));
}


sub page ($self, $c, $scope, @data) {
    my $limit  = 0 + ($c->param('limit')  || 10);
    my $offset = 0 + ($c->param('offset') || 0);
    my $url    = 'https://api.zapier.com' . $c->req->url->path;

    $self->give($c, [scope => $scope, client_id => 1], {
        links => {
            next => "$url?limit=$limit&offset=" . ($offset + $limit),
            prev => $offset ? "$url?limit=$limit&offset=0" : undef,
        },
        meta => {count => 1000, limit => $limit, offset => $offset},
        data => \@data,
    });
}


1;
