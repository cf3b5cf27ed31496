# Speaks of lost datagrams and has no socket.
print STDERR "yesterday: receive buffer overflow, 512 packets lost\n";
exit 1;
