# Sends a file of 100 MB to its server and gives up when that takes too long.
import os, socket, sys

s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.settimeout(5)
print("ready", os.getpid(), flush=True)
sys.stdin.readline()
s.sendall(b"x" * 100_000_000)
s.shutdown(socket.SHUT_WR)
print(s.recv(10))
