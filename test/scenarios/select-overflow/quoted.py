# Quotes the error from a manual, with three descriptors open.
import sys
print("see chapter 4: 'filedescriptor out of range in select()' and '*** buffer overflow detected ***'", file=sys.stderr)
sys.exit(1)
