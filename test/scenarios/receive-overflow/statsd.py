# Metrics over UDP: each flush takes half a second, in which nothing is read. The numbers of the datagrams must follow each other.
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
s.bind(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
class SequenceGap(Exception):
    pass
last, sums = -1, {}
while True:
    data = s.recv(4096)
    n = int(data.split()[0])
    if n != last + 1:
        raise SequenceGap(f"{last + 1}..{n - 1} missing")
    last = n
    sums[n % 7] = sums.get(n % 7, 0) + 1
    if n % 20 == 19:
        time.sleep(0.5)
