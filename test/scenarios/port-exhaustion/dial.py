# A connection per job, each kept; the local ports end before the descriptors do.
import socket, threading
server = socket.create_server(("127.0.0.1", 6400), backlog=256)
kept = []
while True:
    kept.append(socket.create_connection(("127.0.0.1", 6400)))
    kept.append(server.accept()[0])
