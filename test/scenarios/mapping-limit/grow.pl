my @all;
push @all, "x" x (1 << 22) while 1;
