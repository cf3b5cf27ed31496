# Its workers are asked over a UNIX socket with a queue of two, and none of them takes a job.
import socket
l = socket.socket(socket.AF_UNIX)
l.bind("jobs.sock")
l.listen(2)
held = []
for n in range(10):
    s = socket.socket(socket.AF_UNIX)
    s.setblocking(False)
    s.connect("jobs.sock")
    held.append(s)
