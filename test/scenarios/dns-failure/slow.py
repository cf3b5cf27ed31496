"""Waits for its name server, and then has a reason of its own to give up."""
import socket
import sys

at = socket.getaddrinfo(sys.argv[1], 80, type=socket.SOCK_STREAM)[0][4]
print("found", at[0], flush=True)
print("the ledger is 3 cents short", file=sys.stderr)
sys.exit(5)
