# A script that takes a new descriptor in each turn.
set -e
i=0
while :; do
	exec {fd}</dev/null
	i=$((i + 1))
done
