# No inotify: it polls instead, as tail does, and is ended from outside.
import ctypes, signal
libc = ctypes.CDLL(None, use_errno=True)
while libc.inotify_init1(0o2000000) >= 0:
    pass
print("no inotify, polling every minute", flush=True)
while True:
    signal.pause()
