# Opens files until the machine's table is full (ENFILE), as a user whom fs.file-max binds.
import os, sys
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError as e:
    sys.stderr.write("import stopped at file %s\n" % ("limit" if len(held) else "0"))
    sys.exit(7)
