cache = {}
n = 0
while True:
    n += 1
    cache[n] = bytearray(300000)
