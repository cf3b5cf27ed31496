<?php
ini_set('display_errors', 'stderr');
function vat(int $net): float { return $net * 1.19; }
echo vat(100), "\n";
echo vat("a hundred"), "\n";
