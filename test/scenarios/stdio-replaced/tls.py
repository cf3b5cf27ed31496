# Its own close() too many takes descriptor 1 away; the TLS connection gets it, and log lines go into its stream.
import os, socket, ssl, subprocess, sys, threading
subprocess.run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout k.pem -out c.pem -days 2 -subj /CN=localhost".split(), check=True, stderr=subprocess.DEVNULL)
srv = socket.socket(); srv.bind(("127.0.0.1", 0)); srv.listen()
def serve():
    c, _ = srv.accept()
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); ctx.load_cert_chain("c.pem", "k.pem")
    try:
        s = ctx.wrap_socket(c, server_side=True)
        while s.recv(100): s.send(b"ok\n")
    except OSError: pass
    c.close()
threading.Thread(target=serve, daemon=True).start()
for i in range(3): print("INFO checkout", i, "ok", flush=True)
os.close(1)
ctx = ssl.create_default_context(); ctx.check_hostname = False; ctx.verify_mode = ssl.CERT_NONE
s = ctx.wrap_socket(socket.create_connection(srv.getsockname()))
for i in range(3, 9):
    s.send(b"order %d\n" % i)
    print("INFO checkout", i, "ok", flush=True)
    if not s.recv(100): sys.exit("FATAL: the order service hung up")
