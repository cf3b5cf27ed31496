# Binds the same port twice itself: two components of one program were given the same setting.
import socket
admin = socket.create_server(("127.0.0.1", 9300))
metrics = socket.create_server(("127.0.0.1", 9300))
