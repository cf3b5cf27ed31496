# A chat server on select.select; each guest costs a descriptor, and nobody ever leaves.
import select, socket
guests = []
while True:
    a, b = socket.socketpair()
    guests += [a, b]
    select.select(guests[-2:], [], [], 0)
