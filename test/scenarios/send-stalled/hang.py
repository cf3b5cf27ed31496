# Writes to a client that does not read, without a time limit of its own; faulthandler ends what hangs.
import faulthandler, socket, sys
l = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
c, _ = l.accept()
c.recv(4096)
faulthandler.dump_traceback_later(4, exit=True)
while True:
    c.sendall(b"h" * 65536)
