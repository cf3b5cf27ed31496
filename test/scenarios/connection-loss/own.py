# Asks again and again, and waits three seconds for each answer.
import socket, time
s = socket.create_connection(("127.0.0.1", 7200))
s.settimeout(3)
s.recv(100)
time.sleep(0.6)
s.sendall(b"next?\n")
s.recv(100)
