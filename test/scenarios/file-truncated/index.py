import mmap, time
f = open("data.bin", "rb")
m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
print("serving", flush=True)
end = time.time() + 20
while time.time() < end:
    sum(m[i] for i in range(0, len(m), 4096))
    time.sleep(0.01)
