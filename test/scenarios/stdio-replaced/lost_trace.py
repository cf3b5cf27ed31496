# Closes descriptor 2 by mistake; the socket that is opened next gets it, and the traceback goes to the peer.
import os, socket
ours, theirs = socket.socketpair()
os.close(2)
reply = socket.socket(fileno=os.dup(ours.fileno()))
assert reply.fileno() == 2
stock = {"anvil": 1}
print("checking")
stock["hammer"] -= 1
