<?php
for ($i = 0; $i < 500; $i++) {
	$p = proc_open(['sleep', '20'], [], $pipes);
	if (!$p) { fwrite(STDERR, "queue: no worker\n"); exit(14); }
	$all[] = $p;
}
