# Children fail, signals fly, warnings are printed: and all is well in the end.
ls /no/such/folder
grep -q zebra /etc/passwd || echo "no zebra"
yes | head -n 1
(kill -TERM $BASHPID)
echo "Traceback (most recent call last): is what Python prints" >&2
exit 0
