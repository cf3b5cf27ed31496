# Waits for news, with keep-alives.
import socket
s = socket.create_connection(("127.0.0.1", 7200))
s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
for o, n in (socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 2):
    s.setsockopt(socket.IPPROTO_TCP, o, n)
s.sendall(b"subscribe\n")
while s.recv(4096):
    pass
