# Telemetry is optional and off today; the input is what it cannot do with.
import socket, sys
try:
    socket.create_connection(("127.0.0.1", 7100))
except OSError as e:
    print("warning: telemetry is off:", e, file=sys.stderr)
sys.exit("error: " + (sys.argv[1] if len(sys.argv) > 1 else "line 3 of the input has 4 fields, not 5"))
