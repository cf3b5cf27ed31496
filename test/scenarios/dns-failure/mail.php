<?php
// Hands the day's mail to its relay.
$relay = stream_socket_client("tcp://" . $argv[1] . ":25", $code, $why, 20);
if (!$relay) {
    fwrite(STDERR, "relay: $why\n");
    exit(75);
}
echo fgets($relay);
