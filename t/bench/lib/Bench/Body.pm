package Bench::Body;

# The bodies callers send: without the envelope, as a plain service would.

use strict;
use warnings;

use JSON::PP ();

my $json = JSON::PP->new->canonical->utf8;

my @words = qw(the order of a customer was shipped on time with all items
    and an invoice for which payment is due within thirty days please note
    that our address has changed);

my $seed;


# The same bodies on every machine and in every run.
sub random {
    my ($n) = @_;

    $seed = ($seed * 16807) % 2147483647;

    return $seed % $n;
}


sub text {
    my ($n) = @_;

    return join ' ', map { $words[random(scalar @words)] } 1 .. $n;
}


sub record {
    return {
        id         => 100000 + random(900000),
        email      => "user" . random(100000) . "\@example.com",
        name       => ucfirst(text(1)) . " M\x{fc}ller",
        amount     => random(1000000) / 100,
        paid       => random(2) ? JSON::PP::true : JSON::PP::false,
        coupon     => undef,
        tags       => [ map { text(1) } 1 .. 3 ],
        address    => { street => text(3), zip => "0" . random(10000),
                        location => [ random(90000) / 1000,
                                      random(180000) / 1000 ] },
        created_at => sprintf("2026-%02d-%02dT%02d:00:00Z", 1 + random(12),
                              1 + random(28), random(24)),
    };
}


sub encode {
    my ($inputs) = @_;

    return $json->encode({ action => "core:Vn7xbE60kJ2",
                           authentication => "example_QVaAreV1",
                           inputs => $inputs });
}


# Grows the inputs by add, which tells how many bytes its piece takes, and
# ends at size bytes to the letter.
sub fill {
    my ($size, $inputs, $add) = @_;
    my $rest = $size;

    $seed = 42;

    if (defined $add) {
        $rest -= $add->($inputs) while $rest > 2000;
    }

    $rest = $size - length encode({ %$inputs, note => "" });
    die "a body of $size bytes came out too long\n" if $rest < 0;

    return encode({ %$inputs, note => substr(text($rest), 0, $rest) });
}


sub small {
    return fill(400, { channel => "C024BE91L", to => "ada\@example.com",
                       subject => "Order 100731 shipped", quantity => 3,
                       amount => 129.95, urgent => JSON::PP::false });
}


sub records {
    my ($size) = @_;

    return fill($size, { rows => [] }, sub {
        my $row = record();

        push @{$_[0]{rows}}, $row;

        return 1 + length $json->encode($row);
    });
}


# A document: paragraphs in one long string, with line ends and quotes.
sub document {
    my ($size) = @_;

    return fill($size, { title => "Minutes", content => "" }, sub {
        my $part = text(80) . ".\n\n\"" . text(6) . "\" \x{2013} ";

        $_[0]{content} .= $part;

        return length($json->encode([ $part ])) - 4;
    });
}


# What the upstream says of a run that has these inputs for a result.
sub result {
    my ($id, $text) = @_;

    return qq({"data":{"id":"$id","type":"run","status":"success",)
         . qq("results":[$text],"errors":[]}});
}


sub slurp {
    my ($file) = @_;

    open my $fh, "<", $file or die "$file: $!\n";
    local $/;

    return scalar <$fh>;
}


sub write_all {
    my ($dir) = @_;
    my %bodies = ("400"         => small(),
                  "16k"         => records(16 * 1024),
                  "256k-text"   => document(256 * 1024),
                  "256k-rows"   => records(256 * 1024));

    for my $name (keys %bodies) {
        open my $fh, ">", "$dir/$name.json" or die "$dir/$name.json: $!\n";
        print $fh $bodies{$name};
        close $fh or die "$dir/$name.json: $!\n";
    }

    return \%bodies;
}


1;
