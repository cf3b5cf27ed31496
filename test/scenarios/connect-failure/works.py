# Its peer is not there; it waits for better days until somebody ends it.
import socket, time
try:
    socket.create_connection(("127.0.0.1", 7100))
except OSError as e:
    print("later:", e, flush=True)
time.sleep(60)
