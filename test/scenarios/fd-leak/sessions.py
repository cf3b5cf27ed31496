# Sessions are opened faster than they are closed: of ten, eight are forgotten.
import socket, time, sys
kept, n = [], 0
while True:
    a, b = socket.socketpair()
    n += 1
    if n % 10 < 8:
        kept.append((a, b))
    else:
        a.close(); b.close()
    if n % 20 == 0:
        print("session", n, flush=True)
    time.sleep(0.025)
