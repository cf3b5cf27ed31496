use IO::Socket::INET;
my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:7200", Proto => "tcp") or die "connect: $!\n";
$s->syswrite("feed\n");
while (1) {
	my $n = $s->sysread(my $b, 4096);
	die "feed: $!\n" unless defined $n;
	last unless $n;
}
