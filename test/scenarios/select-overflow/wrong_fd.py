# The same exception's text for a descriptor of -1: no overflow, a closed socket was given to select.
import select, socket
s = socket.socket()
s.close()
select.select([s], [], [], 0)
