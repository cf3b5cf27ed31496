# Honest work: threads, a child, sockets, a handled error.
import socket, subprocess, threading
ts = [threading.Thread(target=lambda: open("/etc/hostname").read()) for _ in range(5)]
[t.start() for t in ts]; [t.join() for t in ts]
subprocess.run(["true"])
try:
    socket.create_connection(("127.0.0.1", 1), timeout=1)
except OSError:
    pass
try:
    open("/no/such/file")
except FileNotFoundError:
    pass
print("done")
