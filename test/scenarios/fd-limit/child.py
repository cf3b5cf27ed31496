# A helper process runs out of descriptors and says so; the main program notes it, goes on, and ends for
# a reason of its own.
import os, resource, sys
pid = os.fork()
if pid == 0:
    resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
    try:
        while True:
            os.open("/dev/null", os.O_RDONLY)
    except OSError:
        os._exit(1)
os.waitpid(pid, 0)
for i in range(200):
    with open("/etc/hostname") as f:
        f.read()
print("helper failed, its work was done by hand")
sys.stderr.write("stock is negative: -3\n")
sys.exit(6)
