import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("127.0.0.1", 7100))
s.send(b"time?")
s.settimeout(3)
print(s.recv(16))
