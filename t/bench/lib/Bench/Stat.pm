package Bench::Stat;

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT_OK = qw(median spread pairs);


sub quantile {
    my ($at, @values) = @_;
    my @sorted = sort { $a <=> $b } @values;

    return undef if !@sorted;

    my $place = $at * $#sorted;
    my $low = int $place;
    my $high = $low < $#sorted ? $low + 1 : $low;

    return $sorted[$low] + ($place - $low) * ($sorted[$high] - $sorted[$low]);
}


sub median {
    return quantile(0.5, @_);
}


# The middle half, from and to.
sub spread {
    return [ quantile(0.25, @_), quantile(0.75, @_) ];
}


# The ratios of what was measured in the same round.
sub pairs {
    my ($of, $to) = @_;

    return map { $of->[$_] / $to->[$_] }
           grep { defined $of->[$_] && $to->[$_] } 0 .. $#$of;
}


1;
