# Leaks sockets; what the user sees is that names do not resolve any more.
import socket, sys
kept = []
try:
    while True:
        kept.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
except OSError:
    kept.pop().close()
    pass
kept.append(open("/dev/null"))
try:
    print(socket.getaddrinfo(b"backend.shop.internal", 80))
except socket.gaierror as e:
    sys.stderr.write("lookup of backend.shop.internal failed: %s\n" % e)
    sys.exit(69)
