# Waits for the database, four times.
i=0
until nc -z 127.0.0.1 7100; do
	i=$((i + 1))
	[ $i -lt 4 ] || { echo "timeout waiting for 127.0.0.1:7100" >&2; exit 1; }
	sleep 0.2
done
