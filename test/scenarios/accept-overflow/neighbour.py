# A server that takes its own connections well and depends on another that takes none: the full queue is not its own.
import socket, sys, threading, time
mine = socket.create_server(("127.0.0.1", int(sys.argv[1])))
threading.Thread(target=lambda: [mine.accept() for _ in iter(int, 1)], daemon=True).start()
print("ready", flush=True)
time.sleep(1.5)
s = socket.socket()
s.settimeout(1.5)
try:
    s.connect(("127.0.0.1", int(sys.argv[2])))
    s.recv(1)
except OSError as e:
    sys.stderr.write(f"ledger service: {e}\n")
    sys.exit(8)
