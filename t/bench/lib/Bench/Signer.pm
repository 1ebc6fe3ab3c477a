package Bench::Signer;

# Signs callbacks as the upstream would, with a key of its own.

use strict;
use warnings;

use IPC::Open2 qw(open2);
use JSON::PP ();
use MIME::Base64 qw(encode_base64url);

my $json = JSON::PP->new->canonical;


sub new {
    my ($class, $dir) = @_;
    my $file = "$dir/callback.pem";

    system("openssl genrsa -out '$file' 2048 2> /dev/null") == 0
        or die "openssl could not make a key\n";

    return bless { file => $file, tokens => 0 }, $class;
}


# The JSON Web Key Set.
sub keys {
    my ($self) = @_;
    my ($n) = `openssl rsa -in '$self->{file}' -noout -modulus 2> /dev/null`
        =~ /Modulus=(\w+)/ or die "openssl does not tell of a key\n";

    return $json->encode({ keys => [ {
        kty => "RSA", alg => "RS256", use => "sig", kid => "bench",
        e => "AQAB", n => encode_base64url(pack "H*", $n)
    } ] });
}


# One that was not used before.
sub token {
    my ($self) = @_;
    my $text = join ".", map { encode_base64url($json->encode($_)) }
        { alg => "RS256", typ => "JWT", kid => "bench" },
        { iat => time(), exp => time() + 300, jti => ++$self->{tokens} };

    my $pid = open2(my $out, my $in, "openssl", "dgst", "-sha256", "-sign",
                    $self->{file});

    print $in $text;
    close $in;

    my $signature = do { local $/; <$out> };

    waitpid $pid, 0;
    die "openssl could not sign\n" if $? != 0;

    return "$text." . encode_base64url($signature);
}


1;
