# Loses its connection, makes a new one, and dies of what it is told.
import socket, sys, time
for n in range(2):
    s = socket.create_connection(("127.0.0.1", 7200))
    s.sendall(b"feed\n")
    try:
        while s.recv(4096):
            pass
    except ConnectionResetError as e:
        print("again:", e, file=sys.stderr)
time.sleep(0.3)
print({}["price"])
