# Raises the error itself, as a test double or a client library that relays a server's error does.
import errno, os

class Remote:
    def call(self):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "remote:/index")

Remote().call()
