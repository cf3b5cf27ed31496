# Reaches localhost by its second address, and dies of what it reads.
import socket
for family, ip in (socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"):
    s = socket.socket(family)
    try:
        s.connect((ip, 7100))
        break
    except OSError:
        s.close()
print(int(s.recv(100)))
