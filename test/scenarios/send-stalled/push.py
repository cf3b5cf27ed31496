# Pushes a snapshot to a client, with a time limit.
import socket, sys
l = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
c, _ = l.accept()
c.recv(4096)
c.settimeout(4)
c.sendall(b"s" * 50_000_000)
