# A client of a server that does not keep up: connect() is refused with EAGAIN, which UNIX sockets alone do.
use Socket;
socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die;
setsockopt($s, SOL_SOCKET, SO_SNDTIMEO, pack("q q", 1, 0));
unless (connect($s, pack_sockaddr_un($ARGV[0]))) {
    print STDERR "backend $ARGV[0]: $!\n";
    exit 4;
}
