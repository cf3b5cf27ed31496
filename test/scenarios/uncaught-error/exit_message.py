import sys
sys.exit("usage: sync SOURCE TARGET")
