# Collects measurements over UDP: after it is told that all were sent, counts what came.
import os, socket, sys

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 8125))
s.setblocking(False)
print("ready", os.getpid(), flush=True)
sys.stdin.readline()
n = 0
try:
    while s.recv(2048):
        n += 1
except BlockingIOError:
    pass
if n < int(sys.argv[1]):
    print("incomplete: %d measurements" % n, file=sys.stderr)
    sys.exit(4)
