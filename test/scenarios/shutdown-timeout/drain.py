# Waits for connections to drain that never end.
import signal, threading
done = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: print("draining", flush=True))
print("ready", flush=True)
while True:
    signal.pause()
