# Starts redis-server and asks it for life; where it does not answer in time, it ends the whole.
redis-server --port "$1" --bind 127.0.0.1 --tcp-backlog 2 --save "" --enable-debug-command local --loglevel warning &
child=$!
until redis-cli -h 127.0.0.1 -p "$1" ping >/dev/null 2>&1; do sleep 0.05; done
echo ready
redis-cli -h 127.0.0.1 -p "$1" debug sleep 30 >/dev/null 2>&1 &
until [ -e crowd ]; do sleep 0.05; done
sleep 1.5
if ! timeout 2 redis-cli -h 127.0.0.1 -p "$1" ping >/dev/null 2>&1; then
	echo "redis did not answer a ping within 2 s, stopping" >&2
	kill -9 $child
	exit 70
fi
