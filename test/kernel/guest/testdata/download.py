# Fetches a file of 8 MB and gives up when nothing comes for five seconds.
import os, socket, sys

s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.settimeout(5)
print("ready", os.getpid(), flush=True)
sys.stdin.readline()
s.sendall(b"get\n")
n = 0
while n < 8_000_000:
    b = s.recv(1 << 16)
    if not b:
        sys.exit("the server hung up after %d bytes" % n)
    n += len(b)
