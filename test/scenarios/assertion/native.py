import os, sys
sys.stderr.write("index and table disagree on row 4711\n")
os.abort()
