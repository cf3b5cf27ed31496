# A client that connects, says hello, and never reads: mute.py ADDRESS [SECONDS, after which it reads all].
import socket, sys, time
if sys.argv[1].isdigit():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    s.connect(("127.0.0.1", int(sys.argv[1])))
else:
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
s.send(b"GET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n" if len(sys.argv) < 4 else sys.argv[3].encode().decode("unicode_escape").encode())
if len(sys.argv) > 2 and float(sys.argv[2]):
    time.sleep(float(sys.argv[2]))
    while s.recv(65536):
        pass
time.sleep(60)
