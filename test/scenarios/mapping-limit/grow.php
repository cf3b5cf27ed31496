<?php
ini_set('memory_limit', $argv[1]);
$all = [];
while (true) $all[] = str_repeat('x', 1 << 22);
