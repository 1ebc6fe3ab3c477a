package Sandbox::OAuth::Control;

# The control paths of the OAuth server, all below /_sandbox/oauth, all JSON:
#
#   POST   /pair      {"tenant":"acme","lifetime":60} or a list of such:
#                     issues families; also client, scope, access_token,
#                     refresh_token, with_refresh (0: access token only),
#                     kind ("app": for calls of the client's own)
#   POST   /fault     a step or a list of them (see Sandbox::OAuth::Fault)
#   DELETE /fault     forgets the steps that are left
#   PUT    /config    settings (see Sandbox::OAuth::defaults)
#   POST   /clock     {"advance":36000} puts the server's clock forward
#   POST   /expire    {"tenant":"acme"} or family, or token: the access token
#                     is no good from now on, whatever was said of it
#   POST   /revoke    the same for all tokens of the families
#   GET    /family?tenant=acme   or family, or token: families, oldest first
#   POST   /inspect   {"tokens":[...]}: what each of them is and is worth
#   GET    /stats     counts; ?list=1 with the calls of the token endpoint
#   DELETE /stats     starts to count anew
#   DELETE /          forgets all of it

use Mojo::Base -base, -signatures;

has oauth => undef, weak => 1;


sub routes ($self, $r) {
    my $oauth = $self->oauth;

    my %posts = (
        pair => sub ($in) { $self->pairs($in) },
        fault => sub ($in) { $self->fault($in) },
        clock => sub ($in) { $self->clock($in) },
        expire => sub ($in) { $self->expire($in) },
        revoke => sub ($in) { $self->revoke($in) },
        inspect => sub ($in) { $self->inspect($in) },
    );

    for my $name (keys %posts) {
        $r->post("/$name" => sub ($c) { answer($c, $posts{$name}) });
    }

    $r->put('/config' => sub ($c) {
        answer($c, sub ($in) { $self->configure($in) });
    });

    $r->delete('/fault' => sub ($c) {
        $oauth->faults->steps([]);
        $c->render(json => {});
    });

    $r->get('/family' => sub ($c) {
        my %by = %{$c->req->query_params->to_hash};
        $c->render(json => [map { $oauth->store->view($_) }
                                $oauth->store->find(%by)]);
    });

    $r->get('/stats' => sub ($c) {
        $c->render(json => $oauth->stats->view($oauth->store,
                                               $c->param('list')));
    });

    $r->delete('/stats' => sub ($c) {
        $oauth->stats->clear;
        $c->render(json => {});
    });

    $r->delete('/' => sub ($c) {
        $oauth->clear;
        $c->render(json => {});
    });
}


sub answer ($c, $do) {
    my $in  = $c->req->json;
    my $out = eval { $do->($in // die "not JSON\n") };

    return $c->render(json => $out) if defined $out;

    chomp(my $error = $@);
    $c->render(json => {error => $error}, status => 400);
}


sub pairs ($self, $in) {
    my $oauth  = $self->oauth;
    my $config = $oauth->config;

    my @made = map {
        my $family = $oauth->store->issue(
            client => (sort keys %{$config->{clients}})[0],
            suffix => $config->{refresh_suffix},
            map({ $_ => $config->{$_} } qw(scope lifetime)), %$_);
        $oauth->store->view($family);
    } ref $in eq 'ARRAY' ? @$in : $in;

    return ref $in eq 'ARRAY' ? \@made : $made[0];
}


sub fault ($self, $in) {
    my $faults = $self->oauth->faults;
    my $wrong  = $faults->add(ref $in eq 'ARRAY' ? @$in : $in);

    die "$wrong\n" if $wrong;
    return {steps => scalar @{$faults->steps}};
}


sub configure ($self, $in) {
    my $config = $self->oauth->config;

    exists $config->{$_} or die "no setting \"$_\" is known\n" for keys %$in;
    @$config{keys %$in} = values %$in;

    return $config;
}


sub clock ($self, $in) {
    my $store = $self->oauth->store;

    $store->offset($store->offset + ($in->{advance} // 0));
    return {offset => $store->offset};
}


sub expire ($self, $in) {
    my $store = $self->oauth->store;
    my @found = $store->find(%$in);

    for my $family (@found) {
        $store->access->{$family->{access_token}}{expires} = $store->now;
    }

    return {families => scalar @found};
}


sub revoke ($self, $in) {
    my $store = $self->oauth->store;
    my @found = $store->find(%$in);

    $store->revoke($_, 'control') for @found;
    return {families => scalar @found};
}


sub inspect ($self, $in) {
    return [map { $self->oauth->store->inspect($_ // '') } @{$in->{tokens}}];
}


1;
