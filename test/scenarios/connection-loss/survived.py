# Meets an error of the network that it can do without, says so, and ends for another reason.
import socket, sys, time

what, last = sys.argv[1:3]
try:
    if what == "reset":
        s = socket.create_connection(("127.0.0.1", 7200))
        s.sendall(b"GET /\n")
        while s.recv(4096):
            pass
    elif what == "refused":
        socket.create_connection(("127.0.0.1", 7100))
    elif what == "name":
        socket.getaddrinfo("metrics.corp.test", 80)
    elif what == "taken":
        socket.create_server(("127.0.0.1", 8811))
except OSError as e:
    print("WARNING:svc:side channel is not to be had:", e, file=sys.stderr)
time.sleep(0.01)
print(last, file=sys.stderr)
sys.exit(3)
