# Speaks of a full buffer and has no socket.
import sys
sys.stderr.write("send buffer full: client does not read, write timed out\n")
sys.exit(1)
