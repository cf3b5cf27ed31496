# Recursion through C code, with the interpreter's own bound put out of the way.
import sys
sys.setrecursionlimit(1 << 30)
class Box:
    def __init__(self, inner): self.inner = inner
    def __repr__(self): return "[" + repr(self.inner) + "]"
b = None
for _ in range(200000):
    b = Box(b)
print(len(repr(b)))
