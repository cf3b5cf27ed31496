# An inotify instance per watched folder, as many tools have it.
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
n = 0
while True:
    fd = libc.inotify_init1(0o2000000)
    if fd < 0:
        sys.exit("cannot watch folder %d: %s" % (n, os.strerror(ctypes.get_errno())))
    n += 1
