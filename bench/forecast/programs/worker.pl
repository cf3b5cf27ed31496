# A worker whose log of each job stays open in a hash.
use strict; use IO::File;
my ($rate, $burst) = @ARGV;
my %log; my $n = 0;
while (1) {
    for (1 .. $burst) { $log{$n} = IO::File->new("/etc/hostname", "r") and $n++; }
    select(undef, undef, undef, -log(rand() || 1e-9) * $burst / $rate);
}
