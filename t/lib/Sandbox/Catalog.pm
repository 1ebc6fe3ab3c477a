package Sandbox::Catalog;

# Parts of the API beside action runs: one for each way of authentication.
#
#   GET    /v2/actions?app=ID              user token, or client_id
#   GET    /v2/apps                        the same
#   GET    /v1/apps                        client_id
#   GET    /v1/profiles/me                 user token
#   DELETE /v2/promotions/ID               app token

# Every app has 25 actions: "send_email", two with the key "contact" that
# differ in their type, "action_3" and so on.  Their ids are others each time
# they are asked for.

use Mojo::Base -base, -signatures;

has app => undef, weak => 1;
has ids => sub { {} };


sub routes ($self, $r) {
    $r->get('/v2/actions' => sub ($c) {
        my $type = $c->param('action_type') // '';

        $self->page($c, 'zap', grep { !$type || $_->{action_type} eq $type }
                    actions($c->param('app') // ''));
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


sub actions ($app) {
    my @keys = (['send_email', 'WRITE'], ['contact', 'READ'],
                ['contact', 'SEARCH'],
                map { ["action_$_", $_ % 2 ? 'READ' : 'WRITE'] } 3 .. 24);

    return map {
        {type => 'action', app => $app, key => $_->[0],
         action_type => $_->[1], title => ucfirst $_->[0]}
    } @keys;
}


# The action that an id was given out for, as "APP/KEY/TYPE".

sub named ($self, $id) {
    return $self->ids->{$id};
}


sub page ($self, $c, $scope, @all) {
    my $limit  = 0 + ($c->param('limit')  || 10);
    my $offset = 0 + ($c->param('offset') || 0);
    my $url    = 'https://api.zapier.com' . $c->req->url->path;
    my $query  = $c->req->query_params->clone->remove('client_id');

    my $count  = @all;

    my @data = grep { $_ } @all[$offset .. $offset + $limit - 1];
    my $link = sub ($at) {
        "$url?" . $query->merge(limit => $limit, offset => $at);
    };

    for (grep { $_->{type} eq 'action' } @data) {
        $_->{id} = 'core:' . int rand 1e15;
        $self->ids({}) if keys %{$self->ids} >= 100_000;
        $self->ids->{$_->{id}} = "$_->{app}/$_->{key}/$_->{action_type}";
    }

    $self->give($c, [scope => $scope, client_id => 1], {
        links => {
            next => $offset + $limit < $count ? $link->($offset + $limit)
                                              : undef,
            prev => $offset ? $link->(0) : undef,
        },
        meta => {count => $count, limit => $limit, offset => $offset},
        data => \@data,
    });
}


1;
