use strict;
my %stock = (anvil => 3);
sub need { my $n = shift; exists $stock{$n} or die "no $n on stock" ; $stock{$n} }
need("anvil");
need("hammer");
