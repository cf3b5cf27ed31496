# Refused until the server is there; what it is told is what ends it.
import socket, subprocess, sys, time
server = None
while True:
    try:
        s = socket.create_connection(("127.0.0.1", 7100))
        break
    except OSError as e:
        print("not yet:", e, file=sys.stderr)
        if server is None:
            open("go", "w").close()
            server = True
        time.sleep(0.05)
s.recv(100)
sys.exit("configuration: field 'rate' is no number")
