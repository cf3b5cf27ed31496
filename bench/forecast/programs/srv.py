"""Servers and batches in Python, sound and unsound, whose descriptors are recorded."""
import gc, http.server, mmap, os, random, select, signal, socket, socketserver, sys, tempfile, threading, time

MODE, PORT = sys.argv[1], int(sys.argv[2])
ARGS = sys.argv[3:]
HERE = os.path.dirname(os.path.abspath(__file__))
failures = []  # "the last failures", for a status page; nobody ever emptied it


def report():
    f = open(__file__)
    rows = f.readlines()
    if rows:
        raise ValueError("no such customer")
    f.close()


class Cyclic:  # refers to itself, as trees with parents do: only the collector closes its file
    def __init__(self):
        self.me, self.file, self.pad = self, open(__file__), bytearray(2000)


def cycles():
    Cyclic()
    [[] for _ in range(200)]


kept = []


def export():  # a request that opens many, and is given up half way
    for _ in range(25):
        kept.append(open(__file__))


def thread():
    threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    paths = {"/report": report, "/cycles": cycles, "/export": export, "/thread": thread, "/ok": lambda: open(__file__).close(),
             "/memory": lambda: kept.append(os.urandom(100 << 10)), "/map": lambda: [kept.append(mmap.mmap(-1, 4096, prot=mmap.PROT_READ | (i & 1) * mmap.PROT_WRITE)) for i in range(20)]}

    def do_GET(self):
        status = 200
        try:
            self.paths[self.path]()
        except Exception as e:
            failures.append(e)  # and with it its traceback, frames and their open files
            status = 500
        self.send_response(status)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *a):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads, request_queue_size = True, 200

    def handle_error(self, request, address):
        pass


def serve():
    Server(("127.0.0.1", PORT), Handler).serve_forever()


def pool(size, every):
    """Opens one connection after the other until it has enough, as pools do under rising load."""
    l = socket.create_server(("127.0.0.1", 0), backlog=200)
    def accept():
        while True:
            try:
                kept.append(l.accept()[0])
            except OSError:
                time.sleep(1)
    conns = []
    # the other ends live elsewhere: a child holds them
    if os.fork() == 0:
        accept()
    address = l.getsockname()
    l.close()
    while len(conns) < size:
        conns.append(socket.create_connection(address))
        time.sleep(every * random.expovariate(1))
    return conns


if MODE == "serve":
    serve()
elif MODE == "pool":  # SIZE SECONDS-EACH
    threading.Thread(target=pool, args=(int(ARGS[0]), float(ARGS[1])), daemon=True).start()
    serve()
elif MODE == "pool-leak":  # SIZE SECONDS-EACH HOLD LEAK-EACH
    conns = pool(int(ARGS[0]), float(ARGS[1]))
    time.sleep(float(ARGS[2]))
    while True:
        kept.append(socket.socket())
        time.sleep(float(ARGS[3]) * random.expovariate(1))
elif MODE == "batch":  # FILES SECONDS-EACH REST: sorts a big file by merging sorted parts
    while True:
        time.sleep(float(ARGS[2]))
        parts = []
        for _ in range(int(ARGS[0])):
            parts.append(tempfile.TemporaryFile())
            parts[-1].write(os.urandom(1000))
            time.sleep(float(ARGS[1]))
        for p in parts:
            p.seek(0)
            p.read()
            time.sleep(0.02)
            p.close()
elif MODE == "accelerate":  # each retry opens a descriptor, fails and leaves another to retry
    retries = 1.0
    while True:
        kept.append(socket.socket())
        retries *= 1.006
        time.sleep(12 / retries)
elif MODE == "stop":  # RATE UNTIL: a feature that leaks is switched off
    for _ in range(int(ARGS[1])):
        kept.append(os.pipe())
        time.sleep(2 / float(ARGS[0]) * random.expovariate(1))
    time.sleep(1e6)
elif MODE == "step":  # N EVERY: a job that leaks
    while True:
        for _ in range(int(ARGS[0])):
            kept.append(open(__file__))
        time.sleep(float(ARGS[1]))
elif MODE == "linear":  # RATE
    fast = float(ARGS[0])
    start, n = time.time(), 0
    while True:
        while n < (time.time() - start) * fast:
            n += 1
            try:
                kept.append(open(__file__))
            except OSError:
                time.sleep(1)
        time.sleep(min(1, 1 / fast))
elif MODE == "exec":  # RATE AFTER: is replaced by itself, as by a deploy that keeps the pid
    first = len(ARGS) < 3
    start = time.time()
    while not first or time.time() - start < float(ARGS[1]):
        try:
            kept.append(open(__file__))
        except OSError:
            pass
        time.sleep(random.expovariate(1) / float(ARGS[0]))
    os.execv(sys.executable, [sys.executable] + sys.argv + ["again"])
elif MODE == "select":  # a chat by select(); forgets connections whose peer reset them
    l = socket.create_server(("127.0.0.1", PORT), backlog=200)
    conns = []
    while True:
        try:
            ready, _, _ = select.select([l] + conns, [], [], 1)
        except ValueError:
            time.sleep(1)
            os._exit(1)
        for s in ready:
            if s is l:
                conns.append(l.accept()[0])
                continue
            line = b""
            try:
                line = s.recv(500)
            except OSError:
                pass
            if line:
                try:
                    s.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                except OSError:
                    pass
            else:
                conns.remove(s)
                if random.random() < 0.07:
                    kept.append(s)
                else:
                    s.close()
elif MODE == "cachefill":  # reads and writes files: page cache comes and goes
    d = tempfile.mkdtemp(dir=ARGS[0])
    i = 0
    while True:
        name = os.path.join(d, "f%d" % (i % 60))
        with open(name, "wb") as f:
            f.write(os.urandom(4 << 20))
        for j in range(3):
            with open(os.path.join(d, "f%d" % random.randrange(0, min(i + 1, 60))), "rb") as f:
                while f.read(1 << 20):
                    pass
        i += 1
        time.sleep(3)
elif MODE == "heap":  # a cache that is filled up to a size and emptied when it is old
    cache = {}
    while True:
        cache[random.randrange(600)] = os.urandom(100 << 10)
        if random.random() < 0.0005:
            cache.clear()
        time.sleep(0.4)
