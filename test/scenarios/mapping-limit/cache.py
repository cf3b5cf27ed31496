cache = {}
i = 0
while True:
    cache[i] = bytes(1 << 20)
    i += 1
