# Meets every error that other pods die of, each half second, and lives on: an optional file is not there, a
# service does not answer, a name is unknown, a disk is full. Nothing of it is a death.
import ctypes, errno, mmap, os, resource, socket, subprocess, sys, threading, time

libc = ctypes.CDLL(None, use_errno=True)
tiny = sys.argv[1]


def no_file(): open("/etc/optional.conf")
def no_right(): os.chmod("/proc/1/ns", 0) if os.getuid() else open("/proc/self/clear_refs", "r")
def refused(): socket.create_connection(("127.0.0.1", 9), 1)
def unknown(): socket.getaddrinfo("optional.corp.test", 80)
def taken(): socket.create_server(("127.0.0.1", here[1]))
def no_memory(): mmap.mmap(-1, 1 << 46)
def no_program(): subprocess.run(["/opt/optional/helper"])
def full():
    with open(tiny + "/cache", "wb", 0) as f:
        while True:
            f.write(bytes(65536))
def no_descriptors():
    kept = []
    while True:
        kept.append(os.open("/dev/null", os.O_RDONLY))
def hung_up():
    a, b = socket.socketpair()
    b.close()
    a.send(b"hello")
def reset():
    s = socket.create_connection(here)
    c, _ = server.accept()
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    c.close()
    s.recv(1)
def child_fails(): subprocess.run(["sh", "-c", "cat /etc/optional.conf; exit 3"], stderr=subprocess.DEVNULL, check=True)


server = socket.create_server(("127.0.0.1", 0))
here = server.getsockname()
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
counts = {}
while True:
    for what in (no_file, no_right, refused, unknown, taken, no_memory, no_program, full, no_descriptors, hung_up, reset, child_fails):
        try:
            what()
        except (OSError, subprocess.SubprocessError) as e:
            counts[what.__name__] = counts.get(what.__name__, 0) + 1
    print("met and survived:", counts, flush=True)
    time.sleep(0.5)
