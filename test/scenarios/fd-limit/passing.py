# Descriptors sent over a UNIX socket to a process that has no room for them are lost without an error.
import array, os, socket, sys
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
held = []
while len(os.listdir("/proc/self/fd")) - 1 < 40:
    held.append(os.open("/dev/null", os.O_RDONLY))
batch = array.array("i", held[:10])
while True:
    a.sendmsg([b"take"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, batch)])
    msg, anc, flags, _ = b.recvmsg(64, socket.CMSG_SPACE(40))
    got = sum(len(d) // 4 for _, _, d in anc)
    if got < 10:
        sys.stderr.write("supervisor handed over %d of 10 listeners\n" % got)
        sys.exit(8)
    for _, _, d in anc:
        held.extend(array.array("i", d))
