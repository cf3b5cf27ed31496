# Writes a compressed block into its log; then it dies of something else.
import os, sys
for i in range(300): print("INFO job", i, "done", flush=True)
sys.stdout.buffer.write(b"\x1f\x8b\x08\x00" + os.urandom(700) + b"\n")
sys.stdout.flush()
raise RuntimeError("queue is corrupt")
