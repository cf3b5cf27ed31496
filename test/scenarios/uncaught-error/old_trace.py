# Logs the traceback of an error that it handled, and goes on: until it is ended ("wait"), or leaves with a code ("leave"),
# or crashes in native code ("native").
import os, signal, sys, traceback
try:
    {}["colour"]
except KeyError:
    traceback.print_exc()
for i in range(60):
    open("/etc/hostname").close()
print("ready", flush=True)
if sys.argv[1] == "wait":
    signal.pause()
if sys.argv[1] == "native":
    import ctypes
    ctypes.string_at(8)
sys.stderr.write("stopped: the lease went to another node\n")
sys.exit(5)
