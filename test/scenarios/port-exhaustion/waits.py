# Runs out of ports, closes some connections, goes on, and ends for another reason.
import errno, socket, sys
server = socket.create_server(("127.0.0.1", 6400), backlog=256)
kept = []
try:
    while True:
        kept.append(socket.create_connection(("127.0.0.1", 6400)))
        kept.append(server.accept()[0])
except OSError as e:
    assert e.errno == errno.EADDRNOTAVAIL
for s in kept:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    s.close()
for i in range(100):
    socket.create_connection(("127.0.0.1", 6400)).close()
    server.accept()[0].close()
raise ValueError("price list is empty")
