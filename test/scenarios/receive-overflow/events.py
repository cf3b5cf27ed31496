# Watches the addresses of this machine by netlink, with a small buffer, and is busy when they change.
import socket, sys, time
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
s.bind((0, 0x10))  # RTMGRP_IPV4_IFADDR
print("ready", flush=True)
seen = 0
while True:
    s.recv(8192)
    seen += 1
    time.sleep(1)
