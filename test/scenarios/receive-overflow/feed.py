# Sends numbered datagrams to a port: feed.py PORT COUNT [PER_BURST PAUSE [skip]]. "skip" leaves some numbers out, as a loss on the way would.
import socket, sys, time
port, count = int(sys.argv[1]), int(sys.argv[2])
burst, pause = (int(sys.argv[3]), float(sys.argv[4])) if len(sys.argv) > 4 else (count, 0)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("127.0.0.1", port))
for n in range(count):
    if sys.argv[5:] == ["skip"] and n % 50 == 40:
        continue
    try:
        s.send(b"%d %s" % (n, b"x" * 200))
    except OSError:
        break
    if n % burst == burst - 1:
        time.sleep(pause)
time.sleep(30)
