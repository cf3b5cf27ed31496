# A TCP client that stops reading for a while: nothing is dropped, the window is closed. Then it ends for its own reason.
import socket, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
time.sleep(2)
sys.stderr.write("batch 17 is lost: no space in the table\n")
sys.exit(6)
