# A connection per request, which the client closes first; the ports wait for a minute each.
import socket
server = socket.create_server(("127.0.0.1", 6401), backlog=64)
for n in range(1000):
    c = socket.create_connection(("127.0.0.1", 6401))
    s = server.accept()[0]
    c.close()
    s.close()
