"""A name server for scenarios: server.py ADDRESS RULE...

A rule is NAME[/TYPE]=ANSWER; the first that fits counts. NAME "*" is all names, "*.corp.test" those
that end so. ANSWER is an IPv4 address, or nx, servfail, refused, empty, cut (truncated), drop; with
@SECONDS behind it, it takes that long. Without a rule: nx. A rule "tcp" answers over TCP as well,
"tcp-mute" takes connections and says nothing; else port 53 is closed over TCP.
"""
import socket
import struct
import sys
import threading
import time

TYPES = {1: "A", 28: "AAAA", 33: "SRV", 15: "MX", 16: "TXT", 65: "HTTPS", 6: "SOA"}


def question(q):
    labels, at = [], 12
    while q[at]:
        labels.append(q[at + 1:at + 1 + q[at]].decode("latin-1").lower())
        at += q[at] + 1
    return ".".join(labels), struct.unpack_from("!H", q, at + 1)[0], q[12:at + 5]


def answer(q, tcp):
    name, qtype, text = question(q)
    what = "nx"
    for rule in RULES:
        pattern, _, then = rule.partition("=")
        pattern, _, only = pattern.partition("/")
        if only and only != TYPES.get(qtype):
            continue
        if pattern == "*" or pattern == name or pattern.startswith("*.") and name.endswith(pattern[1:]):
            what = then
            break
    what, _, after = what.partition("@")
    if after:
        time.sleep(float(after))
    flags, records = 0x8180, b""
    codes = {"nx": 3, "servfail": 2, "refused": 5}
    if what == "drop":
        return None
    if what in codes:
        flags |= codes[what]
    elif what == "cut" and not tcp:
        flags |= 0x200
    elif what != "empty" and qtype == 1:
        ip = what if what.count(".") == 3 else "127.0.0.1"
        records = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(ip)
    return q[:2] + struct.pack("!HHHHH", flags, 1, 1 if records else 0, 0, 0) + text + records


def datagram(s, q, peer):
    a = answer(q, False)
    if a:
        s.sendto(a, peer)


def connection(c):
    while MUTE:
        time.sleep(60)
    f = c.makefile("rb")
    while True:
        head = f.read(2)
        if len(head) < 2:
            return
        a = answer(f.read(struct.unpack("!H", head)[0]), True)
        if a:
            c.sendall(struct.pack("!H", len(a)) + a)


def accept(t):
    while True:
        c, _ = t.accept()
        threading.Thread(target=connection, args=(c,), daemon=True).start()


ADDRESS, RULES = sys.argv[1], sys.argv[2:]
MUTE = "tcp-mute" in RULES
udp = socket.socket(socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET, socket.SOCK_DGRAM)
udp.bind((ADDRESS, 53))
if MUTE or "tcp" in RULES:
    tcp = socket.create_server((ADDRESS, 53))
    threading.Thread(target=accept, args=(tcp,), daemon=True).start()
print("ready", flush=True)
while True:
    q, peer = udp.recvfrom(4096)
    threading.Thread(target=datagram, args=(udp, q, peer), daemon=True).start()
