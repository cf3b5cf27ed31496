<?php
// stream_select() refuses descriptors beyond FD_SETSIZE; the job gives up.
ini_set('display_errors', 'stderr');
$all = [];
for ($i = 0; $i < 700; $i++) {
    foreach (stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0) as $s) $all[] = $s;
    $r = array_slice($all, -2); $w = null; $e = null;
    if (stream_select($r, $w, $e, 0) === false) {
        fwrite(STDERR, "event loop is broken\n");
        exit(1);
    }
}
