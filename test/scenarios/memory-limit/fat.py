# Large, but within its limit; then it is killed from outside.
import signal
held = bytearray(24 << 20)
print("ready", flush=True)
signal.pause()
