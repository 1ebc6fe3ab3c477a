package Sandbox::Callback;

# Calls back about runs that have a callback_url, as api.zapier.com does: with
# a signed token, and its keys at /.well-known/jwks.json.
#
# What is said of a run (see Sandbox::App) may hold "callback":
#
#   never     1: it is not called back about
#   after     ms after the start of the run ("duration", or 100)
#   times     how often (1)
#
# Tests have tokens signed by POST /_sandbox/sign {"key":NAME, "header":{...},
# "claims":{...}}; the key "zapier" is the one in the set.  POST
# /_sandbox/rotate makes a new one.

use Mojo::Base -base, -signatures;

use File::Temp ();
use Mojo::IOLoop;
use Mojo::JSON qw(encode_json);
use Mojo::UserAgent;
use Mojo::Util qw(b64_encode);

has [qw(app)];
has answers => sub { [] };
has dir     => sub { File::Temp->newdir };
has kid     => 1;
has ua      => sub { Mojo::UserAgent->new };


sub routes ($self, $r, $control) {
    $r->get('/.well-known/jwks.json' => sub ($c) {
        $c->render(json => {keys => [$self->jwk]});
    });

    $control->post('/sign' => sub ($c) {
        my $ask = $c->req->json // {};

        $c->render(json => {
            token => $self->sign(map { $_ => $ask->{$_} } keys %$ask),
            pem   => $self->openssl(rsa => -in => $self->file('zapier'),
                                    '-pubout'),
        });
    });

    $control->post('/rotate' => sub ($c) {
        $self->kid($self->kid + 1);
        unlink $self->file('zapier');
        $c->render(json => {});
    });

    $control->get('/callbacks' => sub ($c) {
        $c->render(json => $self->answers);
    });
}


sub openssl ($self, @args) {
    open my $out, '-|', 'sh', '-c', 'exec openssl "$@" 2> /dev/null', 'sh',
        @args or die "openssl: $!";
    binmode $out;

    return scalar do { local $/; <$out> };
}


sub file ($self, $name) {
    my $file = $self->dir . "/$name.pem";

    $self->openssl('genrsa', -out => $file, 2048) if !-e $file;

    return $file;
}


sub base64url ($bytes) {
    return b64_encode($bytes, '') =~ tr{+/}{-_}r =~ s/=+\z//r;
}


sub jwk ($self) {
    my ($n) = $self->openssl(rsa => -in => $self->file('zapier'), '-noout',
                             '-modulus') =~ /Modulus=(\w+)/;

    return {kty => 'RSA', alg => 'RS256', use => 'sig', e => 'AQAB',
            kid => 'key' . $self->kid, n => base64url(pack 'H*', $n)};
}


sub sign ($self, %args) {
    my %header = (alg => 'RS256', typ => 'JWT', kid => 'key' . $self->kid,
                  %{$args{header} // {}});
    my %claims = (iat => time, exp => time + 300, jti => rand . '',
                  %{$args{claims} // {}});
    my $text   = join '.', map { base64url(encode_json($_)) } \%header,
                                                              \%claims;
    my $file   = $self->dir . '/text';

    open my $out, '>', $file or die "$file: $!";
    print $out $text;
    close $out;

    return "$text." . base64url($self->openssl(
        'dgst', '-sha256', -sign => $self->file($args{key} // 'zapier'),
        $file));
}


sub later ($self, $url, $run, $text) {
    my %how  = %{$run->{callback} // {}};
    my $left = $how{times} // 1;

    return if $how{never};

    my $send;
    $send = sub {
        $self->ua->post($url, {
            'Content-Type' => 'application/json',
            'Zapier-Callback-Signature' => $self->sign,
        }, $text => sub ($ua, $tx) {
            push @{$self->answers}, $tx->res->code // 0;
            --$left > 0 ? $send->() : undef $send;
        });
    };

    Mojo::IOLoop->timer(($how{after} // $run->{duration} // 100) / 1000
                        => sub { $send->() });
}


1;
