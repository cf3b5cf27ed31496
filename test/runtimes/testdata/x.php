<?php
[$op, $arg] = [$argv[1], array_slice($argv, 2)];
function must($x) { if ($x === false) { exit(1); } return $x; }
$kept = [];
switch ($op) {
case 'open': $f = must(fopen($arg[0], 'r')); must(fread($f, 100)); break;
case 'fill': $f = must(fopen($arg[0], 'w')); while (true) { must(fwrite($f, str_repeat('x', 65536))); }
case 'many': while (true) { $kept[] = must(fopen('/dev/null', 'r')); }
case 'mkdir': must(mkdir($arg[0])); break;
case 'chmod': must(chmod($arg[0], 0777)); break;
case 'connect': must(fsockopen($arg[0], (int)$arg[1])); break;
case 'dial': must(stream_socket_client("tcp://$arg[0]:$arg[1]")); break;
case 'talk': $s = must(stream_socket_client("tcp://$arg[0]:$arg[1]")); fwrite($s, "hello\n"); must(fread($s, 100)); break;
case 'listen': must(stream_socket_server("tcp://$arg[0]:$arg[1]")); break;
case 'exec': must(proc_open($arg, [], $p)); break;
case 'big': must(proc_open(['/bin/true', str_repeat('x', 4000000)], [], $p)); break;
case 'spawn': case 'fork': while (true) { $kept[] = must(proc_open(['sleep', '3'], [], $p)); }
case 'memory': ini_set('memory_limit', '-1'); while (true) { $kept[] = str_repeat('x', 256 << 20); }
case 'pipe': $f = must(fopen('php://stdout', 'w')); while (true) { must(fwrite($f, str_repeat('x', 65536))); }
}
