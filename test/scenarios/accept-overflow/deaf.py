# Listens and never accepts, for helpers: deaf.py ADDRESS BACKLOG.
import socket, sys, time
if sys.argv[1].isdigit():
    l = socket.socket()
    l.bind(("127.0.0.1", int(sys.argv[1])))
else:
    l = socket.socket(socket.AF_UNIX)
    l.bind(sys.argv[1])
l.listen(int(sys.argv[2]))
print("up", flush=True)
time.sleep(60)
