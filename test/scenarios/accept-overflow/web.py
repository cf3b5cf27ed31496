# A web server of one thread with a short queue. A client that connects and sends nothing stops it; its own check sees that.
import http.server, os, sys, threading, time, urllib.request
port = int(sys.argv[1])
class Server(http.server.HTTPServer):
    request_queue_size = 1
    def get_request(self):
        r = super().get_request()
        taken.set()
        return r
taken = threading.Event()
srv = Server(("127.0.0.1", port), http.server.SimpleHTTPRequestHandler)
def check():
    taken.wait()
    time.sleep(1)
    for left in (2, 1, 0):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).read()
            return
        except Exception as e:
            sys.stderr.write(f"health check: {e}\n")
    sys.stderr.write("health check failed three times, giving up\n")
    os._exit(11)
print("ready", flush=True)
threading.Thread(target=check, daemon=True).start()
srv.serve_forever()
