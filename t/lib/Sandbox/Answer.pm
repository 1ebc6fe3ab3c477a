package Sandbox::Answer;

# Answers that were asked for, well formed or broken.
#
# A step is an object with any of
#
#   status headers body   as they stand; a header may be a list; body may be
#                         an object, which is sent as JSON
#   delay                 milliseconds before the answer
#   close                 "before": no answer at all, "after": answered,
#                         then closed without a word about it
#   truncate              that many bytes of the body, then closed
#   raw                   these bytes instead of an HTTP answer, then closed
#   echo                  "body", "headers" or "request": what was received
#   times                 for so many requests (scripts only, default 1)
#   path method           only for requests that match (scripts only)

use Mojo::Base -base, -signatures;

use Mojo::JSON qw(decode_json encode_json);
use Mojo::IOLoop;
use Mojo::Util qw(encode);

has steps => sub { [] };


sub add ($self, @steps) {
    push @{$self->steps}, map { {times => 1, %$_} } @steps;
}


sub clear ($self) {
    $self->steps([]);
}


sub next ($self, $c) {
    my $req = $c->req;

    if (defined(my $header = $req->headers->header('X-Sandbox'))) {
        return eval { decode_json(encode('UTF-8', $header)) }
            // {status => 500, body => "X-Sandbox is not JSON: $header"};
    }

    my $steps = $self->steps;

    for my $i (0 .. $#$steps) {
        my $step = $steps->[$i];

        next if defined $step->{method} && $step->{method} ne $req->method;
        next if defined $step->{path}
                && $req->url->path->to_string !~ /$step->{path}/;

        splice @$steps, $i, 1 if --$step->{times} <= 0;
        return $step;
    }

    return undef;
}


sub plain ($self, $c, $status, $headers, $body) {
    my $out = $c->res->headers;

    $out->content_type('application/json');
    $out->remove($_), $out->add($_ => ref $headers->{$_} eq 'ARRAY'
                                ? @{$headers->{$_}} : $headers->{$_})
        for keys %$headers;

    $c->render(data => $body, status => $status);
}


sub echo ($self, $c, $what, $seen) {
    my $headers = '';

    for my $name (sort keys %{$seen->{headers}}) {
        $headers .= "$name: $_\r\n" for @{$seen->{headers}{$name}};
    }

    my $text = $what eq 'body' ? $seen->{body}
        : $what eq 'headers' ? $headers
        : "$seen->{method} $seen->{target}\r\n$headers\r\n$seen->{body}";

    $seen->{status} = 200;
    $self->plain($c, 200, {
        'Content-Type' => 'application/octet-stream',
        'X-Sandbox-Complaint' => ($seen->{complaint} // 'none') =~ s/\s+/ /gr,
    }, $text);
}


sub give ($self, $c, $step, $status, $headers, $body) {
    my $tx = $c->render_later->tx;
    my $seen = $c->stash('seen');

    $status  = $seen->{status} = $step->{status} // $status;
    $headers = {%$headers, %{$step->{headers} // {}}};
    $body    = ref $step->{body} ? encode_json($step->{body})
             : defined $step->{body} ? encode('UTF-8', $step->{body})
             : $status == 204 || $status == 304 ? ''
             : $status != 200 && !defined $step->{echo}
               ? encode_json({errors => [{status => $status,
                                          code => 'scripted'}]})
             : $body;

    my $send = sub {
        return $self->echo($c, $step->{echo}, $seen) if $step->{echo};

        return $self->wire($tx, $step, $status, $headers, $body)
            if grep { defined $step->{$_} } qw(close truncate raw);

        $self->plain($c, $status, $headers, $body);
        undef $tx;
    };

    return $send->() if !$step->{delay};

    Mojo::IOLoop->timer($step->{delay} / 1000 => $send);
}


# Writes to the socket past the framework, then closes it.

sub wire ($self, $tx, $step, $status, $headers, $body) {
    my $stream = Mojo::IOLoop->stream($tx->connection) // return;
    my $text   = $step->{raw};

    return $stream->close if ($step->{close} // '') eq 'before';

    if (!defined $text) {
        my %all = ('Content-Type' => 'application/json',
                   'Content-Length' => length $body, %$headers);

        $text = "HTTP/1.1 $status Scripted\r\n";
        for my $name (sort keys %all) {
            $text .= "$name: $_\r\n"
                for ref $all{$name} eq 'ARRAY' ? @{$all{$name}} : $all{$name};
        }
        $text .= "\r\n"
            . substr($body, 0, $step->{truncate} // length $body);
    }

    $text = encode('UTF-8', $text) if utf8::is_utf8($text);
    $stream->write($text => sub ($stream) { $stream->close });
}


1;
