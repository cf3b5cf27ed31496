print STDERR "upstream said: write: Broken pipe (32)\n";
exit 1;
