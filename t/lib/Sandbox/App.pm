package Sandbox::App;

# The API of the sandbox and its control paths.

use Mojo::Base 'Mojolicious', -signatures;

use Mojo::File qw(curfile);
use Mojo::JSON qw(decode_json false true);
use Mojo::Message::Request;
use Mojo::Util qw(b64_encode decode monkey_patch);
use Time::HiRes ();

use Sandbox::Answer;
use Sandbox::Callback;
use Sandbox::Catalog;
use Sandbox::Guard;
use Sandbox::Limits;
use Sandbox::OAuth;

use constant MAX_BYTES => 64 * 1024 * 1024;

# Mojo::URL escapes anew what it parses; tests want the target as it came
# (an empty query is none).

my $extract = Mojo::Message::Request->can('extract_start_line');

monkey_patch 'Mojo::Message::Request', extract_start_line => sub ($req, $text) {
    my ($target) = $$text =~ /^\s*\S+ (\S+?)\?? /;
    my $done = $req->$extract($text);

    $req->{sandbox_target} = $target if $done;
    return $done;
};


has answers  => sub { Sandbox::Answer->new };
has callback => sub ($self) { Sandbox::Callback->new(app => $self) };
has catalog  => sub ($self) { Sandbox::Catalog->new(app => $self) };
has executed => sub { {} };
has guard    => sub ($self) { Sandbox::Guard->new(app => $self) };
has limits   => sub { Sandbox::Limits->new };
has oauth    => sub { Sandbox::OAuth->new };
has requests => sub { [] };
has right    => sub { {} };
has runs     => sub { {} };
has tokens   => sub { {} };
has bytes    => 0;
has total    => 0;


sub startup ($self) {
    my $r = $self->routes;

    $self->secrets(['sandbox']);
    $self->plugin(Config => {default => {prefix => 'sandbox-', polls => 1}});

    $self->oauth->routes($r);
    $self->control($r->any('/_sandbox'));
    $self->callback->routes($r, $r->any('/_sandbox'));

    # the plugin finds the route of an operation by its name
    $r->post('/v2/action-runs' => sub ($c) { $self->create_run($c) },
             'create-action-run');

    $self->plugin(OpenAPI => {
        url => curfile->dirname->sibling('create-action-run.openapi.yaml'),
        plugins => [], skip_validating_specification => 1, coerce => {},
    });

    $r->get('/v2/action-runs/#id' => sub ($c) { $self->read_run($c) });
    $self->catalog->routes($r);
    $r->any('/*any' => {any => ''} => sub ($c) {
        $self->reply($c, error(404, 'not_found', 'NotFound', 'Not found.'));
    });

    # control, and the other host: its calls are in the statistics of it
    my $aside = qr{^/(?:_sandbox|oauth|v2/authorize|\.well-known)(?:/|\z)};

    $self->hook(before_dispatch => sub ($c) {
        $self->record($c) if $c->req->url->path !~ $aside;
    });
}


sub control ($self, $r) {
    $r->get('/requests' => sub ($c) { $self->list_requests($c) });

    $r->get('/last' => sub ($c) {
        $c->render(text => last_request($self->requests->[-1]),
                   format => 'txt');
    });

    $r->delete('/requests' => sub ($c) {
        $self->forget;
        $c->render(json => {});
    });

    $r->get('/executed' => sub ($c) { $c->render(json => $self->executed) });

    $r->delete('/' => sub ($c) {
        $self->forget->executed({})->answers->clear;
        $self->oauth->clear;
        $self->limits(Sandbox::Limits->new)->tokens({});
        $c->render(json => {});
    });

    $r->post('/script' => sub ($c) {
        my $steps = $c->req->json // return $c->render(json => {}, status => 400);
        $self->answers->add(ref $steps eq 'ARRAY' ? @$steps : $steps);
        $c->render(json => {steps => scalar @{$self->answers->steps}});
    });

    $r->put('/config' => sub ($c) {
        my $new = $c->req->json // return $c->render(json => {}, status => 400);
        $self->limits(Sandbox::Limits->new(%{$new->{limits}}))
            if $new->{limits};
        $self->tokens({%{$self->tokens}, %{$new->{tokens} // {}}});
        $self->config->{$_} = $new->{$_}
            for grep { exists $new->{$_} } qw(prefix polls run);
        $c->render(json => {});
    });
}


sub forget ($self) {
    return $self->requests([])->bytes(0)->total(0);
}


# The body is taken as it came from the socket, before anything reads it.

sub record ($self, $c) {
    my $req    = $c->req;
    my $body   = $req->body;
    my $header = $req->headers->to_hash(1);
    my $list   = $self->requests;

    my $seen = {
        number  => $self->total($self->total + 1)->total,
        time    => Time::HiRes::time,
        connection => $c->tx->connection,
        method  => $req->method,
        target  => $req->{sandbox_target},
        path    => $req->url->path->to_string,
        query   => $req->url->query->to_string,
        headers => $header,
        body    => $body,
        %{$self->guard->look($req)},
    };

    push @$list, $seen;
    $self->bytes($self->bytes + length $body);

    while ($self->bytes > MAX_BYTES || @$list > 10_000) {
        $self->bytes($self->bytes - length shift(@$list)->{body});
    }

    $c->stash(seen => $seen);
}


sub list_requests ($self, $c) {
    my $wait = $c->param('wait') // 0;

    if (@{$self->requests} >= $wait) {
        return $c->render(json => [map { shown($_) } @{$self->requests}]);
    }

    my $left = int(($c->param('timeout') // 5000) / 10);
    my $tx   = $c->render_later->tx;

    my $id;
    $id = Mojo::IOLoop->recurring(0.01 => sub ($loop) {
        return if @{$self->requests} < $wait && $left-- > 0;
        $loop->remove($id);
        undef $tx;
        $c->render(json => [map { shown($_) } @{$self->requests}]);
    });
}


sub shown ($seen) {
    return {
        %$seen,
        body        => decode('UTF-8', $seen->{body}),
        body_base64 => b64_encode($seen->{body}, ''),
    };
}


# For a person to read: no token, only headers that matter.

sub last_request ($seen) {
    return "nothing was received\n" if !$seen;

    my %headers = %{$seen->{headers}};
    my $text = "$seen->{method} $seen->{target}\n";

    for my $name (qw(Host Authorization Content-Type Content-Length)) {
        my $value = ($headers{$name} // next)->[0];

        $value =~ s/^(Bearer .{0,4}).*/$1.../ if $name eq 'Authorization';
        $text .= "$name: $value\n";
    }

    return "$text\n" . (decode('UTF-8', $seen->{body}) // '(binary)') . "\n";
}


# Answers with what X-Sandbox, the script, ?echo or the limits say, or with
# what the API would.

sub reply ($self, $c, $status, $headers, $body) {
    my $seen = $c->stash('seen');
    my $step = $self->answers->next($c);
    my $echo = $c->req->query_params->param('echo');

    if ($step) {
        return $self->answers->give($c, $step, $status, $headers, $body);
    }

    if ($echo) {
        return $self->answers->echo($c, $echo, $seen);
    }

    my ($refused, $extra) = $self->limits->check($c->tx->remote_address);
    $headers = {%$headers, %$extra};

    if (defined $refused) {
        ($status, undef, $body) = error(429, 'throttled', 'Throttled',
            'Request was throttled. Expected available in '
            . "$refused seconds.");

    } elsif (my @no = $self->guard->refusal($c, $seen,
                                            @{$c->stash('needs') // []}))
    {
        ($status, my $more, $body) = @no;
        $headers = {%$headers, %$more};
    }

    $seen->{status} = $status;
    $self->answers->plain($c, $status, $headers, $body);
}


# Mojo::JSON writes "\/", the service behind api.zapier.com does not.

sub json_text ($value) {
    return Mojo::JSON::encode_json($value) =~ s{\\/}{/}gr;
}


# What a Django REST Framework service says, which api.zapier.com is.

sub error ($status, $code, $title, $detail, $source = undef) {
    return ($status, {}, json_text({errors => [{
        status => $status, code => $code, title => $title,
        detail => $detail, source => $source,
        meta => {
            source => 'ZAPIER',
            full_details => {message => $detail, code => $code},
        },
    }]}));
}


sub create_run ($self, $c) {
    my $seen = $c->stash(needs => [scope => 'action:run'])->stash('seen');
    my $type = $c->req->headers->content_type // '';

    if ($type !~ m{^application/(?:json|[\w.-]+\+json)\s*(?:;|$)}i) {
        $seen->{complaint} = "Content-Type is \"$type\"";
        return $self->reply($c, error(415, 'unsupported_media_type',
            'UnsupportedMediaType', "Unsupported media type \"$type\"."));
    }

    if (my @wrong = $self->wrong_body($c, $seen)) {
        return $self->reply($c, @wrong);
    }

    my $id = $self->uuid;

    $seen->{run} = $id;
    $seen->{action} = $self->catalog->named($c->req->json->{data}{action});
    $self->runs({}) if keys %{$self->runs} >= 100_000;
    $self->runs->{$id} = my $run = $self->new_run($c);

    if (my $url = $c->req->json->{data}{callback_url}) {
        $self->callback->later($url, $run,
                               qq({"data":{"type":"run","id":"$id",)
                               . outcome($run, 0) . '}}');
    }

    $self->reply($c, 200, {},
                 json_text({data => {type => 'run', id => $id}}));

    # what was refused is not run; "once" is a name that tests give a call

    my $once = $c->req->json->{data}{inputs}{once};

    push @{$self->executed->{$once}}, $id
        if defined $once && ($seen->{status} // 200) < 300;
}


# Bodies that were found right are not looked at again: load tests send the
# same few.

sub wrong_body ($self, $c, $seen) {
    my $right = $self->right;
    my $body  = $seen->{body};

    return if $right->{$body};

    if (!eval { decode_json($body); 1 }) {
        $seen->{complaint} = "$@";
        return error(400, 'parse_error', 'ParseError', 'Malformed request.');
    }

    if (my @errors = $c->openapi->validate) {
        my ($path) = $errors[0]->path =~ m{^/body(.*)};
        $seen->{complaint} = join '; ', @errors;
        return error(400, 'invalid', 'ValidationError', $errors[0]->message,
                     {pointer => $path // $errors[0]->path});
    }

    if (length $body < 4096) {
        $self->right($right = {}) if keys %$right >= 1000;
        $right->{$body} = 1;
    }

    return;
}


sub uuid ($self) {
    my @w = map { int rand 0x10000 } 1 .. 8;

    return sprintf '%04x%04x-%04x-%04x-%04x-%04x%04x%04x', @w[0 .. 2],
        $w[3] & 0x0fff | 0x4000, $w[4] & 0x3fff | 0x8000, @w[5 .. 7];
}


# How a run goes is said by the "sandbox" of its inputs, or by PUT
# /_sandbox/config {"run":{...}}:
#
#   duration  ms until it is finished; else it is after some polls
#   pending   its status until then ("waiting")
#   accepted  1: it is answered with 202 until then
#   status    of the end ("success")
#   results   JSON text as it is to be sent
#   errors    the same
#   callback  see Sandbox::Callback

sub new_run ($self, $c) {
    my $inputs = eval { $c->req->json->{data}{inputs}{sandbox} };
    my %run = (%{$self->config->{run} // {}},
               ref $inputs eq 'HASH' ? %$inputs : ());

    $run{polls} //= $self->config->{polls};
    $run{started} = Time::HiRes::time;

    return \%run;
}


sub read_run ($self, $c) {
    $c->stash(needs => [scope => 'action:run']);

    my $run = $self->runs->{$c->param('id')}
        // return $self->reply($c, error(404, 'not_found', 'NotFound',
                                         'Not found.'));
    my $waiting = defined $run->{duration}
        ? Time::HiRes::time - $run->{started} < $run->{duration} / 1000
        : $run->{polls}-- > 0;

    $self->reply($c, $waiting && $run->{accepted} ? 202 : 200, {},
        '{"data":{"type":"run",' . outcome($run, $waiting) . '}}');
}


sub outcome ($run, $waiting) {
    my $status  = $waiting ? $run->{pending} // 'waiting'
                           : $run->{status} // 'success';
    my $results = $waiting ? '[]' : $run->{results} // '[{"ok":true}]';
    my $errors  = $waiting ? '[]' : $run->{errors} // '[]';

    return qq("status":"$status","results":$results,"errors":$errors);
}


1;
