# A helper's random bytes end up on standard error; it is gone when the script gives up.
echo starting
for i in 1 2 3; do echo "INFO $i ok" >&2; done
head -c 2000 /dev/urandom >&2
echo "ERROR giving up" >&2
exit 6
