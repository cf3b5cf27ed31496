# A server that is met by more clients at once than it may hold, and gives up.
import socket, sys, os
listener = socket.create_server(("127.0.0.1", 7070), backlog=512)
clients = []
if os.fork() == 0:                       # the crowd, with a limit of its own by being another process
    listener.close()
    mine = []
    try:
        for _ in range(45):
            mine.append(socket.create_connection(("127.0.0.1", 7070)))
    except OSError:
        pass
    if os.fork() == 0:
        more = []
        for s in mine:
            pass
        try:
            sys.stdin.read()
        finally:
            os._exit(0)
    os.wait()
    os._exit(0)
try:
    while True:
        conn, peer = listener.accept()
        clients.append(conn)
except OSError as e:
    sys.stderr.write("giving up after %d clients\n" % len(clients))
    os._exit(2)
