use IO::Socket::INET;
my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:7100", Proto => "tcp") or die "mirror: $!\n";
