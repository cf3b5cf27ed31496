# Reads orders into memory until it is killed; "small" holds a little and waits.
import os, sys

with open("/proc/self/oom_score_adj", "w") as f:
    f.write("900")
orders = [b"order %d" % i * 500 for i in range(3000)]
print("ready", os.getpid(), flush=True)
if sys.argv[1:] == ["small"]:
    sys.stdin.readline()
    sys.exit("no order for customer %d" % len(orders))
while True:
    orders.append(b"%d" % len(orders) * (1 << 18))
