# A worker is killed for memory; the parent goes on and ends for a reason of its own.
import os, sys
pid = os.fork()
if pid == 0:
    held = []
    while True:
        held.append(bytearray(1 << 20))
os.waitpid(pid, 0)
for i in range(60):
    open("/etc/hostname").close()
sys.stderr.write("worker lost; nothing is left to do\n")
sys.exit(5)
