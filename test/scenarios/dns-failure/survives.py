"""Statistics go to a collector if there is one; the orders are what counts."""
import socket
import sys
import threading
import time


def collector():
    try:
        return socket.create_connection(("metrics.corp.test", 8125), timeout=5)
    except OSError as e:
        print("no statistics:", e, file=sys.stderr)


if "forever" in sys.argv:
    def again():
        while True:
            collector()
            time.sleep(0.2)
    threading.Thread(target=again, daemon=True).start()
else:
    collector()
if "config" in sys.argv:
    try:
        open("orders.toml")
    except FileNotFoundError:
        print("orders.toml is needed", file=sys.stderr)
        sys.exit(78)
if "crash" in sys.argv:
    time.sleep(0.5)
    import ctypes
    ctypes.string_at(8)
if "wait" in sys.argv:
    print("serving", flush=True)
    time.sleep(600)
time.sleep(0.3)
lines = "12;x1;99".split(";")
print("order", int(lines[1]))
