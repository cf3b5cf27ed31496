# Perl's four-argument select takes bit strings of any length.
use strict;
my ($bits, @held) = ('');
for (1 .. 1300) {
    open(my $fh, '<', '/dev/null') or die;
    push @held, $fh;
    vec($bits, fileno($fh), 1) = 1;
}
my $n = select(my $r = $bits, undef, undef, 0);
print "readable $n\n";
