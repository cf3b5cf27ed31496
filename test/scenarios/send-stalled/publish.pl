# Publishes to a subscriber; each record must be gone within four seconds, by alarm and die.
use IO::Socket::INET;
my $l = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $ARGV[0], Listen => 5, ReuseAddr => 1) or exit 90;
$| = 1;
print "ready\n";
my $c = $l->accept or exit 91;
sysread $c, my $hello, 4096;
$SIG{ALRM} = sub { die "publish: subscriber takes nothing, timed out\n" };
for my $n (1 .. 100000) {
    alarm 4;
    syswrite $c, "record $n" . ("." x 8000) or die "publish: $!\n";
}
