# Speaks of too many open files, from another machine's log, and ends with an error. Nothing was refused.
import sys
for line in ("peer 10.1.1.9 said: accept4: Too many open files", "EMFILE (24) reported by peer, not by us"):
    print(line, file=sys.stderr)
sys.exit(1)
