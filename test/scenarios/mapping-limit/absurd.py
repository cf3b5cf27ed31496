# A size that is a mistake: no limit did it.
import sys
size = int("9" * 17)
try:
    bytearray(size)
except MemoryError:
    print("bad size in header", file=sys.stderr)
    sys.exit(8)
