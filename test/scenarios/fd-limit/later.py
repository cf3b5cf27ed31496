# Is refused descriptors, returns them, and later trips over something that has nothing to do with it.
import os
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
for fd in held:
    os.close(fd)
total = 0
for i in range(200):
    with open("/etc/hostname") as f:
        total += len(f.read())
rates = {"EUR": 1.0}
print(total > 0)
print(rates["USD"])
