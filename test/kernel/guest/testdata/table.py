# Reads its prices anew whenever it is told to; "retry" tries until it has them, and fails later.
import os, sys, time

os.setgid(65534)
os.setuid(65534)


def prices():
    with open("/etc/hosts") as f:
        return len(f.read())


print("ready", os.getpid(), flush=True)
sys.stdin.readline()
if sys.argv[1:] == ["retry"]:
    for _ in range(3):
        try:
            prices()
        except OSError:
            time.sleep(0.1)
    print("refused", flush=True)
    sys.stdin.readline()
    rates = {"net": prices()}
    print(rates["gross"])
print(prices())
