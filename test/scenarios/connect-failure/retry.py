# Waits for its database as long as it may.
import socket, sys, time
for n in range(8):
    try:
        socket.create_connection(("127.0.0.1", 7100))
        break
    except OSError:
        time.sleep(0.2)
else:
    sys.exit("giving up on the database")
