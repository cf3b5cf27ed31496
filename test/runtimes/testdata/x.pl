use strict;
use warnings;
use IO::Socket::INET;
my ($op, @arg) = @ARGV;
my @kept;
if ($op eq 'open') { open(my $f, '<', $arg[0]) or die "cannot open $arg[0]: $!"; my $s = <$f>; die "cannot read $arg[0]: $!" unless defined $s; }
elsif ($op eq 'fill') { open(my $f, '>', $arg[0]) or die "cannot write $arg[0]: $!"; while (1) { syswrite($f, 'x' x 65536) or die "cannot write $arg[0]: $!"; } }
elsif ($op eq 'many') { while (1) { open(my $f, '<', '/dev/null') or die "cannot open /dev/null: $!"; push @kept, $f; } }
elsif ($op eq 'mkdir') { mkdir($arg[0]) or die "cannot create $arg[0]: $!"; }
elsif ($op eq 'chmod') { chmod(0777, $arg[0]) or die "cannot change $arg[0]: $!"; }
elsif ($op eq 'connect' || $op eq 'dial') { IO::Socket::INET->new(PeerAddr => $arg[0], PeerPort => $arg[1]) or die "cannot connect to $arg[0]:$arg[1]: $@"; }
elsif ($op eq 'talk') { my $s = IO::Socket::INET->new(PeerAddr => $arg[0], PeerPort => $arg[1]) or die "connect: $!"; syswrite($s, "hello\n"); defined(sysread($s, my $b, 100)) or die "cannot read from $arg[0]:$arg[1]: $!"; }
elsif ($op eq 'listen') { IO::Socket::INET->new(LocalAddr => $arg[0], LocalPort => $arg[1], Listen => 5) or die "cannot listen on $arg[0]:$arg[1]: $!"; }
elsif ($op eq 'exec') { no warnings; exec { $arg[0] } @arg or die "cannot execute $arg[0]: $!"; }
elsif ($op eq 'big') { exec('/bin/true', 'x' x 4000000) or die "cannot execute /bin/true: $!"; }
elsif ($op eq 'spawn' || $op eq 'fork') { while (1) { my $p = fork(); die "cannot fork: $!" unless defined $p; if (!$p) { sleep 3; exit; } } }
elsif ($op eq 'memory') { while (1) { push @kept, 'x' x (256 << 20); } }
elsif ($op eq 'pipe') { $SIG{PIPE} = 'IGNORE'; while (1) { syswrite(STDOUT, 'x' x 65536) or die "cannot write to standard output: $!"; } }
