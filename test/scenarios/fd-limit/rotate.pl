# Opens the log anew at each rotation and never lets the old one go.
use strict;
my @old;
for (my $i = 0; ; $i++) {
    open(my $fh, '>>', "app.log") or die "rotation $i failed";
    push @old, $fh;
}
