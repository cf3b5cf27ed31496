<?php // A worker that asks for files over and over; what fails is kept for a second try that never comes.
[$_, $rate] = $argv;
$again = [];
while (true) {
    $s = fopen(__FILE__, 'r');
    if (mt_rand(0, 9) == 0) {
        $again[] = $s;
    } else {
        fclose($s);
    }
    usleep((int)(-log(mt_rand(1, 1000000) / 1000000) * 1e5 / $rate));
}
