"""Asks the local network for a printer, which has none."""
import socket
import sys

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
q = b"\0\0\0\0\0\1\0\0\0\0\0\0\7printer\5local\0\0\1\0\1"
s.settimeout(0.3)
for _ in range(3):
    s.sendto(q, ("224.0.0.251", 5353))
    try:
        s.recv(512)
    except TimeoutError:
        pass
print("no printer", file=sys.stderr)
sys.exit(4)
