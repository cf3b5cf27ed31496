# Ends in good order on SIGTERM ("clean"), or fails while it does ("fail").
import signal, sys
class Stop(Exception): pass
def stop(*_): raise Stop
signal.signal(signal.SIGTERM, stop)
try:
    print("ready", flush=True)
    while True:
        signal.pause()
except Stop:
    print("bye", flush=True)
    if sys.argv[1] == "fail":
        {}["state"]
    sys.exit(0)
