import socket
s = socket.create_connection(("127.0.0.1", 7200))
s.sendall(b"feed\n")
while s.recv(4096):
    pass
