# The number 2 is closed, then a connection gets descriptor 2: warnings go out to the peer, which hangs up.
use strict;
use Socket;
use POSIX ();
POSIX::close(2);
socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or exit 90;
print fileno($a) == 2 ? "got 2\n" : "got other\n";
warn "this goes over the wire\n" if 1;
syswrite($a, "BEGIN\n");
sysread($b, my $first, 6);
exit($first eq "BEGIN\n" ? 0 : 76);
