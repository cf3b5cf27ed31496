# A fork is refused, a child ends, the fork goes well; then it dies of a mistake of its own.
import os, sys, time
kids = []
while True:
    try:
        pid = os.fork()
    except BlockingIOError:
        break
    if pid == 0:
        time.sleep(30)
        os._exit(0)
    kids.append(pid)
for pid in kids:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
pid = os.fork()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
print("all jobs done", flush=True)
raise ValueError("total of invoice 17 is negative")
