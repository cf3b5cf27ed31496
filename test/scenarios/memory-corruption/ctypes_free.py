# A binding frees what the library owns.
import ctypes
libc = ctypes.CDLL(None)
libc.free.argtypes = [ctypes.c_void_p]
buf = ctypes.create_string_buffer(4096)
libc.free(ctypes.addressof(buf) + 16)
