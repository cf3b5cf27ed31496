#!/bin/sh
# The story of the bad day: a small service leaks descriptors until its log turns to garbage and it
# crashes, and descry says why. Takes about ten seconds. Needs Go alone; with root descry sees more.
set -u
cd "$(dirname "$0")/../.."
go build -o bin/cart ./examples/badday/before || exit 1
ulimit -n 4096 2>/dev/null || { echo "demo: needs a limit of 4096 descriptors; the hard limit here is $(ulimit -Hn)" >&2; exit 1; }
TMPDIR=$(mktemp -d) || exit 1
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

as=
if [ "$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then
	as="sudo -n --preserve-env=TMPDIR,NO_COLOR,TERM"
fi
echo "\$ ${as:+sudo }descry run -- ./cart"
$as bin/descry run -- bin/cart
code=$?
# The crash is the demonstration: Go ends a program with 2 after a fault.
[ $code -eq 2 ] || { echo "demo: cart should have crashed with exit code 2, not $code" >&2; exit 1; }
