package Sandbox::OAuth::Fault;

# Answers of the token endpoint that go wrong.  A step is an object with any
# of
#
#   fault        the name of a set of the settings below (see SETS)
#   times        for so many calls (default 1)
#   grant tenant family client    only for calls that match
#
#   delay        milliseconds before the server looks at the call
#   late         milliseconds between the work and the answer
#   rotate       whether the work is done (tokens made and killed) whatever
#                the answer says; without it, work is done unless status,
#                error, body, raw, hang or close "before" say that it is not,
#                and an answer without a refresh token leaves the old one
#                alive; what is not done is answered with tokens that nobody
#                knows
#   status headers body    instead of the answer; %access_token% and
#                %refresh_token% in a text body stand for the new tokens and
#                let the work be done
#   error        that OAuth error, with status 400
#   set omit     object of fields, list of names: changed in the answer
#   raw_set      object of fields whose values are JSON texts: {"n": "1e400"}
#   pad          so many bytes more in the answer
#   close        "before": no answer at all; "after": answered, then closed
#   truncate     that many bytes of the body, then closed
#   raw          these bytes instead of an HTTP answer, then closed
#   twice        a second answer, with tokens that nobody knows, after the
#                first one in the same connection, which stays open
#   hang         no answer, for ever
#
# Without the tokens having reached the caller in an answer that can be read,
# the family is lost: {rotate, status 500}, {rotate, close}, ...

use Mojo::Base -base, -signatures;

use Mojo::IOLoop;
use Mojo::JSON qw(encode_json);
use Mojo::Util qw(encode);

use constant HTML => "<!DOCTYPE html>\n<title>Sorry</title>\n"
    . "<h1>Something went wrong</h1>\n";

use constant SETS => {
    (map { $_ => {status => $_} } qw(400 401 403 404 408 409 423 425 500
                                     502 503 504)),
    429               => {status => 429, headers => {'Retry-After' => '2'}},
    'redirect'        => {status => 301,
                          headers => {Location => '/elsewhere'}, body => ''},
    'garbage'         => {body => "{\"access_token\":\x{1}]"},
    'empty'           => {body => ''},
    'null'            => {body => 'null'},
    'list'            => {body => '[]'},
    'html'            => {body => HTML,
                          headers => {'Content-Type' => 'text/html'}},
    'html-as-json'    => {body => HTML},
    'json-as-html'    => {headers => {'Content-Type' => 'text/html'}},
    'huge'            => {pad => 2_000_000, rotate => 0},
    'lost-huge'       => {pad => 2_000_000, rotate => 1},
    'no-expires'      => {omit => ['expires_in']},
    'string-expires'  => {set => {expires_in => '3600'}},
    'word-expires'    => {set => {expires_in => 'soon'}},
    'null-expires'    => {set => {expires_in => undef}},
    'zero-expires'    => {set => {expires_in => 0}},
    'negative-expires' => {set => {expires_in => -1}},
    'float-expires'   => {raw_set => {expires_in => '3600.5'}},
    'huge-expires'    => {raw_set => {expires_in => '99999999999999999999'}},
    'inf-expires'     => {raw_set => {expires_in => '1e400'}},
    'no-refresh'      => {omit => ['refresh_token']},
    'null-refresh'    => {set => {refresh_token => undef}},
    'no-access'       => {omit => ['access_token'], rotate => 0},
    'bad-access'      => {set => {access_token => "a\r\nX-Evil: 1"},
                          rotate => 0},
    'upper-type'      => {set => {token_type => 'BEARER'}},
    'other-type'      => {set => {token_type => 'mac'}, rotate => 0},
    'invalid-grant'   => {error => 'invalid_grant'},
    'invalid-client'  => {error => 'invalid_client', status => 401},
    'close'           => {close => 'before'},
    'lost'            => {close => 'before', rotate => 1},
    'lost-garbage'    => {body => "\x{1}{]", rotate => 1},
    'lost-500'        => {status => 500, rotate => 1},
    'truncated'       => {truncate => 20, rotate => 1},
    'hang'            => {hang => 1},
    'lost-hang'       => {hang => 1, rotate => 1},
    'late'            => {late => 1000},
    'twice'           => {twice => 1},
};

has steps => sub { [] };


# Returns what is wrong with the steps, or nothing.

sub add ($self, @steps) {
    for my $step (@steps) {
        return 'a step is an object' if ref $step ne 'HASH';

        my $name = $step->{fault};
        my $set  = defined $name ? SETS->{$name} : {};

        return "no fault \"$name\" is known" if !$set;
        push @{$self->steps}, {times => 1, %$set, %$step};
    }

    return;
}


sub next ($self, $call) {
    my $steps = $self->steps;

    STEP: for my $i (0 .. $#$steps) {
        my $step = $steps->[$i];

        for my $name (qw(grant tenant family client)) {
            next STEP if defined $step->{$name}
                         && $step->{$name} ne ($call->{$name} // '');
        }

        splice @$steps, $i, 1 if --$step->{times} <= 0;
        return $step;
    }

    return {};
}


sub works ($self, $step) {
    return $step->{rotate} if defined $step->{rotate};
    return 1 if ($step->{body} // '') =~ /%(?:access|refresh)_token%/;
    return !(grep({ defined $step->{$_} } qw(error body raw hang))
             || ($step->{status} // 200) != 200
             || ($step->{close} // '') eq 'before');
}


# Does the answer lack the refresh token because there is no new one?

sub keeps ($self, $step) {
    return !defined $step->{rotate} && touches($step, 'refresh_token');
}


sub touches ($step, @names) {
    my %touched = map { $_ => 1 } @{$step->{omit} // []},
        map { keys %{$step->{$_} // {}} } qw(set raw_set);

    return scalar grep { $touched{$_} } @names;
}


# Can a caller not read the new tokens out of what it gets?

sub swallows ($self, $step) {
    return 1 if $step->{hang} || defined $step->{raw} || $step->{error}
                || ($step->{close} // '') eq 'before'
                || defined $step->{truncate} || ($step->{status} // 200) != 200;
    return $step->{body} !~ /%refresh_token%/ if defined $step->{body};
    return 1 if ($step->{pad} // 0) >= 1_000_000;
    return touches($step, 'access_token',
                   $self->keeps($step) ? () : 'refresh_token');
}


# JSON text of an answer, as the step would have it

sub text ($self, $step, $answer) {
    my %all = (%$answer, %{$step->{set} // {}});
    my $raw = $step->{raw_set} // {};

    delete @all{@{$step->{omit} // []}};
    $all{$_} = 0 for keys %$raw;
    $all{padding} = 'x' x $step->{pad} if $step->{pad};

    return '{' . join(',', map {
        encode_json($_) . ':' . ($raw->{$_} // encode_json($all{$_}))
    } sort keys %all) . '}';
}


# Turns a good answer into status, headers and body.

sub spoil ($self, $step, $status, $headers, $answer) {
    my $body = $step->{body};

    if ($step->{error}) {
        $status = 400;
        $answer = {error => $step->{error}};

    } elsif (($step->{status} // 200) != 200) {
        $answer = {error => 'scripted', error_description => 'As was asked.'};
    }

    $status = $step->{status} // $status;
    $body = encode_json($body) if ref $body;

    if (defined $body) {
        $body =~ s/%((?:access|refresh)_token)%/$answer->{$1} \/\/ ''/ge;
        $body = encode('UTF-8', $body);
    }

    $body //= $self->text($step, $answer);

    return ($status, {%$headers, %{$step->{headers} // {}}}, $body);
}


# Writes the answer.  Some go past the framework.

sub send ($self, $c, $step, $status, $headers, $body) {
    return if $step->{hang};

    if (!grep { defined $step->{$_} } qw(close truncate raw twice)) {
        $c->res->headers->header($_ => $headers->{$_}) for keys %$headers;
        $c->render(data => $body, status => $status);
        return;
    }

    my $stream = Mojo::IOLoop->stream($c->tx->connection) // return;

    if (($step->{close} // '') eq 'before') {
        $stream->close;
        return;
    }

    my $text = $step->{raw} // message($status, $headers, $body,
                                       $step->{truncate} // length $body);

    if ($step->{twice}) {
        my %other = (access_token => 'sbxat-nobody', expires_in => 36000,
                     refresh_token => 'sbxrt-nobody', token_type => 'Bearer');
        my $more = encode_json(\%other);

        $stream->write($text . message(200, $headers, $more, length $more));
        return;
    }

    $stream->write(encode('UTF-8', $text) => sub ($stream) { $stream->close });
}


sub message ($status, $headers, $body, $length) {
    my %all = ('Content-Length' => length $body, %$headers);

    return "HTTP/1.1 $status Scripted\r\n"
        . join('', map { "$_: $all{$_}\r\n" } sort keys %all) . "\r\n"
        . substr $body, 0, $length;
}


1;
