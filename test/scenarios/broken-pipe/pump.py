# Feeds a helper over a pipe; the helper ends early.
import subprocess
p = subprocess.Popen(["true"], stdin=subprocess.PIPE)
p.wait()
p.stdin.write(b"x" * 200000)
p.stdin.flush()
