# Speaks of a full queue and has no socket.
warn "listen queue of a socket overflowed: health check timed out"
exit 1
