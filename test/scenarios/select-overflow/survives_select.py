# select() refuses 1,100 descriptors, the program goes over to poll() and ends for another reason.
import os, select, sys
fds = [os.dup(0) for _ in range(1100)]
try:
    select.select(fds, [], [], 0)
except ValueError:
    p = select.poll()
    for fd in fds:
        p.register(fd)
    p.poll(0)
for fd in fds:
    os.close(fd)
for i in range(50):
    open("/etc/hostname").close()
sys.stderr.write("tariff table is from 2019\n")
sys.exit(3)
