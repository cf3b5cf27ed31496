# Writes on and on; with an argument its own timeout of the connection, in milliseconds.
import socket, sys, time
s = socket.create_connection(("127.0.0.1", 7200))
if len(sys.argv) > 1:
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(sys.argv[1]))
while True:
    s.sendall(b"row\n")
    time.sleep(0.05)
