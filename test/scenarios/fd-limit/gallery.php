<?php
// Thumbnails: each file is opened and kept in a static array; a failed fopen() is used as a handle.
ini_set('display_errors', 'stderr');
$open = [];
while (true) {
    $h = @fopen('/etc/hostname', 'r');
    $open[] = $h;
    fread($h, 10);
}
