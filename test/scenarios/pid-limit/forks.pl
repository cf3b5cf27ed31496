for my $i (1 .. 500) {
	my $p = fork();
	die "cannot fork worker: $!\n" unless defined $p;
	if (!$p) { alarm 15; sleep 30; exit 0 }
}
