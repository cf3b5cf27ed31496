# A shell's own redirections: output goes to a file from here on, and comes back.
exec 3>&1 4>&2
exec >out.log 2>&1
echo captured
exec 1>&3 2>&4 3>&- 4>&-
echo restored
exit 9
