# Meets MemoryError, halves what it takes, and dies of its own mistake.
n = 1 << 33
while True:
    try:
        b = bytearray(n)
        break
    except MemoryError:
        n //= 2
totals = {"a": 1}
print("buffer ready", flush=True)
print(totals["b"])
