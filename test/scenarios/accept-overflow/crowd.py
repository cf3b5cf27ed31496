# Clients that connect and say nothing: crowd.py ADDRESS COUNT [SECONDS]. ADDRESS is a port of 127.0.0.1 or a path.
import socket, sys, time
held = []
for i in range(int(sys.argv[2])):
    if sys.argv[1].isdigit():
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", int(sys.argv[1])))
    else:
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        s.connect_ex(sys.argv[1])
    held.append(s)
print("crowd", flush=True)
time.sleep(float(sys.argv[3]) if len(sys.argv) > 3 else 60)
for s in held:
    s.close()
time.sleep(60)
