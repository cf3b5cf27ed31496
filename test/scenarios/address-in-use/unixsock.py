# A UNIX socket's file is left from before.
import socket, sys
old = socket.socket(socket.AF_UNIX)
old.bind("ctl.sock")
old.close()
s = socket.socket(socket.AF_UNIX)
try:
    s.bind("ctl.sock")
except OSError:
    sys.exit("control socket is not available")
