# A peer hangs up; the program notes it, serves the next, and then waits, or ends ("fail") for another reason.
import signal, socket, sys
for i in range(3):
    a, b = socket.socketpair()
    b.close()
    try:
        a.send(b"hello")
    except BrokenPipeError:
        print("client", i, "left", flush=True)
    a.close()
for i in range(60):
    open("/etc/hostname").close()
if sys.argv[1:] == ["fail"]:
    sys.stderr.write("quota file is empty\n")
    sys.exit(3)
print("ready", flush=True)
signal.pause()
