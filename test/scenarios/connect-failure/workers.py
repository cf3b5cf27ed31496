# A supervisor forks workers, which end without a word where their store refuses them; after three it gives up.
import os, socket, sys, time

for _ in range(3):
    pid = os.fork()
    if pid == 0:
        try:
            socket.create_connection(("127.0.0.1", 7100))
        except OSError:
            os._exit(11)
        os._exit(0)
    os.waitpid(pid, 0)
    time.sleep(0.05)
sys.exit("supervisor: workers keep ending, giving up")
