import socket, sys
timeout = float(sys.argv[3]) if len(sys.argv) > 3 else None
socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout)
