<?php
// fclose(STDOUT) and STDERR, as "daemonizing" recipes have it; the data files opened next get 1 and 2.
fclose(STDIN); fclose(STDOUT); fclose(STDERR);
$in = fopen('/dev/null', 'r');
$data = fopen('orders.csv', 'w+');
$idx = fopen('orders.idx', 'w+');
fwrite($data, str_repeat("1;anvil;12\n", 20));
fflush($data);
throw new RuntimeException("cannot commit batch 77");
