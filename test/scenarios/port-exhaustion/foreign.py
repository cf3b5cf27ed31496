# Binds an address that this machine has not: the same error, and every port is free.
import socket
socket.create_server(("192.0.2.77", 8080))
