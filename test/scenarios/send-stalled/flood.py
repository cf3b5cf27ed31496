# A server that writes without end to whoever connects, for helpers: flood.py PORT.
import socket, sys
l = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("up", flush=True)
while True:
    c, _ = l.accept()
    try:
        while True:
            c.send(b"y" * 65536)
    except OSError:
        c.close()
