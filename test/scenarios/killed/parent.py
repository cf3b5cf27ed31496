# A child decides that the whole is of no use any more and kills its parent.
import os, signal, time
parent = os.getpid()
if os.fork() == 0:
    os.kill(parent, signal.SIGKILL)
    os._exit(0)
while True:
    signal.pause()
