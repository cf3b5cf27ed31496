import ctypes
print("reading register 0", flush=True)
ctypes.string_at(16)
