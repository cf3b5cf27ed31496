# A server that is met by more clients at once than it may hold, and gives up.
import os, socket, sys
listener = socket.create_server(("127.0.0.1", 7070), backlog=512)
r, w = os.pipe()
for _ in range(3):                       # the crowd: three processes with thirty connections each
    if os.fork() == 0:
        os.close(w)
        listener.close()
        try:
            mine = [socket.create_connection(("127.0.0.1", 7070)) for _ in range(30)]
            os.read(r, 1)                # until the server has gone
        except OSError:
            pass
        os._exit(0)
os.close(r)
clients = []
try:
    while True:
        clients.append(listener.accept()[0])
except OSError:
    sys.stderr.write("giving up after %d clients\n" % len(clients))
    os._exit(2)
